//! `liveset watch`: a live query in the terminal.
//!
//! As a table that is redrawn, with what changed in the last moments marked, or (`--json`) as the messages of
//! the server, a line each. It stands on `liveset-client`, which makes a lost connection again, and goes on where it was lost.

mod follow;
mod output;
mod row;
mod table;
mod trouble;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use liveset_client::{BuildError, Client, LiveQuery};
use liveset_core::{Param, Query, Token};
use liveset_server::config;
use liveset_server::signals::Stop;
use liveset_server::tls::{self, TlsError};
use serde_json::value::RawValue;

use self::output::{Lines, Output};
use crate::url::ServerUrl;

/// A live query whose rows are not read.
type Live = LiveQuery<Box<RawValue>>;

/// How long the server may take to hear the goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Arguments of `liveset watch`.
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// The server, as ws://127.0.0.1:8080/ws or wss://live.example
    #[arg(value_name = "URL", env = "LIVESET_URL")]
    url: ServerUrl,

    /// With wss://: who vouches for the server's certificate, PEM [default: whom the system trusts]
    #[arg(long, env = "LIVESET_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// The token
    #[arg(long, env = "LIVESET_TOKEN", value_name = "TOKEN", value_parser = config::token, hide_env_values = true)]
    pub token: Token,

    /// The set
    #[arg(long, value_name = "SET")]
    pub set: String,

    /// Which of its rows
    #[arg(long, value_name = "EXPRESSION")]
    pub filter: Option<String>,

    /// The value of a $name in the filter, as JSON, or else as text; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = param)]
    pub params: Vec<(String, Param)>,

    /// In which order, as 'createdAt desc, id'
    #[arg(long, value_name = "KEYS")]
    pub order_by: Option<String>,

    /// At most so many
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,

    /// Only these fields
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',')]
    pub fields: Option<Vec<String>>,

    /// Print the messages of the server instead of a table, a line each
    #[arg(long)]
    pub json: bool,
}

impl WatchArgs {
    fn query(&self) -> Query {
        Query {
            set: self.set.clone(),
            filter: self.filter.clone(),
            params: self.params.iter().cloned().collect(),
            order_by: self.order_by.clone(),
            limit: self.limit,
            fields: self.fields.clone(),
        }
    }
}

/// `customer=7`, `statuses=["new", "open"]`, `age={"duration":"7 days"}`, `name=o'hara`.
fn param(text: &str) -> Result<(String, Param), String> {
    let (name, value) = text.split_once('=').ok_or("expected a name, '=' and a value")?;
    if serde_json::from_str::<serde::de::IgnoredAny>(value).is_err() {
        return Ok((name.into(), value.into()));
    }
    let query = format!(r#"{{"edge":"","params":{{{}:{value}}}}}"#, serde_json::json!(name));
    let query = Query::parse(query.as_bytes()).map_err(|error| error.to_string())?;
    // `null` is a value too.
    Ok(query.params.into_iter().next().unwrap_or((name.into(), Param::Nothing)))
}

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// There is no such server, or it refuses the token or the query; trying again would not help. The text shows where
    /// the query is wrong, as far as the server said.
    #[error("{0}")]
    Refused(String),
    /// The authorities that are to be trusted cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no client for this address.
    #[error(transparent)]
    Client(#[from] BuildError),
    /// The system gives no signals.
    #[error("cannot listen to signals: {0}")]
    Signals(#[from] std::io::Error),
}

/// Shows a live query until it is stopped, or nobody reads any more.
///
/// # Errors
///
/// No such server is there, or it refuses the token or the query. A server that is away is waited for.
pub async fn run(args: WatchArgs) -> Result<(), WatchError> {
    let lines = args.json.then(Arc::<Lines>::default);
    let client = connect(&args, lines.clone())?;
    let stop = Stop::on_signals()?;
    let mut output = Output::new(&args, lines);
    let result = follow::follow(&client, &args, &mut output, &stop).await;
    output.end();
    let mut connection = client.connection();
    client.close();
    let goodbye = async { while connection.changed().await {} };
    // Whether anybody hears it does not matter.
    let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    result.map_err(WatchError::Refused)
}

fn connect(args: &WatchArgs, lines: Option<Arc<Lines>>) -> Result<Client, WatchError> {
    let token = args.token.clone();
    let mut builder = Client::builder(args.url.websocket()).token_from(move |asked| {
        let token = token.clone();
        async move {
            if asked.refused {
                // There is no other. That it was refused ends the watch.
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(token)
        }
    });
    if args.url.is_tls {
        builder = builder.tls(Arc::new(tls::client(tls::authorities(args.ca.as_deref())?)?));
    }
    if let Some(lines) = lines {
        builder = builder.inspect(move |message| lines.print(message));
    }
    Ok(builder.connect()?)
}

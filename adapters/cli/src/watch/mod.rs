//! `liveset watch`: a live query in the terminal.
//!
//! As a table that is redrawn, with what changed in the last moments marked, or (`--json`) as the messages of
//! the server, a line each. A lost connection is made again, and goes on where it was lost if the server still
//! knows what changed since.

mod follow;
mod output;
mod row;
mod socket;
mod table;
mod trouble;

use std::path::PathBuf;

use clap::Args;
use liveset_core::{LiveQueryOptions, LiveResult, Param, Query, Token};
use liveset_server::config;
use liveset_server::signals::Stop;
use liveset_server::terminal;

use self::follow::End;
use self::output::Output;
use crate::backoff::Backoff;
use crate::client::{Client, ClientError};
use crate::url::ServerUrl;

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
    Client(#[from] ClientError),
    /// The system gives no signals.
    #[error("cannot listen to signals: {0}")]
    Signals(#[from] std::io::Error),
}

/// What a watch wants, and how far it is.
struct Wanted {
    server: Client,
    token: Token,
    query: Query,
    options: LiveQueryOptions,
    /// What was held when the connection was lost.
    held: Option<LiveResult>,
}

impl Wanted {
    /// Where the server is, as messages name it.
    fn address(&self) -> String {
        self.server.url.websocket()
    }

    /// A message about the server, with its address in front.
    fn told_of(&self, text: &str) -> String {
        terminal::message(&format!("{}: {text}", self.address()))
    }
}

/// Shows a live query until it is stopped, or nobody reads any more.
///
/// # Errors
///
/// No such server is there, or it refuses the token or the query. A server that is away is waited for.
pub async fn run(args: WatchArgs) -> Result<(), WatchError> {
    let mut output = Output::new(&args);
    let options = LiveQueryOptions {
        positions: true,
        counts: true,
        reasons: args.json,
        resume: true,
        ..LiveQueryOptions::default()
    };
    let mut wanted = Wanted {
        query: args.query(),
        // The token is said by a message, not by a header.
        server: Client::new(args.url, args.ca.as_deref(), "")?,
        token: args.token,
        options,
        held: None,
    };
    let stop = Stop::on_signals()?;
    let mut backoff = Backoff::default();
    let result = loop {
        match follow::follow(&mut wanted, &mut output, &mut backoff, &stop).await {
            End::Quit => break Ok(()),
            End::Refused(message) => break Err(WatchError::Refused(message)),
            End::Lost(reason) => {
                let pause = backoff.next();
                output.lost(&wanted.told_of(&reason), pause, wanted.held.as_ref());
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.clone().wait() => break Ok(()),
                }
            }
        }
    };
    output.end();
    result
}

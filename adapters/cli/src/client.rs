//! Requests to a server over a pool of connections, with TLS where its address says so, and what became of them.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Builder;
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use liveset_engine::{JsonLimits, Object, Value, json};
use liveset_server::tls::{self, TlsError};
use tokio_rustls::rustls;

use crate::url::ServerUrl;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A server closes connections that are idle. One that was idle for longer than this is not used again, so that
/// a request does not cross with the close.
const IDLE: Duration = Duration::from_secs(1);
/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// An answer that is an object, read by the rules that hold for all JSON here.
pub(crate) fn object(answer: &[u8]) -> Option<Object> {
    match json::parse(answer, &JsonLimits::default().nesting(usize::MAX)) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// A server's refusal: a code and a message.
pub(crate) fn refusal(answer: &[u8]) -> Option<String> {
    let answer = object(answer)?;
    Some(format!("{}: {}", answer.field("code")?.as_text()?, answer.field("message")?.as_text()?))
}

/// The outcome of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was answered.
    Answered(StatusCode, Bytes),
    /// The server never had it.
    NotSent(String),
    /// No server that could take it is there, and none will be.
    Impossible(String),
    /// It was sent, wholly or in part, and no answer came: whether it was applied is unknown.
    Unanswered(String),
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    /// The server may be there later.
    Passing(String),
    /// Trying again would not help: what is there is no such server, or is not trusted.
    Lasting(String),
}

/// Why requests cannot be sent at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The authorities that are to be trusted cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token cannot stand in a header.
    #[error("the token has characters that no header can have")]
    Token,
}

impl From<ClientError> for String {
    fn from(error: ClientError) -> String {
        error.to_string()
    }
}

/// Sends requests to one server.
pub(crate) struct Client {
    pub(crate) url: ServerUrl,
    token: HeaderValue,
    pool: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    /// `ca` has the authorities that are trusted with a server's certificate.
    pub(crate) fn new(url: ServerUrl, ca: Option<&Path>, token: &str) -> Result<Client, ClientError> {
        let mut token = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientError::Token)?;
        token.set_sensitive(true);
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.enforce_http(false);
        let tls = match url.is_tls {
            true => tls::client(tls::authorities(ca)?)?,
            // Nobody is trusted where nobody is asked.
            false => tls::client(rustls::RootCertStore::empty())?,
        };
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls);
        let connector = connector.https_or_http().enable_http1().wrap_connector(tcp);
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Client { url, token, pool })
    }

    /// Posts JSON and waits for what becomes of it.
    pub(crate) async fn post(&self, path: &str, body: Bytes) -> Outcome {
        self.send(Request::post(self.url.path(path)), "application/json", body).await
    }

    /// Posts lines of JSON, and waits for what becomes of them.
    pub(crate) async fn post_lines(&self, path: &str, lines: Bytes) -> Outcome {
        self.send(Request::post(self.url.path(path)), "application/x-ndjson", lines).await
    }

    /// Asks for a path.
    pub(crate) async fn get(&self, path: &str) -> Outcome {
        self.send(Request::get(self.url.path(path)), "application/json", Bytes::new()).await
    }

    async fn send(&self, request: Builder, content_type: &'static str, body: Bytes) -> Outcome {
        let request = request
            .header(AUTHORIZATION, &self.token)
            .header(CONTENT_TYPE, content_type)
            .body(Full::new(body));
        let request = match request {
            Ok(request) => request,
            Err(error) => return Outcome::NotSent(error.to_string()),
        };
        let answer = async {
            let answer = match self.pool.request(request).await {
                Ok(answer) => answer,
                Err(error) => {
                    return match self.trouble(&error) {
                        Trouble::Lasting(problem) => Outcome::Impossible(problem),
                        Trouble::Passing(problem) if error.is_connect() => Outcome::NotSent(problem),
                        Trouble::Passing(problem) => Outcome::Unanswered(problem),
                    };
                }
            };
            let status = answer.status();
            match Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await {
                Ok(body) => Outcome::Answered(status, body.to_bytes()),
                Err(error) => Outcome::Unanswered(error.to_string()),
            }
        };
        tokio::time::timeout(ANSWER_TIMEOUT, answer)
            .await
            .unwrap_or_else(|_| Outcome::Unanswered(format!("no answer in {ANSWER_TIMEOUT:?}")))
    }

    /// What an error says of the other end. One of TLS, or of what is no HTTP, comes again with every attempt; one of the
    /// network may pass.
    fn trouble(&self, error: &(dyn Error + 'static)) -> Trouble {
        let mut last = error;
        for cause in causes(error) {
            if let Some(problem) = cause.downcast_ref::<rustls::Error>() {
                return Trouble::Lasting(tls_trouble(problem));
            }
            if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
                let hint =
                    if self.url.is_tls { "" } else { "; a server with TLS is called by https:// or wss://" };
                return Trouble::Lasting(format!("what answers there does not speak HTTP ({cause}){hint}"));
            }
            last = cause;
        }
        Trouble::Passing(last.to_string())
    }
}

/// An error and what it came from. What `std::io::Error` holds is no source of it, but what it is.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        held.map(|held| held as &(dyn Error + 'static)).or(error.source())
    })
}

fn tls_trouble(problem: &rustls::Error) -> String {
    match problem {
        rustls::Error::InvalidMessage(_) => {
            format!("no TLS there: {problem}; a server without TLS is called by http:// or ws://")
        }
        rustls::Error::InvalidCertificate(_) => {
            format!("the server's certificate is not trusted: {problem}; --ca FILE names who vouches for it")
        }
        problem => format!("no TLS there: {problem}"),
    }
}

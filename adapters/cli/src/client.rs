//! One keep-alive connection to a server, and what became of a request on it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::request::Builder;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use liveset_engine::{JsonLimits, Object, Value, json};

use crate::connect::{Connector, Trouble, http_trouble};

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
    match json::parse(answer, &JsonLimits { nesting: usize::MAX }) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// What a server says about a request that it refuses: a code and a message.
pub(crate) fn refusal(answer: &[u8]) -> Option<String> {
    let answer = object(answer)?;
    Some(format!("{}: {}", answer.field("code")?.as_text()?, answer.field("message")?.as_text()?))
}

/// What became of a request.
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

/// Sends requests, one after the other.
pub(crate) struct Client {
    server: Connector,
    token: HeaderValue,
    open: Option<(SendRequest<Full<Bytes>>, Instant)>,
}

impl Client {
    /// Takes an address, too, of a server without TLS.
    ///
    /// # Errors
    ///
    /// The token cannot stand in a header.
    pub(crate) fn new(server: impl Into<Connector>, token: &str) -> Result<Client, String> {
        let mut token = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| "the token has characters that no header can have".to_owned())?;
        token.set_sensitive(true);
        Ok(Client { server: server.into(), token, open: None })
    }

    /// Posts JSON and waits for what becomes of it.
    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> Outcome {
        self.send(Request::post(self.server.url.path(path)), body).await
    }

    /// Asks for a path.
    pub(crate) async fn get(&mut self, path: &str) -> Outcome {
        self.send(Request::get(self.server.url.path(path)), Bytes::new()).await
    }

    async fn send(&mut self, request: Builder, body: Bytes) -> Outcome {
        let mut sender = match self.open.take() {
            Some((sender, used)) if used.elapsed() < IDLE && !sender.is_closed() => sender,
            _ => match self.connect().await {
                Ok(sender) => sender,
                Err(Trouble::Passing(error)) => return Outcome::NotSent(error),
                Err(Trouble::Lasting(error)) => return Outcome::Impossible(error),
            },
        };
        if let Err(error) = sender.ready().await {
            return Outcome::NotSent(error.to_string());
        }
        let request = match self.complete(request, body) {
            Ok(request) => request,
            Err(error) => return Outcome::NotSent(error.to_string()),
        };
        let answer = async {
            let answer = match sender.try_send_request(request).await {
                Ok(answer) => answer,
                Err(mut error) => {
                    let was_kept = error.take_message().is_some();
                    return match http_trouble(&error.into_error(), self.server.url.is_tls) {
                        Trouble::Lasting(error) => Outcome::Impossible(error),
                        Trouble::Passing(error) if was_kept => Outcome::NotSent(error),
                        Trouble::Passing(error) => Outcome::Unanswered(error),
                    };
                }
            };
            let status = answer.status();
            match Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await {
                Ok(body) => Outcome::Answered(status, body.to_bytes()),
                Err(error) => Outcome::Unanswered(error.to_string()),
            }
        };
        let outcome = tokio::time::timeout(ANSWER_TIMEOUT, answer)
            .await
            .unwrap_or_else(|_| Outcome::Unanswered(format!("no answer in {ANSWER_TIMEOUT:?}")));
        if matches!(outcome, Outcome::Answered(..)) {
            self.open = Some((sender, Instant::now()));
        }
        outcome
    }

    fn complete(&self, request: Builder, body: Bytes) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        request
            .header(HOST, &self.server.url.authority)
            .header(AUTHORIZATION, &self.token)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Trouble> {
        let connecting = async {
            let stream = self.server.connect().await?;
            let handshake = http1::handshake(TokioIo::new(stream)).await;
            handshake.map_err(|error| http_trouble(&error, self.server.url.is_tls))
        };
        let (sender, connection) = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| Trouble::Passing(format!("no connection in {CONNECT_TIMEOUT:?}")))??;
        // Ends with the sender, or with the connection; what went wrong reaches the request.
        tokio::spawn(connection);
        Ok(sender)
    }
}

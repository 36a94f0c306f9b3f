//! Errors, by blame.

use std::fmt;
use std::sync::Arc;

use liveset_core::ErrorCode;

/// Why something did not work.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused what was asked for, or ended it.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A row is no `T`. Other rows, and what comes later, are not touched by it.
    #[error("row '{id}' cannot be read: {problem}")]
    Row {
        /// The row.
        id: Arc<str>,
        /// What is wrong with it.
        #[source]
        problem: Arc<serde_json::Error>,
    },
    /// Events were lost. Others follow; read anew what depends on all of them.
    #[error("events were missed: {0}")]
    Missed(Missed),
    /// There is no connection. It is tried again for ever.
    #[error("{0}")]
    Offline(Arc<str>),
    /// What answers at the address is no such server, or is not trusted. It is tried again for ever, but only a change over there helps.
    #[error(transparent)]
    WrongServer(#[from] WrongServer),
    /// The token was refused, and so was the next one.
    #[error("the token was refused twice: sign in again, so that there is another, then call `reconnect`")]
    NeedsAuth,
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

/// What the server says of a request that it refuses, or of something that it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerError {
    /// The code, where this version knows it.
    pub code: Option<ErrorCode>,
    /// The code as it came, such as `INVALID_QUERY`.
    pub code_text: Arc<str>,
    /// What is wrong and what to do, for people.
    pub message: Arc<str>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code_text, self.message)
    }
}

impl std::error::Error for ServerError {}

/// What is wrong with what answers at the address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrongServer {
    /// It does not speak HTTP.
    #[error("what answers there does not speak HTTP ({0}); a server with TLS is called by wss://")]
    NotHttp(Arc<str>),
    /// It does not speak TLS, or none that is safe.
    #[error("no TLS there: {0}; a server without TLS is called by ws://")]
    NotTls(Arc<str>),
    /// Nobody who is trusted vouches for it; see [`ClientBuilder::tls`](crate::ClientBuilder::tls).
    #[error("the server's certificate is not trusted: {0}")]
    NotTrusted(Arc<str>),
    /// It has no WebSocket at this path.
    #[error("no WebSocket is there: answered with {0}")]
    NoWebSocket(Arc<str>),
    /// It says what no Liveset server says.
    #[error("what answers there speaks another protocol: {0}")]
    NotLiveset(Arc<str>),
}

/// Why events were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missed {
    /// They came faster than they were read, here or at the server.
    Slow,
    /// There was no connection for a while.
    Offline,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Missed::Slow => "they came faster than they were read",
            Missed::Offline => "there was no connection for a while",
        })
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// It is no address of an endpoint.
    #[error(
        "{0:?} is not the address of an endpoint, such as ws://127.0.0.1:8080/ws or wss://live.example/ws"
    )]
    Address(String),
    /// The system trusts no authority that could vouch for a server: name some with [`ClientBuilder::tls`](crate::ClientBuilder::tls).
    #[error("no list of certificate authorities was found")]
    NoAuthorities,
    /// The cryptography offers no version of TLS that is safe.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
    /// The client lives in a task, and there is no tokio runtime to run it.
    #[error("there is no tokio runtime here")]
    NoRuntime,
}

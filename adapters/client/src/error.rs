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

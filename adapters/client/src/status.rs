//! How far what is shown can be trusted, and whether there is a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::error::{Error, ServerError};

/// How far the rows of a live query can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// There are no rows yet.
    Loading {
        /// Why not; `None` while they are just on their way.
        cause: Option<Cause>,
    },
    /// The rows are the result.
    Live,
    /// The rows were the result, and may be behind.
    Stale {
        /// Why.
        cause: Cause,
        /// Since when, by the wall clock.
        since: SystemTime,
    },
    /// The server refused the query, or ended it.
    Ended(ServerError),
    /// The client was closed.
    Closed,
}

impl Status {
    /// Whether the rows are the result.
    pub fn is_live(&self) -> bool {
        *self == Status::Live
    }

    /// Whether rows have been shown, and may come back.
    pub(crate) fn has_rows(&self) -> bool {
        matches!(self, Status::Live | Status::Stale { .. })
    }
}

/// Why a live query is not live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// There is no connection, or it is just back.
    Offline,
    /// The token was refused twice; see [`Client::reconnect`](crate::Client::reconnect).
    NeedsAuth,
    /// The server is behind the place where its data comes from.
    Source,
    /// The server has no room now. It is asked again.
    Overloaded,
}

/// Whether there is a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionStatus {
    /// The first one is being made.
    Connecting,
    /// It is there, and the token was taken.
    Connected,
    /// It was lost, or could not be made, and is tried again for ever.
    Reconnecting,
    /// The token was refused, and so was the next one: nothing is tried until [`Client::reconnect`](crate::Client::reconnect).
    NeedsAuth,
    /// The client was closed.
    Closed,
}

impl ConnectionStatus {
    /// Why what is shown may be behind.
    pub(crate) fn cause(self) -> Option<Cause> {
        match self {
            ConnectionStatus::Connecting | ConnectionStatus::Connected | ConnectionStatus::Closed => None,
            ConnectionStatus::Reconnecting => Some(Cause::Offline),
            ConnectionStatus::NeedsAuth => Some(Cause::NeedsAuth),
        }
    }
}

/// What the driver tells of the connection.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) status: ConnectionStatus,
    pub(crate) error: Option<Error>,
    pub(crate) pause: Option<Duration>,
}

/// When the server was last heard: milliseconds of the wall clock since 1970, or 0.
#[derive(Debug, Default)]
pub(crate) struct Heard(AtomicU64);

impl Heard {
    pub(crate) fn now(&self) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.0.store(u64::try_from(since.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn at(&self) -> Option<SystemTime> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            millis => SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis)),
        }
    }
}

/// A look at the connection of a client. It does not keep the client alive.
///
/// ```no_run
/// # async fn f(client: liveset_client::Client) {
/// let mut connection = client.connection();
/// while connection.changed().await {
///     println!("{:?} {:?}", connection.status(), connection.error());
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Connection {
    pub(crate) state: watch::Receiver<State>,
    pub(crate) heard: Arc<Heard>,
}

impl Connection {
    /// Whether there is one.
    pub fn status(&self) -> ConnectionStatus {
        self.state.borrow().status
    }

    /// Why there is none, where that is known.
    pub fn error(&self) -> Option<Error> {
        self.state.borrow().error.clone()
    }

    /// How long after this status began another attempt is made; `None` where none is going to be.
    pub fn pause(&self) -> Option<Duration> {
        self.state.borrow().pause
    }

    /// When the server was last heard, by the wall clock.
    pub fn last_message_at(&self) -> Option<SystemTime> {
        self.heard.at()
    }

    /// Waits until the status has changed since this was last called, or since this look was taken. False: it does not change any more,
    /// because the client is gone, and has said goodbye to the server. Cancel-safe.
    pub async fn changed(&mut self) -> bool {
        self.state.changed().await.is_ok()
    }
}

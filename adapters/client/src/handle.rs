//! What every handle of a client has: the way to its driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use liveset_core::Query;
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::heard_events::HeardEvents;
use crate::shown::Shown;
use crate::status::{Connection, ConnectionStatus, Status};

/// Names a live query or a subscription of one client. Never used again.
pub(crate) type Key = u64;

/// What handles ask of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// Keep this query up to date.
    Watch { key: Key, query: Query, shown: Arc<Shown> },
    /// Nobody reads it any more.
    Unwatch(Key),
    /// Send these events.
    Subscribe { key: Key, path: Arc<str>, events: Vec<Arc<str>>, heard: Arc<HeardEvents> },
    /// Nobody reads them any more.
    Unsubscribe(Key),
    /// Say when all live queries show this position.
    Await { position: String, reached: oneshot::Sender<Result<(), Error>> },
    /// Try to connect now.
    Reconnect,
    /// End everything.
    Close,
}

impl Command {
    /// There is no driver any more that could take it.
    pub(crate) fn refuse(self) {
        match self {
            Command::Watch { shown, .. } => shown.close(),
            Command::Subscribe { heard, .. } => heard.close(),
            Command::Await { reached, .. } => drop(reached.send(Err(Error::Closed))),
            Command::Unwatch(_) | Command::Unsubscribe(_) | Command::Reconnect | Command::Close => {}
        }
    }
}

/// The way to the driver, which goes when the last of these has gone.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    /// Not bounded by a number: each handle sends two commands at most, the second when it is dropped, where nothing can be waited for.
    commands: mpsc::UnboundedSender<Command>,
    keys: Arc<AtomicU64>,
    pub(crate) connection: Connection,
}

impl Handle {
    pub(crate) fn new(commands: mpsc::UnboundedSender<Command>, connection: Connection) -> Handle {
        Handle { commands, keys: Arc::default(), connection }
    }

    pub(crate) fn send(&self, command: Command) {
        if let Err(unsent) = self.commands.send(command) {
            unsent.0.refuse();
        }
    }

    pub(crate) fn watch(&self, query: Query) -> (Key, Arc<Shown>) {
        let shown = Arc::new(Shown::new(Status::Loading { cause: self.connection.status().cause() }));
        let key = self.key();
        self.send(Command::Watch { key, query, shown: shown.clone() });
        (key, shown)
    }

    pub(crate) fn subscribe(&self, path: Arc<str>, events: Vec<Arc<str>>) -> (Key, Arc<HeardEvents>) {
        let heard = Arc::new(HeardEvents::new(self.connection.status() == ConnectionStatus::NeedsAuth));
        let key = self.key();
        self.send(Command::Subscribe { key, path, events, heard: heard.clone() });
        (key, heard)
    }

    fn key(&self) -> Key {
        self.keys.fetch_add(1, Ordering::Relaxed)
    }
}

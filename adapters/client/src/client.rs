//! The handle of a client.

use std::sync::Arc;

use liveset_core::Query;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::error::Error;
use crate::events::Events;
use crate::handle::{Command, Handle};
use crate::live::LiveBuilder;
use crate::rows::Rows;
use crate::status::Connection;

/// A client of one server: live queries and events over one connection, which is made again whenever it is lost.
///
/// A clone is a handle to the same connection. A task of its own does the work; it ends with the last handle, live query and stream of
/// events, or by [`close`](Client::close). A connection that was lost is tried again for ever: after at most 0.5 s, 1 s, 2 s, … 15 s, by
/// chance. Live queries then go on from what they have; the server sends only what has changed since, also after it was restarted.
#[derive(Debug, Clone)]
pub struct Client {
    handle: Handle,
}

impl Client {
    pub(crate) fn new(handle: Handle) -> Client {
        Client { handle }
    }

    /// Describes a live query over a set, whose rows are read as `T`; or begins with a [`Query`] that is described already.
    pub fn live<T>(&self, query: impl Into<Query>) -> LiveBuilder<T> {
        LiveBuilder::new(self.handle.clone(), query.into())
    }

    /// The result of a query, once. Waits for ever, if no server is there.
    ///
    /// Cancel-safe: dropped before, nothing of it is left.
    ///
    /// # Errors
    ///
    /// As [`LiveBuilder::subscribe`]. Rows that are no `T` are in [`Rows::errors`].
    pub async fn query<T: DeserializeOwned>(&self, query: impl Into<Query>) -> Result<Rows<T>, Error> {
        Ok(self.live(query).subscribe().await?.rows())
    }

    /// The events of these types at a path and below it, as a stream; waits until the server has subscribed them, for ever, if none is
    /// there.
    ///
    /// Cancel-safe: dropped before, nothing of it is left.
    ///
    /// # Errors
    ///
    /// As [`LiveBuilder::subscribe`].
    pub async fn events<S: Into<Arc<str>>>(
        &self,
        path: impl Into<Arc<str>>,
        types: impl IntoIterator<Item = S>,
    ) -> Result<Events, Error> {
        let types = types.into_iter().map(Into::into).collect();
        let mut events = Events::open(self.handle.clone(), path.into(), types);
        events.ready().await?;
        Ok(events)
    }

    /// Waits until all live queries show the commit of this position: what the answer to a write has brought.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`Error::Server`]: the position is of another history, or the server did not get there in time. [`Error::Closed`].
    pub async fn await_position(&self, position: impl Into<String>) -> Result<(), Error> {
        let (reached, answer) = oneshot::channel();
        self.handle.send(Command::Await { position: position.into(), reached });
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// A look at the connection.
    pub fn connection(&self) -> Connection {
        let mut connection = self.handle.connection.clone();
        connection.state.mark_unchanged();
        connection
    }

    /// Tries now to connect, where there is no connection. Needed after [`NeedsAuth`](crate::ConnectionStatus::NeedsAuth).
    pub fn reconnect(&self) {
        self.handle.send(Command::Reconnect);
    }

    /// Ends everything, for good: streams end.
    pub fn close(&self) {
        self.handle.send(Command::Close);
    }
}

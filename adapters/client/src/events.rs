//! The events of a path as a stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::error::Error;
use crate::handle::{Command, Handle, Key};
use crate::heard_events::{Event, HeardEvents};

/// The events of a path: a stream that goes on over all connections. Made by [`Client::events`](crate::Client::events).
///
/// [`Error::Missed`] says that events were lost before the next one; 256 wait for a reader at most. Any other error is the last item: the
/// server has ended the subscription. It ends without one where the client is closed. It keeps its client alive; dropping it
/// unsubscribes.
#[derive(Debug)]
pub struct Events {
    heard: Arc<HeardEvents>,
    key: Key,
    handle: Handle,
}

impl Events {
    pub(crate) fn open(handle: Handle, path: Arc<str>, events: Vec<Arc<str>>) -> Events {
        let (key, heard) = handle.subscribe(path, events);
        Events { heard, key, handle }
    }

    /// Waits until the server has subscribed it.
    pub(crate) async fn ready(&mut self) -> Result<(), Error> {
        poll_fn(|context| self.heard.poll_ready(context)).await
    }

    /// The next event, as soon as there is one. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        poll_fn(|context| self.heard.poll_event(context)).await
    }
}

impl Stream for Events {
    type Item = Result<Event, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.heard.poll_event(context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.handle.send(Command::Unsubscribe(self.key));
    }
}

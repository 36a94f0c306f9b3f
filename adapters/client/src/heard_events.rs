//! The events of one subscription that were not read yet: the driver writes them, one handle reads them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use liveset_core::Event as Sent;
use serde::de::DeserializeOwned;

use crate::error::{Error, Missed, ServerError};

/// Events that wait for a reader. With more the oldest are dropped.
const WAITING: usize = 256;

/// An event of a resource.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// The path as it was subscribed.
    pub path: Arc<str>,
    /// Such as `jobCompleted`.
    pub event_type: Arc<str>,
    /// When it happened, as RFC 3339.
    pub timestamp: Box<str>,
    /// What the event says: raw JSON.
    pub data: Bytes,
}

impl Event {
    pub(crate) fn new(path: Arc<str>, sent: &Sent) -> Event {
        Event {
            path,
            event_type: sent.event_type.clone(),
            timestamp: sent.timestamp.clone(),
            data: sent.data.clone(),
        }
    }

    /// What the event says, as the host's own type.
    ///
    /// # Errors
    ///
    /// It is no `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.data)
    }
}

/// The events of one subscription that were not read yet.
pub(crate) struct HeardEvents(Mutex<Inner>);

struct Inner {
    events: VecDeque<Event>,
    /// Goes before the events.
    missed: Option<Missed>,
    state: State,
    waker: Option<Waker>,
}

enum State {
    /// The server has not answered.
    Asked { needs_auth: bool },
    /// It was subscribed once, and is again on every connection.
    Subscribed,
    /// The server refused or ended it; `None` once that was read.
    Ended(Option<ServerError>),
    /// The client is gone.
    Closed,
}

impl HeardEvents {
    pub(crate) fn new(needs_auth: bool) -> HeardEvents {
        HeardEvents(Mutex::new(Inner {
            events: VecDeque::new(),
            missed: None,
            state: State::Asked { needs_auth },
            waker: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked has left it whole: nothing in here calls foreign code.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        if matches!(inner.state, State::Ended(_) | State::Closed) {
            return;
        }
        change(&mut inner);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    // ---- the driver's side ----

    pub(crate) fn push(&self, event: Event) {
        self.change(|inner| {
            if inner.events.len() >= WAITING {
                inner.events.pop_front();
                inner.missed = Some(Missed::Slow);
            }
            inner.events.push_back(event);
        });
    }

    /// The server has subscribed it; events that came while there was no connection are lost.
    pub(crate) fn subscribed(&self) {
        self.change(|inner| {
            if matches!(inner.state, State::Subscribed) {
                inner.missed = Some(Missed::Offline);
            }
            inner.state = State::Subscribed;
        });
    }

    pub(crate) fn missed(&self) {
        self.change(|inner| inner.missed = Some(Missed::Slow));
    }

    /// The token was refused twice, or another one may be tried.
    pub(crate) fn needs_auth(&self, needs_auth: bool) {
        self.change(|inner| {
            if let State::Asked { .. } = inner.state {
                inner.state = State::Asked { needs_auth };
            }
        });
    }

    pub(crate) fn end(&self, error: ServerError) {
        self.change(|inner| inner.state = State::Ended(Some(error)));
    }

    pub(crate) fn close(&self) {
        self.change(|inner| inner.state = State::Closed);
    }

    // ---- the reader's side ----

    pub(crate) fn poll_event(&self, context: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        let mut inner = self.lock();
        if let Some(missed) = inner.missed.take() {
            return Poll::Ready(Some(Err(Error::Missed(missed))));
        }
        if let Some(event) = inner.events.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        match &mut inner.state {
            State::Ended(error) => Poll::Ready(error.take().map(|error| Err(error.into()))),
            State::Closed => Poll::Ready(None),
            State::Asked { .. } | State::Subscribed => {
                inner.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits until the server has subscribed it, or refused that.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut inner = self.lock();
        match &inner.state {
            State::Subscribed => Poll::Ready(Ok(())),
            State::Ended(Some(error)) => Poll::Ready(Err(error.clone().into())),
            State::Asked { needs_auth: true } => Poll::Ready(Err(Error::NeedsAuth)),
            State::Closed | State::Ended(None) => Poll::Ready(Err(Error::Closed)),
            State::Asked { needs_auth: false } => {
                inner.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for HeardEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeardEvents").field("waiting", &self.lock().events.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn event(name: &str) -> Event {
        Event { path: "p".into(), event_type: name.into(), timestamp: "t".into(), data: Bytes::new() }
    }

    fn next(heard: &HeardEvents) -> Poll<Option<Result<Event, Error>>> {
        heard.poll_event(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_slow_reader_is_told_that_the_oldest_are_gone() {
        let heard = HeardEvents::new(false);
        heard.subscribed();
        (0..WAITING + 3).for_each(|number| heard.push(event(&number.to_string())));
        assert!(matches!(next(&heard), Poll::Ready(Some(Err(Error::Missed(Missed::Slow))))));
        for number in 3..WAITING + 3 {
            let Poll::Ready(Some(Ok(event))) = next(&heard) else { panic!("event {number} is missing") };
            assert_eq!(*event.event_type, number.to_string());
        }
        assert!(next(&heard).is_pending());
    }

    #[test]
    fn what_was_refused_says_so_once_and_ends() {
        let heard = HeardEvents::new(false);
        let error = ServerError { code: None, code_text: "NO".into(), message: "no".into() };
        heard.end(error);
        heard.push(event("late"));
        assert!(matches!(next(&heard), Poll::Ready(Some(Err(Error::Server(_))))));
        assert!(matches!(next(&heard), Poll::Ready(None)));
    }
}

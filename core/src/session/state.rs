//! Where a conversation stands, and what belongs to each stand.

use crate::error::CloseCode;
use crate::limits::SessionLimits;
use crate::message::AuthOptions;
use crate::time::Monotonic;

use super::awaited::Awaited;
use super::held::Held;
use super::keep_alive::KeepAlive;
use super::live_queries::LiveQueries;
use super::requests::Attempt;
use super::subscriptions::Subscriptions;

/// ```text
/// open ──► AwaitingAuth ──auth──► Verifying ──accepted──► Active ──shutdown──► Draining
///               │                     │                     │                     │
///               │ deadline            │ refused, deadline   │ expiry, no pong,    │ all sent
///               │ anything else       │                     │ a later `auth` that │
///               │                     │                     │ is refused or late, │
///               │                     │                     │ violation, fault    │
///               └────────► Closing ◄──┴─────────────────────┴─────────────────────┘
///                             │ close frame handed out
///                             ▼
///                          Closed
/// ```
#[derive(Debug)]
pub(super) enum State {
    /// Nothing came yet.
    AwaitingAuth { deadline: Monotonic },
    /// The owner has the token.
    Verifying {
        deadline: Monotonic,
        attempt: Attempt,
        request_id: Option<Box<str>>,
        options: AuthOptions,
        held: Held,
    },
    /// The conversation proper.
    Active(Box<Active>),
    /// Shutting down: what was queued goes out, nothing comes in.
    Draining { expires: Option<Monotonic>, streams: Box<Streams> },
    /// What was answered goes out, then the close frame.
    Closing(CloseCode),
    /// The close frame was handed out.
    Closed(CloseCode),
}

/// What an authenticated connection has.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) keep_alive: KeepAlive,
    /// When the principal expires.
    pub(super) expires: Option<Monotonic>,
    /// A later `auth` that the owner is verifying; until it is answered the old principal serves.
    pub(super) reauth: Option<Reauth>,
    /// Messages behind one that needs an answer of the owner first.
    pub(super) held: Held,
    /// Positions that it waits for.
    pub(super) awaited: Awaited,
    pub(super) streams: Streams,
}

#[derive(Debug)]
pub(super) struct Reauth {
    pub(super) deadline: Monotonic,
    pub(super) attempt: Attempt,
    pub(super) request_id: Option<Box<str>>,
    pub(super) options: AuthOptions,
}

/// Events and live queries, and whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) subscriptions: Subscriptions,
    pub(super) live_queries: LiveQueries,
    events_had_turn: bool,
}

impl Active {
    pub(super) fn new(limits: &SessionLimits, now: Monotonic, expires: Option<Monotonic>) -> Active {
        Active {
            keep_alive: KeepAlive::start(limits, now),
            expires,
            reauth: None,
            held: Held::default(),
            awaited: Awaited::default(),
            streams: Streams::default(),
        }
    }

    /// What comes first: the next ping or the end of the wait for its pong, the principal's expiry, the end of the wait for a verdict, that for a
    /// position.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let verdict = self.reauth.as_ref().map(|reauth| reauth.deadline);
        [self.expires, verdict, self.keep_alive.deadline(), self.awaited.deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Streams {
    pub(super) fn has_news(&self) -> bool {
        self.subscriptions.has_news() || self.live_queries.has_news()
    }

    /// Appends the next message. Adds the changes that were folded to `folded`. Events and live queries take turns; who has nothing passes.
    pub(super) fn transmit(&mut self, limits: &SessionLimits, folded: &mut u64, out: &mut Vec<u8>) -> bool {
        for _ in 0..2 {
            self.events_had_turn = !self.events_had_turn;
            let sent = if self.events_had_turn {
                self.subscriptions.transmit(out)
            } else {
                self.live_queries.transmit(limits, folded, out)
            };
            if sent {
                return true;
            }
        }
        false
    }
}

//! Is the client still there?

use crate::limits::SessionLimits;
use crate::time::Monotonic;

/// Pings and pongs of an active connection.
///
/// ```text
/// authenticated ──► Resting ──interval──► Leaving ──handed out──► AwaitingPong ──timeout──► gone
///                      ▲                                               │
///                      └─────────────────────pong──────────────────────┘
/// ```
#[derive(Debug)]
pub(super) enum KeepAlive {
    Resting {
        ping_at: Monotonic,
    },
    /// The ping waits for the transport, behind other control messages: so many have to be handed out until it is.
    Leaving {
        left: usize,
    },
    AwaitingPong {
        until: Monotonic,
    },
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    Gone,
}

impl KeepAlive {
    pub(super) fn start(limits: &SessionLimits, now: Monotonic) -> KeepAlive {
        KeepAlive::Resting { ping_at: now + limits.ping_interval }
    }

    pub(super) fn deadline(&self) -> Option<Monotonic> {
        match *self {
            KeepAlive::Resting { ping_at } => Some(ping_at),
            KeepAlive::Leaving { .. } => None,
            KeepAlive::AwaitingPong { until } => Some(until),
        }
    }

    /// Steps over a deadline that has come. The next one counts from now, not from when this one was due: a
    /// late owner must not make the client late. Where a ping is due, it is the last of `queued` control messages and itself.
    pub(super) fn step(&mut self, queued: usize, now: Monotonic) -> Due {
        match *self {
            KeepAlive::Resting { ping_at } if ping_at <= now => {
                *self = KeepAlive::Leaving { left: queued + 1 };
                Due::Ping
            }
            KeepAlive::AwaitingPong { until } if until <= now => Due::Gone,
            KeepAlive::Resting { .. } | KeepAlive::Leaving { .. } | KeepAlive::AwaitingPong { .. } => {
                Due::Nothing
            }
        }
    }

    /// A control message was handed out. The wait for a pong begins with its ping: what waited before that is not the client's doing.
    /// True where it was that.
    pub(super) fn handed_out(&mut self, limits: &SessionLimits, now: Monotonic) -> bool {
        let KeepAlive::Leaving { left } = self else { return false };
        *left = left.saturating_sub(1);
        let is_ping = *left == 0;
        if is_ping {
            *self = KeepAlive::AwaitingPong { until: now + limits.pong_timeout };
        }
        is_ping
    }

    pub(super) fn awaits_pong(&self) -> bool {
        matches!(self, KeepAlive::AwaitingPong { .. })
    }

    /// The ping may have left only now.
    pub(super) fn sent(&mut self, limits: &SessionLimits, now: Monotonic) {
        if let KeepAlive::AwaitingPong { until } = self {
            *until = (*until).max(now + limits.pong_timeout);
        }
    }

    /// No pong is missed before `at_least`. Whether that changes anything.
    pub(super) fn put_off(&mut self, at_least: Monotonic) -> bool {
        match self {
            KeepAlive::AwaitingPong { until } if *until < at_least => {
                *until = at_least;
                true
            }
            _ => false,
        }
    }

    /// A pong came. One that nobody asked for is ignored.
    pub(super) fn pong(&mut self, limits: &SessionLimits, now: Monotonic) {
        if let KeepAlive::AwaitingPong { .. } = self {
            *self = KeepAlive::start(limits, now);
        }
    }
}

//! Is the client still there?

use crate::limits::SessionLimits;
use crate::time::Moment;

/// Pings and pongs of an active connection.
///
/// ```text
/// authenticated ──► Resting ──interval──► AwaitingPong ──timeout──► gone
///                      ▲                       │
///                      └─────────pong──────────┘
/// ```
#[derive(Debug)]
pub(super) enum KeepAlive {
    Resting { ping_at: Moment },
    AwaitingPong { until: Moment },
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    Gone,
}

impl KeepAlive {
    pub(super) fn start(limits: &SessionLimits, now: Moment) -> KeepAlive {
        KeepAlive::Resting { ping_at: now + limits.ping_interval }
    }

    pub(super) fn deadline(&self) -> Moment {
        match *self {
            KeepAlive::Resting { ping_at } => ping_at,
            KeepAlive::AwaitingPong { until } => until,
        }
    }

    /// Steps over a deadline that has come. The next one counts from now, not from when this one was due: a
    /// late owner must not make the client late.
    pub(super) fn step(&mut self, limits: &SessionLimits, now: Moment) -> Due {
        match *self {
            KeepAlive::Resting { ping_at } if ping_at <= now => {
                *self = KeepAlive::AwaitingPong { until: now + limits.pong_timeout };
                Due::Ping
            }
            KeepAlive::AwaitingPong { until } if until <= now => Due::Gone,
            KeepAlive::Resting { .. } | KeepAlive::AwaitingPong { .. } => Due::Nothing,
        }
    }

    /// A pong came. One that nobody asked for is ignored.
    pub(super) fn pong(&mut self, limits: &SessionLimits, now: Moment) {
        if let KeepAlive::AwaitingPong { .. } = self {
            *self = KeepAlive::start(limits, now);
        }
    }
}

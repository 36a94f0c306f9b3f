//! All monotonic deadlines of a hub in one ordered structure.

use std::collections::BTreeSet;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use liveset_core::Monotonic;

use crate::ConnectionId;

/// Whose deadline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// A session's: authentication, ping, expiry.
    Connection(ConnectionId),
    /// The first of the feeds that are kept for clients that may resume.
    Linger,
    /// The first of the tasks that wait until their connection or subject may spend something again.
    Paced,
}

/// Invariant: `queue` and `armed` hold the same pairs.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Monotonic, Timer)>,
    armed: HashMap<Timer, Monotonic, FixedState>,
}

impl Timers {
    /// Sets, moves or clears one deadline: O(log n), nothing where it stays as it was.
    pub(crate) fn set(&mut self, timer: Timer, at: Option<Monotonic>) {
        let before = match at {
            Some(at) => self.armed.insert(timer, at),
            None => self.armed.remove(&timer),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, timer));
        }
        if let Some(at) = at {
            self.queue.insert((at, timer));
        }
    }

    pub(crate) fn next(&self) -> Option<Monotonic> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes every timer that is due at `now`, in the order of their moments.
    pub(crate) fn take_due(&mut self, now: Monotonic) -> Vec<Timer> {
        let mut due = Vec::new();
        while let Some(&(at, timer)) = self.queue.first() {
            if at > now {
                break;
            }
            self.queue.pop_first();
            self.armed.remove(&timer);
            due.push(timer);
        }
        due
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

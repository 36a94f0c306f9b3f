//! Sums over all connections, kept as they change: whoever reads them visits no connection.

use liveset_core::{Backlog, SessionState, SessionStats};

use crate::connections::Connection;

/// What all connections hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) authenticating: usize,
    pub(crate) closing: usize,
    pub(crate) subscriptions: usize,
    pub(crate) live_queries: usize,
    pub(crate) deferred: usize,
    pub(crate) backlog: Backlog,
    /// Of those that are gone, too.
    pub(crate) sessions: SessionStats,
}

impl Totals {
    /// What one connection holds.
    pub(crate) fn of(connection: &Connection) -> Self {
        let (authenticating, closing) = match connection.session.state() {
            SessionState::AwaitingAuth | SessionState::Verifying => (1, 0),
            SessionState::Active => (0, 0),
            SessionState::Draining | SessionState::Closing(_) | SessionState::Closed(_) => (0, 1),
        };
        Self {
            authenticating,
            closing,
            subscriptions: connection.held.subscriptions.len(),
            live_queries: connection.held.queries.len(),
            deferred: connection.deferred.len(),
            backlog: connection.session.backlog(),
            sessions: connection.session.stats(),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.authenticating += other.authenticating;
        self.closing += other.closing;
        self.subscriptions += other.subscriptions;
        self.live_queries += other.live_queries;
        self.deferred += other.deferred;
        self.backlog += other.backlog;
        self.sessions += other.sessions;
    }

    fn subtract(&mut self, other: &Self) {
        self.authenticating -= other.authenticating;
        self.closing -= other.closing;
        self.subscriptions -= other.subscriptions;
        self.live_queries -= other.live_queries;
        self.deferred -= other.deferred;
        self.backlog -= other.backlog;
        self.sessions -= other.sessions;
    }

    /// Counts a connection as what it is now, in place of what it was counted as. O(1).
    pub(crate) fn count(&mut self, connection: &mut Connection) {
        let now = Self::of(connection);
        let before = std::mem::replace(&mut connection.counted, now);
        self.add(&now);
        self.subtract(&before);
    }

    /// The connection is gone; what it did stays counted.
    pub(crate) fn leave(&mut self, connection: &Connection) {
        self.subtract(&connection.counted);
        self.sessions += connection.session.stats();
    }
}

//! Single connections and what they hold, as operators see them.

use std::sync::Arc;

use liveset_core::{Backlog, Query, SessionState};
use liveset_engine::{FeedId, Keeping};

use crate::{ConnectionId, Hub};

/// What a connection holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionUse {
    /// Whom it acts for, from the first accepted token on.
    pub subject: Option<Arc<str>>,
    /// The tenant of that one, if it has one.
    pub tenant: Option<Arc<str>>,
    /// How far its conversation is.
    pub state: SessionState,
    /// Its event subscriptions.
    pub subscriptions: usize,
    /// Its live queries.
    pub live_queries: usize,
    /// Bytes of the compiled filters and windows of these, and of the subscriptions.
    pub query_bytes: u64,
    /// Steps that each changed row costs them, of the set of which that is the most.
    pub standing_steps: u64,
    /// What waits for its transport.
    pub backlog: Backlog,
}

/// A live query that a connection holds.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HeldQueryUse<'a> {
    /// The result that it watches: live queries with the same are kept once.
    pub feed: FeedId,
    /// What was asked.
    pub query: &'a Arc<Query>,
    /// What the result costs while it is kept.
    pub keeping: Keeping,
}

impl Hub {
    /// What a connection holds; `None` where there is none. O(sets that it has live queries over).
    pub fn connection_use(&self, conn: ConnectionId) -> Option<ConnectionUse> {
        let connection = self.connections.find(conn)?;
        let held = &connection.held;
        Some(ConnectionUse {
            subject: connection.principal.as_ref().map(|who| who.subject.clone()),
            tenant: connection.principal.as_ref().and_then(|who| who.tenant.clone()),
            state: connection.session.state(),
            subscriptions: held.subscriptions.len(),
            live_queries: held.queries.len(),
            query_bytes: held.kept.bytes(),
            standing_steps: held.kept.standing_steps(),
            backlog: connection.session.backlog(),
        })
    }

    /// The live queries of a connection.
    pub fn queries_of(&self, conn: ConnectionId) -> impl Iterator<Item = HeldQueryUse<'_>> {
        let held =
            self.connections.find(conn).into_iter().flat_map(|connection| connection.held.queries.values());
        held.map(|held| HeldQueryUse { feed: held.feed, query: &held.query, keeping: held.keeping })
    }
}

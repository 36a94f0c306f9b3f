//! Who is connected, what it costs, and how one connection is ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use liveset_core::{Backlog, Query, SessionState};
use liveset_engine::Explain;
use liveset_hub::{ConnectionId, ConnectionUse, Principal};

use crate::address::ClientAddress;
use crate::contain::contain;
use crate::handle::{Liveset, internal, refused};
use crate::peer::Peer;
use crate::query::QueryError;

/// So many connections are looked at while the lock is held.
const AT_ONCE: usize = 64;

/// A connection over a WebSocket; see [`Liveset::connections`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// A number that no other connection has or had; in logs, the `id` of the span `connection`.
    pub id: u64,
    /// Whom it acts for, once its token was accepted.
    pub subject: Option<Arc<str>>,
    /// The tenant of that one, if it has one.
    pub tenant: Option<Arc<str>>,
    /// Where it comes from, if the host said so.
    pub address: Option<ClientAddress>,
    /// How long it is there.
    pub age: Duration,
    /// `authenticating`, `active` or `closing`.
    pub state: &'static str,
    /// Its event subscriptions.
    pub subscriptions: usize,
    /// Its live queries.
    pub live_queries: usize,
    /// Bytes of the compiled filters and windows of these, and of the subscriptions.
    pub query_bytes: u64,
    /// Steps that each changed row costs them, of the set of which that is the most.
    pub standing_steps: u64,
    /// What waits for its socket.
    pub waiting: Backlog,
}

/// A result that connections watch; see [`Liveset::live_queries`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveQueryInfo {
    /// What was asked, by the first of them. What the policy adds to it is not in it.
    pub query: Arc<Query>,
    /// How many live queries watch it.
    pub watchers: usize,
    /// One of the connections.
    pub connection: u64,
    /// Whom that acts for.
    pub subject: Option<Arc<str>>,
    who: Option<Principal>,
    /// Steps that each changed row of its set costs for it, about.
    pub standing_steps: u64,
    /// Bytes of its compiled filter and of the most that its window may hold.
    pub bytes: u64,
    /// Whether an index finds it: else every change is tried on it.
    pub is_indexed: bool,
}

impl Liveset {
    /// The connections that are open, in the order in which they came. O(connections), some at a time: those that come or go meanwhile
    /// may be in it or not.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let mut found = Vec::new();
        for some in self.shared.open_connections().chunks(AT_ONCE) {
            found.extend(self.shared.look_at_connections(some, ConnectionInfo::of));
        }
        found
    }

    /// The different results that connections watch, the dearest first: by the steps that a changed row costs for them, then by their
    /// bytes. O(live queries of all connections), some at a time.
    pub fn live_queries(&self) -> Vec<LiveQueryInfo> {
        let mut found: HashMap<_, LiveQueryInfo> = HashMap::new();
        for some in self.shared.open_connections().chunks(AT_ONCE) {
            self.shared.look(|hub| {
                for conn in some {
                    for held in hub.queries_of(*conn) {
                        let first = || LiveQueryInfo {
                            query: held.query.clone(),
                            watchers: 0,
                            connection: conn.number(),
                            subject: hub.principal(*conn).map(|who| who.subject.clone()),
                            who: hub.principal(*conn).cloned(),
                            standing_steps: held.keeping.standing_steps,
                            bytes: held.keeping.bytes,
                            is_indexed: !held.keeping.is_unindexed,
                        };
                        found.entry(held.feed).or_insert_with(first).watchers += 1;
                    }
                }
            });
        }
        let mut found: Vec<LiveQueryInfo> = found.into_values().collect();
        found.sort_by_key(|query| std::cmp::Reverse((query.standing_steps, query.bytes, query.watchers)));
        found
    }

    /// How changes find one of [`live_queries`](Self::live_queries), what the policy adds to it included, as
    /// [`explain`](Self::explain) says it. On nobody's account.
    ///
    /// # Errors
    ///
    /// Where it may not be asked any more.
    pub fn explain_live_query(&self, info: &LiveQueryInfo) -> Result<Explain, QueryError> {
        let (who, query) = (info.who.as_ref(), Query::clone(&info.query));
        let explained = contain(|| self.shared.parser.query(query))
            .and_then(|query| self.shared.run(|hub, now| hub.explain_for_host(now, who, &query)));
        explained.map_or_else(|_| Err(internal()), |result| result.map_err(refused))
    }

    /// Closes one connection, by its number, after what was queued for it was sent: close 1001, after which clients connect again. False
    /// where there is none. To end whatever somebody has, and keep them out, see [`revoke`](Self::revoke). O(connections).
    pub fn close_connection(&self, id: u64) -> bool {
        let found = self.shared.open_connections().into_iter().find(|conn| conn.number() == id);
        let Some(conn) = found else { return false };
        let _ = self.shared.run(|hub, now| hub.shutdown_one(now, conn));
        true
    }
}

fn state(state: &SessionState) -> &'static str {
    match state {
        SessionState::AwaitingAuth | SessionState::Verifying => "authenticating",
        SessionState::Active => "active",
        SessionState::Draining | SessionState::Closing(_) | SessionState::Closed(_) => "closing",
    }
}

impl ConnectionInfo {
    fn of(id: ConnectionId, held: ConnectionUse, peer: &Peer) -> Self {
        Self {
            id: id.number(),
            state: state(&held.state),
            subject: held.subject,
            tenant: held.tenant,
            address: peer.address(),
            age: peer.age(),
            subscriptions: held.subscriptions,
            live_queries: held.live_queries,
            query_bytes: held.query_bytes,
            standing_steps: held.standing_steps,
            waiting: held.backlog,
        }
    }
}

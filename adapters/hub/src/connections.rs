//! The connections: each a session, whom it acts for, and what it holds.

use std::sync::Arc;

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use liveset_core::{QuerySpec, Session, SubscriptionSpec, Ticket};
use liveset_engine::FeedId;

use crate::{ConnectionId, Principal};

/// All connections, in an order that is a function of what was done.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    connections: IndexMap<ConnectionId, Connection, FixedState>,
    made: u64,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) session: Session,
    /// There from the first accepted token on.
    pub(crate) principal: Option<Principal>,
    pub(crate) held: Held,
    /// The owner was told that there is something to send, and has not yet found that there is nothing more.
    pub(crate) signalled: bool,
    /// Live queries whose diffs go through the session until it has sent everything.
    pub(crate) behind: Vec<(FeedId, Ticket)>,
}

/// What a connection holds in the other tables. The session has the same in its own way; this is what the hub must
/// take back.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) subscriptions: IndexMap<Arc<str>, SubscriptionSpec, FixedState>,
    pub(crate) queries: IndexMap<Ticket, HeldQuery, FixedState>,
}

#[derive(Clone, Debug)]
pub(crate) struct HeldQuery {
    pub(crate) feed: FeedId,
    /// To ask the policy again.
    pub(crate) query: Arc<QuerySpec>,
    pub(crate) resumable: bool,
    /// The version from which the client wants to resume; until it is answered.
    pub(crate) since: Option<String>,
}

impl Connections {
    pub(crate) fn insert(&mut self, session: Session) -> ConnectionId {
        self.made += 1;
        let id = ConnectionId(self.made);
        let connection = Connection {
            session,
            principal: None,
            held: Held::default(),
            signalled: false,
            behind: Vec::new(),
        };
        self.connections.insert(id, connection);
        id
    }

    pub(crate) fn find(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(&id)
    }

    pub(crate) fn find_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        self.connections.swap_remove(&id)
    }

    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        self.connections.keys().copied().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }
}

//! The connections: each a session, whom it acts for, and what it holds.

pub(crate) mod totals;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use foldhash::fast::FixedState;
use indexmap::{IndexMap, IndexSet};
use liveset_core::{
    Etag, Hint, LiveQueryOptions, Monotonic, Query, Session, SessionState, Snapshot, SubscriptionSpec, Ticket,
};
use liveset_engine::{Engine, FeedId, Keeping};

use crate::{
    ConnectionId, HubLimits, Origin, Principal,
    budgets::{Kept, StepBudget},
    plans::{Scope, Scopes},
    subjects::{Holding, Share, Subjects},
    tenants::Tenants,
};
use totals::Totals;

/// All connections, in an order that is a function of what was done.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// Of each slot, whether something of a live query may wait in its session, or it is told of commits: then all goes there. Apart
    /// from the connections, since every diff for everyone looks here.
    queued: Vec<bool>,
    /// Each by itself, so that places for more take little.
    slots: Vec<Option<(u64, Box<Connection>)>>,
    free: Vec<u32>,
    made: u64,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) session: Session,
    /// Where it comes from.
    pub(crate) origin: Origin,
    /// There from the first accepted token on.
    pub(crate) principal: Option<Principal>,
    pub(crate) held: Held,
    /// What it may spend by the second.
    pub(crate) steps: StepBudget,
    /// What its principal may see of the sets that it has queries over, where that is a part.
    pub(crate) scopes: Scopes,
    /// Live queries that are to be planned again within what the principal may see now. While there are any, nothing of any live query
    /// is sent.
    pub(crate) rechecks: VecDeque<(Ticket, Scope)>,
    /// As what it is counted in the sums over all connections.
    pub(crate) counted: Totals,
    /// As what it is counted for its subject; see [`Connection::count`].
    pub(crate) share: Share,
    /// As what it is counted for the tenant of its subject.
    pub(crate) tenant_share: Share,
    /// The owner was told that there is something to send, and has not yet found that there is nothing more.
    pub(crate) signalled: bool,
    /// Live queries that it holds whose diffs go through the session until that has sent everything.
    pub(crate) behind: IndexSet<(FeedId, Ticket), FixedState>,
    /// Live queries whose changes of versions behind this one are still to come. While there are any, nothing of versions behind the
    /// first is sent of any live query.
    pub(crate) lags: BTreeSet<(u64, Ticket)>,
    /// Live queries whose result is there, and waits until the connection has taken those of others. Each once.
    pub(crate) deferred: VecDeque<Ticket>,
}

/// What a connection holds in the other tables. The session has the same in its own way; this is what the hub must
/// take back.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// In the order of their ids, not hashed: the client chooses those.
    pub(crate) subscriptions: BTreeMap<Arc<str>, SubscriptionSpec>,
    pub(crate) queries: IndexMap<Ticket, HeldQuery, FixedState>,
    /// What these cost while they are kept.
    pub(crate) kept: Kept,
    /// Bytes of the subscriptions.
    pub(crate) subscription_bytes: u64,
}

impl Held {
    pub(crate) fn subscribe(&mut self, subscription: SubscriptionSpec) {
        let bytes = subscription_bytes(&subscription);
        self.kept.set_bytes(0, bytes);
        self.subscription_bytes += bytes;
        self.subscriptions.insert(subscription.id.clone(), subscription);
    }

    pub(crate) fn unsubscribe(&mut self, id: &str) -> Option<SubscriptionSpec> {
        let subscription = self.subscriptions.remove(id)?;
        let bytes = subscription_bytes(&subscription);
        self.kept.set_bytes(bytes, 0);
        self.subscription_bytes -= bytes;
        Some(subscription)
    }

    pub(crate) fn insert(&mut self, ticket: Ticket, query: HeldQuery) {
        self.kept.add(&query.keeping);
        self.queries.insert(ticket, query);
    }

    /// A live query costs something else from here on.
    pub(crate) fn keep(&mut self, ticket: Ticket, keeping: Keeping) {
        if let Some(query) = self.queries.get_mut(&ticket) {
            self.kept.remove(&std::mem::replace(&mut query.keeping, keeping));
            self.kept.add(&keeping);
        }
    }

    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<HeldQuery> {
        let query = self.queries.swap_remove(&ticket)?;
        self.kept.remove(&query.keeping);
        Some(query)
    }
}

/// What a subscription takes, about: its texts are known here and in the session, and its path once more.
pub(crate) fn subscription_bytes(subscription: &SubscriptionSpec) -> u64 {
    let SubscriptionSpec { id, path, events } = subscription;
    let events: usize = events.iter().map(|event| EVENT_BYTES + event.len()).sum();
    (SUBSCRIPTION_BYTES + 2 * (id.len() + events) + 3 * path.len()) as u64
}

const SUBSCRIPTION_BYTES: usize = 2 * size_of::<SubscriptionSpec>() + 192;
const EVENT_BYTES: usize = 32;

#[derive(Clone, Debug)]
pub(crate) struct HeldQuery {
    pub(crate) feed: FeedId,
    /// What it costs.
    pub(crate) keeping: Keeping,
    pub(crate) id: Arc<str>,
    /// To ask the policy again.
    pub(crate) query: Arc<Query>,
    pub(crate) options: LiveQueryOptions,
    /// See [`identity`](crate::updates::identity).
    pub(crate) identity: Box<str>,
    /// Within what it was planned.
    pub(crate) scope: Scope,
    /// It is among those that are to be planned again.
    pub(crate) is_unchecked: bool,
    /// When it was asked for, or something was last done for its first result.
    pub(crate) worked_at: Monotonic,
    /// Where the principal may see something else than before: what the client has, until the new result is there.
    pub(crate) had: Option<Arc<Snapshot>>,
    /// What its answer needs, where it needs anything; until it is answered.
    pub(crate) first: Option<Box<First>>,
    /// It is among those that wait until the connection has taken the first rows of others.
    pub(crate) is_deferred: bool,
}

/// What the answer to a `createLiveQuery` needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct First {
    /// The version from which the client wants to resume.
    pub(crate) since: Option<String>,
    /// The etags of the rows that it has, to resume from where it cannot be by a version.
    pub(crate) have: Option<Vec<Etag>>,
    /// What is probably a mistake in the query, where the client asks for that.
    pub(crate) hints: Vec<Hint>,
}

impl Connection {
    /// Whether the conversation is over: nothing more is asked or held.
    pub(crate) fn is_over(&self) -> bool {
        match self.session.state() {
            SessionState::AwaitingAuth | SessionState::Verifying | SessionState::Active => false,
            SessionState::Draining | SessionState::Closing(_) | SessionState::Closed(_) => true,
        }
    }

    /// Whether the last commit was left untried on one of its live queries. O(its live queries) where any was.
    pub(crate) fn owes(&self, engine: &Engine) -> bool {
        engine.is_unfinished() && self.held.queries.values().any(|query| engine.owes(query.feed))
    }

    /// Whether it can be given first rows: it holds less than it may of those that it has not taken, or none.
    pub(crate) fn has_room(&self, limit: usize) -> bool {
        let held = self.session.initial_bytes();
        held == 0 || held < limit
    }

    /// A live query does not wait any more until others have taken their first rows.
    pub(crate) fn end_deferral(&mut self, ticket: Ticket, subjects: &mut Subjects) {
        self.deferred.retain(|deferred| *deferred != ticket);
        if self.deferred.is_empty() {
            subjects.end_deferral(&mut self.share);
        }
    }

    /// Counts the first rows that it has not taken for its subject, after whatever may have changed them.
    pub(crate) fn count_initial(&mut self, subjects: &mut Subjects) {
        subjects.set_initial(&mut self.share, self.session.initial_bytes());
    }

    /// Counts what it holds for its subject and its tenant, after whatever may have changed that.
    pub(crate) fn count(
        &mut self,
        now: Monotonic,
        subjects: &mut Subjects,
        tenants: &mut Tenants,
        limits: &HubLimits,
    ) {
        let who = self.principal.as_ref().filter(|_| !self.is_over());
        let Held { subscriptions, queries, subscription_bytes, .. } = &self.held;
        let holds = Holding {
            subscriptions: subscriptions.len(),
            live_queries: queries.len(),
            subscription_bytes: *subscription_bytes,
        };
        subjects.set(&mut self.share, now, who.map(|who| &who.subject), holds);
        let tenant = who.and_then(|who| who.tenant.as_ref());
        let is_first = tenant.is_some() && self.tenant_share.subject().is_none();
        tenants.set(&mut self.tenant_share, now, tenant, holds, limits);
        if is_first {
            // What it holds already was nobody's until now.
            for held in self.held.queries.values() {
                tenants.keep(&mut self.tenant_share, held.feed, &held.keeping);
            }
        }
    }
}

impl Connections {
    pub(crate) fn insert(&mut self, session: Session, origin: Origin, steps: StepBudget) -> ConnectionId {
        self.made += 1;
        let connection = Connection {
            session,
            origin,
            principal: None,
            held: Held::default(),
            steps,
            scopes: Scopes::new(),
            rechecks: VecDeque::new(),
            counted: Totals::default(),
            share: Share::default(),
            tenant_share: Share::default(),
            signalled: false,
            behind: IndexSet::default(),
            lags: BTreeSet::new(),
            deferred: VecDeque::new(),
        };
        let entry = Some((self.made, Box::new(connection)));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = entry;
                self.queued[slot as usize] = false;
                slot
            }
            None => {
                self.slots.push(entry);
                self.queued.push(false);
                (self.slots.len() - 1) as u32
            }
        };
        ConnectionId { made: self.made, slot }
    }

    pub(crate) fn find(&self, id: ConnectionId) -> Option<&Connection> {
        let (made, connection) = self.slots.get(id.slot())?.as_ref()?;
        (*made == id.made).then_some(connection)
    }

    pub(crate) fn find_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let (made, connection) = self.slots.get_mut(id.slot())?.as_mut()?;
        (*made == id.made).then_some(connection)
    }

    /// Whether all diffs for a connection go through its session. O(1).
    pub(crate) fn is_queued(&self, id: ConnectionId) -> bool {
        self.queued.get(id.slot()).is_some_and(|queued| *queued)
    }

    /// For a connection that is there.
    pub(crate) fn set_queued(&mut self, id: ConnectionId, is_queued: bool) {
        if let Some(queued) = self.queued.get_mut(id.slot()) {
            *queued = is_queued;
        }
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let slot = self.slots.get_mut(id.slot())?;
        let (_, connection) = slot.take_if(|(made, _)| *made == id.made)?;
        self.free.push(id.slot);
        if self.free.len() == self.slots.len() {
            // Nobody is left: what many connections once took is given back.
            (self.slots, self.free, self.queued) = Default::default();
        }
        Some(*connection)
    }

    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        let id = |(slot, entry): (usize, &Option<(u64, Box<Connection>)>)| {
            entry.as_ref().map(|(made, _)| ConnectionId { made: *made, slot: slot as u32 })
        };
        self.slots.iter().enumerate().filter_map(id).collect()
    }

    #[cfg(any(test, feature = "test-kit"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().flatten().map(|(_, connection)| &**connection)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(all(test, feature = "test-kit"))]
mod tests {
    use liveset_core::{LiveQueryRequest, Query};
    use liveset_engine::SetDef;

    use crate::{
        HubConfig,
        test_kit::{World, upsert},
    };

    /// A client that reads slowly, and makes and destroys another live query meanwhile.
    #[test]
    fn what_is_behind_is_forgotten_with_its_live_query() {
        let mut world = World::new(1, HubConfig::default());
        world.hub_mut().define_set(SetDef::new("orders")).expect("a set");
        world
            .commit((0..600).map(|id| upsert("orders", &format!(r#"{{"id":{id}}}"#))).collect())
            .expect("rows");
        world.set_room(1);
        let client = world.connect("a");
        world.settle();
        let request = |id: &str, limit| {
            let query = format!(r#"{{"edge":"orders","limit":{limit}}}"#);
            LiveQueryRequest::new(id, Query::parse(query.as_bytes()).expect("a query"))
        };
        world.stall(client);
        world.session(client).create_live_query(request("large", 1_000));
        world.settle();
        for _ in 0..50 {
            world.session(client).create_live_query(request("small", 1));
            world.settle();
            world.session(client).destroy_live_query("small");
            world.settle();
        }
        let conn = world.connection(client).expect("it is connected");
        let connection = world.hub().connections.find(conn).expect("it is there");
        assert_eq!((connection.held.queries.len(), connection.behind.len()), (1, 1));
    }
}

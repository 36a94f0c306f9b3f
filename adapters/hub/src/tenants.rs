//! Tenants: whose subjects share what they hold and spend.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use liveset_core::{
    Monotonic,
    model::{Limit, limit},
};
use liveset_engine::{FeedId, Keeping, Keyed};

use crate::{
    Hub, HubLimits, Principal,
    budgets::Kept,
    subjects::{Holding, Share, SubjectUse, Subjects},
};

/// Longer names of tenants are no names for metrics.
const NAME_BYTES: usize = 128;

/// On whose account something is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    /// The subject.
    pub subject: Arc<str>,
    /// Its tenant, if it has one.
    pub tenant: Option<Arc<str>>,
}

impl From<&Principal> for Payer {
    fn from(who: &Principal) -> Self {
        Self { subject: who.subject.clone(), tenant: who.tenant.clone() }
    }
}

/// What a tenant holds now, and what was spent for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TenantUse {
    /// Its name; [`OTHERS`](Self::OTHERS) for all together that have none here.
    pub name: Arc<str>,
    /// Authenticated connections of its subjects whose conversation is not over.
    pub connections: usize,
    /// Their live queries.
    pub live_queries: usize,
    /// Steps of work that were done for its subjects, since the hub was made: first results, plans, and queries that were asked once.
    pub steps: u64,
}

impl TenantUse {
    /// The name of all tenants without one: those that came when [`HubLimits::tenants_named`] others had, and those whose name is
    /// this, or longer than 128 bytes.
    pub const OTHERS: &str = "(others)";
}

/// What is counted for tenants.
#[derive(Debug)]
pub(crate) struct Tenants {
    /// Each is counted as if it were one subject.
    accounts: Subjects,
    /// Steps spent for those that have a name. Never forgotten: counters do not go back.
    named: BTreeMap<Arc<str>, u64>,
    /// Steps spent for the others.
    others: u64,
    /// Of all tenants.
    connections: usize,
    live_queries: usize,
}

impl Tenants {
    pub(crate) fn new(keyed: Keyed, rate: u64) -> Self {
        let accounts = Subjects::new(keyed, rate);
        Self { accounts, named: BTreeMap::new(), others: 0, connections: 0, live_queries: 0 }
    }

    pub(crate) fn of(&self, tenant: &str) -> SubjectUse {
        self.accounts.of(tenant)
    }

    /// What its subjects keep together, where a live query of this feed is none of it yet.
    pub(crate) fn kept_without(&self, tenant: &str, feed: Option<FeedId>) -> Option<&Kept> {
        let has = feed.is_some_and(|feed| self.accounts.has(tenant, feed));
        self.accounts.kept(tenant).filter(|_| !has)
    }

    /// Bytes that the subjects of a tenant keep together.
    pub(crate) fn bytes_of(&self, tenant: &str) -> u64 {
        self.accounts.kept(tenant).map_or(0, Kept::bytes)
    }

    /// Counts a connection as what it is now; see [`Subjects::set`].
    pub(crate) fn set(
        &mut self,
        share: &mut Share,
        now: Monotonic,
        tenant: Option<&Arc<str>>,
        holds: Holding,
        limits: &HubLimits,
    ) {
        if tenant.is_none() && share.subject().is_none() {
            return;
        }
        if let Some(tenant) = tenant {
            self.give_name(tenant, limits);
        }
        let before = share.counts();
        self.accounts.set(share, now, tenant, holds);
        let after = share.counts();
        self.connections = self.connections - before.0 + after.0;
        self.live_queries = self.live_queries - before.1 + after.1;
    }

    pub(crate) fn keep(&mut self, share: &mut Share, feed: FeedId, keeping: &Keeping) {
        self.accounts.keep(share, feed, keeping);
    }

    pub(crate) fn let_go(&mut self, share: &mut Share, feed: FeedId) {
        self.accounts.let_go(share, feed);
    }

    fn charge(&mut self, tenant: &Arc<str>, now: Monotonic, steps: u64, limits: &HubLimits) -> Duration {
        self.give_name(tenant, limits);
        *self.named.get_mut(tenant).unwrap_or(&mut self.others) += steps;
        self.accounts.charge(tenant, now, steps)
    }

    fn give_name(&mut self, tenant: &Arc<str>, limits: &HubLimits) {
        let is_name = tenant.len() <= NAME_BYTES && **tenant != *TenantUse::OTHERS;
        if self.named.len() < limits.tenants_named && is_name && !self.named.contains_key(tenant) {
            self.named.insert(tenant.clone(), 0);
        }
    }

    /// Those that have a name, in its order, then the others together, if there are any. O(named tenants).
    pub(crate) fn uses(&self) -> Vec<TenantUse> {
        let mut others = TenantUse {
            name: TenantUse::OTHERS.into(),
            connections: self.connections,
            live_queries: self.live_queries,
            steps: self.others,
        };
        let mut uses = Vec::with_capacity(self.named.len() + 1);
        for (name, steps) in &self.named {
            let SubjectUse { connections, live_queries, .. } = self.of(name);
            others.connections -= connections;
            others.live_queries -= live_queries;
            uses.push(TenantUse { name: name.clone(), connections, live_queries, steps: *steps });
        }
        if (others.connections, others.steps) != (0, 0) {
            uses.push(others);
        }
        uses
    }
}

impl Hub {
    /// Steps were spent for somebody. Returns for how long nothing more may be.
    pub(crate) fn charge(&mut self, payer: &Payer, now: Monotonic, steps: u64) -> Duration {
        let wait = self.subjects.charge(&payer.subject, now, steps);
        let of_tenant = |tenant| self.tenants.charge(tenant, now, steps, &self.limits);
        wait.max(payer.tenant.as_ref().map_or(Duration::ZERO, of_tenant))
    }

    /// For how long nothing more may be spent for somebody, and the limit by which.
    pub(crate) fn wait_of(&mut self, payer: &Payer, now: Monotonic) -> (Duration, &'static Limit) {
        let of_subject = self.subjects.wait(&payer.subject, now);
        let of_tenant = |tenant: &Arc<str>| self.tenants.accounts.wait(tenant, now);
        match payer.tenant.as_ref().map_or(Duration::ZERO, of_tenant) {
            longer if longer > of_subject => (longer, limit!(HubLimits.steps_per_second_per_tenant)),
            _ => (of_subject, limit!(HubLimits.steps_per_second_per_subject)),
        }
    }

    /// Whether what is counted for tenants is what a look at each connection gives.
    ///
    /// # Panics
    ///
    /// It is not.
    #[cfg(any(test, feature = "test-kit"))]
    pub(crate) fn check_tenants(&self) {
        let mut visited: BTreeMap<&str, (SubjectUse, BTreeMap<FeedId, u64>)> = BTreeMap::new();
        for connection in self.connections.iter().filter(|connection| !connection.is_over()) {
            let Some(tenant) = connection.principal.as_ref().and_then(|who| who.tenant.as_deref()) else {
                continue;
            };
            let (all, feeds) = visited.entry(tenant).or_default();
            all.connections += 1;
            all.live_queries += connection.held.queries.len();
            all.query_bytes += connection.held.subscription_bytes;
            feeds.extend(connection.held.queries.values().map(|held| (held.feed, held.keeping.bytes)));
        }
        let mut all = (0, 0);
        for (tenant, (visited, feeds)) in visited {
            let held = self.tenants.of(tenant);
            let bytes = feeds.values().sum::<u64>() + visited.query_bytes;
            let expected = (visited.connections, visited.live_queries, bytes);
            assert_eq!((held.connections, held.live_queries, held.query_bytes), expected, "{tenant}");
            all = (all.0 + visited.connections, all.1 + visited.live_queries);
        }
        assert_eq!((self.tenants.connections, self.tenants.live_queries), all);
    }
}

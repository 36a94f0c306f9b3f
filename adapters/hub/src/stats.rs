//! Counts for metrics, and for tests that assert on work instead of time.

use liveset_core::{Backlog, SessionStats, model::Refusals};

use crate::{Hub, TenantUse, connections::totals::Totals, delays::Delays, holds::Holds};

/// What a hub holds now, and what its engine has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections, in whatever state.
    pub connections: usize,
    /// Of those, the ones that have not authenticated yet.
    pub authenticating: usize,
    /// Of those, the ones that are on their way out.
    pub closing: usize,
    /// What waits in all sessions for their transports.
    pub backlog: Backlog,
    /// Event subscriptions of all connections.
    pub subscriptions: usize,
    /// Distinct paths with a subscription.
    pub subscribed_paths: usize,
    /// Live queries of all connections.
    pub live_queries: usize,
    /// Live queries inside the process.
    pub watches: usize,
    /// Of both kinds of live queries, those that wait for their first result: because it is being made, or because the connection has
    /// others to take first.
    pub waiting: usize,
    /// Of those, the ones whose result is there, for connections that have not taken the first rows of others.
    pub deferred: usize,
    /// Clients that wait for a position which is still to come: those that were given up may be counted for a while.
    pub awaited: usize,
    /// Distinct live queries that are maintained, those kept for clients that may resume included.
    pub feeds: usize,
    /// Feeds that are kept for clients that may resume, whether or not others watch them too.
    pub lingering_feeds: usize,
    /// Changes remembered for clients that may resume.
    pub resume_log_changes: usize,
    /// Bytes of those, as `HubLimits::resume_log_bytes` counts them.
    pub resume_log_bytes: usize,
    /// Subjects with an authenticated connection.
    pub subjects: usize,
    /// Tenants that have a name here, and all others together, if there are any.
    pub tenants: Vec<TenantUse>,
    /// Bytes of compiled filters, windows and subscriptions of all subjects, as `HubLimits::query_bytes` counts them.
    pub query_bytes: u64,
    /// How often each limit has refused something, since the hub was made: of sessions, of the hub, and of the engine where a live query was asked for.
    pub refusals: Refusals,
    /// Monotonic deadlines waited for.
    pub deadlines: usize,
    /// Live queries that were resumed, since the hub was made.
    pub resumed: u64,
    /// Resumes that had to be answered by a snapshot, since the hub was made.
    pub resumes_missed: u64,
    /// Events published, since the hub was made.
    pub events: u64,
    /// Batches of the engine handed to watchers, each counted once however many watch, since the hub was made.
    pub batches: u64,
    /// Messages of those that went past a session, written once for all, since the hub was made.
    pub handed_past: u64,
    /// Queries that were forbidden because a row filter of the policy is wrong, whoever asks, since the hub was made.
    pub broken_restrictions: u64,
    /// Plans of queries made, since the hub was made.
    pub planned: u64,
    /// Filters parsed by the hub itself, since it was made: those that no [`Parser`](crate::Parser) had read, and row filters of the policy.
    pub parsed: u64,
    /// Feeds that were kept for clients that may resume, and given up because that had cost as much as making them again, since the hub
    /// was made.
    pub given_up: u64,
    /// What all sessions did, those that are gone included, since the hub was made. What went past them is not in it.
    pub sessions: SessionStats,
    /// The steps that inputs took while the owner's lock was held, by their kind, since the hub was made.
    pub holds: Holds,
    /// What lay between commits and the handing of their diffs, each result counted once for each commit that changed it, since the hub
    /// was made.
    pub delays: Delays,
    /// The engine's own.
    pub engine: liveset_engine::Stats,
}

impl Hub {
    /// Counts of what is held and what was done. No connection is visited: O(sets + columns that queries are found by + named tenants).
    pub fn stats(&self) -> Stats {
        let Totals { authenticating, closing, subscriptions, live_queries, deferred, backlog, sessions } =
            self.totals;
        Stats {
            connections: self.connections.len(),
            authenticating,
            closing,
            backlog,
            sessions,
            subscriptions,
            subscribed_paths: self.routes.len(),
            live_queries,
            watches: self.watches.len(),
            waiting: self.feeds.waiting(),
            awaited: self.sources.awaited(),
            deferred,
            feeds: self.feeds.len(),
            lingering_feeds: self.feeds.lingering(),
            resume_log_changes: self.feeds.log_cost().changes,
            resume_log_bytes: self.feeds.log_cost().bytes,
            subjects: self.subjects.len(),
            tenants: self.tenants.uses(),
            query_bytes: self.subjects.bytes(),
            refusals: self.counts.refusals.clone(),
            holds: self.counts.holds,
            delays: self.counts.delays,
            deadlines: self.timers.len(),
            resumed: self.counts.resumed,
            resumes_missed: self.counts.resumes_missed,
            events: self.counts.events,
            batches: self.counts.batches,
            handed_past: self.counts.handed_past,
            broken_restrictions: self.counts.broken_restrictions,
            planned: self.counts.planned,
            parsed: self.counts.parsed,
            given_up: self.counts.given_up,
            engine: self.engine.stats(),
        }
    }

    /// Whether the sums over all connections are what a look at each of them gives. For tests.
    ///
    /// # Panics
    ///
    /// They are not.
    #[cfg(any(test, feature = "test-kit"))]
    pub fn check_totals(&self) {
        let mut visited = Totals::default();
        self.connections.iter().for_each(|connection| visited.add(&Totals::of(connection)));
        // What those did that are gone is known in the sums alone.
        assert_eq!(Totals { sessions: visited.sessions, ..self.totals }, visited);
        self.feeds.check();
        self.check_tenants();
    }
}

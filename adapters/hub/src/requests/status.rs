//! The status of sets, and live queries that wait for sets that are loading.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use liveset_core::{Monotonic, Refusal, SetStatus, Ticket, model::limit};
use thiserror::Error;

use super::live_queries::Asked;
use crate::{
    ConnectionId, Hub, HubLimits, Now, feeds::Watcher, plans::planning_steps, refusals::still_loading,
    timers::Timer,
};

/// Why a set cannot have a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StatusError {
    /// There is no such set.
    #[error("there is no such set")]
    UnknownSet,
    /// A set that has been live does not go back to loading: it is stale.
    #[error("a set that has been live does not load again")]
    WasLive,
}

/// Sets of which a status was told: all others are live.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    sets: BTreeMap<Box<str>, SetStatus>,
    /// Live queries over sets that are loading, and until when they wait.
    parked: BTreeMap<(ConnectionId, Ticket), (Asked, Option<Monotonic>)>,
    deadlines: BTreeSet<(Monotonic, ConnectionId, Ticket)>,
    /// Those whose set has loaded, and which have their turns now; some of them may have gone.
    ready: VecDeque<(ConnectionId, Ticket)>,
}

impl Statuses {
    /// The status of a set.
    pub(crate) fn of(&self, set: &str) -> &SetStatus {
        self.sets.get(set).unwrap_or(&SetStatus::Live)
    }

    fn park(&mut self, conn: ConnectionId, asked: Asked, until: Option<Monotonic>) {
        self.deadlines.extend(until.map(|until| (until, conn, asked.ticket)));
        self.parked.insert((conn, asked.ticket), (asked, until));
    }

    /// Takes out a live query, which may wait.
    pub(crate) fn unpark(&mut self, conn: ConnectionId, ticket: Ticket) -> Option<Asked> {
        let (asked, until) = self.parked.remove(&(conn, ticket))?;
        until.map(|until| self.deadlines.remove(&(until, conn, ticket)));
        Some(asked)
    }

    /// Those that wait for a set have their turns from now on.
    fn release(&mut self, set: &str) {
        let of_set = self.parked.iter().filter(|(_, (asked, _))| asked.query.set == set);
        self.ready.extend(of_set.map(|(key, _)| *key));
    }

    /// Whether some have their turns.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes out the next one whose turn it is.
    fn next_ready(&mut self) -> Option<(ConnectionId, Asked)> {
        while let Some((conn, ticket)) = self.ready.pop_front() {
            if let Some(asked) = self.unpark(conn, ticket) {
                return Some((conn, asked));
            }
        }
        None
    }

    /// Nothing of a connection waits any more.
    pub(crate) fn forget(&mut self, conn: ConnectionId) {
        while let Some(ticket) = self.first_of(conn) {
            self.unpark(conn, ticket);
        }
    }

    fn first_of(&self, conn: ConnectionId) -> Option<Ticket> {
        let ((_, ticket), _) =
            self.parked.range((conn, Ticket::FIRST)..).next().filter(|((of, _), _)| *of == conn)?;
        Some(*ticket)
    }
}

impl Hub {
    /// The status of a set; a set that no source has told of is live.
    pub fn status(&self, set: &str) -> &SetStatus {
        self.statuses.of(set)
    }

    /// A source tells the status of its set. While it is loading live queries wait, for [`HubLimits::loading_wait`] or, where they have
    /// asked to be told the status, for as long as it takes; queries are refused. Those that have waited are created in slices
    /// ([`handle_timeout`](Self::handle_timeout)). O(live queries).
    ///
    /// # Errors
    ///
    /// There is no such set, or it is to load again.
    pub fn set_status(&mut self, now: Now, set: &str, status: SetStatus) -> Result<(), StatusError> {
        if !self.set_names().any(|name| name == set) {
            return Err(StatusError::UnknownSet);
        }
        let is_loading = status == SetStatus::Loading;
        if is_loading && self.statuses.sets.get(set).is_some_and(|before| *before != SetStatus::Loading) {
            return Err(StatusError::WasLive);
        }
        self.statuses.sets.insert(set.into(), status.clone());
        for conn in self.connections.ids() {
            let Some(connection) = self.connections.find_mut(conn) else { continue };
            let mut has_news = false;
            for (ticket, _) in connection.held.queries.iter().filter(|(_, held)| held.query.set == set) {
                connection.session.live_query_status(*ticket, &status);
                has_news = true;
            }
            if has_news {
                self.unsettled.push_back(conn);
            }
        }
        if !is_loading {
            self.statuses.release(set);
        }
        self.timers.set(Timer::Loading, self.statuses.deadlines.first().map(|(at, ..)| *at));
        self.settle_all(now);
        Ok(())
    }

    /// Creates live queries whose set has loaded, for about `left` steps. Returns how many it took.
    pub(crate) fn create_ready(&mut self, now: Now, left: u64) -> u64 {
        let mut taken = 0;
        while taken < left
            && let Some((conn, asked)) = self.statuses.next_ready()
        {
            let before = self.steps();
            let planned = planning_steps(&asked.query, self.query_limits.expression_bytes);
            self.create_or_refuse(now, conn, asked);
            self.unsettled.push_back(conn);
            taken += planned + (self.steps() - before);
        }
        self.timers.set(Timer::Loading, self.statuses.deadlines.first().map(|(at, ..)| *at));
        taken
    }

    /// Creates a live query, once its set has been live.
    pub(super) fn create_in_time(&mut self, now: Now, conn: ConnectionId, asked: Asked) {
        if *self.statuses.of(&asked.query.set) != SetStatus::Loading {
            return self.create_or_refuse(now, conn, asked);
        }
        let (ticket, id) = (asked.ticket, asked.id.clone());
        if let Err(refusal) = self.park(now, conn, asked) {
            self.refuse_query(now, conn, ticket, &id, refusal);
        }
    }

    fn create_or_refuse(&mut self, now: Now, conn: ConnectionId, asked: Asked) {
        let (ticket, id) = (asked.ticket, asked.id.clone());
        if let Err(refusal) = self.create(now, conn, asked) {
            self.refuse_query(now, conn, ticket, &id, refusal);
        }
    }

    /// Lets a live query wait whose set is loading; one that is wrong or not allowed is told so at once.
    fn park(&mut self, now: Now, conn: ConnectionId, asked: Asked) -> Result<(), Refusal> {
        let who = self.connections.find(conn).and_then(|connection| connection.principal.clone());
        let Some(who) = who else { return Ok(()) };
        let steps = planning_steps(&asked.query, self.query_limits.expression_bytes);
        self.spend(now, Watcher::Connection(conn, asked.ticket), steps);
        let (wait, limit) = self.wait(now, conn);
        if wait > self.limits.overdraft {
            return Err(self.overdrawn(limit));
        }
        let known = self.known_scope(conn, &asked.query.set);
        self.permitted(&who, &asked.query, asked.ahead.get(), asked.options.counts, known.as_ref())?;
        if let Some(connection) = self.connections.find_mut(conn) {
            connection.session.live_query_status(asked.ticket, &SetStatus::Loading);
            connection.session.let_live_query_wait(now.monotonic, asked.ticket);
        }
        let until = now.monotonic.saturating_add(self.limits.loading_wait);
        let until = Some(until).filter(|_| !asked.options.status);
        self.statuses.park(conn, asked, until);
        self.timers.set(Timer::Loading, self.statuses.deadlines.first().map(|(at, ..)| *at));
        Ok(())
    }

    /// Refuses live queries that have waited too long for their set.
    pub(crate) fn give_up_loading(&mut self, now: Now) {
        while let Some((_, conn, ticket)) =
            self.statuses.deadlines.first().copied().filter(|(at, ..)| *at <= now.monotonic)
        {
            let Some(asked) = self.statuses.unpark(conn, ticket) else { return };
            self.counts.refusals.count(limit!(HubLimits.loading_wait));
            self.refuse_query(now, conn, ticket, &asked.id, still_loading(&asked.query.set));
            self.unsettled.push_back(conn);
        }
        self.timers.set(Timer::Loading, self.statuses.deadlines.first().map(|(at, ..)| *at));
        self.settle_all(now);
    }
}

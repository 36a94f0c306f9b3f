//! The status of sets, and live queries that wait: for sets that are loading, and for their turn where many are created.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use liveset_core::{Ahead, Monotonic, Refusal, SetStatus, Ticket, model::limit};
use thiserror::Error;

use super::live_queries::Asked;
use crate::{
    ConnectionId, Hub, HubLimits, Now, Origin, Principal,
    feeds::Watcher,
    plans::planning_steps,
    refusals::{no_room_to_wait, not_admitted, still_loading, too_many_of_subject},
    subjects::Parked,
    timers::Timer,
    turns::{Line, Ring, Turns},
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
    /// Live queries that wait.
    parked: BTreeMap<(ConnectionId, Ticket), Waiting>,
    /// How many of them each subject has, and their bytes.
    of_subjects: BTreeMap<Arc<str>, (usize, u64)>,
    bytes: u64,
    deadlines: BTreeSet<(Monotonic, ConnectionId, Ticket)>,
    /// Those whose set is there, and which have their turns; some of them may have gone.
    ready: Ready,
    /// No turn comes before the hub may spend something again.
    is_held_back: bool,
}

/// Turns go round as those of [tasks](crate::work::Tasks) do.
type Ready = Ring<Option<Arc<str>>, Ring<Origin, Ring<ConnectionId, Line<Ticket>>>>;

/// A live query that waits.
#[derive(Debug)]
struct Waiting {
    asked: Asked,
    subject: Arc<str>,
    bytes: u64,
    until: Option<Monotonic>,
}

impl Statuses {
    /// The status of a set.
    pub(crate) fn of(&self, set: &str) -> &SetStatus {
        self.sets.get(set).unwrap_or(&SetStatus::Live)
    }

    fn park(&mut self, conn: ConnectionId, waiting: Waiting) {
        let ticket = waiting.asked.ticket;
        self.deadlines.extend(waiting.until.map(|until| (until, conn, ticket)));
        let (count, bytes) = self.of_subjects.entry(waiting.subject.clone()).or_default();
        *count += 1;
        *bytes += waiting.bytes;
        self.bytes += waiting.bytes;
        self.parked.insert((conn, ticket), waiting);
    }

    /// Takes out a live query, which may wait.
    pub(crate) fn unpark(&mut self, conn: ConnectionId, ticket: Ticket) -> Option<Asked> {
        let Waiting { asked, subject, bytes: taken, until } = self.parked.remove(&(conn, ticket))?;
        until.map(|until| self.deadlines.remove(&(until, conn, ticket)));
        self.bytes -= taken;
        if let Some((count, bytes)) = self.of_subjects.get_mut(&subject) {
            *count -= 1;
            *bytes -= taken;
            if *count == 0 {
                self.of_subjects.remove(&subject);
            }
        }
        Some(asked)
    }

    /// How many of a subject wait.
    fn count_of(&self, subject: &str) -> usize {
        self.of_subjects.get(subject).map_or(0, |(count, _)| *count)
    }

    /// The bytes that are held: O(live queries of the connection that wait).
    pub(super) fn held(&self, conn: ConnectionId, subject: Option<&Arc<str>>) -> Parked {
        let of_connection = self.waiting_of(conn).map(|(_, waiting)| waiting.bytes).sum();
        let of_subject =
            subject.and_then(|subject| self.of_subjects.get(subject)).map_or(0, |(_, bytes)| *bytes);
        Parked { of_connection, of_subject, of_all: self.bytes }
    }

    /// Those that wait for a set.
    fn waiting_for(&self, set: &str) -> Vec<(ConnectionId, Ticket)> {
        let of_set = self.parked.iter().filter(|(_, waiting)| waiting.asked.query.set == set);
        of_set.map(|(key, _)| *key).collect()
    }

    /// Whether some have their turns now.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty() && !self.is_held_back
    }

    /// Turns go on.
    pub(crate) fn let_on(&mut self) {
        self.is_held_back = false;
    }

    /// Takes out the next one whose turn it is.
    fn next_ready(&mut self) -> Option<(ConnectionId, Asked)> {
        while let Some(((_, (_, (conn, ()))), ticket)) = self.ready.next() {
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
        self.waiting_of(conn).next().map(|(ticket, _)| ticket)
    }

    fn waiting_of(&self, conn: ConnectionId) -> impl Iterator<Item = (Ticket, &Waiting)> {
        let from = self.parked.range((conn, Ticket::FIRST)..);
        from.take_while(move |((of, _), _)| *of == conn).map(|((_, ticket), waiting)| (*ticket, waiting))
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
        self.leave_status_alone(set);
        self.tell_statuses(now, &BTreeSet::from([Box::from(set)]), &status);
        Ok(())
    }

    /// The same for sets that may have the status.
    pub(crate) fn tell_statuses(&mut self, now: Now, sets: &BTreeSet<Box<str>>, status: &SetStatus) {
        for set in sets {
            self.statuses.sets.insert(set.clone(), status.clone());
            if *status != SetStatus::Loading {
                for (conn, ticket) in self.statuses.waiting_for(set) {
                    self.statuses.ready.push(self.place(conn), ticket);
                }
            }
        }
        for conn in self.connections.ids() {
            let Some(connection) = self.connections.find_mut(conn) else { continue };
            let mut has_news = false;
            for (ticket, held) in &connection.held.queries {
                if sets.contains(&*held.query.set) {
                    connection.session.live_query_status(*ticket, status);
                    has_news = true;
                }
            }
            if has_news {
                self.unsettled.push_back(conn);
            }
        }
        self.timers.set(Timer::Loading, self.statuses.deadlines.first().map(|(at, ..)| *at));
        self.settle_all(now);
    }

    /// Creates live queries whose set has loaded, for about `left` steps. Returns how many it took.
    pub(crate) fn create_ready(&mut self, now: Now, left: u64) -> u64 {
        let mut taken = 0;
        while taken < left {
            let wait = self.first_steps.wait(self.limits.first_steps_per_second, now.monotonic);
            if !wait.is_zero() {
                self.statuses.is_held_back = true;
                self.timers.set(Timer::Admission, Some(now.monotonic.saturating_add(wait)));
                break;
            }
            let Some((conn, asked)) = self.statuses.next_ready() else { break };
            let before = self.steps();
            let planned = planning_steps(&asked.query, self.query_limits.expression_bytes);
            self.create_or_refuse(now, conn, asked);
            self.unsettled.push_back(conn);
            taken += planned + (self.steps() - before);
        }
        self.timers.set(Timer::Loading, self.statuses.deadlines.first().map(|(at, ..)| *at));
        taken
    }

    /// Creates a live query, once its set has been live and it is its turn.
    pub(super) fn create_in_time(&mut self, now: Now, conn: ConnectionId, asked: Asked) {
        let is_loading = *self.statuses.of(&asked.query.set) == SetStatus::Loading;
        let mut may_spend =
            || self.first_steps.wait(self.limits.first_steps_per_second, now.monotonic).is_zero();
        if !is_loading && self.statuses.ready.is_empty() && may_spend() {
            return self.create_or_refuse(now, conn, asked);
        }
        let (ticket, id) = (asked.ticket, asked.id.clone());
        match self.park(now, conn, asked, is_loading) {
            Ok(()) if is_loading => {}
            Ok(()) => self.statuses.ready.push(self.place(conn), ticket),
            Err(refusal) => self.refuse_query(now, conn, ticket, &id, refusal),
        }
    }

    fn create_or_refuse(&mut self, now: Now, conn: ConnectionId, asked: Asked) {
        let (ticket, id) = (asked.ticket, asked.id.clone());
        if let Err(refusal) = self.create(now, conn, asked) {
            self.refuse_query(now, conn, ticket, &id, refusal);
        }
    }

    /// Lets a live query wait. Where its set is loading, one that is wrong or not allowed is told so at once; where it waits for its turn,
    /// that would be work for it before its turn. It counts as one of its subject, and the bytes of its texts as those of live queries.
    fn park(
        &mut self,
        now: Now,
        conn: ConnectionId,
        mut asked: Asked,
        is_loading: bool,
    ) -> Result<(), Refusal> {
        let who = self.connections.find(conn).and_then(|connection| connection.principal.clone());
        let Some(who) = who else { return Ok(()) };
        let limit = self.limits.live_queries_per_subject;
        if self.subjects.of(&who.subject).live_queries + self.statuses.count_of(&who.subject) >= limit {
            self.counts.refusals.count(limit!(HubLimits.live_queries_per_subject));
            return Err(too_many_of_subject(limit, "live queries", None));
        }
        self.room_of_tenant(&who)?;
        let Some(connection) = self.connections.find(conn) else { return Ok(()) };
        let (bytes, parked) = (asked.bytes(), self.statuses.held(conn, Some(&who.subject)));
        let room = self.subjects.room(&connection.share, &connection.held.kept, parked, &self.limits);
        if bytes > room.left {
            self.counts.refusals.count(room.limit);
            return Err(no_room_to_wait(bytes, room, &asked.query.set));
        }
        if is_loading {
            self.check_loading(now, conn, &who, &asked)?;
        }
        if let Some(connection) = self.connections.find_mut(conn) {
            if is_loading {
                connection.session.live_query_status(asked.ticket, &SetStatus::Loading);
            }
            connection.session.let_live_query_wait(now.monotonic, asked.ticket);
        }
        let until = match is_loading {
            true if asked.options.status => None,
            true => Some(now.monotonic.saturating_add(self.limits.loading_wait)),
            false => Some(now.monotonic.saturating_add(self.limits.admission_wait)),
        };
        // What was parsed takes many times what the text does, and waits for longer than it took to make.
        asked.ahead = Ahead::default();
        self.statuses.park(conn, Waiting { asked, subject: who.subject, bytes, until });
        self.timers.set(Timer::Loading, self.statuses.deadlines.first().map(|(at, ..)| *at));
        Ok(())
    }

    /// Refuses a live query of a set that is loading which is wrong, not allowed, or too much.
    fn check_loading(
        &mut self,
        now: Now,
        conn: ConnectionId,
        who: &Principal,
        asked: &Asked,
    ) -> Result<(), Refusal> {
        let steps = planning_steps(&asked.query, self.query_limits.expression_bytes);
        self.spend(now, Watcher::Connection(conn, asked.ticket), steps);
        let (wait, limit) = self.wait(now, conn);
        if wait > self.limits.overdraft {
            return Err(self.overdrawn(limit));
        }
        let known = self.known_scope(conn, &asked.query.set);
        self.permitted(who, &asked.query, asked.ahead.get(), asked.options.counts, known.as_ref())?;
        Ok(())
    }

    /// Refuses live queries that have waited too long for their set, or for their turn.
    pub(crate) fn give_up_loading(&mut self, now: Now) {
        while let Some((_, conn, ticket)) =
            self.statuses.deadlines.first().copied().filter(|(at, ..)| *at <= now.monotonic)
        {
            let Some(asked) = self.statuses.unpark(conn, ticket) else { return };
            let refusal = match self.statuses.of(&asked.query.set) {
                SetStatus::Loading => {
                    self.counts.refusals.count(limit!(HubLimits.loading_wait));
                    still_loading(&asked.query.set)
                }
                _ => {
                    self.counts.refusals.count(limit!(HubLimits.admission_wait));
                    not_admitted()
                }
            };
            self.refuse_query(now, conn, ticket, &asked.id, refusal);
            self.unsettled.push_back(conn);
        }
        self.timers.set(Timer::Loading, self.statuses.deadlines.first().map(|(at, ..)| *at));
        self.settle_all(now);
    }
}

//! What is put off and done in slices, and whose turn it is.

use std::{sync::Arc, time::Duration};

use liveset_core::{
    Monotonic, Ticket,
    model::{Limit, limit},
};
use liveset_engine::{Allowance, FeedId, Plan};

use crate::{
    ConnectionId, Hub, HubLimits, Now, Origin, Payer,
    budgets::Kept,
    feeds::Watcher,
    holds::Input,
    limits::share,
    timers::Timer,
    turns::{Line, Ring, Turns},
    whole,
};

/// Turns go round by subject, then by where connections come from, then by connection. The host's own live queries have the turns of one
/// subject, `None`.
pub(crate) type Tasks = Ring<Option<Arc<str>>, Ring<Origin, Ring<ConnectionId, Line<Task>>>>;

/// What a turn costs of a hold, whatever is done in it.
const STEPS_PER_TURN: u64 = 8;

/// Where a connection's tasks wait.
pub(crate) type Place = (Option<Arc<str>>, (Origin, (ConnectionId, ())));

/// Something that was put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Make the first result that a watcher waits for.
    Fill(Watcher),
    /// Plan live queries of the connection again.
    Recheck,
}

impl Hub {
    /// Whether something was put off: live queries over many rows wait for their result, or a connection that acts for somebody else
    /// waits for what that one may see.
    pub(crate) fn has_work(&self) -> bool {
        !self.tasks.is_empty()
            || self.statuses.has_ready()
            || self.engine.is_behind()
            || self.engine.is_building()
    }

    /// One slice of what was put off, for one hold of the lock: first of the live queries that are behind their set, then of the work of
    /// whose turn it is. Turns go round by subject, then by [`Origin`], then by connection, so that nobody waits longer because
    /// somebody else asks for more.
    pub(crate) fn slice(&mut self, now: Now) {
        self.enter_hold();
        let mut left = self.engine.hold_steps();
        if self.engine.is_behind() {
            let share = if self.tasks.is_empty() { left } else { left.div_ceil(2) };
            let before = self.engine.version();
            left -= self.engine.catch_up(share);
            self.note_versions(before, 0);
            // What is begun below goes on from what was told of it.
            self.take_updates(now);
        }
        if self.statuses.has_ready() {
            let share = if self.tasks.is_empty() { left } else { left.div_ceil(2) };
            left -= left.min(self.create_ready(now, share));
        }
        let mut rows = self.slice_rows;
        while left > 0 && rows > 0 {
            let Some((place, task)) = self.tasks.next() else {
                self.engine.build(left);
                break;
            };
            match task {
                Task::Fill(watcher) => {
                    let visited = self.engine.rows_visited();
                    let worked = self.fill(now, place, watcher, rows, left);
                    left -= left.min(worked.max(STEPS_PER_TURN));
                    rows -= rows.min((self.engine.rows_visited() - visited) as usize);
                }
                Task::Recheck => {
                    self.recheck_some(now, place.1.1.0);
                    break;
                }
            }
        }
        self.distribute(now);
        self.note_hold(Input::Work);
    }

    /// Works on the first result that a watcher waits for. Returns for how many steps.
    fn fill(&mut self, now: Now, place: Place, watcher: Watcher, rows: usize, steps: u64) -> u64 {
        let Some(feed) = self.feed_of(watcher) else { return 0 };
        let is_being_made = self.engine.is_being_made(feed);
        if let Watcher::Connection(conn, ticket) = watcher
            && (is_being_made || self.feeds.hashes_for(feed, watcher))
        {
            let (wait, limit) = self.wait(now, conn);
            if !wait.is_zero() {
                let at = now.monotonic.saturating_add(wait);
                match self.worked_at(conn, ticket).saturating_add(self.limits.overdraft) < at {
                    true => self.give_up_query(now, conn, ticket, limit),
                    false => {
                        self.paced.push(at, watcher, place.0);
                        self.timers.set(Timer::Paced, self.paced.next());
                    }
                }
                return 0;
            }
            let connection = self.connections.find_mut(conn);
            if let Some(held) = connection.and_then(|connection| connection.held.queries.get_mut(&ticket)) {
                held.worked_at = now.monotonic;
            }
        }
        if !is_being_made {
            if self.whole.puts_off(&self.engine, feed) {
                self.whole.put_off(whole::Task::Fill(watcher));
                return 0;
            }
            let before = self.steps();
            self.begin(now, feed);
            if self.feeds.hashes_for(feed, watcher) {
                self.tasks.put_back(place, Task::Fill(watcher));
            }
            return self.steps() - before;
        }
        let worked = self.engine.work_for(feed, rows, steps);
        self.spend(now, watcher, worked);
        if worked > 0 {
            self.take_updates(now);
            if self.engine.is_being_made(feed) {
                self.tasks.put_back(place, Task::Fill(watcher));
            }
        }
        worked
    }

    /// Tasks that may go on take their turns again.
    pub(crate) fn resume_paced(&mut self, now: Now) {
        while let Some(watcher) = self.paced.pop_due(now.monotonic) {
            self.put_off(watcher);
        }
        self.timers.set(Timer::Paced, self.paced.next());
    }

    /// When a live query was asked for, or something was last done for its first result.
    fn worked_at(&self, conn: ConnectionId, ticket: Ticket) -> Monotonic {
        let connection = self.connections.find(conn);
        let held = connection.and_then(|connection| connection.held.queries.get(&ticket));
        held.map_or(Monotonic::MAX, |held| held.worked_at)
    }

    /// What a watcher may take of things that all share.
    pub(crate) fn allowance(&mut self, now: Now, watcher: Watcher, plan: &Plan) -> Allowance {
        let Watcher::Connection(conn, _) = watcher else { return Allowance::UNLIMITED };
        let steps_at_once = if self.wait(now, conn).0.is_zero() { self.left_of_hold() } else { 0 };
        let Some(connection) = self.connections.find(conn) else { return Allowance::UNLIMITED };
        let principal = connection.principal.as_ref();
        let who = principal.map_or("", |who| &who.subject);
        let kept = &connection.held.kept;
        let feed = self.engine.feed_of(plan);
        let mut allowance = match feed.is_some_and(|feed| self.subjects.has(who, feed)) {
            true => Kept::allowance_of_more(kept, &self.limits),
            false => self.subjects.allowance(who, kept, plan.set_number(), &self.limits),
        };
        let tenant = principal.and_then(|who| who.tenant.as_ref());
        if let Some(kept) = tenant.and_then(|tenant| self.tenants.kept_without(tenant, feed)) {
            kept.narrow_to_tenant(&mut allowance, plan.set_number(), &self.limits);
        }
        if !feed.is_some_and(|feed| self.subjects.is_held(feed)) {
            let limits = &self.limits;
            allowance.bytes = allowance.bytes.min(share!(limits.query_bytes, self.subjects.bytes()));
        }
        Allowance { steps_at_once, ..allowance }
    }

    /// Steps were spent for a watcher.
    pub(crate) fn spend(&mut self, now: Now, watcher: Watcher, steps: u64) {
        let Watcher::Connection(conn, _) = watcher else { return };
        self.first_steps.spend(self.limits.first_steps_per_second, now.monotonic, steps);
        let Some(connection) = self.connections.find_mut(conn) else { return };
        connection.steps.spend(self.limits.steps_per_second_per_connection, now.monotonic, steps);
        if let Some(payer) = connection.principal.as_ref().map(Payer::from) {
            self.charge(&payer, now.monotonic, steps);
        }
    }

    /// For how long nothing more may be spent for a connection, and the limit by which.
    pub(crate) fn wait(&mut self, now: Now, conn: ConnectionId) -> (Duration, &'static Limit) {
        let limit = limit!(HubLimits.steps_per_second_per_connection);
        let Some(connection) = self.connections.find_mut(conn) else { return (Duration::ZERO, limit) };
        let own = connection.steps.wait(self.limits.steps_per_second_per_connection, now.monotonic);
        let payer = connection.principal.as_ref().map(Payer::from);
        match payer.map(|payer| self.wait_of(&payer, now.monotonic)) {
            Some((longer, limit)) if longer > own => (longer, limit),
            _ => (own, limit),
        }
    }

    fn feed_of(&self, watcher: Watcher) -> Option<FeedId> {
        match watcher {
            Watcher::Connection(conn, ticket) => {
                Some(self.connections.find(conn)?.held.queries.get(&ticket)?.feed)
            }
            Watcher::Process(watch) => self.watches.feed(watch),
        }
    }

    /// Where the tasks of a connection wait.
    pub(crate) fn place(&self, conn: ConnectionId) -> Place {
        let connection = self.connections.find(conn);
        let who = connection.and_then(|connection| connection.principal.as_ref());
        let origin = connection.map(|connection| connection.origin).unwrap_or_default();
        (who.map(|who| who.subject.clone()), (origin, (conn, ())))
    }

    fn place_of(&self, watcher: Watcher) -> Place {
        match watcher {
            Watcher::Connection(conn, _) => self.place(conn),
            Watcher::Process(_) => (None, (Origin::default(), (ConnectionId::NONE, ()))),
        }
    }

    /// How many first results a subject waits for.
    pub(crate) fn filling_of(&self, subject: &Arc<str>) -> usize {
        self.tasks.len_of(&Some(subject.clone())) + self.paced.len_of(subject)
    }

    /// A watcher waits for its first result.
    pub(crate) fn put_off(&mut self, watcher: Watcher) {
        let place = self.place_of(watcher);
        self.tasks.push(place, Task::Fill(watcher));
    }

    /// A watcher waits for no result any more. O(1) where nothing waits.
    pub(crate) fn forget_task(&mut self, watcher: Watcher) {
        if self.paced.remove(watcher) {
            self.timers.set(Timer::Paced, self.paced.next());
        } else if !self.tasks.is_empty() {
            let place = self.place_of(watcher);
            self.tasks.retain(&place, |task| *task != Task::Fill(watcher));
        }
    }
}

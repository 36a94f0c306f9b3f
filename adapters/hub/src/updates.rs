//! From the engine to those who watch: each update is converted once and shared.

use std::{collections::BTreeMap, hash::BuildHasher, sync::Arc};

use foldhash::fast::FixedState;
use liveset_core::{Batch, DiffVersions, Diffs, Query, Ticket, VersionCode, VersionKey};
use liveset_engine::{Committed, FeedId, Keyed, Lag, Plan};

use crate::{
    ConnectionId, Hub, Now, Output,
    direct::{Direct, Forms},
    feeds::Watcher,
    hashing::keep_etags,
    limits::UNHANDED_BATCHES,
    turns::Turns,
    whole,
    work::Task,
};

impl Hub {
    /// Takes everything that the engine has queued, and sees to what sessions then want. Cost: the updates.
    pub(crate) fn distribute(&mut self, now: Now) {
        self.take_updates(now);
        self.settle_all(now);
    }

    /// Takes everything that the engine has queued. Before the next input of the engine: a result that is there now is that of
    /// this moment, and follows the updates that led to it. The updates wait for [`fan_out`](Self::fan_out); what comes to a
    /// feed meanwhile tells by their version whether they concern it.
    ///
    /// In the middle of a commit that is applied in slices it takes nothing: what they have changed is told as one.
    pub(crate) fn take_updates(&mut self, now: Now) {
        if self.engine.is_applying() {
            return;
        }
        let last = self.unhanded.back().map_or(0, |(_, batch)| batch.version);
        let (mut newest, mut is_sorted) = (last, true);
        while let Some(update) = self.engine.poll_update() {
            let mut batch = update.batch();
            if self.feeds.is_resumable(update.feed) {
                self.counts.own_steps += keep_etags(&mut batch);
            }
            for batch in self.whole.hold(update.feed, batch).into_iter().flatten() {
                self.take_batch(update.feed, Arc::new(batch), &mut newest, &mut is_sorted);
            }
        }
        for (feed, batch) in self.whole.release(&self.engine) {
            self.take_batch(feed, batch, &mut newest, &mut is_sorted);
        }
        if !is_sorted {
            // What lagged comes after what is newer. Those of one feed stay in their order.
            self.unhanded.make_contiguous().sort_by_key(|(_, batch)| batch.version);
        }
        while let Some(lag) = self.engine.poll_lag() {
            self.lag(lag);
        }
        if self.unhanded.len() > UNHANDED_BATCHES {
            self.hand_out();
        }
        while let Some(feed) = self.engine.poll_opened() {
            // Its result is that of now.
            self.finish_commit(now, 0);
            self.begin(now, feed);
        }
        let due = self.whole.take_due(&self.engine);
        if !due.is_empty() {
            self.finish_commit(now, 0);
        }
        due.into_iter().for_each(|feed| self.begin(now, feed));
        for task in self.whole.take_put_off(&self.engine) {
            match task {
                whole::Task::Fill(watcher) => self.put_off(watcher),
                whole::Task::Recheck(conn) => {
                    let place = self.place(conn);
                    self.tasks.push(place, Task::Recheck);
                }
            }
        }
    }

    fn take_batch(&mut self, feed: FeedId, batch: Arc<Batch>, newest: &mut u64, is_sorted: &mut bool) {
        self.counts.batches += 1;
        self.feeds.changed(feed, &batch, &self.limits);
        *is_sorted &= *newest <= batch.version;
        *newest = batch.version;
        self.unhanded.push_back((feed, batch));
    }

    /// Hands every batch to everyone whom it concerns: those who have everything before it may get its messages from `take`,
    /// all others find them in their session. See [`Hub::fan_out`].
    pub(crate) fn hand_out_with(&mut self, mut take: impl FnMut(ConnectionId, &str, &Diffs) -> bool) {
        let is_unfinished = self.engine.is_unfinished();
        while let Some((feed, batch)) = self.unhanded.pop_front() {
            let delay = self.makers.delay(batch.version, self.inputs, self.steps());
            let Some(mut handing) = self.feeds.hand(feed, &batch, delay) else { continue };
            self.counts.delays.note(delay);
            let (mark, before, version) = (handing.mark, handing.before, batch.version);
            let (commit, is_empty) = (self.moments.commit_of(version), batch.changes.is_empty());
            let mut forms = Forms::new(batch, DiffVersions { mark, before });
            for (watcher, place) in handing.watchers(version) {
                let (conn, ticket) = match *watcher {
                    Watcher::Connection(conn, ticket) => (conn, ticket),
                    Watcher::Process(watch) => {
                        if self.watches.push(watch, forms.batch(), self.limits.watch_backlog_changes) {
                            self.outputs.push(Output::Watch { watch });
                        }
                        continue;
                    }
                };
                // Who follows no count has nothing to be told.
                if is_empty && place.direct.is_some() {
                    continue;
                }
                // What is owed to another of its live queries goes with this.
                let owes =
                    || self.connections.find(conn).is_some_and(|connection| connection.owes(&self.engine));
                if let Some(direct) = &mut place.direct
                    && direct.is_abreast(before)
                    && !self.connections.is_queued(conn)
                    && !(is_unfinished && owes())
                {
                    let diffs = forms.of(direct);
                    if take(conn, &direct.id, diffs) {
                        direct.told = Some(version);
                        self.counts.handed_past += diffs.len() as u64;
                        continue;
                    }
                }
                let Some(connection) = self.connections.find_mut(conn) else { continue };
                if let Some(direct) = &mut place.direct
                    && let Some(told) = direct.told.take()
                {
                    if direct.has_versions() && told != Direct::UNKNOWN {
                        connection.session.live_query_told(ticket, told);
                    }
                    connection.is_behind(feed, ticket);
                }
                connection.session.live_query_changed_within(ticket, forms.batch(), commit);
                connection.signal(conn, &mut self.outputs);
                self.totals.count(connection);
                if connection.session.has_unsent_live_queries() {
                    self.connections.set_queued(conn, true);
                }
            }
        }
        let is_empty = self.moments.is_empty() && self.makers.is_empty();
        if !is_empty && !self.engine.is_behind() && !self.engine.is_applying() {
            self.moments.clear();
            self.makers.clear();
        }
    }

    /// A feed is complete up to another version than before.
    fn lag(&mut self, lag: Lag) {
        let Lag { feed, complete, net } = lag;
        let Some((before, watchers)) = self.feeds.set_complete(feed, complete) else { return };
        for watcher in watchers.collect::<Vec<_>>() {
            let Watcher::Connection(conn, ticket) = watcher else { continue };
            let Some(connection) = self.connections.find_mut(conn) else { continue };
            before.map(|before| connection.lags.remove(&(before, ticket)));
            connection.lags.extend(complete.map(|complete| (complete, ticket)));
            if let Some((after, last)) = net {
                connection.session.told_as_one(after, last);
            }
            self.hold(conn);
        }
    }

    /// A live query of a connection is about to leave a feed: nobody waits for what is still to come of that.
    pub(crate) fn end_lag(&mut self, conn: ConnectionId, ticket: Ticket, feed: FeedId) {
        if let Some(complete) = self.feeds.complete(feed)
            && let Some(connection) = self.connections.find_mut(conn)
            && connection.lags.remove(&(complete, ticket))
        {
            self.hold(conn);
        }
    }

    /// "All sent before those of the next commit on the same connection": a connection is sent what all of its live queries are complete
    /// up to.
    fn hold(&mut self, conn: ConnectionId) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        let last = connection.lags.first().map(|(complete, _)| self.moments.last_whole(*complete));
        connection.session.hold_commits_behind(last);
        connection.signal(conn, &mut self.outputs);
        // What it holds may have been folded.
        self.totals.count(connection);
        let session = &connection.session;
        let is_queued = last.is_some() || session.has_unsent_live_queries() || session.frames_commits();
        self.connections.set_queued(conn, is_queued);
    }

    /// The same, all through the sessions.
    pub(crate) fn hand_out(&mut self) {
        self.hand_out_with(|_, _, _| false);
    }

    /// Gives those the result of a feed who wait for it.
    pub(crate) fn begin(&mut self, now: Now, feed: FeedId) {
        if self.whole.puts_off(&self.engine, feed) {
            return;
        }
        // Counts change without an update where nobody follows them: a snapshot is good for its own moment only.
        let version = self.engine.version();
        let with_etags = self.with_etags(now, feed, version);
        let lacks_etags = with_etags.is_none();
        let (connections, limit) = (&mut self.connections, self.limits.initial_backlog_bytes);
        let (subjects, engine) = (&mut self.subjects, &self.engine);
        let limit_of_subject = self.limits.initial_backlog_bytes_per_subject;
        let mut is_small = None;
        let ready = |watcher: &Watcher| {
            let Watcher::Connection(conn, ticket) = watcher else { return true };
            let Some(connection) = connections.find_mut(*conn) else { return true };
            // A subject whose connections hold much of what they do not take waits for that with large results only.
            let has_own_room = connection.has_room(limit);
            let has_room = has_own_room
                && (subjects.has_initial_room(&connection.share, limit_of_subject)
                    || (connection.session.initial_bytes() == 0
                        && *is_small.get_or_insert_with(|| engine.result_bytes(feed) <= SMALL_RESULT_BYTES)));
            let Some(held) = connection.held.queries.get_mut(ticket) else { return true };
            if held.is_unchecked || (held.options.resume && lacks_etags) {
                return false;
            }
            // What a client has is made into something else at once.
            let is_ready = has_room || held.had.is_some();
            if !is_ready && !held.is_deferred {
                held.is_deferred = true;
                connection.deferred.push_back(*ticket);
                if has_own_room {
                    subjects.defer(&mut connection.share, *conn);
                }
            }
            is_ready
        };
        let Some((snapshot, waited)) =
            self.feeds.begin(feed, version, with_etags, || self.engine.snapshot(feed), ready)
        else {
            return;
        };
        if let complete @ Some(_) = self.engine.complete(feed) {
            self.lag(Lag { feed, complete, net: None });
        }
        for watcher in waited {
            match watcher {
                Watcher::Connection(conn, ticket) => {
                    self.answer_query(now, conn, ticket, &snapshot);
                    if let Some(connection) = self.connections.find_mut(conn) {
                        connection.count_initial(&mut self.subjects);
                    }
                }
                Watcher::Process(watch) => {
                    if self.watches.begin(watch, snapshot.clone()) {
                        self.outputs.push(Output::Watch { watch });
                    }
                }
            }
        }
    }

    /// Answers live queries that have waited until their connection has taken the first rows of others. O(1) where none has.
    pub(crate) fn begin_deferred(&mut self, now: Now, conn: ConnectionId) {
        let limit = self.limits.initial_backlog_bytes;
        while let Some(connection) = self.connections.find_mut(conn)
            && connection.has_room(limit)
            && let Some(ticket) = connection.deferred.pop_front()
        {
            let Some(held) = connection.held.queries.get_mut(&ticket) else { continue };
            held.is_deferred = false;
            let feed = held.feed;
            self.begin(now, feed);
            // Where it is its subject that has no room, it waits for others.
            let connection = self.connections.find(conn);
            let held = connection.and_then(|connection| connection.held.queries.get(&ticket));
            if held.is_some_and(|held| held.is_deferred) {
                return;
            }
        }
    }

    /// Answers live queries of a subject that have waited until its connections have taken the first rows of others. O(1) where none
    /// has.
    pub(crate) fn begin_deferred_of(&mut self, now: Now, subject: &str) {
        let limit = self.limits.initial_backlog_bytes_per_subject;
        // Each once: who has no room of its own is deferred again.
        for _ in 0..self.subjects.deferred(subject) {
            let Some(conn) = self.subjects.next_deferred(subject, limit) else { return };
            let Some(connection) = self.connections.find_mut(conn) else { return };
            self.subjects.end_deferral(&mut connection.share);
            self.begin_deferred(now, conn);
            self.unsettled.push_back(conn);
        }
    }

    /// The same for the subject of a connection. Tells whether anybody waited.
    pub(crate) fn begin_deferred_beside(&mut self, now: Now, conn: ConnectionId) -> bool {
        let subject = self.connections.find(conn).and_then(|connection| connection.share.subject());
        let Some(subject) = subject.filter(|subject| self.subjects.deferred(subject) > 0).cloned() else {
            return false;
        };
        self.begin_deferred_of(now, &subject);
        true
    }

    /// A commit was made, with versions of the engine behind `before`.
    pub(crate) fn note_commit(&mut self, before: u64, committed: &Committed) {
        self.moments.note(before + 1, committed.version);
    }
}

/// Up to this size a result is sent whatever else its subject has not taken.
const SMALL_RESULT_BYTES: usize = 256 * 1024;

/// Moments of time that were due when a commit was made: they count as a part of it.
#[derive(Debug, Default)]
pub(crate) struct Moments {
    /// The version of each, and that of its commit.
    commits: BTreeMap<u64, u64>,
}

impl Moments {
    /// So many are remembered at most, while a query lags. Of a commit whose moment is forgotten a count may be told twice.
    const MOST: usize = 1_024;

    /// What has the versions from `first` on came before a commit, in the same input.
    fn note(&mut self, first: u64, commit: u64) {
        self.commits.extend((first..commit).map(|version| (version, commit)));
        while self.commits.len() > Self::MOST {
            self.commits.pop_first();
        }
    }

    /// The version of the commit of which a version is a part.
    fn commit_of(&self, version: u64) -> u64 {
        self.commits.get(&version).copied().unwrap_or(version)
    }

    /// The version up to which all commits are whole, where everything up to `complete` is there.
    fn last_whole(&self, complete: u64) -> u64 {
        let commit = self.commit_of(complete);
        if commit == complete {
            return complete;
        }
        let of_commit = self.commits.range(..=complete).rev().take_while(|(_, of)| **of == commit);
        of_commit.last().map_or(complete, |(first, _)| first - 1)
    }

    fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    fn clear(&mut self) {
        self.commits.clear();
    }
}

/// Everything that the diffs of a query depend on, the same however the query is spelled.
pub(crate) fn identity(query: &Query, plan: &Plan) -> Box<str> {
    let (filter, order) = (plan.filter().canonical(), plan.order().canonical());
    let (edge, fields) = (&query.set, plan.projection().canonical());
    // Each with its length: no part can pass for a piece of another.
    let parts = [edge, filter, order, fields].map(|part| format!("{}:{part}", part.len()));
    format!("{}/{}", parts.join("/"), plan.cap()).into()
}

/// How the versions of queries are written: clients that resume name a version, and one of another query would be taken for one of
/// this. What they are given says nothing else to them, neither how many commits there were nor when the owner began.
#[derive(Debug)]
pub(crate) struct Marks {
    keyed: Keyed,
    are_open: bool,
}

impl Marks {
    pub(crate) fn new(keyed: Keyed, are_open: bool) -> Self {
        Self { keyed, are_open }
    }

    /// Those of a query with this identity.
    pub(crate) fn of(&self, identity: &str) -> VersionCode {
        if self.are_open {
            return format!("{:016x}-", FixedState::default().hash_one(identity)).as_str().into();
        }
        VersionCode::Sealed(VersionKey::new([0_u8, 1].map(|half| self.keyed.hash_one((half, identity)))))
    }
}

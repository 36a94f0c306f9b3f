//! The engine: sets, views over them, feeds out of them.

mod hints;
mod one_shot;
mod time;
mod work;

use std::{collections::VecDeque, hash::BuildHasher, sync::Arc};

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use smallvec::SmallVec;

use crate::{
    allowance::{Allowance, Keeping, Opened, Share},
    analysis::TimeTest,
    error::{CommitError, DefineError, OpProblem, OpenError, QueryError},
    filter::{Filter, Parameter},
    limits::{EngineLimits, MAX_NODES},
    moments::{MOMENT_STEPS, Moments},
    projection::Projection,
    query::{Parsed, ParsedQuery, Parts, Plan, Query, QueryParser},
    schema::{Schema, SetDef},
    seed::{HashSeed, Keyed},
    shard::{
        Moment, Sets, Shard,
        create::{First, Prepared, showing_cost},
        source::PROBE_STEPS,
        view::Identity,
    },
    stats::{Stats, Work},
    store::{
        columns::Column,
        history::HistoryEntry,
        set::{RowChange, Set, Write},
    },
    suggest,
    syntax::shortened,
    time::Instant,
    update::{FeedId, Node, NodeId, Shown, Snapshot, Update},
};

pub use hints::{Hint, Hints};
pub use one_shot::OneShot;

/// One write of a commit.
///
/// ```
/// use liveset_engine::{Engine, EngineLimits, HashSeed, Instant, Op, SetDef};
///
/// let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
/// engine.define_set(SetDef::new("orders", "id"))?;
/// let node = br#"{"id":"a","total":12.5}"#;
/// let put = Op::Upsert { set: "orders".into(), node: node[..].into() };
/// let remove = Op::Remove { set: "orders".into(), id: "b".into() };
/// assert_eq!(engine.commit(Instant::UNIX_EPOCH, vec![put, remove])?.changed, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Puts a node in place of the one with the same id, or adds it.
    Upsert {
        /// The set's name.
        set: Arc<str>,
        /// The node: a JSON object with the set's key field.
        node: Bytes,
    },
    /// The same, of a node that was read ahead by this engine; see [`Engine::decode`]. One of another engine means nothing here.
    Put(Node),
    /// Takes a node out; one that is not there is no error.
    Remove {
        /// The set's name.
        set: Arc<str>,
        /// The node's id as text.
        id: String,
    },
}

/// The writes of a commit to one set, each with the place of its operation.
type Staged = SmallVec<[(usize, Write); 1]>;

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The number of this commit: 1 for the first, one more for each that was accepted.
    pub commit: u64,
    /// How many nodes have another value than before, nodes that came or went included.
    pub changed: u64,
    /// The version of its updates. Those of versions between this and [`Engine::version`] before the commit are what time changed
    /// before it.
    pub version: u64,
}

/// Sets of nodes and live queries over them, without a clock: time is an argument.
///
/// Inputs are [`commit`](Engine::commit) and [`handle_timeout`](Engine::handle_timeout); after each, and after
/// [`open`](Engine::open), drain [`poll_update`](Engine::poll_update) until `None`, and call `handle_timeout` no later
/// than [`poll_timeout`](Engine::poll_timeout) says. Two inputs without a drain between them are legal: updates queue
/// in order. A feed's snapshot and its updates of a higher version splice without loss or repetition.
///
/// **Work in slices.** Making a query over a large set that no index serves can take long. [`open`](Engine::open) does it
/// at once; [`begin_open`](Engine::begin_open) does a slice of it, and [`work`](Engine::work), called between inputs while
/// [`has_work`](Engine::has_work), the rest, while commits go on.
///
/// **Shards.** The queries can be spread over several shards, each with its part of them ([`EngineLimits::shards`]).
/// [`commit_with`](Engine::commit_with) hands their parts of a commit to the caller, who may run them on several threads.
///
/// The data lives in memory only; the host is the truth.
#[derive(Debug)]
pub struct Engine {
    limits: EngineLimits,
    /// For every table with keys that others choose.
    keyed: Keyed,
    sets: Sets,
    shards: Vec<Shard>,
    moments: Moments,
    /// Views that are still to be filled: shard and view.
    filling: VecDeque<(usize, u32)>,
    /// Feeds that were opened while their view was being filled.
    waiting: HashSet<FeedId, FixedState>,
    /// Those of them that now have a result.
    opened: VecDeque<FeedId>,
    /// The last `now` given.
    now: Instant,
    version: u64,
    next_feed: u64,
    /// Empty buffers for the changes of a commit.
    spare: Vec<Vec<RowChange>>,
    stats: Stats,
}

/// One shard's part of a commit: to be run, on whatever thread.
#[derive(Debug)]
pub struct Part<'a> {
    shard: &'a mut Shard,
    sets: &'a Sets,
    changes: &'a [(usize, Vec<RowChange>)],
    limits: &'a EngineLimits,
    now: Instant,
    version: u64,
    /// Steps that it may take.
    left: u64,
    done: bool,
}

impl Part<'_> {
    /// Brings the shard's queries up to the commit. A second call does nothing.
    pub fn run(&mut self) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        for (number, changes) in self.changes {
            let Some((_, set)) = self.sets.get_index(*number) else { continue };
            let rows = set.during(changes);
            let tuning = &self.limits.tuning;
            let moment = Moment { rows, now: self.now, version: self.version, tuning };
            self.shard.apply(*number, moment, &mut self.left);
        }
    }
}

impl Engine {
    /// An engine without sets. `seed` keys the hash tables over what clients and writers choose, and changes nothing else: a
    /// service gives random numbers, a test [`HashSeed::FIXED`].
    pub fn new(limits: EngineLimits, seed: HashSeed) -> Self {
        let keyed = seed.keyed();
        Self {
            shards: (0..limits.shards.clamp(1, MAX_SHARDS)).map(|_| Shard::new(keyed)).collect(),
            limits,
            keyed,
            sets: Sets::default(),
            moments: Moments::new(keyed),
            filling: VecDeque::new(),
            waiting: HashSet::default(),
            opened: VecDeque::new(),
            now: Instant::MIN,
            version: 0,
            next_feed: 0,
            spare: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Declares a set. Sets are never taken back.
    pub fn define_set(&mut self, def: SetDef) -> Result<(), DefineError> {
        let max = self.limits.max_id_bytes;
        if [&def.name, &def.key].iter().any(|text| text.is_empty() || text.len() > max) {
            return Err(DefineError::Name { max });
        }
        if crate::path::Path::parse(&def.key, &self.limits.query).is_ok_and(|path| path.names().len() > 1) {
            return Err(DefineError::Key { set: def.name, key: def.key });
        }
        if self.sets.contains_key(&*def.name) {
            return Err(DefineError::Duplicate(def.name));
        }
        if self.sets.len() >= self.limits.max_sets {
            return Err(DefineError::TooMany(self.limits.max_sets));
        }
        let schema = Schema::new(&def, &self.limits.query).map_err(|(field, what)| DefineError::Field {
            set: def.name.clone(),
            field,
            what,
        })?;
        let name = def.name.as_str().into();
        let mut set = Set::new(def, Arc::new(schema), self.keyed);
        set.indexes.eager = self.limits.tuning.eager_indexes;
        self.sets.insert(name, set);
        Ok(())
    }

    /// The names of the sets, in the order of their definition.
    pub fn set_names(&self) -> impl Iterator<Item = &str> {
        self.sets.keys().map(|name| &**name)
    }

    // --- writing ---

    /// Reads and checks a node ahead of the commit that is to bring it ([`Op::Put`]): that commit then has less to do. Only
    /// the fields are decoded that queries read; a query that comes later costs the reading of its fields on top.
    ///
    /// # Errors
    ///
    /// What the commit would have said.
    pub fn decode(&self, set: &str, node: &Bytes) -> Result<Node, OpProblem> {
        let Some((number, _, found)) = self.sets.get_full(set) else {
            return Err(OpProblem::UnknownSet { set: shortened(set), hint: self.hint(set) });
        };
        Ok(Node { set: number, row: Arc::new(found.admit(node, &self.limits)?) })
    }

    /// Applies `ops` as one: all of them, or, on an error, none. Of several on one node the last counts.
    ///
    /// Moments of time up to `now` that are due are applied first, as a step of their own. Costs the reading of the nodes,
    /// a look-up for each field that queries are found by, and O(log window) for each window that a change touches;
    /// queries that no index finds cost an evaluation of their filter each.
    pub fn commit(&mut self, now: Instant, ops: Vec<Op>) -> Result<Committed, CommitError> {
        self.commit_with(now, ops, |_| ())
    }

    /// The same, with the work on the queries in parts, one for each shard: `spread` may [run](Part::run) them in whatever
    /// order and on whatever threads. What it leaves undone is done here.
    pub fn commit_with(
        &mut self,
        now: Instant,
        ops: Vec<Op>,
        spread: impl FnOnce(&mut [Part<'_>]),
    ) -> Result<Committed, CommitError> {
        let staged = self.stage(ops)?;
        let left = self.pass(now);
        self.take_again();

        self.version += 1;
        self.stats.commits += 1;
        let mut changed = 0;
        let mut changes: SmallVec<[(usize, Vec<RowChange>); 1]> = SmallVec::new();
        for (number, writes) in staged {
            let Some((_, set)) = self.sets.get_index_mut(number) else { continue };
            let mut of_set = self.spare.pop().unwrap_or_default();
            let written = set.write(writes.into_iter().map(|(_, write)| write), &mut of_set);
            set.changed += written;
            changed += written;
            if !self.moments.is_empty() {
                self.stats.work.steps += self.moments.note(number, set, &of_set, now);
            }
            changes.push((number, of_set));
        }
        self.stats.nodes_changed += changed;

        let Self { shards, sets, limits, version, .. } = self;
        let (sets, limits, version) = (&*sets, &*limits, *version);
        let part = |shard| Part { shard, sets, changes: &changes, limits, now, version, left, done: false };
        let mut parts: SmallVec<[Part<'_>; 1]> = shards.iter_mut().map(part).collect();
        spread(&mut parts);
        parts.iter_mut().for_each(Part::run);
        let left = parts.iter().map(|part| part.left).min().unwrap_or(0);
        drop(parts);

        for (number, mut changes) in changes {
            let is_behind = self.shards.iter().any(|shard| shard.first_entry(number).is_some());
            if let Some((_, set)) = self.sets.get_index_mut(number) {
                if is_behind {
                    // Handles of removed rows stay theirs as long as some query has to read what they were.
                    let changes = std::mem::take(&mut changes);
                    let before = set.commits() - 1;
                    let entry = HistoryEntry { changes, ..HistoryEntry::new(version, now, before) };
                    let entry = set.history.push(entry);
                    set.finish(&entry.changes);
                } else {
                    set.finish(&changes);
                }
                set.indexes.expire(set.len());
            }
            if is_behind {
                self.bound_history(number);
            }
            changes.clear();
            if changes.capacity() <= SPARE_CHANGES {
                self.spare.push(changes);
            }
        }
        self.grant_wishes();
        self.follow_up(left);
        Ok(Committed { commit: self.stats.commits, changed, version })
    }

    /// Steps of work done so far; see [`Work::steps`].
    pub fn steps(&self) -> u64 {
        self.stats.work.steps + self.shards.iter().map(|shard| shard.work.steps).sum::<u64>()
    }

    /// The steps of one hold of the lock; see [`EngineLimits::hold_steps`].
    pub fn hold_steps(&self) -> u64 {
        self.limits.enforced_hold()
    }

    /// Reads and checks every operation; changes nothing.
    fn stage(&self, ops: Vec<Op>) -> Result<SmallVec<[(usize, Staged); 1]>, CommitError> {
        let max = self.limits.max_ops_per_commit;
        if ops.len() > max {
            let problem = OpProblem::TooMany { what: "operations in a commit", max };
            return Err(CommitError { index: max, problem: Box::new(problem) });
        }
        let count = ops.len();
        let mut staged: SmallVec<[(usize, Staged); 1]> = SmallVec::new();
        for (index, op) in ops.into_iter().enumerate() {
            let refused = |problem| CommitError { index, problem: Box::new(problem) };
            let (number, write) = match op {
                Op::Put(Node { set, row }) => match self.sets.get_index(set) {
                    Some(_) => (set, Write::Put(row)),
                    None => {
                        return Err(refused(OpProblem::UnknownSet { set: "?".into(), hint: String::new() }));
                    }
                },
                Op::Upsert { set, node } => {
                    let (number, set) = self.set(&set).map_err(refused)?;
                    (number, Write::Put(Arc::new(set.admit(&node, &self.limits).map_err(refused)?)))
                }
                Op::Remove { set, id } => {
                    let (number, set) = self.set(&set).map_err(refused)?;
                    set.check_id(&id, &self.limits).map_err(refused)?;
                    (number, Write::Remove(id.into()))
                }
            };
            let place = staged.iter().position(|(other, _)| *other == number).unwrap_or_else(|| {
                staged.push((number, Staged::with_capacity(count - index)));
                staged.len() - 1
            });
            staged[place].1.push((index, write));
        }
        for (number, writes) in &staged {
            let Some((_, set)) = self.sets.get_index(*number) else { continue };
            let max = self.limits.max_nodes_per_set.min(MAX_NODES);
            // Counting them takes a table of its own: only where there may be too many.
            if set.len() + writes.len() <= max {
                continue;
            }
            let (growth, grown_by) = set.growth(writes.iter().map(|(_, write)| write));
            if growth > 0 && set.len().saturating_add_signed(growth) > max {
                let problem = OpProblem::TooMany { what: "nodes in a set", max };
                let index = writes.get(grown_by).map_or(0, |(index, _)| *index);
                return Err(CommitError { index, problem: Box::new(problem) });
            }
        }
        Ok(staged)
    }

    fn set(&self, name: &str) -> Result<(usize, &Set), OpProblem> {
        match self.sets.get_full(name) {
            Some((number, _, set)) => Ok((number, set)),
            None => Err(OpProblem::UnknownSet { set: shortened(name), hint: self.hint(name) }),
        }
    }

    // --- queries ---

    /// Checks a query in full: set, filter, order, limit, fields.
    pub fn prepare(&self, query: &Query) -> Result<Plan, QueryError> {
        let (set, schema) = self.set_and_schema(&query.set)?;
        Ok(self.plan_of(set, Parts::parse(query, schema, &self.limits.query)?, query.follows_count))
    }

    /// A parser for queries over the sets that are defined now.
    pub fn query_parser(&self) -> QueryParser {
        let sets = self.sets.iter().map(|(name, set)| (&**name, &set.schema));
        QueryParser::new(&self.limits.query, sets)
    }

    /// [`prepare`](Self::prepare) of a query that was parsed already, with [`Query::follows_count`] as given here. Costs a look-up,
    /// unless its set was defined after the parser was made.
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare).
    pub fn plan(&self, query: &ParsedQuery, follows_count: bool) -> Result<Plan, QueryError> {
        match &query.0 {
            Parsed::Known(parts, set) => {
                let (set, _) = self.set_and_schema(set)?;
                Ok(self.plan_of(set, parts.clone()?, follows_count))
            }
            Parsed::Unknown(query) => Ok(Plan { follows_count, ..self.prepare(query)? }),
        }
    }

    /// The key field of a set.
    pub fn key(&self, set: &str) -> Option<&str> {
        self.sets.get(set).map(|set| &*set.key)
    }

    fn set_and_schema(&self, name: &str) -> Result<(usize, &Schema), QueryError> {
        match self.sets.get_full(name) {
            Some((number, _, set)) => Ok((number, &set.schema)),
            None => Err(QueryError::UnknownSet { edge: shortened(name), hint: self.hint(name) }),
        }
    }

    fn plan_of(&self, set: usize, parts: Parts, follows_count: bool) -> Plan {
        let max = self.limits.enforced_window();
        let Parts { filter, order, limit, projection } = parts;
        let cap = limit.map_or(max, |limit| usize::try_from(limit).map_or(max, |limit| limit.min(max)));
        Plan { set, filter, order, cap, projection, follows_count }
    }

    /// The fields of a set that somebody may see, for [`Plan::restricted`]: paths, the key always among them. `None` where there
    /// is no such set.
    ///
    /// # Errors
    ///
    /// A field is no path, or there are too many.
    pub fn visible(&self, set: &str, fields: &[String]) -> Option<Result<Projection, crate::ExprError>> {
        let (_, _, def) = self.sets.get_full(set)?;
        Some(Projection::parse(fields, &def.key, &self.limits.query))
    }

    /// Reads a filter with parameters over a set, for [`Plan::restricted`]: as [`Filter::parse_with`], and held against what the set
    /// declares, where there is such a set.
    ///
    /// # Errors
    ///
    /// As [`Filter::parse_with`]; and what the set declares makes a test impossible, or it is strict and does not declare a field.
    pub fn row_filter(
        &self,
        set: &str,
        filter: &str,
        parameters: &dyn Fn(&str) -> Option<Parameter>,
    ) -> Result<Filter, crate::ExprError> {
        let schema = self.sets.get(set).map(|set| &*set.schema);
        Filter::parse_with_in(filter, &self.limits.query, schema, parameters)
    }

    /// Opens a live query: its result now, and from here on an [`Update`] for whatever changes it.
    ///
    /// Queries of one identity share a view, and with one projection a feed; each `open` wants its own
    /// [`close`](Engine::close). Updates that are queued already belong to those who had the feed before: drain them
    /// first. A new view costs what [`evaluate`](Engine::evaluate) costs.
    ///
    /// # Errors
    ///
    /// There are as many live queries as the limits allow, or as many of a kind that costs more.
    pub fn open(&mut self, now: Instant, plan: &Plan) -> Result<(FeedId, Snapshot), OpenError> {
        let mut left = u64::MAX;
        let Filed { feed, shard, view, .. } = self.file(now, plan, &Allowance::UNLIMITED, &mut left)?;
        while !self.is_filled(shard, view) {
            self.work_on(usize::MAX, u64::MAX, Some((shard, view)));
        }
        Ok((feed, self.snapshot_of(shard, view, &plan.projection)))
    }

    /// The same, without a snapshot, and where the result cannot be had within a slice of work it is not there yet. Tells whether
    /// it is. [`work`](Self::work) goes on with it, [`poll_opened`](Self::poll_opened) tells when it is there, and
    /// [`snapshot`](Self::snapshot) is it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn begin_open(&mut self, now: Instant, plan: &Plan) -> Result<(FeedId, bool), OpenError> {
        self.begin_open_within(now, plan, &Allowance::UNLIMITED).map(|opened| (opened.feed, opened.is_there))
    }

    /// Like [`begin_open`](Self::begin_open), for somebody who may take only so much of what is shared; and tells what it costs.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); and more would be taken than is allowed ([`OpenError::NoShare`]). Nothing is kept then.
    pub fn begin_open_within(
        &mut self,
        now: Instant,
        plan: &Plan,
        allowance: &Allowance,
    ) -> Result<Opened, OpenError> {
        let mut left = self.limits.enforced_hold();
        let Filed { feed, shard, view, is_new } = self.file(now, plan, allowance, &mut left)?;
        let slice = self.limits.slice_rows.max(1);
        let rows = self.sets.get_index(plan.set).map_or(0, |(_, set)| set.len());
        // What does not fit in a slice is refused before work on it takes the turn of those that were let in.
        let refused = |engine: &Engine| is_new && engine.filling.len() > engine.limits.max_filling;
        let is_hopeless = rows > slice && refused(self);
        let left = left.min(allowance.steps_at_once);
        if !self.is_filled(shard, view) && !is_hopeless && left > 0 {
            self.work_on(slice, left, Some((shard, view)));
        }
        let is_there = self.is_filled(shard, view);
        if !is_there {
            if refused(self) {
                self.close(feed);
                return Err(OpenError::TooManyFilling { max: self.limits.max_filling });
            }
            self.waiting.insert(feed);
        }
        let keeping = self.keeping(feed).unwrap_or_default();
        Ok(Opened { feed, is_there, keeping })
    }

    /// The feed that a query would share with those that opened it already.
    pub fn feed_of(&self, plan: &Plan) -> Option<FeedId> {
        let identity = identity(plan);
        let shard = &self.shards[self.shard_of(&identity)];
        let view = shard.view(shard.view_of(&identity)?)?;
        let shows = |feed: &&crate::shard::view::Feed| {
            feed.shown.projection == plan.projection && feed.follows_count == plan.follows_count
        };
        view.feeds.iter().find(shows).map(|feed| feed.id)
    }

    /// The feed that shows the same as this one, and follows the count where this does not or the other way round, if there is one: its
    /// changes are the same.
    pub fn sibling(&self, feed: FeedId) -> Option<FeedId> {
        let shard = &self.shards[self.shard_of_feed(feed)];
        let view = shard.view(*shard.feeds.get(&feed)?)?;
        let own = view.feeds.iter().find(|held| held.id == feed)?;
        let is_sibling = |held: &&crate::shard::view::Feed| {
            held.id != feed && held.shown.projection == own.shown.projection
        };
        view.feeds.iter().find(is_sibling).map(|held| held.id)
    }

    /// A feed of which [`begin_open`](Self::begin_open) had no result yet, and now has. Drain until `None`.
    pub fn poll_opened(&mut self) -> Option<FeedId> {
        loop {
            let feed = self.opened.pop_front()?;
            if self.shards[self.shard_of_feed(feed)].feeds.contains_key(&feed) {
                return Some(feed);
            }
        }
    }

    /// The result of an open feed as of the last input; `None` where there is none yet, or no such feed.
    pub fn snapshot(&self, feed: FeedId) -> Option<Snapshot> {
        let shard = self.shard_of_feed(feed);
        let id = *self.shards[shard].feeds.get(&feed)?;
        let view = self.shards[shard].view(id)?;
        let shown = view.feeds.iter().find(|held| held.id == feed)?.shown.clone();
        self.is_filled(shard, id).then(|| self.snapshot_of(shard, id, &shown.projection))
    }

    /// Bytes of JSON of the nodes in the result of an open feed, before they are cut down to the fields that it shows; 0 where there is
    /// none. Costs O(nodes in the result), of which none is read.
    pub fn result_bytes(&self, feed: FeedId) -> usize {
        let shard = &self.shards[self.shard_of_feed(feed)];
        let view = shard.feeds.get(&feed).and_then(|id| Some((*id, shard.view(*id)?)));
        let Some((id, view)) = view.filter(|(_, view)| view.is_filled()) else { return 0 };
        let set = self.sets.get_index(view.identity.set);
        set.map_or(0, |(_, set)| shard.entries(id, set).take(view.cap()).map(|row| row.raw.len()).sum())
    }

    /// Takes back one [`open`](Engine::open); with the last one the feed is gone, and with the last feed its view.
    /// Updates of it that are queued still come. Costs O(1) and the giving back of what the window held.
    pub fn close(&mut self, feed: FeedId) {
        let shard = self.shard_of_feed(feed);
        let view = self.shards[shard].feeds.get(&feed).copied();
        let of_view = view.and_then(|view| self.shards[shard].view(view));
        let is_being_filled = of_view.is_some_and(|view| !view.is_done());
        let set = of_view.map(|view| view.identity.set);
        let closed = self.shards[shard].close(feed, &mut self.sets);
        if let Some((number, (_, set))) = set.and_then(|set| Some((set, self.sets.get_index_mut(set)?)))
            && !set.history.is_empty()
        {
            trim(&self.shards, number, set);
        }
        if is_being_filled {
            let is_there = |(shard, view): &(usize, u32)| self.shards[*shard].view(*view).is_some();
            self.filling.retain(is_there);
        }
        if !self.waiting.is_empty() && !self.shards[shard].feeds.contains_key(&feed) {
            self.waiting.remove(&feed);
        }
        if let Some(closed) = closed
            && let Some((_, set)) = self.sets.get_index_mut(closed.set)
        {
            closed.tests.iter().for_each(|test| self.moments.remove(*test, set));
        }
        let mut left = self.limits.enforced_hold();
        set.into_iter().for_each(|number| self.sweep_set(number, &mut left));
    }

    /// Makes a view, or finds it, and a feed on it; takes the steps of that from `left`.
    fn file(
        &mut self,
        now: Instant,
        plan: &Plan,
        allowance: &Allowance,
        left: &mut u64,
    ) -> Result<Filed, OpenError> {
        let passed = self.limits.enforced_hold() - self.pass(now);
        *left = left.saturating_sub(passed);
        self.take_again();
        let identity = identity(plan);
        let number = self.shard_of(&identity);
        let known = self.shards[number].view_of(&identity);
        let view = match known {
            Some(view) => {
                let known = self.feed_of(plan);
                let of_view = || Some(self.shards[number].view(view)?.keeping);
                let keeping = known.map_or_else(of_view, |feed| self.keeping(feed)).unwrap_or_default();
                let more = if known.is_some() { 0 } else { self.showing_steps(number, view, plan) };
                let standing_steps = keeping.standing_steps.saturating_add(more);
                admit(&Keeping { standing_steps, ..keeping }, allowance)?;
                if allowance.is_bounded && more > 0 {
                    take(STANDING, more, self.standing_share(plan.set))?;
                }
                view
            }
            None => self.create(number, identity, plan, allowance, left)?,
        };
        let Self { shards, sets, next_feed, .. } = self;
        let count = shards.len() as u64;
        let fresh = || {
            *next_feed += 1;
            FeedId(*next_feed * count + number as u64)
        };
        let feed = sets.get_index(plan.set).and_then(|(_, set)| shards[number].show(view, set, plan, fresh));
        // The view was found or made just now.
        let filed = feed.map(|feed| Filed { feed, shard: number, view, is_new: known.is_none() });
        filed.ok_or(OpenError::TooManyViews { max: self.limits.max_views })
    }

    /// What a feed more would add to what each changed row costs a view.
    fn showing_steps(&self, shard: usize, view: u32, plan: &Plan) -> u64 {
        let view = self.shards[shard].view(view);
        let bytes = self.sets.get_index(plan.set).map_or(0, |(_, set)| set.average_row_bytes());
        view.map_or(0, |view| view.own.of(showing_cost(plan).of(bytes)))
    }

    /// The share of the set's budget that all live queries have together.
    fn standing_share(&self, set: usize) -> Share {
        let views: u64 = self.shards.iter().map(|shard| shard.standing_steps(set)).sum();
        // Whoever was the first to ask a test over time may be gone.
        let moments = MOMENT_STEPS * self.moments.count(set) as u64;
        Share::after(self.limits.standing_steps, views.max(moments))
    }

    fn create(
        &mut self,
        shard: usize,
        identity: Identity,
        plan: &Plan,
        allowance: &Allowance,
        left: &mut u64,
    ) -> Result<u32, OpenError> {
        let mut half = *left / 2;
        let before = half;
        self.sweep_set(plan.set, &mut half);
        self.build_if_small(plan.set, &mut half);
        *left -= before - half;
        let limits = &self.limits;
        if self.shards.iter().map(Shard::view_count).sum::<usize>() >= limits.max_views {
            return Err(OpenError::TooManyViews { max: limits.max_views });
        }
        let Some((_, set)) = self.sets.get_index_mut(plan.set) else {
            return Err(OpenError::TooManyViews { max: limits.max_views });
        };
        let wanted = set.wanted_columns();
        let mut spent = 0;
        let prepared = Prepared::new(set, plan, self.now, limits, &mut spent);
        self.stats.work.steps += spent;
        *left = left.saturating_sub(spent);
        let Some(prepared) = prepared else {
            return Err(OpenError::TooManyColumns { max: limits.max_columns });
        };
        let (row_bytes, max) = (set.largest_row_bytes(), limits.filter_steps);
        let cost = prepared.compiled.cost().of(row_bytes);
        if cost > max {
            return Err(OpenError::TooDear { cost, row_bytes, max });
        }
        let known = self.shards[shard].filter_of(plan.set, &identity.filter).is_some();
        let asked = prepared.time_tests.iter().flatten().filter(|_| !known);
        let is_first = |(column, test): &&(Column, TimeTest)| !self.moments.has(plan.set, column, test);
        let first = First {
            columns: set.wanted_columns().saturating_sub(wanted) as u64,
            moments: asked.filter(is_first).count() as u64,
        };
        let mut spent = 0;
        let (keeping, own) = prepared.keeping(set, plan, first, self.now, &limits.tuning, &mut spent);
        self.stats.work.steps += spent;
        *left = left.saturating_sub(spent);
        let showing = own.of(showing_cost(plan).of(set.average_row_bytes()));
        let standing_steps = keeping.standing_steps.saturating_add(showing);
        admit(&Keeping { standing_steps, ..keeping }, allowance)?;
        if allowance.is_bounded {
            take(STANDING, standing_steps, self.standing_share(plan.set))?;
        }
        let Some((_, set)) = self.sets.get_index_mut(plan.set) else {
            return Err(OpenError::TooManyViews { max: limits.max_views });
        };
        let held: usize = self.shards.iter().map(Shard::window_bytes).sum();
        let more = prepared.most_window_bytes(set, plan.cap, &limits.tuning);
        if more > 0 && held.saturating_add(more) > limits.max_window_bytes {
            return Err(OpenError::TooMuchMemory { max: limits.max_window_bytes });
        }
        // A filter that is tried on every change already is tried for one view more.
        if prepared.is_scanned()
            && !known
            && self.shards.iter().map(Shard::scanned_count).sum::<usize>() >= limits.max_unindexed_views
        {
            let filter = shortened(&plan.filter.to_string());
            return Err(OpenError::TooManyUnindexed { max: limits.max_unindexed_views, filter });
        }
        let mut tests = Vec::new();
        for (column, test) in prepared.time_tests.iter().flatten().filter(|_| !known) {
            tests.push(self.moments.add(plan.set, set, column, test, self.now));
        }
        let filing = PROBE_STEPS * prepared.access.count as u64 + MOMENT_STEPS * tests.len() as u64;
        self.stats.work.steps += filing;
        *left = left.saturating_sub(filing);
        let prepared = (prepared, keeping, own);
        let view = self.shards[shard].create(set, identity, prepared, tests, self.now, &limits.tuning);
        if limits.tuning.slices {
            // Every index was built at once, also those that tests over time wait for.
            self.moments.rearm_all(plan.set, set, self.now);
        }
        if !self.is_filled(shard, view) {
            self.filling.push_back((shard, view));
        }
        Ok(view)
    }

    // --- looking in ---

    /// The next update, in order; drain until `None`.
    pub fn poll_update(&mut self) -> Option<Update> {
        self.shards.iter_mut().find_map(|shard| shard.updates.pop_front())
    }

    /// The next feed whose result is complete up to another version than before: the version, or `None` where it is complete up
    /// to the newest. A feed that is behind is told of its updates later than others, those of each version in their order. Drain
    /// until `None`.
    pub fn poll_lag(&mut self) -> Option<(FeedId, Option<u64>)> {
        loop {
            let (feed, complete) = self.shards.iter_mut().find_map(|shard| shard.lags.pop_front())?;
            if self.shards[self.shard_of_feed(feed)].feeds.contains_key(&feed) {
                return Some((feed, complete));
            }
        }
    }

    /// The version up to which the result of a feed is complete: updates of later versions are still to come. `None` where that is
    /// the newest version, and for an unknown feed.
    pub fn complete(&self, feed: FeedId) -> Option<u64> {
        let shard = &self.shards[self.shard_of_feed(feed)];
        let view = shard.view(*shard.feeds.get(&feed)?)?;
        let (_, set) = self.sets.get_index(view.identity.set)?;
        shard.complete(view, set)
    }

    /// Where a node stands in the window of a feed, counted from 0; `None` where it is not in it. O(log nodes).
    pub fn position(&self, feed: FeedId, id: &str) -> Option<usize> {
        let shard = &self.shards[self.shard_of_feed(feed)];
        let view = *shard.feeds.get(&feed)?;
        let (_, set) = self.sets.get_index(shard.view(view)?.identity.set)?;
        let handle = set.handle(id)?;
        shard.position(view, set, set.row(handle)?, handle)
    }

    /// Whether a node passes the filter of a feed whose result is there, at its place in the window or behind it. Costs O(log nodes), or an
    /// evaluation of the filter, and a pass over the node's text where it does not hold what that reads.
    pub fn matches(&self, feed: FeedId, id: &str, now: Instant) -> bool {
        let found = || {
            let shard = &self.shards[self.shard_of_feed(feed)];
            let view = *shard.feeds.get(&feed)?;
            let (_, set) = self.sets.get_index(shard.view(view)?.identity.set)?;
            let handle = set.handle(id)?;
            shard.matches(view, set, set.row(handle)?, handle, now)
        };
        found().unwrap_or(false)
    }

    /// What a feed costs while it is kept; `None` where there is none.
    pub fn keeping(&self, feed: FeedId) -> Option<Keeping> {
        self.shards[self.shard_of_feed(feed)].keeping(feed)
    }

    /// How many rows of a set would be looked at to make a result again that no index finds.
    pub fn rows(&self, set: usize) -> u64 {
        self.sets.get_index(set).map_or(0, |(_, set)| set.len() as u64)
    }

    /// How many rows of a set were changed so far, over all commits.
    pub fn changed_rows(&self, set: usize) -> u64 {
        self.sets.get_index(set).map_or(0, |(_, set)| set.changed)
    }

    /// A node's JSON as stored.
    pub fn node(&self, set: &str, id: &str) -> Option<Bytes> {
        self.sets.get(set)?.row_by_id(id).map(|row| row.raw.clone())
    }

    /// Counts of what is held and what was done. Cost: O(sets + columns that queries are found by).
    pub fn stats(&self) -> Stats {
        let bytes: Vec<(usize, usize)> = self.shards.iter().map(Shard::bytes).collect();
        let indexes: usize = self.sets.values().map(|set| set.indexes.bytes()).sum();
        let mut work: Work = self.stats.work;
        self.shards.iter().for_each(|shard| work.add(&shard.work));
        Stats {
            nodes: self.sets.values().map(|set| set.len() as u64).sum(),
            views: self.shards.iter().map(|shard| shard.view_count() as u64).sum(),
            unindexed_views: self.shards.iter().map(|shard| shard.scanned_count() as u64).sum(),
            feeds: self.shards.iter().map(|shard| shard.feeds.len() as u64).sum(),
            indexes: self.sets.values().map(|set| set.indexes.len() as u64).sum(),
            deadlines: (self.moments.len() + self.shards.iter().map(Shard::timer_count).sum::<usize>())
                as u64,
            behind: self.shards.iter().map(|shard| shard.behind_count() as u64).sum(),
            behind_rows: self.sets.values().map(|set| set.history.all().rows as u64).sum(),
            behind_bytes: self.sets.values().map(|set| set.history.all().bytes as u64).sum(),
            row_bytes: self.sets.values().map(|set| set.row_bytes() as u64).sum(),
            index_bytes: (indexes + bytes.iter().map(|(_, predicates)| predicates).sum::<usize>()) as u64,
            window_bytes: bytes.iter().map(|(windows, _)| *windows as u64).sum(),
            work,
            ..self.stats
        }
    }

    /// [`Stats::window_bytes`], by looking at each window; and what their trees hold in truth.
    #[cfg(test)]
    pub(crate) fn recounted_window_bytes(&self) -> (u64, u64) {
        let counts = self.shards.iter().map(Shard::recounted_window_bytes);
        counts.fold((0, 0), |(counted, held), (c, h)| (counted + c as u64, held + h as u64))
    }

    /// The version of the newest commit or step of time.
    pub fn version(&self) -> u64 {
        self.version
    }

    fn snapshot_of(&self, shard: usize, view: u32, projection: &Projection) -> Snapshot {
        let shard = &self.shards[shard];
        let Some(held) = shard.view(view) else { return self.nothing() };
        let Some((_, set)) = self.sets.get_index(held.identity.set) else { return self.nothing() };
        let shown = Shown { sorting: held.sorting.clone(), projection: projection.clone() };
        let rows = shard.entries(view, set).take(held.cap());
        let rows = rows.map(|row| (NodeId::from(row.id.as_str()), shown.doc(row))).collect();
        let total_count = shard.total(view, set);
        let version = shard.complete(held, set).unwrap_or(self.version);
        Snapshot { version, total_count, capped: total_count > held.cap() as u64, rows }
    }

    fn nothing(&self) -> Snapshot {
        Snapshot { version: self.version, total_count: 0, capped: false, rows: Vec::new() }
    }

    fn is_filled(&self, shard: usize, view: u32) -> bool {
        self.shards[shard].view(view).is_none_or(|view| view.is_filled())
    }

    /// Whether a view has taken all that its set has done.
    fn is_complete(&self, shard: usize, view: u32) -> bool {
        let shard = &self.shards[shard];
        let up_to = shard.view(view).and_then(|view| {
            let (_, set) = self.sets.get_index(view.identity.set)?;
            shard.complete(view, set)
        });
        up_to.is_none()
    }

    /// Queries with one filter are in one shard, so that it is evaluated once for them. By a hash without a seed: updates leave
    /// shard by shard.
    fn shard_of(&self, identity: &Identity) -> usize {
        match self.shards.len() {
            1 => 0,
            count => {
                (FixedState::default().hash_one((identity.set, &identity.filter)) % count as u64) as usize
            }
        }
    }

    fn shard_of_feed(&self, feed: FeedId) -> usize {
        (feed.0 % self.shards.len() as u64) as usize
    }

    /// ` (did you mean '…'?)` where a set of a similar name is defined.
    fn hint(&self, name: &str) -> String {
        suggest::hint(name, self.set_names())
    }
}

const STANDING: &str = "steps for each changed row";

/// Refuses what is more than somebody may take.
fn admit(keeping: &Keeping, allowance: &Allowance) -> Result<(), OpenError> {
    take(STANDING, keeping.standing_steps, allowance.standing_steps)?;
    take("bytes", keeping.bytes, allowance.bytes)?;
    take("fields that no other reads", keeping.columns, allowance.columns)?;
    take("live queries that every change is tried on", keeping.is_unindexed.into(), allowance.unindexed)
}

fn take(what: &'static str, cost: u64, Share { of, left }: Share) -> Result<(), OpenError> {
    if cost > left { Err(OpenError::NoShare { what, cost, left, of }) } else { Ok(()) }
}

/// Lets go of what no query has to take any more.
fn trim(shards: &[Shard], number: usize, set: &mut Set) {
    let first = shards.iter().filter_map(|shard| shard.first_entry(number)).min();
    set.trim_history(first.unwrap_or_else(|| set.history.end()));
}

/// A live query that was found or made.
struct Filed {
    feed: FeedId,
    shard: usize,
    view: u32,
    /// Whether its view was made for it.
    is_new: bool,
}

/// A buffer for more changes than that is not kept.
const SPARE_CHANGES: usize = 4_096;
/// More threads than that have nothing to gain.
const MAX_SHARDS: usize = 256;

fn identity(plan: &Plan) -> Identity {
    Identity {
        set: plan.set,
        filter: plan.filter.canonical().into(),
        order: plan.order.canonical().into(),
        cap: plan.cap,
    }
}

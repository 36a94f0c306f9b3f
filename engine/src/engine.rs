//! The engine: sets, views over them, feeds out of them.

mod one_shot;

use std::{collections::VecDeque, hash::BuildHasher, sync::Arc};

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use smallvec::SmallVec;

use crate::{
    error::{CommitError, DefineError, OpProblem, OpenError, QueryError},
    limits::{EngineLimits, MAX_NODES},
    moments::Moments,
    projection::Projection,
    query::{Parsed, ParsedQuery, Parts, Plan, Query, QueryParser},
    schema::{Schema, SetDef},
    shard::{Moment, Sets, Shard, create::Prepared, view::Identity},
    stats::{Stats, Work},
    store::set::{RowChange, Set, Write},
    suggest,
    syntax::shortened,
    time::Instant,
    update::{FeedId, Node, NodeId, Shown, Snapshot, Update},
};

pub use one_shot::OneShot;

/// One write of a commit.
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

/// What it takes to keep a feed up to date that every change is tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// The number of its set.
    pub set: usize,
    /// How many rows of that set would be looked at to make the result again.
    pub rows: u64,
    /// How many of them were [changed so far](Engine::changed_rows): each further one is tried on it.
    pub changed: u64,
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
            self.shard.apply(*number, Moment { rows, now: self.now, version: self.version, tuning });
        }
    }
}

impl Engine {
    /// An engine without sets.
    pub fn new(limits: EngineLimits) -> Self {
        Self {
            shards: (0..limits.shards.clamp(1, MAX_SHARDS)).map(|_| Shard::default()).collect(),
            limits,
            sets: Sets::default(),
            moments: Moments::default(),
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
        if self.sets.contains_key(&*def.name) {
            return Err(DefineError::Duplicate(def.name));
        }
        if self.sets.len() >= self.limits.max_sets {
            return Err(DefineError::TooMany(self.limits.max_sets));
        }
        let schema = Schema::new(&def.fields, &self.limits.query)
            .map_err(|(field, what)| DefineError::Field { set: def.name.clone(), field, what })?;
        let name = def.name.as_str().into();
        let mut set = Set::new(def, schema);
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
        self.handle_timeout(now);

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
                self.moments.note(number, set, &of_set, now);
            }
            changes.push((number, of_set));
        }
        self.stats.nodes_changed += changed;

        let Self { shards, sets, limits, version, .. } = self;
        let (sets, limits, version) = (&*sets, &*limits, *version);
        let part = |shard| Part { shard, sets, changes: &changes, limits, now, version, done: false };
        let mut parts: SmallVec<[Part<'_>; 1]> = shards.iter_mut().map(part).collect();
        spread(&mut parts);
        parts.iter_mut().for_each(Part::run);
        drop(parts);

        for (number, mut changes) in changes {
            if let Some((_, set)) = self.sets.get_index_mut(number) {
                set.finish(&changes);
                set.indexes.expire(set.len());
            }
            changes.clear();
            if changes.capacity() <= SPARE_CHANGES {
                self.spare.push(changes);
            }
        }
        self.grant_wishes();
        Ok(Committed { commit: self.stats.commits, changed })
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
        let (set, key) = self.set_and_key(&query.set)?;
        Ok(self.plan_of(set, Parts::parse(query, key, &self.limits.query)?, query.follows_count))
    }

    /// A parser for queries over the sets that are defined now.
    pub fn query_parser(&self) -> QueryParser {
        let sets = self.sets.iter().map(|(name, set)| (&**name, &*set.key));
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
                let (set, _) = self.set_and_key(set)?;
                Ok(self.plan_of(set, parts.clone()?, follows_count))
            }
            Parsed::Unknown(query) => Ok(Plan { follows_count, ..self.prepare(query)? }),
        }
    }

    fn set_and_key(&self, name: &str) -> Result<(usize, &str), QueryError> {
        match self.sets.get_full(name) {
            Some((set, _, def)) => Ok((set, &def.key)),
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
        let Filed { feed, shard, view, .. } = self.file(now, plan)?;
        while !self.is_filled(shard, view) {
            self.work_on(usize::MAX, Some((shard, view)));
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
        let Filed { feed, shard, view, is_new } = self.file(now, plan)?;
        let slice = self.limits.slice_rows.max(1);
        let rows = self.sets.get_index(plan.set).map_or(0, |(_, set)| set.len());
        // What does not fit in a slice is refused before work on it takes the turn of those that were let in.
        let refused = |engine: &Engine| is_new && engine.filling.len() > engine.limits.max_filling;
        let is_hopeless = rows > slice && refused(self);
        if !self.is_filled(shard, view) && !is_hopeless {
            self.work_on(slice, Some((shard, view)));
        }
        let is_there = self.is_filled(shard, view);
        if !is_there {
            if refused(self) {
                self.close(feed);
                return Err(OpenError::TooManyFilling { max: self.limits.max_filling });
            }
            self.waiting.insert(feed);
        }
        Ok((feed, is_there))
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

    /// Takes back one [`open`](Engine::open); with the last one the feed is gone, and with the last feed its view.
    /// Updates of it that are queued still come. Costs O(1) and the giving back of what the window held.
    pub fn close(&mut self, feed: FeedId) {
        let shard = self.shard_of_feed(feed);
        let view = self.shards[shard].feeds.get(&feed).copied();
        let is_being_filled = view.is_some_and(|view| !self.is_filled(shard, view));
        let closed = self.shards[shard].close(feed, &mut self.sets);
        if is_being_filled {
            let is_there = |(shard, view): &(usize, u32)| self.shards[*shard].view(*view).is_some();
            self.filling.retain(is_there);
        }
        if !self.waiting.is_empty() && !self.shards[shard].feeds.contains_key(&feed) {
            self.waiting.remove(&feed);
        }
        let Some(closed) = closed else { return };
        if let Some((_, set)) = self.sets.get_index_mut(closed.set) {
            closed.tests.iter().for_each(|test| self.moments.remove(*test, set));
        }
    }

    /// Makes a view, or finds it, and a feed on it.
    fn file(&mut self, now: Instant, plan: &Plan) -> Result<Filed, OpenError> {
        self.handle_timeout(now);
        let identity = identity(plan);
        let number = self.shard_of(&identity);
        let known = self.shards[number].view_of(&identity);
        let view = match known {
            Some(view) => view,
            None => self.create(number, identity, plan)?,
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

    fn create(&mut self, shard: usize, identity: Identity, plan: &Plan) -> Result<u32, OpenError> {
        self.build_if_small(plan.set);
        let limits = &self.limits;
        if self.shards.iter().map(Shard::view_count).sum::<usize>() >= limits.max_views {
            return Err(OpenError::TooManyViews { max: limits.max_views });
        }
        let Some((_, set)) = self.sets.get_index_mut(plan.set) else {
            return Err(OpenError::TooManyViews { max: limits.max_views });
        };
        let Some(prepared) = Prepared::new(set, plan, self.now, limits) else {
            return Err(OpenError::TooManyColumns { max: limits.max_columns });
        };
        let held: usize = self.shards.iter().map(Shard::window_bytes).sum();
        let more = prepared.most_window_bytes(set, plan.cap, &limits.tuning);
        if more > 0 && held.saturating_add(more) > limits.max_window_bytes {
            return Err(OpenError::TooMuchMemory { max: limits.max_window_bytes });
        }
        let known = self.shards[shard].filter_of(plan.set, &identity.filter).is_some();
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

    // --- work in slices ---

    /// Whether there is [`work`](Self::work) to be done between inputs.
    pub fn has_work(&self) -> bool {
        !self.filling.is_empty() || self.sets.values().any(|set| set.indexes.is_building())
    }

    /// Goes on with what was put off: results of new queries, and indexes; over about `rows` rows. Tells whether there is
    /// more. Results are as of the last `now`.
    pub fn work(&mut self, rows: usize) -> bool {
        self.work_on(rows.max(1), None);
        self.has_work()
    }

    /// Goes on with the result of one feed, over about `rows` rows: whose turn it is is the caller's to say. Tells how many rows were
    /// looked at; none where the result is there, or there is no such feed.
    pub fn work_for(&mut self, feed: FeedId, rows: usize) -> usize {
        let shard = self.shard_of_feed(feed);
        let view = self.shards[shard].feeds.get(&feed).copied();
        let wanted = view.map(|view| (shard, view)).filter(|(shard, view)| !self.is_filled(*shard, *view));
        wanted.map_or(0, |wanted| rows.max(1) - self.work_on(rows.max(1), Some(wanted)))
    }

    /// Whether the first result of a feed is not there yet.
    pub fn is_being_made(&self, feed: FeedId) -> bool {
        let shard = self.shard_of_feed(feed);
        self.shards[shard].feeds.get(&feed).is_some_and(|view| !self.is_filled(shard, *view))
    }

    /// Works over `budget` rows, on one view before all others if one is wanted. Returns what is left of the budget.
    fn work_on(&mut self, budget: usize, wanted: Option<(usize, u32)>) -> usize {
        let mut left = budget;
        // Whoever wants one view waits for what its set has begun, not for others.
        let of = wanted.and_then(|(shard, view)| Some(self.shards[shard].view(view)?.identity.set));
        for (number, (_, set)) in self.sets.iter_mut().enumerate() {
            if set.indexes.is_building() && of.is_none_or(|of| of == number) {
                left -= left.min(set.build_indexes(left));
                if !set.indexes.is_building() {
                    self.moments.rearm_all(number, set, self.now);
                }
            }
            if left == 0 {
                return left;
            }
        }
        if let Some(wanted) = wanted
            && let Some(place) = self.filling.iter().position(|filling| *filling == wanted)
            && let Some(wanted) = self.filling.remove(place)
        {
            self.filling.push_front(wanted);
        }
        while let Some((shard, view)) = self.filling.front().copied() {
            let number = self.shards[shard].view(view).map(|view| view.identity.set);
            if let Some((_, set)) = number.and_then(|number| self.sets.get_index_mut(number)) {
                let tuning = &self.limits.tuning;
                left -= left.min(self.shards[shard].fill(view, set, self.now, left, tuning).max(1));
                if !self.is_filled(shard, view) {
                    // Others have waited as well.
                    self.filling.rotate_left(1);
                    if left == 0 {
                        return left;
                    }
                    continue;
                }
                let feeds = self.shards[shard].view(view).into_iter().flat_map(|view| &view.feeds);
                let feeds = feeds.map(|feed| feed.id).filter(|feed| self.waiting.remove(feed));
                self.opened.extend(feeds);
            }
            self.filling.pop_front();
            if left == 0 || wanted == Some((shard, view)) {
                return left;
            }
        }
        left
    }

    /// Hears what shards would have needed.
    fn grant_wishes(&mut self) {
        for shard in &mut self.shards {
            for (number, wish) in shard.work.wishes.drain(..) {
                if let Some((_, set)) = self.sets.get_index_mut(number) {
                    let rows = set.len();
                    set.indexes.wish(&wish, rows, rows);
                }
            }
        }
        (0..self.sets.len()).for_each(|number| self.build_if_small(number));
    }

    /// What is small is done at once.
    fn build_if_small(&mut self, number: usize) {
        if let Some((_, set)) = self.sets.get_index_mut(number)
            && set.indexes.is_building()
            && set.len() <= self.limits.slice_rows
        {
            set.build_indexes(usize::MAX);
            self.moments.rearm_all(number, set, self.now);
        }
    }

    // --- time ---

    /// Makes every result true as of `now`. A `now` before the last one is a clock set back: the queries over time
    /// are evaluated again for what that may have changed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let then = std::mem::replace(&mut self.now, now);
        if now == then {
            return;
        }
        let back = now < then;
        if back {
            self.stats.clock_set_back += 1;
            if !self.shards.iter().any(Shard::is_timed) {
                return;
            }
        } else {
            let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            if !due(self.moments.next()) && !self.shards.iter().any(|shard| due(shard.next_timer())) {
                return;
            }
        }
        // One step for all that is due: the net change from the last `now` to this one.
        self.version += 1;
        let turned = self.moments.turn(then, now, &self.sets);
        self.stats.deadlines_fired += 1;
        let (version, tuning) = (self.version, &self.limits.tuning);
        for shard in &mut self.shards {
            for (number, (_, set)) in self.sets.iter().enumerate() {
                let moment = Moment { rows: set.during(&[]), now, version, tuning };
                if back {
                    shard.refile(number, now);
                    shard.reconsider(number, then, moment);
                }
                if let Some((_, turned)) = turned.iter().find(|(turned, _)| *turned == number) {
                    shard.flip(number, turned, then, moment);
                }
            }
            while let Some((filter, number)) = shard.due(now) {
                let Some((_, set)) = self.sets.get_index(number) else { break };
                shard.fire(filter, then, Moment { rows: set.during(&[]), now, version, tuning });
            }
        }
        self.grant_wishes();
    }

    /// When time alone may next change a result; `None` while no query waits for time. The moment is that at which the next
    /// node flips in a test of some query, which the rest of that query may leave without a consequence.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = self.shards.iter().filter_map(Shard::next_timer);
        timers.chain(self.moments.next()).min()
    }

    // --- looking in ---

    /// The next update, in order; drain until `None`.
    pub fn poll_update(&mut self) -> Option<Update> {
        self.shards.iter_mut().find_map(|shard| shard.updates.pop_front())
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

    /// What it takes to keep a feed up to date that no index finds. `None` where one does, and where there is no such feed.
    pub fn keeping(&self, feed: FeedId) -> Option<Keeping> {
        let shard = &self.shards[self.shard_of_feed(feed)];
        let view = shard.view(*shard.feeds.get(&feed)?)?;
        let number = view.identity.set;
        let filter = shard.filter(shard.filter_of(number, &view.identity.filter)?)?;
        let (_, set) = self.sets.get_index(number)?;
        let is_tried = filter.is_scanned() && !filter.is_all;
        is_tried.then(|| Keeping { set: number, rows: set.len() as u64, changed: set.changed })
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
        let rows =
            shard.entries(view, set).map(|row| (NodeId::from(row.id.as_str()), shown.doc(row))).collect();
        let total_count = shard.total(view, set);
        Snapshot { version: self.version, total_count, capped: total_count > held.cap() as u64, rows }
    }

    fn nothing(&self) -> Snapshot {
        Snapshot { version: self.version, total_count: 0, capped: false, rows: Vec::new() }
    }

    fn is_filled(&self, shard: usize, view: u32) -> bool {
        self.shards[shard].view(view).is_none_or(|view| view.is_filled())
    }

    /// Queries with one filter are in one shard, so that it is evaluated once for them.
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

//! The engine: sets, views over them, feeds out of them.

mod hints;
mod one_shot;
mod open;
mod pending;
mod scan;
mod slices;
mod stage;
mod time;
mod work;

use std::{collections::VecDeque, hash::BuildHasher, sync::Arc};

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use liveset_core::model::{Count, Query, Row, Snapshot};
use smallvec::SmallVec;

use crate::{
    allowance::Keeping,
    error::{CommitError, DefineError, OpProblem, QueryError},
    filter::{Filter, Parameter},
    limits::EngineLimits,
    moments::Moments,
    projection::Projection,
    query::{Parsed, ParsedQuery, Parts, Plan, QueryParser},
    schema::{Schema, SetDef},
    seed::{HashSeed, Keyed},
    shard::{AsOf, Shard, Spare, view::Identity},
    stats::{Stats, Work},
    store::{
        reader::{Op, RowReader, Shape},
        set::history::HistoryEntry,
        set::{RowChange, Set, Sets, Write},
    },
    suggest,
    syntax::shortened,
    time::Timestamp,
    update::{FeedId, Lag, Shown, Update},
};

pub use hints::Hints;
pub use one_shot::OneShot;
use pending::Pending;
pub use scan::Scan;
pub use slices::Applied;
use slices::Sliced;
pub use stage::StagedWrite;
use stage::{OfSet, Staged};

/// The outcome of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The number of this commit: 1 for the first, one more for each that was accepted.
    pub commit: u64,
    /// How many nodes have another value than before, nodes that came or went included.
    pub changed: u64,
    /// The version of its updates. Those of versions between this and [`Engine::version`] before the commit are what time changed
    /// before it.
    pub version: u64,
    /// Steps of reading and storing its rows, about. [`Engine::steps`] does not count them: rows may have been read long before.
    pub own_steps: u64,
}

/// Sets of nodes and live queries over them, without a clock: time is an argument.
///
/// What an owner calls, in this order:
///
/// 1. An input: [`commit`](Engine::commit), [`open`](Engine::open), [`begin_open`](Engine::begin_open), [`close`](Engine::close) or
///    [`handle_timeout`](Engine::handle_timeout). Times given may be equal; an earlier one than before is a clock set back.
/// 2. [`poll_update`](Engine::poll_update) until `None`, then [`poll_opened`](Engine::poll_opened) until `None`, whose
///    [`snapshot`](Engine::snapshot)s are there now. Two inputs without a drain between them are legal: updates queue in order. A feed's
///    snapshot and its updates of a higher version splice without loss or repetition.
/// 3. [`poll_timeout`](Engine::poll_timeout), and no later than it says, [`handle_timeout`](Engine::handle_timeout) with the time that it
///    is then, or with the deadline where that is later. Work that was put off is a deadline that is due: making a query over a large
///    set, bringing a dear commit to the queries, building an index. Each call does a slice of it; other inputs have their turn between
///    two slices.
///
/// ```
/// use liveset_engine::{Engine, EngineLimits, HashSeed, Op, Query, SetDef, Timestamp};
///
/// let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
/// engine.define_set(SetDef::new("orders"))?;
/// let mut now = Timestamp::parse_rfc3339("2025-12-07T21:45:00Z").unwrap();
/// let order = |n: u32| Op::Upsert { set: "orders".into(), node: format!(r#"{{"id":{n},"total":{n}}}"#).into_bytes().into() };
/// engine.commit(now, (0..20_000).map(order).collect())?;
///
/// let plan = engine.prepare(&Query::new("orders").filter("total != 7").limit(10))?;
/// let (feed, is_there) = engine.begin_open(now, &plan)?;
/// assert!(!is_there); // more rows than a slice has
/// let mut totals = Vec::new();
/// loop {
///     while let Some(update) = engine.poll_update() {
///         totals.push(update.count.map(|count| count.total));
///     }
///     while let Some(opened) = engine.poll_opened() {
///         assert_eq!(opened, feed);
///         totals.push(engine.snapshot(opened).map(|snapshot| snapshot.count.total));
///     }
///     // An owner takes other inputs here, and sleeps until the deadline. Nothing is due any more: the example ends.
///     let Some(deadline) = engine.poll_timeout() else { break };
///     now = now.max(deadline);
///     engine.handle_timeout(now);
/// }
/// assert_eq!(totals, [Some(19_999)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    now: Timestamp,
    /// Whether a commit may leave queries untried that no index finds.
    leaves_scans: bool,
    /// The last call for time took more than half of a hold while something was put off: the next one is a slice.
    owes_slice: bool,
    version: u64,
    next_feed: u64,
    /// Commits that were checked, and are still to be applied.
    staged: Pending,
    /// The one that is being applied in slices.
    sliced: Option<Sliced>,
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
    now: Timestamp,
    version: u64,
    /// Steps that it may take, and how many of them for queries that no index finds.
    left: u64,
    spare: Spare,
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
            let tuning = self.limits.tuning;
            let moment = AsOf { rows, now: self.now, version: self.version, tuning };
            self.shard.apply(*number, moment, &mut self.left, &mut self.spare);
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
            now: Timestamp::MIN,
            leaves_scans: false,
            owes_slice: false,
            version: 0,
            next_feed: 0,
            staged: Pending::new(keyed),
            sliced: None,
            spare: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Lets versions begin behind `version`, in place of 0. Only before the first input: versions never go back.
    #[must_use]
    pub fn starting_at(mut self, version: u64) -> Self {
        self.version = self.version.max(version);
        self
    }

    /// Lets a commit return when those queries have taken it that an index finds, and a few others: [`is_unfinished`](Self::is_unfinished)
    /// is true then, [`owes`](Self::owes) tells which feeds have not taken it, and [`finish_commit`](Self::finish_commit) brings it to
    /// them. So whoever is found is told first, whatever others ask. Any other input finishes the commit before it does its own.
    #[must_use]
    pub fn leaving_scans(mut self) -> Self {
        self.leaves_scans = true;
        self
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

    /// A set as it was defined, with its fields as the language writes them, and how many rows it has; `None` where there is no such
    /// set.
    pub fn definition(&self, set: &str) -> Option<(SetDef, usize)> {
        self.sets.get(set).map(|set| (set.definition(), set.len()))
    }

    // --- writing ---

    /// A reader that reads rows of these sets ahead of their commit. O(sets named).
    pub fn row_reader<'a>(&self, sets: impl IntoIterator<Item = &'a str>) -> RowReader {
        let mut known: Vec<(usize, Shape)> = Vec::new();
        for name in sets {
            if let Some((number, _, set)) = self.sets.get_full(name)
                && known.iter().all(|(other, _)| *other != number)
            {
                known.push((number, set.shape()));
            }
        }
        RowReader::new(known, &self.limits)
    }

    /// Applies `ops` as one: all of them, or, on an error, none. Of several on one node the last counts; patches
    /// and conditions see what those before them leave, and `now`.
    ///
    /// Moments of time up to `now` that are due are applied first, as a step of their own. Costs the reading of the nodes,
    /// a look-up for each field that queries are found by, and O(log window) for each window that a change touches;
    /// queries that no index finds cost an evaluation of their filter each.
    pub fn commit(&mut self, now: Timestamp, ops: Vec<Op>) -> Result<Committed, CommitError> {
        self.commit_with(now, ops, |_| ())
    }

    /// The same, with the work on the queries in parts, one for each shard: `spread` may [run](Part::run) them in whatever
    /// order and on whatever threads. What it leaves undone is done here.
    pub fn commit_with(
        &mut self,
        now: Timestamp,
        ops: Vec<Op>,
        spread: impl FnOnce(&mut [Part<'_>]),
    ) -> Result<Committed, CommitError> {
        self.apply_rest(now);
        let staged = self.check(now, ops)?;
        Ok(self.apply_whole(now, staged, spread))
    }

    fn apply_whole(
        &mut self,
        now: Timestamp,
        staged: Staged,
        spread: impl FnOnce(&mut [Part<'_>]),
    ) -> Committed {
        self.stats.commits += 1;
        self.apply(now, staged, spread)
    }

    /// Applies a commit, or a slice of one.
    fn apply(&mut self, now: Timestamp, staged: Staged, spread: impl FnOnce(&mut [Part<'_>])) -> Committed {
        let most = (self.limits.enforced_hold() / OF_HOLD_AT_COMMIT).max(1);
        let own_steps = self.own_steps(&staged);
        let little = if self.leaves_scans { (own_steps / 2).max(AT_ONCE) } else { own_steps.max(LITTLE) };
        let spare = Spare { steps: little.min(most), most };
        let left = self.pass(now, most);
        self.take_again();

        self.version += 1;
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
        let part =
            |shard| Part { shard, sets, changes: &changes, limits, now, version, left, spare, done: false };
        let run = |parts: &mut [Part<'_>]| {
            spread(parts);
            parts.iter_mut().for_each(Part::run);
            parts.iter().map(|part| part.left.min(part.spare.steps)).min().unwrap_or(0)
        };
        let left = match &mut shards[..] {
            [shard] => run(&mut [part(shard)]),
            shards => run(&mut shards.iter_mut().map(part).collect::<Vec<_>>()),
        };

        let mut behind: SmallVec<[usize; 1]> = SmallVec::new();
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
                behind.push(number);
            }
            changes.clear();
            if changes.capacity() <= SPARE_CHANGES {
                self.spare.push(changes);
            }
        }
        // Each of its sets has its entry by now: to bound one may finish the commit in all of them.
        behind.into_iter().for_each(|number| self.bound_history(number));
        if !self.leaves_scans {
            self.finish_commit(0);
        }
        self.grant_wishes();
        if self.is_unfinished() {
            self.take_again();
        } else {
            self.follow_up(left);
        }
        Committed { commit: self.stats.commits, changed, version, own_steps }
    }

    /// The steps of a commit without the queries, about: its rows are read and stored.
    fn own_steps(&self, staged: &Staged) -> u64 {
        let of_set = |(number, writes): &(usize, OfSet)| {
            let rows = self.sets.get_index(*number).map_or(0, |(_, set)| set.len() as u64);
            let steps = move |(_, write): &(usize, Write)| match write {
                Write::Clear => STORING_STEPS * rows,
                write => STORING_STEPS + write.json_bytes() as u64 / 16,
            };
            writes.iter().map(steps).sum::<u64>()
        };
        staged.iter().map(of_set).sum()
    }

    /// Steps of work done so far; see [`Work::steps`].
    pub fn steps(&self) -> u64 {
        self.stats.work.steps + self.shards.iter().map(|shard| shard.work.steps).sum::<u64>()
    }

    /// The steps of one hold of the lock; see [`EngineLimits::hold_steps`].
    pub fn hold_steps(&self) -> u64 {
        self.limits.enforced_hold()
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
        Ok(self.plan_of(set, Parts::parse(query, schema, &self.limits.query)?))
    }

    /// A parser for queries over the sets that are defined now.
    pub fn query_parser(&self) -> QueryParser {
        let sets = self.sets.iter().map(|(name, set)| (&**name, &set.schema));
        QueryParser::new(&self.limits.query, sets)
    }

    /// [`prepare`](Self::prepare) of a query that was parsed already. Costs a look-up,
    /// unless its set was defined after the parser was made.
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare).
    pub fn plan(&self, query: &ParsedQuery) -> Result<Plan, QueryError> {
        match &query.0 {
            Parsed::Known(parts, set) => {
                let (set, _) = self.set_and_schema(set)?;
                Ok(self.plan_of(set, parts.clone()?))
            }
            Parsed::Unknown(query) => self.prepare(query),
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

    fn plan_of(&self, set: usize, parts: Parts) -> Plan {
        let max = self.limits.enforced_window();
        let Parts { filter, order, limit, projection } = parts;
        let cap = limit.map_or(max, |limit| usize::try_from(limit).map_or(max, |limit| limit.min(max)));
        Plan { set, filter, order, cap, projection, follows_count: true }
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

    // --- looking in ---

    /// The next update, in order; drain until `None`.
    pub fn poll_update(&mut self) -> Option<Update> {
        self.shards.iter_mut().find_map(|shard| shard.updates.pop_front())
    }

    /// The next feed whose result is complete up to another version than before. A feed that is behind is told of its updates later than
    /// others, those of each version in their order. Drain until `None`.
    pub fn poll_lag(&mut self) -> Option<Lag> {
        loop {
            let lag = self.shards.iter_mut().find_map(|shard| shard.lags.pop_front())?;
            if self.shards[self.shard_of_feed(lag.feed)].feeds.contains_key(&lag.feed) {
                return Some(lag);
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
    pub fn matches(&self, feed: FeedId, id: &str, now: Timestamp) -> bool {
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

    /// A row by its id. O(1).
    pub fn row(&self, set: &str, id: &str) -> Option<Row> {
        self.sets.get(set)?.row_by_id(id).map(|row| Row::of(Arc::new(row.clone()), Bytes::new()))
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
        let rows = rows.map(|row| shown.row(row)).collect();
        let count = Count::new(shard.total(view, set), held.cap());
        Snapshot { version: shard.complete(held, set).unwrap_or(self.version), count, rows }
    }

    fn nothing(&self) -> Snapshot {
        Snapshot { version: self.version, count: Count::default(), rows: Vec::new() }
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

/// Lets go of what no query has to take any more.
fn trim(shards: &[Shard], number: usize, set: &mut Set) {
    let first = shards.iter().filter_map(|shard| shard.first_entry(number)).min();
    set.trim_history(first.unwrap_or_else(|| set.history.end()));
}

/// Which part of a hold a commit spends at most on queries that no index finds, and on moments that are due before it.
const OF_HOLD_AT_COMMIT: u64 = 4;
/// Steps that every commit may take for queries that no index finds, however small it is: to fall behind and to catch up costs more than
/// to try a few of them.
const LITTLE: u64 = 2_000;
/// The same where a commit may leave them, and they are tried together later.
const AT_ONCE: u64 = 256;
/// The steps of storing a row that was read.
const STORING_STEPS: u64 = 16;
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

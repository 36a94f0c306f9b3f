//! The engine: sets, views over them, feeds out of them.

use std::{
    collections::{BTreeSet, BinaryHeap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use indexmap::{IndexMap, IndexSet};

use crate::{
    access::Access,
    error::{CommitError, DefineError, OpProblem, QueryError, TooManyViews},
    feed::Feed,
    filter::Filter,
    limits::EngineLimits,
    order::Order,
    projection::Projection,
    query::{Plan, Query},
    row::Row,
    schema::{Schema, SetDef},
    set::{RowChange, Set},
    stats::Stats,
    suggest,
    syntax::shortened,
    time::Instant,
    update::{Doc, FeedId, NodeId, Snapshot, Update},
    view::{self, Identity, Touch, View},
    window::WindowChange,
};

/// One write of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Puts a node in place of the one with the same id, or adds it.
    Upsert {
        /// The set's name.
        set: String,
        /// The node: a JSON object with the set's key field.
        node: Bytes,
    },
    /// Takes a node out; one that is not there is no error.
    Remove {
        /// The set's name.
        set: String,
        /// The node's id as text.
        id: String,
    },
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The number of this commit: 1 for the first, one more for each that was accepted.
    pub commit: u64,
    /// How many nodes have another value than before, nodes that came or went included.
    pub changed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ViewKey(u64);

#[cfg(test)]
impl ViewKey {
    pub(crate) const TEST: Self = Self(0);
}

/// Which version of a changed node the predicate index was asked about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Before,
    After,
}

type SetChanges = IndexMap<NodeId, Option<Arc<Row>>, FixedState>;

/// What a commit is about to do to one set.
#[derive(Debug, Default)]
struct Staged {
    /// The last word on each node, in the order of the first.
    nodes: SetChanges,
    /// How many nodes more the set will have.
    growth: isize,
    /// The last operation that made it grow.
    grown_by: usize,
}

/// Sets of nodes and live queries over them, without a clock: time is an argument.
///
/// Inputs are [`commit`](Engine::commit) and [`handle_timeout`](Engine::handle_timeout); after each, and after
/// [`open`](Engine::open), drain [`poll_update`](Engine::poll_update) until `None`, and call `handle_timeout` no later
/// than [`poll_timeout`](Engine::poll_timeout) says. Two inputs without a drain between them are legal: updates queue
/// in order. A feed's snapshot and its updates of a higher version splice without loss or repetition.
///
/// The data lives in memory only; the host is the truth.
#[derive(Debug)]
pub struct Engine {
    limits: EngineLimits,
    sets: IndexMap<String, Set, FixedState>,
    views: HashMap<ViewKey, View, FixedState>,
    by_identity: HashMap<Identity, ViewKey, FixedState>,
    /// Views over `now`.
    timed: IndexSet<ViewKey, FixedState>,
    deadlines: Deadlines,
    feeds: HashMap<FeedId, Feed, FixedState>,
    updates: VecDeque<Update>,
    /// The last `now` given.
    now: Instant,
    version: u64,
    next_key: u64,
    stats: Stats,
}

/// The next deadline of each view that has one.
#[derive(Debug, Default)]
struct Deadlines {
    by_time: BTreeSet<(Instant, ViewKey)>,
    by_view: HashMap<ViewKey, Instant, FixedState>,
}

impl Deadlines {
    fn set(&mut self, view: ViewKey, at: Option<Instant>) {
        let old = match at {
            Some(at) => self.by_view.insert(view, at),
            None => self.by_view.remove(&view),
        };
        if old != at {
            old.map(|old| self.by_time.remove(&(old, view)));
            at.map(|at| self.by_time.insert((at, view)));
        }
    }

    fn first(&self) -> Option<(Instant, ViewKey)> {
        self.by_time.first().copied()
    }
}

impl Engine {
    /// An engine without sets.
    pub fn new(limits: EngineLimits) -> Self {
        Self {
            limits,
            sets: IndexMap::default(),
            views: HashMap::default(),
            by_identity: HashMap::default(),
            timed: IndexSet::default(),
            deadlines: Deadlines::default(),
            feeds: HashMap::default(),
            updates: VecDeque::new(),
            now: Instant::MIN,
            version: 0,
            next_key: 0,
            stats: Stats::default(),
        }
    }

    /// Declares a set. Sets are never taken back.
    pub fn define_set(&mut self, def: SetDef) -> Result<(), DefineError> {
        let max = self.limits.max_id_bytes;
        if [&def.name, &def.key].iter().any(|text| text.is_empty() || text.len() > max) {
            return Err(DefineError::Name { max });
        }
        if self.sets.contains_key(&def.name) {
            return Err(DefineError::Duplicate(def.name));
        }
        if self.sets.len() >= self.limits.max_sets {
            return Err(DefineError::TooMany(self.limits.max_sets));
        }
        let schema = Schema::new(&def.fields, &self.limits.query)
            .map_err(|(field, what)| DefineError::Field { set: def.name.clone(), field, what })?;
        self.sets.insert(def.name.clone(), Set::new(def, schema));
        Ok(())
    }

    /// The names of the sets, in the order of their definition.
    pub fn set_names(&self) -> impl Iterator<Item = &str> {
        self.sets.keys().map(String::as_str)
    }

    /// Applies `ops` as one: all of them, or, on an error, none. Of several on one node the last counts.
    ///
    /// Moments of time up to `now` that are due are applied first, as a step of their own. Costs the parsing of the
    /// nodes, one filter evaluation for each changed node and view that the predicate index finds for it, and O(log matches)
    /// where it matches.
    pub fn commit(&mut self, now: Instant, ops: Vec<Op>) -> Result<Committed, CommitError> {
        let staged = self.stage(ops)?;
        self.handle_timeout(now);

        self.version += 1;
        self.stats.commits += 1;
        let mut changed = 0;
        for (set, nodes) in staged {
            let (changes, of_value) = self.net_changes(set, nodes);
            changed += of_value;
            self.apply(set, &changes);
        }
        self.stats.nodes_changed += changed;
        Ok(Committed { commit: self.stats.commits, changed })
    }

    /// Checks a query in full: set, filter, order, limit, fields.
    pub fn prepare(&self, query: &Query) -> Result<Plan, QueryError> {
        let limits = &self.limits.query;
        let Some((set, _, def)) = self.sets.get_full(&query.set) else {
            let edge = shortened(&query.set);
            return Err(QueryError::UnknownSet { edge, hint: self.hint(&query.set) });
        };
        let filter =
            Filter::parse(query.filter.as_deref().unwrap_or(""), limits).map_err(QueryError::Filter)?;
        let order =
            Order::parse(query.order_by.as_deref().unwrap_or(""), limits).map_err(QueryError::Order)?;
        let max = self.limits.enforced_window();
        let cap = match query.limit {
            Some(0) => return Err(QueryError::ZeroLimit),
            Some(limit) => usize::try_from(limit).map_or(max, |limit| limit.min(max)),
            None => max,
        };
        let projection = match &query.fields {
            Some(fields) => Projection::parse(fields, &def.key, limits).map_err(QueryError::Fields)?,
            None => Projection::whole(),
        };
        Ok(Plan { set, filter, order, cap, projection })
    }

    /// The result of a query now. Where no view of the same identity is held, costs a filter evaluation for each node
    /// of the set.
    pub fn evaluate(&mut self, now: Instant, plan: &Plan) -> Snapshot {
        self.handle_timeout(now);
        if let Some(view) = self.by_identity.get(&identity(plan)).and_then(|key| self.views.get(key)) {
            return snapshot(view, &plan.projection, self.version);
        }
        let Some((_, set)) = self.sets.get_index(plan.set) else {
            return Snapshot { version: self.version, total_count: 0, capped: false, rows: Vec::new() };
        };
        let mut total_count = 0;
        // The first `cap` so far, the last of them on top.
        let mut first: BinaryHeap<(Bytes, ByRank)> = BinaryHeap::new();
        for row in set.rows.values() {
            self.stats.rows_visited += 1;
            self.stats.predicates_evaluated += 1;
            if !plan.filter.matches(&row.value, self.now) {
                continue;
            }
            total_count += 1;
            let rank = view::rank(&plan.order, row);
            if first.len() < plan.cap {
                first.push((rank, ByRank(row.clone())));
            } else if first.peek().is_some_and(|(last, _)| rank < *last) {
                first.pop();
                first.push((rank, ByRank(row.clone())));
            }
        }
        let rows = first
            .into_sorted_vec()
            .into_iter()
            .map(|(rank, ByRank(row))| {
                (row.id.clone(), Doc { data: plan.projection.project(&row.raw), rank })
            })
            .collect();
        Snapshot { version: self.version, total_count, capped: total_count > plan.cap as u64, rows }
    }

    /// Opens a live query: its result now, and from here on an [`Update`] for whatever changes it.
    ///
    /// Queries of one identity share a view, and with one projection a feed; each `open` wants its own
    /// [`close`](Engine::close). Updates that are queued already belong to those who had the feed before: drain them
    /// first. A new view costs a filter evaluation for each node of the set.
    pub fn open(&mut self, now: Instant, plan: &Plan) -> Result<(FeedId, Snapshot), TooManyViews> {
        self.handle_timeout(now);
        let identity = identity(plan);
        let key = match self.by_identity.get(&identity) {
            Some(key) => *key,
            None => self.build_view(identity, plan)?,
        };
        let existing = self.views.get(&key).and_then(|view| {
            let shows =
                |id: &&FeedId| self.feeds.get(*id).is_some_and(|feed| feed.projection == plan.projection);
            view.feeds.iter().find(shows).copied()
        });
        let feed = existing.unwrap_or_else(|| {
            let id = FeedId(self.fresh_key());
            self.feeds.insert(id, Feed::new(key, plan.projection.clone()));
            if let Some(view) = self.views.get_mut(&key) {
                view.feeds.push(id);
            }
            id
        });
        if let Some(feed) = self.feeds.get_mut(&feed) {
            feed.opened += 1;
        }
        Ok((feed, snapshot(&self.views[&key], &plan.projection, self.version)))
    }

    /// Takes back one [`open`](Engine::open); with the last one the feed is gone, and with the last feed its view.
    /// Updates of it that are queued still come.
    pub fn close(&mut self, feed: FeedId) {
        let Some(entry) = self.feeds.get_mut(&feed) else { return };
        entry.opened -= 1;
        if entry.opened > 0 {
            return;
        }
        let key = entry.view;
        self.feeds.remove(&feed);
        let Some(view) = self.views.get_mut(&key) else { return };
        view.feeds.retain(|id| *id != feed);
        if !view.feeds.is_empty() {
            return;
        }
        if let Some(view) = self.views.remove(&key) {
            self.by_identity.remove(&view.identity);
            self.timed.swap_remove(&key);
            self.deadlines.set(key, None);
            if let Some((_, set)) = self.sets.get_index_mut(view.identity.set) {
                set.index.remove(key, &view.access);
            }
        }
    }

    /// Makes every result true as of `now`. A `now` before the last one is a clock set back: the queries over time
    /// are evaluated again, at the cost of every node of their sets.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.now {
            self.now = now;
            self.set_back();
            return;
        }
        self.now = now;
        // One step for all that is due: the net change from the last `now` to this one.
        let mut stepped = false;
        while let Some((_, key)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            if !stepped {
                self.version += 1;
                stepped = true;
            }
            self.step_view(key, |view, set, stats| view.advance(now, |id| set.rows.get(id), stats));
        }
    }

    /// When time alone will next change a result; `None` while no query waits for time.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| at)
    }

    /// The next update, in order; drain until `None`.
    pub fn poll_update(&mut self) -> Option<Update> {
        self.updates.pop_front()
    }

    /// A node's JSON as stored.
    pub fn node(&self, set: &str, id: &str) -> Option<Bytes> {
        self.sets.get(set)?.rows.get(id).map(|row| row.raw.clone())
    }

    /// Counts of what is held and what was done. Cost: O(sets + views over time).
    pub fn stats(&self) -> Stats {
        let timed = self.timed.iter().filter_map(|key| self.views.get(key));
        Stats {
            nodes: self.sets.values().map(|set| set.rows.len() as u64).sum(),
            views: self.views.len() as u64,
            feeds: self.feeds.len() as u64,
            deadlines: timed.map(|view| view.deadlines() as u64).sum(),
            ..self.stats
        }
    }

    /// The version of the newest commit or step of time.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Reads and checks every operation; changes nothing.
    fn stage(&self, ops: Vec<Op>) -> Result<IndexMap<usize, SetChanges, FixedState>, CommitError> {
        let max = self.limits.max_ops_per_commit;
        if ops.len() > max {
            let problem = OpProblem::TooMany { what: "operations in a commit", max };
            return Err(CommitError { index: max, problem: Box::new(problem) });
        }
        let mut staged: IndexMap<usize, Staged, FixedState> = IndexMap::default();
        for (index, op) in ops.into_iter().enumerate() {
            let refused = |problem| CommitError { index, problem: Box::new(problem) };
            let name = match &op {
                Op::Upsert { set, .. } | Op::Remove { set, .. } => set,
            };
            let Some((position, _, set)) = self.sets.get_full(name) else {
                let set = shortened(name);
                return Err(refused(OpProblem::UnknownSet { set, hint: self.hint(name) }));
            };
            let (id, row) = match op {
                Op::Upsert { node, .. } => {
                    let row = set.admit(&node, &self.limits).map_err(refused)?;
                    (row.id.clone(), Some(Arc::new(row)))
                }
                Op::Remove { id, .. } => {
                    set.check_id(&id, &self.limits).map_err(refused)?;
                    (NodeId::from(id), None)
                }
            };
            let staged = staged.entry(position).or_default();
            let is = row.is_some();
            let was = match staged.nodes.insert(id.clone(), row) {
                Some(earlier) => earlier.is_some(),
                None => set.rows.contains_key(&id),
            };
            match (was, is) {
                (false, true) => (staged.growth, staged.grown_by) = (staged.growth + 1, index),
                (true, false) => staged.growth -= 1,
                (true, true) | (false, false) => {}
            }
        }
        let max = self.limits.max_nodes_per_set;
        for (position, staged) in &staged {
            let held = self.sets.get_index(*position).map_or(0, |(_, set)| set.rows.len());
            if staged.growth > 0 && held.saturating_add_signed(staged.growth) > max {
                let problem = OpProblem::TooMany { what: "nodes in a set", max };
                return Err(CommitError { index: staged.grown_by, problem: Box::new(problem) });
            }
        }
        Ok(staged.into_iter().map(|(position, staged)| (position, staged.nodes)).collect())
    }

    /// Leaves out what is as it was; also tells how many nodes have another value.
    fn net_changes(&self, set: usize, nodes: SetChanges) -> (Vec<RowChange>, u64) {
        let Some((_, set)) = self.sets.get_index(set) else { return (Vec::new(), 0) };
        let mut respelled = 0;
        let mut changes = Vec::with_capacity(nodes.len());
        for (id, mut after) in nodes {
            let before = set.rows.get(&id).cloned();
            match (&before, &mut after) {
                (None, None) => continue,
                (Some(before), Some(after)) if before.value == after.value => {
                    if before.value.computes_alike(&after.value) {
                        continue;
                    }
                    // The same value, of which sums can come out otherwise: the filter is to see it as it is now. What
                    // was sent stays good, so its bytes stay: all who watch hold the same ones.
                    respelled += 1;
                    if let Some(after) = Arc::get_mut(after) {
                        after.raw = before.raw.clone();
                    }
                }
                _ => {}
            }
            changes.push(RowChange { before, after });
        }
        let changed = changes.len() as u64 - respelled;
        (changes, changed)
    }

    fn apply(&mut self, set: usize, changes: &[RowChange]) {
        let Some((_, entry)) = self.sets.get_index_mut(set) else { return };
        if changes.is_empty() {
            return;
        }
        entry.store(changes);
        let (now, entry) = (self.now, &*entry);
        // Which change may touch which view, but for those that no index can tell.
        let mut touching = 0;
        let mut found: Vec<(ViewKey, usize, Side)> = Vec::new();
        for (position, RowChange { before, after }) in changes.iter().enumerate() {
            for (side, row) in [(Side::Before, before), (Side::After, after)] {
                if let Some(row) = row {
                    entry.index.candidates(&row.value, |view| found.push((view, position, side)));
                }
            }
        }
        found.sort_unstable();
        let scanned: Vec<ViewKey> = entry.index.scanned().collect();
        self.stats.candidates_scanned += (scanned.len() * changes.len()) as u64;

        for of_view in found.chunk_by(|(a, ..), (b, ..)| a == b) {
            let touches = of_view.chunk_by(|(_, a, _), (_, b, _)| a == b).map(|sides| Touch {
                change: &changes[sides[0].1],
                before: sides.iter().any(|(.., side)| *side == Side::Before),
                after: sides.iter().any(|(.., side)| *side == Side::After),
            });
            self.step_view(of_view[0].0, |view, _, stats| {
                view.apply(touches.inspect(|_| touching += 1), now, stats)
            });
        }
        for key in scanned {
            let touches = changes.iter().map(|change| Touch { change, before: true, after: true });
            self.step_view(key, |view, _, stats| view.apply(touches, now, stats));
        }
        self.stats.candidates_found += touching;
    }

    fn set_back(&mut self) {
        self.stats.clock_set_back += 1;
        if self.timed.is_empty() {
            return;
        }
        self.version += 1;
        let now = self.now;
        for position in 0..self.timed.len() {
            if let Some(key) = self.timed.get_index(position).copied() {
                self.step_view(key, |view, set, stats| view.reconsider(set.rows.values(), now, stats));
            }
        }
    }

    /// Lets one view take a step, and queues what its feeds have to say of it.
    fn step_view(
        &mut self,
        key: ViewKey,
        step: impl FnOnce(&mut View, &Set, &mut Stats) -> Vec<WindowChange>,
    ) {
        let Some(view) = self.views.get_mut(&key) else { return };
        let Some((_, set)) = self.sets.get_index(view.identity.set) else { return };
        let total_before = view.window.total();
        let changes = step(view, set, &mut self.stats);
        if view.uses_now() {
            self.deadlines.set(key, view.deadline());
        }
        if changes.is_empty() && view.window.total() == total_before {
            return;
        }
        self.stats.count_window_changes(&changes);
        for id in &view.feeds {
            let Some(feed) = self.feeds.get(id) else { continue };
            let changes = feed.show(&changes);
            if changes.is_empty() && view.window.total() == total_before {
                continue;
            }
            self.stats.changes_out += changes.len() as u64;
            self.updates.push_back(Update {
                feed: *id,
                version: self.version,
                total_count: view.window.total() as u64,
                capped: view.window.capped(),
                changes,
            });
        }
    }

    fn build_view(&mut self, identity: Identity, plan: &Plan) -> Result<ViewKey, TooManyViews> {
        if self.views.len() >= self.limits.max_views {
            return Err(TooManyViews { max: self.limits.max_views });
        }
        let key = ViewKey(self.fresh_key());
        if let Some((_, set)) = self.sets.get_index_mut(identity.set) {
            let access = Access::of(plan.filter.expr(), &set.schema);
            set.index.insert(key, &access);
            let (filter, order) = (plan.filter.clone(), plan.order.clone());
            let rows = set.rows.values();
            let view = View::build(identity.clone(), access, filter, order, rows, self.now, &mut self.stats);
            if view.uses_now() {
                self.timed.insert(key);
                self.deadlines.set(key, view.deadline());
            }
            self.views.insert(key, view);
            self.by_identity.insert(identity, key);
        }
        Ok(key)
    }

    fn fresh_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    /// ` (did you mean '…'?)` where a set of a similar name is defined.
    fn hint(&self, name: &str) -> String {
        suggest::hint(name, self.set_names())
    }
}

fn identity(plan: &Plan) -> Identity {
    Identity {
        set: plan.set,
        filter: plan.filter.canonical().into(),
        order: plan.order.canonical().into(),
        cap: plan.cap,
    }
}

fn snapshot(view: &View, projection: &Projection, version: u64) -> Snapshot {
    let doc = |(rank, row): (&Bytes, &Arc<Row>)| {
        (row.id.clone(), Doc { data: projection.project(&row.raw), rank: rank.clone() })
    };
    Snapshot {
        version,
        total_count: view.window.total() as u64,
        capped: view.window.capped(),
        rows: view.window.iter().map(doc).collect(),
    }
}

/// A row in the heap of a one-shot query, where ranks are unique and decide alone.
struct ByRank(Arc<Row>);

impl PartialEq for ByRank {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for ByRank {}

impl PartialOrd for ByRank {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByRank {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

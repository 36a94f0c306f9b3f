//! Views, and what brings changes to them. A shard owns part of the queries; it looks at the data and never writes it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use slab::Slab;
use smallvec::SmallVec;

mod again;
mod beginnings;
pub(crate) mod behind;
pub(crate) mod create;
mod filing;
pub(crate) mod predicates;
mod refill;
pub(crate) mod source;
mod time;
pub(crate) mod timers;
pub(crate) mod view;
pub(crate) mod window;

use liveset_core::model::{Count, Reason};

use crate::{
    filter::Fields as _,
    limits::Tuning,
    order::rank,
    seed::Keyed,
    shard::{
        predicates::{Extent, Found, Predicates, Sides, Way},
        refill::{CHEAP_REFILL, Refill, refill},
        source::{PROBE_STEPS, lies_in},
        view::{Cursor, Feed, Filling, Identity, Proof, Shape, SharedFilter, Timed, Touches, View},
        window::{Cause, Step, Window, WindowChange},
    },
    stats::Account,
    steps::Cost,
    store::{
        index::{Wish, ties},
        row::Row,
        set::{RowChange, Rows, Set},
        sorting::Sorting,
    },
    time::Instant,
    update::{FeedId, Shown, Update},
};

/// What a shard can be told of: all sets, by their numbers. The host names them, so the names need no seed.
pub(crate) type Sets = indexmap::IndexMap<Arc<str>, Set, FixedState>;

/// A change that was found to touch a filter or a stretch.
#[derive(Clone, Copy, Debug)]
struct Touch {
    change: u32,
    sides: Sides,
    next: u32,
}

const END: u32 = u32::MAX;

/// Rows that are tried on a filter.
#[derive(Clone, Copy, Debug, Default)]
struct Tried {
    rows: u64,
    /// How often a version of one of them is looked at.
    sides: u64,
    /// Blocks of JSON in these.
    blocks: u64,
}

impl Tried {
    fn add(&mut self, row: &Row, times: u64) {
        self.sides += times;
        self.blocks += times * (row.raw.len() as u64).div_ceil(16);
    }

    fn of_changes<'a>(changes: impl Iterator<Item = &'a RowChange>) -> Self {
        changes.fold(Self::default(), |mut tried, RowChange { before, after, .. }| {
            tried.rows += 1;
            before.iter().chain(after).for_each(|row| tried.add(row, 1));
            tried
        })
    }

    /// Rows that time may have turned: a filter is asked for two moments, and once more for the tests over time.
    fn of_turned<'a>(rows: impl Iterator<Item = &'a Arc<Row>>) -> Self {
        rows.fold(Self::default(), |mut tried, row| {
            tried.rows += 1;
            tried.add(row, 4);
            tried
        })
    }
}

/// Buffers that are used again for each step.
#[derive(Debug, Default)]
struct Scratch {
    touches: Vec<Touch>,
    /// What was touched, in the order of the first touch.
    touched: Vec<Found>,
}

/// One part of the queries, with everything that keeps their results true.
#[derive(Debug)]
pub(crate) struct Shard {
    keyed: Keyed,
    views: Slab<View>,
    filters: Slab<SharedFilter>,
    by_identity: HashMap<Identity, u32, Keyed>,
    by_filter: HashMap<(usize, Arc<str>), u32, Keyed>,
    /// The view of each feed.
    pub(crate) feeds: HashMap<FeedId, u32, FixedState>,
    /// By the number of the set.
    predicates: Vec<Predicates>,
    /// The next timer of each filter that has a timer for each node.
    deadlines: BTreeSet<(Instant, u32)>,
    pub(crate) updates: VecDeque<Update>,
    pub(crate) work: Account,
    /// Windows whose reserve is low.
    low: Vec<u32>,
    /// Filters that are found in vain too often.
    misplaced: Vec<u32>,
    /// Filters that are behind their set, in turn.
    behind: VecDeque<u32>,
    /// Sets of those for which time has passed without an entry of their history.
    overdue: BTreeSet<usize>,
    /// Views whose rows are to be looked at once more.
    again: Vec<u32>,
    /// Feeds of which another result is complete than that of the newest version: up to which, or none of these any more.
    pub(crate) lags: VecDeque<(FeedId, Option<u64>)>,
    window_bytes: usize,
    /// By the number of the set: what a changed row costs the views over it.
    standing: Vec<u64>,
    scanned: usize,
    /// Filters over time.
    timed: usize,
    step: u64,
    scratch: Scratch,
}

/// What a step looks at besides the shard itself.
#[derive(Clone, Copy)]
pub(crate) struct AsOf<'a> {
    pub(crate) rows: Rows<'a>,
    pub(crate) now: Instant,
    pub(crate) version: u64,
    pub(crate) tuning: Tuning,
}

impl Shard {
    pub(crate) fn new(keyed: Keyed) -> Self {
        Self {
            keyed,
            views: Slab::new(),
            filters: Slab::new(),
            by_identity: HashMap::with_hasher(keyed),
            by_filter: HashMap::with_hasher(keyed),
            feeds: HashMap::default(),
            predicates: Vec::new(),
            deadlines: BTreeSet::new(),
            updates: VecDeque::new(),
            work: Account::default(),
            low: Vec::new(),
            misplaced: Vec::new(),
            behind: VecDeque::new(),
            overdue: BTreeSet::new(),
            again: Vec::new(),
            lags: VecDeque::new(),
            window_bytes: 0,
            standing: Vec::new(),
            scanned: 0,
            timed: 0,
            step: 0,
            scratch: Scratch::default(),
        }
    }

    // --- a commit ---

    /// Brings the views up to a commit's changes of one set: those that an index finds as far as `left` steps allow, and the others
    /// as far as `for_scans` does, which are theirs whatever else there was to do. What is beyond falls behind.
    pub(crate) fn apply(&mut self, set: usize, moment: AsOf<'_>, left: &mut u64, for_scans: &mut u64) {
        let changes = moment.rows.changes;
        if changes.is_empty() || self.predicates.get(set).is_none_or(Predicates::is_empty) {
            return;
        }
        // What an index finds costs a change little, however many changes there are: it has its turn first.
        let columns = LOOK_UP_STEPS * self.predicates[set].columns() as u64;
        let own = (INDEXED_STEPS + columns).saturating_mul(changes.len() as u64);
        let mut indexed = left.saturating_add(own);
        self.step += 1;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.touches.clear();
        scratch.touched.clear();
        for (place, RowChange { before, after, .. }) in changes.iter().enumerate() {
            let (before, after) = (before.as_deref(), after.as_deref());
            let Self { predicates, filters, views, step, work, .. } = self;
            predicates[set].candidates(before, after, |found, sides, way| {
                match way {
                    Way::Value => work.candidates_by_value += 1,
                    Way::Item => work.candidates_by_item += 1,
                    Way::Range => work.candidates_by_range += 1,
                    Way::Stretch => work.candidates_by_stretch += 1,
                }
                let touches = match found {
                    // A filter that is behind takes the commit out of the history.
                    Found::Filter(filter) => filters
                        .get_mut(filter as usize)
                        .filter(|filter| filter.is_current())
                        .map(|filter| &mut filter.touches),
                    Found::Stretch(view) => match views.get_mut(view as usize).map(|view| &mut view.shape) {
                        Some(Shape::Stretch { touches, .. }) => Some(touches),
                        _ => None,
                    },
                };
                if let Some(touches) = touches {
                    scratch.touch(touches, *step, found, place as u32, sides);
                }
            });
        }
        self.work.candidates_found += scratch.touches.len() as u64;
        let looked_up = columns * changes.len() as u64 + scratch.touches.len() as u64;
        self.work.steps += looked_up;
        indexed = indexed.saturating_sub(looked_up);
        for found in &scratch.touched {
            match *found {
                Found::Filter(filter) => {
                    let first = self.filters[filter as usize].touches.first;
                    let touched = scratch.chain(first).map(|touch| &changes[touch.change as usize]);
                    if self.most_steps(filter, Tried::of_changes(touched)) > indexed {
                        self.fall_behind(filter, moment.now, moment);
                        continue;
                    }
                    let touches = scratch.chain(first);
                    let touches = touches.map(|touch| (&changes[touch.change as usize], touch.sides));
                    self.apply_to_filter(filter, touches, moment, &mut indexed);
                }
                Found::Stretch(view) => {
                    let Shape::Stretch { touches, .. } = &self.views[view as usize].shape else { continue };
                    let touches = scratch.chain(touches.first);
                    let touched = touches.map(|touch| &changes[touch.change as usize]);
                    self.apply_to_stretch(view, touched, moment, &mut indexed);
                }
            }
        }
        *left = (*left).min(indexed);
        let before = *for_scans;
        let mut scanned: SmallVec<[u32; 8]> = self.predicates[set].scanned().collect();
        let all = Tried::of_changes(changes.iter());
        if scanned.iter().map(|filter| self.most_steps(*filter, all)).fold(0, u64::saturating_add)
            > *for_scans
        {
            // Who costs little does not wait for who costs much.
            scanned.sort_by_cached_key(|filter| self.most_steps(*filter, all));
        }
        for filter in scanned {
            if !self.filters[filter as usize].is_current() {
                continue;
            }
            if self.most_steps(filter, all) > *for_scans {
                self.fall_behind(filter, moment.now, moment);
                continue;
            }
            self.work.candidates_scanned += changes.len() as u64;
            let touches = changes.iter().map(|change| (change, Sides::BOTH));
            self.apply_to_filter(filter, touches, moment, for_scans);
        }
        *left = left.saturating_sub(before - *for_scans);
        self.scratch = scratch;
        self.replenish(set, moment, left);
        let filters = &self.filters;
        let is_of_set = |id: &mut u32| filters.get(*id as usize).is_none_or(|filter| filter.set == set);
        let mut misplaced: Vec<u32> = self.misplaced.extract_if(.., is_of_set).collect();
        while let Some(filter) = misplaced.pop() {
            let steps = self.filters.get(filter as usize).map_or(0, SharedFilter::reconsider_steps);
            if steps.saturating_add(RECONSIDER_STEPS) > *left {
                misplaced.push(filter);
                break;
            }
            self.reconsider_access(filter, moment, left);
        }
        self.misplaced.append(&mut misplaced);
    }

    /// The most steps that it takes to try some rows on a filter, and to move them in its views.
    fn most_steps(&self, filter: u32, rows: Tried) -> u64 {
        let filter = &self.filters[filter as usize];
        let of = |cost: Cost, times: u64, blocks: u64| {
            cost.fixed.saturating_mul(times).saturating_add(cost.per_block.saturating_mul(blocks))
        };
        let tried = of(filter.cost, rows.sides, rows.blocks);
        tried.saturating_add(of(filter.moves, rows.rows, rows.blocks))
    }

    fn apply_to_filter<'a>(
        &mut self,
        id: u32,
        touches: impl Iterator<Item = (&'a RowChange, Sides)>,
        moment: AsOf<'a>,
        left: &mut u64,
    ) {
        let filter = &mut self.filters[id as usize];
        let mut steps: SmallVec<[Step<'_>; 2]> = SmallVec::new();
        let mut timer = None;
        let mut spent = 0;
        for (change, sides) in touches {
            filter.found = filter.found.saturating_add(1);
            let mut holds = |row: &&'a Arc<Row>| {
                let rest = match &filter.proof {
                    Proof::Found => return true,
                    Proof::Equal(column, value) => {
                        self.work.predicates_evaluated += 1;
                        spent += 1;
                        return row.at(column) == value;
                    }
                    Proof::Residue => filter.access.residue.as_ref(),
                    Proof::Whole => None,
                };
                self.work.predicates_evaluated += 1;
                match rest {
                    Some(rest) => filter.compiled.test_rest(rest, &***row, moment.now, &mut spent),
                    None => filter.compiled.test(&***row, moment.now, &mut spent),
                }
            };
            let before = change.before.as_ref().filter(|_| sides.before).filter(&mut holds);
            let after = change.after.as_ref().filter(|_| sides.after).filter(&mut holds);
            if let Timed::ByNode(timers) = &mut filter.timed {
                timer.get_or_insert_with(|| timers.next());
                let row = change.after.as_ref().filter(|_| sides.after);
                timers.set(
                    change.handle,
                    row.and_then(|row| filter.compiled.next_flip(&**row, moment.now, &mut spent)),
                );
            }
            if before.is_none() && after.is_none() {
                continue;
            }
            filter.held = filter.held.saturating_add(1);
            let cause = match (&change.before, &change.after) {
                (None, _) => Cause::Created,
                (_, None) => Cause::Deleted,
                _ => Cause::Changed,
            };
            steps.push(Step { handle: change.handle, before, after, cause });
        }
        if filter.is_misplaced() {
            self.misplaced.push(id);
        }
        let stepped = steps.len() as u64 * filter.views.len() as u64;
        if let Some(old) = timer {
            self.rearm(id, old);
        }
        // That it was tried is work too, where nothing was left to check.
        spent += 1 + WINDOW_STEPS * stepped;
        self.work.steps += spent;
        *left = left.saturating_sub(spent);
        self.step_views(id, &steps, moment, left);
    }

    fn apply_to_stretch<'a>(
        &mut self,
        id: u32,
        changes: impl Iterator<Item = &'a RowChange>,
        moment: AsOf<'a>,
        left: &mut u64,
    ) {
        let before = self.work.steps;
        let Self { views, predicates, updates, work, .. } = self;
        let view = &mut views[id as usize];
        let Shape::Stretch { extent, stretch, followed, .. } = &mut view.shape else { return };
        let set = moment.rows.set;
        let Some(order) = set.indexes.order(&view.sorting) else { return };
        let inside = |row: &&'a Arc<Row>| lies_in(row, &extent.column, extent.lo, extent.hi);
        let steps: SmallVec<[Step<'_>; 2]> = changes
            .filter_map(|change| {
                let before = change.before.as_ref().filter(inside);
                let after = change.after.as_ref().filter(inside);
                let cause = match (&change.before, &change.after) {
                    (None, _) => Cause::Created,
                    (_, None) => Cause::Deleted,
                    _ => Cause::Changed,
                };
                let touched = before.is_some() || after.is_some();
                touched.then_some(Step { handle: change.handle, before, after, cause })
            })
            .collect();
        let total_before = view.total;
        for step in steps.iter().filter(|_| *followed) {
            view.total = view.total + u64::from(step.after.is_some()) - u64::from(step.before.is_some());
        }
        work.windows_touched += 1;
        work.steps += WINDOW_STEPS * (1 + steps.len() as u64);
        let last = stretch.last();
        let start = || order.range(set, extent.lo, extent.hi).0;
        let is_inside = |row: &Row| lies_in(row, &extent.column, extent.lo, extent.hi);
        let changes = stretch.apply(&steps, &view.sorting, moment.rows, &order.tree, start, is_inside);
        if stretch.last() != last && !*followed {
            let key = stretch
                .last()
                .and_then(|last| set.row(last.row))
                .map(|row| rank::key(row.at(&extent.column)));
            predicates[view.identity.set].move_stretch(id, extent, key);
        }
        let count = followed.then(|| Count::new(view.total, view.identity.cap));
        let counted = *followed && view.total != total_before;
        emit(&view.feeds, &changes, count, counted, moment.version, updates, work);
        *left = left.saturating_sub(self.work.steps - before);
    }

    /// Lets the views of a filter take the steps that its nodes take. A window that runs out of rows, where `left` steps do not
    /// suffice to find more, is looked at once more as a whole.
    fn step_views(&mut self, id: u32, steps: &[Step<'_>], moment: AsOf<'_>, left: &mut u64) {
        if steps.is_empty() {
            return;
        }
        let Self { views, filters, updates, work, low, window_bytes, again, lags, .. } = self;
        let filter = &filters[id as usize];
        for view_id in &filter.views {
            let view = &mut views[*view_id as usize];
            if !view.is_done() {
                refill_later(view, steps, moment);
                continue;
            }
            let Shape::Window { window, .. } = &mut view.shape else { continue };
            let total_before = view.total;
            for step in steps {
                view.total = view.total + u64::from(step.after.is_some()) - u64::from(step.before.is_some());
            }
            work.windows_touched += 1;
            let (total, sorting) = (view.total as usize, &view.sorting);
            let changes = window.apply(steps, sorting, moment.rows, |window| {
                refill(window, total, filter, sorting, moment, work, left);
            });
            if window.is_short() {
                again::begin(view, &changes, total_before, moment, lags);
                again.push(*view_id);
                continue;
            }
            if window.wants().is_some() {
                low.push(*view_id);
            }
            weigh(window, &mut view.bytes, window_bytes);
            let before = work.steps;
            work.steps +=
                steps.iter().map(|step| step.key_steps(&view.sorting, view.identity.cap)).sum::<u64>();
            let count = Count::new(view.total, view.cap());
            emit(
                &view.feeds,
                &changes,
                Some(count),
                view.total != total_before,
                moment.version,
                updates,
                work,
            );
            *left = left.saturating_sub(work.steps - before);
        }
    }

    /// Fills the reserve of windows that have nearly used it up, as far as that costs little.
    fn replenish(&mut self, set: usize, moment: AsOf<'_>, left: &mut u64) {
        // Windows of other sets wait for a change of theirs.
        let is_of_set =
            |id: &mut u32| self.views.get(*id as usize).is_none_or(|view| view.identity.set == set);
        let low: Vec<u32> = self.low.extract_if(.., is_of_set).collect();
        for id in low {
            let Some(view) = self.views.get_mut(id as usize) else { continue };
            let Shape::Window { filter, window } = &mut view.shape else { continue };
            let (filter, total) = (&self.filters[*filter as usize], view.total as usize);
            if window.wants().is_none() || !view.filling.is_done() || !filter.is_current() {
                continue;
            }
            let asking = PROBE_STEPS * filter.access.count as u64;
            self.work.steps += asking;
            *left = left.saturating_sub(asking);
            match Refill::cheapest(window, total, filter, &view.sorting, moment) {
                refill if refill.cost() <= CHEAP_REFILL && refill.steps(filter, moment) <= *left => {
                    if refill.asks_for_order() {
                        self.work.wishes.push((view.identity.set, Wish::Order(view.sorting.clone())));
                    }
                    refill.run(window, filter, &view.sorting, moment, &mut self.work, left);
                    weigh(window, &mut view.bytes, &mut self.window_bytes);
                }
                // Until the reserve has run out there is time to build the order that makes it cheap.
                _ => self.work.wishes.push((view.identity.set, Wish::Order(view.sorting.clone()))),
            }
        }
    }

    // --- looking in ---

    /// A view's window as it is: the rows in their order.
    pub(crate) fn entries<'a>(
        &'a self,
        id: u32,
        set: &'a Set,
    ) -> Box<dyn Iterator<Item = &'a Arc<Row>> + 'a> {
        let Some(view) = self.views.get(id as usize) else { return Box::new(std::iter::empty()) };
        match &view.shape {
            Shape::Window { window, filter } => match &view.filling {
                Filling::Again(_, shown) => Box::new(shown.rows.iter()),
                Filling::First(_) | Filling::Done => {
                    let rows = self.rows_of(*filter, set);
                    Box::new(window.entries().filter_map(move |entry| rows.current(entry.row)))
                }
            },
            Shape::Stretch { extent, stretch, .. } => match set.indexes.order(&view.sorting) {
                Some(order) => {
                    let start = order.range(set, extent.lo, extent.hi).0;
                    let entries = order.tree.iter_from(start).take(stretch.len());
                    Box::new(entries.filter_map(|entry| set.row(entry.row)))
                }
                None => Box::new(std::iter::empty()),
            },
        }
    }

    /// The position of a row in a view's window, from 0. O(log rows).
    pub(crate) fn position(&self, id: u32, set: &Set, row: &Row, handle: u32) -> Option<usize> {
        let view = self.views.get(id as usize)?;
        let rows = set.during(&[]);
        match &view.shape {
            Shape::Window { window, .. } => window.position(row, handle, &view.sorting, rows),
            Shape::Stretch { extent, stretch, .. } => {
                let (position, (start, _)) = place_in_order(view, extent, set, row, handle)?;
                position.checked_sub(start).filter(|position| *position < stretch.len())
            }
        }
    }

    /// Whether a row passes the filter of a view.
    pub(crate) fn matches(&self, id: u32, set: &Set, row: &Row, handle: u32, now: Instant) -> Option<bool> {
        let view = self.views.get(id as usize)?;
        match &view.shape {
            Shape::Window { filter, .. } => {
                let SharedFilter { compiled, is_all, .. } = self.filters.get(*filter as usize)?;
                let holds = |row: &Row| compiled.matches(row, now);
                let layout = set.layout();
                Some(
                    *is_all
                        || if row.is_laid_out(layout) { holds(row) } else { holds(&row.laid_out(layout)) },
                )
            }
            Shape::Stretch { extent, .. } => {
                let (position, (start, end)) = place_in_order(view, extent, set, row, handle)?;
                Some((start..end).contains(&position))
            }
        }
    }

    /// How many nodes match a view.
    pub(crate) fn total(&self, id: u32, set: &Set) -> u64 {
        let Some(view) = self.views.get(id as usize) else { return 0 };
        match &view.shape {
            Shape::Stretch { extent, followed: false, .. } => {
                set.indexes.order(&view.sorting).map_or(0, |order| {
                    let (start, end) = order.range(set, extent.lo, extent.hi);
                    (end - start) as u64
                })
            }
            _ => match &view.filling {
                Filling::Again(_, shown) => shown.total,
                Filling::First(_) | Filling::Done => view.total,
            },
        }
    }

    pub(crate) fn view(&self, id: u32) -> Option<&View> {
        self.views.get(id as usize)
    }

    pub(crate) fn view_of(&self, identity: &Identity) -> Option<u32> {
        self.by_identity.get(identity).copied()
    }

    pub(crate) fn filter_of(&self, set: usize, canonical: &Arc<str>) -> Option<u32> {
        self.by_filter.get(&(set, canonical.clone())).copied()
    }

    pub(crate) fn filter(&self, id: u32) -> Option<&SharedFilter> {
        self.filters.get(id as usize)
    }

    pub(crate) fn predicates(&self, set: usize) -> Option<&Predicates> {
        self.predicates.get(set)
    }

    pub(crate) fn view_count(&self) -> usize {
        self.views.len()
    }

    /// Whether time can change a result.
    pub(crate) fn is_timed(&self) -> bool {
        self.timed > 0
    }

    pub(crate) fn scanned_count(&self) -> usize {
        self.scanned
    }

    /// Nodes that have a timer of their own.
    pub(crate) fn timer_count(&self) -> usize {
        let by_node = |(_, filter): (usize, &SharedFilter)| match &filter.timed {
            Timed::ByNode(timers) => timers.len(),
            _ => 0,
        };
        match self.deadlines.is_empty() {
            true => 0,
            false => self.filters.iter().map(by_node).sum(),
        }
    }

    /// What a changed row of a set costs the views over it.
    pub(crate) fn standing_steps(&self, set: usize) -> u64 {
        self.standing.get(set).copied().unwrap_or(0)
    }

    /// Bytes held by windows.
    pub(crate) fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    /// The same, by looking at each window; and what their trees hold in truth.
    #[cfg(test)]
    pub(crate) fn recounted_window_bytes(&self) -> (usize, usize) {
        let bytes = |view: &View| match &view.shape {
            Shape::Window { window, .. } if view.is_filled() => (window.bytes(), window.tree_bytes()),
            Shape::Window { window, .. } => (view.bytes, window.tree_bytes()),
            Shape::Stretch { .. } => (0, 0),
        };
        self.views.iter().map(|(_, view)| bytes(view)).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    }

    /// Bytes held by windows, and by what finds queries.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let views =
            self.views.capacity() * size_of::<View>() + self.filters.capacity() * size_of::<SharedFilter>();
        (self.window_bytes, self.predicates.iter().map(Predicates::bytes).sum::<usize>() + views)
    }
}

impl Scratch {
    fn touch(&mut self, touches: &mut Touches, step: u64, found: Found, change: u32, sides: Sides) {
        let next = self.touches.len() as u32;
        if touches.step != step {
            *touches = Touches { step, first: next, last: next };
            self.touched.push(found);
        } else {
            let last = &mut self.touches[touches.last as usize];
            if last.change == change {
                last.sides = last.sides.and(sides);
                return;
            }
            last.next = next;
            touches.last = next;
        }
        self.touches.push(Touch { change, sides, next: END });
    }

    fn chain(&self, first: u32) -> impl Iterator<Item = Touch> + '_ {
        let mut next = first;
        std::iter::from_fn(move || {
            let touch = *self.touches.get(next as usize)?;
            next = touch.next;
            Some(touch)
        })
    }
}

/// Queues what the feeds of a view have to say of a step.
fn emit(
    shown_by: &[Feed],
    changes: &[WindowChange],
    count: Option<Count>,
    counted: bool,
    version: u64,
    updates: &mut VecDeque<Update>,
    work: &mut Account,
) {
    if changes.is_empty() && !counted {
        return;
    }
    note_reasons(changes, work);
    for feed in shown_by {
        work.steps += 1;
        let shown = feed.show(changes, &mut work.steps);
        if shown.is_empty() && !(counted && feed.follows_count) {
            continue;
        }
        work.changes_out += shown.len() as u64;
        updates.push_back(Update {
            feed: feed.id,
            version,
            count,
            changes: shown,
            shown: feed.shown.clone(),
        });
    }
}

/// Counts why rows came and went.
fn note_reasons(changes: &[WindowChange], work: &mut Account) {
    for change in changes {
        match change.reason {
            Some(Reason::Refilled) => work.refilled += 1,
            Some(Reason::Displaced) => work.displaced += 1,
            _ => {}
        }
    }
}

/// Where a row stands in the order that a view is a stretch of, and that stretch.
fn place_in_order(
    view: &View,
    extent: &Extent,
    set: &Set,
    row: &Row,
    handle: u32,
) -> Option<(usize, (usize, usize))> {
    let order = set.indexes.order(&view.sorting)?;
    let rows = set.during(&[]);
    let ties = ties(&view.sorting, row, handle, |row| rows.current(row));
    let position = order.tree.find(view.sorting.prefix(row), ties).ok()?;
    Some((position, order.range(set, extent.lo, extent.hi)))
}

/// Counts a window as what it holds now, in place of what it was counted as. O(1).
fn weigh(window: &Window, counted: &mut usize, all: &mut usize) {
    let bytes = window.bytes();
    *all = *all + bytes - *counted;
    *counted = bytes;
}

/// A view that is being filled takes in changes of the rows that it has seen already; it has nothing to say of them yet.
fn refill_later(view: &mut View, steps: &[Step<'_>], moment: AsOf<'_>) {
    view.filling.grow_stale();
    let (Filling::First(cursor) | Filling::Again(cursor, _)) = &mut view.filling else { return };
    let Shape::Window { window, .. } = &mut view.shape else { return };
    let sorting = &view.sorting;
    for step in steps.iter().filter(|step| cursor.has_seen(step.handle)) {
        if let Some(row) = step.before {
            view.total -= 1;
            window.unfill(step.handle, row, sorting, moment.rows);
        }
    }
    for step in steps {
        let Some(row) = step.after else { continue };
        if !cursor.has_seen(step.handle) {
            if cursor.handles.is_none() {
                // It will be come to.
                continue;
            }
            cursor.ahead.insert(step.handle);
        }
        view.total += 1;
        window.fill(step.handle, row, sorting, moment.rows);
    }
    if window.is_short() {
        // More has left than the reserve could make good.
        restart(view);
    }
}

/// Looks at the rows of a view from the beginning.
fn restart(view: &mut View) {
    if let Shape::Window { window, .. } = &mut view.shape {
        *window = Window::new(view.identity.cap);
    }
    view.total = 0;
    view.filling.grow_stale();
    match &mut view.filling {
        Filling::First(cursor) | Filling::Again(cursor, _) => *cursor = Cursor::default(),
        Filling::Done => {}
    }
}

/// Steps that a changed row may cost the queries that an index finds, on top of one hold.
const INDEXED_STEPS: u64 = 64;
/// The steps that it takes to move one row of a window.
pub(crate) const WINDOW_STEPS: u64 = 8;
/// The steps that it takes to look up a changed row by a column that filters are found by, before and after.
pub(crate) const LOOK_UP_STEPS: u64 = 2;
/// The steps that it takes to find a better access for a filter, besides those that its size makes.
const RECONSIDER_STEPS: u64 = 1_000;
/// What a feed is rendered with.
pub(crate) fn shown(sorting: &Arc<Sorting>, projection: &crate::projection::Projection) -> Arc<Shown> {
    Arc::new(Shown { sorting: sorting.clone(), projection: projection.clone() })
}

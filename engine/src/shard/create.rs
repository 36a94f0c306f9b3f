//! Making views, filling them, and letting them go.

use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::smallvec;

use crate::{
    allowance::Keeping,
    analysis::{self, Alternative, Class, TimeTest},
    filter::{Compiled, Fields as _},
    limits::{EngineLimits, Tuning},
    moments::{MOMENT_BYTES, MOMENT_STEPS},
    order::rank,
    query::Plan,
    shard::{
        AsOf, LOOK_UP_STEPS, Shard, WINDOW_STEPS,
        behind::Hold,
        predicates::{Extent, Filed, Predicates},
        shown,
        source::{PROBE_STEPS, Source, Span, extent, handle_steps, lay_out_sample, sample, wishes},
        view::{Cursor, Feed, Filling, Identity, Own, Pace, Shape, SharedFilter, Timed, Touches, View},
        window::{self, Window},
    },
    steps::Cost,
    store::{columns::Column, row::Reader, set::Set, set::index::Wish, sorting::Sorting},
    time::Timestamp,
    tree::Entry,
    update::FeedId,
};

/// What a value by which a filter is found takes, about.
const FILED_BYTES: usize = 25;
/// What is left to ask where a filter is found takes so much, for each of the ways into it, about.
const POSTING_BYTES: usize = 80;
/// What a view and its filter take besides, about.
const VIEW_BYTES: usize = size_of::<View>() + size_of::<SharedFilter>() + 256;

/// A filter is asked again how it is best found when it was found in vain so often.
const FOUND_IN_VAIN: u32 = 256;

/// A query made ready for its set.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) sorting: Arc<Sorting>,
    pub(crate) compiled: Compiled<Column>,
    pub(crate) access: Alternative<Column>,
    /// The tests over time, where an order of values tells when they change; `None` where each node needs a timer.
    pub(crate) time_tests: Option<Vec<(Column, TimeTest)>>,
    pub(crate) is_all: bool,
    /// All that the query reads.
    pub(crate) columns: Vec<Column>,
    /// Of so many rows that were looked at, how many the access finds, where that was asked.
    sampled: Option<(usize, usize)>,
}

/// What a query is the first to need.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct First {
    /// Fields.
    pub(crate) columns: u64,
    /// Tests over time.
    pub(crate) moments: u64,
}

/// The steps of planning a query, besides looking at some rows: it is compiled, and what finds it is compared.
fn planning_steps(plan: &Plan) -> u64 {
    (plan.filter.canonical().len() + plan.order.canonical().len()) as u64
}

impl Prepared {
    /// `None` where more than `max_columns` would be read of the set then; nothing has changed. Adds the steps that it took.
    pub(crate) fn new(
        set: &mut Set,
        plan: &Plan,
        now: Timestamp,
        limits: &EngineLimits,
        steps: &mut u64,
    ) -> Option<Self> {
        let tuning = limits.tuning;
        *steps += planning_steps(plan);
        let reads = set.reads(&plan.filter, &plan.order);
        if !set.has_room_for(&reads, limits.max_columns) {
            return None;
        }
        let columns = set.add_columns(&reads);
        columns.iter().for_each(Column::ask);
        let sorting = set.sorting(&plan.order);
        let compiled = plan.filter.over_columns(&mut |path, reading| set.column(path, reading));
        let ways = Ways::of(&compiled, tuning);
        if ways.usable > 1 {
            // What is looked at for many queries holds what is read now, not what was ever read.
            *steps += lay_out_sample(set);
        }
        let (access, sampled) = ways.choose(set, &columns, now, tuning, steps);
        let time_tests = if tuning.node_timers { None } else { analysis::time_tests(&compiled) };
        Some(Self { sorting, compiled, access, time_tests, is_all: plan.filter.is_all(), columns, sampled })
    }
}

/// The ways in which a filter may be found.
struct Ways {
    accesses: Vec<Alternative<Column>>,
    /// How many of them are to be chosen from, by number.
    usable: usize,
}

impl Ways {
    fn of(compiled: &Compiled<Column>, tuning: Tuning) -> Self {
        let mut accesses = analysis::alternatives(compiled);
        if tuning.scan_only {
            accesses.retain(|access| access.class == Class::Scan);
        }
        let scan = |access: &Alternative<Column>| access.class == Class::Scan;
        let usable = accesses.iter().position(scan).unwrap_or(accesses.len());
        Self { accesses, usable }
    }

    /// The one by which the fewest nodes would be looked at, as far as some of them tell; and how many of how many that are.
    fn choose(
        mut self,
        set: &Set,
        columns: &[Column],
        now: Timestamp,
        tuning: Tuning,
        steps: &mut u64,
    ) -> (Alternative<Column>, Option<(usize, usize)>) {
        let (place, sampled) = match (self.usable, tuning.alternative) {
            (0 | 1, _) => (0, None),
            (usable, Some(place)) => (place % usable, None),
            (usable, None) => {
                let (hits, rows) = sample(set, &self.accesses[..usable], columns, now, steps);
                // Of those that find as few, the one that is best by what it is.
                let place = (0..usable).min_by_key(|place| hits[*place]).unwrap_or(0);
                (place, Some((hits[place], rows)))
            }
        };
        (self.accesses.swap_remove(place), sampled)
    }
}

impl Prepared {
    /// The stretch of an order that it is, if it is one; see [`extent`].
    fn stretch(&self, tuning: Tuning) -> Option<(Column, bool, u128, u128)> {
        extent(&self.access, self.is_all, &self.sorting)
            .filter(|_| !self.compiled.uses_now() && !tuning.no_stretches)
    }

    /// The most bytes that its window may take over the set as it is: none where it is a stretch of an order that is kept anyway.
    pub(crate) fn most_window_bytes(&self, set: &Set, cap: usize, tuning: Tuning) -> usize {
        let is_stretch = self.stretch(tuning).is_some()
            && (tuning.stretches || set.indexes.order(&self.sorting).is_some());
        if is_stretch { 0 } else { Window::most_bytes(cap, set.len()) }
    }

    /// What it would cost to keep, but for what it shows of a node. Adds the steps of finding out.
    pub(crate) fn keeping(
        &self,
        set: &Set,
        plan: &Plan,
        first: First,
        now: Timestamp,
        tuning: Tuning,
        steps: &mut u64,
    ) -> (Keeping, Own) {
        // One row in so many is one of its own, as far as some of them tell.
        let own = match self.access.class {
            _ if self.is_all => Own::ALL,
            Class::Scan => Own::ALL,
            _ => {
                let sampled = self.sampled.unwrap_or_else(|| {
                    let access = std::slice::from_ref(&self.access);
                    let (hits, rows) = sample(set, access, &self.columns, now, steps);
                    (hits[0], rows)
                });
                Own { hits: sampled.0 as u64, of: sampled.1.max(1) as u64 }
            }
        };
        let tried = if self.is_all { 0 } else { self.compiled.cost().of(set.average_row_bytes()) };
        let change = tried.saturating_mul(2).saturating_add(WINDOW_STEPS);
        // Each changed row is looked up by each field, and may be the one that all tests over time wait for.
        let all = LOOK_UP_STEPS * first.columns + MOMENT_STEPS * first.moments;
        let names = 2 * (plan.filter.canonical().len() + plan.order.canonical().len());
        let postings = if self.access.is_proof() { 1 } else { self.access.count };
        let filed =
            FILED_BYTES * self.access.count + POSTING_BYTES * postings + MOMENT_BYTES * self.moments();
        let window = self.most_window_bytes(set, plan.cap, tuning);
        let keeping = Keeping {
            set: plan.set,
            standing_steps: own.of(change).saturating_add(all),
            bytes: (self.compiled.heap_bytes() + names + filed + window + VIEW_BYTES) as u64,
            columns: first.columns,
            is_unindexed: self.is_scanned(),
        };
        (keeping, own)
    }

    /// How many tests over time it asks.
    fn moments(&self) -> usize {
        if self.compiled.uses_now() { self.time_tests.as_ref().map_or(0, Vec::len) } else { 0 }
    }

    /// Whether every change would have to be tried on it.
    pub(crate) fn is_scanned(&self) -> bool {
        self.access.class == Class::Scan && !self.is_all
    }
}

impl Shard {
    /// Files a view; `tests` are the numbers of its filter's tests over time. It has no rows yet, and nothing is said of it until it is filled; see [`fill`](Self::fill).
    pub(crate) fn create(
        &mut self,
        set: &mut Set,
        identity: Identity,
        (prepared, keeping, own): (Prepared, Keeping, Own),
        mut tests: Vec<u32>,
        now: Timestamp,
        tuning: Tuning,
    ) -> u32 {
        let stretch = prepared.stretch(tuning);
        let Prepared { sorting, compiled, access, time_tests, is_all, columns, .. } = prepared;
        let number = identity.set;
        if self.predicates.len() <= number {
            self.standing.resize(number + 1, 0);
            self.predicates.resize_with(number + 1, || Predicates::new(self.keyed));
        }
        self.standing[number] += keeping.standing_steps;
        if let Some((column, descending, lo, hi)) = stretch {
            if tuning.stretches {
                set.indexes.begin(&Wish::Order(sorting.clone()));
                let mut left = u64::MAX;
                set.build_indexes(usize::MAX, &mut left);
            }
            if let Some(order) = set.indexes.order(&sorting) {
                let (start, end) = order.range(set, lo, hi);
                let stretch = window::Stretch::new(identity.cap, &order.tree, start, end);
                let extent = Extent { column, descending, lo, hi };
                set.indexes.pin(&sorting);
                let id = self.views.vacant_key() as u32;
                let last = last_key(set, &stretch, &extent);
                self.predicates[number].insert_stretch(id, &extent, last);
                self.views.insert(View {
                    identity: identity.clone(),
                    sorting,
                    shape: Shape::Stretch { extent, stretch, followed: false, touches: Touches::default() },
                    total: (end - start) as u64,
                    feeds: smallvec![],
                    filling: Filling::Done,
                    columns: Box::default(),
                    keeping,
                    own,
                    bytes: 0,
                });
                self.by_identity.insert(identity, id);
                return id;
            }
        }
        let known = self.by_filter.get(&(number, identity.filter.clone())).copied();
        let filter = known.unwrap_or_else(|| {
            tests.sort_unstable();
            let timed = match time_tests {
                _ if !compiled.uses_now() => Timed::No,
                Some(_) => Timed::ByOrder(tests.into()),
                None => Timed::ByNode(Box::default()),
            };
            let id = self.filters.vacant_key() as u32;
            let filter = SharedFilter {
                set: number,
                canonical: identity.filter.clone(),
                cost: match &timed {
                    Timed::ByNode(_) => compiled.cost().plus(compiled.flip_cost()),
                    Timed::No | Timed::ByOrder(_) => compiled.cost(),
                },
                pace: Pace::Current,
                columns: compiled.columns().iter().fold(0, |bits, column| bits | column.bit()),
                compiled: Box::new(compiled),
                access: Box::new(access),
                is_all,
                filed: Filed::default(),
                timed,
                views: smallvec![],
                moves: Cost::NONE,
                found: 0,
                held: 0,
                ask_again: FOUND_IN_VAIN,
                touches: Touches::default(),
            };
            self.timed += usize::from(!matches!(filter.timed, Timed::No));
            self.filters.insert(filter);
            self.file(id, now);
            self.by_filter.insert((number, identity.filter.clone()), id);
            id
        });
        let bytes = Window::most_bytes(identity.cap, set.len());
        let id = self.views.insert(View {
            identity: identity.clone(),
            sorting,
            shape: Shape::Window { filter, window: Window::new(identity.cap) },
            total: 0,
            feeds: smallvec![],
            filling: Filling::First(Cursor::default()),
            columns: columns.into(),
            keeping,
            own,
            bytes,
        }) as u32;
        self.window_bytes += bytes;
        self.filters[filter as usize].views.push(id);
        self.count_moves(filter);
        self.by_identity.insert(identity, id);
        id
    }

    /// What a row that a filter holds of costs its views and their feeds is another.
    fn count_moves(&mut self, id: u32) {
        let Some(filter) = self.filters.get_mut(id as usize) else { return };
        let views = filter.views.iter().filter_map(|view| self.views.get(*view as usize));
        let of_view = |view: &View| {
            let feeds = view.feeds.iter().map(|feed| feed.cost).sum::<Cost>();
            Cost::new(WINDOW_STEPS, 0).plus(feeds)
        };
        filter.moves = views.map(of_view).sum();
    }

    /// Looks at rows for a view that is being filled: at most `rows` of them, for about `left` steps. Returns how many it looked at.
    /// See [`Filling`]. The view's filter is up to date.
    pub(crate) fn fill(&mut self, id: u32, set: &mut Set, rows: usize, left: &mut u64, hold: Hold) -> usize {
        let Some(view) = self.views.get_mut(id as usize) else { return 0 };
        let filling = std::mem::replace(&mut view.filling, Filling::Done);
        let (mut cursor, shown) = match filling {
            Filling::Done => return 0,
            Filling::First(cursor) => (cursor, None),
            Filling::Again(cursor, shown) if shown.telling.is_some() => {
                view.filling = Filling::Again(cursor, shown);
                self.tell(id, left);
                return 0;
            }
            Filling::Again(cursor, shown) => (cursor, Some(shown)),
        };
        let Shape::Window { filter, window } = &mut view.shape else { return 0 };
        let filter_id = *filter;
        let SharedFilter { compiled, timed, access, is_all, .. } = &mut self.filters[filter_id as usize];
        let now = hold.now;
        let old_timer = match &*timed {
            Timed::ByNode(timers) => Some(timers.next()),
            _ => None,
        };
        let mut spent = 0;
        if !cursor.is_begun {
            let span = if old_timer.is_some() { Span::From(now) } else { Span::At(now) };
            // An index that finds very many spares little.
            let source = Source::of(set, access, span).within(hold.steps / 2);
            spent += PROBE_STEPS * access.count as u64;
            let taking = handle_steps(if let Source::Candidates { count, .. } = source { count } else { 0 });
            if taking + spent > *left && !cursor.has_waited {
                // Another slice has room for it.
                cursor.has_waited = true;
                *left = 0;
                view.filling = match shown {
                    None => Filling::First(cursor),
                    Some(shown) => Filling::Again(cursor, shown),
                };
                return 0;
            }
            cursor.is_begun = true;
            if let source @ Source::Candidates { .. } = source.within(*left) {
                let mut handles = source.handles();
                handles.sort_unstable();
                spent += taking;
                cursor.handles = Some(handles);
            }
        }
        let end = cursor.handles.as_ref().map_or(set.end(), |handles| handles.len() as u32);
        // Rows are made to hold what more than one query reads.
        let lays_out = view.columns.iter().all(Column::is_asked_often);
        let mut reader = Reader::new(&view.columns);
        // What is looked at in one go is sorted, which is cheaper than to insert rows one by one.
        let is_first = cursor.next == 0 && cursor.ahead.is_empty() && !hold.tuning.small_slices;
        let mut matches = Vec::new();
        let (mut visited, mut looked) = (0, 0);
        while cursor.next < end && visited < rows && (spent < *left || looked == 0) {
            let handle = cursor.handles.as_ref().map_or(cursor.next, |handles| handles[cursor.next as usize]);
            cursor.next += 1;
            looked += 1;
            spent += 1;
            if cursor.ahead.contains(&handle) {
                continue;
            }
            if lays_out {
                spent += set.lay_out(handle);
            }
            let Some(row) = set.row(handle) else { continue };
            visited += 1;
            let read = reader.read(row, &mut spent);
            if let Timed::ByNode(timers) = timed {
                timers.set(handle, compiled.next_flip(&read, now, &mut spent));
            }
            if !compiled.test(&read, now, &mut spent) {
                continue;
            }
            view.total += 1;
            spent += WINDOW_STEPS + view.sorting.steps(&read, row.id_bytes(), matches.len());
            let prefix = view.sorting.prefix_of(&read, row.id_bytes());
            match is_first {
                true => matches.push(Entry::new(prefix, handle)),
                false => window.fill_at(prefix, handle, row, &view.sorting, set.during(&[])),
            }
        }
        let is_done = cursor.next >= end;
        let of_set = set.during(&[]);
        if is_first && is_done {
            *window = Window::of(view.identity.cap, matches, &view.sorting, of_set);
        } else {
            for entry in matches {
                if let Some(row) = of_set.current(entry.row) {
                    window.fill_at(entry.prefix(), entry.row, row, &view.sorting, of_set);
                }
            }
            if is_done {
                window.filled();
            }
        }
        self.work.rows_visited += visited as u64;
        self.work.predicates_evaluated += if *is_all { 0 } else { visited as u64 };
        self.work.steps += spent;
        *left = left.saturating_sub(spent);
        // To tell what has changed since takes a while itself.
        let is_over = is_done && (shown.is_none() || looked == 0 || *left >= hold.steps / 4);
        if !is_over {
            view.filling = match shown {
                None => Filling::First(cursor),
                Some(shown) => Filling::Again(cursor, shown),
            };
        } else {
            super::steps::weigh(window, &mut view.bytes, &mut self.window_bytes);
            // An index would have spared the visits.
            let len = set.len();
            let is_searched = cursor.handles.is_none();
            let stretch = extent(access, *is_all, &view.sorting).is_some();
            let asked = match stretch {
                true => vec![Wish::Order(view.sorting.clone())],
                false => wishes(set, access),
            };
            for wish in asked {
                match is_searched {
                    true => set.indexes.wish(&wish, len, len),
                    false => set.indexes.used(&wish),
                }
            }
            if let Some(shown) = shown {
                view.filling = Filling::Again(cursor, shown);
                self.made_again(id, set, left, hold);
            }
        }
        if let Some(old) = old_timer {
            self.rearm(filter_id, old);
        }
        visited
    }

    /// Shows a view to one more.
    pub(crate) fn show(
        &mut self,
        id: u32,
        set: &Set,
        plan: &Plan,
        fresh: impl FnOnce() -> FeedId,
    ) -> Option<FeedId> {
        let followed = plan.follows_count;
        if followed {
            self.follow(id, set);
        }
        let view = self.views.get_mut(id as usize)?;
        let shows = |feed: &Feed| feed.shown.projection == plan.projection && feed.follows_count == followed;
        let place = view.feeds.iter().position(shows).unwrap_or_else(|| {
            let feed = fresh();
            let shown = shown(&view.sorting, &plan.projection);
            let is_whole = plan.projection.is_whole();
            let cost = showing_cost(plan);
            let standing_steps = view.own.of(cost.of(set.average_row_bytes()));
            self.standing[view.identity.set] += standing_steps;
            self.feeds.insert(feed, id);
            view.feeds.push(Feed {
                id: feed,
                follows_count: followed,
                shown,
                is_whole,
                is_count: plan.cap == 0,
                cost,
                standing_steps,
                opened: 0,
            });
            view.feeds.len() - 1
        });
        let feed = view.feeds.get_mut(place)?;
        feed.opened += 1;
        let feed = feed.id;
        if let Shape::Window { filter, .. } = view.shape {
            self.count_moves(filter);
        }
        Some(feed)
    }

    /// What a feed costs to keep, its view included.
    pub(crate) fn keeping(&self, feed: FeedId) -> Option<Keeping> {
        let view = self.views.get(*self.feeds.get(&feed)? as usize)?;
        let of = view.feeds.iter().find(|held| held.id == feed)?;
        let standing_steps = view.keeping.standing_steps.saturating_add(of.standing_steps);
        Some(Keeping { standing_steps, ..view.keeping })
    }

    /// From now on the count of a view is known after each commit.
    fn follow(&mut self, id: u32, set: &Set) {
        let total = self.total(id, set);
        let Some(view) = self.views.get_mut(id as usize) else { return };
        if let Shape::Stretch { extent, followed, .. } = &mut view.shape
            && !*followed
        {
            *followed = true;
            view.total = total;
            self.predicates[view.identity.set].move_stretch(id, extent, None);
        }
    }

    /// Takes back one [`show`](Self::show); with the last one the feed is gone, and with the last feed its view. Returns
    /// the tests over time that nobody asks for any more.
    pub(crate) fn close(&mut self, feed: FeedId, sets: &mut crate::store::set::Sets) -> Option<ClosedFilter> {
        let id = *self.feeds.get(&feed)?;
        let view = self.views.get_mut(id as usize)?;
        let place = view.feeds.iter().position(|held| held.id == feed)?;
        view.feeds[place].opened -= 1;
        if view.feeds[place].opened > 0 {
            return None;
        }
        self.feeds.remove(&feed);
        self.standing[view.identity.set] -= view.feeds.remove(place).standing_steps;
        if !view.feeds.is_empty() {
            if let Shape::Window { filter, .. } = view.shape {
                self.count_moves(filter);
            }
            return None;
        }
        let view = self.views.remove(id as usize);
        self.by_identity.remove(&view.identity);
        let number = view.identity.set;
        self.standing[number] -= view.keeping.standing_steps;
        self.window_bytes -= view.bytes;
        let closed = match view.shape {
            Shape::Stretch { extent, .. } => {
                self.predicates[number].remove_stretch(id, &extent);
                if let Some((_, set)) = sets.get_index_mut(number) {
                    set.indexes.unpin(&view.sorting);
                }
                None
            }
            Shape::Window { filter, .. } => self.leave_filter(filter, id),
        };
        if self.views.is_empty() {
            self.give_back();
        }
        closed
    }

    fn leave_filter(&mut self, id: u32, view: u32) -> Option<ClosedFilter> {
        let filter = self.filters.get_mut(id as usize)?;
        filter.views.retain(|held| *held != view);
        if !filter.views.is_empty() {
            self.count_moves(id);
            return None;
        }
        self.work.steps += PROBE_STEPS * filter.access.count as u64;
        self.unfile(id);
        let filter = self.filters.remove(id as usize);
        if !filter.is_current() {
            self.behind.retain(|behind| *behind != id);
        }
        self.by_filter.remove(&(filter.set, filter.canonical.clone()));
        self.timed -= usize::from(!matches!(filter.timed, Timed::No));
        match filter.timed {
            Timed::No => None,
            Timed::ByOrder(tests) => Some(ClosedFilter { set: filter.set, tests }),
            Timed::ByNode(timers) => {
                // One that is behind waits for no moment.
                timers.next().map(|at| self.deadlines.remove(&(at, id)));
                None
            }
        }
    }

    /// Tables keep the size of their best times; with the last query they go.
    fn give_back(&mut self) {
        self.views = Default::default();
        self.filters = Default::default();
        self.by_identity = HashMap::with_hasher(self.keyed);
        self.by_filter = HashMap::with_hasher(self.keyed);
        self.feeds = Default::default();
        self.scratch = Default::default();
        self.predicates.iter_mut().for_each(|predicates| *predicates = Predicates::new(self.keyed));
    }

    /// Puts a filter where changes find it.
    fn file(&mut self, id: u32, now: Timestamp) {
        let Some(filter) = self.filters.get_mut(id as usize) else { return };
        let predicates = &mut self.predicates[filter.set];
        if filter.is_scanned() {
            predicates.insert_scan(id);
            self.scanned += usize::from(!filter.is_all);
            self.come_abreast(id);
        } else {
            filter.filed = predicates.insert(id, &filter.access, filter.hears_all(), now);
        }
    }

    fn unfile(&mut self, id: u32) {
        let Some(filter) = self.filters.get(id as usize) else { return };
        let predicates = &mut self.predicates[filter.set];
        if filter.is_scanned() {
            predicates.remove_scan(id);
            self.scanned -= usize::from(!filter.is_all);
            self.leave_abreast(id);
        } else {
            predicates.remove(&filter.access, filter.hears_all(), &filter.filed);
        }
    }

    /// Looks for a better access for a filter that was found in vain too often.
    pub(super) fn reconsider_access(&mut self, id: u32, moment: AsOf<'_>, left: &mut u64) {
        let Some(filter) = self.filters.get_mut(id as usize) else { return };
        let columns = filter.views.first().and_then(|view| self.views.get(*view as usize));
        let columns = columns.map_or(&[][..], |view| &view.columns);
        let ways = Ways::of(&filter.compiled, moment.tuning);
        let mut spent = filter.reconsider_steps();
        let (better, _) = ways.choose(moment.rows.set, columns, moment.now, moment.tuning, &mut spent);
        self.work.steps += spent;
        *left = left.saturating_sub(spent);
        (filter.found, filter.held) = (0, 0);
        if better.class == filter.access.class && better.count == filter.access.count && !better.moves {
            // Asked less and less: there may be no better one.
            filter.ask_again = filter.ask_again.saturating_mul(2);
            if better.is(&filter.access) {
                return;
            }
        }
        self.work.rechosen += 1;
        self.unfile(id);
        if let Some(filter) = self.filters.get_mut(id as usize) {
            *filter.access = better;
        }
        self.file(id, moment.now);
    }
}

/// What a feed adds to what a changed row costs its view: the fields that it shows are compared, before and after.
pub(crate) fn showing_cost(plan: &Plan) -> Cost {
    /// The text is read, and what is wanted of it is found.
    const TEXT: Cost = Cost::new(2, 2);
    if plan.projection.is_whole() { Cost::NONE } else { TEXT.times(2) }
}

/// A filter that is gone, with what it had asked for.
#[derive(Debug)]
pub(crate) struct ClosedFilter {
    pub(crate) set: usize,
    pub(crate) tests: Box<[u32]>,
}

/// The key of the last row of a stretch's window.
fn last_key(set: &Set, stretch: &window::Stretch, extent: &Extent) -> Option<u128> {
    let row = set.row(stretch.last()?.row)?;
    Some(rank::key(row.at(&extent.column)))
}

impl SharedFilter {
    /// The steps of finding a better access for it, besides looking at some rows.
    pub(crate) fn reconsider_steps(&self) -> u64 {
        self.canonical.len() as u64 + 2 * PROBE_STEPS * self.access.count as u64
    }

    /// Whether it is found in vain so often that it should be found otherwise.
    pub(crate) fn is_misplaced(&self) -> bool {
        self.found >= self.ask_again && self.held < self.found / 4 && !self.is_scanned()
    }
}

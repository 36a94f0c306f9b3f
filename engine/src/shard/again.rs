//! Results that are computed again as a whole, in slices, because to keep them up to date would cost more.
//!
//! Until that is done a view shows what it showed; then whoever watches it is told the net difference.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    json,
    shard::{
        Moment, Shard,
        behind::Slice,
        emit, restart,
        view::{Cursor, Filling, Pace, Shape, SharedFilter, Shown, Timed, View},
        window::WindowChange,
    },
    store::{row::Row, set::Set, sorting::Sorting},
    time::Instant,
    update::{Count, FeedId, Reason},
};

/// A view has run out of rows in the middle of a commit: what it showed before is had by taking the changes back.
pub(super) fn begin(
    view: &mut View,
    changes: &[WindowChange],
    total: u64,
    moment: Moment<'_>,
    lags: &mut VecDeque<(FeedId, Option<u64>)>,
) {
    let Shape::Window { window, .. } = &view.shape else { return };
    let is_new = |row: &&Arc<Row>| {
        !changes.iter().any(|change| change.after.as_ref().is_some_and(|after| Arc::ptr_eq(after, row)))
    };
    let entries = window.entries().filter_map(|entry| moment.rows.current(entry.row));
    let kept = entries.filter(is_new).cloned();
    let mut rows: Vec<Arc<Row>> =
        kept.chain(changes.iter().filter_map(|change| change.before.clone())).collect();
    rows.sort_by(|a, b| {
        view.sorting.prefix(a).cmp(&view.sorting.prefix(b)).then_with(|| view.sorting.compare(a, b))
    });
    let version = moment.version - 1;
    lags.extend(view.feeds.iter().map(|feed| (feed.id, Some(version))));
    let shown = Shown { rows, total, version, now: moment.now };
    view.filling = Filling::Again(Cursor::default(), Box::new(shown));
    restart(view);
}

impl Shard {
    /// The views of a filter look at all rows once more, as these are now; what the filter has not taken of the history it need
    /// not take.
    pub(crate) fn make_again(&mut self, id: u32, set: &Set, slice: Slice<'_>) {
        let Some(filter) = self.filters.get(id as usize) else { return };
        let rows = self.rows_of(id, set);
        let then = match &filter.pace {
            Pace::Behind(behind) => behind.now,
            Pace::Current => slice.now,
        };
        for view in filter.views.clone() {
            let Some(of_view) = self.views.get(view as usize) else { continue };
            let version = self.complete(of_view, set).unwrap_or(slice.version);
            let Some(of_view) = self.views.get_mut(view as usize) else { continue };
            self.work.made_again += 1;
            if let (Filling::Done, Shape::Window { window, .. }) = (&of_view.filling, &of_view.shape) {
                let rows = window.entries().filter_map(|entry| rows.current(entry.row).cloned()).collect();
                let shown = Shown { rows, total: of_view.total, version, now: then };
                self.lags.extend(of_view.feeds.iter().map(|feed| (feed.id, Some(version))));
                of_view.filling = Filling::Again(Cursor::default(), Box::new(shown));
                self.again.push(view);
            }
            restart(of_view);
        }
        let Some(filter) = self.filters.get_mut(id as usize) else { return };
        let was_behind = !filter.is_current();
        filter.pace = Pace::Current;
        if let Timed::ByNode(timers) = &mut filter.timed {
            let old = timers.next().filter(|_| !was_behind);
            timers.clear();
            old.map(|at| self.deadlines.remove(&(at, id)));
        }
        self.behind.retain(|behind| *behind != id);
    }

    /// The views of which some rows are to be looked at once more.
    pub(crate) fn take_again(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.again)
    }

    /// The filters that ask a test over time.
    pub(crate) fn asking(&self, test: u32) -> Vec<u32> {
        let asks =
            |filter: &SharedFilter| matches!(&filter.timed, Timed::ByOrder(tests) if tests.contains(&test));
        self.filters.iter().filter(|(_, filter)| asks(filter)).map(|(id, _)| id as u32).collect()
    }

    /// A view has looked at all rows once more: tells the difference between what it showed and what it shows now.
    pub(super) fn made_again(&mut self, id: u32, set: &Set, shown: &Shown, version: u64, now: Instant) {
        let Self { views, filters, updates, work, lags, .. } = self;
        let Some(view) = views.get(id as usize) else { return };
        let Shape::Window { filter: number, window } = &view.shape else { return };
        let Some(filter) = filters.get(*number as usize) else { return };
        let now_shown: Vec<Arc<Row>> =
            window.entries().filter_map(|entry| set.row(entry.row).cloned()).collect();
        let mut steps = 0;
        let mut holds = |row: &Row, at| filter.compiled.test(row, at, &mut steps);
        let changes = difference(&shown.rows, &now_shown, &view.sorting, |change| match change {
            (Some(before), None) => match set.row_by_id(&before.id) {
                None => Reason::Deleted,
                Some(row) if holds(row, now) => Reason::Displaced,
                Some(row) if row.raw.as_ptr() == before.raw.as_ptr() => Reason::Time,
                Some(_) => Reason::Filter,
            },
            (_, after) => match after {
                Some(after) if shown.now == now || !filter.compiled.uses_now() => {
                    let last = shown.rows.last();
                    let is_behind = last.is_some_and(|last| view.sorting.compare(last, after).is_lt());
                    if is_behind { Reason::Refilled } else { Reason::Filter }
                }
                Some(after) if holds(after, shown.now) => Reason::Refilled,
                _ => Reason::Time,
            },
        });
        work.steps += steps;
        let count = Count::new(view.total, view.cap());
        emit(&view.feeds, &changes, Some(count), view.total != shown.total, version, updates, work);
        lags.extend(view.feeds.iter().map(|feed| (feed.id, None)));
    }
}

/// Whether two versions of a row have one value: it may have changed and changed back.
fn is_same(a: &Row, b: &Row) -> bool {
    a.raw.as_ptr() == b.raw.as_ptr() || a.digest == b.digest && json::is_same(&a.raw, &b.raw)
}

/// A row before and after.
type Sides<'a> = (Option<&'a Arc<Row>>, Option<&'a Arc<Row>>);

/// The net change from one result to another: removals first, then additions and updates, both in the order of the result.
fn difference(
    old: &[Arc<Row>],
    new: &[Arc<Row>],
    sorting: &Sorting,
    mut reason: impl FnMut(Sides<'_>) -> Reason,
) -> Vec<WindowChange> {
    let before: BTreeMap<&str, &Arc<Row>> = old.iter().map(|row| (&*row.id, row)).collect();
    let after: BTreeMap<&str, ()> = new.iter().map(|row| (&*row.id, ())).collect();
    let mut changes = Vec::new();
    for row in old.iter().filter(|row| !after.contains_key(&*row.id)) {
        let reason = Some(reason((Some(row), None)));
        changes.push(WindowChange { before: Some(row.clone()), after: None, reason });
    }
    for row in new {
        match before.get(&*row.id) {
            Some(was) if is_same(was, row) && sorting.same(was, row) => {}
            Some(was) => {
                let (before, after) = (Some((*was).clone()), Some(row.clone()));
                changes.push(WindowChange { before, after, reason: None });
            }
            None => {
                let reason = Some(reason((None, Some(row))));
                changes.push(WindowChange { before: None, after: Some(row.clone()), reason });
            }
        }
    }
    changes
}

//! Results that are computed again as a whole, in slices, because to keep them up to date would cost more.
//!
//! Until that is done a view shows what it showed; then whoever watches it is told the net difference.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use liveset_core::model::{Count, Reason};

use crate::{
    json,
    shard::{
        AsOf, Shard,
        behind::Hold,
        steps::{note_reasons, restart},
        view::{Cursor, Feed, Filling, Pace, Shape, Shown, Telling, Timed, View},
    },
    steps::blocks,
    store::{row::Row, set::Set, sorting::Sorting},
    update::WindowChange,
    update::{FeedId, Lag, Update},
};

/// A view has run out of rows in the middle of a commit: what it showed before is had by taking the changes back.
pub(super) fn begin(
    view: &mut View,
    changes: &[WindowChange],
    total: u64,
    moment: AsOf<'_>,
    lags: &mut VecDeque<Lag>,
) {
    let Shape::Window { window, .. } = &view.shape else { return };
    let is_new =
        |row: &&Row| !changes.iter().any(|change| change.after.as_ref().is_some_and(|after| after.is(row)));
    let entries = window.entries().filter_map(|entry| moment.rows.current(entry.row));
    let kept = entries.filter(is_new).cloned();
    let mut rows: Vec<Row> = kept.chain(changes.iter().filter_map(|change| change.before.clone())).collect();
    rows.sort_by(|a, b| {
        view.sorting.prefix(a).cmp(&view.sorting.prefix(b)).then_with(|| view.sorting.compare(a, b))
    });
    let (version, commit) = (moment.version - 1, moment.rows.commit_before());
    lags.extend(view.feeds.iter().map(|feed| Lag::new(feed.id, Some(version))));
    let shown = Shown { rows, total, version, now: moment.now, commit, telling: None };
    view.filling = Filling::Again(Cursor::default(), Box::new(shown));
    restart(view);
}

impl Shard {
    /// The views of a filter look at all rows once more, as these are now; what the filter has not taken of the history it need
    /// not take. It is current then, and may have to be [forgotten](Self::forget_current) among those that are not.
    pub(crate) fn make_again(&mut self, id: u32, set: &Set, hold: Hold) {
        let Some(filter) = self.filters.get(id as usize) else { return };
        let rows = self.rows_of(id, set);
        let commit = rows.commit_before();
        let then = match &filter.pace {
            Pace::Behind(behind) => behind.now,
            Pace::Current => hold.now,
        };
        for view in filter.views.clone() {
            let Some(of_view) = self.views.get(view as usize) else { continue };
            let version = self.complete(of_view, set).unwrap_or(hold.version);
            let Some(of_view) = self.views.get_mut(view as usize) else { continue };
            self.work.made_again += 1;
            if let (Filling::Done, Shape::Window { window, .. }) = (&of_view.filling, &of_view.shape) {
                let rows: Vec<Row> =
                    window.entries().filter_map(|entry| rows.current(entry.row).cloned()).collect();
                self.work.steps += rows.len() as u64 / KEPT_PER_STEP;
                let shown = Shown { rows, total: of_view.total, version, now: then, commit, telling: None };
                self.lags.extend(of_view.feeds.iter().map(|feed| Lag::new(feed.id, Some(version))));
                of_view.filling = Filling::Again(Cursor::default(), Box::new(shown));
                self.again.push_back(view);
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
        self.come_abreast(id);
    }

    /// A view whose rows are to be looked at once more; each once.
    pub(crate) fn take_again(&mut self) -> Option<u32> {
        self.again.pop_front()
    }

    /// A view has looked at all rows once more: tells the difference between what it showed and what it shows now.
    ///
    /// Why a node came or went is told by what is known of it: whether it is in the set, since when, whether it has changed, and
    /// whether the filter holds of it now and held of it then. To ask the filter may cost as much as a slice; where that is spent, what
    /// goes is said to have gone by the filter, and what comes by where it stands.
    pub(super) fn made_again(&mut self, id: u32, set: &Set, left: &mut u64, hold: Hold) {
        let Self { views, filters, work, .. } = self;
        let Some(view) = views.get_mut(id as usize) else { return };
        let View { filling: Filling::Again(_, shown), shape, sorting, total, .. } = view else { return };
        let Shape::Window { filter: number, window } = shape else { return };
        let Some(filter) = filters.get(*number as usize) else { return };
        let handles: Vec<u32> = window.entries().map(|entry| entry.row).collect();
        let rows = handles.iter().filter_map(|handle| Some((set.row(*handle)?.clone(), *handle)));
        let (now_shown, handles): (Vec<Row>, Vec<u32>) = rows.unzip();
        let mut steps = (shown.rows.len() + now_shown.len()) as u64 * COMPARED_STEPS;
        let most = steps + (*left).min(hold.steps / 2);
        let mut holds = |row: &Row, at| {
            let can_ask = steps.saturating_add(filter.cost.of(row.json().len())) <= most;
            can_ask.then(|| filter.compiled.test(row, at, &mut steps))
        };
        let mut compared = 0;
        let changes = difference(&shown.rows, &now_shown, sorting, &mut compared, |change| match change {
            Moved::Went(before) => match set.row_by_id(before.id()) {
                None => Reason::Deleted,
                Some(row) => match holds(row, hold.now) {
                    Some(true) => Reason::Displaced,
                    _ if row.is_spelled_as(before) => Reason::Time,
                    _ => Reason::Filter,
                },
            },
            Moved::Came(place) => {
                let after = &now_shown[place];
                let last = shown.rows.last();
                let is_behind = last.is_some_and(|last| sorting.compare(last, after).is_lt());
                let is_timed = shown.now != hold.now && filter.compiled.uses_now();
                if set.is_born_after(handles[place], shown.commit) {
                    Reason::Created
                } else if is_timed {
                    match holds(after, shown.now) {
                        Some(true) => Reason::Refilled,
                        None if is_behind => Reason::Refilled,
                        _ => Reason::Time,
                    }
                } else if is_behind {
                    Reason::Refilled
                } else {
                    Reason::Filter
                }
            }
        });
        steps += compared;
        work.steps += steps;
        *left = left.saturating_sub(steps);
        let next = Shown {
            rows: now_shown,
            total: *total,
            version: hold.version,
            now: hold.now,
            commit: set.commits(),
            telling: None,
        };
        shown.telling = Some(Box::new(Telling {
            changes,
            is_counted: next.total != shown.total,
            next,
            is_stale: false,
            part: (FeedId(0), 0, Vec::new()),
            told: HashSet::default(),
            ready: Vec::new(),
            place: 0,
        }));
        self.tell(id, left);
    }

    /// Makes ready what the feeds of a view are to be told, for about `left` steps; where it is ready for all of them, tells it.
    pub(super) fn tell(&mut self, id: u32, left: &mut u64) {
        let Self { views, updates, work, lags, feeds: known, .. } = self;
        let Some(view) = views.get_mut(id as usize) else { return };
        let cap = view.cap();
        let View { filling: Filling::Again(_, shown), feeds, .. } = view else { return };
        let Some(telling) = &mut shown.telling else { return };
        let Telling { changes, is_counted, next, is_stale, part, told, ready, place } = &mut **telling;
        let count = Count::new(next.total, cap);
        let (before, mut looked) = (work.steps, 0);
        while let Some((at, feed)) = next_untold(feeds, *place, told) {
            *place = at;
            if part.0 != feed.id {
                *part = (feed.id, 0, Vec::new());
            }
            while let Some(change) = changes.get(part.1) {
                if work.steps - before >= *left && looked > 0 {
                    *left = 0;
                    return;
                }
                looked += 1;
                part.1 += 1;
                work.steps += u64::from(!feed.is_whole);
                if feed.shows(change, &mut work.steps) {
                    part.2.push(change.clone());
                }
            }
            told.insert(feed.id);
            work.steps += 1;
            let changes = std::mem::take(&mut part.2);
            if !changes.is_empty() || *is_counted && feed.follows_count {
                ready.push(Update {
                    feed: feed.id,
                    version: next.version,
                    count: Some(count),
                    changes,
                    shown: feed.shown.clone(),
                });
            }
        }
        *left = left.saturating_sub(work.steps - before);
        note_reasons(changes, work);
        let ready = std::mem::take(ready).into_iter();
        for update in ready.filter(|update| known.contains_key(&update.feed)) {
            work.changes_out += update.len() as u64;
            updates.push_back(update);
        }
        let complete = is_stale.then_some(next.version);
        let net = Some((shown.version, next.version));
        lags.extend(feeds.iter().map(|feed| Lag { feed: feed.id, complete, net }));
        match shown.telling.take() {
            // What has changed since is told next.
            Some(telling) if telling.is_stale => **shown = telling.next,
            _ => view.filling = Filling::Done,
        }
    }
}

/// The first feed for which nothing is ready, and its place: from a place on, or else from the first.
fn next_untold<'a>(
    feeds: &'a [Feed],
    place: usize,
    told: &HashSet<FeedId, FixedState>,
) -> Option<(usize, &'a Feed)> {
    let untold = |(_, feed): &(usize, &Feed)| !told.contains(&feed.id);
    feeds.iter().enumerate().skip(place).find(untold).or_else(|| feeds.iter().enumerate().find(untold))
}

/// Rows of a window that are kept for later in one step.
const KEPT_PER_STEP: u64 = 4;
/// The steps of comparing a row of one result with those of another.
const COMPARED_STEPS: u64 = 4;

/// Whether two versions of a row have one value: it may have changed and changed back.
fn is_same(a: &Row, b: &Row, steps: &mut u64) -> bool {
    if a.is_spelled_as(b) {
        return true;
    }
    a.digest() == b.digest() && {
        *steps += 2 * blocks(a.json().len().max(b.json().len()));
        json::is_same(a.json(), b.json())
    }
}

/// A row that is in one of two results.
enum Moved<'a> {
    /// In the old one alone.
    Went(&'a Row),
    /// In the new one alone, at this place.
    Came(usize),
}

/// The net change from one result to another: removals first, then additions and updates, both in the order of the result.
fn difference(
    old: &[Row],
    new: &[Row],
    sorting: &Sorting,
    steps: &mut u64,
    mut reason: impl FnMut(Moved<'_>) -> Reason,
) -> Vec<WindowChange> {
    let before: BTreeMap<&str, &Row> = old.iter().map(|row| (row.id(), row)).collect();
    let after: BTreeSet<&str> = new.iter().map(|row| row.id()).collect();
    let mut changes = Vec::new();
    for row in old.iter().filter(|row| !after.contains(row.id())) {
        let reason = Some(reason(Moved::Went(row)));
        changes.push(WindowChange { before: Some(row.clone()), after: None, reason });
    }
    for (place, row) in new.iter().enumerate() {
        match before.get(row.id()) {
            Some(was) if is_same(was, row, steps) && sorting.same(was, row) => {}
            Some(was) => {
                let (before, after) = (Some((*was).clone()), Some(row.clone()));
                changes.push(WindowChange { before, after, reason: None });
            }
            None => {
                let reason = Some(reason(Moved::Came(place)));
                changes.push(WindowChange { before: None, after: Some(row.clone()), reason });
            }
        }
    }
    changes
}

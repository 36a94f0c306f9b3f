//! Takes the views of a filter, or a stretch, from one result to the next.

use std::collections::VecDeque;

use smallvec::SmallVec;

use liveset_core::model::{Count, Reason};

use crate::{
    filter::Fields as _,
    order::rank,
    shard::{
        AsOf, Shard,
        keys::Keys,
        refill::{CHEAP_REFILL, Refill, refill},
        sides::Sides,
        source::{PROBE_STEPS, lies_in},
        touches::Touch,
        view::{Cursor, Feed, Filling, Shape, Timed, View},
        window::{Cause, Step, Window},
    },
    stats::Account,
    steps::halves,
    store::{row::Row, set::RowChange, set::index::Wish},
    update::Update,
    update::WindowChange,
};

impl Shard {
    pub(super) fn apply_to_filter<'a>(
        &mut self,
        id: u32,
        touches: impl Iterator<Item = (&'a RowChange, Touch)>,
        moment: AsOf<'a>,
        left: &mut u64,
    ) {
        let filter = &mut self.filters[id as usize];
        let mut steps: SmallVec<[Step<'_>; 2]> = SmallVec::new();
        let mut timer = None;
        let mut spent = 0;
        let is_proof = filter.access.is_proof();
        for (change, touch) in touches {
            let Touch { sides, holds: known, operand, .. } = touch;
            filter.found = filter.found.saturating_add(1);
            let mut holds = |row: &Row| {
                if is_proof {
                    return true;
                }
                self.work.predicates_evaluated += 1;
                filter.access.holds(operand, row, moment.now, &mut spent)
            };
            let before = change.before.as_ref().filter(|row| known.before || sides.before && holds(row));
            // Where nothing of what it reads has changed, it holds of both or of neither.
            let is_as_before = sides == Sides::BOTH && change.keeps(filter.columns);
            let mut holds = |row: &Row| if is_as_before { before.is_some() } else { holds(row) };
            let after = change.after.as_ref().filter(|row| known.after || sides.after && holds(row));
            if let Timed::ByNode(timers) = &mut filter.timed {
                timer.get_or_insert_with(|| timers.next());
                let row = change.after.as_ref().filter(|_| sides.after);
                timers.set(
                    change.handle,
                    row.and_then(|row| filter.compiled.next_flip(row, moment.now, &mut spent)),
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

    pub(super) fn apply_to_stretch<'a>(
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
        let inside = |row: &&'a Row| lies_in(row, &extent.column, extent.lo, extent.hi);
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
        emit(&view.feeds, changes, count, counted, moment.version, updates, work);
        *left = left.saturating_sub(self.work.steps - before);
    }

    /// Lets the views of a filter take the steps that its nodes take. A window that runs out of rows, where `left` steps do not
    /// suffice to find more, is looked at once more as a whole.
    pub(super) fn step_views(&mut self, id: u32, steps: &[Step<'_>], moment: AsOf<'_>, left: &mut u64) {
        if steps.is_empty() {
            return;
        }
        let Self { views, filters, updates, work, low, window_bytes, again, lags, keys, .. } = self;
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
            let keys: SmallVec<[Keys; 2]> =
                steps.iter().map(|step| keys.of(sorting, step.handle, step.before, step.after)).collect();
            let changes = window.apply(steps, &keys, sorting, moment.rows, |window| {
                refill(window, total, filter, sorting, moment, work, left);
            });
            if window.is_short() {
                crate::shard::again::begin(view, &changes, total_before, moment, lags);
                again.push_back(*view_id);
                continue;
            }
            if window.wants().is_some() {
                low.push(*view_id);
            }
            weigh(window, &mut view.bytes, window_bytes);
            let before = work.steps;
            work.steps += keys.iter().map(|keys| keys.steps).sum::<u64>() * halves(view.identity.cap.max(1));
            let count = Count::new(view.total, view.cap());
            emit(
                &view.feeds,
                changes,
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
    pub(super) fn replenish(&mut self, set: usize, moment: AsOf<'_>, left: &mut u64) {
        if self.low.is_empty() {
            return;
        }
        // Windows of other sets wait for a change of theirs.
        let is_of_set =
            |id: &mut u32| self.views.get(*id as usize).is_none_or(|view| view.identity.set == set);
        let low: Vec<u32> = self.low.extract_if(.., is_of_set).collect();
        for id in low {
            let Some(view) = self.views.get(id as usize) else { continue };
            if matches!(view.shape, Shape::Window { filter, .. } if self.owes(filter).is_some()) {
                // It is another window when it has taken the commit.
                self.low.push(id);
                continue;
            }
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
}

/// Queues what the feeds of a view have to say of a step.
pub(super) fn emit(
    shown_by: &[Feed],
    mut changes: Vec<WindowChange>,
    count: Option<Count>,
    counted: bool,
    version: u64,
    updates: &mut VecDeque<Update>,
    work: &mut Account,
) {
    if changes.is_empty() && !counted {
        return;
    }
    note_reasons(&changes, work);
    for (place, feed) in shown_by.iter().enumerate() {
        work.steps += 1;
        // The last one may have them for itself.
        let is_last = place + 1 == shown_by.len();
        let mut shown = if is_last { std::mem::take(&mut changes) } else { changes.clone() };
        shown.retain(|change| feed.shows(change, &mut work.steps));
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
pub(super) fn note_reasons(changes: &[WindowChange], work: &mut Account) {
    for change in changes {
        match change.reason {
            Some(Reason::Refilled) => work.refilled += 1,
            Some(Reason::Displaced) => work.displaced += 1,
            _ => {}
        }
    }
}

/// Counts a window as what it holds now, in place of what it was counted as. O(1).
pub(super) fn weigh(window: &Window, counted: &mut usize, all: &mut usize) {
    let bytes = window.bytes();
    *all = *all + bytes - *counted;
    *counted = bytes;
}

/// A view that is being filled takes in changes of the rows that it has seen already; it has nothing to say of them yet.
pub(super) fn refill_later(view: &mut View, steps: &[Step<'_>], moment: AsOf<'_>) {
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
pub(super) fn restart(view: &mut View) {
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

/// The steps that it takes to move one row of a window.
pub(crate) const WINDOW_STEPS: u64 = 8;

//! Brings the changes of a commit to the filters and stretches that they touch.

use smallvec::SmallVec;

use crate::{
    shard::{
        AsOf, Shard,
        postings::Verdict,
        predicates::{Candidate, Found, Predicates, Way},
        sides::Sides,
        touches::{Touch, Tried},
        view::{Shape, SharedFilter},
    },
    steps::Cost,
    store::{row::Row, set::RowChange},
};

impl Shard {
    /// Brings the views up to a commit's changes of one set: those that an index finds and that cost little as far as `left` steps
    /// allow, and the others as far as `spare` does, whatever else there was to do. What is beyond falls behind, or is left for
    /// [`finish`](Self::finish).
    pub(crate) fn apply(&mut self, set: usize, moment: AsOf<'_>, left: &mut u64, spare: &mut Spare) {
        let changes = moment.rows.changes;
        if changes.is_empty() || self.predicates.get(set).is_none_or(Predicates::is_empty) {
            return;
        }
        // Most filters that an index finds are cheap for each change, and have their turn first. The dear ones share what is there for
        // the scans, or a few of them would make all others wait.
        let columns = LOOK_UP_STEPS * self.predicates[set].columns() as u64;
        let own = (INDEXED_STEPS + columns).saturating_mul(changes.len() as u64);
        let mut indexed = left.saturating_add(own);
        // By the steps that each takes.
        let mut dear: SmallVec<[(u64, u32); 8]> = SmallVec::new();
        self.step += 1;
        self.keys.turn();
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.touches.clear();
        scratch.touched.clear();
        let (mut excluded, mut looked_up) = (0, 0);
        for (place, RowChange { before, after, .. }) in changes.iter().enumerate() {
            let (before, after) = (before.as_ref(), after.as_ref());
            let Self { predicates, filters, views, step, work, misplaced, .. } = self;
            looked_up += predicates[set].candidates(before, after, moment.now, |candidate, way| {
                match way {
                    Way::Value => work.candidates_by_value += 1,
                    Way::Item => work.candidates_by_item += 1,
                    Way::Range => work.candidates_by_range += 1,
                    Way::Stretch => work.candidates_by_stretch += 1,
                }
                match candidate {
                    Candidate::Filter(Verdict { filter: id, sides, holds, operand, asked, vain }) => {
                        work.predicates_evaluated += u64::from(asked);
                        let is_excluded = sides == Sides::default();
                        excluded += u64::from(is_excluded);
                        if is_excluded && vain == 0 {
                            return;
                        }
                        // A filter that is behind takes the commit out of the history.
                        let Some(filter) = filters.get_mut(id as usize).filter(|filter| filter.is_current())
                        else {
                            return;
                        };
                        if is_excluded {
                            filter.found = filter.found.saturating_add(vain);
                            if filter.is_misplaced() && !misplaced.contains(&id) {
                                misplaced.push(id);
                            }
                            return;
                        }
                        let touch = Touch::new(place as u32, sides, holds, operand);
                        scratch.touch(&mut filter.touches, *step, Found::Filter(id), touch);
                    }
                    Candidate::Stretch(view, sides) => {
                        if let Some(Shape::Stretch { touches, .. }) =
                            views.get_mut(view as usize).map(|view| &mut view.shape)
                        {
                            let touch = Touch::new(place as u32, sides, sides, None);
                            scratch.touch(touches, *step, Found::Stretch(view), touch);
                        }
                    }
                }
            });
        }
        let candidates = scratch.touches.len() as u64 + excluded;
        self.work.candidates_found += candidates;
        looked_up += candidates;
        self.work.steps += looked_up;
        indexed = indexed.saturating_sub(looked_up);
        for found in &scratch.touched {
            match *found {
                Found::Filter(filter) => {
                    let first = self.filters[filter as usize].touches.first;
                    let touches =
                        || scratch.chain(first).map(|touch| (&changes[touch.change as usize], touch));
                    if self.is_passed_by(filter, touches(), &mut indexed) {
                        continue;
                    }
                    let tried = Tried::of_changes(touches().map(|(change, _)| change));
                    let steps = self.most_steps(filter, tried);
                    if steps > DEAR_STEPS.saturating_mul(tried.rows) || steps > indexed {
                        dear.push((steps, filter));
                        continue;
                    }
                    self.apply_to_filter(filter, touches(), moment, &mut indexed);
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
        let before = spare.most;
        self.scan(set, moment, spare);
        // A cheap filter does not wait for a dear one.
        dear.sort_unstable();
        for (steps, filter) in dear {
            if !self.filters[filter as usize].is_current() {
                continue;
            }
            if steps > spare.most || spare.steps == 0 {
                self.fall_behind(filter, moment.now, moment.entry());
                continue;
            }
            let touches = scratch.chain(self.filters[filter as usize].touches.first);
            let touches = touches.map(|touch| (&changes[touch.change as usize], touch));
            let mut most = spare.most;
            self.apply_to_filter(filter, touches, moment, &mut most);
            spare.take(spare.most - most);
        }
        *left = left.saturating_sub(before - spare.most);
        self.scratch = scratch;
        self.replenish(set, moment, left);
        let filters = &self.filters;
        let is_of_set = |id: &mut u32| filters.get(*id as usize).is_none_or(|filter| filter.set == set);
        let mut misplaced: Vec<u32> = self.misplaced.extract_if(.., is_of_set).collect();
        // One that is tried on every change from now on has taken this commit; while others have not, all of them count as those.
        while !self.is_unfinished()
            && let Some(filter) = misplaced.pop()
        {
            let steps = self.filters.get(filter as usize).map_or(0, SharedFilter::reconsider_steps);
            if steps.saturating_add(RECONSIDER_STEPS) > *left {
                misplaced.push(filter);
                break;
            }
            self.reconsider_access(filter, moment, left);
        }
        self.misplaced.append(&mut misplaced);
    }

    /// Whether all that a filter is told of is known to pass by its window, on both sides of it: then only the count changes, and is
    /// changed. What is left to try, or told of counts, does not pass by.
    fn is_passed_by<'a>(
        &mut self,
        id: u32,
        touches: impl Iterator<Item = (&'a RowChange, Touch)>,
        left: &mut u64,
    ) -> bool {
        if *left == 0 {
            return false;
        }
        let Self { filters, views, work, keys, .. } = self;
        let filter = &mut filters[id as usize];
        let [view] = filter.views[..] else { return false };
        let view = &mut views[view as usize];
        let Shape::Window { window, .. } = &view.shape else { return false };
        if !view.filling.is_done() || filter.hears_all() {
            return false;
        }
        let (mut total, mut rows) = (view.total, 0);
        for (RowChange { handle, before, after, .. }, Touch { sides, holds, .. }) in touches {
            if sides != holds {
                return false;
            }
            let mut place = |row: &Option<Row>, is_after: bool, holds: bool| {
                let row = row.as_ref().filter(|_| holds)?;
                Some(keys.place(&view.sorting, *handle, row, is_after))
            };
            let (was, is) = (place(before, false, holds.before), place(after, true, holds.after));
            let ends_before = |place: Option<u128>| place.is_none_or(|place| window.ends_before(place));
            let stays = || match (was, is, before, after) {
                (Some(was), Some(is), Some(before), Some(after)) => {
                    was == is && window.hides(is) && view.sorting.same(before, after)
                }
                _ => false,
            };
            if !(stays() || ends_before(was) && ends_before(is)) {
                return false;
            }
            rows += 1;
            total = total + u64::from(is.is_some()) - u64::from(was.is_some());
        }
        if total != view.total && view.feeds.iter().any(|feed| feed.follows_count) {
            return false;
        }
        view.total = total;
        filter.found = filter.found.saturating_add(rows);
        filter.held = filter.held.saturating_add(rows);
        let steps = PASSING_STEPS * u64::from(rows);
        work.steps += steps;
        *left = left.saturating_sub(steps);
        true
    }

    /// The most steps that it takes to try some rows on a filter, and to move them in its views.
    pub(super) fn most_steps(&self, filter: u32, rows: Tried) -> u64 {
        let filter = &self.filters[filter as usize];
        let of = |cost: Cost, times: u64, blocks: u64| {
            cost.fixed.saturating_mul(times).saturating_add(cost.per_block.saturating_mul(blocks))
        };
        let tried = of(filter.cost, rows.sides, rows.blocks);
        tried.saturating_add(of(filter.moves, rows.rows, rows.blocks))
    }
}

/// The steps that a commit has for queries which no index finds, or which are dear. What is more follows in slices, so that whoever is
/// found is told before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spare {
    /// Another query has its turn as long as fewer were taken.
    pub(crate) steps: u64,
    /// And where it takes no more than that is left of these, by the most that it may take.
    pub(crate) most: u64,
}

impl Spare {
    pub(super) fn take(&mut self, steps: u64) {
        *self = Spare { steps: self.steps.saturating_sub(steps), most: self.most.saturating_sub(steps) };
    }
}

/// A filter that takes more steps for each row that it is found by waits for those that take fewer.
const DEAR_STEPS: u64 = 256;
/// Steps that a changed row may cost the queries that an index finds, on top of one hold.
const INDEXED_STEPS: u64 = 64;
/// The steps that it takes to look up a changed row by a column that filters are found by, before and after.
pub(crate) const LOOK_UP_STEPS: u64 = 2;
/// The steps of finding that a row passes by a window.
const PASSING_STEPS: u64 = 2;
/// The steps that it takes to find a better access for a filter, besides those that its size makes.
const RECONSIDER_STEPS: u64 = 1_000;

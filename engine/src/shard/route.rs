//! Brings the changes of a commit to the filters and stretches that they touch.

use smallvec::SmallVec;

use crate::{
    shard::{
        AsOf, Shard,
        predicates::{Found, Predicates, Sides, Way},
        touches::Tried,
        view::{Shape, SharedFilter},
    },
    steps::Cost,
    store::set::RowChange,
};

impl Shard {
    /// Brings the views up to a commit's changes of one set: those that an index finds and that cost little as far as `left` steps
    /// allow, and the others as far as `for_scans` does, whatever else there was to do. What is beyond falls behind.
    pub(crate) fn apply(&mut self, set: usize, moment: AsOf<'_>, left: &mut u64, for_scans: &mut u64) {
        let changes = moment.rows.changes;
        if changes.is_empty() || self.predicates.get(set).is_none_or(Predicates::is_empty) {
            return;
        }
        // Most filters that an index finds are cheap for each change, and have their turn first. The dear ones share the part of the
        // scans, or a few of them would make all others wait.
        let columns = LOOK_UP_STEPS * self.predicates[set].columns() as u64;
        let own = (INDEXED_STEPS + columns).saturating_mul(changes.len() as u64);
        let mut indexed = left.saturating_add(own);
        let mut dear: SmallVec<[Dear; 8]> = SmallVec::new();
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
                    let tried = Tried::of_changes(touched);
                    let steps = self.most_steps(filter, tried);
                    if steps > DEAR_STEPS.saturating_mul(tried.rows) || steps > indexed {
                        dear.push(Dear { steps, filter, is_found: true });
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
        let all = Tried::of_changes(changes.iter());
        let scanned =
            self.predicates[set].scanned().filter(|filter| self.filters[*filter as usize].is_current());
        dear.extend(scanned.map(|filter| Dear {
            steps: self.most_steps(filter, all),
            filter,
            is_found: false,
        }));
        if dear.iter().map(|dear| dear.steps).fold(0, u64::saturating_add) > *for_scans {
            // A cheap filter does not wait for a dear one.
            dear.sort_unstable_by_key(|dear| (dear.steps, dear.filter));
        }
        for Dear { steps, filter, is_found } in dear {
            if !self.filters[filter as usize].is_current() {
                continue;
            }
            if steps > *for_scans {
                self.fall_behind(filter, moment.now, moment);
            } else if is_found {
                let touches = scratch.chain(self.filters[filter as usize].touches.first);
                let touches = touches.map(|touch| (&changes[touch.change as usize], touch.sides));
                self.apply_to_filter(filter, touches, moment, for_scans);
            } else {
                self.work.candidates_scanned += changes.len() as u64;
                let touches = changes.iter().map(|change| (change, Sides::BOTH));
                self.apply_to_filter(filter, touches, moment, for_scans);
            }
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
    pub(super) fn most_steps(&self, filter: u32, rows: Tried) -> u64 {
        let filter = &self.filters[filter as usize];
        let of = |cost: Cost, times: u64, blocks: u64| {
            cost.fixed.saturating_mul(times).saturating_add(cost.per_block.saturating_mul(blocks))
        };
        let tried = of(filter.cost, rows.sides, rows.blocks);
        tried.saturating_add(of(filter.moves, rows.rows, rows.blocks))
    }
}

/// A filter whose steps for a commit come out of the part of the scans: it is tried on every change, or it is dear for those that it
/// is found by.
struct Dear {
    steps: u64,
    filter: u32,
    is_found: bool,
}

/// A filter that takes more steps for each row that it is found by waits for those that take fewer.
const DEAR_STEPS: u64 = 256;
/// Steps that a changed row may cost the queries that an index finds, on top of one hold.
const INDEXED_STEPS: u64 = 64;
/// The steps that it takes to look up a changed row by a column that filters are found by, before and after.
pub(crate) const LOOK_UP_STEPS: u64 = 2;
/// The steps that it takes to find a better access for a filter, besides those that its size makes.
const RECONSIDER_STEPS: u64 = 1_000;

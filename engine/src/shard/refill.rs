//! Gives more rows to windows that have used up their reserve.

use std::{cmp::Ordering, sync::Arc};

use crate::{
    shard::{
        AsOf,
        source::{PROBE_STEPS, Source, Span},
        view::SharedFilter,
        window::Window,
    },
    stats::Account,
    store::{
        row::Row,
        set::index::Wish,
        sorting::{Place, Sorting},
    },
    tree::Entry,
};

/// Looking at so many rows to fill up a reserve is done at once.
pub(super) const CHEAP_REFILL: usize = 4_096;

/// How a window is refilled.
pub(super) enum Refill<'a> {
    /// Along an order that holds all rows, from where the window's knowledge ends.
    Walk {
        cost: usize,
    },
    Search(Source<'a>),
}

impl<'a> Refill<'a> {
    pub(super) fn cheapest(
        window: &Window,
        total: usize,
        filter: &'a SharedFilter,
        sorting: &Sorting,
        moment: AsOf<'a>,
    ) -> Self {
        let set = moment.rows.set;
        let source = Source::of(set, &filter.access, Span::At(moment.now));
        let behind = total.saturating_sub(window.len()).max(1);
        let walk = window.wants().unwrap_or(1).min(behind).saturating_mul(set.len() / behind + 1);
        match set.indexes.order(sorting) {
            Some(_) if walk < source.cost() => Refill::Walk { cost: walk },
            _ => Refill::Search(source),
        }
    }

    pub(super) fn cost(&self) -> usize {
        match self {
            Refill::Walk { cost } => *cost,
            Refill::Search(source) => source.cost(),
        }
    }

    /// The most steps that it takes over rows of an ordinary size.
    pub(super) fn steps(&self, filter: &SharedFilter, moment: AsOf<'_>) -> u64 {
        let row = filter.compiled.cost().of(moment.rows.set.average_row_bytes()) + 1;
        row.saturating_mul(self.cost() as u64)
    }

    /// Whether it uses the order, or should have.
    pub(super) fn asks_for_order(&self) -> bool {
        matches!(self, Refill::Walk { .. }) || self.cost() > CHEAP_REFILL
    }

    pub(super) fn run(
        self,
        window: &mut Window,
        filter: &SharedFilter,
        sorting: &Sorting,
        moment: AsOf<'_>,
        work: &mut Account,
        left: &mut u64,
    ) {
        let (Some(want), Some(known)) = (window.wants(), window.known()) else { return };
        let set = moment.rows.set;
        let (mut visited, mut spent) = (0, 0);
        let mut matches = Vec::new();
        work.refills += 1;
        let mut holds = |row: &Row| {
            visited += 1;
            spent += 1;
            filter.compiled.test(row, moment.now, &mut spent)
        };
        let mut end = None;
        match (&self, set.indexes.order(sorting)) {
            (Refill::Walk { .. }, Some(order)) => {
                let behind = |entry: Entry| match set.row(entry.row) {
                    Some(row) if known.compare(entry.prefix(), row, sorting).is_gt() => Ordering::Greater,
                    _ => Ordering::Less,
                };
                let start = match order.tree.find(known.prefix, behind) {
                    Ok(position) | Err(position) => position,
                };
                for entry in order.tree.iter_from(start) {
                    let Some(row) = set.row(entry.row) else { continue };
                    if holds(row) {
                        matches.push(entry);
                        if matches.len() == want {
                            end = Some(Place::of(sorting, row));
                            break;
                        }
                    }
                }
            }
            (Refill::Search(source), _) => {
                for handle in source.handles() {
                    let Some(row) = set.row(handle) else { continue };
                    if !holds(row) {
                        continue;
                    }
                    let entry = sorting.entry(row, handle);
                    if known.compare(entry.prefix(), row, sorting).is_gt() {
                        matches.push(entry);
                    }
                }
            }
            (Refill::Walk { .. }, None) => return,
        }
        work.rows_visited += visited;
        work.rows_visited_refilling += visited;
        work.steps += spent;
        *left = left.saturating_sub(spent);
        window.extend(matches, want, end, sorting, moment.rows);
    }
}

/// Refills a window that can no longer be filled out of its reserve, where that takes at most `left` steps.
pub(super) fn refill(
    window: &mut Window,
    total: usize,
    filter: &SharedFilter,
    sorting: &Arc<Sorting>,
    moment: AsOf<'_>,
    work: &mut Account,
    left: &mut u64,
) {
    let asking = PROBE_STEPS * filter.access.count as u64;
    work.steps += asking;
    *left = left.saturating_sub(asking);
    let refill = Refill::cheapest(window, total, filter, sorting, moment);
    if refill.asks_for_order() {
        work.wishes.push((filter.set, Wish::Order(sorting.clone())));
    }
    // Indexes are as the rows are now, not as they were for a filter that is behind.
    if moment.rows.are_newest() && refill.steps(filter, moment) <= *left {
        refill.run(window, filter, sorting, moment, work, left);
    }
}

//! Reads what views hold.

use crate::{
    shard::{
        Shard,
        predicates::Extent,
        view::{Filling, Shape, SharedFilter, View},
    },
    store::{row::Row, set::Set, set::index::ties},
    time::Timestamp,
};

impl Shard {
    /// A view's window as it is: the rows in their order.
    pub(crate) fn entries<'a>(&'a self, id: u32, set: &'a Set) -> Box<dyn Iterator<Item = &'a Row> + 'a> {
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
    pub(crate) fn matches(&self, id: u32, set: &Set, row: &Row, handle: u32, now: Timestamp) -> Option<bool> {
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

    /// The number of nodes that match a view.
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

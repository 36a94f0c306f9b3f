//! A view as one projection shows it.

use std::sync::Arc;

use crate::{
    engine::ViewKey,
    projection::Projection,
    row::Row,
    update::{Change, Doc},
    window::{Ranked, WindowChange},
};

#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) view: ViewKey,
    pub(crate) projection: Projection,
    /// How many [`crate::Engine::open`] are not closed.
    pub(crate) opened: usize,
}

impl Feed {
    pub(crate) fn new(view: ViewKey, projection: Projection) -> Self {
        Self { view, projection, opened: 0 }
    }

    /// Projects the changes of the window and leaves out updates that the projection does not show.
    pub(crate) fn show(&self, changes: &[WindowChange]) -> Vec<Change> {
        changes.iter().filter_map(|change| self.show_one(change)).collect()
    }

    fn show_one(&self, WindowChange { before, after, reason }: &WindowChange) -> Option<Change> {
        if let (Some((rank_before, row_before)), Some((rank_after, row_after))) = (before, after) {
            // `Updated` is sent when the projected data or the node's own sort key changed, and not otherwise.
            if rank_before == rank_after && self.projection.same(&row_before.value, &row_after.value) {
                return None;
            }
        }
        let row: &Arc<Row> = before.as_ref().or(after.as_ref()).map(|(_, row)| row)?;
        Some(Change {
            id: row.id.clone(),
            before: before.as_ref().map(|ranked| self.doc(ranked)),
            after: after.as_ref().map(|ranked| self.doc(ranked)),
            reason: *reason,
        })
    }

    fn doc(&self, (rank, row): &Ranked) -> Doc {
        Doc { data: self.projection.project(&row.raw), rank: rank.clone() }
    }
}

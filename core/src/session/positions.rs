//! Where in the client's window a node stands: the `positions` extension.

use bytes::Bytes;

use crate::model::{ChangeBatch, Snapshot};

/// The ranks of the rows that the client holds after the messages so far, in order.
///
/// A row that is still to be updated stands at its old rank, so the list is always sorted, and the place that
/// a search finds is the place in the client's list. O(log n) to find, O(n) bytes moved to insert or remove.
#[derive(Debug)]
pub(super) struct Positions {
    ranks: Vec<Bytes>,
}

impl Positions {
    pub(super) fn of(snapshot: &Snapshot) -> Positions {
        let mut ranks: Vec<Bytes> = snapshot.rows.iter().map(|(_, doc)| doc.rank.clone()).collect();
        // The rows come in order; sorting a sorted list is cheap, and a search relies on it.
        ranks.sort();
        Positions { ranks }
    }

    /// The window before `batch`, which led to `window`.
    pub(super) fn before(batch: &ChangeBatch, window: &Snapshot) -> Positions {
        let mut positions = Positions::of(window);
        for change in &batch.changes {
            if let Some(after) = &change.after {
                positions.remove(&after.rank);
            }
        }
        let before = batch.changes.iter().filter_map(|change| change.before.as_ref());
        positions.ranks.extend(before.map(|doc| doc.rank.clone()));
        positions.ranks.sort();
        positions
    }

    pub(super) fn remove(&mut self, rank: &Bytes) {
        if let Ok(index) = self.ranks.binary_search(rank) {
            self.ranks.remove(index);
        }
    }

    /// The index at which a rank now stands.
    pub(super) fn insert(&mut self, rank: &Bytes) -> u64 {
        let index = self.ranks.partition_point(|other| other < rank);
        self.ranks.insert(index, rank.clone());
        index as u64
    }
}

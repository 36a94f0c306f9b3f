//! Where in the client's window a row stands: the `positions` extension.

use bytes::Bytes;

use crate::model::{Batch, Change, Snapshot};

/// The order keys of the rows that the client holds after the messages so far, in order.
///
/// A row that is still to be updated stands at its old place, so the list is always sorted, and the place that
/// a search finds is the place in the client's list. O(log n) to find, O(n) bytes moved to insert or remove.
#[derive(Debug)]
pub(super) struct Positions {
    keys: Vec<Bytes>,
}

impl Positions {
    pub(super) fn of(snapshot: &Snapshot) -> Positions {
        let mut keys: Vec<Bytes> = snapshot.rows.iter().map(|row| row.order_key().clone()).collect();
        // The rows come in order; sorting a sorted list is cheap, and a search relies on it.
        keys.sort();
        Positions { keys }
    }

    /// The window before `batch`, which led to `window`.
    pub(super) fn before(batch: &Batch, window: &Snapshot) -> Positions {
        let mut positions = Positions::of(window);
        for row in batch.changes.iter().filter_map(Change::after) {
            positions.remove(row.order_key());
        }
        let before = batch.changes.iter().filter_map(Change::before);
        positions.keys.extend(before.map(|row| row.order_key().clone()));
        positions.keys.sort();
        positions
    }

    pub(super) fn remove(&mut self, key: &Bytes) {
        if let Ok(index) = self.keys.binary_search(key) {
            self.keys.remove(index);
        }
    }

    /// The index at which a row with this order key now stands.
    pub(super) fn insert(&mut self, key: &Bytes) -> u64 {
        let index = self.keys.partition_point(|other| other < key);
        self.keys.insert(index, key.clone());
        index as u64
    }
}

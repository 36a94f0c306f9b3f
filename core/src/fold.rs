//! Folding changes per row against what a reader last was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::{Batch, Change, Count};

/// The changes that a slow reader of one live query has not seen, one net change per row.
///
/// The rule of the protocol ("added + updated = added; added + removed = nothing; updated + updated = the
/// last; updated + removed = removed; removed + added = updated if it differs from what was sent, else
/// nothing") is the algebra of keeping, per row, how it was first and is last, and dropping the
/// row where the two are equal. So what is pending is never more than the window that the reader knows and
/// the window as it is, together.
///
/// Pushing a change costs O(log n) in the pending changes, popping one too.
///
/// ```
/// use liveset_core::Pending;
/// use liveset_core::model::{Batch, Change, Count, Row};
///
/// let row = |json: &'static str| Row::new("n1", json, "n1");
/// let count = Some(Count { total: 1, capped: false });
/// let batch = |version, change| Batch { version, count, changes: vec![change] };
/// let added = |json| Change::Added { row: row(json), reason: None };
///
/// let mut pending = Pending::new();
/// pending.push(&batch(1, added("{\"a\":1}")));
/// pending.push(&batch(2, Change::Updated { before: row("{\"a\":1}"), row: row("{\"a\":2}") }));
/// assert_eq!(pending.drain(), batch(2, added("{\"a\":2}")));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Pending {
    /// By id. Ordered, not hashed: writers choose the ids, and there is no seed here.
    changes: BTreeMap<Arc<str>, Change>,
    order: Order,
    /// The bytes of the changes.
    bytes: usize,
    version: u64,
    count: Option<Count>,
}

impl Pending {
    /// Nothing pending.
    pub fn new() -> Pending {
        Pending::default()
    }

    /// Rows with a pending change.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether no row has a pending change. (Count and version may have changed all the same.)
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of the pending changes: ids as they are written, and rows and order keys as they were and as they are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The version of the last batch pushed; 0 before the first.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The count of the last batch pushed.
    pub fn count(&self) -> Option<Count> {
        self.count
    }

    /// Adds a batch, which must follow the one pushed before.
    pub fn push(&mut self, batch: &Batch) {
        self.push_from(batch, 0);
    }

    /// Adds what of a batch follows its first `sent` changes, which the reader has already.
    pub(crate) fn push_from(&mut self, batch: &Batch, sent: usize) {
        for change in batch.changes.iter().skip(sent) {
            self.push_change(change);
        }
        self.version = batch.version;
        self.count = batch.count;
    }

    fn push_change(&mut self, change: &Change) {
        let (id, net) = match self.changes.remove_entry(change.id()) {
            Some((id, known)) => {
                self.order.remove(&id, &known);
                self.bytes -= known.bytes();
                (id, known.then(change))
            }
            None => (change.id().into(), Some(change.clone()).filter(|net| net.before() != net.after())),
        };
        if let Some(net) = net {
            self.order.insert(&id, &net);
            self.bytes += net.bytes();
            self.changes.insert(id, net);
        }
    }

    /// Takes the next change: removals first, so that the reader never holds more than the cap, then
    /// additions and updates in the order of the result.
    ///
    /// More batches may be pushed between two pops. Then the order goes on from where it was and starts anew
    /// at its end, so that a row at the end of a window is reached although rows before it keep changing.
    pub fn pop(&mut self) -> Option<Change> {
        let change = self.changes.remove(&self.order.pop()?)?;
        self.bytes -= change.bytes();
        if self.changes.is_empty() {
            self.order.start_anew();
        }
        Some(change)
    }

    /// Takes everything as one batch: removals first, then additions and updates in the order of the
    /// result. O(n log n) in the pending changes.
    pub fn drain(&mut self) -> Batch {
        self.order.start_anew();
        Batch {
            version: self.version,
            count: self.count,
            changes: std::iter::from_fn(|| self.pop()).collect(),
        }
    }
}

/// A row's place among the pending changes: its order key, then its id.
type Place = (Bytes, Arc<str>);

/// In which order pending changes leave.
#[derive(Debug, Clone, Default)]
struct Order {
    /// Rows that leave, by the order key under which the reader knows them.
    removals: BTreeSet<Place>,
    /// Rows that enter or change, by their order key as it is.
    writes: BTreeSet<Place>,
    /// The last of those that was taken.
    last: Option<Place>,
}

impl Order {
    fn insert(&mut self, id: &Arc<str>, change: &Change) {
        let (set, key) = self.place(change);
        set.insert((key, id.clone()));
    }

    fn remove(&mut self, id: &Arc<str>, change: &Change) {
        let (set, key) = self.place(change);
        set.remove(&(key, id.clone()));
    }

    fn place(&mut self, change: &Change) -> (&mut BTreeSet<Place>, Bytes) {
        match change {
            Change::Added { row, .. } | Change::Updated { row, .. } => {
                (&mut self.writes, row.order_key().clone())
            }
            Change::Removed { row, .. } => (&mut self.removals, row.order_key().clone()),
        }
    }

    fn pop(&mut self) -> Option<Arc<str>> {
        if let Some((_, id)) = self.removals.pop_first() {
            return Some(id);
        }
        let behind = |last| self.writes.range((Bound::Excluded(last), Bound::Unbounded)).next();
        let next = self.last.as_ref().and_then(behind).or_else(|| self.writes.first())?.clone();
        self.writes.remove(&next);
        let id = next.1.clone();
        self.last = Some(next);
        Some(id)
    }

    fn start_anew(&mut self) {
        self.last = None;
    }
}

//! Folding changes per node against what a reader last was sent.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::{Change, ChangeBatch, Doc, Reason, change_bytes};

/// What a slow reader of one live query still has to be told, one net change per node.
///
/// The rule of the protocol ("added + updated = added; added + removed = nothing; updated + updated = the
/// last; updated + removed = removed; removed + added = updated if it differs from what was sent, else
/// nothing") is the algebra of keeping, per node, the first `before` and the last `after`, and dropping the
/// node where the two are equal. So what is pending is never more than the window that the reader knows and
/// the window as it is, together.
///
/// Pushing a change costs O(log n) in the pending changes, popping one too.
///
/// ```
/// use liveset_core::{Change, ChangeBatch, Doc, Pending};
///
/// let doc = |json: &str| Some(Doc { data: json.to_owned().into(), rank: "n1".into() });
/// let change = |before, after| Change { id: "n1".into(), before, after, reason: None };
/// let batch = |version, change| ChangeBatch { version, total_count: 1, capped: false, changes: vec![change] };
///
/// let mut pending = Pending::new();
/// pending.push(&batch(1, change(None, doc("{\"a\":1}"))));
/// pending.push(&batch(2, change(doc("{\"a\":1}"), doc("{\"a\":2}"))));
/// assert_eq!(pending.drain(), batch(2, change(None, doc("{\"a\":2}"))));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Pending {
    /// Ordered, not hashed: writers choose the ids, and there is no seed here.
    nodes: BTreeMap<Arc<str>, Net>,
    order: Order,
    /// What the nodes weigh.
    bytes: usize,
    version: u64,
    total_count: u64,
    capped: bool,
}

#[derive(Debug, Clone)]
struct Net {
    before: Option<Doc>,
    after: Option<Doc>,
    reason: Option<Reason>,
}

impl Net {
    fn bytes(&self, id: &str) -> usize {
        change_bytes(id, self.before.as_ref(), self.after.as_ref())
    }
}

impl Pending {
    /// Nothing pending.
    pub fn new() -> Pending {
        Pending::default()
    }

    /// Nodes with a pending change.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no node has a pending change. (Count, cap and version may have changed all the same.)
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Bytes of the pending changes: ids as they are written, and nodes and ranks as they were and as they are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The version of the last batch pushed; 0 before the first.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The total count of the last batch pushed.
    pub fn total_count(&self) -> u64 {
        self.total_count
    }

    /// Whether the last batch pushed was capped.
    pub fn capped(&self) -> bool {
        self.capped
    }

    /// Adds a batch, which must follow the one pushed before.
    pub fn push(&mut self, batch: &ChangeBatch) {
        self.push_from(batch, 0);
    }

    /// Adds what of a batch follows its first `sent` changes, which the reader has already.
    pub(crate) fn push_from(&mut self, batch: &ChangeBatch, sent: usize) {
        for change in batch.changes.iter().skip(sent) {
            self.push_change(change);
        }
        self.version = batch.version;
        self.total_count = batch.total_count;
        self.capped = batch.capped;
    }

    fn push_change(&mut self, change: &Change) {
        match self.nodes.entry(change.id.clone()) {
            Entry::Vacant(entry) => {
                let Change { id, before, after, reason } = change.clone();
                if before != after {
                    let net = Net { before, after, reason };
                    self.order.insert(&id, &net);
                    self.bytes += net.bytes(&id);
                    entry.insert(net);
                }
            }
            Entry::Occupied(mut entry) => {
                let net = entry.get_mut();
                self.order.remove(&change.id, net);
                self.bytes -= net.bytes(&change.id);
                net.after = change.after.clone();
                net.reason = match (&net.before, &net.after) {
                    // An update of what the reader has not seen yet is still the addition that it was.
                    (None, Some(_)) if change.before.is_some() => net.reason,
                    (None, Some(_)) | (Some(_), None) => change.reason,
                    (None, None) | (Some(_), Some(_)) => None,
                };
                if net.before == net.after {
                    entry.remove();
                } else {
                    self.order.insert(&change.id, net);
                    self.bytes += net.bytes(&change.id);
                }
            }
        }
    }

    /// Takes the next change: removals first, so that the reader never holds more than the cap, then
    /// additions and updates in the order of the result.
    ///
    /// More batches may be pushed between two pops. Then the order goes on from where it was and starts anew
    /// at its end, so that a row at the end of a window is reached although rows before it keep changing.
    pub fn pop(&mut self) -> Option<Change> {
        let id = self.order.pop()?;
        let net = self.nodes.remove(&id)?;
        self.bytes -= net.bytes(&id);
        let Net { before, after, reason } = net;
        if self.nodes.is_empty() {
            self.order.start_anew();
        }
        Some(Change { id, before, after, reason })
    }

    /// Takes everything as one batch: removals first, then additions and updates in the order of the
    /// result. O(n log n) in the pending changes.
    pub fn drain(&mut self) -> ChangeBatch {
        self.order.start_anew();
        ChangeBatch {
            version: self.version,
            total_count: self.total_count,
            capped: self.capped,
            changes: std::iter::from_fn(|| self.pop()).collect(),
        }
    }
}

/// A node's place among the pending changes: its rank, then its id.
type Place = (Bytes, Arc<str>);

/// In which order pending changes leave.
#[derive(Debug, Clone, Default)]
struct Order {
    /// Nodes that leave, by the rank under which the reader knows them.
    removals: BTreeSet<Place>,
    /// Nodes that enter or change, by their rank as it is.
    writes: BTreeSet<Place>,
    /// The last of those that was taken.
    last: Option<Place>,
}

impl Order {
    fn insert(&mut self, id: &Arc<str>, net: &Net) {
        if let Some((set, rank)) = self.place(net) {
            set.insert((rank, id.clone()));
        }
    }

    fn remove(&mut self, id: &Arc<str>, net: &Net) {
        if let Some((set, rank)) = self.place(net) {
            set.remove(&(rank, id.clone()));
        }
    }

    fn place(&mut self, net: &Net) -> Option<(&mut BTreeSet<Place>, Bytes)> {
        match (&net.before, &net.after) {
            (_, Some(after)) => Some((&mut self.writes, after.rank.clone())),
            (Some(before), None) => Some((&mut self.removals, before.rank.clone())),
            (None, None) => None,
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

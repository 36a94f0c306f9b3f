//! Folding changes per node against what a reader last was sent.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::hash_map::Entry;

use crate::Map;
use crate::row::{Change, ChangeBatch, ChangeReason, Doc};

/// What a slow reader of one live query still has to be told, one net change per node.
///
/// The rule of the protocol ("added + updated = added; added + removed = nothing; updated + updated = the
/// last; updated + removed = removed; removed + added = updated if it differs from what was sent, else
/// nothing") is the algebra of keeping, per node, the first `before` and the last `after`, and dropping the
/// node where the two are equal. So what is pending is never more than the window that the reader knows and
/// the window as it is, together.
///
/// Pushing a change costs O(log n) in the pending changes, popping one too.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    nodes: Map<Arc<str>, Net>,
    /// Ranks (as last sent) and ids of the nodes that leave.
    removals: BTreeSet<(Bytes, Arc<str>)>,
    /// Ranks (as they are) and ids of the nodes that enter or change.
    writes: BTreeSet<(Bytes, Arc<str>)>,
    /// The last write popped: the next one comes after it, so that a node at the end of the window is
    /// reached although nodes before it keep changing.
    sweep: Option<(Bytes, Arc<str>)>,
    version: u64,
    total_count: u64,
    capped: bool,
}

#[derive(Debug, Clone)]
struct Net {
    before: Option<Doc>,
    after: Option<Doc>,
    reason: Option<ChangeReason>,
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
                if change.before == change.after {
                    return;
                }
                let net =
                    Net { before: change.before.clone(), after: change.after.clone(), reason: change.reason };
                if let Some((set, key)) = place(&mut self.removals, &mut self.writes, entry.key(), &net) {
                    set.insert(key);
                }
                entry.insert(net);
            }
            Entry::Occupied(mut entry) => {
                if let Some((set, key)) = place(&mut self.removals, &mut self.writes, &change.id, entry.get())
                {
                    set.remove(&key);
                }
                let net = entry.get_mut();
                net.after = change.after.clone();
                net.reason = match (&net.before, &net.after) {
                    // An update of what the reader has not seen yet is still the addition that it was.
                    (None, Some(_)) if change.before.is_some() => net.reason,
                    (None, Some(_)) | (Some(_), None) => change.reason,
                    (None, None) | (Some(_), Some(_)) => None,
                };
                if net.before == net.after {
                    entry.remove();
                } else if let Some((set, key)) = place(&mut self.removals, &mut self.writes, &change.id, net)
                {
                    set.insert(key);
                }
            }
        }
    }

    /// Takes the next change: removals first, so that the reader never holds more than the cap, then
    /// additions and updates in the order of the result.
    ///
    /// More batches may be pushed between two pops; the order then starts anew at its end.
    pub fn pop(&mut self) -> Option<Change> {
        let (_, id) = match self.removals.pop_first() {
            Some(key) => key,
            None => {
                let key = self.next_write()?;
                self.writes.remove(&key);
                self.sweep = Some(key.clone());
                key
            }
        };
        let net = self.nodes.remove(&id)?;
        if self.nodes.is_empty() {
            self.sweep = None;
        }
        Some(Change { id, before: net.before, after: net.after, reason: net.reason })
    }

    fn next_write(&self) -> Option<(Bytes, Arc<str>)> {
        let behind = self
            .sweep
            .as_ref()
            .and_then(|last| self.writes.range((Bound::Excluded(last), Bound::Unbounded)).next());
        behind.or_else(|| self.writes.first()).cloned()
    }

    /// Takes everything as one batch: removals first, then additions and updates in the order of the
    /// result. O(n log n) in the pending changes.
    pub fn drain(&mut self) -> ChangeBatch {
        self.sweep = None;
        let mut changes = Vec::with_capacity(self.nodes.len());
        while let Some(change) = self.pop() {
            changes.push(change);
        }
        ChangeBatch { version: self.version, total_count: self.total_count, capped: self.capped, changes }
    }
}

/// The set in which a net change waits, and its key there.
fn place<'a>(
    removals: &'a mut BTreeSet<(Bytes, Arc<str>)>,
    writes: &'a mut BTreeSet<(Bytes, Arc<str>)>,
    id: &Arc<str>,
    net: &Net,
) -> Option<(&'a mut BTreeSet<(Bytes, Arc<str>)>, (Bytes, Arc<str>))> {
    match (&net.before, &net.after) {
        (_, Some(after)) => Some((writes, (after.rank.clone(), id.clone()))),
        (Some(before), None) => Some((removals, (before.rank.clone(), id.clone()))),
        (None, None) => None,
    }
}

//! What a feed remembers for clients that come back.

use std::{collections::VecDeque, ops, sync::Arc};

use liveset_core::{Batch, Pending};

/// The last batches of one feed, as many as the limits allow.
///
/// Invariant: every batch of the feed with a version above `floor` is here, so whoever was at `floor` or later can be
/// brought up to date.
#[derive(Debug)]
pub(crate) struct ResumeLog {
    floor: u64,
    batches: VecDeque<Arc<Batch>>,
    cost: Cost,
}

/// What is remembered, or may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// A batch counts as one change at least.
    pub(crate) changes: usize,
    pub(crate) bytes: usize,
}

impl Cost {
    fn of(batch: &Batch) -> Self {
        Self { changes: batch.changes.len().max(1), bytes: batch.bytes() }
    }

    fn exceeds(self, limit: Self) -> bool {
        self.changes > limit.changes || self.bytes > limit.bytes
    }
}

impl ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.changes += other.changes;
        self.bytes += other.bytes;
    }
}

impl ops::SubAssign for Cost {
    fn sub_assign(&mut self, other: Self) {
        self.changes -= other.changes;
        self.bytes -= other.bytes;
    }
}

impl ResumeLog {
    /// Remembers nothing yet; the feed's result is that of `version`.
    pub(crate) fn new(version: u64) -> Self {
        Self { floor: version, batches: VecDeque::new(), cost: Cost::default() }
    }

    pub(crate) fn push(&mut self, batch: Arc<Batch>) {
        self.cost += Cost::of(&batch);
        self.batches.push_back(batch);
    }

    /// Forgets the oldest batches until the rest costs no more than `limit`.
    pub(crate) fn trim(&mut self, limit: Cost) {
        while self.cost.exceeds(limit) {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.cost -= Cost::of(&oldest);
            self.floor = oldest.version;
        }
    }

    /// What is held.
    pub(crate) fn cost(&self) -> Cost {
        self.cost
    }

    /// The net changes from `version` to now, or `None` where that is not known any more or never was. The caller
    /// knows that `version` is not later than now. Cost: the batches held.
    pub(crate) fn since(&self, version: u64) -> Option<Pending> {
        if version < self.floor {
            return None;
        }
        let mut net = Pending::default();
        for batch in self.batches.iter().filter(|batch| batch.version > version) {
            net.push(batch);
        }
        Some(net)
    }
}

//! What a feed remembers for clients that come back.

use std::{collections::VecDeque, sync::Arc};

use liveset_core::{ChangeBatch, Pending};

/// The last batches of one feed, as many as the limits allow.
///
/// Invariant: every batch of the feed with a version above `floor` is here, so whoever was at `floor` or later can be
/// brought up to date.
#[derive(Debug)]
pub(crate) struct ResumeLog {
    floor: u64,
    batches: VecDeque<Arc<ChangeBatch>>,
    cost: usize,
}

impl ResumeLog {
    /// Remembers nothing yet; the feed's result is that of `version`.
    pub(crate) fn new(version: u64) -> Self {
        Self { floor: version, batches: VecDeque::new(), cost: 0 }
    }

    pub(crate) fn push(&mut self, batch: Arc<ChangeBatch>) {
        self.cost += cost(&batch);
        self.batches.push_back(batch);
    }

    /// Forgets the oldest batches until the rest costs no more than `limit`.
    pub(crate) fn trim(&mut self, limit: usize) {
        while self.cost > limit {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.cost -= cost(&oldest);
            self.floor = oldest.version;
        }
    }

    /// Changes held; a batch counts as one at least.
    pub(crate) fn cost(&self) -> usize {
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

fn cost(batch: &ChangeBatch) -> usize {
    batch.changes.len().max(1)
}

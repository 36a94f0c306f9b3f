//! What a feed remembers for clients that come back.

use std::{collections::VecDeque, ops, sync::Arc};

use liveset_core::{Batch, Etag, Pending};

/// The last batches of one feed, as many as the limits allow.
///
/// Invariant: every batch of the feed with a version above `floor` is here, so whoever was at `floor` or later can be
/// brought up to date.
#[derive(Debug)]
pub(crate) struct ResumeLog {
    floor: u64,
    batches: VecDeque<Arc<Batch>>,
    /// The etags of the rows of the result, in their order, as of a version.
    etags: Option<(u64, Box<[Etag]>)>,
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
        Self { floor: version, batches: VecDeque::new(), etags: None, cost: Cost::default() }
    }

    pub(crate) fn push(&mut self, batch: Arc<Batch>) {
        self.cost += Cost::of(&batch);
        self.batches.push_back(batch);
    }

    /// Remembers the etags of the result of a version in place of earlier ones.
    pub(crate) fn keep_etags(&mut self, version: u64, etags: Box<[Etag]>) {
        self.forget_etags();
        self.cost.bytes += size_of_val(&*etags);
        self.etags = Some((version, etags));
    }

    fn forget_etags(&mut self) {
        if let Some((_, etags)) = self.etags.take() {
            self.cost.bytes -= size_of_val(&*etags);
        }
    }

    /// The etags that are known, as of which version, and what changed since then.
    pub(crate) fn etags(&self) -> Option<(&[Etag], Pending)> {
        let (version, etags) = self.etags.as_ref()?;
        Some((etags, self.since(*version)?))
    }

    /// Forgets the oldest batches until the rest costs no more than `limit`, and etags that are older than those.
    pub(crate) fn trim(&mut self, limit: Cost) {
        while self.cost.exceeds(limit) {
            match self.batches.pop_front() {
                Some(oldest) => {
                    self.cost -= Cost::of(&oldest);
                    self.floor = oldest.version;
                }
                None => {
                    self.forget_etags();
                    break;
                }
            }
        }
        if self.etags.as_ref().is_some_and(|(version, _)| *version < self.floor) {
            self.forget_etags();
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

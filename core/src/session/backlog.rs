//! Diffs of one live query that wait.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::fold::Pending;
use crate::model::{Batch, Change, Count};

/// ```text
/// Waiting ──more changes than the backlog may have──► Folded
///    ▲                                                  │
///    └──────────────────── all sent ────────────────────┘
/// ```
#[derive(Debug)]
pub(super) enum Backlog {
    /// Commit by commit, as they are.
    Waiting(Queue),
    /// Net, per node, against what the client was sent.
    Folded(Box<Pending>),
}

/// Batches that wait, and how much of them does.
#[derive(Debug, Default)]
pub(super) struct Queue {
    batches: VecDeque<Queued>,
    /// The number of changes of the first batch that were sent.
    sent: usize,
    /// Changes that were not sent.
    changes: usize,
    /// Changes that were not sent, where a batch counts as one at least: the number of batches is bounded too.
    weight: usize,
    /// Bytes of the batches; one that is being sent counts whole.
    bytes: usize,
}

/// A batch that waits.
#[derive(Debug)]
struct Queued {
    batch: Arc<Batch>,
    /// The version of the commit that it is of: later than that of the batch where this is the time that passed before the commit.
    commit: u64,
}

impl Backlog {
    pub(super) fn empty() -> Backlog {
        Backlog::Waiting(Queue::default())
    }

    /// Changes that wait.
    pub(super) fn changes(&self) -> usize {
        match self {
            Backlog::Waiting(queue) => queue.changes,
            Backlog::Folded(pending) => pending.len(),
        }
    }

    /// Bytes of those.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Backlog::Waiting(queue) => queue.bytes,
            Backlog::Folded(pending) => pending.bytes(),
        }
    }

    /// Adds a batch, which is of the commit of that version, to at most so many changes that wait one by one. Adds the changes that
    /// were folded to `folded`.
    pub(super) fn push(&mut self, batch: Arc<Batch>, commit: u64, most: usize, folded: &mut u64) {
        match self {
            Backlog::Waiting(queue) => {
                queue.push(batch, commit);
                // One commit alone is net already, and keeps its place among those of other live queries.
                if queue.weight > most && (queue.batches.len() > 1 || most == 0) {
                    self.fold(folded);
                }
            }
            Backlog::Folded(pending) => {
                *folded += batch.changes.len() as u64;
                pending.push(&batch);
            }
        }
    }

    /// Folds what waits, if it is not folded already. Adds the changes that were folded to `folded`.
    pub(super) fn fold(&mut self, folded: &mut u64) {
        if let Backlog::Waiting(queue) = self {
            *folded += queue.changes as u64;
            let mut net = Pending::new();
            queue.fold_onto(&mut net);
            *self = Backlog::Folded(Box::new(net));
        }
    }

    /// Everything, folded onto what goes before it.
    pub(super) fn onto(self, mut pending: Pending) -> Pending {
        match self {
            Backlog::Waiting(queue) => queue.fold_onto(&mut pending),
            Backlog::Folded(net) if pending.is_empty() => return *net,
            Backlog::Folded(mut net) => pending.push(&net.drain()),
        }
        pending
    }

    /// Takes the next diff, and the version to which the client has come with it, if it is a commit's last.
    pub(super) fn pop(&mut self) -> Option<(Change, Option<u64>)> {
        match self {
            Backlog::Waiting(queue) => queue.pop(),
            Backlog::Folded(pending) => {
                let change = pending.pop()?;
                let version = pending.is_empty().then(|| pending.version());
                Some((change, version))
            }
        }
    }
}

impl Queue {
    fn push(&mut self, batch: Arc<Batch>, commit: u64) {
        self.changes += batch.changes.len();
        self.weight += batch.changes.len().max(1);
        self.bytes += batch.bytes();
        self.batches.push_back(Queued { batch, commit });
    }

    /// Takes the next change of the first batch, which stays until it is [dropped](Queue::drop_sent).
    fn pop(&mut self) -> Option<(Change, Option<u64>)> {
        let batch = &self.batches.front()?.batch;
        let change = batch.changes.get(self.sent)?.clone();
        self.sent += 1;
        self.changes -= 1;
        let is_last = self.sent == batch.changes.len();
        self.weight -= usize::from(!is_last);
        Some((change, is_last.then_some(batch.version)))
    }

    /// Drops the first batch if all of its changes were sent.
    pub(super) fn drop_sent(&mut self) -> bool {
        let is_sent = self.batches.front().is_some_and(|first| first.batch.changes.len() == self.sent);
        let first = if is_sent { self.batches.pop_front() } else { None };
        let Some(Queued { batch, .. }) = first else { return false };
        self.weight -= 1;
        self.bytes -= batch.bytes();
        self.sent = 0;
        if self.batches.is_empty() {
            self.batches.shrink_to(4);
        }
        true
    }

    /// The version of the first batch.
    pub(super) fn first(&self) -> Option<u64> {
        self.batches.front().map(|first| first.batch.version)
    }

    /// The version of the commit that the first batch is of.
    pub(super) fn commit(&self) -> Option<u64> {
        self.batches.front().map(|first| first.commit)
    }

    /// The count after the first batch, where it is the last of its commit.
    pub(super) fn count(&self) -> Option<Count> {
        let (first, next) = (self.batches.front()?, self.batches.get(1));
        let is_last = next.is_none_or(|next| next.commit != first.commit);
        first.batch.count.filter(|_| is_last)
    }

    fn fold_onto(&self, pending: &mut Pending) {
        let mut sent = self.sent;
        for Queued { batch, .. } in &self.batches {
            pending.push_from(batch, std::mem::take(&mut sent));
        }
    }
}

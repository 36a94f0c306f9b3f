//! From the engine to those who watch: each update is converted once and shared.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::FixedState;
use liveset_core::{AddedReason, Change, ChangeBatch, ChangeReason, Doc, QuerySpec, RemovedReason, Snapshot};
use liveset_engine::{Count, FeedId, Plan, Reason, Update};

use crate::{Hub, Now, Output, feeds::Watcher};

impl Hub {
    /// Hands out everything that the engine has queued, and sees to what sessions then want. Cost: the updates, and for each
    /// its watchers.
    pub(crate) fn distribute(&mut self, now: Now) {
        self.hand_out(now);
        self.settle_all(now);
    }

    /// Hands out everything that the engine has queued. Before the next input of the engine: a result that is there now is
    /// that of this moment, and follows the updates that led to it.
    pub(crate) fn hand_out(&mut self, now: Now) {
        while let Some(update) = self.engine.poll_update() {
            let feed = update.feed;
            let batch = Arc::new(self.wire_batch(&update));
            self.counts.batches += 1;
            for watcher in self.feeds.push(feed, &batch, &self.limits) {
                match watcher {
                    Watcher::Connection(conn, ticket) => {
                        let Some(connection) = self.connections.find_mut(conn) else { continue };
                        connection.session.live_query_changed(ticket, &batch);
                        connection.signal(conn, &mut self.outputs);
                    }
                    Watcher::Process(watch) => {
                        if self.watches.push(watch, &batch, self.limits.watch_backlog_changes) {
                            self.outputs.push(Output::Watch { watch });
                        }
                    }
                }
            }
        }
        while let Some(feed) = self.engine.poll_opened() {
            if let Some(snapshot) = self.engine.snapshot(feed) {
                self.begin(now, feed, snapshot);
            }
        }
    }

    /// Gives those the result of a feed who wait for it.
    pub(crate) fn begin(&mut self, now: Now, feed: FeedId, snapshot: liveset_engine::Snapshot) {
        let Some(mark) = self.feeds.awaited(feed).cloned() else { return };
        let snapshot = Arc::new(self.wire_snapshot(snapshot, mark));
        for watcher in self.feeds.begin(feed, snapshot.version) {
            match watcher {
                Watcher::Connection(conn, ticket) => self.answer_query(now, conn, ticket, &snapshot),
                Watcher::Process(watch) => {
                    if self.watches.begin(watch, snapshot.clone()) {
                        self.outputs.push(Output::Watch { watch });
                    }
                }
            }
        }
    }

    pub(crate) fn wire_snapshot(&self, snapshot: liveset_engine::Snapshot, mark: Arc<str>) -> Snapshot {
        Snapshot {
            version: self.wire_version(snapshot.version),
            mark,
            total_count: snapshot.total_count,
            capped: snapshot.capped,
            rows: snapshot.rows.into_iter().map(|(id, doc)| (id, wire_doc(doc))).collect(),
        }
    }

    fn wire_batch(&self, update: &Update) -> ChangeBatch {
        // Unknown only where nobody follows it.
        let count = update.count.unwrap_or(Count { total: 0, capped: false });
        ChangeBatch {
            version: self.wire_version(update.version),
            total_count: count.total,
            capped: count.capped,
            changes: update.changes().map(wire_change).collect(),
        }
    }

    /// Outside of the engine, versions begin at the epoch, which [`Hub::new`] keeps in the lower half of the numbers.
    fn wire_version(&self, version: u64) -> u64 {
        self.epoch.saturating_add(version)
    }
}

/// What goes in front of the versions of a query: clients that resume name a version, and one of another query would be
/// taken for one of this. A hash of everything that its diffs depend on, the same however the query is spelled.
pub(crate) fn mark(query: &QuerySpec, plan: &Plan) -> Arc<str> {
    let (filter, order) = (plan.filter().canonical(), plan.order().canonical());
    let query = (&query.edge, filter, order, plan.cap(), plan.projection().canonical());
    format!("{:016x}-", FixedState::default().hash_one(query)).into()
}

fn wire_change(change: liveset_engine::Change) -> Change {
    let added = change.before.is_none();
    Change {
        id: change.id,
        before: change.before.map(wire_doc),
        after: change.after.map(wire_doc),
        reason: change.reason.map(|reason| wire_reason(reason, added)),
    }
}

fn wire_doc(doc: liveset_engine::Doc) -> Doc {
    Doc { data: doc.data, rank: doc.rank }
}

/// The engine says why in one word; on the wire, coming and going have words of their own.
fn wire_reason(reason: Reason, added: bool) -> ChangeReason {
    match (reason, added) {
        (Reason::Created, _) => ChangeReason::Added(AddedReason::Created),
        (Reason::Refilled, _) => ChangeReason::Added(AddedReason::Refilled),
        (Reason::Filter, true) => ChangeReason::Added(AddedReason::Filter),
        (Reason::Time, true) => ChangeReason::Added(AddedReason::Time),
        (Reason::Filter, false) => ChangeReason::Removed(RemovedReason::Filter),
        (Reason::Time, false) => ChangeReason::Removed(RemovedReason::Expired),
        (Reason::Displaced, _) => ChangeReason::Removed(RemovedReason::Displaced),
        (Reason::Deleted, _) => ChangeReason::Removed(RemovedReason::Deleted),
    }
}

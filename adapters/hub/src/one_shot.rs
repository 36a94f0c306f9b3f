//! Queries that are answered once.

use std::sync::Arc;

use liveset_core::Snapshot;

use crate::updates::wire_snapshot;

/// A query that is answered once; see [`Hub::query`](crate::Hub::query). It may run on another thread, without the hub.
#[derive(Debug)]
pub struct OneShot {
    pub(crate) asked: liveset_engine::OneShot,
    pub(crate) epoch: u64,
}

impl OneShot {
    /// The result, as of the moment at which it was asked. Costs a filter evaluation for each node that an index finds, for each of
    /// the set where there is none.
    pub fn run(self) -> Snapshot {
        wire_snapshot(self.asked.run(), Arc::default(), self.epoch)
    }
}

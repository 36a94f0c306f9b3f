//! Queries that are answered once.

use std::ops::ControlFlow;

use liveset_core::Snapshot;

use crate::updates::wire_snapshot;

/// A query that is answered once; see [`Hub::query`](crate::Hub::query). It may run on another thread, without the hub.
#[derive(Debug)]
pub struct OneShot {
    pub(crate) asked: liveset_engine::OneShot,
    pub(crate) epoch: u64,
}

impl OneShot {
    /// Looks at some more nodes, at least one: the result where those were all, as of the moment at which it was asked. To give it up,
    /// drop it.
    pub fn step(self, nodes: usize) -> ControlFlow<Snapshot, OneShot> {
        let Self { asked, epoch } = self;
        match asked.step(nodes) {
            ControlFlow::Break(snapshot) => ControlFlow::Break(wire_snapshot(snapshot, "".into(), epoch)),
            ControlFlow::Continue(asked) => ControlFlow::Continue(Self { asked, epoch }),
        }
    }

    /// The result, as of the moment at which it was asked. Costs a filter evaluation for each node that an index finds, for each of
    /// the set where there is none.
    pub fn run(self) -> Snapshot {
        wire_snapshot(self.asked.run(), "".into(), self.epoch)
    }
}

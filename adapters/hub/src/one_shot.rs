//! Queries that are answered once.

use std::{ops::ControlFlow, sync::Arc};

use liveset_core::Snapshot;

use crate::updates::wire_snapshot;

/// A query that is answered once; see [`Hub::query`](crate::Hub::query). It may run on another thread, without the hub.
#[derive(Debug)]
pub struct OneShot {
    pub(crate) asked: liveset_engine::OneShot,
    pub(crate) epoch: u64,
    /// Who pays for it.
    pub(crate) subject: Option<Arc<str>>,
}

impl OneShot {
    /// Looks at some more nodes, at least one: the result where those were all, as of the moment at which it was asked. To give it up,
    /// drop it.
    pub fn step(self, nodes: usize) -> ControlFlow<Snapshot, OneShot> {
        self.step_within(nodes, u64::MAX).0
    }

    /// The same, for about `steps` steps of work at most; and how many those were, which [`Hub::pay`](crate::Hub::pay) is to be told of.
    pub fn step_within(self, nodes: usize, steps: u64) -> (ControlFlow<Snapshot, OneShot>, u64) {
        let Self { asked, epoch, subject } = self;
        let (flow, spent) = asked.step_within(nodes, steps);
        let flow = match flow {
            ControlFlow::Break(snapshot) => {
                ControlFlow::Break(wire_snapshot(snapshot, Arc::default(), epoch))
            }
            ControlFlow::Continue(asked) => ControlFlow::Continue(Self { asked, epoch, subject }),
        };
        (flow, spent)
    }

    /// For whom it is answered; `None` is the host itself.
    pub fn subject(&self) -> Option<&Arc<str>> {
        self.subject.as_ref()
    }

    /// The result, as of the moment at which it was asked. Costs a filter evaluation for each node that an index finds, for each of
    /// the set where there is none.
    pub fn run(self) -> Snapshot {
        wire_snapshot(self.asked.run(), Arc::default(), self.epoch)
    }
}

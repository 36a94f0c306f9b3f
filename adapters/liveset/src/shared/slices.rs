//! Large commits: the lock is let go between two slices.

use std::sync::Arc;

use liveset_engine::{Applied, Timestamp};
use liveset_hub::{Hub, Now, SourceId};

use super::{Done, NotDone, Origin, Shared};

impl Shared {
    /// A commit was applied, or a slice of it: `None` where there is more of it.
    pub(crate) fn applied(&self, hub: &mut Hub, now: Now, origin: Origin, applied: Applied) -> Option<Done> {
        let Applied::Whole(committed) = applied else { return None };
        self.sources.done(origin, now.monotonic, committed.commit);
        let position = match origin {
            Origin::Host => hub.position(SourceId::OWN),
            Origin::Source { index, position, .. } => {
                let source = self.sources.all[index].id;
                hub.reach(now, source, position);
                hub.position(source)
            }
        };
        Some(Done { committed, position })
    }

    /// Goes on with the commit that is being applied.
    pub(crate) fn next_slice(
        self: &Arc<Self>,
        at: Option<Timestamp>,
        origin: Origin,
        operations: usize,
    ) -> Result<Option<Done>, NotDone> {
        let slice = |hub: &mut Hub, now: Now| {
            let applied = hub.apply_slice(now, |parts| self.shards.run(operations, parts));
            let applied = applied.ok_or(NotDone::Panicked)?;
            Ok(self.applied(hub, now, origin, applied))
        };
        self.run_at(at, slice).unwrap_or_else(|_| self.give_up_slices(at))
    }

    /// A slice has panicked: the rest is applied all the same, so that nobody waits for it.
    pub(super) fn give_up_slices(self: &Arc<Self>, at: Option<Timestamp>) -> Result<Option<Done>, NotDone> {
        while self.look(Hub::is_applying) {
            let _ = self.run_at(at, |hub, now| hub.apply_slice(now, |_| ()).ok_or(()));
        }
        Err(NotDone::Panicked)
    }
}

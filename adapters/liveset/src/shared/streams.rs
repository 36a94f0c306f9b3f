//! Live queries inside the process: who waits for their next update.

use std::sync::Arc;
use std::task::{Poll, Waker};

use liveset_core::LiveUpdate;
use liveset_hub::WatchId;

use super::Shared;
use crate::contain::contain;

impl Shared {
    /// The next update of a watch.
    pub(crate) fn poll_watch(&self, watch: WatchId) -> Option<LiveUpdate> {
        let mut state = self.lock();
        contain(|| state.hub.poll_watch(watch)).unwrap_or_default()
    }

    /// The next update of a watch, or its end; where there is neither, `waker` is told when there is.
    pub(crate) fn poll_stream(&self, watch: WatchId, waker: &Waker) -> Poll<Option<LiveUpdate>> {
        let mut state = self.lock();
        if let update @ Some(_) = contain(|| state.hub.poll_watch(watch)).unwrap_or_default() {
            return Poll::Ready(update);
        }
        if state.has_ended {
            return Poll::Ready(None);
        }
        let wakers = state.wakers.entry(watch);
        wakers.and_modify(|known| known.clone_from(waker)).or_insert_with(|| waker.clone());
        Poll::Pending
    }

    /// No handle is left: streams end with what waits for them.
    pub(crate) fn end_streams(&self) {
        let wakers = {
            let mut state = self.lock();
            state.has_ended = true;
            std::mem::take(&mut state.wakers)
        };
        // They may run code that is not ours: not under the lock.
        wakers.into_values().for_each(Waker::wake);
    }

    pub(crate) fn unwatch(self: &Arc<Self>, watch: WatchId) {
        let _ = self.run(|hub, _| hub.unwatch(watch));
        let waker = self.lock().wakers.remove(&watch);
        // Its drop may run code that is not ours: not under the lock.
        drop(waker);
    }
}

//! Closes all connections, spread over a while.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use liveset_hub::ConnectionId;

use super::Shared;
use crate::peer::Peer;

/// The grain in which a shutdown is spread.
const SPREAD_STEP: Duration = Duration::from_millis(10);

impl Shared {
    /// Closes all connections with 1001, spread over a while, and gives those up that are not gone by `deadline`.
    pub(crate) async fn shutdown(self: &Arc<Self>, deadline: Duration) {
        self.closing.store(true, Ordering::Relaxed);
        let started = tokio::time::Instant::now();
        let _ = tokio::time::timeout(deadline / 2, self.close_spread()).await;
        // Whoever is left, whatever happened above.
        let _ = self.run(|hub, now| hub.shutdown(now));
        let mut serving = self.serving.subscribe();
        let gone = |count: &usize| *count == 0;
        let left = deadline.saturating_sub(started.elapsed());
        if tokio::time::timeout(left, serving.wait_for(gone)).await.is_ok() {
            return;
        }
        let left: Vec<Arc<Peer>> = self.lock().open.values().cloned().collect();
        tracing::warn!(connections = left.len(), "connections were cut at the deadline of the shutdown");
        for peer in left {
            peer.abort();
        }
        // They go as soon as their tasks run once more. A task that is never run again must not hold us.
        let _ = tokio::time::timeout(Duration::from_secs(1), serving.wait_for(gone)).await;
    }

    /// Closes the connections evenly over the time that is set for it, in an order that has nothing to do with when they
    /// came: clients that are told to go at one moment come back at one moment.
    async fn close_spread(self: &Arc<Self>) {
        let _ = self.run(|hub, _| hub.refuse_newcomers());
        let mut ids: Vec<ConnectionId> = self.lock().peers.iter().flatten().map(|peer| peer.id()).collect();
        let order = RandomState::new();
        ids.sort_unstable_by_key(|id| order.hash_one(id));
        let spread = self.transport.shutdown_spread;
        let started = tokio::time::Instant::now();
        let mut closed = 0;
        while closed < ids.len() && self.serving() > 0 {
            let due = share(ids.len(), started.elapsed() + SPREAD_STEP, spread);
            let group = ids.get(closed..due).unwrap_or_default();
            let _ = self.run(|hub, now| group.iter().for_each(|id| hub.shutdown_one(now, *id)));
            closed = closed.max(due);
            if closed < ids.len() {
                tokio::time::sleep(SPREAD_STEP).await;
            }
        }
    }
}

/// How many of `all` are due when `elapsed` of the time for all of them has passed.
fn share(all: usize, elapsed: Duration, whole: Duration) -> usize {
    if elapsed >= whole {
        return all;
    }
    let share = elapsed.as_secs_f64() / whole.as_secs_f64();
    ((all as f64 * share).ceil() as usize).min(all)
}

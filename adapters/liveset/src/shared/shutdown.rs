//! Lets all connections go: after a wait, spread over a while, and within a deadline.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use liveset_hub::ConnectionId;

use super::Shared;
use crate::peer::Peer;

/// The grain in which a shutdown is spread.
const SPREAD_STEP: Duration = Duration::from_millis(10);

/// How [`Liveset::shutdown`](crate::Liveset::shutdown) goes: wait, close, cut.
///
/// ```
/// use std::time::Duration;
/// use liveset::Drain;
///
/// // What a load balancer looks at every 2 s has to see before the first client is sent away.
/// let drain = Drain { wait: Duration::from_secs(5), spread: Duration::from_secs(15), ..Drain::default() };
/// assert_eq!(drain, Drain::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long everything is served as before, newcomers too, so that whoever sends clients here can see that it should not: as long as
    /// a health check takes to notice. Less if no connection is left. Default: 5 s.
    pub wait: Duration,
    /// Over how long the connections are closed then, evenly and in a random order: clients that are sent away at one moment come back
    /// at one moment. Less if no connection is left; 0 closes all at once. Default: 15 s.
    pub spread: Duration,
    /// How long those that were told may still take to go, after the last was told. Then they are cut. Default: 10 s.
    pub timeout: Duration,
}

impl Drain {
    /// Closes all connections now, and cuts those that are not gone after the default time.
    pub const AT_ONCE: Drain =
        Drain { wait: Duration::ZERO, spread: Duration::ZERO, timeout: Duration::from_secs(10) };
}

impl Default for Drain {
    fn default() -> Self {
        Drain { wait: Duration::from_secs(5), spread: Duration::from_secs(15), ..Drain::AT_ONCE }
    }
}

impl Shared {
    /// Waits, closes all connections with 1001, spread over a while, and gives those up that are not gone in time.
    pub(crate) async fn shutdown(self: &Arc<Self>, drain: Drain) {
        self.draining.store(true, Ordering::Relaxed);
        let mut serving = self.serving.subscribe();
        let gone = |count: &usize| *count == 0;
        let _ = tokio::time::timeout(drain.wait, serving.wait_for(gone)).await;
        self.closing.store(true, Ordering::Relaxed);
        self.close_spread(drain.spread).await;
        // Whoever is left, whatever happened above.
        let _ = self.run(|hub, now| hub.shutdown(now));
        if tokio::time::timeout(drain.timeout, serving.wait_for(gone)).await.is_ok() {
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

    /// Closes the connections evenly over a while, in an order that has nothing to do with when they came.
    async fn close_spread(self: &Arc<Self>, spread: Duration) {
        let _ = self.run(|hub, _| hub.refuse_newcomers());
        let mut ids: Vec<ConnectionId> = self.lock().peers.iter().flatten().map(|peer| peer.id()).collect();
        let order = RandomState::new();
        ids.sort_unstable_by_key(|id| order.hash_one(id));
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

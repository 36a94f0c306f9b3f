//! What was received, counted by many connections at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::schedule::{Nanos, RunClock, Windows};
use crate::load::{histogram, lock};

/// Connections are spread over so many parts, so that they seldom wait for each other.
const SHARDS: usize = 8;
/// Whether a connection reads all the time, or stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Live,
    Stalled,
}

/// What carried a stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamped {
    Diff,
    Event,
}

/// What came on the connections of one side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) added: u64,
    pub(super) updated: u64,
    pub(super) removed: u64,
    pub(super) events: u64,
    /// Events that warnings say were dropped.
    #[serde(rename = "eventsDropped")]
    pub(super) dropped: u64,
    /// Errors of the server by code.
    pub(super) errors: BTreeMap<String, u64>,
    /// Ends of connections that were not ours, by close code; `lost` without one.
    pub(super) closes: BTreeMap<String, u64>,
}

impl Counts {
    pub(super) fn diffs(&self) -> u64 {
        self.added + self.updated + self.removed
    }

    fn add(&mut self, other: &Counts) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.added += other.added;
        self.updated += other.updated;
        self.removed += other.removed;
        self.events += other.events;
        self.dropped += other.dropped;
        for (ours, theirs) in [(&mut self.errors, &other.errors), (&mut self.closes, &other.closes)] {
            for (name, count) in theirs {
                *ours.entry(name.clone()).or_default() += count;
            }
        }
    }
}

/// The part of a connection's meter that it locks while it reads.
#[derive(Debug, Default)]
pub(super) struct Shard {
    counts: [Counts; 2],
    /// By window, side and what carried the stamp; made when first needed.
    latencies: BTreeMap<(usize, usize, usize), Histogram<u64>>,
}

impl Shard {
    pub(super) fn counts(&mut self, side: Side) -> &mut Counts {
        &mut self.counts[side as usize]
    }

    pub(super) fn latency(&mut self, window: usize, side: Side, what: Stamped, latency: Nanos) {
        let key = (window, side as usize, what as usize);
        self.latencies.entry(key).or_insert_with(histogram).saturating_record(latency / 1_000);
    }
}

/// All that is measured while the run goes on.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) clock: RunClock,
    shards: Vec<Mutex<Shard>>,
    /// Known once the connections are there.
    windows: std::sync::OnceLock<Windows>,
    /// When something last came on a connection that reads.
    heard: [AtomicU64; 2],
    pub(super) authenticated: AtomicU64,
    pub(super) ready: AtomicU64,
    pub(super) failed: AtomicU64,
    /// From the first byte sent to `authenticated`, and from there to the last of the first results.
    connecting: Mutex<[Histogram<u64>; 2]>,
    /// The first thing that went wrong, for people.
    trouble: Mutex<Option<String>>,
}

impl Meter {
    pub(super) fn new(clock: RunClock) -> Meter {
        Meter {
            clock,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            windows: std::sync::OnceLock::new(),
            heard: [AtomicU64::new(0), AtomicU64::new(0)],
            authenticated: AtomicU64::new(0),
            ready: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            connecting: Mutex::new([histogram(), histogram()]),
            trouble: Mutex::new(None),
        }
    }

    /// From now on latencies are kept, of what is due in these windows.
    pub(super) fn measure(&self, windows: Windows) {
        let _ = self.windows.set(windows);
    }

    pub(super) fn windows(&self) -> Option<&Windows> {
        self.windows.get()
    }

    /// The part of a connection. Locked for as long as one read is looked at.
    pub(super) fn shard(&self, connection: u32) -> MutexGuard<'_, Shard> {
        lock(&self.shards[connection as usize % SHARDS])
    }

    /// Something came.
    pub(super) fn hear(&self, side: Side, now: Nanos) {
        self.heard[side as usize].store(now, Ordering::Relaxed);
    }

    /// Waits until nothing came for that long, but not longer than `patience`. Whether it became quiet.
    pub(super) async fn quiet(&self, side: Side, silence: Duration, patience: Duration) -> bool {
        let begun = self.clock.now();
        loop {
            let now = self.clock.now();
            let heard = self.heard[side as usize].load(Ordering::Relaxed).max(begun);
            let silent = Duration::from_nanos(now.saturating_sub(heard));
            if silent >= silence {
                return true;
            }
            if Duration::from_nanos(now - begun) >= patience {
                return false;
            }
            tokio::time::sleep((silence - silent).max(Duration::from_millis(5))).await;
        }
    }

    pub(super) fn connected(&self, took: Nanos) {
        lock(&self.connecting)[0].saturating_record(took / 1_000);
        self.authenticated.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn loaded(&self, took: Nanos) {
        lock(&self.connecting)[1].saturating_record(took / 1_000);
        self.ready.fetch_add(1, Ordering::Relaxed);
    }

    /// Times to be authenticated, and times to the first results after that.
    pub(super) fn connecting(&self) -> [Histogram<u64>; 2] {
        lock(&self.connecting).clone()
    }

    /// Something went wrong; the first is told to people.
    pub(super) fn trouble(&self, what: impl FnOnce() -> String) {
        lock(&self.trouble).get_or_insert_with(what);
    }

    pub(super) fn first_trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// What came so far, on the connections that read and on those that stall.
    pub(super) fn counts(&self) -> [Counts; 2] {
        let mut counts = [Counts::default(), Counts::default()];
        for shard in &self.shards {
            let shard = lock(shard);
            counts[0].add(&shard.counts[0]);
            counts[1].add(&shard.counts[1]);
        }
        counts
    }

    /// The latencies of one window.
    pub(super) fn latencies(&self, window: usize, side: Side, what: Stamped) -> Histogram<u64> {
        let mut all = histogram();
        for shard in &self.shards {
            if let Some(part) = lock(shard).latencies.get(&(window, side as usize, what as usize)) {
                // Both have the same bounds.
                let _ = all.add(part);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_connections_count_adds_up() {
        let meter = Meter::new(RunClock::start());
        for connection in 0..100 {
            let mut shard = meter.shard(connection);
            let side = if connection % 4 == 0 { Side::Stalled } else { Side::Live };
            shard.counts(side).updated += 2;
            *shard.counts(side).closes.entry("1013".into()).or_default() += 1;
            shard.latency(
                usize::from(connection >= 50),
                side,
                Stamped::Diff,
                1_000_000 * u64::from(connection),
            );
        }
        let [live, stalled] = meter.counts();
        assert_eq!((live.diffs(), stalled.diffs()), (150, 50));
        assert_eq!((live.closes["1013"], stalled.closes["1013"]), (75, 25));
        let first = meter.latencies(0, Side::Live, Stamped::Diff);
        assert_eq!((first.len(), first.max() / 1_000), (37, 49));
        assert_eq!(meter.latencies(1, Side::Stalled, Stamped::Diff).len(), 12);
        assert!(meter.latencies(0, Side::Live, Stamped::Event).is_empty());
    }
}

//! The etags of results, for clients that may resume by them.

use std::sync::Arc;

use liveset_core::Snapshot;
use liveset_engine::FeedId;

use crate::{Hub, Now, feeds::Begun};

impl Hub {
    /// The result of a feed with the etags of its rows, if a watcher waits for it. `None` if none waits, and while the etags are being
    /// computed: the watcher has turns for that.
    pub(crate) fn with_etags(&mut self, now: Now, feed: FeedId, version: u64) -> Option<Arc<Snapshot>> {
        let begun = self.feeds.begin_hashing(feed, version, || self.engine.snapshot(feed))?;
        let (mut hashing, watcher, is_new) = match begun {
            Begun::Done(snapshot) => return Some(snapshot),
            Begun::Hashing { hashing, watcher, is_new } => (hashing, watcher, is_new),
        };
        // A feed that lags shows what it is complete up to.
        let shown = self.engine.complete(feed).unwrap_or(version);
        let (left, mut steps) = (self.left_of_hold(), 0);
        let is_done = loop {
            match hashing.step() {
                None if hashing.snapshot.version == shown => break true,
                // The result has changed meanwhile.
                None => hashing = hashing.again(Arc::new(self.engine.snapshot(feed)?)),
                Some(taken) => steps += taken,
            }
            if steps > left {
                break false;
            }
        };
        self.counts.own_steps += steps;
        self.spend(now, watcher, steps);
        if !is_done {
            self.feeds.keep_hashing(feed, hashing, watcher);
            if is_new {
                self.put_off(watcher);
            }
            return None;
        }
        let snapshot = hashing.done();
        self.feeds.hashed(feed, &snapshot, hashing.etags.into(), &self.limits);
        Some(snapshot)
    }
}

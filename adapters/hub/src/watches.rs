//! Live queries inside the process: what waits for their owners.

use std::{collections::VecDeque, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use liveset_core::{Batch, LiveUpdate, Pending, Query, Snapshot};
use liveset_engine::{FeedId, Opened, ParsedQuery};

use crate::{Hub, Now, PreparedQuery, WatchError, WatchId, feeds::Watcher, updates::identity};

impl Hub {
    /// Opens a live query inside the process: [`poll_watch`](Self::poll_watch) gives one snapshot, as soon as it is there,
    /// then batches of net changes. A watch that is not polled folds, as a slow connection does. It is the host's own: no policy is asked.
    ///
    /// # Errors
    ///
    /// The query is wrong, or there are too many.
    pub fn watch(&mut self, now: Now, query: &Query) -> Result<WatchId, WatchError> {
        self.as_query(now, |hub| hub.watch_parsed(now, query, None))
    }

    /// Opens a live query that a [`Parser`](crate::Parser::query) has read. Like [`watch`](Self::watch), but parses nothing.
    ///
    /// # Errors
    ///
    /// As [`watch`](Self::watch).
    pub fn watch_prepared(&mut self, now: Now, query: &PreparedQuery) -> Result<WatchId, WatchError> {
        self.as_query(now, |hub| hub.watch_parsed(now, &query.query, Some(&query.parsed)))
    }

    fn watch_parsed(
        &mut self,
        now: Now,
        query: &Query,
        parsed: Option<&ParsedQuery>,
    ) -> Result<WatchId, WatchError> {
        let plan = self.plan(query, parsed, true)?;
        let watch = self.watches.next_id();
        let watcher = Watcher::Process(watch);
        let mark = self.marks.of(&identity(query, &plan));
        let opened = self.open(now, &plan, &mark, watcher, None, None);
        let opened = opened.inspect_err(|error| self.counts.refusals.count(error.limit()))?;
        let Opened { feed, is_there, .. } = opened;
        self.watches.insert(watch, feed);
        self.opened(now, feed, is_there);
        self.settle_all(now);
        Ok(watch)
    }

    /// The next update of a watch; `None` where there is none now, and for an unknown watch.
    pub fn poll_watch(&mut self, watch: WatchId) -> Option<LiveUpdate> {
        self.hand_out();
        self.watches.poll(watch)
    }

    /// Ends a watch and frees what it held.
    pub fn unwatch(&mut self, watch: WatchId) {
        if let Some(feed) = self.watches.remove(watch) {
            self.forget_task(Watcher::Process(watch));
            let after = self.feeds.leave(feed, Watcher::Process(watch));
            self.close_gone(feed, after);
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Watches {
    watches: HashMap<WatchId, Watch, FixedState>,
    made: u64,
}

#[derive(Debug)]
struct Watch {
    feed: FeedId,
    snapshot: Option<Arc<Snapshot>>,
    backlog: Backlog,
    /// The owner was told that there is something, and has not yet found that there is nothing more.
    signalled: bool,
}

/// Batches as they came while they are few; folded per node once they are many, so that what waits is bounded by twice
/// the window.
#[derive(Debug)]
enum Backlog {
    Batches { batches: VecDeque<Arc<Batch>>, changes: usize },
    Folded(Pending),
}

impl Watches {
    /// The next id; ids are not used again.
    pub(crate) fn next_id(&mut self) -> WatchId {
        self.made += 1;
        WatchId(self.made)
    }

    /// Adds a watch that waits for its snapshot.
    pub(crate) fn insert(&mut self, id: WatchId, feed: FeedId) {
        let watch = Watch { feed, snapshot: None, backlog: Backlog::default(), signalled: false };
        self.watches.insert(id, watch);
    }

    /// Gives a watch what it waited for. True where the owner has to be told.
    pub(crate) fn begin(&mut self, id: WatchId, snapshot: Arc<Snapshot>) -> bool {
        let Some(watch) = self.watches.get_mut(&id) else { return false };
        watch.snapshot = Some(snapshot);
        !std::mem::replace(&mut watch.signalled, true)
    }

    pub(crate) fn remove(&mut self, id: WatchId) -> Option<FeedId> {
        self.watches.remove(&id).map(|watch| watch.feed)
    }

    /// True where the owner has to be told.
    pub(crate) fn push(&mut self, id: WatchId, batch: &Arc<Batch>, limit: usize) -> bool {
        let Some(watch) = self.watches.get_mut(&id) else { return false };
        watch.backlog.push(batch, limit);
        !std::mem::replace(&mut watch.signalled, true)
    }

    pub(crate) fn poll(&mut self, id: WatchId) -> Option<LiveUpdate> {
        let watch = self.watches.get_mut(&id)?;
        if let Some(snapshot) = watch.snapshot.take() {
            return Some(LiveUpdate::Snapshot(snapshot));
        }
        let batch = watch.backlog.pop();
        watch.signalled = batch.is_some();
        batch.map(LiveUpdate::Batch)
    }

    pub(crate) fn feed(&self, id: WatchId) -> Option<FeedId> {
        self.watches.get(&id).map(|watch| watch.feed)
    }

    pub(crate) fn contains(&self, id: WatchId) -> bool {
        self.watches.contains_key(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.watches.len()
    }
}

impl Default for Backlog {
    fn default() -> Self {
        Self::Batches { batches: VecDeque::new(), changes: 0 }
    }
}

impl Backlog {
    fn push(&mut self, batch: &Arc<Batch>, limit: usize) {
        match self {
            Self::Batches { batches, changes } => {
                batches.push_back(batch.clone());
                // A batch that changes only the count is not free either.
                *changes += batch.changes.len().max(1);
                if *changes > limit {
                    let mut net = Pending::default();
                    for batch in batches.iter() {
                        net.push(batch);
                    }
                    *self = Self::Folded(net);
                }
            }
            Self::Folded(net) => net.push(batch),
        }
    }

    fn pop(&mut self) -> Option<Arc<Batch>> {
        match self {
            Self::Batches { batches, changes } => {
                let batch = batches.pop_front()?;
                *changes -= batch.changes.len().max(1);
                Some(batch)
            }
            Self::Folded(net) => {
                let batch = net.drain();
                *self = Self::default();
                Some(Arc::new(batch))
            }
        }
    }
}

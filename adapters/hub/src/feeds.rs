//! Engine feeds and who watches them.

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use indexmap::IndexMap;
use liveset_core::{ChangeBatch, Moment, Pending, Snapshot, Ticket};
use liveset_engine::FeedId;

use crate::{
    ConnectionId, HubLimits, WatchId,
    direct::Direct,
    resume::{Cost, ResumeLog},
};

/// Who gets the batches of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Watcher {
    /// A live query of a connection.
    Connection(ConnectionId, Ticket),
    /// A watch inside the process.
    Process(WatchId),
}

/// What has become of a feed after someone left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It is still needed.
    Kept,
    /// It is gone from here; the engine is to close it.
    Gone,
}

/// All feeds that the engine keeps for this hub. The hub holds exactly one of the engine's references for each,
/// however many watch it.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    feeds: HashMap<FeedId, Feed, FixedState>,
    /// The feeds with `linger_until`, the first to end first.
    lingering: BTreeSet<(Moment, FeedId)>,
    /// The cost of all logs together.
    log_cost: Cost,
    /// Watchers that wait for their snapshot.
    waiting: usize,
}

#[derive(Debug)]
struct Feed {
    /// See [`mark`](crate::updates::mark).
    mark: Arc<str>,
    watchers: IndexMap<Watcher, Place, FixedState>,
    /// The watchers without a snapshot.
    waiting: Vec<Watcher>,
    /// The last snapshot, while somebody is being sent its rows.
    snapshot: Weak<Snapshot>,
    /// The version of the last batch with changes that was handed to the watchers.
    handed: u64,
    /// How many of the watchers may come back after a lost connection.
    resumable: usize,
    /// There while someone may come back.
    log: Option<ResumeLog>,
    linger_until: Option<Moment>,
}

/// How far a watcher has come.
#[derive(Debug)]
pub(crate) struct Place {
    /// The version of its snapshot: later batches are for it. Without one it waits, and no batch is for it.
    from: Option<u64>,
    /// There where diffs may go to it past its session.
    pub(crate) direct: Option<Direct>,
}

/// A feed at the moment when a batch is handed to its watchers.
pub(crate) struct Handing<'a> {
    pub(crate) mark: &'a str,
    /// The version of the batch before that changed something.
    pub(crate) before: u64,
    watchers: &'a mut IndexMap<Watcher, Place, FixedState>,
}

impl Handing<'_> {
    /// Those whom a batch of `version` concerns.
    pub(crate) fn watchers(&mut self, version: u64) -> impl Iterator<Item = (&Watcher, &mut Place)> {
        self.watchers.iter_mut().filter(move |(_, place)| place.from.is_some_and(|from| version > from))
    }
}

impl Feed {
    fn new(mark: Arc<str>) -> Self {
        Self {
            mark,
            watchers: IndexMap::default(),
            waiting: Vec::new(),
            snapshot: Weak::new(),
            handed: 0,
            resumable: 0,
            log: None,
            linger_until: None,
        }
    }
}

impl Feeds {
    /// Adds a watcher, which waits for its snapshot. `mark` is that of the query. True where the feed is new here; otherwise
    /// the engine's reference that the caller has just got is one too many.
    pub(crate) fn join(
        &mut self,
        feed: FeedId,
        watcher: Watcher,
        direct: Option<Direct>,
        mark: &Arc<str>,
        resumable: bool,
    ) -> bool {
        let mut new = false;
        let entry = self.feeds.entry(feed).or_insert_with(|| {
            new = true;
            Feed::new(mark.clone())
        });
        entry.watchers.insert(watcher, Place { from: None, direct });
        entry.waiting.push(watcher);
        entry.resumable += usize::from(resumable);
        self.waiting += 1;
        new
    }

    /// The feed has a result now, that of `version`: gives it to those who waited for it. One that others are being sent is shared;
    /// `make` makes a new one. Those of them that are not `ready` wait on.
    pub(crate) fn begin(
        &mut self,
        feed: FeedId,
        version: u64,
        make: impl FnOnce(Arc<str>) -> Option<Snapshot>,
        ready: impl FnMut(&Watcher) -> bool,
    ) -> Option<(Arc<Snapshot>, Vec<Watcher>)> {
        let entry = self.feeds.get_mut(&feed)?;
        let (waited, waiting) = std::mem::take(&mut entry.waiting).into_iter().partition(ready);
        entry.waiting = waiting;
        let waited: Vec<Watcher> = waited;
        if waited.is_empty() {
            return None;
        }
        let snapshot = match entry.snapshot.upgrade().filter(|snapshot| snapshot.version == version) {
            Some(snapshot) => snapshot,
            None => match make(entry.mark.clone()) {
                Some(snapshot) => Arc::new(snapshot),
                None => {
                    entry.waiting.extend(waited);
                    return None;
                }
            },
        };
        entry.snapshot = Arc::downgrade(&snapshot);
        if entry.resumable > 0 {
            entry.log.get_or_insert_with(|| ResumeLog::new(snapshot.version));
        }
        for watcher in &waited {
            if let Some(place) = entry.watchers.get_mut(watcher) {
                place.from = Some(snapshot.version);
            }
        }
        self.waiting -= waited.len();
        Some((snapshot, waited))
    }

    /// The mark of a feed.
    pub(crate) fn mark(&self, feed: FeedId) -> Option<Arc<str>> {
        self.feeds.get(&feed).map(|entry| entry.mark.clone())
    }

    /// Whether a watcher has its first result.
    pub(crate) fn is_begun(&self, feed: FeedId, watcher: Watcher) -> bool {
        let place = self.feeds.get(&feed).and_then(|entry| entry.watchers.get(&watcher));
        place.is_some_and(|place| place.from.is_some())
    }

    /// The session of a watcher has sent everything: from here on diffs may go past it. `told` is the version that the client was
    /// told last, where it is told any.
    pub(crate) fn caught_up(&mut self, feed: FeedId, watcher: Watcher, told: Option<u64>) {
        let Some(entry) = self.feeds.get_mut(&feed) else { return };
        if let Some(Place { from: Some(from), direct: Some(direct) }) = entry.watchers.get_mut(&watcher) {
            // A version that is of another result is none of this one.
            let unknown = if direct.has_versions() { Direct::UNKNOWN } else { *from };
            direct.told = Some(told.unwrap_or(unknown));
        }
    }

    /// Takes a watcher out for good: nobody will come back for it.
    pub(crate) fn leave(&mut self, feed: FeedId, watcher: Watcher, resumable: bool) -> After {
        if let Some(entry) = self.feeds.get_mut(&feed)
            && let Some(Place { from, .. }) = entry.watchers.swap_remove(&watcher)
        {
            entry.resumable -= usize::from(resumable);
            if from.is_none() {
                entry.waiting.retain(|waiting| *waiting != watcher);
                self.waiting -= 1;
            }
        }
        self.tidy(feed)
    }

    /// Takes a watcher out whose connection was lost. Where it was the last that may come back, the feed is kept for
    /// it until `now` plus the limit: not for one that still waited, which has no version to come back from. Also returns a
    /// feed that had to end for that, by the limit on their number.
    pub(crate) fn lose(
        &mut self,
        now: Moment,
        feed: FeedId,
        watcher: Watcher,
        resumable: bool,
        limits: &HubLimits,
    ) -> (After, Option<FeedId>) {
        let mut evicted = None;
        if let Some(entry) = self.feeds.get_mut(&feed)
            && let Some(Place { from, .. }) = entry.watchers.swap_remove(&watcher)
        {
            entry.resumable -= usize::from(resumable);
            if from.is_none() {
                entry.waiting.retain(|waiting| *waiting != watcher);
                self.waiting -= 1;
            }
            let may_return = resumable && from.is_some();
            if may_return && entry.resumable == 0 && limits.resume_linger_feeds > 0 && limits.may_resume() {
                let until = now.saturating_add(limits.resume_linger);
                if let Some(before) = entry.linger_until.replace(until) {
                    self.lingering.remove(&(before, feed));
                }
                self.lingering.insert((until, feed));
                if self.lingering.len() > limits.resume_linger_feeds
                    && let Some((_, oldest)) = self.lingering.pop_first()
                {
                    evicted = self.end_linger(oldest);
                }
            }
        }
        (self.tidy(feed), evicted)
    }

    /// When [`take_lingered`](Self::take_lingered) has something to do.
    pub(crate) fn next_linger(&self) -> Option<Moment> {
        self.lingering.first().map(|(until, _)| *until)
    }

    /// Ends the first wait that is over at `now`; the engine is to close the feed in `Some(Some(_))`. `None` where no
    /// wait is over.
    pub(crate) fn take_lingered(&mut self, now: Moment) -> Option<Option<FeedId>> {
        let (until, feed) = *self.lingering.first()?;
        if until > now {
            return None;
        }
        self.lingering.pop_first();
        Some(self.end_linger(feed))
    }

    /// The result of a feed has changed: keeps the batch for those who may come back.
    pub(crate) fn changed(&mut self, feed: FeedId, batch: &Arc<ChangeBatch>, limits: &HubLimits) {
        let Some(entry) = self.feeds.get_mut(&feed) else { return };
        let Some(log) = &mut entry.log else { return };
        self.log_cost -= log.cost();
        log.push(batch.clone());
        // What this feed may hold: its own limit, and what the others leave of the common ones.
        let others = self.log_cost;
        let changes = limits.resume_log_changes_total.saturating_sub(others.changes);
        log.trim(Cost {
            changes: limits.resume_log_changes.min(changes),
            bytes: limits.resume_log_bytes.saturating_sub(others.bytes),
        });
        self.log_cost += log.cost();
    }

    /// A batch is handed to the watchers of a feed.
    pub(crate) fn hand(&mut self, feed: FeedId, batch: &ChangeBatch) -> Option<Handing<'_>> {
        let Feed { mark, watchers, handed, .. } = self.feeds.get_mut(&feed)?;
        let before = *handed;
        if !batch.changes.is_empty() {
            *handed = batch.version;
        }
        Some(Handing { mark, before, watchers })
    }

    /// The net changes of a feed since `version`, where they are known.
    pub(crate) fn since(&self, feed: FeedId, version: u64) -> Option<Pending> {
        self.feeds.get(&feed)?.log.as_ref()?.since(version)
    }

    pub(crate) fn len(&self) -> usize {
        self.feeds.len()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(crate) fn lingering(&self) -> usize {
        self.lingering.len()
    }

    pub(crate) fn log_cost(&self) -> Cost {
        self.log_cost
    }

    /// The entry in `lingering` is gone already.
    fn end_linger(&mut self, feed: FeedId) -> Option<FeedId> {
        self.feeds.get_mut(&feed)?.linger_until = None;
        (self.tidy(feed) == After::Gone).then_some(feed)
    }

    /// Frees what nobody needs any more.
    fn tidy(&mut self, feed: FeedId) -> After {
        let Some(entry) = self.feeds.get_mut(&feed) else { return After::Kept };
        if entry.resumable == 0
            && entry.linger_until.is_none()
            && let Some(log) = entry.log.take()
        {
            self.log_cost -= log.cost();
        }
        if entry.watchers.is_empty() && entry.linger_until.is_none() {
            self.feeds.remove(&feed);
            return After::Gone;
        }
        After::Kept
    }
}

//! Engine feeds and who watches them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use indexmap::IndexMap;
use liveset_core::{Batch, Etag, Monotonic, Pending, Snapshot, Ticket, VersionCode};
use liveset_engine::FeedId;

use crate::{
    ConnectionId, Delay, HubLimits, WatchId,
    accounts::{Accounts, Owners},
    direct::Direct,
    hashing::Hashing,
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
    /// What is remembered for clients that resume, by subject.
    accounts: Accounts,
    /// Feeds that nobody watches and no index finds, by set: in the order in which keeping them will have cost enough.
    fading: BTreeMap<usize, BTreeSet<(u64, FeedId)>>,
    /// The cost of all logs together.
    log_cost: Cost,
    /// Watchers that wait for their snapshot.
    waiting: usize,
}

#[derive(Debug)]
struct Feed {
    /// See [`Marks`](crate::updates::Marks).
    mark: VersionCode,
    watchers: IndexMap<Watcher, Place, FixedState>,
    /// The watchers without a snapshot.
    waiting: Vec<Watcher>,
    /// The last snapshot, while somebody is being sent its rows, and whether these keep their etags.
    snapshot: (Weak<Snapshot>, bool),
    /// The etags that are being computed, and for whose first result.
    hashing: Option<(Hashing, Watcher)>,
    /// Batches of later versions than this are still to come; `None` where that is so of none before the next input.
    complete: Option<u64>,
    /// The version of the last batch with changes that was handed to the watchers.
    handed: u64,
    /// What lay between its making and that.
    delay: Delay,
    /// How many of the watchers may come back after a lost connection.
    resumable: usize,
    /// For whom it is remembered.
    owners: Owners,
    /// There while someone may come back.
    log: Option<ResumeLog>,
    /// Its place in `fading`.
    fades: Option<(usize, u64)>,
}

/// How far a result is with its etags.
pub(crate) enum Begun {
    /// These rows keep theirs.
    Done(Arc<Snapshot>),
    /// They are computed for the first result of this watcher, or are to be from now on.
    Hashing { hashing: Hashing, watcher: Watcher, is_new: bool },
}

/// How far a watcher has come.
#[derive(Debug)]
pub(crate) struct Place {
    /// The version of its snapshot: later batches are for it. Without one it waits, and no batch is for it.
    from: Option<u64>,
    /// There where diffs may go to it past its session.
    pub(crate) direct: Option<Direct>,
    /// For whom it may come back after a lost connection, where it may.
    resumes: Option<Arc<str>>,
}

/// A feed at the moment when a batch is handed to its watchers.
pub(crate) struct Handing<'a> {
    pub(crate) mark: &'a VersionCode,
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
    fn new(mark: VersionCode) -> Self {
        Self {
            mark,
            watchers: IndexMap::default(),
            waiting: Vec::new(),
            snapshot: (Weak::new(), false),
            hashing: None,
            complete: None,
            handed: 0,
            delay: Delay::default(),
            resumable: 0,
            owners: Owners::default(),
            log: None,
            fades: None,
        }
    }

    /// The last snapshot, if it is of this version, and with etags where they are needed.
    fn shared(&self, version: u64, with_etags: bool) -> Option<Arc<Snapshot>> {
        let (snapshot, has_etags) = &self.snapshot;
        let snapshot = snapshot.upgrade().filter(|snapshot| snapshot.version == version)?;
        (*has_etags || !with_etags).then_some(snapshot)
    }

    fn share(&mut self, snapshot: &Arc<Snapshot>, has_etags: bool) {
        let is_shared = self.snapshot.0.ptr_eq(&Arc::downgrade(snapshot));
        self.snapshot = (Arc::downgrade(snapshot), has_etags || (is_shared && self.snapshot.1));
    }

    /// The first watcher that waits and may come back.
    fn first_to_resume(&self) -> Option<Watcher> {
        let resumes =
            |watcher: &&Watcher| self.watchers.get(*watcher).is_some_and(|place| place.resumes.is_some());
        self.waiting.iter().find(resumes).copied()
    }

    fn log_cost(&self) -> Cost {
        self.log.as_ref().map_or(Cost::default(), ResumeLog::cost)
    }
}

impl Feeds {
    /// Adds a watcher, which waits for its snapshot. `mark` is that of the query. True where the feed is new here; otherwise
    /// the engine's reference that the caller has just got is one too many. `resumes` is the subject of one that may come back after a
    /// lost connection.
    pub(crate) fn join(
        &mut self,
        feed: FeedId,
        watcher: Watcher,
        direct: Option<Direct>,
        mark: &VersionCode,
        resumes: Option<Arc<str>>,
    ) -> bool {
        let mut new = false;
        let entry = self.feeds.entry(feed).or_insert_with(|| {
            new = true;
            Feed::new(mark.clone())
        });
        entry.waiting.push(watcher);
        self.waiting += 1;
        if let Some(subject) = &resumes {
            entry.resumable += 1;
            self.accounts.uncharge(&entry.owners, entry.log_cost());
            entry.owners.watch(subject);
            self.accounts.charge(&entry.owners, entry.log_cost());
        }
        entry.watchers.insert(watcher, Place { from: None, direct, resumes });
        if let Some(fades) = entry.fades.take() {
            self.unfade(feed, fades);
        }
        new
    }

    /// The feed has a result now, that of `version`: gives it to those who waited for it. One that others are being sent is shared;
    /// `make` makes a new one, where there is none `with_etags`. Those of them that are not `ready` wait on.
    pub(crate) fn begin(
        &mut self,
        feed: FeedId,
        version: u64,
        with_etags: Option<Arc<Snapshot>>,
        make: impl FnOnce() -> Option<Snapshot>,
        ready: impl FnMut(&Watcher) -> bool,
    ) -> Option<(Arc<Snapshot>, Vec<Watcher>)> {
        let entry = self.feeds.get_mut(&feed)?;
        let (waited, waiting) = std::mem::take(&mut entry.waiting).into_iter().partition(ready);
        entry.waiting = waiting;
        let waited: Vec<Watcher> = waited;
        if waited.is_empty() {
            return None;
        }
        let has_etags = with_etags.is_some();
        let snapshot = match with_etags.or_else(|| entry.shared(version, false)) {
            Some(snapshot) => snapshot,
            None => match make() {
                Some(snapshot) => Arc::new(snapshot),
                None => {
                    entry.waiting.extend(waited);
                    return None;
                }
            },
        };
        entry.share(&snapshot, has_etags);
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

    /// Up to which version a feed is complete, where it lags.
    pub(crate) fn complete(&self, feed: FeedId) -> Option<u64> {
        self.feeds.get(&feed)?.complete
    }

    /// A feed is complete up to another version from here on: gives the one before, and the watchers with a result.
    pub(crate) fn set_complete(
        &mut self,
        feed: FeedId,
        complete: Option<u64>,
    ) -> Option<(Option<u64>, impl Iterator<Item = Watcher> + '_)> {
        let entry = self.feeds.get_mut(&feed)?;
        let before = std::mem::replace(&mut entry.complete, complete);
        let begun = entry.watchers.iter().filter(|(_, place)| place.from.is_some());
        Some((before, begun.map(|(watcher, _)| *watcher)))
    }

    /// Whether a client may come back for a feed: then its rows have etags.
    pub(crate) fn is_resumable(&self, feed: FeedId) -> bool {
        self.feeds.get(&feed).is_some_and(|entry| entry.resumable > 0 || entry.log.is_some())
    }

    /// The etags of the result of this version, where somebody waits for it who may come back; `make` makes the result.
    pub(crate) fn begin_hashing(
        &mut self,
        feed: FeedId,
        version: u64,
        make: impl FnOnce() -> Option<Snapshot>,
    ) -> Option<Begun> {
        let entry = self.feeds.get_mut(&feed)?;
        let watcher = entry.first_to_resume()?;
        if let Some(snapshot) = entry.shared(version, true) {
            return Some(Begun::Done(snapshot));
        }
        if let Some((hashing, of)) = entry.hashing.take() {
            // The one that it was begun for may be gone, and its turns with it.
            let is_new = !entry.waiting.contains(&of);
            return Some(Begun::Hashing { hashing, watcher: if is_new { watcher } else { of }, is_new });
        }
        let snapshot = match entry.shared(version, false) {
            Some(snapshot) => snapshot,
            None => Arc::new(make()?),
        };
        let log = entry.log.get_or_insert_with(|| ResumeLog::new(snapshot.version));
        Some(Begun::Hashing { hashing: Hashing::new(snapshot, log), watcher, is_new: true })
    }

    /// The etags of a result are not all there: this watcher has turns for them, and pays.
    pub(crate) fn keep_hashing(&mut self, feed: FeedId, hashing: Hashing, watcher: Watcher) {
        if let Some(entry) = self.feeds.get_mut(&feed) {
            entry.hashing = Some((hashing, watcher));
        }
    }

    /// The etags of a result are there: keeps them for as long as somebody may come back.
    pub(crate) fn hashed(
        &mut self,
        feed: FeedId,
        snapshot: &Arc<Snapshot>,
        etags: Box<[Etag]>,
        limits: &HubLimits,
    ) {
        let Some(entry) = self.feeds.get_mut(&feed) else { return };
        entry.share(snapshot, true);
        self.log(feed, limits, |log| log.keep_etags(snapshot.version, etags));
    }

    /// Whether the etags of a result are being computed for the first result of a watcher.
    pub(crate) fn hashes_for(&self, feed: FeedId, watcher: Watcher) -> bool {
        let hashing = self.feeds.get(&feed).and_then(|entry| entry.hashing.as_ref());
        hashing.is_some_and(|(_, of)| *of == watcher)
    }

    /// Somebody has left a feed: where its etags were being computed for that watcher, they are for the next one that waits.
    pub(crate) fn next_to_hash_for(&mut self, feed: FeedId) -> Option<Watcher> {
        let entry = self.feeds.get_mut(&feed)?;
        let (_, watcher) = entry.hashing.as_ref()?;
        if entry.waiting.contains(watcher) {
            return None;
        }
        let next = entry.first_to_resume();
        entry.hashing = entry.hashing.take().and_then(|(hashing, _)| Some((hashing, next?)));
        next
    }

    /// The mark of a feed.
    pub(crate) fn mark(&self, feed: FeedId) -> Option<VersionCode> {
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
        if let Some(Place { from: Some(from), direct: Some(direct), .. }) = entry.watchers.get_mut(&watcher) {
            // A version that is of another result is none of this one.
            let unknown = if direct.has_versions() { Direct::UNKNOWN } else { *from };
            direct.told = Some(told.unwrap_or(unknown));
        }
    }

    /// The watchers of a feed act for somebody else from now on.
    pub(crate) fn change_subject(&mut self, feed: FeedId, watcher: Watcher, subject: &Arc<str>) {
        let Some(entry) = self.feeds.get_mut(&feed) else { return };
        let cost = entry.log_cost();
        let Some(Place { resumes: Some(resumes), .. }) = entry.watchers.get_mut(&watcher) else { return };
        let before = std::mem::replace(resumes, subject.clone());
        self.accounts.uncharge(&entry.owners, cost);
        entry.owners.watch(subject);
        entry.owners.unwatch(&before);
        self.accounts.charge(&entry.owners, cost);
    }

    /// Everything goes by the session of a watcher from now on. Returns the version that the client was told last past it, where it was
    /// told one.
    pub(crate) fn fall_behind(&mut self, feed: FeedId, watcher: Watcher) -> Option<u64> {
        let direct = self.feeds.get_mut(&feed)?.watchers.get_mut(&watcher)?.direct.as_mut()?;
        let told = direct.told.take()?;
        (direct.has_versions() && told != Direct::UNKNOWN).then_some(told)
    }

    /// Takes a watcher out for good: nobody will come back for it.
    pub(crate) fn leave(&mut self, feed: FeedId, watcher: Watcher) -> After {
        self.take_out(feed, watcher);
        self.tidy(feed)
    }

    /// Takes a watcher out whose connection was lost. Where it was the last that may come back, the feed is kept for
    /// it until `now` plus the limit: not for one that still waited, which has no version to come back from. Also returns the
    /// feeds that had to end for that, by the limits on their number.
    pub(crate) fn lose(
        &mut self,
        now: Monotonic,
        feed: FeedId,
        watcher: Watcher,
        limits: &HubLimits,
    ) -> (After, Vec<FeedId>) {
        let mut ended = Vec::new();
        let subject = self.take_out(feed, watcher);
        if let Some(subject) = subject
            && let Some(entry) = self.feeds.get_mut(&feed)
            && entry.resumable == 0
            && limits.may_linger()
        {
            let until = now.saturating_add(limits.resume_linger);
            self.accounts.uncharge(&entry.owners, entry.log_cost());
            let over = self.accounts.linger(feed, &mut entry.owners, &subject, until, limits);
            self.accounts.charge(&entry.owners, entry.log_cost());
            for (feed, subject) in over {
                ended.extend(self.end_linger(feed, &subject));
            }
        }
        // Where it is gone already, it is among those that ended.
        (self.tidy(feed), ended)
    }

    /// When [`take_lingered`](Self::take_lingered) has something to do.
    pub(crate) fn next_linger(&self) -> Option<Monotonic> {
        self.accounts.first().map(|(until, ..)| *until)
    }

    /// Ends the first wait that is over at `now`; the engine is to close the feed in `Some(Some(_))`. `None` where no
    /// wait is over.
    pub(crate) fn take_lingered(&mut self, now: Monotonic) -> Option<Option<FeedId>> {
        let (until, feed, subject) = self.accounts.first()?.clone();
        (until <= now).then(|| self.end_linger(feed, &subject))
    }

    /// Whether a feed is only kept for clients that may come back, and may be kept for ever as far as is known here.
    pub(crate) fn is_kept_for_nobody(&self, feed: FeedId) -> bool {
        self.feeds.get(&feed).is_some_and(|entry| entry.watchers.is_empty() && entry.fades.is_none())
    }

    /// A feed that nobody watches is given up when so many rows of its set were changed, over all commits; unless somebody watches it
    /// again before.
    pub(crate) fn fade(&mut self, feed: FeedId, set: usize, at: u64) {
        if let Some(entry) = self.feeds.get_mut(&feed) {
            entry.fades = Some((set, at));
            self.fading.entry(set).or_default().insert((at, feed));
        }
    }

    /// The sets with feeds that [fade](Self::fade).
    pub(crate) fn fading_sets(&self) -> Vec<usize> {
        self.fading.keys().copied().collect()
    }

    /// Gives up the next feed of a set that has faded once so many of its rows were changed: the engine is to close it.
    pub(crate) fn take_faded(&mut self, set: usize, changed: u64) -> Option<FeedId> {
        let (at, feed) = *self.fading.get(&set)?.first()?;
        if at > changed {
            return None;
        }
        let entry = self.feeds.get_mut(&feed)?;
        entry.fades = None;
        let subjects = Accounts::lingers_for(&entry.owners);
        self.unfade(feed, (set, at));
        subjects.into_iter().filter_map(|subject| self.end_linger(feed, &subject)).last()
    }

    fn unfade(&mut self, feed: FeedId, (set, at): (usize, u64)) {
        if let Some(fading) = self.fading.get_mut(&set) {
            fading.remove(&(at, feed));
            if fading.is_empty() {
                self.fading.remove(&set);
            }
        }
    }

    /// The result of a feed has changed: keeps the batch for those who may come back.
    pub(crate) fn changed(&mut self, feed: FeedId, batch: &Arc<Batch>, limits: &HubLimits) {
        self.log(feed, limits, |log| log.push(batch.clone()));
    }

    /// Adds something to the log of a feed, if it has one.
    fn log(&mut self, feed: FeedId, limits: &HubLimits, add: impl FnOnce(&mut ResumeLog)) {
        let Some(entry) = self.feeds.get_mut(&feed) else { return };
        let Feed { log: Some(log), owners, .. } = entry else { return };
        self.log_cost -= log.cost();
        self.accounts.uncharge(owners, log.cost());
        add(log);
        // What this feed may hold: its own limit, and what the others leave of the common ones and of its subjects'.
        let others = self.log_cost;
        let room = self.accounts.room(owners, limits);
        let changes = limits.resume_log_changes_total.saturating_sub(others.changes);
        log.trim(Cost {
            changes: limits.resume_log_changes.min(changes).min(room.changes),
            bytes: limits.resume_log_bytes.saturating_sub(others.bytes).min(room.bytes),
        });
        self.log_cost += log.cost();
        self.accounts.charge(owners, log.cost());
    }

    /// A batch is handed to the watchers of a feed, with this between it and the making of its version.
    pub(crate) fn hand(&mut self, feed: FeedId, batch: &Batch, delay: Delay) -> Option<Handing<'_>> {
        let Feed { mark, watchers, handed, delay: last, .. } = self.feeds.get_mut(&feed)?;
        let before = *handed;
        if !batch.changes.is_empty() {
            (*handed, *last) = (batch.version, delay);
        }
        Some(Handing { mark, before, watchers })
    }

    /// What lay between the making of the last version that changed a feed and the handing of that.
    pub(crate) fn delay(&self, feed: FeedId) -> Option<Delay> {
        self.feeds.get(&feed).map(|entry| entry.delay)
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
        self.accounts.lingering()
    }

    pub(crate) fn log_cost(&self) -> Cost {
        self.log_cost
    }

    /// Whether accounts are kept for as long as something is on them. For tests.
    #[cfg(any(test, feature = "test-kit"))]
    pub(crate) fn check(&self) {
        if self.log_cost == Cost::default() && self.accounts.lingering() == 0 {
            assert_eq!((self.accounts.len(), self.fading.len()), (0, 0));
        }
    }

    /// Takes a watcher out; returns the subject for which it may come back, where it has something to come back to.
    fn take_out(&mut self, feed: FeedId, watcher: Watcher) -> Option<Arc<str>> {
        let entry = self.feeds.get_mut(&feed)?;
        let Place { from, resumes, .. } = entry.watchers.swap_remove(&watcher)?;
        if from.is_none() {
            entry.waiting.retain(|waiting| *waiting != watcher);
            self.waiting -= 1;
        }
        let subject = resumes?;
        entry.resumable -= 1;
        let cost = entry.log_cost();
        self.accounts.uncharge(&entry.owners, cost);
        entry.owners.unwatch(&subject);
        self.accounts.charge(&entry.owners, cost);
        from.is_some().then_some(subject)
    }

    fn end_linger(&mut self, feed: FeedId, subject: &Arc<str>) -> Option<FeedId> {
        let entry = self.feeds.get_mut(&feed)?;
        let cost = entry.log_cost();
        self.accounts.uncharge(&entry.owners, cost);
        self.accounts.end_linger(feed, &mut entry.owners, subject);
        self.accounts.charge(&entry.owners, cost);
        (self.tidy(feed) == After::Gone).then_some(feed)
    }

    /// Frees what nobody needs any more.
    fn tidy(&mut self, feed: FeedId) -> After {
        let Some(entry) = self.feeds.get_mut(&feed) else { return After::Kept };
        let lingers = entry.owners.linger();
        if entry.resumable == 0
            && !lingers
            && let Some(log) = entry.log.take()
        {
            self.accounts.uncharge(&entry.owners, log.cost());
            self.log_cost -= log.cost();
        }
        if entry.watchers.is_empty() && !lingers {
            if let Some(fades) = entry.fades.take() {
                self.unfade(feed, fades);
            }
            self.feeds.remove(&feed);
            return After::Gone;
        }
        After::Kept
    }
}

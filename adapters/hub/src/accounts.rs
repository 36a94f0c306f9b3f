//! What is remembered for clients that resume, on whose account.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use liveset_core::Monotonic;
use liveset_engine::FeedId;

use crate::{HubLimits, resume::Cost};

/// A log counts for each subject that it is kept for, as long as those are no more than this: with more it is everybody's.
const SHARED_BY: usize = 8;

/// The subjects that a feed is remembered for.
#[derive(Debug, Default)]
pub(crate) struct Owners(BTreeMap<Arc<str>, Owner>);

#[derive(Debug, Default)]
struct Owner {
    /// Its watchers that may come back.
    watchers: usize,
    /// Until when the feed is kept for one that was lost.
    lingers: Option<Monotonic>,
}

/// What is remembered for each subject. None is kept for which nothing is.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    by_subject: HashMap<Arc<str>, Account, FixedState>,
    /// Every feed that lingers, for every subject; the first to end first.
    lingering: BTreeSet<(Monotonic, FeedId, Arc<str>)>,
}

#[derive(Debug, Default)]
struct Account {
    /// Of the logs that count for it.
    log: Cost,
    /// The feeds that linger for it, the first to end first.
    lingering: BTreeSet<(Monotonic, FeedId)>,
}

impl Owners {
    /// Whether the feed lingers for anybody.
    pub(crate) fn linger(&self) -> bool {
        self.0.values().any(|owner| owner.lingers.is_some())
    }

    /// Adds or takes out a watcher that may come back.
    pub(crate) fn watch(&mut self, subject: &Arc<str>) {
        self.0.entry(subject.clone()).or_default().watchers += 1;
    }

    pub(crate) fn unwatch(&mut self, subject: &str) {
        if let Some(owner) = self.0.get_mut(subject) {
            owner.watchers -= 1;
            self.tidy(subject);
        }
    }

    fn tidy(&mut self, subject: &str) {
        if self.0.get(subject).is_some_and(|owner| owner.watchers == 0 && owner.lingers.is_none()) {
            self.0.remove(subject);
        }
    }

    /// For whom the log counts.
    fn payers(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys().take(if self.0.len() <= SHARED_BY { SHARED_BY } else { 0 })
    }
}

impl Accounts {
    /// Counts a log for those whom it is kept for. Taken back by [`uncharge`](Self::uncharge) before either changes.
    pub(crate) fn charge(&mut self, owners: &Owners, log: Cost) {
        if log != Cost::default() {
            for subject in owners.payers() {
                self.by_subject.entry(subject.clone()).or_default().log += log;
            }
        }
    }

    pub(crate) fn uncharge(&mut self, owners: &Owners, log: Cost) {
        if log != Cost::default() {
            for subject in owners.payers() {
                if let Some(account) = self.by_subject.get_mut(subject) {
                    account.log -= log;
                }
                self.tidy(subject);
            }
        }
    }

    /// What the log of a feed may hold that does not count now: what whoever has most room has left, so that nobody who uses up
    /// their own share takes it from others.
    pub(crate) fn room(&self, owners: &Owners, limits: &HubLimits) -> Cost {
        let whole = Cost {
            changes: limits.resume_log_changes_per_subject,
            bytes: limits.resume_log_bytes_per_subject,
        };
        let left = |subject: &Arc<str>| {
            let held = self.by_subject.get(subject).map_or(Cost::default(), |account| account.log);
            Cost {
                changes: whole.changes.saturating_sub(held.changes),
                bytes: whole.bytes.saturating_sub(held.bytes),
            }
        };
        let most = |a: Cost, b: Cost| Cost { changes: a.changes.max(b.changes), bytes: a.bytes.max(b.bytes) };
        owners.payers().map(left).reduce(most).unwrap_or(Cost { changes: usize::MAX, bytes: usize::MAX })
    }

    /// Keeps a feed for a subject until then. Returns what has to end for that, by the limits on their number: of the subject's own,
    /// then of all.
    pub(crate) fn linger(
        &mut self,
        feed: FeedId,
        owners: &mut Owners,
        subject: &Arc<str>,
        until: Monotonic,
        limits: &HubLimits,
    ) -> Vec<(FeedId, Arc<str>)> {
        let owner = owners.0.entry(subject.clone()).or_default();
        let account = self.by_subject.entry(subject.clone()).or_default();
        if let Some(before) = owner.lingers.replace(until) {
            account.lingering.remove(&(before, feed));
            self.lingering.remove(&(before, feed, subject.clone()));
        }
        account.lingering.insert((until, feed));
        self.lingering.insert((until, feed, subject.clone()));
        let mut over = Vec::new();
        if account.lingering.len() > limits.resume_linger_feeds_per_subject
            && let Some((_, feed)) = account.lingering.first()
        {
            over.push((*feed, subject.clone()));
        }
        if self.lingering.len() - over.len() > limits.resume_linger_feeds
            && let Some((_, feed, subject)) =
                self.lingering.iter().find(|(_, feed, of)| !over.contains(&(*feed, of.clone())))
        {
            over.push((*feed, subject.clone()));
        }
        over
    }

    /// A feed lingers for a subject no more.
    pub(crate) fn end_linger(&mut self, feed: FeedId, owners: &mut Owners, subject: &Arc<str>) {
        let Some(until) = owners.0.get_mut(subject).and_then(|owner| owner.lingers.take()) else { return };
        owners.tidy(subject);
        self.lingering.remove(&(until, feed, subject.clone()));
        if let Some(account) = self.by_subject.get_mut(subject) {
            account.lingering.remove(&(until, feed));
        }
        self.tidy(subject);
    }

    /// For whom a feed lingers.
    pub(crate) fn lingers_for(owners: &Owners) -> Vec<Arc<str>> {
        let lingers = owners.0.iter().filter(|(_, owner)| owner.lingers.is_some());
        lingers.map(|(subject, _)| subject.clone()).collect()
    }

    /// The feed that ends first, for whom, and when.
    pub(crate) fn first(&self) -> Option<&(Monotonic, FeedId, Arc<str>)> {
        self.lingering.first()
    }

    pub(crate) fn lingering(&self) -> usize {
        self.lingering.len()
    }

    #[cfg(any(test, feature = "test-kit"))]
    pub(crate) fn len(&self) -> usize {
        self.by_subject.len()
    }

    fn tidy(&mut self, subject: &str) {
        let is_empty = |account: &Account| account.log == Cost::default() && account.lingering.is_empty();
        if self.by_subject.get(subject).is_some_and(is_empty) {
            self.by_subject.remove(subject);
        }
    }
}

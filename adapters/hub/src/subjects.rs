//! What each subject holds, over all of its connections.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use liveset_core::Monotonic;
use liveset_engine::{self as engine, Allowance, FeedId, Keeping, Keyed};

use crate::{
    ConnectionId, Delay, HubLimits,
    budgets::{Kept, StepBudget},
    limits::share,
};

/// What one subject holds at a moment, over all connections that act for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubjectUse {
    /// Authenticated connections whose conversation is not over.
    pub connections: usize,
    /// Their event subscriptions.
    pub subscriptions: usize,
    /// Their live queries, those that wait for their first result included.
    pub live_queries: usize,
    /// Bytes of the compiled filters and windows of these, and of the subscriptions.
    pub query_bytes: u64,
    /// Steps that each changed row costs them, of the set of which that is the most.
    pub standing_steps: u64,
    /// What lay between the last commit that changed one of them and the handing of its diffs: that of which it was the most.
    pub delay: Delay,
}

/// What is counted for a subject.
#[derive(Debug)]
struct Account {
    held: SubjectUse,
    /// How many of its live queries are of each feed, and what that costs: once, however many they are.
    feeds: HashMap<FeedId, (usize, Keeping), FixedState>,
    kept: Kept,
    steps: StepBudget,
    /// Bytes of first rows that its connections have not taken.
    initial_bytes: usize,
    /// Connections with live queries that are answered when there are fewer, in the order in which they came to wait.
    deferred: BTreeMap<u64, ConnectionId>,
}

/// Subjects with a connection, and those that have none any more and have not made up for what they spent. Another one of these has
/// [tenants](crate::tenants), which are counted as if each were a subject.
#[derive(Debug)]
pub(crate) struct Subjects {
    by_name: HashMap<Arc<str>, Account, Keyed>,
    /// Those without a connection, each with the moment at which it may be forgotten.
    leaving: VecDeque<(Monotonic, Arc<str>)>,
    /// Steps a second of each.
    rate: u64,
    /// Of the feeds of all subjects, how many of these have it, and its bytes.
    feeds: HashMap<FeedId, (usize, u64), FixedState>,
    /// Bytes that all hold together: of each feed once, and of each subscription.
    bytes: u64,
    /// How often a connection came to wait for room of its subject.
    deferred_so_far: u64,
}

/// How much a connection holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) subscriptions: usize,
    pub(crate) live_queries: usize,
    pub(crate) subscription_bytes: u64,
}

/// What of a subject's use is that of one connection: what [`Subjects::set`] has counted for it.
#[derive(Debug, Default)]
pub(crate) struct Share {
    subject: Option<Arc<str>>,
    holds: Holding,
    feeds: BTreeMap<FeedId, usize>,
    initial_bytes: usize,
    /// Its place among the connections that wait for room of its subject.
    deferred_as: Option<(u64, ConnectionId)>,
}

impl Account {
    fn new(rate: u64, now: Monotonic) -> Self {
        Self {
            held: SubjectUse::default(),
            feeds: HashMap::default(),
            kept: Kept::default(),
            steps: StepBudget::full(rate, now),
            initial_bytes: 0,
            deferred: BTreeMap::new(),
        }
    }

    /// True where the feed is the subject's first of it.
    fn keep(&mut self, feed: FeedId, keeping: &Keeping, count: usize) -> bool {
        let kept = self.feeds.entry(feed).or_insert((0, *keeping));
        let is_new = kept.0 == 0;
        if is_new {
            self.kept.add(&kept.1);
        }
        kept.0 += count;
        is_new
    }

    /// Returns what the feed costs, and whether the subject has it no more.
    fn let_go(&mut self, feed: FeedId, count: usize) -> Option<(Keeping, bool)> {
        let kept = self.feeds.get_mut(&feed)?;
        let keeping = kept.1;
        kept.0 -= count;
        let is_gone = kept.0 == 0;
        if is_gone {
            self.feeds.remove(&feed);
            self.kept.remove(&keeping);
        }
        Some((keeping, is_gone))
    }
}

/// Bytes of live queries that wait for sets which are loading.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parked {
    pub(crate) of_connection: u64,
    pub(crate) of_subject: u64,
    pub(crate) of_all: u64,
}

impl Subjects {
    pub(crate) fn new(keyed: Keyed, rate: u64) -> Self {
        Self {
            by_name: HashMap::with_hasher(keyed),
            leaving: VecDeque::new(),
            rate,
            feeds: HashMap::default(),
            bytes: 0,
            deferred_so_far: 0,
        }
    }

    /// What a subject holds now.
    pub(crate) fn of(&self, subject: &str) -> SubjectUse {
        let Some(Account { held, kept, .. }) = self.by_name.get(subject) else {
            return SubjectUse::default();
        };
        SubjectUse { query_bytes: kept.bytes(), standing_steps: kept.standing_steps(), ..*held }
    }

    /// What a subject's live queries and subscriptions cost while they are kept.
    pub(crate) fn kept(&self, subject: &str) -> Option<&Kept> {
        self.by_name.get(subject).map(|account| &account.kept)
    }

    /// The feeds of a subject's live queries.
    pub(crate) fn feeds(&self, subject: &str) -> impl Iterator<Item = FeedId> + '_ {
        let account = self.by_name.get(subject);
        account.into_iter().flat_map(|account| account.feeds.keys().copied())
    }

    /// What a subject may still take, of what a connection that keeps so much may.
    pub(crate) fn allowance(
        &self,
        subject: &str,
        of_connection: &Kept,
        set: usize,
        limits: &HubLimits,
    ) -> Allowance {
        let none = Kept::default();
        self.by_name.get(subject).map_or(&none, |account| &account.kept).allowance(of_connection, set, limits)
    }

    /// Bytes that a connection which keeps so much may still take alone, where `parked` is held besides.
    pub(crate) fn room(
        &self,
        share: &Share,
        of_connection: &Kept,
        parked: Parked,
        limits: &HubLimits,
    ) -> engine::Share {
        let account = share.subject.as_ref().and_then(|subject| self.by_name.get(subject));
        let of_subject = account.map_or(0, |account| account.kept.bytes());
        share!(limits.query_bytes_per_connection, of_connection.bytes() + parked.of_connection)
            .min(share!(limits.query_bytes_per_subject, of_subject + parked.of_subject))
            .min(share!(limits.query_bytes, self.bytes + parked.of_all))
    }

    /// A live query of a connection is of a feed from here on.
    pub(crate) fn keep(&mut self, share: &mut Share, feed: FeedId, keeping: &Keeping) {
        let Some(account) = share.subject.as_ref().and_then(|subject| self.by_name.get_mut(subject)) else {
            return;
        };
        if account.keep(feed, keeping, 1) {
            self.hold(feed, keeping.bytes);
        }
        *share.feeds.entry(feed).or_default() += 1;
    }

    /// One is no more. Nothing where it was not counted.
    pub(crate) fn let_go(&mut self, share: &mut Share, feed: FeedId) {
        let Some(account) = share.subject.as_ref().and_then(|subject| self.by_name.get_mut(subject)) else {
            return;
        };
        let Some(count) = share.feeds.get_mut(&feed) else { return };
        let is_gone = account.let_go(feed, 1).is_some_and(|(_, is_gone)| is_gone);
        *count -= 1;
        if *count == 0 {
            share.feeds.remove(&feed);
        }
        if is_gone {
            self.release(feed);
        }
    }

    /// One more subject has a feed.
    fn hold(&mut self, feed: FeedId, bytes: u64) {
        let held = self.feeds.entry(feed).or_insert((0, bytes));
        if held.0 == 0 {
            self.bytes += held.1;
        }
        held.0 += 1;
    }

    /// One subject less has it.
    fn release(&mut self, feed: FeedId) {
        let Some(held) = self.feeds.get_mut(&feed) else { return };
        held.0 -= 1;
        if held.0 == 0 {
            self.bytes -= held.1;
            self.feeds.remove(&feed);
        }
    }

    /// Bytes that the live queries and subscriptions of all subjects take.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether any subject has a live query of a feed.
    pub(crate) fn is_held(&self, feed: FeedId) -> bool {
        self.feeds.contains_key(&feed)
    }

    /// Whether a subject has a live query of a feed: another one costs it nothing.
    pub(crate) fn has(&self, subject: &str, feed: FeedId) -> bool {
        self.by_name.get(subject).is_some_and(|account| account.feeds.contains_key(&feed))
    }

    /// Steps were spent for a subject, whether or not it has a connection. Returns for how long nothing more may be.
    pub(crate) fn charge(&mut self, subject: &Arc<str>, now: Monotonic, steps: u64) -> Duration {
        self.forget_full(now);
        let rate = self.rate;
        let leaving = &mut self.leaving;
        let account = self.by_name.entry(subject.clone()).or_insert_with(|| {
            leaving.push_back((now, subject.clone()));
            Account::new(rate, now)
        });
        account.steps.spend(rate, now, steps);
        account.steps.wait(rate, now)
    }

    /// Forgets subjects without a connection that have made up for what they spent: as if they had never spent anything.
    fn forget_full(&mut self, now: Monotonic) {
        while self.leaving.front().is_some_and(|(until, _)| *until <= now) {
            let Some((_, subject)) = self.leaving.pop_front() else { break };
            let Some(account) = self.by_name.get(&subject) else { continue };
            let full_at = account.steps.full_at(self.rate);
            match full_at <= now {
                true => drop(self.by_name.remove(&subject)),
                false => self.leaving.push_back((full_at, subject)),
            }
        }
    }

    /// A connection holds so many bytes of first rows that it has not taken.
    pub(crate) fn set_initial(&mut self, share: &mut Share, bytes: usize) {
        if let Some(account) = share.subject.as_ref().and_then(|subject| self.by_name.get_mut(subject)) {
            account.initial_bytes = account.initial_bytes - share.initial_bytes + bytes;
            share.initial_bytes = bytes;
        }
    }

    /// Whether connections of the subject can be given more first rows: they hold fewer bytes of them than they may, or none.
    pub(crate) fn has_initial_room(&self, share: &Share, limit: usize) -> bool {
        let account = share.subject.as_ref().and_then(|subject| self.by_name.get(subject));
        account.is_none_or(|account| account.initial_bytes == 0 || account.initial_bytes < limit)
    }

    /// A connection has a live query that is answered when the subject has room for its rows.
    pub(crate) fn defer(&mut self, share: &mut Share, conn: ConnectionId) {
        if share.deferred_as.is_none()
            && let Some(account) = share.subject.as_ref().and_then(|subject| self.by_name.get_mut(subject))
        {
            self.deferred_so_far += 1;
            account.deferred.insert(self.deferred_so_far, conn);
            share.deferred_as = Some((self.deferred_so_far, conn));
        }
    }

    /// A connection has none any more.
    pub(crate) fn end_deferral(&mut self, share: &mut Share) {
        if let Some((place, _)) = share.deferred_as.take()
            && let Some(account) = share.subject.as_ref().and_then(|subject| self.by_name.get_mut(subject))
        {
            account.deferred.remove(&place);
        }
    }

    /// How many connections of a subject are [deferred](Self::defer).
    pub(crate) fn deferred(&self, subject: &str) -> usize {
        self.by_name.get(subject).map_or(0, |account| account.deferred.len())
    }

    /// The first connection of these, if the subject has room.
    pub(crate) fn next_deferred(&self, subject: &str, limit: usize) -> Option<ConnectionId> {
        let account = self.by_name.get(subject)?;
        let has_room = account.initial_bytes == 0 || account.initial_bytes < limit;
        account.deferred.values().next().copied().filter(|_| has_room)
    }

    /// For how long nothing more may be spent for a subject.
    pub(crate) fn wait(&mut self, subject: &str, now: Monotonic) -> Duration {
        self.by_name.get_mut(subject).map_or(Duration::ZERO, |account| account.steps.wait(self.rate, now))
    }

    /// Subjects with a connection.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len() - self.leaving.len().min(self.by_name.len())
    }

    /// Counts a connection as what it is now, in place of what it was counted as: for whom it acts, if its conversation is not over,
    /// and how much it holds. O(1), and O(feeds) where it acts for another subject than before.
    pub(crate) fn set(
        &mut self,
        share: &mut Share,
        now: Monotonic,
        subject: Option<&Arc<str>>,
        holds: Holding,
    ) {
        let is_same = share.subject.as_deref() == subject.map(|subject| &**subject);
        if is_same && share.holds == holds {
            return;
        }
        self.forget_full(now);
        let deferred = share.deferred_as;
        if !is_same {
            self.end_deferral(share);
        }
        let mut moved: Vec<(FeedId, usize, Keeping)> = Vec::new();
        if let Some(subject) = share.subject.take()
            && let Some(account) = self.by_name.get_mut(&subject)
        {
            account.held.connections -= 1;
            account.held.subscriptions -= share.holds.subscriptions;
            account.held.live_queries -= share.holds.live_queries;
            account.kept.set_bytes(share.holds.subscription_bytes, 0);
            self.bytes -= share.holds.subscription_bytes;
            let mut gone = Vec::new();
            account.initial_bytes -= share.initial_bytes;
            if !is_same {
                for (feed, count) in std::mem::take(&mut share.feeds) {
                    let Some((keeping, is_gone)) = account.let_go(feed, count) else { continue };
                    moved.push((feed, count, keeping));
                    gone.extend(is_gone.then_some(feed));
                }
            }
            if account.held.connections == 0 && !is_same {
                // Who comes back is not given anew what was spent.
                let full_at = account.steps.full_at(self.rate);
                match full_at <= now {
                    true => drop(self.by_name.remove(&subject)),
                    false => self.leaving.push_back((full_at, subject)),
                }
            }
            gone.into_iter().for_each(|feed| self.release(feed));
        }
        let Some(subject) = subject else {
            *share = Share::default();
            return;
        };
        let rate = self.rate;
        let account = self.by_name.entry(subject.clone()).or_insert_with(|| Account::new(rate, now));
        if account.held.connections == 0 {
            self.leaving.retain(|(_, leaving)| leaving != subject);
        }
        account.held.connections += 1;
        account.held.subscriptions += holds.subscriptions;
        account.held.live_queries += holds.live_queries;
        account.kept.set_bytes(0, holds.subscription_bytes);
        self.bytes += holds.subscription_bytes;
        let mut new = Vec::new();
        account.initial_bytes += share.initial_bytes;
        for (feed, count, keeping) in moved {
            new.extend(account.keep(feed, &keeping, count).then_some((feed, keeping.bytes)));
            share.feeds.insert(feed, count);
        }
        new.into_iter().for_each(|(feed, bytes)| self.hold(feed, bytes));
        share.subject = Some(subject.clone());
        share.holds = holds;
        if let Some((_, conn)) = deferred.filter(|_| !is_same) {
            self.defer(share, conn);
        }
    }
}

impl Share {
    /// For whom the connection is counted.
    pub(crate) fn subject(&self) -> Option<&Arc<str>> {
        self.subject.as_ref()
    }

    /// The connections and live queries that it is: one or none, and those of that one.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (usize::from(self.subject.is_some()), self.holds.live_queries)
    }
}

#[cfg(test)]
mod tests {
    use liveset_engine::HashSeed;

    use super::*;

    /// Live queries that come and go while their subject has no room leave nothing behind.
    #[test]
    fn a_connection_waits_once_for_room_of_the_subject_that_it_acts_for() {
        let (now, conn, other) =
            (Monotonic::ZERO, ConnectionId { made: 1, slot: 0 }, ConnectionId { made: 2, slot: 1 });
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        let mut subjects = Subjects::new(HashSeed::FIXED.keyed(), 1);
        let [mut share, mut of_other] = [Share::default(), Share::default()];
        let holds = Holding { live_queries: 1, ..Holding::default() };
        subjects.set(&mut share, now, Some(&a), holds);
        subjects.set(&mut of_other, now, Some(&a), holds);
        subjects.set_initial(&mut of_other, 10);
        for _ in 0..1_000 {
            subjects.defer(&mut share, conn);
        }
        subjects.defer(&mut of_other, other);
        assert_eq!((subjects.deferred("a"), subjects.next_deferred("a", 10)), (2, None));
        assert_eq!(subjects.next_deferred("a", 11), Some(conn));
        // It acts for somebody else, and waits on.
        subjects.set(&mut share, now, Some(&b), holds);
        assert_eq!(
            (subjects.next_deferred("a", 11), subjects.next_deferred("b", 11)),
            (Some(other), Some(conn))
        );
        subjects.end_deferral(&mut share);
        subjects.set(&mut of_other, now, None, Holding::default());
        assert_eq!((subjects.deferred("a"), subjects.deferred("b")), (0, 0));
    }
}

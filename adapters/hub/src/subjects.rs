//! What each subject holds, over all of its connections.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use hashbrown::HashMap;
use liveset_core::Moment;
use liveset_engine::{Allowance, Keyed};

use crate::{
    HubLimits,
    budgets::{Kept, StepBudget},
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
    /// Bytes of the compiled filters and windows of these.
    pub query_bytes: u64,
    /// Steps that each changed row costs them, of the set of which that is the most.
    pub standing_steps: u64,
}

/// What is counted for a subject.
#[derive(Debug)]
struct Account {
    held: SubjectUse,
    kept: Kept,
    steps: StepBudget,
}

/// Subjects with a connection, and those that have none any more and have not made up for what they spent.
#[derive(Debug)]
pub(crate) struct Subjects {
    by_name: HashMap<Arc<str>, Account, Keyed>,
    /// Those without a connection, each with the moment at which it may be forgotten.
    leaving: VecDeque<(Moment, Arc<str>)>,
    /// Steps a second of each.
    rate: u64,
}

/// What of a subject's use is that of one connection: what [`Subjects::set`] has counted for it.
#[derive(Debug, Default)]
pub(crate) struct Share {
    subject: Option<Arc<str>>,
    subscriptions: usize,
    live_queries: usize,
    kept: Kept,
}

impl Subjects {
    pub(crate) fn new(keyed: Keyed, rate: u64) -> Self {
        Self { by_name: HashMap::with_hasher(keyed), leaving: VecDeque::new(), rate }
    }

    /// What a subject holds now.
    pub(crate) fn of(&self, subject: &str) -> SubjectUse {
        let Some(Account { held, kept, .. }) = self.by_name.get(subject) else {
            return SubjectUse::default();
        };
        SubjectUse { query_bytes: kept.bytes(), standing_steps: kept.standing_steps(), ..*held }
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

    /// Steps were spent for a subject.
    pub(crate) fn spend(&mut self, subject: &str, now: Moment, steps: u64) {
        if let Some(account) = self.by_name.get_mut(subject) {
            account.steps.spend(self.rate, now, steps);
        }
        while self.leaving.front().is_some_and(|(until, _)| *until <= now) {
            let Some((_, subject)) = self.leaving.pop_front() else { break };
            if self.by_name.get(&subject).is_some_and(|account| account.held.connections == 0) {
                self.by_name.remove(&subject);
            }
        }
    }

    /// For how long nothing more may be spent for a subject.
    pub(crate) fn wait(&mut self, subject: &str, now: Moment) -> Duration {
        self.by_name.get_mut(subject).map_or(Duration::ZERO, |account| account.steps.wait(self.rate, now))
    }

    /// Subjects with a connection.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len() - self.leaving.len().min(self.by_name.len())
    }

    /// Counts a connection as what it is now, in place of what it was counted as: for whom it acts, if its conversation is not over,
    /// and what it holds. O(1), and O(sets) where what it keeps has changed.
    pub(crate) fn set(
        &mut self,
        share: &mut Share,
        now: Moment,
        subject: Option<&Arc<str>>,
        (subscriptions, live_queries, kept): (usize, usize, &Kept),
    ) {
        let is_same = share.subject.as_deref() == subject.map(|subject| &**subject);
        if is_same
            && (share.subscriptions, share.live_queries, &share.kept) == (subscriptions, live_queries, kept)
        {
            return;
        }
        if let Some(subject) = share.subject.take()
            && let Some(account) = self.by_name.get_mut(&subject)
        {
            account.held.connections -= 1;
            account.held.subscriptions -= share.subscriptions;
            account.held.live_queries -= share.live_queries;
            account.kept.subtract_all(&share.kept);
            if account.held.connections == 0 && !is_same {
                // Who comes back is not given anew what was overdrawn.
                match account.steps.wait(self.rate, now).is_zero() {
                    true => drop(self.by_name.remove(&subject)),
                    false => self.leaving.push_back((account.steps.full_at(self.rate), subject)),
                }
            }
        }
        let Some(subject) = subject else {
            *share = Share::default();
            return;
        };
        let rate = self.rate;
        let account = self.by_name.entry(subject.clone()).or_insert_with(|| Account {
            held: SubjectUse::default(),
            kept: Kept::default(),
            steps: StepBudget::full(rate, now),
        });
        if account.held.connections == 0 {
            self.leaving.retain(|(_, leaving)| leaving != subject);
        }
        account.held.connections += 1;
        account.held.subscriptions += subscriptions;
        account.held.live_queries += live_queries;
        account.kept.add_all(kept);
        *share = Share { subject: Some(subject.clone()), subscriptions, live_queries, kept: kept.clone() };
    }
}

impl Share {
    /// For whom the connection is counted.
    pub(crate) fn subject(&self) -> Option<&Arc<str>> {
        self.subject.as_ref()
    }
}

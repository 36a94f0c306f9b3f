//! What is taken of things that all share: kept by the subject, and spent by the second.

use std::{collections::BTreeMap, time::Duration};

use liveset_core::{Monotonic, Rate, TokenBucket};
use liveset_engine::{Allowance, Keeping};

use crate::{HubLimits, limits::share};

/// What some live queries cost while they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// By set: steps for each changed row, and fields that no other query read.
    by_set: BTreeMap<usize, (u64, u64)>,
    bytes: u64,
    unindexed: u64,
}

impl Kept {
    pub(crate) fn add(&mut self, keeping: &Keeping) {
        let (steps, columns) = self.by_set.entry(keeping.set).or_default();
        *steps += keeping.standing_steps;
        *columns += keeping.columns;
        self.bytes += keeping.bytes;
        self.unindexed += u64::from(keeping.is_unindexed);
    }

    pub(crate) fn remove(&mut self, keeping: &Keeping) {
        self.bytes -= keeping.bytes;
        self.unindexed -= u64::from(keeping.is_unindexed);
        self.subtract_of_set(keeping.set, keeping.standing_steps, keeping.columns);
    }

    fn subtract_of_set(&mut self, set: usize, steps: u64, columns: u64) {
        if let Some(sum) = self.by_set.get_mut(&set) {
            *sum = (sum.0 - steps, sum.1 - columns);
            if *sum == (0, 0) {
                self.by_set.remove(&set);
            }
        }
    }

    /// Something else is kept, or no more, that takes bytes alone.
    pub(crate) fn set_bytes(&mut self, before: u64, now: u64) {
        self.bytes = self.bytes - before + now;
    }

    /// Bytes of compiled filters, windows and subscriptions.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Steps for each changed row, of the set of which that is the most.
    pub(crate) fn standing_steps(&self) -> u64 {
        self.by_set.values().map(|(steps, _)| *steps).max().unwrap_or(0)
    }

    /// What the subjects of a tenant, who keep all of this together, may still take.
    pub(crate) fn narrow_to_tenant(&self, allowance: &mut Allowance, set: usize, limits: &HubLimits) {
        let (steps, _) = self.by_set.get(&set).copied().unwrap_or_default();
        let left = share!(limits.standing_steps_per_tenant, steps);
        allowance.standing_steps = allowance.standing_steps.min(left);
        allowance.bytes = allowance.bytes.min(share!(limits.query_bytes_per_tenant, self.bytes));
    }

    /// What a connection that keeps so much may still take where its subject has the same live query already.
    pub(crate) fn allowance_of_more(of_connection: &Kept, limits: &HubLimits) -> Allowance {
        let bytes = share!(limits.query_bytes_per_connection, of_connection.bytes);
        Allowance { bytes, is_bounded: true, ..Allowance::UNLIMITED }
    }

    /// What may still be taken: by a connection that keeps so much, of a subject that keeps all of this.
    pub(crate) fn allowance(&self, of_connection: &Kept, set: usize, limits: &HubLimits) -> Allowance {
        let (steps, columns) = self.by_set.get(&set).copied().unwrap_or_default();
        let bytes = share!(limits.query_bytes_per_subject, self.bytes)
            .min(share!(limits.query_bytes_per_connection, of_connection.bytes));
        Allowance {
            standing_steps: share!(limits.standing_steps_per_subject, steps),
            bytes,
            columns: share!(limits.columns_per_subject, columns),
            unindexed: share!(limits.unindexed_views_per_subject, self.unindexed),
            is_bounded: true,
            steps_at_once: u64::MAX,
        }
    }
}

/// Steps that may be spent: as many as come in a second at once, and so many a second on the long run. More may be spent than is
/// there: then nothing more is until that has come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepBudget(TokenBucket);

impl StepBudget {
    pub(crate) fn full(rate: u64, now: Monotonic) -> Self {
        Self(TokenBucket::full(Rate::per_second(rate), now))
    }

    pub(crate) fn spend(&mut self, rate: u64, now: Monotonic, steps: u64) {
        self.0.spend(Rate::per_second(rate), now, steps);
    }

    /// For how long nothing more may be spent.
    pub(crate) fn wait(&mut self, rate: u64, now: Monotonic) -> Duration {
        self.0.wait(Rate::per_second(rate), now)
    }

    /// When it is as if nothing had ever been spent.
    pub(crate) fn full_at(&self, rate: u64) -> Monotonic {
        self.0.full_at(Rate::per_second(rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_adds_up_and_is_given_back() {
        let mut engine = liveset_engine::Engine::new(Default::default(), liveset_engine::HashSeed::FIXED);
        engine.define_set(liveset_engine::SetDef::new("orders")).expect("a set");
        let query = liveset_engine::Query::new("orders").filter("total != 5");
        let plan = engine.prepare(&query).expect("a query");
        let now = liveset_engine::Timestamp::UNIX_EPOCH;
        let keeping = engine.begin_open_within(now, &plan, &Allowance::UNLIMITED).expect("room").keeping;
        assert!(
            keeping.standing_steps > 0 && keeping.bytes > 0 && keeping.columns == 1 && keeping.is_unindexed
        );
        let mut one = Kept::default();
        one.add(&keeping);
        let mut all = one.clone();
        all.add(&keeping);
        assert_eq!((all.bytes(), all.standing_steps()), (2 * keeping.bytes, 2 * keeping.standing_steps));
        let limits = HubLimits::default().standing_steps_per_subject(3 * keeping.standing_steps);
        assert_eq!(all.allowance(&one, keeping.set, &limits).standing_steps.left, keeping.standing_steps);
        all.remove(&keeping);
        all.remove(&keeping);
        assert_eq!(all, Kept::default());
    }
}

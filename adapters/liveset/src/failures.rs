//! Rate limit on failed authentications, per address.

use std::collections::hash_map::RandomState;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use liveset_core::Monotonic;
use liveset_core::time::Deadlines;

use crate::address::ClientAddress;
use crate::limits::AuthLimits;

/// The failed authentications of each address that has some. Bounded: the address that is forgiven first is forgotten first.
///
/// A bucket for each address: so many failures at once, and one more each `failure_interval`. What is kept of a bucket is the
/// moment at which it will be full again: each failure puts that off by one interval. Attempts that were begun before an address
/// was found out may still fail, and put it off further, up to so many bursts: on the long run there is one failure an interval.
#[derive(Debug)]
pub(crate) struct Failures {
    limits: AuthLimits,
    full_at: Mutex<FullAt>,
}

type FullAt = Deadlines<Monotonic, IpAddr, RandomState>;

/// Bursts of failures that are held against an address at most.
const MOST_OWED: u32 = 10;

/// How long an address is to wait before its tokens are looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) Duration);

impl Failures {
    pub(crate) fn new(limits: AuthLimits) -> Self {
        Self { limits, full_at: Mutex::default() }
    }

    /// Whether tokens of this address may be looked at. O(1).
    pub(crate) fn check(&self, from: Option<ClientAddress>, now: Monotonic) -> Result<(), Wait> {
        let Some(address) = self.counted(from) else { return Ok(()) };
        let full_at = self.full_at().get(&address);
        full_at.and_then(|full_at| self.wait(full_at, now)).map_or(Ok(()), Err)
    }

    /// A token of this address was refused. True where it was the one too many. O(log addresses).
    pub(crate) fn count(&self, from: Option<ClientAddress>, now: Monotonic) -> bool {
        let (Some(address), false) = (self.counted(from), self.limits.failure_interval.is_zero()) else {
            return false;
        };
        let mut full_at = self.full_at();
        // Each is forgotten once for each time that it was remembered.
        while full_at.pop_due(now).is_some() {}
        let before = full_at.get(&address).unwrap_or(now);
        let after =
            before.saturating_add(self.limits.failure_interval).min(now.saturating_add(self.most_owed()));
        full_at.set(address, Some(after));
        if full_at.len() > self.limits.addresses {
            full_at.pop();
        }
        self.wait(before, now).is_none() && self.wait(after, now).is_some()
    }

    /// The address as it is counted, if it is.
    fn counted(&self, from: Option<ClientAddress>) -> Option<IpAddr> {
        from?.counted(self.limits.count_loopback)
    }

    /// However many attempts were under way at once, nobody waits longer than for this: others may share the address.
    fn most_owed(&self) -> Duration {
        let AuthLimits { failures_per_address, failure_interval, .. } = self.limits;
        failure_interval.saturating_mul(failures_per_address.max(1).saturating_mul(MOST_OWED))
    }

    /// How long a bucket that will be full at a moment has nothing.
    fn wait(&self, full_at: Monotonic, now: Monotonic) -> Option<Wait> {
        let AuthLimits { failures_per_address, failure_interval, .. } = self.limits;
        // With one failure's worth in it, so much is missing.
        let bearable = failure_interval.saturating_mul(failures_per_address.max(1) - 1);
        let missing = full_at.saturating_since(now);
        missing.checked_sub(bearable).filter(|wait| !wait.is_zero()).map(Wait)
    }

    fn full_at(&self) -> MutexGuard<'_, FullAt> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wait {
    /// In whole seconds, at least one.
    pub(crate) fn seconds(self) -> u64 {
        let whole = self.0.as_secs();
        whole.saturating_add(u64::from(self.0.subsec_nanos() > 0)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failures(failures_per_address: u32, addresses: usize) -> Failures {
        Failures::new(
            AuthLimits::default()
                .failures_per_address(failures_per_address)
                .failure_interval(SECOND)
                .addresses(addresses),
        )
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_epoch(Duration::from_secs(seconds))
    }

    fn from(address: &str) -> Option<ClientAddress> {
        Some(ClientAddress(address.parse().unwrap()))
    }

    #[test]
    fn so_many_at_once_then_one_an_interval() {
        let failures = failures(3, 8);
        let bad = from("192.0.2.1");
        let counted: Vec<_> = (0..3)
            .map(|_| {
                assert_eq!(failures.check(bad, at(10)), Ok(()));
                failures.count(bad, at(10))
            })
            .collect();
        assert_eq!(counted, [false, false, true], "the third is the last that is borne");
        assert_eq!(failures.check(bad, at(10)), Err(Wait(SECOND)));
        assert_eq!(failures.check(from("192.0.2.2"), at(10)), Ok(()), "others are not concerned");
        assert_eq!(failures.check(None, at(10)), Ok(()));

        assert_eq!(failures.check(bad, at(11)), Ok(()), "one is forgiven");
        assert!(failures.count(bad, at(11)));
        assert_eq!(failures.check(bad, at(11)), Err(Wait(SECOND)));
        // Attempts that were under way when it was found out count as well.
        assert!(!failures.count(bad, at(11)));
        assert!(!failures.count(bad, at(11)));
        assert_eq!(failures.check(bad, at(11)), Err(Wait(3 * SECOND)));
        assert_eq!(failures.check(bad, at(14)), Ok(()));
        assert_eq!(failures.check(bad, at(1_000)), Ok(()));
    }

    #[test]
    fn many_attempts_at_once_are_held_against_an_address_for_ten_bursts() {
        let failures = failures(3, 8);
        let bad = from("192.0.2.1");
        for _ in 0..10_000 {
            failures.count(bad, at(10));
        }
        assert_eq!(failures.check(bad, at(10)), Err(Wait(28 * SECOND)));
        assert_eq!(failures.check(bad, at(38)), Ok(()));
    }

    #[test]
    fn a_limit_of_zero_counts_as_one_and_an_interval_of_zero_is_no_limit() {
        let strict = failures(0, 8);
        assert_eq!(strict.check(from("192.0.2.1"), at(0)), Ok(()));
        assert!(strict.count(from("192.0.2.1"), at(0)));
        assert_eq!(strict.check(from("192.0.2.1"), at(0)), Err(Wait(SECOND)));

        let off = Failures::new(strict.limits.clone().failure_interval(Duration::ZERO));
        for _ in 0..100 {
            assert!(!off.count(from("192.0.2.1"), at(0)));
        }
        assert_eq!(off.check(from("192.0.2.1"), at(0)), Ok(()));
        assert!(off.full_at().is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten_in_time() {
        let failures = failures(2, 3);
        let guilty = from("192.0.2.99");
        failures.count(guilty, at(0));
        failures.count(guilty, at(0));
        for host in 0..200 {
            failures.count(from(&format!("198.51.100.{host}")), at(0));
            assert!(failures.full_at().len() <= 3);
        }
        assert!(
            failures.check(guilty, at(0)).is_err(),
            "many who failed once do not hide one who failed often"
        );
        failures.count(from("203.0.113.1"), at(60));
        assert_eq!(failures.full_at().len(), 1, "those that are forgiven are forgotten");

        let none = self::failures(2, 0);
        none.count(guilty, at(0));
        assert!(none.full_at().is_empty());
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds() {
        for (millis, seconds) in [(1, 1), (1_000, 1), (1_001, 2), (0, 1)] {
            assert_eq!(Wait(Duration::from_millis(millis)).seconds(), seconds);
        }
        assert_eq!(Wait(Duration::MAX).seconds(), u64::MAX);
    }
}

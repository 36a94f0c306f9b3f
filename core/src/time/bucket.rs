//! Rates, and the bucket of tokens that enforces them.

use std::time::Duration;

use super::Monotonic;

/// The rate and the burst of a [`TokenBucket`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens a second on the long run.
    pub per_second: u64,
    /// Tokens at once.
    pub burst: u64,
}

impl Rate {
    /// As many at once as in a second.
    pub const fn per_second(tokens: u64) -> Rate {
        Rate { per_second: tokens, burst: tokens }
    }

    /// The level of a full bucket.
    fn full(self) -> i128 {
        i128::from(self.burst) * TOKEN
    }
}

/// One token, in the unit in which a bucket counts: what one token a second earns in a nanosecond.
const TOKEN: i128 = 1_000_000_000;

/// A token bucket. It has no timer: what was earned is reckoned when it is asked for. The rate is an argument, so that it may change,
/// and is not kept for each of many buckets.
///
/// ```
/// use std::time::Duration;
/// use liveset_core::{Monotonic, Rate, TokenBucket};
///
/// let (rate, now) = (Rate { per_second: 2, burst: 3 }, Monotonic::ZERO);
/// let mut bucket = TokenBucket::full(rate, now);
/// assert_eq!((0..5).filter(|_| bucket.take(rate, now)).count(), 3);
/// assert!(bucket.take(rate, now + Duration::from_millis(500)));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TokenBucket {
    /// Below zero it is in debt.
    level: i128,
    at: Monotonic,
}

impl TokenBucket {
    /// A bucket that nothing was taken from.
    pub fn full(rate: Rate, now: Monotonic) -> TokenBucket {
        TokenBucket { level: rate.full(), at: now }
    }

    fn earn(&mut self, rate: Rate, now: Monotonic) {
        // At most 2^64 nanoseconds at 2^64 tokens each.
        let earned = now.saturating_since(self.at).as_nanos().min(u128::from(u64::MAX)) as i128;
        let earned = earned.saturating_mul(i128::from(rate.per_second));
        self.level = self.level.saturating_add(earned).min(rate.full());
        self.at = self.at.max(now);
    }

    /// Takes one token, if it is there.
    pub fn take(&mut self, rate: Rate, now: Monotonic) -> bool {
        self.earn(rate, now);
        let is_there = self.level >= TOKEN;
        if is_there {
            self.level -= TOKEN;
        }
        is_there
    }

    /// Takes tokens, those that are not there as a debt.
    pub fn spend(&mut self, rate: Rate, now: Monotonic, tokens: u64) {
        self.earn(rate, now);
        self.level = self.level.saturating_sub(i128::from(tokens) * TOKEN);
    }

    /// The time until the debt is paid.
    pub fn wait(&mut self, rate: Rate, now: Monotonic) -> Duration {
        self.earn(rate, now);
        self.until(0, rate)
    }

    /// The time until there is a token to take.
    pub fn wait_for_token(&mut self, rate: Rate, now: Monotonic) -> Duration {
        self.earn(rate, now);
        self.until(TOKEN, rate)
    }

    /// When it is as if nothing had ever been taken.
    pub fn full_at(&self, rate: Rate) -> Monotonic {
        self.at.saturating_add(self.until(rate.full(), rate))
    }

    /// The time from the last look until the level is there; with a rate of zero a nanosecond for each token's fraction, which is never.
    fn until(&self, level: i128, rate: Rate) -> Duration {
        let (missing, per_nano) = ((level - self.level).max(0), i128::from(rate.per_second.max(1)));
        let nanos = missing / per_nano + i128::from(missing % per_nano > 0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut TokenBucket, rate: Rate, now: Monotonic) -> u32 {
        (0..1_000).map(|_| u32::from(bucket.take(rate, now))).sum()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate { per_second: 2, burst: 3 };
        let start = Monotonic::from_nanos(5);
        let mut bucket = TokenBucket::full(rate, start);
        assert_eq!(taken(&mut bucket, rate, start), 3);
        let half = start + Duration::from_millis(500);
        assert!(!bucket.take(rate, start + Duration::from_nanos(499_999_999)));
        assert!(bucket.take(rate, half));
        assert!(!bucket.take(rate, half));
        assert!(!bucket.take(rate, start), "a clock that goes back gives nothing");
        assert_eq!(taken(&mut bucket, rate, half + Duration::from_secs(1)), 2);
        assert_eq!(taken(&mut bucket, rate, Monotonic::MAX), 3, "no more than the burst");
    }

    #[test]
    fn zero_lets_nothing_happen() {
        let none = Rate { per_second: 100, burst: 0 };
        assert!(!TokenBucket::full(none, Monotonic::ZERO).take(none, Monotonic::MAX));
        let once = Rate { per_second: 0, burst: 2 };
        assert_eq!(taken(&mut TokenBucket::full(once, Monotonic::ZERO), once, Monotonic::MAX), 2);
        let still = Rate::per_second(0);
        let mut bucket = TokenBucket::full(still, Monotonic::ZERO);
        assert_eq!(bucket.wait(still, Monotonic::ZERO), Duration::ZERO);
        bucket.spend(still, Monotonic::ZERO, 1);
        assert!(bucket.wait(still, Monotonic::MAX) > Duration::ZERO);
    }

    #[test]
    fn a_debt_is_waited_for() {
        let rate = Rate::per_second(1_000);
        let start = Monotonic::from_nanos(7);
        let mut bucket = TokenBucket::full(rate, start);
        bucket.spend(rate, start, 1_000);
        assert_eq!(bucket.wait(rate, start), Duration::ZERO, "it is used up, and not overdrawn");
        bucket.spend(rate, start, 500);
        let wait = bucket.wait(rate, start);
        assert_eq!(wait, Duration::from_millis(500));
        assert_eq!(bucket.wait_for_token(rate, start), Duration::from_millis(501));
        assert_eq!(bucket.full_at(rate), start + Duration::from_millis(1_500));
        assert_eq!(bucket.wait(rate, start + wait), Duration::ZERO);
        assert_eq!(bucket.wait(rate, Monotonic::MAX), Duration::ZERO);
    }
}

//! Waiting longer and longer between attempts, and not at the same moments as everyone else.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses between attempts: doubled each time up to half a minute, each between half and all of that.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST);
        self.attempts += 1;
        // The standard library seeds its hashers from the system: enough to keep clients apart.
        let random = RandomState::new().hash_one(self.attempts) >> 11;
        ceiling.mul_f64(0.5 + 0.5 * (random as f64 / (1u64 << 53) as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let mut backoff = Backoff::default();
        for attempt in 0..40 {
            let ceiling = FIRST.saturating_mul(1 << attempt.min(16)).min(LONGEST);
            let pause = backoff.next();
            assert!(pause >= ceiling / 2 && pause <= ceiling, "{attempt}: {pause:?}");
        }
        let longest: std::collections::BTreeSet<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(longest.len() > 1, "there is no jitter");
    }
}

//! Pauses between attempts.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::timing::Timing;

/// The pause before an attempt, the first being 0: by chance between nothing and a time that doubles, so that clients that were cut off
/// together do not come back together.
pub(super) fn pause(timing: &Timing, attempt: u32) -> Duration {
    let longest = timing.first_pause.saturating_mul(1 << attempt.min(16)).min(timing.longest_pause);
    // The standard library seeds its hashers from the system.
    let random = RandomState::new().hash_one(attempt) >> 11;
    longest.mul_f64(random as f64 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_by_chance_up_to_a_bound_that_doubles() {
        let timing = Timing::default();
        for (attempt, longest) in [(0, 500), (1, 1_000), (4, 8_000), (5, 15_000), (u32::MAX, 15_000)] {
            let pauses: Vec<_> = (0..100).map(|_| pause(&timing, attempt).as_millis()).collect();
            assert!(pauses.iter().all(|pause| *pause <= longest), "{attempt}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause > longest / 2), "{attempt}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause < longest / 2), "{attempt}: {pauses:?}");
        }
    }
}

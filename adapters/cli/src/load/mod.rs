//! The load generator, without what it is used for: connections that are read as cheaply as can be, latencies, and what
//! the system says about processes. `liveset bench` is one user of it, the project's own benchmarks are the other.

pub mod frames;
pub mod link;
pub mod process;
pub mod random;

use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

/// The longest latency that is told apart; in microseconds.
const LONGEST: u64 = 600_000_000;

/// Latencies in microseconds, to three digits. Longer ones than ten minutes count as ten minutes
/// ([`Histogram::saturating_record`]).
///
/// # Panics
///
/// Never: the bounds are constants that the library allows.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are constants that the library allows")
}

/// Locks what many connections share. One that panicked has left it whole: what they count is whole after every step.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_beyond_all_bounds_is_the_longest() {
        let mut histogram = histogram();
        histogram.saturating_record(u64::MAX);
        histogram.saturating_record(0);
        assert_eq!(histogram.len(), 2);
        assert!(histogram.max() >= LONGEST);
    }

    #[test]
    fn percentiles_are_true_to_three_digits() {
        let mut latencies = histogram();
        (1..=10_000).for_each(|micros| latencies.saturating_record(micros * 10));
        for (part, exact) in [(0.5, 50_000), (0.99, 99_000), (0.999, 99_900)] {
            let found = latencies.value_at_quantile(part);
            assert!((exact..=exact + exact / 1_000).contains(&found), "{part}: {found}");
        }
    }
}

//! How many things may happen a second: a bucket of tokens.

use std::time::{Duration, Instant};

/// Fills at a rate, up to a burst; each thing that happens takes one token out.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full one.
    pub(crate) fn full(per_second: u32, burst: u32, now: Instant) -> Bucket {
        let burst = f64::from(burst);
        Bucket { per_second: f64::from(per_second), burst, tokens: burst, filled: now }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }

    /// How long it is until there is a token, since one was not there.
    pub(crate) fn wait(&self) -> Duration {
        Duration::try_from_secs_f64((1.0 - self.tokens) / self.per_second).unwrap_or(Duration::MAX)
    }

    /// Whether it is as if it was new.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= self.burst
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.filled = self.filled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut Bucket, now: Instant) -> u32 {
        (0..1_000).map(|_| u32::from(bucket.take(now))).sum()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::full(10, 50, start);
        assert_eq!(taken(&mut bucket, start), 50);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(50)), 0);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(100)), 1, "time adds up");
        assert_eq!(taken(&mut bucket, start), 0, "a clock that goes back gives nothing");
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(2)), 19);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(3600)), 50, "no more than the burst");
    }

    #[test]
    fn zero_lets_nothing_happen() {
        let start = Instant::now();
        let mut bucket = Bucket::full(0, 2, start);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(3600)), 2);
        assert_eq!(taken(&mut Bucket::full(5, 0, start), start + Duration::from_secs(3600)), 0);
    }
}

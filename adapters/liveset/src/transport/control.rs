//! How many control frames a peer may send.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket. Messages are limited by the session; control frames never reach it, so they are limited here.
#[derive(Debug)]
pub(crate) struct ControlBudget {
    per_second: u32,
    burst: u32,
    tokens: f64,
    filled_at: Instant,
}

impl ControlBudget {
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        Self { per_second, burst, tokens: f64::from(burst), filled_at: now }
    }

    /// Spends one frame; `false` where there is none left.
    pub(crate) fn spend(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled_at).min(Duration::from_secs(3600));
        self.filled_at = now;
        let gained = elapsed.as_secs_f64() * f64::from(self.per_second);
        self.tokens = (self.tokens + gained).min(f64::from(self.burst));
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refills_at_its_rate_up_to_its_burst() {
        let start = Instant::now();
        let mut budget = ControlBudget::new(2, 3, start);
        assert_eq!((0..5).filter(|_| budget.spend(start)).count(), 3);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..5).filter(|_| budget.spend(later)).count(), 2);
        let much_later = later + Duration::from_secs(3600);
        assert_eq!((0..5).filter(|_| budget.spend(much_later)).count(), 3);
    }

    #[test]
    fn a_burst_of_nothing_allows_nothing() {
        let start = Instant::now();
        let mut budget = ControlBudget::new(100, 0, start);
        assert!(!budget.spend(start + Duration::from_secs(10)));
    }
}

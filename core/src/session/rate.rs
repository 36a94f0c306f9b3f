//! How fast a client may speak.

use crate::limits::SessionLimits;
use crate::time::Moment;

/// One message, in the unit in which the bucket counts: what one message a second earns in a nanosecond.
const MESSAGE: u128 = 1_000_000_000;

/// A token bucket: `message_burst` messages at once, `messages_per_second` on the long run. It has no timer;
/// what was earned is reckoned when it is asked for.
#[derive(Debug)]
pub(super) struct TokenBucket {
    level: u128,
    at: Moment,
}

impl TokenBucket {
    pub(super) fn full(limits: &SessionLimits, now: Moment) -> TokenBucket {
        TokenBucket { level: u128::from(limits.message_burst) * MESSAGE, at: now }
    }

    /// Takes one message's worth, if it is there.
    pub(super) fn take(&mut self, limits: &SessionLimits, now: Moment) -> bool {
        let earned = now.saturating_since(self.at).as_nanos() * u128::from(limits.messages_per_second);
        let full = u128::from(limits.message_burst) * MESSAGE;
        self.level = (self.level + earned).min(full);
        self.at = self.at.max(now);
        match self.level.checked_sub(MESSAGE) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let limits = SessionLimits::default().messages_per_second(2).message_burst(3);
        let start = Moment::from_nanos(5);
        let mut bucket = TokenBucket::full(&limits, start);
        assert_eq!(
            (0..5).map(|_| bucket.take(&limits, start)).collect::<Vec<_>>(),
            [true, true, true, false, false]
        );
        let half = start + Duration::from_millis(500);
        assert!(!bucket.take(&limits, start + Duration::from_nanos(499_999_999)));
        assert!(bucket.take(&limits, half));
        assert!(!bucket.take(&limits, half));
        assert!(bucket.take(&limits, Moment::MAX));
    }

    #[test]
    fn nothing_is_allowed_with_a_burst_of_zero() {
        let limits = SessionLimits::default().message_burst(0);
        let mut bucket = TokenBucket::full(&limits, Moment::ZERO);
        assert!(!bucket.take(&limits, Moment::MAX));
    }
}

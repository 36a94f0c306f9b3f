//! Monotonic time as an argument: the machines of this package never read a clock.

mod bucket;
mod deadlines;

use std::fmt;
use std::ops::Add;
use std::time::Duration;

pub use bucket::{Rate, TokenBucket};
pub use deadlines::Deadlines;

/// A point on the owner's monotonic clock: nanoseconds since an epoch of the owner's choice.
///
/// Moments of different owners must not be mixed. Arithmetic saturates, so that no deadline can overflow
/// (`Monotonic::MAX` is "never": 584 years after the epoch).
///
/// ```
/// use std::time::Duration;
/// use liveset_core::Monotonic;
///
/// let start = Monotonic::ZERO;
/// let later = start.saturating_add(Duration::from_secs(30));
/// assert_eq!(later.saturating_since(start), Duration::from_secs(30));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(u64);

impl Monotonic {
    /// The owner's epoch.
    pub const ZERO: Monotonic = Monotonic(0);
    /// Later than every other moment.
    pub const MAX: Monotonic = Monotonic(u64::MAX);

    /// The moment `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Monotonic {
        Monotonic(nanos)
    }

    /// The moment `since_epoch` after the epoch; saturates at [`Monotonic::MAX`].
    pub fn from_epoch(since_epoch: Duration) -> Monotonic {
        Monotonic::ZERO.saturating_add(since_epoch)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This moment plus `duration`, or `None` where that is past [`Monotonic::MAX`].
    pub fn checked_add(self, duration: Duration) -> Option<Monotonic> {
        let nanos = u64::try_from(duration.as_nanos()).ok()?;
        self.0.checked_add(nanos).map(Monotonic)
    }

    /// This moment plus `duration`, at most [`Monotonic::MAX`].
    pub fn saturating_add(self, duration: Duration) -> Monotonic {
        self.checked_add(duration).unwrap_or(Monotonic::MAX)
    }

    /// The time since `earlier`; zero if that is later.
    pub fn saturating_since(self, earlier: Monotonic) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Monotonic {
    type Output = Monotonic;

    /// Saturates at [`Monotonic::MAX`].
    fn add(self, duration: Duration) -> Monotonic {
        self.saturating_add(duration)
    }
}

impl fmt::Debug for Monotonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Monotonic({:?})", Duration::from_nanos(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Monotonic::MAX + Duration::from_nanos(1), Monotonic::MAX);
        assert_eq!(Monotonic::ZERO + Duration::MAX, Monotonic::MAX);
        assert_eq!(Monotonic::ZERO.saturating_since(Monotonic::MAX), Duration::ZERO);
        assert_eq!(Monotonic::MAX.checked_add(Duration::from_nanos(1)), None);
        assert_eq!(Monotonic::from_epoch(Duration::from_secs(2)).as_nanos(), 2_000_000_000);
    }
}

//! Monotonic time as an argument: the machines of this package never read a clock.

mod bucket;

use std::fmt;
use std::ops::Add;
use std::time::Duration;

pub use bucket::{Rate, TokenBucket};

/// A point on the owner's monotonic clock: nanoseconds since an epoch of the owner's choice.
///
/// Moments of different owners must not be mixed. Arithmetic saturates, so that no deadline can overflow
/// (`Moment::MAX` is "never": 584 years after the epoch).
///
/// ```
/// use std::time::Duration;
/// use liveset_core::Moment;
///
/// let start = Moment::ZERO;
/// let later = start.saturating_add(Duration::from_secs(30));
/// assert_eq!(later.saturating_since(start), Duration::from_secs(30));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The owner's epoch.
    pub const ZERO: Moment = Moment(0);
    /// Later than every other moment.
    pub const MAX: Moment = Moment(u64::MAX);

    /// The moment `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Moment {
        Moment(nanos)
    }

    /// The moment `since_epoch` after the epoch; saturates at [`Moment::MAX`].
    pub fn from_epoch(since_epoch: Duration) -> Moment {
        Moment::ZERO.saturating_add(since_epoch)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This moment plus `duration`, or `None` where that is past [`Moment::MAX`].
    pub fn checked_add(self, duration: Duration) -> Option<Moment> {
        let nanos = u64::try_from(duration.as_nanos()).ok()?;
        self.0.checked_add(nanos).map(Moment)
    }

    /// This moment plus `duration`, at most [`Moment::MAX`].
    pub fn saturating_add(self, duration: Duration) -> Moment {
        self.checked_add(duration).unwrap_or(Moment::MAX)
    }

    /// How long after `earlier` this is; zero where it is not after it.
    pub fn saturating_since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    /// Saturates at [`Moment::MAX`].
    fn add(self, duration: Duration) -> Moment {
        self.saturating_add(duration)
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Moment({:?})", Duration::from_nanos(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Moment::MAX + Duration::from_nanos(1), Moment::MAX);
        assert_eq!(Moment::ZERO + Duration::MAX, Moment::MAX);
        assert_eq!(Moment::ZERO.saturating_since(Moment::MAX), Duration::ZERO);
        assert_eq!(Moment::MAX.checked_add(Duration::from_nanos(1)), None);
        assert_eq!(Moment::from_epoch(Duration::from_secs(2)).as_nanos(), 2_000_000_000);
    }
}

//! Moments of wall time, their RFC 3339 spelling, and calendar arithmetic. There is no clock here: `now` is always an argument.

use std::fmt;
use std::time::{Duration, SystemTime};

mod calendar;
mod rfc3339;
mod span;
mod steps;

pub use span::{Span, Unit};
pub(crate) use steps::{Step, Steps};

const NANOS_PER_SECOND: i128 = 1_000_000_000;
const NANOS_PER_DAY: i128 = 86_400 * NANOS_PER_SECOND;

/// A moment of wall time in UTC with the precision of a nanosecond, in the years 0 to 9999.
///
/// `now`, the instants in a query, and texts in RFC 3339 form have this type. The engine reads no clock: a host passes
/// `Timestamp::from(std::time::SystemTime::now())`.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use liveset_engine::Timestamp;
///
/// let at = Timestamp::parse_rfc3339("2025-12-07T22:45:05+01:00").unwrap();
/// assert_eq!(at.saturating_add(Duration::from_secs(55)).to_string(), "2025-12-07T21:46:00Z");
/// assert!(Timestamp::from(SystemTime::now()) > Timestamp::UNIX_EPOCH);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    // Nanoseconds since 1970-01-01T00:00:00Z without leap seconds, always in MIN..=MAX.
    i128,
);

impl Timestamp {
    /// The first moment of the year 0.
    pub const MIN: Timestamp = Timestamp(-62_167_219_200 * NANOS_PER_SECOND);
    /// The last nanosecond of the year 9999.
    pub const MAX: Timestamp = Timestamp(253_402_300_800 * NANOS_PER_SECOND - 1);
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Timestamp = Timestamp(0);

    /// Reads a date (`2023-01-01`, its midnight) or a date-time (`2023-01-01T15:14:13.123+02:00`) in RFC 3339 form; UTC
    /// where no offset is given.
    ///
    /// `T` and `Z` may be lower case, and digits beyond nanoseconds are cut off. `None` for everything else (a leap second,
    /// `:60`, too), and for what lies outside the years 0 to 9999 in UTC.
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        rfc3339::parse(text.as_bytes())
    }

    /// Like [`parse_rfc3339`](Self::parse_rfc3339), of the bytes of a text.
    pub(crate) fn parse_text(text: &[u8]) -> Option<Timestamp> {
        rfc3339::parse(text)
    }

    /// The moment so many nanoseconds after 1970-01-01T00:00:00Z, or `None` outside [`MIN`](Timestamp::MIN) to
    /// [`MAX`](Timestamp::MAX).
    pub fn from_unix_nanos(nanos: i128) -> Option<Timestamp> {
        (Timestamp::MIN.0..=Timestamp::MAX.0).contains(&nanos).then_some(Timestamp(nanos))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub fn unix_nanos(self) -> i128 {
        self.0
    }

    /// The moment `duration` later, at most [`MAX`](Timestamp::MAX).
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Timestamp {
        Timestamp::saturating_from_nanos(self.0.saturating_add(nanos_of(duration)))
    }

    /// The moment `duration` earlier, at least [`MIN`](Timestamp::MIN).
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Timestamp {
        Timestamp::saturating_from_nanos(self.0.saturating_sub(nanos_of(duration)))
    }

    /// The time from `earlier` to this moment; zero where `earlier` is later.
    pub fn saturating_duration_since(self, earlier: Timestamp) -> Duration {
        let nanos = (self.0 - earlier.0).max(0);
        // The range of instants is 6.3e20 ns: its seconds fit u64, and a remainder of a second fits u32.
        Duration::new((nanos / NANOS_PER_SECOND) as u64, (nanos % NANOS_PER_SECOND) as u32)
    }

    /// RFC 3339 in UTC with exactly three digits of a second, what is finer cut off: `2025-12-07T21:45:05.000Z`.
    pub fn to_millis_string(self) -> String {
        rfc3339::Millis(self).to_string()
    }

    fn saturating_from_nanos(nanos: i128) -> Timestamp {
        Timestamp(nanos.clamp(Timestamp::MIN.0, Timestamp::MAX.0))
    }
}

fn nanos_of(duration: Duration) -> i128 {
    // At most u64::MAX seconds, which is far below i128::MAX nanoseconds.
    i128::from(duration.as_secs()) * NANOS_PER_SECOND + i128::from(duration.subsec_nanos())
}

/// The moment that the clock showed, cut to the years that an [`Timestamp`] has.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Timestamp::UNIX_EPOCH.saturating_add(after),
            Err(error) => Timestamp::UNIX_EPOCH.saturating_sub(error.duration()),
        }
    }
}

/// The shortest RFC 3339 date-time in UTC: `2023-01-01T15:14:13Z`, with a fraction only where there is one.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        rfc3339::write(*self, f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        rfc3339::write(*self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_the_ends_of_the_calendar() {
        assert_eq!(Timestamp::MIN.to_string(), "0000-01-01T00:00:00Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999999Z");
        assert_eq!(Timestamp::from_unix_nanos(Timestamp::MAX.0 + 1), None);
        assert_eq!(Timestamp::from_unix_nanos(Timestamp::MIN.0 - 1), None);
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        assert_eq!(Timestamp::UNIX_EPOCH.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::UNIX_EPOCH.saturating_sub(Duration::MAX), Timestamp::MIN);
        let whole = Timestamp::MAX.saturating_duration_since(Timestamp::MIN);
        assert_eq!(Timestamp::MIN.saturating_add(whole), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.saturating_duration_since(Timestamp::MAX), Duration::ZERO);
    }

    #[test]
    fn system_time_converts_both_sides_of_the_epoch() {
        let after = SystemTime::UNIX_EPOCH + Duration::new(5, 7);
        assert_eq!(Timestamp::from(after).unix_nanos(), 5_000_000_007);
        let before = SystemTime::UNIX_EPOCH - Duration::new(5, 7);
        assert_eq!(Timestamp::from(before).unix_nanos(), -5_000_000_007);
    }
}

//! The proleptic Gregorian calendar in UTC: days and months as numbers.

use super::{NANOS_PER_DAY, Timestamp};

// Years that begin in March have their leap day at the end, and months of 153 days in five. Counted from a year that is a
// multiple of 400 and far enough in the past, everything is positive.

/// The year from which days are counted, negated.
const FIRST_YEAR: i32 = 12_000;
/// Days from the first of March of that year to 1970.
const EPOCH: i32 = 5_102_378;
/// Days in which the calendar repeats itself.
const CYCLE_DAYS: i32 = 146_097;

/// The first month of the calendar: January of the year 0.
pub(super) const FIRST_MONTH: i128 = 0;
/// The last month of the calendar: December of the year 9999.
pub(super) const LAST_MONTH: i128 = 9_999 * 12 + 11;
/// The nanosecond after the last of the calendar: January 10000 begins, which no [`Timestamp`] can say.
pub(super) const END: i128 = Timestamp::MAX.0 + 1;

/// A moment as the calendar has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Civil {
    /// Months since January of the year 0.
    pub(super) month: i128,
    /// Day of the month, from 1.
    pub(super) day: i8,
    /// Nanoseconds since the day began.
    pub(super) nanos: i128,
}

impl Civil {
    /// Of nanoseconds since 1970 from the first instant up to [`END`].
    pub(super) fn of(nanos: i128) -> Civil {
        if nanos >= END {
            return Civil { month: LAST_MONTH + 1, day: 1, nanos: 0 };
        }
        let (year, month, day) = date_of(nanos);
        Civil {
            month: i128::from(year) * 12 + i128::from(month) - 1,
            day,
            nanos: nanos.rem_euclid(NANOS_PER_DAY),
        }
    }
}

/// Year, month and day in UTC of nanoseconds since 1970, which are those of an instant.
pub(super) fn date_of(nanos: i128) -> (i16, i8, i8) {
    // The nanoseconds of an instant are at most 4.4e6 days.
    let days = nanos.div_euclid(NANOS_PER_DAY) as i32 + EPOCH;
    let (cycle, day) = (days / CYCLE_DAYS, days % CYCLE_DAYS);
    // Without the leap days before it: every fourth year has one, every hundredth has none, the last of 400 has one again.
    let year = (day - day / 1_460 + day / 36_524 - day / (CYCLE_DAYS - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = cycle * 400 + year - FIRST_YEAR + i32::from(month < 3);
    (year as i16, month as i8, day as i8)
}

/// The nanoseconds since 1970 at which a date begins, or `None` where the calendar lacks it.
pub(super) fn start_of_date(year: i16, month: i8, day: i8) -> Option<i128> {
    if !(0..=9_999).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=days_in(year, month)).contains(&day)
    {
        return None;
    }
    let (year, month) = (i32::from(year) + FIRST_YEAR - i32::from(month < 3), i32::from((month + 9) % 12));
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + i32::from(day) - 1;
    Some(i128::from(days - EPOCH) * NANOS_PER_DAY)
}

/// The nanoseconds since 1970 at which a day of a month begins; `month` counts from January of the year 0 and the day is one
/// that it has. [`END`] for what lies behind the calendar, the first instant for what lies before it.
pub(super) fn start_of_day(month: i128, day: i8) -> i128 {
    if month > LAST_MONTH {
        return END;
    }
    let parts = i16::try_from(month.div_euclid(12)).ok().zip(i8::try_from(month.rem_euclid(12) + 1).ok());
    parts.and_then(|(year, month)| start_of_date(year, month, day)).unwrap_or(Timestamp::MIN.0)
}

/// How many days a month has; `month` counts from January of the year 0.
pub(super) fn days_in_month(month: i128) -> i8 {
    // The calendar repeats itself after 400 years.
    let month = month.rem_euclid(4_800) as i16;
    days_in(month / 12, (month % 12) as i8 + 1)
}

fn days_in(year: i16, month: i8) -> i8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::Date;

    use super::*;

    #[test]
    fn months_agree_with_the_calendar_library() {
        for month in (FIRST_MONTH..=LAST_MONTH).step_by(7) {
            let date = Date::new((month.div_euclid(12)) as i16, (month.rem_euclid(12) + 1) as i8, 1).unwrap();
            assert_eq!(days_in_month(month), date.days_in_month(), "{date}");
            assert_eq!(Civil::of(start_of_day(month, 1)), Civil { month, day: 1, nanos: 0 });
        }
    }

    #[test]
    fn dates_agree_with_the_calendar_library() {
        for year in (0..=9_999).step_by(7).chain([-9_999, -401, -400, -1, 0, 1, 1900, 1970, 2000, 10_000]) {
            for month in -1..=13 {
                for day in [-1, 0, 1, 2, 27, 28, 29, 30, 31, 32] {
                    let days = Date::new(year, month, day)
                        .ok()
                        .map(|date| date.duration_since(Date::constant(1970, 1, 1)).as_secs() / 86_400);
                    let expected = days.filter(|_| year >= 0).map(|days| i128::from(days) * NANOS_PER_DAY);
                    assert_eq!(start_of_date(year, month, day), expected, "{year}-{month}-{day}");
                    if let Some(nanos) = expected {
                        assert_eq!(date_of(nanos), (year, month, day));
                        assert_eq!(date_of(nanos + NANOS_PER_DAY - 1), (year, month, day));
                    }
                }
            }
        }
    }

    #[test]
    fn every_day_has_the_date_after_that_of_the_day_before() {
        let (mut nanos, mut date) = (Timestamp::MIN.0, Date::constant(0, 1, 1));
        while nanos < Timestamp::MAX.0 {
            assert_eq!(date_of(nanos), (date.year(), date.month(), date.day()));
            (nanos, date) = (nanos + NANOS_PER_DAY, date.tomorrow().unwrap_or(date));
        }
    }

    #[test]
    fn the_ends_have_their_months() {
        assert_eq!(Civil::of(Timestamp::MIN.0), Civil { month: FIRST_MONTH, day: 1, nanos: 0 });
        assert_eq!(
            Civil::of(Timestamp::MAX.0),
            Civil { month: LAST_MONTH, day: 31, nanos: NANOS_PER_DAY - 1 }
        );
        assert_eq!(start_of_day(LAST_MONTH + 1, 1), END);
    }
}

//! Durations of the query language: an unsigned count of one unit.

use std::fmt;

use super::NANOS_PER_SECOND;

/// A unit of duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Twelve months of the calendar.
    Years,
    /// Months of the calendar.
    Months,
    /// Seven days.
    Weeks,
    /// 24 hours.
    Days,
    /// 60 minutes.
    Hours,
    /// 60 seconds.
    Minutes,
    /// Seconds.
    Seconds,
    /// Thousandths of a second.
    Milliseconds,
    /// 100 nanoseconds.
    Ticks,
}

impl Unit {
    /// Every spelling that the language knows, the plural first.
    pub(crate) const WORDS: &[(&str, Unit)] = &[
        ("years", Unit::Years),
        ("months", Unit::Months),
        ("weeks", Unit::Weeks),
        ("days", Unit::Days),
        ("hours", Unit::Hours),
        ("minutes", Unit::Minutes),
        ("seconds", Unit::Seconds),
        ("milliseconds", Unit::Milliseconds),
        ("ticks", Unit::Ticks),
        ("year", Unit::Years),
        ("month", Unit::Months),
        ("week", Unit::Weeks),
        ("day", Unit::Days),
        ("hour", Unit::Hours),
        ("minute", Unit::Minutes),
        ("second", Unit::Seconds),
        ("millisecond", Unit::Milliseconds),
        ("ms", Unit::Milliseconds),
        ("tick", Unit::Ticks),
    ];

    /// The unit that a word names: plural, singular, or `ms`.
    pub fn from_word(word: &str) -> Option<Unit> {
        Unit::WORDS.iter().find(|(known, _)| *known == word).map(|(_, unit)| *unit)
    }

    /// The plural.
    pub fn word(self) -> &'static str {
        match self {
            Unit::Years => "years",
            Unit::Months => "months",
            Unit::Weeks => "weeks",
            Unit::Days => "days",
            Unit::Hours => "hours",
            Unit::Minutes => "minutes",
            Unit::Seconds => "seconds",
            Unit::Milliseconds => "milliseconds",
            Unit::Ticks => "ticks",
        }
    }
}

/// A duration: so many of one unit, never negative. Prints as `7 days`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// How many.
    pub count: u64,
    /// Of what.
    pub unit: Unit,
}

/// How long a span is, in one of the two measures that do not convert into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// Months of the calendar.
    Months(i128),
    /// Nanoseconds.
    Nanos(i128),
}

impl Span {
    /// The sum of two durations of the same unit; `None` where it overflows or the units differ.
    pub fn checked_add(self, other: Span) -> Option<Span> {
        (self.unit == other.unit)
            .then(|| self.count.checked_add(other.count))
            .flatten()
            .map(|count| Span { count, ..self })
    }

    /// The difference of two durations of the same unit; `None` where it is below zero or the units differ.
    pub fn checked_sub(self, other: Span) -> Option<Span> {
        (self.unit == other.unit)
            .then(|| self.count.checked_sub(other.count))
            .flatten()
            .map(|count| Span { count, ..self })
    }

    /// Reads what a span prints: digits and a unit. `None` for everything else, and where it is longer than the language allows.
    pub(crate) fn parse(text: &str) -> Option<Span> {
        let (count, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
        let span = Span { count: count.parse().ok()?, unit: Unit::from_word(unit.trim())? };
        span.is_in_range().then_some(span)
    }

    /// The longest duration of the language, in years.
    pub(crate) const MAX_YEARS: u32 = 10_000;

    /// Whether it is no longer than the language allows.
    pub(crate) fn is_in_range(self) -> bool {
        const YEARS: i128 = Span::MAX_YEARS as i128;
        match self.length() {
            Length::Months(months) => months <= YEARS * 12,
            // The calendar repeats itself after 400 years of 146,097 days.
            Length::Nanos(nanos) => nanos <= YEARS / 400 * 146_097 * 86_400 * NANOS_PER_SECOND,
        }
    }

    /// Never overflows: u64::MAX weeks are 1.1e34 ns, far below i128::MAX.
    pub(crate) fn length(self) -> Length {
        let count = i128::from(self.count);
        match self.unit {
            Unit::Years => Length::Months(count * 12),
            Unit::Months => Length::Months(count),
            Unit::Weeks => Length::Nanos(count * 604_800 * NANOS_PER_SECOND),
            Unit::Days => Length::Nanos(count * 86_400 * NANOS_PER_SECOND),
            Unit::Hours => Length::Nanos(count * 3_600 * NANOS_PER_SECOND),
            Unit::Minutes => Length::Nanos(count * 60 * NANOS_PER_SECOND),
            Unit::Seconds => Length::Nanos(count * NANOS_PER_SECOND),
            Unit::Milliseconds => Length::Nanos(count * 1_000_000),
            Unit::Ticks => Length::Nanos(count * 100),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count, self.unit.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_its_unit() {
        for (word, unit) in Unit::WORDS {
            assert_eq!(Unit::from_word(word), Some(*unit));
            assert_eq!(Unit::from_word(unit.word()), Some(*unit));
        }
        assert_eq!(Unit::from_word("Days"), None);
    }

    #[test]
    fn sums_need_one_unit_and_stay_unsigned() {
        let days = |count| Span { count, unit: Unit::Days };
        assert_eq!(days(1).checked_add(days(2)), Some(days(3)));
        assert_eq!(days(1).checked_sub(days(2)), None);
        assert_eq!(days(u64::MAX).checked_add(days(1)), None);
        assert_eq!(days(1).checked_add(Span { count: 1, unit: Unit::Hours }), None);
    }
}

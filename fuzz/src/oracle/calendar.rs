//! Instants as nanoseconds since 1970 in UTC, and civil arithmetic by hand.

/// Nanoseconds since 1970-01-01T00:00:00Z.
pub type Nanos = i128;

const SECOND: Nanos = 1_000_000_000;
const DAY: Nanos = 86_400 * SECOND;

/// The instants that exist: from the start of the year 0 to the end of the year 9999.
const FIRST: Nanos = -62_167_219_200 * SECOND;
const LAST: Nanos = 253_402_300_800 * SECOND - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Years,
    Months,
    Weeks,
    Days,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
    Ticks,
}

impl Unit {
    pub const ALL: [Self; 9] = [
        Self::Years,
        Self::Months,
        Self::Weeks,
        Self::Days,
        Self::Hours,
        Self::Minutes,
        Self::Seconds,
        Self::Milliseconds,
        Self::Ticks,
    ];

    pub fn spellings(self) -> &'static [&'static str] {
        match self {
            Self::Years => &["years", "year"],
            Self::Months => &["months", "month"],
            Self::Weeks => &["weeks", "week"],
            Self::Days => &["days", "day"],
            Self::Hours => &["hours", "hour"],
            Self::Minutes => &["minutes", "minute"],
            Self::Seconds => &["seconds", "second"],
            Self::Milliseconds => &["milliseconds", "ms", "millisecond"],
            Self::Ticks => &["ticks", "tick"],
        }
    }

    /// How long so many of them are: in months where the calendar tells, and otherwise in nanoseconds.
    pub fn length(self, count: u64) -> (&'static str, i128) {
        match (self.fixed(), self) {
            (Some(nanos), _) => ("nanoseconds", nanos * i128::from(count)),
            (None, Self::Years) => ("months", 12 * i128::from(count)),
            (None, _) => ("months", i128::from(count)),
        }
    }

    /// Whether so many of them are no more than 10,000 years.
    pub fn is_in_range(self, count: u64) -> bool {
        match self.length(count) {
            ("months", months) => months <= 120_000,
            (_, nanos) => nanos <= 3_652_425 * DAY,
        }
    }

    fn fixed(self) -> Option<Nanos> {
        match self {
            Self::Years | Self::Months => None,
            Self::Weeks => Some(7 * DAY),
            Self::Days => Some(DAY),
            Self::Hours => Some(3_600 * SECOND),
            Self::Minutes => Some(60 * SECOND),
            Self::Seconds => Some(SECOND),
            Self::Milliseconds => Some(1_000_000),
            Self::Ticks => Some(100),
        }
    }
}

/// `at` plus or minus a duration; `None` where there is no such instant.
pub fn step(at: Nanos, count: u64, unit: Unit, back: bool) -> Option<Nanos> {
    let count = if back { -i128::from(count) } else { i128::from(count) };
    let stepped = match unit.fixed() {
        Some(nanos) => at + count * nanos,
        None => step_months(at, if unit == Unit::Years { 12 * count } else { count })?,
    };
    (FIRST..=LAST).contains(&stepped).then_some(stepped)
}

fn step_months(at: Nanos, months: i128) -> Option<Nanos> {
    let (days, time) = (at.div_euclid(DAY), at.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let index = year * 12 + (month - 1) + months;
    let (year, month) = (index.div_euclid(12), index.rem_euclid(12) + 1);
    if !(-10_000..=10_000).contains(&year) {
        return None;
    }
    let last = month_length(year, month);
    if day > last {
        // A day that the month lacks becomes the last instant of that month.
        return Some((days_of(year, month, last) + 1) * DAY - 1);
    }
    Some(days_of(year, month, day) * DAY + time)
}

fn leap(year: i128) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

fn month_length(year: i128, month: i128) -> i128 {
    match month {
        2 => 28 + i128::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
fn days_of(year: i128, month: i128, day: i128) -> i128 {
    let before = |year: i128| {
        let last = year - 1;
        365 * year + last.div_euclid(4) - last.div_euclid(100) + last.div_euclid(400)
    };
    let in_year: i128 = (1..month).map(|month| month_length(year, month)).sum();
    before(year) - before(1970) + in_year + day - 1
}

fn civil(days: i128) -> (i128, i128, i128) {
    // Not after the year sought, and at most a few dozen years before it.
    let mut year = 1970 + days.div_euclid(if days < 0 { 365 } else { 366 });
    while days_of(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut rest = days - days_of(year, 1, 1);
    let mut month = 1;
    while rest >= month_length(year, month) {
        rest -= month_length(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

/// Reads RFC 3339: `2023-01-01`, `2023-01-01T15:14:13[.123][Z|±hh:mm]`; UTC where no offset is given.
pub fn instant(text: &str) -> Option<Nanos> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i128>().ok())?
    };
    let is = |at: usize, allowed: &[u8]| text.as_bytes().get(at).is_some_and(|b| allowed.contains(b));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    if !(is(4, b"-")
        && is(7, b"-")
        && (1..=12).contains(&month)
        && (1..=month_length(year, month)).contains(&day))
    {
        return None;
    }
    let midnight = days_of(year, month, day) * DAY;
    if text.len() == 10 {
        return Some(midnight);
    }
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(is(10, b"Tt") && is(13, b":") && is(16, b":") && hour < 24 && minute < 60 && second < 60) {
        return None;
    }
    let mut at = 19;
    let mut nanos = 0;
    if is(at, b".") {
        let digits = text[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        // What is finer than a nanosecond is cut off.
        let kept = digits.min(9);
        nanos = number(at + 1, at + 1 + kept)? * 10i128.pow(9 - kept as u32);
        at += 1 + digits;
    }
    let offset = match &text[at..] {
        "" | "Z" | "z" => 0,
        rest if rest.len() == 6 && is(at, b"+-") && is(at + 3, b":") => {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let size = (hours * 60 + minutes) * 60 * SECOND;
            if is(at, b"-") { -size } else { size }
        }
        _ => return None,
    };
    let utc = midnight + ((hour * 60 + minute) * 60 + second) * SECOND + nanos - offset;
    (FIRST..=LAST).contains(&utc).then_some(utc)
}

/// RFC 3339 in UTC, with as much of a fraction as is needed. For years 0 to 9999.
pub fn format_instant(at: Nanos) -> String {
    let (days, time) = (at.div_euclid(DAY), at.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (seconds, nanos) = (time / SECOND, time % SECOND);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if nanos != 0 {
        let fraction = format!(".{nanos:09}");
        text.push_str(fraction.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

//! RFC 3339, read and written.

use std::fmt;

use super::{NANOS_PER_DAY, NANOS_PER_SECOND, Timestamp, calendar};

/// Reads a date or a date-time; see [`Timestamp::parse_rfc3339`].
pub(super) fn parse(text: &[u8]) -> Option<Timestamp> {
    let [a, b, c, d, b'-', e, f, b'-', g, h, rest @ ..] = text else { return None };
    let (year, month, day) = (digits([a, b, c, d])?, digits([e, f])?, digits([g, h])?);
    let midnight = calendar::start_of_date(year as i16, month as i8, day as i8)?;
    if rest.is_empty() {
        return Some(Timestamp(midnight));
    }

    let [b'T' | b't', a, b, b':', c, d, b':', e, f, rest @ ..] = rest else { return None };
    let (hour, minute, second) = (digits([a, b])?, digits([c, d])?, digits([e, f])?);
    // No leap second: nothing behind this line counts them.
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => fraction(rest)?,
        rest => (0, rest),
    };
    let offset = offset(rest)?;

    let seconds = i64::from(hour * 3600 + minute * 60 + second) - i64::from(offset);
    let nanos = midnight + i128::from(seconds * 1_000_000_000 + i64::from(fraction));
    Timestamp::from_unix_nanos(nanos)
}

/// The number that the digits make.
fn digits<const N: usize>(digits: [&u8; N]) -> Option<u32> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
    digits.into_iter().try_fold(0, |value, byte| Some(value * 10 + digit(byte)?))
}

/// One or more digits as a fraction of a second, in nanoseconds, and what stands behind them; what is finer is cut off.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(count);
    let nine = digits.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    (count > 0).then(|| (nine.fold(0, |value, byte| value * 10 + u32::from(byte - b'0')), rest))
}

/// `Z` or an offset, in seconds; nothing is UTC.
fn offset(text: &[u8]) -> Option<i32> {
    let (sign, hours, minutes) = match text {
        [] | [b'Z' | b'z'] => return Some(0),
        [sign @ (b'+' | b'-'), a, b, b':', c, d] => (sign, digits([a, b])?, digits([c, d])?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = (hours * 3600 + minutes * 60) as i32;
    Some(if *sign == b'-' { -seconds } else { seconds })
}

/// Writes the shortest date-time in UTC.
pub(super) fn write(at: Timestamp, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_to_the_second(at, f)?;
    let fraction = at.0.rem_euclid(NANOS_PER_SECOND);
    if fraction != 0 {
        let digits = format!("{fraction:09}");
        write!(f, ".{}", digits.trim_end_matches('0'))?;
    }
    f.write_str("Z")
}

/// Writes an instant with milliseconds.
pub(super) struct Millis(pub(super) Timestamp);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_to_the_second(self.0, f)?;
        write!(f, ".{:03}Z", self.0.0.rem_euclid(NANOS_PER_SECOND) / 1_000_000)
    }
}

fn write_to_the_second(at: Timestamp, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (year, month, day) = calendar::date_of(at.0);
    let seconds = at.0.rem_euclid(NANOS_PER_DAY) / NANOS_PER_SECOND;
    write!(
        f,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_rfc_3339_allows() {
        let cases = [
            ("2023-01-01", "2023-01-01T00:00:00Z"),
            ("2023-01-01T15:14:13", "2023-01-01T15:14:13Z"),
            ("2023-01-01T15:14:13Z", "2023-01-01T15:14:13Z"),
            ("2023-01-01t15:14:13z", "2023-01-01T15:14:13Z"),
            ("2023-01-01T15:14:13.120Z", "2023-01-01T15:14:13.12Z"),
            ("2023-01-01T15:14:13.1234567899Z", "2023-01-01T15:14:13.123456789Z"),
            ("2023-01-01T01:14:13+02:00", "2022-12-31T23:14:13Z"),
            ("2023-01-01T15:14:13-05:30", "2023-01-01T20:44:13Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z"),
            ("0000-01-01", "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z"),
        ];
        for (text, shown) in cases {
            assert_eq!(parse(text.as_bytes()).map(|at| at.to_string()).as_deref(), Some(shown), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        let cases = [
            "",
            "2023",
            "2023-1-1",
            "2023-13-01",
            "2023-02-29",
            "2023-00-10",
            "2023-01-00",
            "2023-01-01T",
            "2023-01-01T15:14",
            "2023-01-01T24:00:00",
            "2023-01-01T15:60:00",
            "2023-01-01T15:14:60",
            "2016-12-31T23:59:60Z",
            "2023-01-01T15:14:61",
            "2023-01-01T15:14:13.",
            "2023-01-01T15:14:13.Z",
            "2023-01-01T15:14:13+0200",
            "2023-01-01T15:14:13+24:00",
            "2023-01-01T15:14:13+02:60",
            "2023-01-01T15:14:13ZZ",
            "2023-01-01 15:14:13",
            "2023-01-01Z",
            " 2023-01-01",
            "2023-01-01 ",
            "+2023-01-01",
            "２023-01-01",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ];
        for text in cases {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn milliseconds_are_cut_not_rounded() {
        assert_eq!(
            parse("2025-12-07T21:45:05".as_bytes()).unwrap().to_millis_string(),
            "2025-12-07T21:45:05.000Z"
        );
        assert_eq!(
            parse("1969-12-31T23:59:59.9999".as_bytes()).unwrap().to_millis_string(),
            "1969-12-31T23:59:59.999Z"
        );
    }
}

//! Lengths of time as the configuration writes them: `"500ms"`, `"10s"`, `"5m"`, `"2h"`.

use std::time::Duration;

const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Reads a length of time.
///
/// # Errors
///
/// The text is no length of time.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis = UNITS
        .iter()
        .find(|(name, _)| *name == unit.trim_start())
        .and_then(|(_, millis)| number.parse::<u64>().ok()?.checked_mul(*millis));
    millis.map(Duration::from_millis).ok_or_else(|| {
        format!("{text:?} is not a length of time; write a number and ms, s, m or h, as \"10s\"")
    })
}

/// Writes a length of time in the largest unit that holds it exactly. Anything under a millisecond is lost.
pub fn print(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, size) =
        UNITS.iter().rev().find(|(_, size)| millis.is_multiple_of(*size) && millis > 0).unwrap_or(&UNITS[1]);
    format!("{}{unit}", millis / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        for (text, millis) in
            [("0s", 0), ("1ms", 1), ("1500ms", 1500), ("10s", 10_000), ("1m", 60_000), ("2h", 7_200_000)]
        {
            assert_eq!(parse(text).unwrap(), Duration::from_millis(millis));
            assert_eq!(print(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse("10 s").unwrap(), Duration::from_secs(10));
        for wrong in ["", "10", "s", "-1s", "1.5s", "1 day", "99999999999999999999s", "18446744073709551615h"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

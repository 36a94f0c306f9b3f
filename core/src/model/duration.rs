//! Lengths of time as configuration writes them: `"500ms"`, `"10s"`, `"1h 30m"`.

use std::time::Duration;

/// Reads a length of time.
///
/// # Errors
///
/// The text is no length of time.
pub fn parse(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| {
        format!(
            "{text:?} is not a length of time ({error}); write numbers with ms, s, m or h, as \"10s\" or \"1h 30m\""
        )
    })
}

/// Writes a length of time.
pub fn print(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        for (text, millis) in [
            ("0s", 0),
            ("1ms", 1),
            ("1s 500ms", 1500),
            ("10s", 10_000),
            ("1m", 60_000),
            ("2h", 7_200_000),
            ("1day 12h", 129_600_000),
        ] {
            assert_eq!(parse(text).unwrap(), Duration::from_millis(millis));
            assert_eq!(print(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse("10 s").unwrap(), Duration::from_secs(10));
        assert_eq!(parse("1500ms").unwrap(), Duration::from_millis(1500));
        for wrong in ["", "10", "s", "-1s", "1 dy", "99999999999999999999s", "18446744073709551615h"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

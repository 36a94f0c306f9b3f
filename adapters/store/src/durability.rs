//! When a commit is safe.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// When what was written is safe from a crash of the machine. A crash of the process loses nothing that was written, in either mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before its writer is answered: each commit waits for a sync, which it shares with those that came meanwhile.
    #[default]
    Always,
    /// Within this time: a sync follows the commits. A crash of the machine loses at most that much; the file is whole all the same,
    /// and its source has a new identity if the file was not closed.
    Every(Duration),
}

/// Reads `always`, or a time such as `100ms` or `2s`.
impl FromStr for Durability {
    type Err = DurabilityError;

    fn from_str(text: &str) -> Result<Self, DurabilityError> {
        if text == "always" {
            return Ok(Self::Always);
        }
        let refused = || DurabilityError(text.to_owned());
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let count: u64 = text[..digits].parse().map_err(|_| refused())?;
        let every = match &text[digits..] {
            "ms" => Duration::from_millis(count),
            "s" => Duration::from_secs(count),
            _ => return Err(refused()),
        };
        match every {
            Duration::ZERO => Err(refused()),
            every if every > LONGEST => Err(refused()),
            every => Ok(Self::Every(every)),
        }
    }
}

/// Writes what is read.
impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Every(every) if every.subsec_nanos() == 0 => write!(f, "{}s", every.as_secs()),
            Self::Every(every) => write!(f, "{}ms", every.as_millis()),
        }
    }
}

const LONGEST: Duration = Duration::from_secs(60);

/// A text that names no durability.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "durability '{0}' is not known: write \"always\", or how much a crash may lose, from \"1ms\" to \"60s\""
)]
pub struct DurabilityError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_is_read_and_written() {
        for text in ["always", "1ms", "100ms", "2s", "60s"] {
            assert_eq!(text.parse::<Durability>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "never",
            "0ms",
            "0s",
            "61s",
            "100",
            "ms",
            "-1s",
            "1.5s",
            "1h",
            "99999999999999999999s",
            "1µs",
        ] {
            let refused = text.parse::<Durability>().unwrap_err().to_string();
            assert!(refused.contains(&format!("durability '{text}'")), "{refused}");
        }
    }
}

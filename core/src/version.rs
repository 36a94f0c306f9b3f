//! Versions as clients are given them.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use siphasher::sip::SipHasher13;

/// How the versions of one result are written for the clients that may resume it. Owners read what comes back, and so find out
/// whether it is a version of this result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionCode {
    /// A text and the number behind it, for tests and tools. It tells whoever sees two of them how much happened between.
    Open(Arc<str>),
    /// Says nothing to those who do not know the key: neither a number nor which of two is the later one. Of another key, a version is
    /// none.
    Sealed(VersionKey),
}

impl VersionCode {
    /// The version with this number, for a client that knows its rows by place (`positions`), or does not.
    pub fn text(&self, number: u64, positions: bool) -> Box<str> {
        match self {
            VersionCode::Open(mark) => format!("{mark}{number}").into(),
            VersionCode::Sealed(key) => {
                let [left, right] = key.seal([number, u64::from(positions)]);
                Position([left, right]).to_string().into()
            }
        }
    }

    /// The number of a version of this result, and whether its client knows its rows by place: of an open one that is taken to be so.
    pub fn read(&self, text: &str) -> Option<(u64, bool)> {
        match self {
            VersionCode::Open(mark) => Some((text.strip_prefix(&**mark)?.parse().ok()?, true)),
            VersionCode::Sealed(key) => {
                let Position(sealed) = text.parse().ok()?;
                match key.open(sealed) {
                    [number, flags @ (0 | 1)] => Some((number, flags == 1)),
                    // Nobody has written this.
                    _ => None,
                }
            }
        }
    }
}

/// The number alone.
impl Default for VersionCode {
    fn default() -> VersionCode {
        VersionCode::Open("".into())
    }
}

impl From<&str> for VersionCode {
    fn from(mark: &str) -> VersionCode {
        VersionCode::Open(mark.into())
    }
}

/// A place in the history of a source: where a commit stands. It names its source and says nothing else to those who do not have the
/// key: neither a number nor which of two is the later one. As text it is 32 hexadecimal digits.
///
/// ```
/// use liveset_core::{Position, VersionKey};
///
/// let (here, elsewhere) = (VersionKey::new([1, 2]), VersionKey::new([3, 4]));
/// let position: Position = here.position(7).to_string().parse()?;
/// assert_eq!((here.number(position), elsewhere.number(position)), (Some(7), None));
/// # Ok::<(), liveset_core::NoPosition>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position([u64; 2]);

/// A text that is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a position: 32 hexadecimal digits")]
pub struct NoPosition;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position([left, right]) = self;
        write!(f, "{left:016x}{right:016x}")
    }
}

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Position, NoPosition> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(NoPosition);
        }
        let (left, right) = text.split_at(16);
        let half = |half| u64::from_str_radix(half, 16).map_err(|_| NoPosition);
        Ok(Position([half(left)?, half(right)?]))
    }
}

/// The text.
impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What seals the versions of one result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VersionKey([u64; 2]);

/// Without the bits.
impl fmt::Debug for VersionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VersionKey(..)")
    }
}

impl VersionKey {
    /// A key of these 128 bits.
    pub const fn new(bits: [u64; 2]) -> VersionKey {
        VersionKey(bits)
    }

    /// The key of a history with this identity: the same in every process that follows it.
    pub fn of_history(identity: &str) -> VersionKey {
        VersionKey([0_u64, 1].map(|half| {
            let mut hasher = SipHasher13::new_with_keys(half, HISTORY);
            hasher.write(identity.as_bytes());
            hasher.finish()
        }))
    }

    /// The position with this number, in the history that the key stands for.
    pub fn position(self, number: u64) -> Position {
        Position(self.seal([number, 0]))
    }

    /// The number of a position; `None` for one of another history.
    pub fn number(self, Position(sealed): Position) -> Option<u64> {
        match self.open(sealed) {
            [number, 0] => Some(number),
            _ => None,
        }
    }

    /// Four rounds of a Feistel network, each with a hash under the key: a permutation that looks like chance.
    fn seal(self, [mut left, mut right]: [u64; 2]) -> [u64; 2] {
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.hash(round, right));
        }
        [left, right]
    }

    fn open(self, [mut left, mut right]: [u64; 2]) -> [u64; 2] {
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.hash(round, left), left);
        }
        [left, right]
    }

    fn hash(self, round: u8, half: u64) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0[0], self.0[1]);
        hasher.write_u64(half);
        hasher.write_u8(round);
        hasher.finish()
    }
}

const ROUNDS: u8 = 4;
/// So that keys of histories are no other hashes of the same text.
const HISTORY: u64 = u64::from_be_bytes(*b"history\0");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_version_is_read_by_its_key_alone() {
        let codes = [[1, 2], [1, 3], [2, 2]].map(|bits| VersionCode::Sealed(VersionKey::new(bits)));
        for number in [0, 1, 2, 1 << 32, u64::MAX] {
            for positions in [false, true] {
                let texts = codes.each_ref().map(|code| code.text(number, positions));
                for (code, text) in codes.iter().zip(&texts) {
                    assert_eq!(code.read(text), Some((number, positions)));
                    assert_eq!(*text, code.text(number, positions), "the same each time");
                    assert!(text.len() == 32 && !text.contains(&number.to_string().repeat(3)), "{text}");
                    let others = texts.iter().filter(|other| *other != text);
                    assert_eq!(others.filter_map(|other| code.read(other)).count(), 0);
                }
            }
        }
    }

    #[test]
    fn versions_of_one_result_have_nothing_in_common() {
        let code = VersionCode::Sealed(VersionKey::new([7, 8]));
        let texts: Vec<_> = (0..64).map(|number| code.text(number, false)).collect();
        for (place, text) in texts.iter().enumerate() {
            for other in &texts[..place] {
                let alike = text.bytes().zip(other.bytes()).filter(|(a, b)| a == b).count();
                assert!(alike < 16, "{text} {other}");
            }
        }
    }

    #[test]
    fn what_nobody_has_written_is_no_version() {
        let code = VersionCode::Sealed(VersionKey::new([7, 8]));
        let text = code.text(5, true);
        for index in 0..32 {
            let mut changed = text.to_string();
            let digit = if text.as_bytes()[index] == b'0' { "1" } else { "0" };
            changed.replace_range(index..=index, digit);
            assert_eq!(code.read(&changed), None);
        }
        for odd in ["", "5", "x-5", &text.to_uppercase(), &format!("{text}0"), &text[1..], &"€".repeat(11)]
        {
            assert_eq!(code.read(odd), None, "{odd}");
        }
        assert_eq!(VersionCode::from("x-").read("x-5"), Some((5, true)));
        assert_eq!(VersionCode::from("x-").read("y-5"), None);
    }
}

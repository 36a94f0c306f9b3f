//! JSON read once, exactly, and never deeper than allowed.
//!
//! The policy, for nodes and for whatever else is read by it (the data of events, tokens, queries over HTTP):
//!
//! | | taken | refused |
//! | --- | --- | --- |
//! | syntax | RFC 8259, UTF-8, white space around one value | all else: a byte order mark, comments, `01`, `NaN`, anything behind |
//! | keys | any text, once in an object | one that occurs twice, however it is escaped |
//! | numbers | integers of `i64` and `u64`, others that `f64` can hold; `-0` is 0, `1e-400` too | 2^64 and more, `1e400` |
//! | text | any characters, `\u0000` too | half of a surrogate pair, a control character that is not escaped |
//! | nesting | to [`JsonLimits::nesting`] | deeper |
//!
//! This package has its own reader because it promises what a general one does not: integers of 64 bits stay exact, an integer
//! beyond them or a number beyond `f64` is refused rather than rounded, a key that occurs twice is refused rather than
//! overwritten, nesting is bounded, and every refusal says where. The same policy holds for what peers say: `liveset-core` has a
//! checker of its own, and that both refuse the same at the same byte is a test. The reader that the rest of the world uses takes its answer to
//! those questions from features that any other package of the same program may switch on.

use std::fmt;

use crate::limits::JsonLimits;
use crate::value::Value;

mod compact;
mod digest;
mod extract;
mod number;
mod parse;
mod scan;
mod skim;
mod text;

pub use compact::compact;
pub(crate) use extract::{Wanted, extract, find, is_same, select};
pub(crate) use skim::{Skim, guess_text_field, text_of};

/// Reads one JSON value with nothing but white space around it.
///
/// Exactly RFC 8259, in UTF-8, without a byte order mark. Takes time in proportion to the length (the keys of an object are
/// sorted on top of that) and no stack.
///
/// # Errors
///
/// What is wrong and where: broken syntax, a key that occurs twice in an object, an integer beyond `i64` and `u64`, a number that
/// `f64` cannot hold (`1e400`), nesting deeper than the limit, text with half a surrogate pair or a bare control character.
pub fn parse(text: &[u8], limits: &JsonLimits) -> Result<Value, JsonError> {
    parse::parse(text, limits.enforced_nesting())
}

/// Checks that a text is one JSON value, by the rules of [`parse`]: for text that is passed on as it stands.
///
/// Takes time in proportion to the length, and no memory for values.
///
/// # Errors
///
/// Those of [`parse`].
pub fn check(text: &[u8], limits: &JsonLimits) -> Result<(), JsonError> {
    let fast = || {
        let mut scan = scan::Scan::new(std::str::from_utf8(text).ok()?, limits.enforced_nesting());
        let ((), _) = scan.value()?;
        scan.is_done().then_some(())
    };
    // What gave up knows no reason; what reads everything does, and has the last word.
    fast().map_or_else(|| parse(text, limits).map(drop), Ok)
}

/// Why a JSON text was refused.
///
/// Displays as one line that names the place twice, as a path where there is one and as a byte:
/// `the integer 18446744073709551616 at items[3].count (byte 57) is beyond 64 bits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    pub(crate) problem: Problem,
    pub(crate) path: String,
    pub(crate) offset: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    Syntax { found: String, expected: &'static str },
    NotUtf8,
    DuplicateKey(Box<str>),
    IntegerTooLarge(String),
    NumberTooLarge(String),
    TooDeep(usize),
    ControlCharacter(u8),
    LoneSurrogate,
}

impl JsonError {
    /// The byte at which the trouble begins.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The way to the value in question, such as `items[3].count`; empty at the top.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset;
        let place = match self.path.as_str() {
            "" => format!("at byte {offset}"),
            path => format!("at {path} (byte {offset})"),
        };
        match &self.problem {
            Problem::Syntax { found, expected } => write!(f, "found {found} {place}, expected {expected}"),
            Problem::NotUtf8 => write!(f, "the text is not UTF-8 {place}"),
            Problem::DuplicateKey(key) => write!(f, "duplicate key {key:?} in the object {place}"),
            Problem::IntegerTooLarge(digits) => write!(f, "the integer {digits} {place} is beyond 64 bits"),
            Problem::NumberTooLarge(digits) => {
                write!(f, "the number {digits} {place} is beyond what f64 can hold")
            }
            Problem::TooDeep(limit) => write!(f, "lists and objects nested deeper than {limit} {place}"),
            Problem::ControlCharacter(byte) => {
                write!(f, "the control character \\u{byte:04x} {place} is not escaped")
            }
            Problem::LoneSurrogate => write!(f, "half a surrogate pair {place}"),
        }
    }
}

impl std::error::Error for JsonError {}

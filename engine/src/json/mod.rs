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
//! It is the policy of [`liveset_core::json`], which has the lexer; here are values, digests and the extraction of what is wanted.

pub use liveset_core::json::JsonError;
pub(crate) use liveset_core::json::Skim;
use liveset_core::json::{Lexed, utf8};

use crate::limits::JsonLimits;
use crate::value::Value;

mod compact;
mod digest;
mod extract;
mod guess;
mod merge;
#[cfg(test)]
mod tests;

pub use compact::compact;
use extract::scan::Scan;
pub(crate) use extract::{Extracted, Wanted, extract, find, is_same, select};
pub(crate) use guess::{guess_text_field, text_of};
pub(crate) use merge::merge;

/// Reads one JSON value with nothing but white space around it.
///
/// Exactly RFC 8259, in UTF-8, without a byte order mark. Takes time in proportion to the length (the keys of an object are
/// sorted on top of that).
///
/// # Errors
///
/// What is wrong and where: broken syntax, a key that occurs twice in an object, an integer beyond `i64` and `u64`, a number that
/// `f64` cannot hold (`1e400`), nesting deeper than the limit, text with half a surrogate pair or a bare control character.
pub fn parse(text: &[u8], limits: &JsonLimits) -> Result<Value, JsonError> {
    whole(text, limits, |scan| scan.value()).map(|(value, _)| value)
}

/// Checks that a text is one JSON value, by the rules of [`parse`]: for text that is passed on as it stands.
///
/// Takes time in proportion to the length, and no memory for values.
///
/// # Errors
///
/// Those of [`parse`].
pub fn check(text: &[u8], limits: &JsonLimits) -> Result<(), JsonError> {
    whole(text, limits, |scan| scan.value()).map(|((), _)| ())
}

/// Reads a whole text; an error has its path.
fn whole<'a, T>(
    text: &'a [u8],
    limits: &JsonLimits,
    read: impl FnOnce(&mut Scan<'a>) -> Lexed<T>,
) -> Result<T, JsonError> {
    let text = utf8(text)?;
    let mut scan = Scan::new(text, limits.enforced_nesting());
    let read = read(&mut scan).and_then(|value| scan.end().map(|()| value));
    read.map_err(|error| error.located(text))
}

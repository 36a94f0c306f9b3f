//! The fields of one object as pieces of its text, and the few shapes that those have.
//!
//! What JSON is taken is the policy of [`json`]; here an object is an object (never a list), and null is absent.
//! serde_json is asked for escaped texts alone, so none of its features (`arbitrary_precision`, `preserve_order`)
//! changes what is read.

use std::borrow::Cow;

use crate::json::{Malformed, read, read_leniently};
pub(crate) use crate::json::{items as list, text};

/// The known fields of an object, by their place in the list of names; null is `None`.
pub(crate) struct Fields<'a, const N: usize> {
    pub(crate) values: [Option<&'a str>; N],
    /// The first field that is not in the list, at most 64 bytes of its name.
    pub(crate) unknown: Option<String>,
}

/// Reads one object, in which lists and objects nest so deep, itself included; the error says what is wrong and where. Costs
/// one pass over the text.
pub(crate) fn fields<'a, const N: usize>(
    json: &'a str,
    names: &[&str; N],
    nesting: usize,
) -> Result<Fields<'a, N>, String> {
    let mut fields = Fields { values: [None; N], unknown: None };
    read(json, nesting, |key, value| match names.iter().position(|known| *known == key) {
        Some(index) => fields.values[index] = (value != "null").then_some(value),
        None => drop(fields.unknown.get_or_insert_with(|| shortened(key).to_owned())),
    })
    .map_err(|malformed: Malformed| malformed.to_string())?;
    if is_object(json) { Ok(fields) } else { Err("expected a JSON object".into()) }
}

/// The known fields of an object that [`fields`] refused, as far as they can be read: none of a text that is no JSON at all, and
/// not one that stands twice.
pub(crate) fn fields_of_refused<'a, const N: usize>(
    json: &'a str,
    names: &[&str; N],
) -> [Option<&'a str>; N] {
    let (mut values, mut seen) = ([None; N], [false; N]);
    let grammar = read_leniently(json, |key, value| {
        if let Some(index) = names.iter().position(|known| *known == key) {
            let twice = std::mem::replace(&mut seen[index], true);
            values[index] = (!twice && value != "null").then_some(value);
        }
    });
    if grammar.is_ok() { values } else { [None; N] }
}

/// Whether a text that was read is that of an object.
fn is_object(json: &str) -> bool {
    json.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{')
}

pub(crate) fn not_utf8(error: &std::str::Utf8Error) -> String {
    format!("the text is not UTF-8 at byte {}", error.valid_up_to())
}

/// At most the first 64 bytes of a text, for quoting it in an error.
pub(crate) fn shortened(text: &str) -> &str {
    let mut end = text.len().min(64);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The texts of the list of texts that a piece is.
pub(crate) fn texts(piece: &str) -> Option<Vec<Cow<'_, str>>> {
    list(piece)?.into_iter().map(text).collect()
}

/// The boolean that a piece is.
pub(crate) fn boolean(piece: &str) -> Option<bool> {
    match piece {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// The whole number that a piece is, written without sign, point and exponent.
pub(crate) fn whole_number(piece: &str) -> Option<u64> {
    // `parse` takes a plus, which JSON does not have.
    piece.parse().ok()
}

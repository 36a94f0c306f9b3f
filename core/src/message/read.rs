//! Reading JSON in place: the fields of one object as raw pieces, and the few shapes that those have.
//!
//! One policy for all messages: an object is an object (never a list), a known field stands once, null is
//! absent, nothing follows the object. serde_json is asked only for raw pieces and texts, so none of its
//! features (`arbitrary_precision`, `preserve_order`) changes what is read.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The known fields of an object, by their place in the list of names; null is `None`.
pub(crate) struct Fields<'a, const N: usize> {
    pub(crate) values: [Option<&'a RawValue>; N],
    /// The first field that is not in the list, at most 64 bytes of its name.
    pub(crate) unknown: Option<String>,
}

/// Why a text is not an object of the wanted form; `Display` says what and where.
#[derive(Debug)]
pub(crate) struct Malformed(pub(crate) String);

/// Reads one object. Costs one pass over the text.
pub(crate) fn fields<'a, const N: usize>(
    json: &'a str,
    names: &[&str; N],
) -> Result<Fields<'a, N>, Malformed> {
    // Without this the error of serde_json would quote the text, however long and secret it is.
    if !json.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        return Err(Malformed("expected a JSON object".into()));
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let fields = deserializer
        .deserialize_map(ObjectVisitor { names })
        .and_then(|fields| deserializer.end().map(|()| fields))
        .map_err(|error| Malformed(error.to_string()))?;
    Ok(fields)
}

struct ObjectVisitor<'n, const N: usize> {
    names: &'n [&'n str; N],
}

impl<'de, const N: usize> Visitor<'de> for ObjectVisitor<'_, N> {
    type Value = Fields<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de, N>, A::Error> {
        let mut fields = Fields { values: [None; N], unknown: None };
        let mut seen = [false; N];
        while let Some(key) = map.next_key_seed(KeySeed { names: self.names })? {
            match key {
                Key::Known(index) => {
                    if std::mem::replace(&mut seen[index], true) {
                        return Err(A::Error::custom(format_args!(
                            "duplicate field '{}'",
                            self.names[index]
                        )));
                    }
                    let value: &'de RawValue = map.next_value()?;
                    fields.values[index] = (value.get() != "null").then_some(value);
                }
                Key::Unknown(name) => {
                    map.next_value::<IgnoredAny>()?;
                    fields.unknown.get_or_insert(name);
                }
            }
        }
        Ok(fields)
    }
}

enum Key {
    Known(usize),
    Unknown(String),
}

struct KeySeed<'n, const N: usize> {
    names: &'n [&'n str; N],
}

impl<'de, const N: usize> DeserializeSeed<'de> for KeySeed<'_, N> {
    type Value = Key;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<const N: usize> Visitor<'_> for KeySeed<'_, N> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(match self.names.iter().position(|known| *known == name) {
            Some(index) => Key::Known(index),
            None => Key::Unknown(shortened(name).to_owned()),
        })
    }
}

/// At most the first 64 bytes of a text, for quoting it in an error.
pub(crate) fn shortened(text: &str) -> &str {
    let mut end = text.len().min(64);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The text that a piece is, or `None` where it is no (well-formed) text. Borrows where nothing is escaped.
pub(crate) fn text(piece: &RawValue) -> Option<Cow<'_, str>> {
    let quoted = piece.get();
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str::<String>(quoted).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The items of the list that a piece is, or `None` where it is no list.
pub(crate) fn list(piece: &RawValue) -> Option<Vec<&RawValue>> {
    if piece.get().starts_with('[') { serde_json::from_str(piece.get()).ok() } else { None }
}

/// The texts of the list of texts that a piece is.
pub(crate) fn texts(piece: &RawValue) -> Option<Vec<Cow<'_, str>>> {
    list(piece)?.into_iter().map(text).collect()
}

/// The boolean that a piece is.
pub(crate) fn boolean(piece: &RawValue) -> Option<bool> {
    match piece.get() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// The whole number that a piece is, written without sign, point and exponent; at most `u64::MAX`, to which
/// a larger one is cut.
pub(crate) fn whole_number(piece: &RawValue) -> Option<u64> {
    let digits = piece.get();
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        Some(digits.parse().unwrap_or(u64::MAX))
    } else {
        None
    }
}

//! Values: what the JSON of a node means to a query.
//!
//! A [`Value`] is JSON with exact numbers: integers of 64 bits stay integers, everything else is an `f64`, and the two compare
//! without rounding (2^53 + 1 is not 2^53). Text that a set declares as an instant is read once, at the commit, and kept beside
//! its spelling ([`Timed`]).

use std::fmt;

use compact_str::CompactString;
pub use liveset_core::json::Number;

mod borrowed;

pub(crate) use borrowed::ValueRef;

use crate::path::Path;
use crate::time::Timestamp;

/// A JSON value as queries see it.
///
/// Equality is that of JSON values: numbers by their exact value (`1 == 1.0`), objects without regard to the order of their
/// keys, instants by their spelling, so that a node whose text changed has changed. (A filter compares instants in time; that is
/// the filter's business.)
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// `null`, and what an absent field reads as.
    #[default]
    Nothing,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// Text that no declaration calls an instant, whatever it looks like.
    Text(CompactString),
    /// Text in RFC 3339 form in a field that the set declares as an instant.
    Instant(Box<Timed>),
    /// A list.
    List(Vec<Value>),
    /// An object.
    Object(Object),
}

/// The value of every path that leads nowhere.
static NOTHING: Value = Value::Nothing;

impl Value {
    /// The value at `path`: [`Value::Nothing`] where it is absent or leads through a list or a scalar.
    ///
    /// Costs one binary search for each name.
    pub fn at(&self, path: &Path) -> &Value {
        self.find(path).unwrap_or(&NOTHING)
    }

    /// The value at `path`, or `None` where there is none. Unlike [`at`](Value::at) this tells `null` from absent.
    pub fn find(&self, path: &Path) -> Option<&Value> {
        path.names().try_fold(self, |value, name| match value {
            Value::Object(object) => object.field(name),
            _ => None,
        })
    }

    /// The value at `path`, to be changed in place, or `None` where there is none.
    pub fn at_mut(&mut self, path: &Path) -> Option<&mut Value> {
        path.names().try_fold(self, |value, name| match value {
            Value::Object(object) => object.field_mut(name),
            _ => None,
        })
    }

    /// Reads text as an instant, for a field that is declared as one.
    ///
    /// # Errors
    ///
    /// Hands the value back unchanged where it is not text in RFC 3339 form. What is an instant already stays one.
    pub fn into_instant(self) -> Result<Value, Value> {
        match self {
            Value::Text(text) => match Timed::new(text) {
                Ok(timed) => Ok(Value::Instant(Box::new(timed))),
                Err(text) => Err(Value::Text(text)),
            },
            Value::Instant(timed) => Ok(Value::Instant(timed)),
            other => Err(other),
        }
    }

    /// The text of a text or of an instant.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Instant(timed) => Some(timed.text()),
            _ => None,
        }
    }

    /// Bytes on the heap, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Value::Nothing | Value::Bool(_) | Value::Number(_) => 0,
            Value::Text(text) => heap_bytes(text),
            Value::Instant(timed) => size_of::<Timed>() + heap_bytes(&timed.text),
            Value::List(items) => items.iter().map(|item| size_of::<Value>() + item.heap_bytes()).sum(),
            Value::Object(object) => object
                .iter()
                .map(|(key, value)| size_of::<(Box<str>, Value)>() + key.len() + value.heap_bytes())
                .sum(),
        }
    }

    /// What kind of value this is, with its article, for messages: `nothing`, `a boolean`, `a number`, `text`,
    /// `an instant`, `a list` or `an object`.
    pub fn described(&self) -> &'static str {
        match self {
            Value::Nothing => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::Instant(_) => "an instant",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }
}

/// Bytes of a text that do not fit where it stands.
pub(crate) fn heap_bytes(text: &CompactString) -> usize {
    if text.is_heap_allocated() { text.capacity() } else { 0 }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        ValueRef::from(self) == ValueRef::from(other)
    }
}

impl Eq for Value {}

/// Text in RFC 3339 form together with the moment that it names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Timed {
    // Private outside, so that the moment is always the one that the text names.
    pub(crate) text: CompactString,
    pub(crate) at: Timestamp,
}

impl Timed {
    /// Reads `text` as a date or a date-time in RFC 3339 form, UTC where it has no offset.
    ///
    /// # Errors
    ///
    /// Hands the text back where it is no instant.
    pub fn new(text: CompactString) -> Result<Timed, CompactString> {
        match Timestamp::parse_rfc3339(&text) {
            Some(at) => Ok(Timed { text, at }),
            None => Err(text),
        }
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The moment that the text names.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

/// The members of a JSON object, sorted by key, each key once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Object {
    // Sorted by key without duplicates: `field` searches by halves, and equality is that of two vectors.
    entries: Vec<(Box<str>, Value)>,
}

impl Object {
    /// Makes an object of its members in any order.
    ///
    /// # Errors
    ///
    /// Names a key that occurs twice.
    pub fn from_entries(mut entries: Vec<(Box<str>, Value)>) -> Result<Object, DuplicateKey> {
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        match entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(DuplicateKey(pair[0].0.clone())),
            None => Ok(Object { entries }),
        }
    }

    /// The value of `key`, if the object has it.
    pub fn field(&self, key: &str) -> Option<&Value> {
        self.entries.binary_search_by(|(name, _)| (**name).cmp(key)).ok().map(|place| &self.entries[place].1)
    }

    /// The value of `key`, to be changed in place.
    pub fn field_mut(&mut self, key: &str) -> Option<&mut Value> {
        match self.entries.binary_search_by(|(name, _)| (**name).cmp(key)) {
            Ok(place) => Some(&mut self.entries[place].1),
            Err(_) => None,
        }
    }

    /// The members in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (&**key, value))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// A key that occurs twice in one object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("duplicate key {0:?}")]
pub struct DuplicateKey(pub Box<str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_refuse_duplicates_and_ignore_order() {
        let object = |keys: &[&str]| {
            Object::from_entries(keys.iter().map(|key| (Box::from(*key), Value::Bool(true))).collect())
        };
        assert_eq!(object(&["b", "a"]), object(&["a", "b"]));
        assert_eq!(object(&["b", "a", "b"]), Err(DuplicateKey("b".into())));
        assert_ne!(object(&["a"]), object(&["a", "b"]));
    }

    #[test]
    fn instants_are_equal_by_their_spelling() {
        let read = |text: &str| Value::Text(text.into()).into_instant();
        assert_eq!(read("2023-01-01").unwrap(), Value::Text("2023-01-01".into()));
        assert_ne!(read("2023-01-01").unwrap(), read("2023-01-01T00:00:00Z").unwrap());
        assert_eq!(read("soon"), Err(Value::Text("soon".into())));
    }
}

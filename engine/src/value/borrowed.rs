//! Values as rows lend them: a row holds no [`Value`]s, but what they are made from.

use compact_str::CompactString;

use super::{Number, Object, Timed, Value};
use crate::time::Timestamp;

/// A [`Value`], borrowed. Equal as values are: numbers by their exact value, instants by their spelling. Texts are their bytes of UTF-8:
/// nothing asks for more of them, and to check these at each look would cost more than what is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ValueRef<'a> {
    Nothing,
    Bool(bool),
    Number(Number),
    Text(&'a [u8]),
    /// The moment, and its spelling.
    Instant(Timestamp, &'a [u8]),
    List(&'a [Value]),
    Object(&'a Object),
}

impl<'a> ValueRef<'a> {
    /// Whether every test and every sum says the same of both: equal numbers of two forms, `1` and `1.0`, add up to different ones where
    /// they are large.
    pub(crate) fn is_interchangeable(self, other: ValueRef<'_>) -> bool {
        let of_one_form = match (self, other) {
            (ValueRef::Number(a), ValueRef::Number(b)) => {
                std::mem::discriminant(&a) == std::mem::discriminant(&b)
            }
            _ => true,
        };
        of_one_form && self == other
    }

    /// The text of a text or of an instant.
    pub(crate) fn as_text(self) -> Option<&'a [u8]> {
        match self {
            ValueRef::Text(text) | ValueRef::Instant(_, text) => Some(text),
            _ => None,
        }
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Nothing => ValueRef::Nothing,
            Value::Bool(value) => ValueRef::Bool(*value),
            Value::Number(number) => ValueRef::Number(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Instant(timed) => ValueRef::Instant(timed.at(), timed.text().as_bytes()),
            Value::List(items) => ValueRef::List(items),
            Value::Object(object) => ValueRef::Object(object),
        }
    }
}

impl PartialEq for ValueRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (ValueRef::Nothing, ValueRef::Nothing) => true,
            (ValueRef::Bool(a), ValueRef::Bool(b)) => a == b,
            (ValueRef::Number(a), ValueRef::Number(b)) => a == b,
            (ValueRef::List(a), ValueRef::List(b)) => a == b,
            (ValueRef::Object(a), ValueRef::Object(b)) => a == b,
            (a, b) => a.as_text().is_some_and(|a| b.as_text() == Some(a)),
        }
    }
}

impl PartialEq<Value> for ValueRef<'_> {
    fn eq(&self, other: &Value) -> bool {
        *self == ValueRef::from(other)
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Nothing => Value::Nothing,
            ValueRef::Bool(value) => Value::Bool(value),
            ValueRef::Number(number) => Value::Number(number),
            ValueRef::Text(text) => Value::Text(CompactString::from_utf8_lossy(text)),
            ValueRef::Instant(at, text) => {
                Value::Instant(Box::new(Timed { text: CompactString::from_utf8_lossy(text), at }))
            }
            ValueRef::List(items) => Value::List(items.to_vec()),
            ValueRef::Object(object) => Value::Object(object.clone()),
        }
    }
}

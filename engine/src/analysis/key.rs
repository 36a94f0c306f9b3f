//! Values by which filters are found.

use std::fmt;
use std::hash::{Hash, Hasher};

use hashbrown::Equivalent;

use crate::filter::{Literal, Member};
use crate::order::rank;
use crate::seed::probed;
use crate::value::{Number, ValueRef};

/// A value by which a filter is found. Equal as the query language has it: `1` and `1.0` are one key.
#[derive(Clone, Debug, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// `null` or absent.
    Nothing,
    /// A boolean.
    Bool(bool),
    /// A number, by its exact value.
    Number(Number),
    /// A text.
    Text(Box<str>),
}

/// A [`Key`] over a node's own text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyRef<'a> {
    /// `null` or absent.
    Nothing,
    /// A boolean.
    Bool(bool),
    /// A number, by its exact value.
    Number(Number),
    /// A text, and the spelling of an instant.
    Text(&'a [u8]),
}

impl Key {
    /// `None` for an instant, which equals text in many spellings.
    pub(crate) fn of(member: Member<'_>) -> Option<Key> {
        match member {
            Member::Nothing => Some(Key::Nothing),
            Member::Bool(value) => Some(Key::Bool(value)),
            Member::Number(number) => Some(Key::Number(number)),
            Member::Text(text) => Some(Key::Text(text.into())),
            Member::Instant(_) => None,
        }
    }

    /// The [`rank::key`] of the value, and whether no other value has the same one.
    pub(super) fn rank(&self) -> (u128, bool) {
        match self {
            Key::Nothing => (rank::key(ValueRef::Nothing), true),
            Key::Bool(value) => (rank::key(ValueRef::Bool(*value)), true),
            Key::Number(number) => (rank::key_of_number(*number), true),
            Key::Text(text) => (rank::key_of_text(text), rank::text_is_whole(text)),
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Key::Text(text) => text.len(),
            Key::Nothing | Key::Bool(_) | Key::Number(_) => 0,
        }
    }

    /// What is looked up.
    pub(crate) fn as_ref(&self) -> KeyRef<'_> {
        match self {
            Key::Nothing => KeyRef::Nothing,
            Key::Bool(value) => KeyRef::Bool(*value),
            Key::Number(number) => KeyRef::Number(*number),
            Key::Text(text) => KeyRef::Text(text.as_bytes()),
        }
    }
}

impl<'a> KeyRef<'a> {
    /// `None` for lists and objects, which no literal equals.
    pub(crate) fn of(value: impl Into<ValueRef<'a>>) -> Option<KeyRef<'a>> {
        match value.into() {
            ValueRef::Nothing => Some(KeyRef::Nothing),
            ValueRef::Bool(value) => Some(KeyRef::Bool(value)),
            ValueRef::Number(number) => Some(KeyRef::Number(number)),
            ValueRef::Text(text) | ValueRef::Instant(_, text) => Some(KeyRef::Text(text)),
            ValueRef::List(_) | ValueRef::Object(_) => None,
        }
    }
}

impl From<&KeyRef<'_>> for Key {
    fn from(key: &KeyRef<'_>) -> Key {
        match *key {
            KeyRef::Nothing => Key::Nothing,
            KeyRef::Bool(value) => Key::Bool(value),
            KeyRef::Number(number) => Key::Number(number),
            KeyRef::Text(text) => Key::Text(String::from_utf8_lossy(text).into()),
        }
    }
}

/// As the query language writes it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let literal = match self {
            Key::Nothing => Literal::Nothing,
            Key::Bool(value) => Literal::Bool(*value),
            Key::Number(number) => Literal::Number(*number),
            Key::Text(text) => Literal::Text(text.clone()),
        };
        literal.fmt(f)
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            KeyRef::Nothing => 0_u8.hash(state),
            KeyRef::Bool(value) => (1_u8, value).hash(state),
            KeyRef::Number(number) => (2_u8, number).hash(state),
            KeyRef::Text(text) => (3_u8, text).hash(state),
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        probed();
        *self == key.as_ref()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.as_ref().equivalent(other)
    }
}

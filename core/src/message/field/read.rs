//! The members of one object as pieces of its text.
//!
//! The policy of [`json`](crate::json) decides which JSON is taken; an array is never an object here, and null is absent.

use std::fmt;

use smallvec::SmallVec;

use super::Field;
use crate::error::ErrorCode;
use crate::json::{JsonError, read, read_leniently};
pub(crate) use crate::json::{items, text};

/// Why a message is refused, and where.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: ErrorCode,
    /// The way to the value in question, such as `subscriptions[1].path`; empty for the message itself.
    path: String,
    what: String,
}

impl Refused {
    /// `what` goes on from the name of the value: "must be a string".
    pub(crate) fn new(what: impl Into<String>) -> Refused {
        Refused { code: ErrorCode::InvalidMessage, path: String::new(), what: what.into() }
    }

    pub(crate) fn with(self, code: ErrorCode) -> Refused {
        Refused { code, ..self }
    }

    /// Puts the name of the member in front of the path.
    pub(crate) fn within(mut self, name: &str) -> Refused {
        if !(self.path.is_empty() || self.path.starts_with('[')) {
            self.path.insert(0, '.');
        }
        self.path.insert_str(0, name);
        self
    }

    /// Puts the index of the item in front of the path.
    pub(crate) fn in_item(self, index: usize) -> Refused {
        self.within(&format!("[{index}]"))
    }
}

impl From<JsonError> for Refused {
    fn from(error: JsonError) -> Refused {
        Refused::new(error.to_string())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.what),
            path => write!(f, "'{path}' {}", self.what),
        }
    }
}

/// The members of an object that have known names.
pub(crate) struct Members<'a> {
    known: SmallVec<[(&'a str, &'a str); 8]>,
    /// The first member of another name, at most 64 bytes of it.
    unknown: Option<String>,
}

impl<'a> Members<'a> {
    /// Reads one object, in which arrays and objects nest so deep, itself included; the error says what is wrong and where. One
    /// pass over the text.
    pub(crate) fn read(json: &'a str, names: &[&'a str], nesting: usize) -> Result<Members<'a>, Refused> {
        let mut members = Members { known: SmallVec::new(), unknown: None };
        read(json, nesting, |key, value| match names.iter().find(|name| **name == key) {
            Some(name) if value != "null" => members.known.push((name, value)),
            Some(_) => {}
            None => drop(members.unknown.get_or_insert_with(|| shortened(key).to_owned())),
        })?;
        if is_object(json) { Ok(members) } else { Err(Refused::new("expected a JSON object")) }
    }

    /// Reads the object that a piece of text is which was read before.
    pub(crate) fn inside(piece: &'a str, names: &[&'a str]) -> Result<Members<'a>, Refused> {
        if !is_object(piece) {
            return Err(Refused::new("must be an object"));
        }
        Members::read(piece, names, usize::MAX)
    }

    /// The members of an object that [`read`](Members::read) refused, as far as they can be read: none of a text that is no JSON at
    /// all, and not one that stands twice.
    pub(crate) fn of_refused(json: &'a str, names: &[&'a str]) -> Members<'a> {
        let mut known: SmallVec<[(&'a str, &'a str); 8]> = SmallVec::new();
        let grammar = read_leniently(json, |key, value| {
            if let Some(name) = names.iter().find(|name| **name == key) {
                match known.iter_mut().find(|(other, _)| other == name) {
                    // No value has no text: it stands for what stands twice.
                    Some((_, twice)) => *twice = "",
                    None => known.push((name, value)),
                }
            }
        });
        known.retain(|(_, value)| grammar.is_ok() && !matches!(*value, "" | "null"));
        Members { known, unknown: None }
    }

    /// Refuses fields of other names than these.
    pub(crate) fn strict(&self, names: &[&str]) -> Result<(), Refused> {
        self.only("field", names)
    }

    /// Refuses options of other names than these.
    pub(crate) fn only_options(&self, names: &[&str]) -> Result<(), Refused> {
        self.only("option", names)
    }

    fn only(&self, what: &str, names: &[&str]) -> Result<(), Refused> {
        let Some(name) = &self.unknown else { return Ok(()) };
        let mut message = format!("has an unknown {what} '{name}'");
        for (index, name) in names.iter().enumerate() {
            message.push_str(if index == 0 { ": expected one of " } else { ", " });
            message.push_str(&format!("'{name}'"));
        }
        Err(Refused::new(message))
    }

    /// The text of a member.
    pub(crate) fn piece(&self, name: &str) -> Option<&'a str> {
        self.known.iter().find(|(known, _)| *known == name).map(|(_, piece)| *piece)
    }

    /// The value of a member; ids may have `id_bytes` bytes.
    pub(crate) fn take<'t, T: Field<'t, Kind>, Kind>(&self, name: &str, id_bytes: usize) -> Result<T, Refused>
    where
        'a: 't,
    {
        let value = match self.piece(name) {
            Some(piece) => T::read(piece, id_bytes),
            None => T::absent().ok_or_else(|| Refused::new("is missing")),
        };
        value.map_err(|refused| refused.within(name))
    }
}

/// Whether a text that was read, or begins a value, is that of an object.
fn is_object(json: &str) -> bool {
    json.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{')
}

/// At most the first 64 bytes of a text, for quoting it in an error.
pub(crate) fn shortened(text: &str) -> &str {
    let mut end = text.len().min(64);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

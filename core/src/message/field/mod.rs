//! The forms of the fields of messages in JSON.

mod param;
pub(crate) mod read;
pub(crate) mod write;

use std::borrow::Cow;
use std::sync::Arc;

use self::read::{Refused, items, shortened, text};
use self::write::write_text;
use super::Raw;
use crate::model::{Etag, NoEtag, Reason};
use crate::token::Token;

/// A type that a field of a message can have. `Kind` tells apart what one type can be in JSON.
pub(crate) trait Field<'a, Kind>: Sized {
    /// Reads the value that a piece of JSON is. Ids may have `id_bytes` bytes.
    fn read(piece: &'a str, id_bytes: usize) -> Result<Self, Refused>;

    /// Appends the value as JSON.
    fn write(&self, out: &mut Vec<u8>);

    /// The value of a field that is not there or null; `None` where there has to be one.
    fn absent() -> Option<Self> {
        None
    }

    /// Whether the field is left out.
    fn is_absent(&self) -> bool {
        false
    }
}

/// A kind with one form only.
pub(crate) struct Plain;
/// An id, or a request's: a string of limited length.
pub(crate) struct Id;
/// The reason for which a row entered a window.
pub(crate) struct Entered;
/// The reason for which a row left a window.
pub(crate) struct Left;
/// The fields of a query's nodes.
pub(crate) struct Node;
/// A flag that is off if it is absent.
pub(crate) struct Flag;

macro_rules! strings {
    ($($type:ty),*) => {
        $(
            impl<'a> Field<'a, Plain> for $type {
                fn read(piece: &'a str, _: usize) -> Result<Self, Refused> {
                    Ok(string(piece)?.into())
                }

                fn write(&self, out: &mut Vec<u8>) {
                    write_text(out, self);
                }
            }

            impl<'a> Field<'a, Id> for $type {
                fn read(piece: &'a str, id_bytes: usize) -> Result<Self, Refused> {
                    let id = string(piece)?;
                    if id.len() > id_bytes {
                        return Err(Refused::new(format!("is longer than {id_bytes} bytes")));
                    }
                    Ok(id.into())
                }

                fn write(&self, out: &mut Vec<u8>) {
                    write_text(out, self);
                }
            }
        )*
    };
}

strings!(Cow<'a, str>, Box<str>, Arc<str>, String);

fn string(piece: &str) -> Result<Cow<'_, str>, Refused> {
    text(piece).ok_or_else(|| Refused::new("must be a string"))
}

impl<'a> Field<'a, Plain> for Token {
    fn read(piece: &'a str, _: usize) -> Result<Token, Refused> {
        Ok(Token::new(string(piece)?))
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_text(out, self.expose());
    }
}

impl<'a> Field<'a, Plain> for Etag {
    fn read(piece: &'a str, _: usize) -> Result<Etag, Refused> {
        string(piece)?.parse().map_err(|error: NoEtag| Refused::new(error.to_string()))
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_text(out, &self.to_string());
    }
}

impl<'a> Field<'a, Plain> for bool {
    fn read(piece: &'a str, _: usize) -> Result<bool, Refused> {
        match piece {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Refused::new("must be true or false")),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl<'a> Field<'a, Flag> for bool {
    fn read(piece: &'a str, id_bytes: usize) -> Result<bool, Refused> {
        <bool as Field<'a, Plain>>::read(piece, id_bytes)
    }

    fn write(&self, out: &mut Vec<u8>) {
        <bool as Field<'a, Plain>>::write(self, out);
    }

    fn absent() -> Option<bool> {
        Some(false)
    }

    fn is_absent(&self) -> bool {
        !self
    }
}

impl<'a> Field<'a, Plain> for u64 {
    fn read(piece: &'a str, _: usize) -> Result<u64, Refused> {
        // `parse` takes a plus, which JSON does not have.
        piece.parse().map_err(|_| {
            Refused::new(format!("must be a whole number of 0 or more, found {}", shortened(piece)))
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        use std::io::Write as _;
        // Writing to a `Vec` cannot fail.
        let _ = write!(out, "{self}");
    }
}

/// Any JSON, null too, which reads as absent.
impl<'a> Field<'a, Plain> for Raw<'a> {
    fn read(piece: &'a str, _: usize) -> Result<Raw<'a>, Refused> {
        Ok(Raw(piece.as_bytes()))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }

    fn absent() -> Option<Raw<'a>> {
        Some(Raw(b"null"))
    }
}

macro_rules! reasons {
    ($($kind:ident: $entered:literal),*) => {
        $(
            impl<'a> Field<'a, $kind> for Reason {
                fn read(piece: &'a str, _: usize) -> Result<Reason, Refused> {
                    let reason = text(piece).and_then(|text| Reason::from_wire(&text, $entered));
                    reason.ok_or_else(|| Refused::new("is no reason that the protocol has"))
                }

                fn write(&self, out: &mut Vec<u8>) {
                    write_text(out, self.as_str($entered));
                }
            }
        )*
    };
}

reasons!(Entered: true, Left: false);

impl<'a, Kind, T: Field<'a, Kind>> Field<'a, Kind> for Option<T> {
    fn read(piece: &'a str, id_bytes: usize) -> Result<Option<T>, Refused> {
        T::read(piece, id_bytes).map(Some)
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn absent() -> Option<Option<T>> {
        Some(None)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<'a, Kind, T: Field<'a, Kind>> Field<'a, Kind> for Vec<T> {
    fn read(piece: &'a str, id_bytes: usize) -> Result<Vec<T>, Refused> {
        let items = items(piece).ok_or_else(|| Refused::new("must be an array"))?;
        let read = |(index, item)| T::read(item, id_bytes).map_err(|refused| refused.in_item(index));
        items.into_iter().enumerate().map(read).collect()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, item) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            item.write(out);
        }
        out.push(b']');
    }
}

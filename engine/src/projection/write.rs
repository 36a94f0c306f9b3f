//! The projection of a node, copied token by token.

use std::collections::BTreeMap;

use super::Fields;
use crate::json::{token_length, unescape};

/// Appends the wanted members of the object in `raw`, or an empty object.
pub(super) fn object(members: &BTreeMap<Box<str>, Fields>, raw: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut reader = Reader { raw, place: 0 };
    if reader.peek() == Some(b'{') {
        reader.members(members, out);
    }
    if out.len() == start {
        out.extend_from_slice(b"{}");
    }
}

struct Reader<'a> {
    raw: &'a [u8],
    place: usize,
}

impl Reader<'_> {
    /// Takes an object and appends what is wanted of it, if there is any of that. Recursion is as deep as the wanted paths.
    fn members(&mut self, wanted: &BTreeMap<Box<str>, Fields>, out: &mut Vec<u8>) {
        self.place += 1;
        let mut separator = b'{';
        loop {
            if self.peek() != Some(b'"') {
                break;
            }
            let key = self.value();
            let fields = name_of(key).and_then(|name| wanted.get(&*name));
            if self.peek() == Some(b':') {
                self.place += 1;
            }
            let before = out.len();
            match fields {
                None => {
                    self.value();
                }
                Some(fields) => {
                    out.push(separator);
                    out.extend_from_slice(key);
                    out.push(b':');
                    let inside = out.len();
                    match fields {
                        Fields::All => {
                            let value = self.value();
                            out.extend_from_slice(value);
                        }
                        Fields::Members(inner) if self.peek() == Some(b'{') => self.members(inner, out),
                        Fields::Members(_) => {
                            self.value();
                        }
                    }
                    if out.len() == inside {
                        out.truncate(before);
                    } else {
                        separator = b',';
                    }
                }
            }
            if self.peek() != Some(b',') {
                break;
            }
            self.place += 1;
        }
        if self.peek() == Some(b'}') {
            self.place += 1;
        }
        if separator == b',' {
            out.push(b'}');
        }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.raw.get(self.place) {
            self.place += 1;
        }
        self.raw.get(self.place).copied()
    }
}

impl<'a> Reader<'a> {
    /// Takes one value, whatever it is, without the white space around it.
    fn value(&mut self) -> &'a [u8] {
        self.peek();
        let start = self.place.min(self.raw.len());
        let mut depth = 0_usize;
        let mut end = start;
        while let Some(byte) = self.raw.get(end) {
            match byte {
                b'"' => match token_length(&self.raw[end..]) {
                    Some(length) => end += length,
                    None => end = self.raw.len(),
                },
                b'{' | b'[' => {
                    depth += 1;
                    end += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    end += 1;
                    if depth == 0 {
                        break;
                    }
                    continue;
                }
                b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => break,
                _ => {
                    end += 1;
                    continue;
                }
            }
            if depth == 0 {
                break;
            }
        }
        self.place = end;
        &self.raw[start..end]
    }
}

/// The name that a quoted key means.
fn name_of(token: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    let inside = token.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    unescape(std::str::from_utf8(inside).ok()?).ok()
}

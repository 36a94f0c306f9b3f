//! What tells two versions of a row apart.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;
use std::str::FromStr;

use crate::json::{Lexed, Lexer, Number};
use crate::message::write_text;

/// The version of one row as a result shows it, the same on every node and after every restart: the first 128 bits of BLAKE3 over
/// `1`, the id as a JSON string, and the row in canonical form.
///
/// In canonical form an object has its keys in the order of their code points, a number is the shortest text of its value
/// ([`Number`](crate::json::Number): `1`, `1.0` and `1e0` are `1`, whatever the size of the integer), a string has no more escapes than messages
/// have, and there is no white space. The vectors in `core/tests/etags.json` have examples.
///
/// As text it is 22 characters of base64url.
///
/// ```
/// use liveset_core::model::Etag;
///
/// let etag = Etag::of("7", br#"{"id":7,"total":12.50}"#);
/// assert_eq!(etag, Etag::of("7", br#"{ "total": 1.25e1, "id": 7.0 }"#));
/// assert_ne!(etag, Etag::of("7", br#"{"id":7,"total":12.51}"#));
/// assert_eq!(etag.to_string().parse(), Ok(etag));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Etag([u8; 16]);

/// The number of this form, which another way to compute etags would change.
const FORMAT: u8 = b'1';

/// Rows of a set nest no deeper than 128, and less than this by default.
const NESTING: usize = 128;

impl Etag {
    /// Of a row with this id and this JSON. O(bytes), and O(n log n) in the members of each object. Of what is no JSON, or nests deeper
    /// than 128 levels, the text counts as it is.
    pub fn of(id: &str, json: &[u8]) -> Etag {
        let hash = blake3::hash(&Etag::hashed(id, json));
        let mut first = [0; 16];
        first.copy_from_slice(&hash.as_bytes()[..16]);
        Etag(first)
    }

    /// The text whose hash the etag is, to compare it with that of a client in another language.
    pub fn hashed(id: &str, json: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(id.len() + json.len() + 8);
        text.push(FORMAT);
        write_text(&mut text, id);
        match std::str::from_utf8(json).ok().and_then(Tree::of) {
            Some(tree) => tree.write(&mut text),
            None => text.extend_from_slice(json),
        }
        text
    }

    /// The steps of work that [`of`](Etag::of) takes for so many bytes of JSON: one for each 16, as for reading them.
    pub fn steps(bytes: usize) -> u64 {
        bytes as u64 / 16 + 1
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'A'; LENGTH];
        for (place, sign) in text.iter_mut().enumerate() {
            // Six bits, which begin in one byte and may end in the next.
            let (byte, bit) = (place * 6 / 8, place * 6 % 8);
            let pair = [self.0[byte], self.0.get(byte + 1).copied().unwrap_or(0)];
            *sign = SIGNS[usize::from((u16::from_be_bytes(pair) << bit) >> 10)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Etag({self})")
    }
}

impl FromStr for Etag {
    type Err = NoEtag;

    fn from_str(text: &str) -> Result<Etag, NoEtag> {
        if text.len() != LENGTH {
            return Err(NoEtag);
        }
        let mut bits = 0_u128;
        for (place, sign) in text.bytes().enumerate() {
            let value = u128::from(VALUES[usize::from(sign)]);
            if value > 63 {
                return Err(NoEtag);
            }
            bits = match place + 1 {
                // The last sign has the last two bits.
                LENGTH if value & 15 == 0 => bits << 2 | value >> 4,
                LENGTH => return Err(NoEtag),
                _ => bits << 6 | value,
            };
        }
        Ok(Etag(bits.to_be_bytes()))
    }
}

/// A text that is no etag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an etag: 22 characters of base64url")]
pub struct NoEtag;

const LENGTH: usize = 22;
const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// What each sign stands for; 255 of what is none. A client sends a thousand etags at once.
const VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut value = 0;
    while value < SIGNS.len() {
        values[SIGNS[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// A JSON text, with the members of each object in the order of their keys.
enum Tree<'a> {
    Word(&'static str),
    Number(Number),
    Text(Cow<'a, str>),
    Array(Vec<Tree<'a>>),
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
}

impl<'a> Tree<'a> {
    fn of(text: &'a str) -> Option<Tree<'a>> {
        let mut lexer = Lexer::new(text, NESTING);
        let tree = Tree::read(&mut lexer).ok()?;
        lexer.end().ok().map(|()| tree)
    }

    fn read(lexer: &mut Lexer<'a>) -> Lexed<Tree<'a>> {
        let word = match lexer.peek() {
            Some(b'{') => {
                lexer.open()?;
                let mut members = Vec::new();
                let mut is_done = lexer.is_empty(b'}');
                while !is_done {
                    members.push((lexer.key()?, Tree::read(lexer)?));
                    is_done = lexer.ends(b'}')?;
                }
                // Bytes of UTF-8 are in the order of the code points.
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
                return Ok(Tree::Object(members));
            }
            Some(b'[') => {
                lexer.open()?;
                let mut items = Vec::new();
                let mut is_done = lexer.is_empty(b']');
                while !is_done {
                    items.push(Tree::read(lexer)?);
                    is_done = lexer.ends(b']')?;
                }
                return Ok(Tree::Array(items));
            }
            Some(b'"') => return lexer.string().map(Tree::Text),
            Some(b'-' | b'0'..=b'9') => return lexer.number().map(Tree::Number),
            Some(b't') => "true",
            Some(b'f') => "false",
            _ => "null",
        };
        lexer.word(word).map(|()| Tree::Word(word))
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Tree::Word(word) => out.extend_from_slice(word.as_bytes()),
            Tree::Number(number) => {
                // Writing to a `Vec` cannot fail.
                let _ = write!(out, "{}", number.exact());
            }
            Tree::Text(text) => write_text(out, text),
            Tree::Array(items) => {
                out.push(b'[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Tree::Object(members) => {
                out.push(b'{');
                for (place, (key, value)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    write_text(out, key);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

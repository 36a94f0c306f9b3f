//! The fast reader: one pass that checks everything, makes the digest, and builds only the values that are wanted.
//!
//! It knows whether a text is right, not what is wrong with it: on anything that it does not like it gives up, and the reader
//! that explains ([`parse`](super::parse())) has the last word.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::digest;
use super::extract::Node;
use super::{number, text};
use crate::value::{Number, Object, Value};

/// The powers of ten that are exact in `f64`.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// What a pass makes of the values that it reads: [`Value`]s, or nothing.
pub(super) trait Build: Sized {
    type Member;

    fn scalar(value: Value) -> Self;
    fn text(text: Cow<'_, str>) -> Self;
    fn list(items: Vec<Self>) -> Self;
    fn member(key: Cow<'_, str>, value: Self) -> Self::Member;
    /// Nothing where a key occurs twice.
    fn object(members: Vec<Self::Member>) -> Option<Self>;
}

impl Build for Value {
    type Member = (Box<str>, Value);

    fn scalar(value: Value) -> Value {
        value
    }

    fn text(text: Cow<'_, str>) -> Value {
        Value::Text(text.into())
    }

    fn list(items: Vec<Value>) -> Value {
        Value::List(items)
    }

    fn member(key: Cow<'_, str>, value: Value) -> (Box<str>, Value) {
        (key.into(), value)
    }

    fn object(members: Vec<(Box<str>, Value)>) -> Option<Value> {
        Object::from_entries(members).ok().map(Value::Object)
    }
}

impl Build for () {
    type Member = ();

    fn scalar(_: Value) {}
    fn text(_: Cow<'_, str>) {}
    fn list(_: Vec<()>) {}
    fn member(_: Cow<'_, str>, (): ()) {}
    fn object(_: Vec<()>) -> Option<()> {
        Some(())
    }
}

/// A pass over a text.
pub(super) struct Scan<'a> {
    text: &'a str,
    place: usize,
    /// How many lists and objects may still open.
    nesting: usize,
    /// Whether there was white space.
    spaced: bool,
    /// The hashes of the keys of the open objects.
    keys: SmallVec<[u64; 32]>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str, nesting: usize) -> Scan<'a> {
        Scan { text, place: 0, nesting, spaced: false, keys: SmallVec::new() }
    }

    /// Whether there was white space on the way.
    pub(super) fn is_spaced(&self) -> bool {
        self.spaced
    }

    /// Whether nothing is left but white space.
    pub(super) fn is_done(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Takes a value with its digest, or `None` where something is wrong. What `wanted` asks for goes to `keep`.
    pub(super) fn select<'w>(
        &mut self,
        wanted: &'w Node,
        keep: &mut impl FnMut(&'w Node, Value),
    ) -> Option<u64> {
        if wanted.is_whole() {
            let (value, digest) = self.value()?;
            keep(wanted, value);
            return Some(digest);
        }
        if wanted.is_leaf() || self.peek()? != b'{' {
            return self.value::<()>().map(|((), digest)| digest);
        }
        self.object(|scan, key, hash| match wanted.child(&key, hash) {
            Some(wanted) => scan.select(wanted, &mut *keep),
            None => scan.value::<()>().map(|((), digest)| digest),
        })
    }

    /// Takes a value as far as its member of this name, whose value comes next; `None` where there is none.
    pub(super) fn enter_member(&mut self, name: &str) -> Option<()> {
        if self.peek()? != b'{' {
            return None;
        }
        self.enter()?;
        while self.peek()? == b'"' {
            let is_it = self.quoted()? == name;
            if self.peek()? != b':' {
                return None;
            }
            self.place += 1;
            if is_it {
                return Some(());
            }
            self.value::<()>()?;
            if self.ends(b'}')? {
                return None;
            }
        }
        None
    }

    /// Takes a value with its digest, or `None` where something is wrong.
    pub(super) fn value<B: Build>(&mut self) -> Option<(B, u64)> {
        match self.peek()? {
            b'"' => {
                let text = self.quoted()?;
                let digest = digest::of_text(digest::hash(&text));
                Some((B::text(text), digest))
            }
            b'{' => {
                let mut members = Vec::new();
                let digest = self.object(|scan, key, _| {
                    let (value, digest) = scan.value()?;
                    members.push(B::member(key, value));
                    Some(digest)
                })?;
                Some((B::object(members)?, digest))
            }
            b'[' => self.list(),
            b'-' | b'0'..=b'9' => {
                let number = self.number()?;
                Some((B::scalar(Value::Number(number)), digest::of_number(number)))
            }
            b't' => self.word("true", Value::Bool(true), digest::TRUE),
            b'f' => self.word("false", Value::Bool(false), digest::FALSE),
            b'n' => self.word("null", Value::Nothing, digest::NOTHING),
            _ => None,
        }
    }

    fn list<B: Build>(&mut self) -> Option<(B, u64)> {
        self.enter()?;
        let mut items = Vec::new();
        let mut digest = digest::List::default();
        if self.peek()? == b']' {
            self.place += 1;
        } else {
            loop {
                let (item, of_item) = self.value()?;
                items.push(item);
                digest.push(of_item);
                if self.ends(b']')? {
                    break;
                }
            }
        }
        self.nesting += 1;
        Some((B::list(items), digest.finish()))
    }

    /// Takes an object, of whose members `member` takes the values and gives their digests.
    fn object(&mut self, mut member: impl FnMut(&mut Self, Cow<'a, str>, u64) -> Option<u64>) -> Option<u64> {
        self.enter()?;
        let outside = self.keys.len();
        let mut digest = digest::Object::default();
        let mut seen = Seen::default();
        if self.peek()? == b'}' {
            self.place += 1;
        } else {
            loop {
                if self.peek()? != b'"' {
                    return None;
                }
                let key = self.quoted()?;
                let hash = digest::hash(&key);
                self.keys.push(hash);
                seen.insert(hash);
                if self.peek()? != b':' {
                    return None;
                }
                self.place += 1;
                digest.insert(hash, member(self, key, hash)?);
                if self.ends(b'}')? {
                    break;
                }
            }
        }
        if seen.perhaps_twice && repeats(&mut self.keys[outside..]) {
            return None;
        }
        self.keys.truncate(outside);
        self.nesting += 1;
        Some(digest.finish())
    }

    /// Takes an opening bracket.
    fn enter(&mut self) -> Option<()> {
        self.nesting = self.nesting.checked_sub(1)?;
        self.place += 1;
        Some(())
    }

    /// Takes the closing bracket, or the comma in its place.
    fn ends(&mut self, bracket: u8) -> Option<bool> {
        let next = self.peek()?;
        self.place += 1;
        match next {
            b',' => Some(false),
            next => (next == bracket).then_some(true),
        }
    }

    /// Takes a text in quotes, which come next.
    #[inline]
    fn quoted(&mut self) -> Option<Cow<'a, str>> {
        let start = self.place + 1;
        let end = start + text::plain_length(self.text.as_bytes().get(start..)?);
        match self.text.as_bytes().get(end)? {
            b'"' => {
                self.place = end + 1;
                Some(Cow::Borrowed(self.text.get(start..end)?))
            }
            b'\\' => self.escaped().map(Cow::Owned),
            _ => None,
        }
    }

    /// Takes a text in quotes that has escapes.
    #[cold]
    fn escaped(&mut self) -> Option<String> {
        let start = self.place;
        self.place += text::token_length(self.text.as_bytes().get(start..)?)?;
        let text = text::unescape(self.text.get(start + 1..self.place - 1)?).ok()?;
        Some(text.into_owned())
    }

    fn number(&mut self) -> Option<Number> {
        let rest = &self.text.as_bytes()[self.place..];
        let (number, length) = plain_number(rest).or_else(|| {
            let (length, integer) = number::scan(rest)?;
            let digits = self.text.get(self.place..self.place + length)?;
            Some((number::value(digits, integer).ok()?, length))
        })?;
        self.place += length;
        Some(number)
    }

    fn word<B: Build>(&mut self, word: &str, value: Value, digest: u64) -> Option<(B, u64)> {
        let is = self.text.as_bytes()[self.place..].starts_with(word.as_bytes());
        self.place += word.len();
        is.then(|| (B::scalar(value), digest))
    }

    /// The next byte that is not white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        let byte = *self.text.as_bytes().get(self.place)?;
        if byte > b' ' { Some(byte) } else { self.behind_space() }
    }

    #[cold]
    fn behind_space(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.as_bytes().get(self.place) {
            self.place += 1;
            self.spaced = true;
        }
        self.text.as_bytes().get(self.place).copied()
    }
}

/// Hashes as two bits each: what has one of its own was not there before.
#[derive(Default)]
struct Seen {
    low: u64,
    high: u64,
    perhaps_twice: bool,
}

impl Seen {
    #[inline]
    fn insert(&mut self, hash: u64) {
        let (low, high) = (1 << (hash & 63), 1 << (hash >> 58));
        self.perhaps_twice |= self.low & low != 0 && self.high & high != 0;
        self.low |= low;
        self.high |= high;
    }
}

/// Whether two of the hashes are equal. Reorders them.
fn repeats(hashes: &mut [u64]) -> bool {
    if hashes.len() > 24 {
        hashes.sort_unstable();
        return hashes.windows(2).any(|pair| pair[0] == pair[1]);
    }
    hashes
        .iter()
        .enumerate()
        .any(|(place, hash)| hashes[..place].iter().fold(false, |any, a| any | (a == hash)))
}

/// The number at the beginning and its length, where it has few digits and no exponent; `None` for all others, and where there
/// is no number.
fn plain_number(text: &[u8]) -> Option<(Number, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let (whole, point) = digits(text, start, 0);
    let count = point - start;
    if count == 0 || count > 18 || (count > 1 && text[start] == b'0') {
        return None;
    }
    match text.get(point) {
        Some(b'.') => {}
        Some(b'e' | b'E') => return None,
        _ => return Some((Number::Int(if negative { -(whole as i64) } else { whole as i64 }), point)),
    }
    let (all, end) = digits(text, point + 1, whole);
    let fraction = end - point - 1;
    if fraction == 0 || count + fraction > 15 || matches!(text.get(end), Some(b'e' | b'E')) {
        return None;
    }
    // Both are exact in f64, so that the quotient is rounded once, and rightly.
    let value = all as f64 / POWERS[fraction];
    Some((Number::Float(if negative { -value } else { value }), end))
}

/// Appends digits to a value that has at most 18, and finds their end. The value means nothing where there are too many.
fn digits(text: &[u8], from: usize, mut value: u64) -> (u64, usize) {
    let mut place = from;
    while let Some(digit) = text.get(place).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        place += 1;
    }
    (value, place)
}

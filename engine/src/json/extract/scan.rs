//! The reader: one pass that checks everything, makes the digest, and builds only the values that are wanted.

use std::borrow::Cow;

use liveset_core::json::{Lexed, Lexer};
use smallvec::SmallVec;

use super::Node;
use super::digest;
use crate::value::{Object, Value};

/// The output of a pass over a text: [`Value`]s, or nothing.
pub(in crate::json) trait Build: Sized {
    type Member;

    fn scalar(value: Value) -> Self;
    fn text(text: Cow<'_, str>) -> Self;
    fn list(items: Vec<Self>) -> Self;
    fn member(key: Cow<'_, str>, value: Self) -> Self::Member;
    /// The keys are all different.
    fn object(members: Vec<Self::Member>) -> Self;
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

    fn object(members: Vec<(Box<str>, Value)>) -> Value {
        Object::from_entries(members).map_or(Value::Nothing, Value::Object)
    }
}

impl Build for () {
    type Member = ();

    fn scalar(_: Value) {}
    fn text(_: Cow<'_, str>) {}
    fn list(_: Vec<()>) {}
    fn member(_: Cow<'_, str>, (): ()) {}
    fn object(_: Vec<()>) {}
}

/// A pass over a text.
pub(in crate::json) struct Scan<'a> {
    lexer: Lexer<'a>,
    /// The hashes of the keys of the open objects.
    keys: SmallVec<[u64; 32]>,
}

impl<'a> Scan<'a> {
    pub(in crate::json) fn new(text: &'a str, nesting: usize) -> Scan<'a> {
        Scan { lexer: Lexer::new(text, nesting), keys: SmallVec::new() }
    }

    /// Whether there was white space on the way.
    pub(in crate::json) fn is_spaced(&self) -> bool {
        self.lexer.is_spaced()
    }

    /// Nothing is left but white space.
    pub(in crate::json) fn end(&mut self) -> Lexed<()> {
        self.lexer.end()
    }

    /// Takes a value with its digest. What `wanted` asks for goes to `keep`, with the place where it begins.
    pub(in crate::json) fn select<'w>(
        &mut self,
        wanted: &'w Node,
        keep: &mut impl FnMut(&'w Node, Value, usize),
    ) -> Lexed<u64> {
        if wanted.is_whole() {
            self.lexer.peek();
            let start = self.lexer.place();
            let (value, digest) = self.value()?;
            keep(wanted, value, start);
            return Ok(digest);
        }
        if wanted.is_leaf() || self.lexer.peek() != Some(b'{') {
            return self.value::<()>().map(|((), digest)| digest);
        }
        self.object(|scan, key, hash| match wanted.child(&key, hash) {
            Some(wanted) => scan.select(wanted, &mut *keep),
            None => scan.value::<()>().map(|((), digest)| digest),
        })
    }

    /// Takes a value as far as its member of this name, whose value comes next; `None` where there is none.
    pub(in crate::json) fn enter_member(&mut self, name: &str) -> Option<()> {
        if self.lexer.peek()? != b'{' {
            return None;
        }
        self.lexer.open().ok()?;
        if self.lexer.is_empty(b'}') {
            return None;
        }
        while self.lexer.key().ok()? != name {
            self.value::<()>().ok()?;
            if self.lexer.ends(b'}').ok()? {
                return None;
            }
        }
        Some(())
    }

    /// Takes a value with its digest.
    pub(in crate::json) fn value<B: Build>(&mut self) -> Lexed<(B, u64)> {
        match self.lexer.peek() {
            Some(b'"') => {
                let text = self.lexer.string()?;
                let digest = digest::of_text(digest::hash(&text));
                Ok((B::text(text), digest))
            }
            Some(b'{') => {
                let mut members = Vec::new();
                let digest = self.object(|scan, key, _| {
                    let (value, digest) = scan.value()?;
                    members.push(B::member(key, value));
                    Ok(digest)
                })?;
                Ok((B::object(members), digest))
            }
            Some(b'[') => self.list(),
            Some(b'-' | b'0'..=b'9') => {
                let number = self.lexer.number()?;
                Ok((B::scalar(Value::Number(number)), digest::of_number(number)))
            }
            Some(b't') => self.word("true", Value::Bool(true), digest::TRUE),
            Some(b'f') => self.word("false", Value::Bool(false), digest::FALSE),
            _ => self.word("null", Value::Nothing, digest::NOTHING),
        }
    }

    fn list<B: Build>(&mut self) -> Lexed<(B, u64)> {
        self.lexer.open()?;
        let mut items = Vec::new();
        let mut digest = digest::List::default();
        let mut is_over = self.lexer.is_empty(b']');
        while !is_over {
            let (item, of_item) = self.value()?;
            items.push(item);
            digest.push(of_item);
            is_over = self.lexer.ends(b']')?;
        }
        Ok((B::list(items), digest.finish()))
    }

    /// Takes an object, of whose members `member` takes the values and gives their digests.
    fn object(&mut self, mut member: impl FnMut(&mut Self, Cow<'a, str>, u64) -> Lexed<u64>) -> Lexed<u64> {
        let start = self.lexer.place();
        self.lexer.open()?;
        let outside = self.keys.len();
        let mut digest = digest::Object::default();
        let mut seen = Seen::default();
        let mut is_over = self.lexer.is_empty(b'}');
        while !is_over {
            let key = self.lexer.key()?;
            let hash = digest::hash(&key);
            self.keys.push(hash);
            seen.insert(hash);
            digest.insert(hash, member(self, key, hash)?);
            is_over = self.lexer.ends(b'}')?;
        }
        if seen.perhaps_twice && repeats(&mut self.keys[outside..]) {
            self.lexer.check_keys(start)?;
        }
        self.keys.truncate(outside);
        Ok(digest.finish())
    }

    fn word<B: Build>(&mut self, word: &str, value: Value, digest: u64) -> Lexed<(B, u64)> {
        self.lexer.word(word)?;
        Ok((B::scalar(value), digest))
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

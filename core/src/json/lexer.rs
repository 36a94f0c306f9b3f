//! Tokens of a JSON text, one at a time.

use std::borrow::Cow;

use super::string::{plain_length, token_length, unescape};
use super::{JsonError, Number, Numeral, Problem, read};

/// The result of a [`Lexer`]. Errors are rare, and small to pass on.
pub type Lexed<T> = Result<T, Box<JsonError>>;

/// Reads the tokens of a JSON text by the policy of this [module](super). It keeps the place, and how many arrays and objects may
/// still open; in which of them it is, its owner knows.
#[derive(Debug)]
pub struct Lexer<'a> {
    text: &'a str,
    place: usize,
    /// The depth to which arrays and objects may nest.
    limit: usize,
    /// The depth that is left.
    free: usize,
    is_spaced: bool,
    is_strict: bool,
}

impl<'a> Lexer<'a> {
    /// At the beginning of a text, in which arrays and objects may nest so deep.
    pub fn new(text: &'a str, nesting: usize) -> Lexer<'a> {
        Lexer { text, place: 0, limit: nesting, free: nesting, is_spaced: false, is_strict: true }
    }

    /// Like [`new`](Lexer::new), but takes all that RFC 8259 allows, at any depth: numbers of any size, which read as 0 where they
    /// are too large, and half a surrogate pair, which reads as U+FFFD.
    pub fn lenient(text: &'a str) -> Lexer<'a> {
        Lexer { is_strict: false, ..Lexer::new(text, usize::MAX) }
    }

    /// The text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The number of bytes that were taken.
    #[inline]
    pub fn place(&self) -> usize {
        self.place
    }

    /// Whether there was white space on the way.
    pub fn is_spaced(&self) -> bool {
        self.is_spaced
    }

    /// Whether more than the grammar counts.
    pub fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// The next byte that is not white space.
    #[inline(always)]
    pub fn peek(&mut self) -> Option<u8> {
        let byte = *self.text.as_bytes().get(self.place)?;
        if byte > b' ' { Some(byte) } else { self.behind_space() }
    }

    #[cold]
    fn behind_space(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.as_bytes().get(self.place) {
            self.place += 1;
            self.is_spaced = true;
        }
        self.text.as_bytes().get(self.place).copied()
    }

    /// Takes the opening bracket that comes next.
    #[inline]
    pub fn open(&mut self) -> Lexed<()> {
        match self.free.checked_sub(1) {
            Some(free) => {
                self.free = free;
                self.place += 1;
                Ok(())
            }
            None => Err(self.error(self.place, Problem::TooDeep(self.limit))),
        }
    }

    /// Takes the closing bracket of an empty array or object, if it comes next.
    #[inline]
    pub fn is_empty(&mut self, bracket: u8) -> bool {
        let is_closed = self.peek() == Some(bracket);
        if is_closed {
            self.close();
        }
        is_closed
    }

    /// Behind a value: takes the closing bracket, or the comma in its place. True for the bracket.
    #[inline]
    pub fn ends(&mut self, bracket: u8) -> Lexed<bool> {
        match self.peek() {
            Some(b',') => {
                self.place += 1;
                Ok(false)
            }
            Some(next) if next == bracket => {
                self.close();
                Ok(true)
            }
            _ => Err(self.unexpected(if bracket == b']' { "',' or ']'" } else { "',' or '}'" })),
        }
    }

    #[inline]
    fn close(&mut self) {
        self.place += 1;
        self.free += 1;
    }

    /// Takes a key and its colon.
    #[inline(always)]
    pub fn key(&mut self) -> Lexed<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key in quotes"));
        }
        let key = self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.unexpected("':'"));
        }
        self.place += 1;
        Ok(key)
    }

    /// Takes the string that comes next.
    #[inline(always)]
    pub fn string(&mut self) -> Lexed<Cow<'a, str>> {
        if let Some(plain) = self.plain_string() {
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = String::new();
        self.escaped_string(|piece| text.push_str(piece))?;
        Ok(Cow::Owned(text))
    }

    /// Takes the string that comes next, and does not keep it.
    #[inline]
    pub fn pass_string(&mut self) -> Lexed<()> {
        match self.plain_string() {
            Some(_) => Ok(()),
            None => self.escaped_string(|_| {}),
        }
    }

    /// Takes the string that comes next if nothing in it is escaped.
    #[inline(always)]
    fn plain_string(&mut self) -> Option<&'a str> {
        let start = self.place + 1;
        let end = start + plain_length(self.text.as_bytes().get(start..)?);
        if self.text.as_bytes().get(end) != Some(&b'"') {
            return None;
        }
        self.place = end + 1;
        self.text.get(start..end)
    }

    #[cold]
    fn escaped_string(&mut self, push: impl FnMut(&str)) -> Lexed<()> {
        let token = &self.text[self.place..];
        let Some(length) = token_length(token.as_bytes()) else {
            let found = String::from("text that is not closed");
            return Err(self.error(self.place, Problem::Syntax { found, expected: "a closing quote" }));
        };
        unescape(&token[1..length - 1], self.is_strict, push)
            .map_err(|(place, problem)| self.error(self.place + 1 + place, problem))?;
        self.place += length;
        Ok(())
    }

    /// Takes the number that comes next: its first byte is a minus or a digit.
    #[inline]
    pub fn number(&mut self) -> Lexed<Number> {
        let rest = &self.text[self.place..];
        // A point or an exponent without digits makes it none.
        let goes_on = |length| matches!(rest.as_bytes().get(length), Some(b'.' | b'e' | b'E'));
        let numeral = Numeral::read(rest.as_bytes());
        let Some(numeral) = numeral.filter(|it| !it.has_leading_zeros && !goes_on(it.length)) else {
            return Err(self.unexpected("a number"));
        };
        let value = match numeral.value(rest) {
            Some(value) => value,
            None => self.too_large(&rest[..numeral.length], numeral.is_integer)?,
        };
        self.place += numeral.length;
        Ok(value)
    }

    #[cold]
    fn too_large(&self, digits: &str, is_integer: bool) -> Lexed<Number> {
        if !self.is_strict {
            return Ok(Number::Int(0));
        }
        let cut = if digits.len() > 40 { "…" } else { "" };
        let shown = format!("{}{cut}", &digits[..digits.len().min(40)]);
        let problem =
            if is_integer { Problem::IntegerTooLarge(shown) } else { Problem::NumberTooLarge(shown) };
        Err(self.error(self.place, problem))
    }

    /// Takes a word that comes next: `null`, `true` or `false`.
    #[inline]
    pub fn word(&mut self, word: &str) -> Lexed<()> {
        if !self.text.as_bytes()[self.place..].starts_with(word.as_bytes()) {
            return Err(self.unexpected("a value"));
        }
        self.place += word.len();
        Ok(())
    }

    /// Takes a value that is neither an array nor an object, and does not keep it.
    #[inline]
    pub fn pass_scalar(&mut self) -> Lexed<()> {
        match self.peek() {
            Some(b'"') => self.pass_string(),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            _ => self.word("null"),
        }
    }

    /// Takes the bracket, comma or colon that comes next, wherever it stands.
    pub(super) fn pass_sign(&mut self) -> Lexed<()> {
        self.place += 1;
        Ok(())
    }

    /// Compares the keys of the object that began at a byte and has just ended, for those who know them by their hashes only.
    #[cold]
    pub fn check_keys(&self, start: usize) -> Lexed<()> {
        read(&self.text[start..self.place], usize::MAX, |_, _| {})
            .map_err(|error| self.error(start + error.offset, error.problem))
    }

    /// Whether nothing is left but white space; an error where something is.
    pub fn end(&mut self) -> Lexed<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end")),
        }
    }

    /// The error that something else was expected here.
    #[cold]
    pub fn unexpected(&self, expected: &'static str) -> Box<JsonError> {
        let found = match self.text[self.place..].chars().next() {
            None => String::from("the end"),
            Some(character) => format!("{character:?}"),
        };
        self.error(self.place, Problem::Syntax { found, expected })
    }

    #[cold]
    fn error(&self, offset: usize, problem: Problem) -> Box<JsonError> {
        Box::new(JsonError { problem, path: String::new(), offset })
    }
}

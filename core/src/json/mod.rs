//! Reads JSON in place. One policy holds for messages, queries, rows, the data of events, and tokens.
//!
//! | | taken | refused |
//! | --- | --- | --- |
//! | syntax | RFC 8259, UTF-8, white space around one value | all else: a byte order mark, comments, `01`, `NaN`, anything behind |
//! | keys | any string, once in an object | one that occurs twice, however it is escaped |
//! | numbers | integers of `i64` and `u64`, others that `f64` can hold; `-0` is 0, `1e-400` too | 2^64 and more, `1e400` |
//! | strings | any characters, `\u0000` too | half of a surrogate pair, a control character that is not escaped |
//! | nesting | to a limit | deeper |
//!
//! [`Lexer`] is what reads, for all: this module cuts a message into its members with it, the engine makes values and digests.
//! General readers take their answers to the questions above from features that any other package of the same program may switch
//! on, round integers, let the last of two keys win, or do not say where the trouble is.
//!
//! [`Skim`] finds where values end in text that was read before, and believes what it sees.

mod lexer;
mod number;
mod numeral;
mod skim;
mod string;

use std::borrow::Cow;
use std::fmt;

use smallvec::SmallVec;

pub use lexer::{Lexed, Lexer};
pub use number::Number;
pub use numeral::Numeral;
pub use skim::Skim;
pub use string::token_length;

/// Why a JSON text was refused.
///
/// Displays as one line with the place: as a byte, and as a path where that was [asked for](JsonError::located). It quotes no more of
/// the text than a key, a number or a character: `the integer 18446744073709551616 at items[3].count (byte 57) is beyond 64 bits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    problem: Problem,
    path: String,
    offset: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    Syntax { found: String, expected: &'static str },
    NotUtf8,
    DuplicateKey(String),
    IntegerTooLarge(String),
    NumberTooLarge(String),
    TooDeep(usize),
    ControlCharacter(u8),
    LoneSurrogate,
}

impl JsonError {
    /// The byte at which the trouble begins.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The way to the value in question, such as `items[3].count`; empty at the top, and where nobody looked for it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Adds the path of the error in the text, by one more pass over the text in front of it.
    #[must_use]
    pub fn located(mut self, text: &str) -> JsonError {
        self.path = path_to(text, self.offset);
        self
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset;
        let place = match self.path.as_str() {
            "" => format!("at byte {offset}"),
            path => format!("at {path} (byte {offset})"),
        };
        match &self.problem {
            Problem::Syntax { found, expected } => write!(f, "found {found} {place}, expected {expected}"),
            Problem::NotUtf8 => write!(f, "the text is not UTF-8 {place}"),
            Problem::DuplicateKey(key) => write!(f, "duplicate key {key:?} in the object {place}"),
            Problem::IntegerTooLarge(digits) => write!(f, "the integer {digits} {place} is beyond 64 bits"),
            Problem::NumberTooLarge(digits) => {
                write!(f, "the number {digits} {place} is beyond what f64 can hold")
            }
            Problem::TooDeep(limit) => write!(f, "arrays and objects nested deeper than {limit} {place}"),
            Problem::ControlCharacter(byte) => {
                write!(f, "the control character \\u{byte:04x} {place} is not escaped")
            }
            Problem::LoneSurrogate => write!(f, "half a surrogate pair {place}"),
        }
    }
}

impl std::error::Error for JsonError {}

/// The bytes as text.
///
/// # Errors
///
/// They are not UTF-8, from this byte on.
pub fn utf8(bytes: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(bytes).map_err(|error| JsonError {
        problem: Problem::NotUtf8,
        path: String::new(),
        offset: error.valid_up_to(),
    })
}

/// The way to what stands at a byte of a text that is right up to there.
fn path_to(text: &str, offset: usize) -> String {
    enum Open<'a> {
        /// The number of items that are complete.
        Array(usize),
        /// The key whose value is not.
        Object(Option<Cow<'a, str>>),
    }
    fn end_value(open: Option<&mut Open<'_>>) {
        match open {
            Some(Open::Array(whole)) => *whole += 1,
            Some(Open::Object(key)) => *key = None,
            None => {}
        }
    }
    let mut lexer = Lexer::lenient(text);
    let mut open = Vec::new();
    while let Some(next) = lexer.peek()
        && lexer.place() < offset
    {
        let is_value = match (next, open.last_mut()) {
            (b'"', Some(Open::Object(key @ None))) => {
                let Ok(text) = lexer.string() else { break };
                *key = Some(text);
                continue;
            }
            (b'{' | b'[', _) => {
                open.push(if next == b'{' { Open::Object(None) } else { Open::Array(0) });
                false
            }
            (b'}' | b']', _) => {
                open.pop();
                true
            }
            (b',' | b':', _) => false,
            _ => {
                if lexer.pass_scalar().is_err() || lexer.place() > offset {
                    break;
                }
                end_value(open.last_mut());
                continue;
            }
        };
        if lexer.pass_sign().is_err() {
            break;
        }
        if is_value {
            end_value(open.last_mut());
        }
    }
    let mut path = String::new();
    for open in open {
        match open {
            Open::Array(index) => path.push_str(&format!("[{index}]")),
            Open::Object(None) => {}
            Open::Object(Some(key)) => {
                if !path.is_empty() {
                    path.push('.');
                }
                // Keys are data: shortened and escaped, they leave the message one line.
                path.extend(key.chars().take(40).flat_map(char::escape_debug));
            }
        }
    }
    path
}

/// Checks one value. Where it is an object, its members go to `member`: the key, and the value as it is written. One pass over the
/// text, and keys of an object are sorted where there are many; no stack.
///
/// # Errors
///
/// A syntax error and its place.
pub fn read<'a>(text: &'a str, nesting: usize, member: impl FnMut(&str, &'a str)) -> Result<(), JsonError> {
    Reader::new(Lexer::new(text, nesting)).read(member).map_err(|error| *error)
}

/// Reads a text that [`read`] has refused, as far as the grammar of RFC 8259 lets it be read.
pub(crate) fn read_leniently<'a>(text: &'a str, member: impl FnMut(&str, &'a str)) -> Result<(), JsonError> {
    Reader::new(Lexer::lenient(text)).read(member).map_err(|error| *error)
}

/// The items of an array that was read before, as they are written; `None` where it is no array.
pub(crate) fn items(piece: &str) -> Option<Vec<&str>> {
    let mut skim = Skim::new(piece.as_bytes());
    if !skim.skip(b'[') {
        return None;
    }
    let mut items = Vec::new();
    while !matches!(skim.peek(), None | Some(b']')) {
        items.push(std::str::from_utf8(skim.value()).ok()?);
        skim.skip(b',');
    }
    Some(items)
}

/// The string that a piece of text is, or `None` where it is none. Borrows where nothing is escaped.
pub fn text(piece: &str) -> Option<Cow<'_, str>> {
    let mut lexer = Lexer::new(piece, 0);
    let text = if lexer.peek() == Some(b'"') { lexer.string().ok() } else { None };
    text.filter(|_| lexer.end().is_ok())
}

/// An array or an object that is not closed yet.
#[derive(Clone, Copy)]
enum Open {
    Array,
    /// Where it began, and how many keys the objects around it have had.
    Object {
        start: usize,
        keys: usize,
    },
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    open: SmallVec<[Open; 16]>,
    /// The keys of the open objects.
    keys: SmallVec<[Cow<'a, str>; 32]>,
}

impl<'a> Reader<'a> {
    fn new(lexer: Lexer<'a>) -> Reader<'a> {
        Reader { lexer, open: SmallVec::new(), keys: SmallVec::new() }
    }

    fn read(mut self, mut member: impl FnMut(&str, &'a str)) -> Lexed<()> {
        let mut start = 0;
        loop {
            // Here a value begins. An opened array or object goes on with its first value, if it has one.
            let next = self.lexer.peek();
            if self.open.len() == 1 {
                start = self.lexer.place();
            }
            match next {
                Some(b'{') => {
                    let object = Open::Object { start: self.lexer.place(), keys: self.keys.len() };
                    self.lexer.open()?;
                    if !self.lexer.is_empty(b'}') {
                        self.open.push(object);
                        self.keys.push(self.lexer.key()?);
                        continue;
                    }
                }
                Some(b'[') => {
                    self.lexer.open()?;
                    if !self.lexer.is_empty(b']') {
                        self.open.push(Open::Array);
                        continue;
                    }
                }
                _ => self.lexer.pass_scalar()?,
            }

            // Here a value has ended: what is open goes on, or ends as well.
            loop {
                if let ([Open::Object { .. }], Some(key)) = (self.open.as_slice(), self.keys.last()) {
                    member(key, &self.lexer.text()[start..self.lexer.place()]);
                }
                match self.open.last().copied() {
                    None => return self.lexer.end(),
                    Some(Open::Array) if !self.lexer.ends(b']')? => break,
                    Some(Open::Array) => {}
                    Some(Open::Object { .. }) if !self.lexer.ends(b'}')? => {
                        self.keys.push(self.lexer.key()?);
                        break;
                    }
                    Some(Open::Object { start, keys }) => self.close(start, keys)?,
                }
                self.open.pop();
            }
        }
    }

    /// Compares the keys of an object that has ended.
    fn close(&mut self, offset: usize, keys: usize) -> Lexed<()> {
        if let Some(key) = repeated(&mut self.keys[keys..])
            && self.lexer.is_strict()
        {
            let problem = Problem::DuplicateKey(key.chars().take(40).collect());
            return Err(Box::new(JsonError { problem, path: String::new(), offset }));
        }
        self.keys.truncate(keys);
        Ok(())
    }
}

/// A key that occurs twice. Sorts the keys where there are many.
fn repeated<'k, 'a>(keys: &'k mut [Cow<'a, str>]) -> Option<&'k Cow<'a, str>> {
    if keys.len() > 16 {
        keys.sort_unstable();
        return keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| &pair[0]);
    }
    keys.iter().enumerate().find(|(place, key)| keys[..*place].contains(key)).map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        read(text, 64, |_, _| {}).expect_err(text).to_string()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, message) in [
            ("", "found the end at byte 0, expected a value"),
            ("\u{feff}{}", "found '\\u{feff}' at byte 0, expected a value"),
            ("{\"a\":1,}", "found '}' at byte 7, expected a key in quotes"),
            ("[1,]", "found ']' at byte 3, expected a value"),
            ("{\"a\" 1}", "found '1' at byte 5, expected ':'"),
            ("{} \0", "found '\\0' at byte 3, expected the end"),
            ("[\"a", "found text that is not closed at byte 1, expected a closing quote"),
            ("[01]", "found '0' at byte 1, expected a number"),
            (r#"{"x":{"a":1,"\u0061":2}}"#, "duplicate key \"a\" in the object at byte 5"),
            ("[1,18446744073709551616]", "the integer 18446744073709551616 at byte 3 is beyond 64 bits"),
            ("-9223372036854775809", "the integer -9223372036854775809 at byte 0 is beyond 64 bits"),
            ("1e400", "the number 1e400 at byte 0 is beyond what f64 can hold"),
            (r#"["\ud83d\u0041"]"#, "half a surrogate pair at byte 2"),
            (r#""\u00g0""#, "found a broken \\u escape at byte 1, expected four hexadecimal digits"),
            ("\"a\nb\"", "the control character \\u000a at byte 2 is not escaped"),
        ] {
            assert_eq!(refused(text), message, "{text}");
        }
        let long = refused(&"1".repeat(400));
        assert!(long.contains("1… at byte 0") && long.len() < 100, "{long}");
        let long = "k".repeat(10_000);
        assert!(refused(&format!("{{\"{long}\":1,\"{long}\":1}}")).len() < 100);
    }

    #[test]
    fn what_is_right_is_cut_into_members() {
        let text = r#" {"a" : [ 1 , "]\"" ] ,"\u0062":{"a":{},"b":-0.5e-3}, "":null}"#;
        let mut members = Vec::new();
        read(text, 3, |key, value| members.push((key.to_owned(), value))).unwrap();
        let expected = [("a", r#"[ 1 , "]\"" ]"#), ("b", r#"{"a":{},"b":-0.5e-3}"#), ("", "null")];
        assert_eq!(members, expected.map(|(key, value)| (key.to_owned(), value)));
        assert_eq!(items(expected[0].1), Some(vec!["1", r#""]\"""#]));
        assert_eq!(items("[ ]"), Some(vec![]));
        assert_eq!(items("[[1,2],{\"a\":[3,4]}]"), Some(vec!["[1,2]", "{\"a\":[3,4]}"]));
        assert_eq!(items("\"[]\""), None);
    }

    #[test]
    fn many_keys_are_told_apart() {
        let object = |last: &str| {
            let keys: Vec<String> = (0..50_000).map(|key| format!("\"{key}\":[]")).collect();
            format!("{{{},\"{last}\":0}}", keys.join(","))
        };
        assert_eq!(read(&object("x"), 2, |_, _| {}), Ok(()));
        assert!(refused(&object("77")).contains("duplicate key \"77\""));
    }

    #[test]
    fn nesting_is_bounded_and_costs_no_stack() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(read(&nested(64), 64, |_, _| {}), Ok(()));
        assert_eq!(refused(&nested(65)), "arrays and objects nested deeper than 64 at byte 64");
        assert!(refused(&"{\"a\":".repeat(1_000_000)).contains("deeper than 64"));
        assert_eq!(read_leniently(&nested(1_000_000), |_, _| {}), Ok(()));
        assert_eq!(read("1", 0, |_, _| {}), Ok(()));
    }

    #[test]
    fn what_only_the_policy_forbids_can_still_be_looked_into() {
        let text = r#"{"a":1e400,"b":{"c":1,"c":"\ud800"},"d":"x"}"#;
        assert!(read(text, 64, |_, _| {}).is_err());
        let mut keys = String::new();
        read_leniently(text, |key, _| keys.push_str(key)).unwrap();
        assert_eq!(keys, "abd");
        assert!(read_leniently("{\"a\":1", |_, _| {}).is_err());
    }
}

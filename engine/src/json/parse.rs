//! The reader: one pass over the bytes, the open lists and objects on a stack of its own.

use super::{JsonError, Problem, number, text};
use crate::value::{DuplicateKey, Object, Value};

/// A list or an object that is not closed yet.
enum Open {
    List(Vec<Value>),
    Object { start: usize, members: Vec<(Box<str>, Value)>, key: Option<Box<str>> },
}

struct Reader<'a> {
    text: &'a str,
    place: usize,
    open: Vec<Open>,
}

pub(super) fn parse(bytes: &[u8], nesting: usize) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| JsonError {
        problem: Problem::NotUtf8,
        path: String::new(),
        offset: error.valid_up_to(),
    })?;
    let mut reader = Reader { text, place: 0, open: Vec::new() };
    let value = reader.value(nesting)?;
    reader.white_space();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.unexpected("the end")),
    }
}

impl Reader<'_> {
    fn value(&mut self, nesting: usize) -> Result<Value, JsonError> {
        loop {
            // Here a value begins. An opened list or object goes on with its first value, if it has one.
            self.white_space();
            let mut value = match self.peek() {
                Some(b'{') => {
                    self.enter(nesting)?;
                    let start = self.place - 1;
                    self.open.push(Open::Object { start, members: Vec::new(), key: None });
                    self.white_space();
                    if self.peek() != Some(b'}') {
                        self.key()?;
                        continue;
                    }
                    self.close()?
                }
                Some(b'[') => {
                    self.enter(nesting)?;
                    self.open.push(Open::List(Vec::new()));
                    self.white_space();
                    if self.peek() != Some(b']') {
                        continue;
                    }
                    self.close()?
                }
                _ => self.scalar()?,
            };

            // Here a value has ended: it goes into what is open, which goes on or ends as well.
            loop {
                self.white_space();
                let comma = self.peek() == Some(b',');
                match self.open.last_mut() {
                    None => return Ok(value),
                    Some(Open::List(items)) => {
                        items.push(value);
                        if comma {
                            self.place += 1;
                            break;
                        }
                        if self.peek() != Some(b']') {
                            return Err(self.unexpected("',' or ']'"));
                        }
                    }
                    Some(Open::Object { members, key, .. }) => {
                        members.push((key.take().unwrap_or_default(), value));
                        if comma {
                            self.place += 1;
                            self.white_space();
                            self.key()?;
                            break;
                        }
                        if self.peek() != Some(b'}') {
                            return Err(self.unexpected("',' or '}'"));
                        }
                    }
                }
                value = self.close()?;
            }
        }
    }

    fn enter(&mut self, nesting: usize) -> Result<(), JsonError> {
        if self.open.len() >= nesting {
            return Err(self.error(self.place, Problem::TooDeep(nesting)));
        }
        self.place += 1;
        Ok(())
    }

    /// Takes the closing bracket of the innermost list or object, which becomes a value.
    fn close(&mut self) -> Result<Value, JsonError> {
        self.place += 1;
        match self.open.pop() {
            None => Ok(Value::Nothing),
            Some(Open::List(items)) => Ok(Value::List(items)),
            Some(Open::Object { start, members, .. }) => match Object::from_entries(members) {
                Ok(object) => Ok(Value::Object(object)),
                Err(DuplicateKey(key)) => Err(self.error(start, Problem::DuplicateKey(key))),
            },
        }
    }

    /// Takes a key and its colon.
    fn key(&mut self) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key in quotes"));
        }
        let name = self.quoted()?;
        if let Some(Open::Object { key, .. }) = self.open.last_mut() {
            *key = Some(name);
        }
        self.white_space();
        if self.peek() != Some(b':') {
            return Err(self.unexpected("':'"));
        }
        self.place += 1;
        Ok(())
    }

    fn quoted(&mut self) -> Result<Box<str>, JsonError> {
        let token = &self.text[self.place..];
        let Some(length) = text::token_length(token.as_bytes()) else {
            let found = String::from("text that is not closed");
            return Err(self.error(self.place, Problem::Syntax { found, expected: "a closing quote" }));
        };
        let inside = &token[1..length - 1];
        let text =
            text::unescape(inside).map_err(|(place, problem)| self.error(self.place + 1 + place, problem))?;
        self.place += length;
        Ok(text.into())
    }

    fn scalar(&mut self) -> Result<Value, JsonError> {
        const WORDS: [(&str, Value); 3] =
            [("null", Value::Nothing), ("true", Value::Bool(true)), ("false", Value::Bool(false))];
        let rest = &self.text[self.place..];
        match rest.as_bytes().first() {
            Some(b'"') => Ok(Value::Text(self.quoted()?.into())),
            Some(b'-' | b'0'..=b'9') => {
                let (length, integer) =
                    number::scan(rest.as_bytes()).ok_or_else(|| self.unexpected("a number"))?;
                let number = number::value(&rest[..length], integer)
                    .map_err(|problem| self.error(self.place, problem))?;
                self.place += length;
                Ok(Value::Number(number))
            }
            _ => match WORDS.into_iter().find(|(word, _)| rest.starts_with(word)) {
                Some((word, value)) => {
                    self.place += word.len();
                    Ok(value)
                }
                None => Err(self.unexpected("a value")),
            },
        }
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.place += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.place).copied()
    }

    fn unexpected(&self, expected: &'static str) -> JsonError {
        let found = match self.text[self.place..].chars().next() {
            None => String::from("the end"),
            Some(character) => format!("{character:?}"),
        };
        self.error(self.place, Problem::Syntax { found, expected })
    }

    fn error(&self, offset: usize, problem: Problem) -> JsonError {
        JsonError { problem, path: self.path(), offset }
    }

    /// The way to the value that is being read: `items[3].count`.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match open {
                Open::List(items) => path.push_str(&format!("[{}]", items.len())),
                Open::Object { key: None, .. } => {}
                Open::Object { key: Some(key), .. } => {
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
}

#[cfg(test)]
mod tests {
    use super::super::parse as parse_with_limits;
    use super::*;
    use crate::limits::JsonLimits;
    use crate::value::Number;

    fn parse(text: &str) -> Result<Value, JsonError> {
        // What reads less must say the same.
        crate::fuzzing::json(text.as_bytes());
        parse_with_limits(text.as_bytes(), &JsonLimits::default())
    }

    fn refused(text: &str) -> String {
        match parse(text) {
            Ok(value) => panic!("{text} is read as {value:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn numbers_are_exact() {
        let cases = [
            ("0", Number::Int(0)),
            ("-0", Number::Int(0)),
            ("-0.0", Number::Int(0)),
            ("9007199254740993", Number::Int(9_007_199_254_740_993)),
            ("-9223372036854775808", Number::Int(i64::MIN)),
            ("9223372036854775808", Number::UInt(1 << 63)),
            ("18446744073709551615", Number::UInt(u64::MAX)),
            ("1e2", Number::Int(100)),
            ("0.1", Number::Float(0.1)),
            ("1.7976931348623157E308", Number::Float(f64::MAX)),
            ("5e-324", Number::Float(5e-324)),
            ("1e-400", Number::Int(0)),
        ];
        for (text, number) in cases {
            assert_eq!(parse(text), Ok(Value::Number(number)), "{text}");
        }
        let digits = format!("0.{}", "1".repeat(400));
        assert_eq!(parse(&digits), Ok(Value::Number(Number::Float(1.0 / 9.0))));
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        assert_eq!(
            refused(r#"{"a":[1,{"b":18446744073709551616}]}"#),
            "the integer 18446744073709551616 at a[1].b (byte 13) is beyond 64 bits"
        );
        assert_eq!(
            refused("-9223372036854775809"),
            "the integer -9223372036854775809 at byte 0 is beyond 64 bits"
        );
        assert_eq!(refused("[1e400]"), "the number 1e400 at [0] (byte 1) is beyond what f64 can hold");
        assert!(refused(&"1".repeat(400)).contains("beyond 64 bits"));
    }

    #[test]
    fn broken_syntax_is_refused_at_its_place() {
        let cases = [
            ("", "found the end at byte 0, expected a value"),
            ("{\"a\":1,}", "found '}' at byte 7, expected a key in quotes"),
            ("[1,]", "found ']' at [1] (byte 3), expected a value"),
            ("[1 2]", "found '2' at [1] (byte 3), expected ',' or ']'"),
            ("{\"a\" 1}", "found '1' at a (byte 5), expected ':'"),
            ("{a:1}", "found 'a' at byte 1, expected a key in quotes"),
            ("[", "found the end at [0] (byte 1), expected a value"),
            ("{\"a\":1", "found the end at byte 6, expected ',' or '}'"),
            ("1 1", "found '1' at byte 2, expected the end"),
            ("nul", "found 'n' at byte 0, expected a value"),
            ("\u{feff}1", "found '\\u{feff}' at byte 0, expected a value"),
            ("01", "found '0' at byte 0, expected a number"),
            ("1.", "found '1' at byte 0, expected a number"),
            ("-", "found '-' at byte 0, expected a number"),
            ("1e", "found '1' at byte 0, expected a number"),
            (".5", "found '.' at byte 0, expected a value"),
            ("+1", "found '+' at byte 0, expected a value"),
            ("NaN", "found 'N' at byte 0, expected a value"),
            ("\"a", "found text that is not closed at byte 0, expected a closing quote"),
            ("\"", "found text that is not closed at byte 0, expected a closing quote"),
            ("\"\\\"", "found text that is not closed at byte 0, expected a closing quote"),
            ("]", "found ']' at byte 0, expected a value"),
            ("[}", "found '}' at [0] (byte 1), expected a value"),
        ];
        for (text, message) in cases {
            assert_eq!(refused(text), message, "{text}");
        }
    }

    #[test]
    fn a_key_that_occurs_twice_is_refused() {
        assert_eq!(refused(r#"{"x":{"a":1,"\u0061":2}}"#), "duplicate key \"a\" in the object at x (byte 5)");
    }

    #[test]
    fn escapes_are_read() {
        assert_eq!(
            parse(r#""\"\\\/\b\f\n\r\t\u00e5\ud83d\ude00\u0000ü""#),
            Ok(Value::Text("\"\\/\u{8}\u{c}\n\r\tå😀\0ü".into()))
        );
        for text in
            [r#""\ud83d""#, r#""\ude00\ud83d""#, r#""\ud83d\u0041""#, r#""\ud83dx""#, r#""\ud83d\ud83d""#]
        {
            assert!(refused(text).starts_with("half a surrogate pair"), "{text}");
        }
        assert!(refused(r#""\x""#).contains("unknown escape"));
        assert!(refused(r#""\u00g0""#).contains("\\u escape"));
        assert!(refused(r#""\u+123""#).contains("\\u escape"));
        assert!(refused("\"a\nb\"").contains("control character \\u000a at byte 2"));
        assert!(refused("\"\0\"").contains("control character"));
    }

    #[test]
    fn what_is_not_utf_8_is_refused() {
        let error = parse_with_limits(b"\"ab\xff\"", &JsonLimits::default()).unwrap_err();
        assert_eq!(error.to_string(), "the text is not UTF-8 at byte 3");
        assert!(parse_with_limits(b"\"\xed\xa0\x80\"", &JsonLimits::default()).is_err());
    }

    #[test]
    fn nesting_is_bounded_and_costs_no_stack() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(64)).is_ok());
        assert!(refused(&nested(65)).contains("nested deeper than 64"));
        assert!(refused(&"{\"a\":".repeat(100_000)).contains("nested deeper than 64"));
        let none = JsonLimits { nesting: 0 };
        assert!(parse_with_limits(b"1", &none).is_ok());
        assert!(parse_with_limits(b"[]", &none).is_err());
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut state = 1u64;
        let alphabet = br#"{}[]:,"\u0123d8e+-. ntrueflas"#;
        for _ in 0..50_000 {
            let mut text = Vec::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push(alphabet[(state >> 33) as usize % alphabet.len()]);
            }
            crate::fuzzing::json(&text);
        }
    }
}

//! JSON read in place, by one policy for every message and query of either side:
//!
//! - RFC 8259 to the letter, in UTF-8, without a byte order mark; one value, and nothing but white space around it;
//! - lists and objects nest as deep as is asked for, and no deeper;
//! - an object has each key once, escaped or not, also where the object is in a field that nobody reads;
//! - an integer has at most 64 bits, and every other number is one that `f64` can hold: nobody has to round;
//! - text is text: no control character that is not escaped, no half of a surrogate pair. `\u0000` is a character.
//!
//! It is the policy of `liveset_engine::json`, which reads values where this only checks and cuts. The packages do not know each
//! other; that they refuse the same at the same place is tested where both are known.

use std::borrow::Cow;
use std::fmt;

use smallvec::SmallVec;

/// Why a text was refused; `Display` says what and where, and quotes no more of the text than a key or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    what: String,
    /// The byte at which the trouble begins.
    pub(crate) offset: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Reads one value, which must be nothing but right. Where it is an object, its members go to `member`: the key, and the value as it
/// is written. One pass over the text, and keys of an object are sorted where there are many; no stack.
pub(crate) fn read<'a>(
    text: &'a str,
    nesting: usize,
    member: impl FnMut(&str, &'a str),
) -> Result<(), Malformed> {
    Reader::new(text, nesting).read(member)
}

/// The same of a text that [`read`] refused, as far as it can be: the grammar of RFC 8259 is all that counts. Whoever is refused is
/// told which of their requests it was.
pub(crate) fn read_leniently<'a>(text: &'a str, member: impl FnMut(&str, &'a str)) -> Result<(), Malformed> {
    Reader { is_strict: false, ..Reader::new(text, usize::MAX) }.read(member)
}

/// The items of a list that was read before, as they are written; `None` where it is no list.
pub(crate) fn items(piece: &str) -> Option<Vec<&str>> {
    let inside = piece.strip_prefix('[')?.strip_suffix(']')?;
    let mut items = Vec::new();
    let (mut start, mut depth, mut place) = (0, 0_usize, 0);
    let bytes = inside.as_bytes();
    while let Some(byte) = bytes.get(place) {
        match byte {
            b'"' => {
                place = text_end(bytes, place).end;
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                items.push(trimmed(&inside[start..place]));
                start = place + 1;
            }
            _ => {}
        }
        place += 1;
    }
    let last = trimmed(&inside[start..]);
    if !(items.is_empty() && last.is_empty()) {
        items.push(last);
    }
    Some(items)
}

/// The text that a value which was read before is, or `None` where it is no text. Borrows where nothing is escaped.
pub(crate) fn text(piece: &str) -> Option<Cow<'_, str>> {
    let inside = piece.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        serde_json::from_str::<String>(piece).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inside))
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

/// A list or an object that is not closed yet.
#[derive(Clone, Copy)]
enum Open {
    List,
    /// Where it began, and how many keys the objects around it have had.
    Object {
        start: usize,
        keys: usize,
    },
}

struct Reader<'a> {
    text: &'a str,
    place: usize,
    nesting: usize,
    is_strict: bool,
    open: SmallVec<[Open; 16]>,
    /// The keys of the open objects.
    keys: SmallVec<[Cow<'a, str>; 32]>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, nesting: usize) -> Reader<'a> {
        Reader { text, place: 0, nesting, is_strict: true, open: SmallVec::new(), keys: SmallVec::new() }
    }

    fn read(mut self, mut member: impl FnMut(&str, &'a str)) -> Result<(), Malformed> {
        let mut start = 0;
        loop {
            // Here a value begins. An opened list or object goes on with its first value, if it has one.
            let next = self.next();
            if self.open.len() == 1 {
                start = self.place;
            }
            match next {
                Some(b'{') => {
                    self.enter(Open::Object { start: self.place, keys: self.keys.len() })?;
                    if self.next() != Some(b'}') {
                        self.key()?;
                        continue;
                    }
                    self.close()?;
                }
                Some(b'[') => {
                    self.enter(Open::List)?;
                    if self.next() != Some(b']') {
                        continue;
                    }
                    self.close()?;
                }
                _ => self.scalar()?,
            }

            // Here a value has ended: what is open goes on, or ends as well.
            loop {
                if let ([Open::Object { .. }], Some(key)) = (self.open.as_slice(), self.keys.last()) {
                    member(key, &self.text[start..self.place]);
                }
                let next = self.next();
                match self.open.last() {
                    None if next.is_none() => return Ok(()),
                    None => return Err(self.unexpected("the end")),
                    Some(Open::List) if next == Some(b',') => {
                        self.place += 1;
                        break;
                    }
                    Some(Open::List) if next == Some(b']') => self.close()?,
                    Some(Open::List) => return Err(self.unexpected("',' or ']'")),
                    Some(Open::Object { .. }) if next == Some(b',') => {
                        self.place += 1;
                        self.key()?;
                        break;
                    }
                    Some(Open::Object { .. }) if next == Some(b'}') => self.close()?,
                    Some(Open::Object { .. }) => return Err(self.unexpected("',' or '}'")),
                }
            }
        }
    }

    /// Takes an opening bracket.
    fn enter(&mut self, open: Open) -> Result<(), Malformed> {
        if self.open.len() >= self.nesting {
            let what = format!("lists and objects nested deeper than {}", self.nesting);
            self.refuse(self.place, |place| format!("{what} {place}"))?;
        }
        self.open.push(open);
        self.place += 1;
        Ok(())
    }

    /// Takes a closing bracket.
    fn close(&mut self) -> Result<(), Malformed> {
        self.place += 1;
        if let Some(Open::Object { start, keys }) = self.open.pop() {
            if let Some(key) = repeated(&mut self.keys[keys..]) {
                let shown: String = key.chars().take(40).collect();
                self.refuse(start, |place| format!("duplicate key {shown:?} in the object {place}"))?;
            }
            self.keys.truncate(keys);
        }
        Ok(())
    }

    /// Takes a key and its colon.
    fn key(&mut self) -> Result<(), Malformed> {
        if self.next() != Some(b'"') {
            return Err(self.unexpected("a key in quotes"));
        }
        let start = self.place;
        let is_escaped = self.quoted()?;
        let key = &self.text[start..self.place];
        let plain = Cow::Borrowed(&key[1..key.len() - 1]);
        // Half of a surrogate pair, where that is let through, stays what it is.
        self.keys.push(if is_escaped { text(key).unwrap_or(plain) } else { plain });
        if self.next() != Some(b':') {
            return Err(self.unexpected("':'"));
        }
        self.place += 1;
        Ok(())
    }

    fn scalar(&mut self) -> Result<(), Malformed> {
        let rest = &self.text.as_bytes()[self.place..];
        match rest.first() {
            Some(b'"') => self.quoted().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => match [&b"null"[..], b"true", b"false"].into_iter().find(|word| rest.starts_with(word)) {
                Some(word) => {
                    self.place += word.len();
                    Ok(())
                }
                None => Err(self.unexpected("a value")),
            },
        }
    }

    /// Takes a text in quotes, and tells whether it has escapes.
    fn quoted(&mut self) -> Result<bool, Malformed> {
        let start = self.place;
        let TextEnd { end, is_closed, is_plain } = text_end(self.text.as_bytes(), start);
        if !is_closed {
            return Err(self.malformed(start, |place| {
                format!("found text that is not closed {place}, expected a closing quote")
            }));
        }
        if !is_plain {
            self.check_escapes(start + 1, end - 1)?;
        }
        self.place = end;
        Ok(!is_plain)
    }

    /// Checks what stands between two quotes.
    fn check_escapes(&self, start: usize, end: usize) -> Result<(), Malformed> {
        let bytes = &self.text.as_bytes()[..end];
        let mut place = start;
        while let Some(byte) = bytes.get(place) {
            place += match byte {
                b'\\' => match (bytes.get(place + 1), code_unit(&bytes[place..])) {
                    (Some(b'u'), Some(0xd800..0xe000)) if is_pair(&bytes[place..]) => 12,
                    (Some(b'u'), Some(0xd800..0xe000)) => {
                        self.refuse(place, |place| format!("half a surrogate pair {place}"))?;
                        6
                    }
                    (Some(b'u'), Some(_)) => 6,
                    (Some(b'u'), None) => {
                        return Err(self.malformed(place, |place| {
                            format!("found a broken \\u escape {place}, expected four hexadecimal digits")
                        }));
                    }
                    (Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'), _) => 2,
                    _ => {
                        return Err(self.malformed(place, |place| {
                            format!(
                                "found an unknown escape {place}, expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u"
                            )
                        }));
                    }
                },
                0..b' ' => {
                    return Err(self.malformed(place, |place| {
                        format!("the control character \\u{byte:04x} {place} is not escaped")
                    }));
                }
                _ => 1,
            };
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Malformed> {
        let rest = &self.text[self.place..];
        let Some((length, kind)) = number(rest.as_bytes()) else { return Err(self.unexpected("a number")) };
        let digits = &rest[..length];
        let problem = match kind {
            // So many digits fit, whatever they are.
            Kind::Integer if length <= 18 => None,
            Kind::Integer if digits.parse::<i64>().is_ok() || digits.parse::<u64>().is_ok() => None,
            Kind::Integer => Some(("integer", "beyond 64 bits")),
            Kind::Fraction if length <= 300 => None,
            Kind::Fraction | Kind::Power if digits.parse().is_ok_and(f64::is_finite) => None,
            Kind::Fraction | Kind::Power => Some(("number", "beyond what f64 can hold")),
        };
        if let Some((what, why)) = problem {
            let cut = if length > 40 { "…" } else { "" };
            let shown = &digits[..length.min(40)];
            self.refuse(self.place, |place| format!("the {what} {shown}{cut} {place} is {why}"))?;
        }
        self.place += length;
        Ok(())
    }

    /// The next byte that is not white space.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.place) {
            self.place += 1;
        }
        bytes.get(self.place).copied()
    }

    #[cold]
    fn unexpected(&self, expected: &'static str) -> Malformed {
        let found = match self.text[self.place..].chars().next() {
            None => String::from("the end"),
            Some(character) => format!("{character:?}"),
        };
        self.malformed(self.place, |place| format!("found {found} {place}, expected {expected}"))
    }

    /// Refuses what the grammar allows, if only right texts are wanted.
    #[cold]
    fn refuse(
        &self,
        offset: usize,
        what: impl FnOnce(fmt::Arguments<'_>) -> String,
    ) -> Result<(), Malformed> {
        if self.is_strict { Err(self.malformed(offset, what)) } else { Ok(()) }
    }

    #[cold]
    fn malformed(&self, offset: usize, what: impl FnOnce(fmt::Arguments<'_>) -> String) -> Malformed {
        Malformed { what: what(format_args!("at byte {offset}")), offset }
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

/// Where a text in quotes ends.
struct TextEnd {
    /// Behind the closing quote.
    end: usize,
    is_closed: bool,
    /// Whether there is neither an escape nor a control character.
    is_plain: bool,
}

/// The quote, the backslash and the control characters.
static ENDS_PLAIN: [bool; 256] = {
    let mut ends = [false; 256];
    let mut control = 0;
    while control < b' ' as usize {
        ends[control] = true;
        control += 1;
    }
    ends[b'"' as usize] = true;
    ends[b'\\' as usize] = true;
    ends
};

/// Finds the end of the text whose opening quote stands at `start`.
fn text_end(bytes: &[u8], start: usize) -> TextEnd {
    let (mut place, mut is_plain) = (start + 1, true);
    loop {
        let rest = bytes.get(place..).unwrap_or_default();
        match rest.iter().position(|byte| ENDS_PLAIN[usize::from(*byte)]) {
            None => return TextEnd { end: bytes.len(), is_closed: false, is_plain },
            Some(plain) if rest[plain] == b'"' => {
                return TextEnd { end: place + plain + 1, is_closed: true, is_plain };
            }
            Some(plain) => {
                is_plain = false;
                place += plain + if rest[plain] == b'\\' { 2 } else { 1 };
            }
        }
    }
}

/// The number of the `\uXXXX` at the beginning.
fn code_unit(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |code, byte| Some(code * 16 + char::from(*byte).to_digit(16)?))
}

/// Whether two `\uXXXX` that make one character stand at the beginning.
fn is_pair(bytes: &[u8]) -> bool {
    let second = bytes.get(6..).and_then(code_unit);
    matches!((code_unit(bytes), second), (Some(0xd800..0xdc00), Some(0xdc00..0xe000)))
}

/// How a number is written.
#[derive(Clone, Copy)]
enum Kind {
    Integer,
    /// With a point and without an exponent.
    Fraction,
    /// With an exponent.
    Power,
}

/// The length and the kind of the number at the beginning; `None` where RFC 8259 sees none.
fn number(text: &[u8]) -> Option<(usize, Kind)> {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        Some(rest.iter().take_while(|byte| byte.is_ascii_digit()).count()).filter(|count| *count > 0)
    };
    let start = usize::from(text.first() == Some(&b'-'));
    let whole = digits(start)?;
    if whole > 1 && text[start] == b'0' {
        return None;
    }
    let (mut length, mut kind) = (start + whole, Kind::Integer);
    if text.get(length) == Some(&b'.') {
        length += 1 + digits(length + 1)?;
        kind = Kind::Fraction;
    }
    if matches!(text.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(length + 1), Some(b'+' | b'-')));
        length += 1 + sign + digits(length + 1 + sign)?;
        kind = Kind::Power;
    }
    Some((length, kind))
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
        assert_eq!(refused(&nested(65)), "lists and objects nested deeper than 64 at byte 64");
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

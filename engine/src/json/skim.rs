//! JSON passed over without reading it: finds where values end, and believes what it sees.
//!
//! For text that was read before, or that is looked into only to name it in an error. On anything else the answers are wrong but
//! harmless: nothing panics, and every step goes forward.

use std::borrow::Cow;

use super::text::{token_length, unescape};

/// A place in a JSON text.
#[derive(Debug)]
pub(crate) struct Skim<'a> {
    raw: &'a [u8],
    place: usize,
}

impl<'a> Skim<'a> {
    /// At the beginning.
    pub(crate) fn new(raw: &'a [u8]) -> Skim<'a> {
        Skim { raw, place: 0 }
    }

    /// The next byte that is not white space.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.raw.get(self.place) {
            self.place += 1;
        }
        self.raw.get(self.place).copied()
    }

    /// Takes the next byte that is not white space if it is this one.
    pub(crate) fn skip(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.place += usize::from(is);
        is
    }

    /// Takes a key and its colon: the token with its quotes. `None` where no key comes next.
    pub(crate) fn key(&mut self) -> Option<&'a [u8]> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let key = self.value();
        self.skip(b':');
        Some(key)
    }

    /// Takes one value, whatever it is, without the white space around it.
    pub(crate) fn value(&mut self) -> &'a [u8] {
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
                }
                b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => break,
                // Numbers and words at the top go on to the sign behind them.
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

/// The text that a quoted token means.
pub(crate) fn text_of(token: &[u8]) -> Option<Cow<'_, str>> {
    let inside = token.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    unescape(std::str::from_utf8(inside).ok()?).ok()
}

/// What a node that was refused probably has in its key field, to name it in the error: the text in single quotes, or the number;
/// `?` where there is none. Shortened, on one line.
pub(crate) fn guess_text_field(node: &[u8], key: &str) -> String {
    let mut skim = Skim::new(node);
    skim.skip(b'{');
    while let Some(name) = skim.key() {
        let value = skim.value();
        if text_of(name).is_some_and(|name| name == key) {
            let shown = match text_of(value) {
                Some(text) => text.into_owned(),
                None if value.first().is_some_and(|byte| b"-0123456789".contains(byte)) => {
                    String::from_utf8_lossy(value).into_owned()
                }
                None => break,
            };
            let shown: String = shown.chars().take(128).flat_map(char::escape_debug).collect();
            return format!("'{shown}'");
        }
        if !skim.skip(b',') {
            break;
        }
    }
    String::from("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_nodes_are_named_where_they_can_be() {
        let cases = [
            (r#"{"a":1e400,"id":"x"}"#, "'x'"),
            (r#"{ "a" : [ "}" , {"id":2} ] , "id" : -5 }"#, "'-5'"),
            (r#"{"id":"x","id":"y"}"#, "'x'"),
            (r#"{"id":null}"#, "?"),
            (r#"{"id":{"id":1}}"#, "?"),
            (r#"{"a":1}"#, "?"),
            (r#"["id"]"#, "?"),
            (r#"{"\u0069d":"a\nb"}"#, "'a\\nb'"),
            (r#"{"id":"x"#, "?"),
            ("", "?"),
        ];
        for (node, shown) in cases {
            assert_eq!(guess_text_field(node.as_bytes(), "id"), shown, "{node}");
        }
    }
}

//! Writing JSON: one object, field by field, into the caller's buffer.

use super::Field;

/// Writes the fields of one object. Close it with [`ObjectWriter::end`].
pub(crate) struct ObjectWriter<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> ObjectWriter<'o> {
    pub(crate) fn begin(out: &'o mut Vec<u8>) -> ObjectWriter<'o> {
        out.push(b'{');
        ObjectWriter { out, empty: true }
    }

    /// A message: an object whose first field is its type.
    pub(crate) fn message(out: &'o mut Vec<u8>, message_type: &str) -> ObjectWriter<'o> {
        let mut object = ObjectWriter::begin(out);
        object.name("type");
        write_text(object.out, message_type);
        object
    }

    fn name(&mut self, name: &str) {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Appends a field, unless it is left out.
    pub(crate) fn field<'a, T: Field<'a, Kind>, Kind>(&mut self, name: &str, value: &T) {
        if !value.is_absent() {
            self.name(name);
            value.write(self.out);
        }
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

/// Writes a text with its quotes. Beyond what JSON asks for, the line separators that JavaScript once took
/// for line ends are escaped.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    let mut at = 0;
    while at < bytes.len() {
        let (escape, length): (&[u8], usize) = match bytes[at] {
            b'"' => (b"\\\"", 1),
            b'\\' => (b"\\\\", 1),
            b'\n' => (b"\\n", 1),
            b'\r' => (b"\\r", 1),
            b'\t' => (b"\\t", 1),
            0x08 => (b"\\b", 1),
            0x0c => (b"\\f", 1),
            control @ 0..0x20 => {
                out.extend_from_slice(&bytes[plain..at]);
                out.extend_from_slice(b"\\u00");
                out.push(b"0123456789abcdef"[usize::from(control >> 4)]);
                out.push(b"0123456789abcdef"[usize::from(control & 15)]);
                at += 1;
                plain = at;
                continue;
            }
            0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa8") => (b"\\u2028", 3),
            0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa9") => (b"\\u2029", 3),
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[plain..at]);
        out.extend_from_slice(escape);
        at += length;
        plain = at;
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

/// Bytes that [`write_text`] writes for a text, its quotes included. O(bytes).
pub(crate) fn text_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut len = bytes.len() + 2;
    for (at, byte) in bytes.iter().enumerate() {
        len += match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
            0..0x20 => 5,
            // The two line separators: three bytes of UTF-8, six as an escape.
            0xe2 if matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])) => 3,
            _ => 0,
        };
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_reads_back() {
        let mut all: Vec<String> = (0..0x250).filter_map(char::from_u32).map(String::from).collect();
        all.extend(["\u{2027}\u{2028}\u{2029}\u{202a}", "", "a\u{0}b\"\\/\u{7f}é🦀"].map(String::from));
        all.push(all.concat());
        for text in all {
            let mut out = Vec::new();
            write_text(&mut out, &text);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
            assert_eq!(text_len(&text), out.len(), "{text:?}");
        }
    }

    #[test]
    fn controls_and_line_separators_are_escaped() {
        let mut out = Vec::new();
        write_text(&mut out, "\u{1f}\n\u{2028}x\"");
        assert_eq!(out, br#""\u001f\n\u2028x\"""#);
    }
}

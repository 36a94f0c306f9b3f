//! JSON passed over without reading it: finds where values end, and believes what it sees.
//!
//! For text that was read before, or that is looked into only to name it in an error. On anything else the answers are wrong but
//! harmless: nothing panics, and every step goes forward.

use super::string::token_length;

/// A place in a JSON text.
#[derive(Debug)]
pub struct Skim<'a> {
    raw: &'a [u8],
    place: usize,
}

impl<'a> Skim<'a> {
    /// At the beginning.
    pub fn new(raw: &'a [u8]) -> Skim<'a> {
        Skim { raw, place: 0 }
    }

    /// The next byte that is not white space.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.raw.get(self.place) {
            self.place += 1;
        }
        self.raw.get(self.place).copied()
    }

    /// Takes the next byte that is not white space if it is this one.
    pub fn skip(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.place += usize::from(is);
        is
    }

    /// Takes a key and its colon: the token with its quotes. `None` where no key comes next.
    pub fn key(&mut self) -> Option<&'a [u8]> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let key = self.value();
        self.skip(b':');
        Some(key)
    }

    /// Takes one value of any type, without the white space around it.
    pub fn value(&mut self) -> &'a [u8] {
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

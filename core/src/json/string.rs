//! Strings in quotes.

use super::Problem;

/// The length of the quoted token at the beginning of `text`, its quotes included; `None` where it is not closed.
pub fn token_length(text: &[u8]) -> Option<usize> {
    let mut place = 1;
    loop {
        place += plain_length(text.get(place..)?);
        match text.get(place)? {
            b'"' => return Some(place + 1),
            b'\\' => place += 2,
            _ => place += 1,
        }
    }
}

/// How many bytes stand before the first quote, backslash or control character, or before the end.
#[inline]
pub(super) fn plain_length(text: &[u8]) -> usize {
    let ends = |byte: &u8| (*byte < b' ') | (*byte == b'"') | (*byte == b'\\');
    let mut place = 0;
    while let Some(eight) = text.get(place..).and_then(|rest| rest.first_chunk()) {
        if let Some(found) = plain_of_eight(u64::from_le_bytes(*eight)) {
            return place + found;
        }
        place += 8;
        // Most texts end soon. The others are passed over by vectors, as there is no way out of the inner loop.
        while place >= 16
            && let Some(chunk) = text.get(place..).and_then(|rest| rest.first_chunk::<32>())
            && !chunk.iter().fold(false, |any, byte| any | ends(byte))
        {
            place += 32;
        }
    }
    let rest = text.get(place..).unwrap_or_default();
    place + rest.iter().position(ends).unwrap_or(rest.len())
}

/// The same of eight bytes, the first of which is the lowest; `None` where all of them are plain.
#[inline]
fn plain_of_eight(bytes: u64) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // Taking n from every byte borrows from the highest bit where the byte is below n, or above one that is: the lowest bit
    // that is left is right.
    let below = |bytes: u64, n: u64| bytes.wrapping_sub(ONES * n) & !bytes;
    // Changing places with the space, the quote stands right behind the control characters.
    let found = (below(bytes ^ (ONES * 2), 0x21) | below(bytes ^ (ONES * 0x5c), 1)) & (ONES << 7);
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

/// Gives what stands between two quotes to `push`, piece by piece, or the place and kind of the trouble where an escape or a control
/// character is not legal. Half a surrogate pair is
/// passed over unless this is strict.
pub(super) fn unescape(
    inside: &str,
    is_strict: bool,
    mut push: impl FnMut(&str),
) -> Result<(), (usize, Problem)> {
    let mut place = 0;
    while let Some(rest) = inside.get(place..).filter(|rest| !rest.is_empty()) {
        let bytes = rest.as_bytes();
        match bytes[0] {
            b'\\' => {
                let (character, length) = match escape(bytes) {
                    Err(Problem::LoneSurrogate) if !is_strict => (char::REPLACEMENT_CHARACTER, 6),
                    escape => escape.map_err(|problem| (place, problem))?,
                };
                push(character.encode_utf8(&mut [0; 4]));
                place += length;
            }
            byte if byte < b' ' => return Err((place, Problem::ControlCharacter(byte))),
            _ => {
                let plain = plain_length(bytes);
                push(&rest[..plain]);
                place += plain;
            }
        }
    }
    Ok(())
}

/// The character that the escape at the beginning of `bytes` stands for, and the length of the escape.
fn escape(bytes: &[u8]) -> Result<(char, usize), Problem> {
    let character = match bytes.get(1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(bytes),
        _ => {
            return Err(Problem::Syntax {
                found: "an unknown escape".into(),
                expected: "one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u",
            });
        }
    };
    Ok((character, 2))
}

/// `\uXXXX`, or the two of them that make one character.
fn unicode(bytes: &[u8]) -> Result<(char, usize), Problem> {
    let broken =
        || Problem::Syntax { found: "a broken \\u escape".into(), expected: "four hexadecimal digits" };
    let first = code_unit(bytes).ok_or_else(broken)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 6));
    }
    let behind = bytes.get(6..).unwrap_or_default();
    match behind.starts_with(b"\\u").then(|| code_unit(behind)).flatten() {
        Some(second) if first < 0xdc00 && (0xdc00..0xe000).contains(&second) => {
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            char::from_u32(code).map(|character| (character, 12)).ok_or(Problem::LoneSurrogate)
        }
        _ => Err(Problem::LoneSurrogate),
    }
}

/// The number of `\uXXXX`.
fn code_unit(bytes: &[u8]) -> Option<u32> {
    bytes.get(2..6)?.iter().try_fold(0, |code, byte| Some(code * 16 + char::from(*byte).to_digit(16)?))
}

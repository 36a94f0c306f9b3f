//! Ranges of keys as people read them: by the values at their ends.

use std::fmt::Write;

use super::head::{FALSE, Head, INSTANT, NEGATIVE, POSITIVE, TEXT, TRUE, ZERO};
use super::{
    key_of_instant, key_of_number, key_of_text, prefix_range, range_of_booleans, range_of_instants,
    range_of_numbers, range_of_texts,
};
use crate::syntax::{Literal, shortened};
use crate::time::Timestamp;
use crate::value::Number;

/// What the values of a field are whose keys lie between two, as the end of a sentence: `is 5`, `from 10 and below 20`,
/// `begins with 'ab'`.
pub(crate) fn shown(lo: u128, hi: u128) -> String {
    let is_beginning = |text: &String| !text.is_empty() && prefix_range(text) == (lo, hi);
    if let Some(beginning) = text(lo).filter(is_beginning) {
        return format!("begins with {}", literal(&beginning));
    }
    if lo == hi {
        return format!("is {}", value(lo).unwrap_or_else(|| "one of few values".into()));
    }
    let kinds = [
        ("true or false", range_of_booleans()),
        ("a number", range_of_numbers()),
        ("an instant", range_of_instants()),
        ("text", range_of_texts()),
    ];
    if let Some((name, _)) = kinds.iter().find(|(_, range)| *range == (lo, hi)) {
        return format!("is {name}");
    }
    let mut shown = String::new();
    if !kinds.iter().any(|(_, (lowest, _))| *lowest == lo) {
        let below = || lo.checked_sub(1).and_then(value).map(|value| format!("above {value}"));
        shown = value(lo).map(|value| format!("from {value}")).or_else(below).unwrap_or_default();
    }
    if !kinds.iter().any(|(_, (_, highest))| *highest == hi) {
        let above = || hi.checked_add(1).and_then(value).map(|value| format!("below {value}"));
        let end = value(hi).map(|value| format!("up to {value}")).or_else(above);
        let and = if shown.is_empty() { "" } else { " and " };
        // Writing to a `String` cannot fail.
        let _ = write!(shown, "{and}{}", end.unwrap_or_default());
    }
    shown
}

/// The value that has a key, as the language writes it; of a long text, how it begins.
fn value(key: u128) -> Option<String> {
    let kind = (key >> 120) as u8;
    match kind {
        FALSE | TRUE if key << 8 == 0 => Some((kind == TRUE).to_string()),
        ZERO if key << 8 == 0 => Some("0".into()),
        POSITIVE | NEGATIVE => number(key).map(|number| number.to_string()),
        INSTANT => instant(key).map(|at| Literal::Instant(at).to_string()),
        TEXT => match text(key) {
            Some(text) if key_of_text(&text) == key => Some(literal(&text)),
            _ => None,
        },
        _ => None,
    }
}

fn literal(text: &str) -> String {
    // The key holds no more of a text than this.
    let is_cut = !super::text_is_whole(text) && text.len() >= Head::CAPACITY as usize - 1;
    let shown = Literal::Text(shortened(text).into()).to_string();
    if is_cut { format!("{}…'", shown.trim_end_matches('\'')) } else { shown }
}

/// The bytes behind the kind.
fn behind(key: u128) -> [u8; 15] {
    let mut bytes = [0; 15];
    bytes.copy_from_slice(&key.to_be_bytes()[1..]);
    bytes
}

/// What was written as groups of seven bits, the upper first.
fn sevens(bytes: &[u8]) -> u64 {
    let mut bits = 0;
    for (place, byte) in bytes.iter().take(9).enumerate() {
        let group = u64::from(byte >> 1);
        let shift = 57_i32 - 7 * place as i32;
        bits |= if shift >= 0 { group << shift } else { group >> -shift };
        if byte & 1 == 0 {
            break;
        }
    }
    bits
}

fn number(key: u128) -> Option<Number> {
    let negative = (key >> 120) as u8 == NEGATIVE;
    let bytes = behind(key).map(|byte| if negative { !byte } else { byte });
    let power = i32::from(u16::from_be_bytes([bytes[0], bytes[1]])) - 2_000;
    let mantissa = 1 << 63 | sevens(&bytes[2..]) >> 1;
    let sign = if negative { -1 } else { 1 };
    let whole = (0..64).contains(&power) && mantissa.trailing_zeros() as i32 >= 63 - power;
    let number = match whole {
        true => Number::from_i128(sign * i128::from(mantissa >> (63 - power)))?,
        // In two steps, as the first alone may be below the smallest float.
        false => {
            let half = (power - 63) / 2;
            let scaled = mantissa as f64 * 2_f64.powi(half) * 2_f64.powi(power - 63 - half);
            Number::from_f64(sign as f64 * scaled)?
        }
    };
    (key_of_number(number) == key).then_some(number)
}

fn instant(key: u128) -> Option<Timestamp> {
    let bytes = behind(key);
    let seconds = bytes[..5].iter().fold(0_i128, |value, byte| value << 8 | i128::from(*byte));
    let fraction = sevens(&bytes[5..]);
    let nanos = i128::from(fraction >> 54) * 1_000_000 + i128::from(fraction >> 34 & 0xf_ffff);
    let at = Timestamp::from_unix_nanos(Timestamp::MIN.unix_nanos() + seconds * 1_000_000_000 + nanos)?;
    (key_of_instant(at) == key).then_some(at)
}

/// The text that a key begins with, as far as it stands there.
fn text(key: u128) -> Option<String> {
    if (key >> 120) as u8 != TEXT {
        return None;
    }
    let bytes = behind(key);
    let (mut text, mut place) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(place) {
        match (byte, bytes.get(place + 1)) {
            (0, Some(255)) => place += 1,
            (0, _) => break,
            _ => {}
        }
        text.push(*byte);
        place += 1;
    }
    match String::from_utf8(text) {
        Ok(text) => Some(text),
        // Cut within a character.
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = error.into_bytes();
            (valid + 3 >= text.len()).then(|| String::from_utf8_lossy(&text[..valid]).into_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key;
    use super::*;
    use crate::value::Value;

    #[test]
    fn every_number_is_read_back() {
        let floats = [0.1, -0.1, 1.5, 1e300, -1e300, 5e-324, 1e-320, f64::MAX, f64::MIN_POSITIVE, 2e19];
        let integers = [1, -1, 10, 1_000, i64::MAX, i64::MIN, 9_007_199_254_740_993];
        let numbers = floats.map(Number::Float).into_iter().chain(integers.map(Number::Int));
        for number in numbers.chain([Number::UInt(u64::MAX)]) {
            assert_eq!(super::number(key_of_number(number)), Some(number), "{number}");
        }
    }

    #[test]
    fn every_instant_is_read_back() {
        for text in ["0000-01-01", "2023-01-31T15:14:13.123456789Z", "9999-12-31T23:59:59.999999999Z"] {
            let at = Timestamp::parse_rfc3339(text).unwrap();
            assert_eq!(instant(key_of_instant(at)), Some(at));
        }
    }

    #[test]
    fn ranges_are_shown_by_their_ends() {
        let number = |number: i64| key_of_number(Number::Int(number));
        let text = |text: &str| key(&Value::Text(text.into()));
        let at = |text: &str| key_of_instant(Timestamp::parse_rfc3339(text).unwrap());
        let (numbers, texts, instants) = (range_of_numbers(), range_of_texts(), range_of_instants());
        let cases = [
            ((number(5), number(5)), "is 5"),
            ((number(0), number(0)), "is 0"),
            ((number(-10), number(20)), "from -10 and up to 20"),
            ((number(10), number(20) - 1), "from 10 and below 20"),
            ((number(10) + 1, number(20)), "above 10 and up to 20"),
            ((numbers.0, number(-7) - 1), "below -7"),
            ((number(10) + 1, numbers.1), "above 10"),
            (numbers, "is a number"),
            ((at("2024-01-01"), instants.1), "from 2024-01-01"),
            ((instants.0, at("2024-01-01T10:00:00.5Z") - 1), "below 2024-01-01T10:00:00.5Z"),
            ((text("it's"), texts.1), "from 'it''s'"),
            ((texts.0, text("b") - 1), "below 'b'"),
            (prefix_range("ab"), "begins with 'ab'"),
            (prefix_range("a\0b"), "begins with 'a\\u{0}b'"),
            (prefix_range("a beginning that is long"), "begins with 'a beginning tha…'"),
            ((texts.0, text("a text that is long")), "up to 'a text that is …'"),
            (range_of_booleans(), "is true or false"),
            ((key(&Value::Bool(true)), range_of_booleans().1), "is true"),
        ];
        for ((lo, hi), expected) in cases {
            assert_eq!(shown(lo, hi), expected);
        }
    }

    #[test]
    fn whatever_the_keys_nothing_panics() {
        let mut bits = 1_u128;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(1);
            let key = bits >> 8 & (u128::MAX >> 8) | (bits % 12) << 120;
            shown(key, bits);
            shown(key, key);
        }
    }
}

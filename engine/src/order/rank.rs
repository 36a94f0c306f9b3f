//! Values as bytes that compare as the values do.
//!
//! Every encoding begins with the kind of its value and ends where its own bytes say so: none is the beginning of another.
//! That makes keys that follow one another compare key by key, and lets a key be reversed by inverting its bytes.

use crate::value::{Number, Value};

/// Ends a list: less than every kind, so that a list comes before the longer ones that begin with it.
const END_OF_LIST: u8 = 0;
const NOTHING: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const NEGATIVE: u8 = 4;
const ZERO: u8 = 5;
const POSITIVE: u8 = 6;
const INSTANT: u8 = 7;
const TEXT: u8 = 8;
const LIST: u8 = 9;
const OBJECT: u8 = 10;

/// Appends the encoding of a value. Recursion is as deep as the value, which the reader of JSON bounds.
pub(super) fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Nothing => out.push(NOTHING),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Number(number) => encode_number(*number, out),
        Value::Instant(timed) => {
            out.push(INSTANT);
            // Flipping the sign bit makes two's complement sort as unsigned bytes.
            out.extend_from_slice(&(timed.at().unix_nanos() ^ i128::MIN).to_be_bytes());
        }
        Value::Text(text) => {
            out.push(TEXT);
            encode_text(text, out);
        }
        Value::List(items) => {
            out.push(LIST);
            items.iter().for_each(|item| encode(item, out));
            out.push(END_OF_LIST);
        }
        Value::Object(_) => out.push(OBJECT),
    }
}

/// Bytes of UTF-8 sort by code point. A zero byte becomes 0 255 and the end is 0 0, so that the shorter text comes first.
fn encode_text(text: &str, out: &mut Vec<u8>) {
    for (place, piece) in text.split('\0').enumerate() {
        if place > 0 {
            out.extend_from_slice(&[0, 255]);
        }
        out.extend_from_slice(piece.as_bytes());
    }
    out.extend_from_slice(&[0, 0]);
}

/// The sign, the power of two of the leading bit, and 64 bits from the leading bit on: exact for every integer of 64 bits and
/// every float, and the same bytes for the same number. The magnitude of negative numbers is inverted.
fn encode_number(number: Number, out: &mut Vec<u8>) {
    let (negative, power, mantissa) = parts(number);
    if mantissa == 0 {
        out.push(ZERO);
        return;
    }
    // From 2^-1074 to 2^1023.
    let mut magnitude = [0; 10];
    magnitude[..2].copy_from_slice(&((power + 2_000) as u16).to_be_bytes());
    magnitude[2..].copy_from_slice(&mantissa.to_be_bytes());
    if negative {
        magnitude.iter_mut().for_each(|byte| *byte = !*byte);
    }
    out.push(if negative { NEGATIVE } else { POSITIVE });
    out.extend_from_slice(&magnitude);
}

/// Whether the number is negative, the power of two of its leading bit, and its bits from there on; 0 for the bits of zero.
fn parts(number: Number) -> (bool, i32, u64) {
    let (negative, bits, power) = match number {
        Number::Int(value) => (value < 0, value.unsigned_abs(), 0),
        Number::UInt(value) => (false, value, 0),
        Number::Float(value) => {
            let bits = value.to_bits();
            let fraction = bits & ((1 << 52) - 1);
            match (bits >> 52) & 0x7ff {
                // Below the normal floats there is no hidden leading bit.
                0 => (value < 0.0, fraction, -1_074),
                exponent => (value < 0.0, fraction | (1 << 52), exponent as i32 - 1_075),
            }
        }
    };
    let shift = bits.leading_zeros();
    match bits {
        0 => (false, 0, 0),
        _ => (negative, power + 63 - shift as i32, bits << shift),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::limits::JsonLimits;

    fn encoded(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, &mut out);
        out
    }

    #[test]
    fn encodings_sort_as_the_total_order() {
        let json = [
            "null",
            "false",
            "true",
            "-1e308",
            "-9223372036854775808",
            "-1.5",
            "-1",
            "-1e-320",
            "0",
            "5e-324",
            "0.1",
            "1",
            "1.5",
            "9007199254740992",
            "9007199254740993",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616.0",
            "1e308",
            "\"\"",
            "\"\\u0000\"",
            "\"\\u0000a\"",
            "\"\\u0001\"",
            "\"a\"",
            "\"a\\u0000\"",
            "\"aa\"",
            "\"b\"",
            "\"\u{ffff}\"",
            "\"\u{10000}\"",
            "[]",
            "[null]",
            "[null,null]",
            "[0]",
            "[1]",
            "[1,0]",
            "[\"a\"]",
            "[[]]",
            "[{}]",
            "{}",
        ];
        let values: Vec<Value> =
            json.iter().map(|text| json::parse(text.as_bytes(), &JsonLimits::default()).unwrap()).collect();
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                let (a, b) = (encoded(a), encoded(b));
                assert_eq!(a.cmp(&b), i.cmp(&j), "{} against {}", json[i], json[j]);
                assert!(i == j || !b.starts_with(&a), "{} begins {}", json[i], json[j]);
            }
        }
    }

    #[test]
    fn equal_values_have_equal_encodings() {
        for (a, b) in [
            ("1", "1.0"),
            ("-0.0", "0"),
            ("9223372036854775808", "9223372036854775808.0"),
            ("{\"a\":1}", "{}"),
        ] {
            let read = |text: &str| json::parse(text.as_bytes(), &JsonLimits::default()).unwrap();
            assert_eq!(encoded(&read(a)), encoded(&read(b)), "{a} and {b}");
        }
    }

    #[test]
    fn instants_stand_between_numbers_and_text() {
        let read = |text: &str| Value::Text(text.into()).into_instant().unwrap();
        let ascending = [
            Value::Number(Number::Float(f64::MAX)),
            read("0000-01-01"),
            read("1969-12-31"),
            read("2023-01-01T00:00:00Z"),
            read("2023-01-01T00:00:00-01:00"),
            Value::Text("".into()),
        ];
        assert!(ascending.is_sorted_by(|a, b| encoded(a) < encoded(b)));
        assert_eq!(encoded(&read("2023-01-01")), encoded(&read("2023-01-01T01:00:00+01:00")));
    }
}

//! Values as bytes that compare as the values do.
//!
//! Every encoding begins with the kind of its value and ends where its own bytes say so: none is the beginning of another.
//! That makes keys that follow one another compare key by key, and lets a key be reversed by inverting its bytes.
//!
//! Most comparisons are decided by the first 16 bytes. They are computed in a register ([`key`], [`prefix`]), without writing the
//! rest, and the encodings are short so that as much as possible stands in them: a number and an instant always stand there whole.

use crate::time::Timestamp;
use crate::value::{Number, ValueRef};

mod head;
mod shown;

pub(crate) use shown::shown;

use head::{
    END_OF_LIST, END_OF_TEXT, FALSE, Head, INSTANT, LIST, NEGATIVE, POSITIVE, TEXT, TRUE, beginning_of_text,
    head_of, head_of_instant, head_of_number, head_of_text,
};

/// Appends the encodings of an order's keys, a descending one reversed, and behind them the id that breaks ties.
///
/// Costs the size of the values.
pub(crate) fn write<'a>(keys: impl Iterator<Item = (ValueRef<'a>, bool)>, id: &[u8], out: &mut Vec<u8>) {
    for (value, descending) in keys {
        let start = out.len();
        encode(value, out);
        if descending {
            // No encoding is the beginning of another, so inverting the bytes reverses the order.
            out[start..].iter_mut().for_each(|byte| *byte = !*byte);
        }
    }
    out.extend_from_slice(id);
}

/// The first 16 bytes of what [`write`] would write, as a number that compares as they do; zeros where it is shorter.
///
/// Looks at no more than fits, and allocates nothing.
pub(crate) fn prefix<'a>(keys: impl Iterator<Item = (ValueRef<'a>, bool)>, id: &[u8]) -> u128 {
    let mut head = Head::EMPTY;
    for (value, descending) in keys {
        let key = head_of(value);
        head = head.then(if descending { key.inverted() } else { key });
        if head.is_full() {
            return head.bits;
        }
    }
    head.then(Head::of_bytes(id)).bits
}

/// The first 16 bytes of a value's encoding, as a number that compares as they do; zeros where it is shorter.
///
/// Equal values have equal keys. Different values may share one only where they are lists, objects (which all do), or text of
/// which the key is not the whole ([`text_is_whole`]).
pub(crate) fn key<'a>(value: impl Into<ValueRef<'a>>) -> u128 {
    head_of(value.into()).bits
}

/// The [`key`] of a number: all of it.
pub(crate) fn key_of_number(number: Number) -> u128 {
    head_of_number(number).bits
}

/// The [`key`] of an instant: all of it.
pub(crate) fn key_of_instant(at: Timestamp) -> u128 {
    head_of_instant(at).bits
}

/// The [`key`] of a text.
pub(crate) fn key_of_text(text: &str) -> u128 {
    head_of_text(text.as_bytes()).bits
}

/// Whether the [`key`] of a text says all of it, so that no other value has the same one: up to 13 bytes, fewer where some of
/// them are zero.
pub(crate) fn text_is_whole(text: &str) -> bool {
    beginning_of_text(text.as_bytes()).length + END_OF_TEXT.length <= Head::CAPACITY
}

/// The lowest and the highest [`key`] that a boolean can have.
pub(crate) fn range_of_booleans() -> (u128, u128) {
    (Head::of_kind(FALSE).bits, Head::of_kind(TRUE).bits)
}

/// What the [`key`] of every number lies between.
pub(crate) fn range_of_numbers() -> (u128, u128) {
    (Head::of_kind(NEGATIVE).bits, Head::of_kind(POSITIVE).highest())
}

/// What the [`key`] of every instant lies between.
pub(crate) fn range_of_instants() -> (u128, u128) {
    (Head::of_kind(INSTANT).bits, Head::of_kind(INSTANT).highest())
}

/// What the [`key`] of every text lies between.
pub(crate) fn range_of_texts() -> (u128, u128) {
    prefix_range("")
}

/// What the [`key`] of every text that begins with `text` lies between. Others may lie there too, where `text` is long.
pub(crate) fn prefix_range(text: &str) -> (u128, u128) {
    let beginning = beginning_of_text(text.as_bytes());
    (beginning.bits, beginning.highest())
}

/// Appends the encoding of a value. Recursion is as deep as the value, which the reader of JSON bounds.
fn encode(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Text(text) => {
            out.push(TEXT);
            encode_text(text, out);
        }
        ValueRef::List(items) => {
            out.push(LIST);
            items.iter().for_each(|item| encode(item.into(), out));
            out.push(END_OF_LIST);
        }
        // What fits a head is written as one.
        _ => {
            let head = head_of(value);
            out.extend_from_slice(&head.bits.to_be_bytes()[..head.length as usize]);
        }
    }
}

/// Bytes of UTF-8 sort by code point. A zero byte becomes 0 255 and the end is 0 0, so that the shorter text comes first.
fn encode_text(text: &[u8], out: &mut Vec<u8>) {
    for (place, piece) in text.split(|byte| *byte == 0).enumerate() {
        if place > 0 {
            out.extend_from_slice(&[0, 255]);
        }
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::json;
    use crate::limits::JsonLimits;
    use crate::value::Value;

    fn encoded(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value.into(), &mut out);
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

    #[test]
    fn round_values_are_short() {
        let cases = [("null", 1), ("0", 1), ("5", 4), ("-5", 4), ("1e300", 11), ("1000", 4), ("123456", 5)];
        for (text, length) in cases {
            let value = json::parse(text.as_bytes(), &JsonLimits::default()).unwrap();
            assert_eq!(encoded(&value).len(), length, "{text}");
        }
        for (text, length) in [
            ("2023-01-01", 7),
            ("2023-01-01T10:11:12+01:00", 7),
            ("2023-01-01T10:11:12.345Z", 8),
            ("2023-01-01T10:11:12.345678Z", 10),
            ("9999-12-31T23:59:59.999999999Z", 11),
        ] {
            let value = Value::Text(text.into()).into_instant().unwrap();
            assert_eq!(encoded(&value).len(), length, "{text}");
        }
        assert_eq!(encoded(&Value::Number(Number::Int(i64::MAX))).len(), 12);
        assert_eq!(encoded(&Value::Number(Number::Float(-123.45))).len(), 11);
    }

    struct Random(Rng);

    impl Random {
        /// Numbers of every kind and size, many of them neighbours.
        fn number(&mut self) -> Number {
            let bits = self.0.u64(..) >> self.0.u64(..64);
            let step = self.0.u64(..3) as i64 - 1;
            match self.0.u64(..6) {
                0 => Number::Int(self.0.u64(..20) as i64 - 10),
                1 => Number::Int((1_i64 << self.0.u64(..63)).wrapping_add(step)),
                2 => Number::Int(bits as i64),
                3 => Number::UInt(bits),
                4 => Number::Float((1_u64 << self.0.u64(..64)) as f64 / 8.0 * (step as f64)),
                _ => Number::from_f64(f64::from_bits(self.0.u64(..))).unwrap_or(Number::Float(-0.0)),
            }
        }

        fn instant(&mut self) -> Timestamp {
            let seconds = self.0.u64(..315_569_520_000);
            let nanos = match self.0.u64(..4) {
                0 => 0,
                1 => self.0.u64(..1_000) * 1_000_000,
                2 => self.0.u64(..3),
                _ => self.0.u64(..1_000_000_000),
            };
            let seconds = if self.0.u64(..2) == 0 { 200_000_000_000 + seconds % 3 } else { seconds };
            let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
            Timestamp::from_unix_nanos(Timestamp::MIN.unix_nanos() + nanos).unwrap()
        }

        fn text(&mut self) -> String {
            let letters = ['a', 'b', '\0', '\u{1}', 'ÿ', '\u{10ffff}'];
            let common = 3 + self.0.u64(..4);
            (0..self.0.u64(..20)).map(|_| letters[self.0.u64(..common) as usize]).collect()
        }

        fn value(&mut self, depth: u64) -> Value {
            match self.0.u64(..if depth == 0 { 6 } else { 8 }) {
                0 => Value::Nothing,
                1 => Value::Bool(self.0.u64(..2) == 0),
                2 | 3 => Value::Number(self.number()),
                4 => Value::Text(self.text().into()),
                5 => {
                    let at = self.instant();
                    Value::Instant(Box::new(crate::value::Timed { text: "".into(), at }))
                }
                6 => Value::Object(Default::default()),
                _ => Value::List((0..self.0.u64(..4)).map(|_| self.value(depth - 1)).collect()),
            }
        }
    }

    #[test]
    fn random_numbers_sort_as_numbers() {
        let mut random = Random(Rng::with_seed(1));
        for _ in 0..100_000 {
            let (a, b) = (random.number(), random.number());
            assert_eq!(key_of_number(a).cmp(&key_of_number(b)), a.cmp(&b), "{a} against {b}");
            let (x, y) = (encoded(&Value::Number(a)), encoded(&Value::Number(b)));
            assert!(x.len() <= 12);
            assert_eq!(x.cmp(&y), a.cmp(&b), "{a} against {b}");
            assert!(a == b || !y.starts_with(&x), "{a} begins {b}");
            let (low, high) = range_of_numbers();
            assert!((low..=high).contains(&key_of_number(a)));
        }
    }

    #[test]
    fn random_instants_sort_in_time() {
        let mut random = Random(Rng::with_seed(2));
        let ends = [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX];
        let some: Vec<Timestamp> = ends.into_iter().chain((0..800).map(|_| random.instant())).collect();
        for &a in &some {
            for &b in &some {
                assert_eq!(key_of_instant(a).cmp(&key_of_instant(b)), a.cmp(&b), "{a} against {b}");
                let (x, y) = (head_of_instant(a), head_of_instant(b));
                assert!(x.length <= 11);
                assert!(a == b || x.length > y.length || x.bits ^ y.bits >= 1 << (128 - 8 * x.length));
            }
            let (low, high) = range_of_instants();
            assert!((low..=high).contains(&key_of_instant(a)));
        }
    }

    #[test]
    fn keys_of_text_say_what_they_hold() {
        let mut random = Random(Rng::with_seed(3));
        for _ in 0..50_000 {
            let (a, b) = (random.text(), random.text());
            let (x, y) = (key_of_text(&a), key_of_text(&b));
            assert!(x == y || x.cmp(&y) == a.cmp(&b), "{a:?} against {b:?}");
            assert!(x != y || a == b || !text_is_whole(&a), "{a:?} and {b:?}");
            let cut = b.char_indices().nth(random.0.u64(..6) as usize).map_or(b.len(), |(place, _)| place);
            for begin in [&a, &b[..cut]] {
                let (low, high) = prefix_range(begin);
                assert!(!b.starts_with(begin) || (low..=high).contains(&y), "{begin:?} begins {b:?}");
            }
            let short = prefix_range("b");
            assert_eq!((short.0..=short.1).contains(&x), a.starts_with('b'), "{a:?}");
            let (low, high) = range_of_texts();
            assert!((low..=high).contains(&x));
        }
        assert!(text_is_whole("abcdefghijklm") && !text_is_whole("abcdefghijklmn"));
        assert!(text_is_whole("abcdefghijk\0") && !text_is_whole("abcdefghijkl\0"));
    }

    #[test]
    fn a_prefix_is_the_beginning_of_the_rank() {
        let mut random = Random(Rng::with_seed(4));
        let begin = |bytes: &[u8]| {
            let mut padded = [0; 16];
            let length = bytes.len().min(16);
            padded[..length].copy_from_slice(&bytes[..length]);
            u128::from_be_bytes(padded)
        };
        let (low, high) = range_of_booleans();
        for _ in 0..50_000 {
            let values: Vec<Value> = (0..random.0.u64(..4)).map(|_| random.value(2)).collect();
            let descending = random.0.u64(..);
            let keys =
                || values.iter().enumerate().map(|(i, value)| (value.into(), descending >> i & 1 == 1));
            let id = random.text();
            let mut rank = Vec::new();
            write(keys(), id.as_bytes(), &mut rank);
            assert_eq!(prefix(keys(), id.as_bytes()), begin(&rank), "{values:?} {descending:b} {id:?}");
            for value in &values {
                assert_eq!(key(value), begin(&encoded(value)), "{value:?}");
                assert_eq!((low..=high).contains(&key(value)), matches!(value, Value::Bool(_)));
            }
        }
    }
}

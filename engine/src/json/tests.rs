//! Refusals and their places.

use super::parse as parse_with_limits;
use super::*;
use crate::limits::JsonLimits;
use crate::value::{Number, Value};

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
    for text in [r#""\ud83d""#, r#""\ude00\ud83d""#, r#""\ud83d\u0041""#, r#""\ud83dx""#, r#""\ud83d\ud83d""#]
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
    let none = JsonLimits::default().nesting(0);
    assert!(parse_with_limits(b"1", &none).is_ok());
    assert!(parse_with_limits(b"[]", &none).is_err());
}

#[test]
fn random_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(1);
    let alphabet = br#"{}[]:,"\u0123d8e+-. ntrueflas"#;
    for _ in 0..50_000 {
        let mut text = Vec::new();
        for _ in 0..12 {
            text.push(alphabet[random.usize(..alphabet.len())]);
        }
        crate::fuzzing::json(&text);
    }
}

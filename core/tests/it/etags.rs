//! "An **etag** is 22 characters: base64url of the first 128 bits of BLAKE3 over a format number, the id, and the row as projected, in
//! canonical form"

use std::fmt::Write as _;

use liveset_core::Etag;
use serde_json::{Value, json};

/// Examples for clients in other languages: id, row, the text that is hashed, etag.
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/etags.json");

const ROWS: &[(&str, &str)] = &[
    ("", "{}"),
    ("7", r#"{"id":7}"#),
    ("7", r#"{ "id" : 7.0 }"#),
    ("7", r#"{"id":"7"}"#),
    ("a\"\\\n\u{1}", "{\"id\":\"a\\\"\\\\\\n\\u0001\"}"),
    ("keys", r#"{"b":1,"a":{"z":[],"\u0061":{}},"B":2,"é":3,"𝄞":4,"\uffff":5,"":6}"#),
    ("strings", r#"["","\u0061\/\b\f\n\r\t\"\\","\u2028\u2029","\u007f\u0000","𝄞","\ud834\udd1e"]"#),
    ("words", r#"[true,false,null]"#),
    (
        "integers",
        "[0,-0,1,-1,9007199254740993,9223372036854775807,-9223372036854775808,18446744073709551615]",
    ),
    ("whole", "[1.0,1e0,10e-1,-0.0,0e9,1e2,9007199254740992.0,9223372036854775808.0,1e19]"),
    ("fractions", "[0.1,1.50,-2.5e-1,123456.789,0.00001,1e-5,0.000001,1e-7,5e-324,1.7976931348623157e308]"),
    ("beyond", "[18446744073709551616.0,1e20,1e21,-1e300,123456789012345678901234567890.0]"),
];

#[test]
fn the_vectors_are_what_is_computed() {
    let vector = |(id, row): &(&str, &str)| {
        let hashed = String::from_utf8(Etag::hashed(id, row.as_bytes())).unwrap();
        json!({ "id": id, "row": row, "hashed": hashed, "etag": Etag::of(id, row.as_bytes()).to_string() })
    };
    let mut text = String::from("[\n");
    for (place, row) in ROWS.iter().enumerate() {
        let comma = if place + 1 < ROWS.len() { "," } else { "" };
        writeln!(text, "  {}{comma}", vector(row)).unwrap();
    }
    text.push_str("]\n");
    if std::env::var_os("LIVESET_WRITE_ETAGS").is_some() {
        std::fs::write(VECTORS, &text).unwrap();
    }
    // The order of their fields is that of the host's `serde_json`.
    let read = |text: &str| serde_json::from_str::<Vec<Value>>(text).unwrap();
    let vectors = read(&std::fs::read_to_string(VECTORS).unwrap());
    assert_eq!((&vectors, vectors.len()), (&read(&text), ROWS.len()));
}

#[test]
fn what_means_the_same_has_one_etag() {
    let same = [
        [r#"{"a":1,"b":[{"c":2,"d":3}]}"#, r#" { "b" : [ {"d":3e0, "\u0063":2.0} ] , "a" : 10e-1 } "#],
        [r#"["é","𝄞","/"]"#, r#"["\u00e9","\ud834\uDD1E","\/"]"#],
        ["[9223372036854775808,100]", "[9223372036854775808.0,1E2]"],
        ["[0.5]", "[500e-3]"],
    ];
    for [a, b] in same {
        assert_eq!(Etag::of("x", a.as_bytes()), Etag::of("x", b.as_bytes()), "{a} and {b}");
    }
}

#[test]
fn what_differs_has_another() {
    let rows = [
        "{}",
        "[]",
        "[[]]",
        "[{}]",
        "null",
        "\"null\"",
        "true",
        "0",
        "\"0\"",
        "\"\"",
        "[0]",
        "[0,0]",
        "[\"0,0\"]",
        r#"{"a":1}"#,
        r#"{"a":"1"}"#,
        r#"{"A":1}"#,
        r#"{"a":{"b":1}}"#,
        r#"{"a":{},"b":1}"#,
        r#"["\",\""]"#,
        r#"["",""]"#,
        "9007199254740993",
        "9007199254740992",
        "9007199254740993.0e1",
        "1e300",
        "1e301",
        "18446744073709551615",
    ];
    let mut etags: Vec<_> = rows.iter().map(|row| Etag::of("x", row.as_bytes())).collect();
    // The same under another id, and an id that runs into the row.
    etags.extend(rows.iter().map(|row| Etag::of("y", row.as_bytes())));
    etags.extend(["x\"", "x\"{}", ""].map(|id| Etag::of(id, b"{}")));
    // No row, but a text all the same.
    etags.extend(["", "{", "{\"a\":1,\"a\":2}x", "nul"].map(|text| Etag::of("x", text.as_bytes())));
    etags.push(Etag::of("x", &[0xff]));
    let all = etags.len();
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), all);
}

#[test]
fn rows_of_any_depth_are_taken() {
    for depth in [1, 100, 200, 100_000] {
        let row = "[".repeat(depth) + &"]".repeat(depth);
        assert_ne!(Etag::of("x", row.as_bytes()), Etag::of("x", &row.as_bytes()[1..]));
    }
}

#[test]
fn a_text_is_an_etag_or_is_none() {
    let etag = Etag::of("7", b"{}");
    let text = etag.to_string();
    assert_eq!((text.len(), text.parse()), (22, Ok(etag)));
    assert_eq!("AAAAAAAAAAAAAAAAAAAAAA".parse::<Etag>().unwrap().to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
    for wrong in [
        "",
        "AAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAB",
        "AAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAA+A",
        "éAAAAAAAAAAAAAAAAAAAA",
    ] {
        let error = wrong.parse::<Etag>().unwrap_err();
        assert_eq!(error.to_string(), "must be an etag: 22 characters of base64url", "{wrong}");
    }
}

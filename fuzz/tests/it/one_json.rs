//! The two readers of JSON refuse the same texts at the same byte: core's, which cuts messages into members, and the engine's,
//! which makes values. They share a lexer, and each has its own rule for where an array or an object goes on.

use std::fs;

use fastrand::Rng;
use liveset_engine::{JsonLimits, json};
use liveset_fuzz::corpus;

/// Whether they agree, and whether they take it.
fn agree(text: &str, nesting: usize) -> bool {
    let engine =
        json::check(text.as_bytes(), &JsonLimits::default().nesting(nesting)).map_err(|error| error.offset());
    let core = liveset_core::json::read(text, nesting, |_, _| {}).err().map(|error| error.offset());
    assert_eq!(core, engine.err(), "{text}");
    core.is_none()
}

#[test]
fn on_the_corpora_and_changes_of_them() {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u",
        "\\ud83d",
        "\\ude00",
        "\\u0061",
        "a",
        "\"a\":",
        "\"\\u0061\":",
        "0",
        "1",
        "-",
        ".",
        "e",
        "E+",
        "400",
        "18446744073709551615",
        "18446744073709551616",
        "null",
        "tru",
        "\0",
        "\u{1f}",
        "\u{7f}",
        " ",
        "\t",
        "\r\n",
        "\u{c}",
        "\u{a0}",
        "\u{feff}",
        "😀",
    ];
    let seeds: Vec<String> = ["json", "messages"]
        .iter()
        .flat_map(|name| corpus(name).expect("a corpus"))
        .filter_map(|file| String::from_utf8(fs::read(file).expect("a seed")).ok())
        .collect();
    let mut random = Rng::with_seed(1);
    let mut taken = 0;
    for round in 0..30_000 {
        let mut text: Vec<char> = seeds[random.usize(..seeds.len())].chars().take(2_000).collect();
        for _ in 0..round % 4 {
            let (a, b) = (random.usize(..=text.len()), random.usize(..=text.len()));
            let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 6));
            let new = match random.usize(..3) {
                0 => text[from..to].to_vec(),
                _ => pieces[random.usize(..pieces.len())].chars().collect(),
            };
            text.splice(if random.bool() { from..to } else { a..a }, new);
        }
        taken += usize::from(agree(&text.into_iter().collect::<String>(), 1 + random.usize(..8)));
    }
    assert!((3_000..27_000).contains(&taken), "both verdicts are tried: {taken} of 30000");
}

#[test]
fn on_random_pieces() {
    let alphabet: Vec<char> = "{}[]:,\"\\u0123d8e+-. ntrueflas\u{1}é".chars().collect();
    let mut random = Rng::with_seed(2);
    for _ in 0..60_000 {
        let text: String = (0..12).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
        agree(&text, 3);
    }
}

#[test]
fn on_nesting_and_many_keys() {
    for depth in [63, 64, 65, 1_000_000] {
        assert_eq!(agree(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)), 64), depth <= 64);
        assert_eq!(agree(&format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)), 64), depth <= 64);
    }
    for count in [2, 16, 17, 25, 5_000] {
        let keys: Vec<String> = (0..count).map(|key| format!("\"{key}\":{key}")).collect();
        assert!(agree(&format!("{{{}}}", keys.join(",")), 2));
        assert!(!agree(&format!("{{{},\"{}\":0}}", keys.join(","), count / 2), 2));
    }
}

//! Printing and parsing a filter gives the same filter; its canonical form gives the same results.

use fastrand::Rng;
use liveset_engine::{Filter, QueryLimits, Timestamp};

use crate::support::{Shape, at, node, pick, printed_limits, random_filter, random_node};

fn parse(text: &str) -> Filter {
    Filter::parse(text, &printed_limits()).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

#[test]
fn random_filters_survive_printing() {
    let mut random = Rng::with_seed(1);
    for _ in 0..5_000 {
        let text = random_filter(&mut random, Shape { depth: 3, now: 30, races: true });
        let filter = parse(&text);
        let printed = parse(&filter.to_string());
        assert_eq!(printed.expr(), filter.expr(), "{text}\n{filter}");
        assert_eq!(printed, filter);
        let canonical = parse(filter.canonical());
        assert_eq!(canonical.canonical(), filter.canonical(), "{text}");
        assert_eq!(canonical.to_string(), filter.canonical(), "{text}");
    }
}

#[test]
fn the_canonical_form_never_changes_a_result() {
    let mut random = Rng::with_seed(2);
    for round in 0..5_000 {
        let text = random_filter(&mut random, Shape { depth: 3, now: 30, races: true });
        let filter = parse(&text);
        let canonical = parse(filter.canonical());
        let raw = random_node(&mut random);
        let value = node(&raw);
        let now = if round % 2 == 0 { at("2024-03-15T06:00:00Z") } else { at("2024-02-29T12:00:00Z") };
        assert_eq!(filter.matches(&value, now), canonical.matches(&value, now), "{text}\n{canonical}\n{raw}");
        assert_eq!(filter.uses_now(), canonical.uses_now());
        assert!(filter.paths().eq(canonical.paths()), "{text}\n{canonical}");
    }
}

#[test]
fn not_is_exactly_the_opposite() {
    let mut random = Rng::with_seed(3);
    let now = at("2024-03-15T06:00:00Z");
    for _ in 0..5_000 {
        let text = random_filter(&mut random, Shape { depth: 2, now: 20, races: true });
        let raw = random_node(&mut random);
        let value = node(&raw);
        let opposite = parse(&format!("not ({text})"));
        assert_ne!(parse(&text).matches(&value, now), opposite.matches(&value, now), "{text}\n{raw}");
    }
}

#[test]
fn spellings_of_one_filter_are_one() {
    let groups: &[&[&str]] = &[
        &["", " \n\t", "true", "(true)", "not false", "not not true"],
        &["a", "(a)", "((a))", "not not a", "a and a", "a or a", "(a) and a"],
        &["a == 1 and b", "b and a==1", "( b )and(a ==1)", "b and (a == 1 and b)", "1 == a and b"],
        &["a or b or c", "c or (b or a)", "(a or c) or b or a"],
        &["a in [1, 2]", "a in [2,1,2]"],
        &["a anyof ['x', \"y\"]", "a anyof ['y','x','x']"],
        &["a > b", "b < a"],
        &["a >= 1", "1 <= a"],
        &["a != 1", "not a == 1", "not (a == 1)", "1 != a", "not not a != 1"],
        &["not a != 1", "a == 1"],
        &["a == nothing", "a == null", "nothing == a"],
        &["t > now - 7 days", "t>now-7day", "now - 7 days < t", "now - (7 days) < (t)"],
        &["t == 2024-01-01", "t == 2024-01-01T00:00:00Z", "t == 2024-01-01T01:00:00.000+01:00"],
        &["a == 550E8400-e29b-41d4-a716-446655440000", "a == '550e8400-e29b-41d4-a716-446655440000'"],
        &["a + b - 1 == 0", "(a + b) - 1 == 0", "((a) + b) - (1) == 0"],
        &["`a`.`b` == 1", "a . b == 1"],
        &["a > now - 5 ms", "a > now - 5 millisecond"],
        &["a == 1.50", "a == 1.5", "a == 15e-1"],
        &["a == -0", "a == 0"],
        &["a == -0.0", "a == 0.0"],
    ];
    for group in groups {
        for text in *group {
            assert_eq!(parse(text).canonical(), parse(group[0]).canonical(), "{text}");
        }
    }
}

#[test]
fn what_may_differ_stays_apart() {
    let pairs = [
        ("a + b + c == 1", "a + c + b == 1"),
        ("a - (b - 1) == 0", "a - b - 1 == 0"),
        ("a + 1 == 2", "a + 1.0 == 2"),
        ("a < b", "b < a"),
        ("not a < b", "a >= b"),
        ("a and b or c", "a and (b or c)"),
        ("a in [1]", "a == 1"),
        // Where the sum cannot be made both `==` and `!=` are false.
        ("not a + 1 == b", "a + 1 != b"),
        ("a startswith b", "b startswith a"),
    ];
    for (a, b) in pairs {
        assert_ne!(parse(a).canonical(), parse(b).canonical(), "{a} and {b}");
    }
}

#[test]
fn filters_join_as_and_does() {
    let all = Filter::all();
    let a = parse("a or b");
    assert_eq!(all.and(&a), a);
    assert_eq!(a.and(&all), a);
    assert_eq!(a.and(&parse("c")), parse("c and (b or a)"));
    assert!(all.is_all() && all.and(&all).is_all() && parse("").is_all());
    assert!(!a.is_all());
    assert_eq!(all.to_string(), "true");
    assert!(all.matches(&node("{}"), Timestamp::UNIX_EPOCH));
}

#[test]
fn random_text_never_panics() {
    let pieces = [
        "a",
        "b.c",
        "`x",
        "`x`",
        "'",
        "'a'",
        "\"",
        "5",
        "-5",
        "5 days",
        "1e400",
        "2024-01-01",
        "2024-13-01",
        "now",
        "not",
        "and",
        "or",
        "in",
        "anyof",
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        "==",
        "=",
        "!=",
        "<",
        "+",
        "-",
        " ",
        "\n",
        "é",
        "\u{0}",
        "true",
        "nothing",
        "550e8400-e29b-41d4-a716-446655440000",
        "contains",
        "9999999999999999999999",
    ];
    let mut random = Rng::with_seed(4);
    for _ in 0..60_000 {
        let text: String = (0..random.u64(..9)).map(|_| pick(&mut random, &pieces)).collect();
        match Filter::parse(&text, &QueryLimits::default()) {
            Ok(filter) => {
                assert_eq!(parse(filter.canonical()).canonical(), filter.canonical(), "{text}");
                assert_eq!(parse(&filter.to_string()).expr(), filter.expr(), "{text}");
            }
            Err(error) => {
                assert!(error.line >= 1 && error.column >= 1, "{text}");
                assert!(!error.to_string().contains('\n'), "{text}");
            }
        }
    }
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..random.u64(..24)).map(|_| random.u64(..) as u8 & 0x7f).collect();
        let _ = Filter::parse(&String::from_utf8_lossy(&bytes), &QueryLimits::default());
    }
}

//! What is refused, where the error points, and which word it suggests.

use std::time::Instant as Stopwatch;

use liveset_engine::{ExprError, Filter, QueryLimits};

use crate::support;

fn parse(text: &str) -> Result<Filter, ExprError> {
    Filter::parse(text, &QueryLimits::default())
}

fn refused(text: &str) -> ExprError {
    match parse(text) {
        Ok(filter) => panic!("{text} is accepted as {filter}"),
        Err(error) => error,
    }
}

#[test]
fn errors_point_at_their_place() {
    // The text; the column; a part of the message; the word that was probably meant.
    let cases: &[(&str, usize, &str, Option<&str>)] = &[
        ("status = 'x'", 8, "found '='", Some("==")),
        ("status === 'x'", 8, "found '==='", Some("==")),
        ("a && b", 3, "found '&&'", Some("and")),
        ("a || b", 3, "found '||'", Some("or")),
        ("!a", 1, "found '!'", Some("not")),
        ("a <> b", 3, "found '<>'", Some("!=")),
        ("tags anyoff ['x']", 6, "found 'anyoff'", Some("anyof")),
        ("a IN [1]", 3, "found 'IN'", Some("in")),
        ("name startsWith 'x'", 6, "found 'startsWith'", Some("startswith")),
        ("a == 1 adn b", 8, "found 'adn'", Some("and")),
        ("a AND b", 3, "found 'AND'", Some("and")),
        ("nto a", 5, "found 'a'", Some("not")),
        ("t > now - 7 dayz", 13, "found 'dayz'", Some("days")),
        ("t > now - 7dayz", 12, "found 'dayz'", Some("days")),
        ("a == ", 6, "found the end", None),
        ("== 1", 1, "found '=='", None),
        ("a == b == c", 8, "comparisons do not chain", None),
        // What other languages have.
        ("name like 'x%'", 6, "found 'like', expected 'startswith', 'endswith' or 'contains'", None),
        ("name ILIKE 'x%'", 6, "found 'ILIKE', expected 'startswith'", None),
        ("name matches 'x.*'", 6, "there are no patterns", None),
        ("name =~ 'x'", 6, "there are no patterns", None),
        ("a is null", 3, "found 'is null'", Some("== nothing")),
        ("a is not null and b", 3, "found 'is not null'", Some("!= nothing")),
        ("a IS NOT NULL", 3, "found 'IS NOT NULL'", Some("!= nothing")),
        ("a between 1 and 5", 3, "a >= 1 and a <= 5", None),
        ("a not in [1]", 3, "'not' stands before the whole test", None),
        ("t > now() - 7 days", 5, "found 'now()'", Some("now")),
        ("t > now( ) - 7 days", 5, "found 'now( )'", Some("now")),
        ("a.b()", 1, "found 'a.b()'", None),
        ("name.startsWith('x')", 1, "a startswith 'x'", None),
        ("lower(name) == 'x'", 1, "there are no functions", None),
        ("contains(name, 'x')", 1, "there are no functions", None),
        ("t > now - 5m", 11, "found '5m'", Some("5 minutes")),
        ("t > now - 7d", 11, "found '7d'", Some("7 days")),
        ("t > now - 1h", 11, "found '1h'", Some("1 hours")),
        ("t > now - 5 m", 11, "found '5 m'", Some("5 minutes")),
        ("t > now - 90s and a", 11, "found '90s'", Some("90 seconds")),
        (
            "t > now - 7.5 days",
            11,
            "found '7.5 days', expected a duration of a whole number of days",
            Some("180 hours"),
        ),
        ("t > now - 1.5 days", 11, "found '1.5 days'", Some("36 hours")),
        ("t > now - 5 xy", 13, "found 'xy'", None),
        ("a eq 5", 3, "found 'eq'", Some("==")),
        ("a * 2 == 4", 3, "sums are all the arithmetic", None),
        ("t > '2024-01-01' and u == 2024-01-01 10:00:00", 27, "'T' between", Some("2024-01-01T10:00:00")),
        ("'x' in tags", 1, "tags anyof ['x']", None),
        ("(a == b) == c", 10, "a test is no value", None),
        ("a == (b == c)", 6, "a test in parentheses", None),
        ("a + (b and c) == 1", 3, "a test in a sum", None),
        ("a == not b", 6, "found 'not'", None),
        ("a b", 3, "found 'b', expected an operator or the end", None),
        ("(a", 3, "found the end, expected an operator or ')'", None),
        ("(a == 1", 8, "found the end, expected 'and', 'or' or ')'", None),
        ("a)", 2, "found ')'", None),
        ("a and", 6, "found the end", None),
        ("and a", 1, "`and`", None),
        ("in == 1", 1, "`in`", None),
        ("a == in", 6, "`in`", None),
        ("5", 1, "'5' alone", None),
        ("'x'", 1, "''x'' alone", None),
        ("now", 1, "'now' alone", None),
        ("nothing", 1, "'nothing' alone", None),
        ("a + 1", 1, "'a + 1' alone", None),
        ("a and (b + 1)", 7, "'(b + 1)' alone", None),
        ("2024-01-01 and a", 1, "'2024-01-01' alone", None),
        ("a in 1", 6, "a list in brackets", None),
        ("a in [b]", 7, "a literal", None),
        ("a in [now]", 7, "a literal", None),
        ("a in [1,]", 9, "a literal", None),
        ("a in [1 2]", 9, "',' or ']'", None),
        ("a in [1", 8, "',' or ']'", None),
        ("a in [[1]]", 7, "a literal", None),
        ("a == 2023-02-30", 6, "'2023-02-30'", None),
        ("a == 2023-01-01T25:00:00", 6, "a date", None),
        ("a == 'x", 6, "not closed", None),
        ("a == 1e400", 6, "overflows", None),
        ("a == 18446744073709551616", 6, "overflows", None),
        ("a == -9223372036854775809", 6, "overflows", None),
        ("a == .5", 6, "found '.'", None),
        ("a == 5.", 7, "found '.'", None),
        ("a == +5", 6, "found '+'", None),
        ("a == - 5", 6, "found '-'", None),
        ("a == -b", 6, "found '-'", None),
        ("a.5 == 1", 3, "a name", None),
        ("a..b", 3, "a name", None),
        ("a == 1;", 7, "found ';'", None),
        ("`` == 1", 1, "an empty name", None),
        ("a.`` == 1", 3, "an empty name", None),
        ("a == 2016-12-31T23:59:60Z", 6, "'2016-12-31T23:59:60Z'", None),
        ("a == ‘x’", 6, "found '‘'", Some("'")),
        ("a\n  and\n  é = 1", 5, "found '='", Some("==")),
    ];
    for (text, column, part, suggestion) in cases {
        let error = refused(text);
        assert_eq!(error.column, *column, "{text}: {error}");
        assert_eq!(error.line, text.matches('\n').count() + 1, "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert_eq!(error.suggestion.as_deref(), *suggestion, "{text}: {error}");
    }
}

#[test]
fn a_message_reads_as_one_line() {
    assert_eq!(
        refused("tags anyoff ['x']").to_string(),
        "line 1, column 6: found 'anyoff', expected an operator or the end; did you mean 'anyof'?"
    );
    assert_eq!(
        refused("'a' < 5 days").to_string(),
        "line 1, column 5: found text < a duration, expected two instants (durations are added to instants, as in at > now - 5 days)"
    );
}

#[test]
fn type_errors_that_can_be_seen_are_refused() {
    let cases = [
        "'a' < 5 days",
        "a < 5 days",
        "5 days < a",
        "5 days < 6 days",
        "5 < 'a'",
        "true < 1",
        "now < 5",
        "'abc' < now",
        "now > true",
        "2024-01-01 >= 1",
        "now + 3 == a",
        "now + a == b",
        "now - now == a",
        "now - 2024-01-01 == a",
        "t - 5 days + 1 == a",
        "5 days + now == a",
        "5 days + t == a",
        "5 days + 1 hours == a",
        "'a' + 1 == a",
        "'a' + 'b' == a",
        "'2024-01-01' + 5 days == t",
        "true + 1 == a",
        "nothing + 1 == a",
        "1 + nothing == a",
        "a + 'b' == c",
        "1 + 5 days == a",
        "(a + b) + 5 days == t",
        "a + b < 'x'",
        "t + 5 days < 1",
        "a startswith 5",
        "5 startswith 'a'",
        "now contains 'x'",
        "a + 1 endswith 'x'",
        "5 anyof [5]",
        "5 in [5]",
        "now in [2024-01-01]",
        "a + 1 in [2]",
        "nothing anyof [nothing]",
        // Also by `==`, `!=` and in lists.
        "5 == 'x'",
        "5 != 'x'",
        "true == 'true'",
        "2024-01-01 == 'abc'",
        "a + 1 == 'x'",
        "t + 1 days == 5",
        "now == 5",
        "now != 'soon'",
        "at == 5 days",
        "at != 5 days",
        "5 days == 5 days",
        "5 days != nothing",
        "a in [5 days]",
        "a anyof [1, 5 days]",
        "a allof [5 days]",
        "'a' allof ['a']",
        "now anyof [1]",
    ];
    for text in cases {
        refused(text);
    }
}

#[test]
fn constants_that_overflow_are_refused() {
    let cases = [
        "18446744073709551615 + 1 == a",
        "-9223372036854775808 - 1 == a",
        "a == 9223372036854775807 + 9223372036854775807 + 2",
        "1e308 + 1e308 == a",
        "5 days - 6 days == a",
        "t > now - (1 days - 2 days)",
        "18446744073709551615 days + 1 days == a",
        "t > now - 18446744073709551616 days",
        "t > now - 10001 years",
        "t > now - 120001 months",
        "t > now - 3652426 days",
        "t > now - (9000 years + 1001 years)",
        "2024-01-01 - 2025 years == t",
        "2024-01-01 + 8000 years == t",
        "2024-01-01 - 18446744073709551615 weeks == t",
    ];
    for text in cases {
        let error = refused(text).to_string();
        assert!(error.contains("overflows") || error.contains("at most"), "{text}: {error}");
    }
    // What depends on the node or the time overflows there.
    for text in [
        "a + 18446744073709551615 + 18446744073709551615 == 1",
        "t > now - 10000 years",
        "t > now - 3000 years",
    ] {
        assert!(parse(text).is_ok(), "{text}");
    }
}

#[test]
fn what_looks_odd_and_is_legal() {
    let cases = [
        "a < nothing",
        "5 == nothing",
        "now != nothing",
        "a in [1, 'x', 2024-01-01, nothing]",
        "nothing < nothing",
        "now < nothing",
        "nothing < 5",
        "nothing startswith 'a'",
        "'2024-01-01' < now",
        "'2024-01-01' == 2024-01-02",
        "true == false",
        "true < false",
        "true",
        "not not not a",
        "(((a)))",
        "(a) == (1)",
        "a in []",
        "a anyof []",
        "asc == desc and days > 5 and year == month",
        "a.and.or.not.in.now.true == 1",
        "`and` == `not`",
        "n -1 == 0",
        "n - -1 == 0",
        "n-1==0",
        "2023-1-1 == 2021",
        "a==1and b==2",
        "a == \"\"",
        "größe == 1 and _x == 2",
        "`a``b` == 1",
        "t > 2023-01-01t00:00:00.0123456789z",
    ];
    for text in cases {
        if let Err(error) = parse(text) {
            panic!("{text}: {error}");
        }
    }
}

#[test]
fn limits_are_clear_errors() {
    let parentheses = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    let nots = |depth: usize| format!("{}a", "not ".repeat(depth));
    let list = |items: usize| format!("a in [{}]", vec!["1"; items].join(","));
    let path = |names: usize| format!("{} == 1", vec!["a"; names].join("."));
    let bytes = |length: usize| format!("a == '{}'", "x".repeat(length - 7));
    for (just, over, part) in [
        (parentheses(64), parentheses(65), "nesting deeper than 64"),
        (nots(64), nots(65), "nesting deeper than 64"),
        (format!("not {}", parentheses(63)), format!("not {}", parentheses(64)), "nesting deeper than 64"),
        (format!("{} == 1", parentheses(64)), format!("{} == 1", parentheses(65)), "nesting deeper than 64"),
        (list(1_000), list(1_001), "more than 1000 items"),
        (path(16), path(17), "more than 16 names"),
        (bytes(16_384), bytes(16_385), "at most 16384 bytes"),
    ] {
        assert!(parse(&just).is_ok(), "{part}: {:?}", parse(&just));
        let error = refused(&over).to_string();
        assert!(error.contains(part), "{error}");
    }
    let none = QueryLimits::default().nesting(0).list_items(0).path_names(0);
    for text in ["(true)", "not true", "a", "a in [1]"] {
        assert!(Filter::parse(text, &none).is_err(), "{text}");
    }
    assert!(Filter::parse("1 == 1 or true", &none).is_ok());
}

/// A host may raise the nesting, but never beyond what the stack of a small thread bears.
#[test]
fn nesting_never_costs_more_stack_than_there_is() {
    let limits = QueryLimits::default().nesting(usize::MAX);
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    let test = move || {
        for (open, inner, close) in
            [("(", "a", ")"), ("not (", "a == 1", ")"), ("(b - ", "a", ")"), ("(c or b and ", "a", ")")]
        {
            let levels = if open.starts_with("not") { 64 } else { 128 };
            let end = if open == "(b - " { " == 1" } else { "" };
            let text = format!("{}{end}", nested(open, inner, close, levels));
            let filter = Filter::parse(&text, &limits).unwrap_or_else(|error| panic!("{error}"));
            filter.matches(&support::node("{}"), support::at("2024-01-01"));
            let text = format!("{}{end}", nested(open, inner, close, levels + 1));
            assert!(Filter::parse(&text, &limits).is_err());
            assert!(Filter::parse(&nested(open, inner, close, 2_000), &limits).is_err());
        }
    };
    let thread = small.spawn(test);
    assert!(thread.is_ok_and(|thread| thread.join().is_ok()));
}

/// Whatever 16 KiB hold: a wide tree is no deep one, and nothing is tried twice.
#[test]
#[expect(clippy::disallowed_methods, reason = "the time that parsing takes is what is tested")]
fn the_time_to_parse_is_bounded() {
    let fill = |piece: &str, end: &str| {
        let mut text = piece.repeat((16_384 - end.len()) / piece.len());
        text.push_str(end);
        text
    };
    let deep = |inner: &str| format!("{}{inner}{}", "(".repeat(64), ")".repeat(64));
    let texts = [
        fill("(", ""),
        fill("not ", "a"),
        fill("not(", ""),
        fill("a+", "a==1"),
        fill("a-(", ""),
        fill("a and ", "a"),
        fill("a or b and ", "a"),
        fill("a==", "a"),
        fill("a.", "a"),
        fill("`", ""),
        fill("''", ""),
        fill("5 ", "days"),
        fill("9", ""),
        fill("\n", "!"),
        fill("(a+(b)) and ", "c"),
        fill("(((((((((((a))))))))))) or ", "c"),
        fill("deadbee-", ""),
        fill("2023-01-0", ""),
        fill("t>now-1 months or ", "c"),
        deep(&fill("a or ", "b")[..16_000]),
        deep(&format!("{}1 == 1", "1 - ".repeat(3_900))),
    ];
    for text in &texts {
        let watch = Stopwatch::now();
        let parsed = parse(text);
        // Debug builds on a busy machine: milliseconds are usual, exponential time would be centuries.
        assert!(watch.elapsed().as_secs() < 5, "{} took {:?}", &text[..20], watch.elapsed());
        if let Ok(filter) = parsed {
            assert!(support::printed_limits().expression_bytes > filter.canonical().len());
        }
    }
}

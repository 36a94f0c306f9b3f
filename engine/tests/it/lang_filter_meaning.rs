//! What every test of the language means, sentence by sentence.

use liveset_engine::{Filter, Path, QueryLimits, Value};

use crate::support::{at, node};

const NOW: &str = "2024-03-31T12:00:00Z";

/// Checks filters that are true of a node and filters that are false of it; `declared` fields are instants.
fn check(raw: &str, declared: &[&str], true_of_it: &[&str], false_of_it: &[&str]) {
    let mut value = node(raw);
    for field in declared {
        let field = value.at_mut(&Path::field(field)).unwrap();
        *field = std::mem::take(field).into_instant().unwrap();
    }
    for (texts, expected) in [(true_of_it, true), (false_of_it, false)] {
        for text in texts {
            assert_eq!(passes(text, &value), expected, "{text} of {raw}");
            assert_eq!(passes(&format!("not ({text})"), &value), !expected, "not ({text}) of {raw}");
        }
    }
}

fn passes(text: &str, value: &Value) -> bool {
    match Filter::parse(text, &QueryLimits::default()) {
        Ok(filter) => filter.matches(value, at(NOW)),
        Err(error) => panic!("{text}: {error}"),
    }
}

#[test]
fn equality_is_of_same_type_and_same_value() {
    check(
        r#"{"n":null,"t":true,"f":false,"i":1,"z":-0.0,"s":"1","l":[1,2],"m":[1.0,2],"o":{"a":1,"b":[]},"p":{"b":[],"a":1.0}}"#,
        &[],
        &[
            "n == nothing",
            "x == nothing",
            "n == x",
            "x == null",
            "t == true",
            "f == false",
            "i == 1",
            "i == 1.0",
            "z == 0",
            "s == '1'",
            "l == m",
            "o == p",
            "x != 1",
            "x != 'a'",
            "s != 1",
            "i != '1'",
            "l != 1",
            "o != l",
            "1 == 1",
            "5 != nothing",
        ],
        &[
            "n == 0",
            "x == false",
            "x == ''",
            "t == 1",
            "t == 'true'",
            "s == 1",
            "i == true",
            "l == 1",
            "x != nothing",
            "5 == nothing",
        ],
    );
}

#[test]
fn numbers_compare_exactly() {
    check(
        r#"{"a":9007199254740993,"b":9007199254740992.0,"u":18446744073709551615,"m":-9223372036854775808,"f":0.1}"#,
        &[],
        &[
            "a != b",
            "a > b",
            "b < a",
            "a != b + 1",
            "u > 18446744073709551614",
            "u == 18446744073709551615",
            "u < 18446744073709551616.0",
            "m < -9223372036854775807",
            "f == 0.1",
            "f == 1e-1",
            "a - 1 == b",
            "a + 1 == 9007199254740994",
            "u - 1 == 18446744073709551614",
            "u - u == 0",
            "f + 0.2 > 0.3",
            "m + u > 0",
            // Integers overflow, and then the test is false, `!=` too; its opposite is true.
            "not u + 1 != u",
            "not u + 1 == u",
            "not u + 1 > 0",
            "not m - 1 < 0",
            "not (u + 1) - 1 == u",
            "not m - 1 != 0",
            "u - 1 != u",
            "a + 0.5 == 9007199254740992.0",
        ],
        &[
            "a == b",
            "u + 1 != u",
            "m - 1 != 0",
            "u + 1 != nothing",
            "a <= b",
            "u == 18446744073709551616.0",
            "u + 1 > 0",
            "u + 1 == u",
            "m - 1 < 0",
            "u + 1 - 1 == u",
            "1e308 + f + 1e308 > 0",
        ],
    );
}

#[test]
fn order_is_within_one_type() {
    check(
        r#"{"n":null,"t":true,"f":false,"i":1,"s":"b","e":"é","h":"\ud83d\ude00","k":"\uffff","l":[1],"o":{}}"#,
        &[],
        &[
            "f < t",
            "t >= true",
            "f <= f",
            "i < 2",
            "i >= 1",
            "i <= 1.0",
            "s > 'a'",
            "s < 'ba'",
            "s >= 'B'",
            "e > 'z'",
            // By code point, not by UTF-16.
            "h > k",
        ],
        &[
            "n < 1",
            "1 < n",
            "n <= n",
            "n <= nothing",
            "x < 1",
            "x >= x",
            "nothing <= nothing",
            "s > 1",
            "1 < s",
            "t > i",
            "l < l",
            "l <= l",
            "o >= o",
            "i < s",
            "s < 'B'",
            "now < n",
            "i < nothing",
        ],
    );
}

#[test]
fn instants_are_recognised_beside_instants() {
    check(
        r#"{"z":"2024-03-01T10:00:00Z","o":"2024-03-01T12:00:00+02:00","d":"2024-03-01","w":"soon","n":5}"#,
        &[],
        &[
            "z == 2024-03-01T10:00:00Z",
            "o == 2024-03-01T10:00:00Z",
            "d == 2024-03-01",
            "d == 2024-03-01T00:00:00.000Z",
            "z > 2024-03-01",
            "o < now",
            "z >= 2024-03-01T10:00:00",
            "d in [2024-03-01]",
            "z in [1, 2024-03-01T10:00:00Z]",
            "w != 2024-03-01",
            "n != now",
            "not n + 1 days != now",
            "'2024-03-01' < now",
            "'2024-03-01' == 2024-03-01",
            "z + 0 days == o",
            "z + 1 hours > o",
            "o - 1 days < z",
            // Between two undeclared texts it is text that is compared.
            "z != o",
            "z < o",
            "d < z",
        ],
        &[
            "z == o",
            "w == 2024-03-01",
            "w < now",
            "w > now",
            "n < now",
            "n > now",
            "x < now",
            "w + 1 days > 2000-01-01",
            "n + 1 days > 2000-01-01",
            "x - 1 days < now",
            "d == '2024-03-01T00:00:00Z'",
            "w + 1 days != now",
            "n + 1 days != now",
            "x + 1 days != x",
            "w + 1 != 1",
        ],
    );
}

#[test]
fn declared_instants_are_instants() {
    check(
        r#"{"z":"2024-03-01T10:00:00Z","o":"2024-03-01T12:00:00+02:00","p":"2024-03-01T12:00:00+02:00","w":"soon"}"#,
        &["z", "o"],
        &[
            "z == o",
            "z == p",
            "p == o",
            "z <= o",
            "z == '2024-03-01T11:00:00+01:00'",
            "z > '2024-03-01'",
            "z != w",
            "o in ['2024-03-01T10:00:00Z']",
            "z startswith '2024-03'",
            "o endswith '+02:00'",
            "z contains 'T10'",
            "z contains z",
            "z + 1 days > o",
        ],
        &["z == w", "z < w", "z > 'abc'", "z == 'abc'", "z < 1", "z startswith o"],
    );
}

#[test]
fn membership() {
    check(
        r#"{"s":"b","i":2,"n":null,"l":["a","b",1,"2024-03-01T02:00:00+02:00",null,[1]],"e":[],"o":{"l":[true]}}"#,
        &[],
        &[
            "s in ['a', 'b']",
            "i in [1, 2.0]",
            "n in [nothing]",
            "x in [null]",
            "l anyof ['z', 'b']",
            "l anyof [1.0]",
            "l anyof [2024-03-01]",
            "l anyof [nothing]",
            "l allof ['a', 'b', 1]",
            "l allof []",
            "e allof []",
            "l allof ['a', 'a']",
            "o.l anyof [true]",
            "(i) in [2]",
        ],
        &[
            "s in []",
            "s in ['B']",
            "i in ['2']",
            "l in ['a']",
            "l anyof ['z']",
            "l anyof []",
            "e anyof ['a']",
            "s anyof ['b']",
            "x anyof ['b']",
            "l allof ['a', 'z']",
            "s allof []",
            "x allof []",
            "n allof []",
            "e allof ['a']",
            "o allof []",
        ],
    );
}

#[test]
fn text_operators() {
    check(
        r#"{"s":"Hello, wörld","t":"wör","e":"","i":5,"l":["Hello"]}"#,
        &[],
        &[
            "s startswith 'Hello'",
            "s endswith \"ld\"",
            "s contains t",
            "s contains ''",
            "e startswith ''",
            "s contains e",
            "'Hello, wörld!' startswith s",
        ],
        &[
            "s startswith 'hello'",
            "s contains 'x'",
            "i contains '5'",
            "l contains 'Hello'",
            "x startswith ''",
            "nothing contains ''",
            "s contains i",
            "e contains 'a'",
        ],
    );
}

#[test]
fn paths_and_boolean_fields() {
    check(
        r#"{"t":true,"f":false,"s":"true","i":1,"o":{"t":true,"in":{"not":true}},"l":[{"t":true}],"in":true,"x y":true,"a.b":true,"`":true,"größe":3}"#,
        &[],
        &[
            "t",
            "o.t",
            "o.in.not",
            "`in`",
            "`x y`",
            "`a.b`",
            "````",
            "t and o.t",
            "f or t",
            "not f",
            "not t == false",
            "not s",
            "true",
            "not false",
            "größe == 3",
            "o . t",
            "t and (f or not f)",
            "l.t == nothing",
            "i.x == nothing",
        ],
        &[
            "f",
            "s",
            "i",
            "x",
            "l.t",
            "t.t",
            "a.b",
            "o",
            "false",
            "not t",
            "not not f",
            "f or f and t",
            "not t or f",
        ],
    );
}

#[test]
fn precedence() {
    for (text, same) in [
        ("not a and b", "(not a) and b"),
        ("not a or b", "(not a) or b"),
        ("a or b and c", "a or (b and c)"),
        ("a and b or c", "(a and b) or c"),
        ("not a == b", "not (a == b)"),
        ("not not a and b", "(not not a) and b"),
        ("a - b - c == 0", "(a - b) - c == 0"),
    ] {
        let parse = |text| Filter::parse(text, &QueryLimits::default()).unwrap();
        assert_eq!(parse(text).expr(), parse(same).expr(), "{text}");
    }
}

#[test]
fn durations_and_the_calendar() {
    // `now` is 2024-03-31T12:00:00Z.
    check(
        r#"{"t":"2024-02-29T23:59:59.999999999Z","j":"2024-01-31T06:00:00Z","y":"2024-02-29T12:00:00Z","e":"9999-12-31T23:59:59.999999999Z"}"#,
        &[],
        &[
            "now - 1 months == t",
            "now - 1 month == t",
            "j + 1 months == t",
            "y + 1 years == 2025-02-28T23:59:59.999999999Z",
            "y - 12 months == 2023-02-28T23:59:59.999999999Z",
            "j + 2 months == 2024-03-31T06:00:00Z",
            "now - 1 years == 2023-03-31T12:00:00Z",
            "now - 2 weeks == 2024-03-17T12:00:00Z",
            "now - 31 days == y",
            "now - 36 hours == 2024-03-30",
            "now - 90 minutes == 2024-03-31T10:30:00Z",
            "now + 1 second == 2024-03-31T12:00:01Z",
            "now + 1 ms == 2024-03-31T12:00:00.001Z",
            "now + 5 milliseconds == 2024-03-31T12:00:00.005Z",
            "t + 1 ticks == 2024-03-01T00:00:00.000000099Z",
            "now - (1 days + 2 days) == 2024-03-28T12:00:00Z",
            "now - (3 days - 1 days) == 2024-03-29T12:00:00Z",
            "now - 0 months == now",
            "(now - 1 months) + 1 months == 2024-03-29T23:59:59.999999999Z",
            // Leaving the calendar is no instant: every test is false, its opposite true.
            "not e + 1 ticks > now",
            "not e + 1 ticks != now",
            "e + 0 days > now",
            "not now - 2025 years < now",
            "now - 2024 years < now",
        ],
        &["e + 1 ticks > now", "e + 1 months == e", "now - 3000 years < now", "now > e"],
    );
}

#[test]
fn literals() {
    check(
        r#"{"u":"550e8400-e29b-41d4-a716-446655440000","q":"it's \"so\"","n":-1,"m":5,"big":1e21,"d":2021}"#,
        &[],
        &[
            "u == 550e8400-e29b-41d4-a716-446655440000",
            "u == 550E8400-E29B-41D4-A716-446655440000",
            "u in [550E8400-E29B-41D4-A716-446655440000]",
            "q == 'it''s \"so\"'",
            "q == \"it's \"\"so\"\"\"",
            "n == -1",
            "m -1 == 4",
            "m-1==4",
            "m - -1 == 6",
            "0 -1 == n",
            "big == 1e21",
            "big == 1E+21",
            "big == 1000000000000000000000.0",
            "d == 2023-1-1",
            "m == 05",
            "m == 5.0e0",
        ],
        &["u == '550E8400-E29B-41D4-A716-446655440000'", "n == 1"],
    );
}

//! What the tests share: random expressions and nodes of the language. Seeded: a failure repeats.

#![allow(unreachable_pub, reason = "a test has no outside")]

use fastrand::Rng;
use liveset_engine::{JsonLimits, QueryLimits, Timestamp, Value, json};

/// One of some.
pub fn pick<T: Copy>(random: &mut Rng, of: &[T]) -> T {
    of[random.usize(..of.len())]
}

pub fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap_or_else(|| panic!("{text} is no instant"))
}

pub fn node(text: &str) -> Value {
    json::parse(text.as_bytes(), &JsonLimits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Limits for text that was printed: white space and quotes may have made it longer than its source.
pub fn printed_limits() -> QueryLimits {
    QueryLimits::default().expression_bytes(1 << 20)
}

pub const INSTANTS: &[&str] = &[
    "2024-01-30",
    "2024-01-31T23:59:59.999999999Z",
    "2024-02-28",
    "2024-02-29T12:00:00Z",
    "2024-02-29T23:59:59.999999999Z",
    "2024-03-01",
    "2024-03-30T10:00:00+02:00",
    "2024-03-31T08:00:00.000000001Z",
    "2023-12-31T23:59:59Z",
];

const NAMES: &[&str] = &["a", "b", "c.d", "`x y`", "`in`.in", "_z9", "größe", "t", "u"];

pub const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1.0",
    "0.1",
    "9007199254740993",
    "9007199254740992.0",
    "18446744073709551615",
    "-9223372036854775808",
    "1e308",
    "\"\"",
    "\"a\"",
    "\"ab\"",
    "\"it's\"",
];

/// JSON of a random value.
pub fn random_json(random: &mut Rng, depth: usize) -> String {
    match random.u64(..if depth == 0 { 7 } else { 10 }) {
        0..=4 => pick(random, SCALARS).to_string(),
        5 | 6 => format!("\"{}\"", pick(random, INSTANTS)),
        7 | 8 => {
            let items: Vec<String> = (0..random.u64(..4)).map(|_| random_json(random, depth - 1)).collect();
            format!("[{}]", items.join(","))
        }
        _ => {
            let count = random.u64(..3);
            let members: Vec<String> = (0..count)
                .map(|place| {
                    format!("\"{}\":{}", ["d", "in", "x"][place as usize], random_json(random, depth - 1))
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

/// JSON of a random node with the fields that random filters name.
pub fn random_node(random: &mut Rng) -> String {
    let mut members = Vec::new();
    for key in ["a", "b", "c", "x y", "in", "_z9", "größe"] {
        if random.u64(..100) < 80 {
            members.push(format!("\"{key}\":{}", random_json(random, 2)));
        }
    }
    for key in ["t", "u"] {
        members.push(format!("\"{key}\":\"{}\"", pick(random, INSTANTS)));
    }
    format!("{{{}}}", members.join(","))
}

/// What a random filter may hold.
#[derive(Clone, Copy)]
pub struct Shape {
    pub depth: usize,
    /// How many tests in a hundred are over `now`.
    pub now: u64,
    /// Whether some of them have `now` on both sides.
    pub races: bool,
}

/// The text of a random filter that is legal.
pub fn random_filter(random: &mut Rng, shape: Shape) -> String {
    let deeper = Shape { depth: shape.depth.saturating_sub(1), ..shape };
    match if shape.depth == 0 { 3 } else { random.u64(..6) } {
        0 => joined(random, deeper, " and "),
        1 => joined(random, deeper, " or "),
        2 => format!("not ({})", random_filter(random, deeper)),
        _ => random_test(random, shape),
    }
}

fn joined(random: &mut Rng, shape: Shape, word: &str) -> String {
    let count = 2 + random.u64(..3);
    let operands: Vec<String> = (0..count).map(|_| format!("({})", random_filter(random, shape))).collect();
    operands.join(word)
}

fn random_test(random: &mut Rng, shape: Shape) -> String {
    if random.u64(..100) < shape.now {
        return now_test(random, shape.races);
    }
    let name = pick(random, NAMES);
    match random.u64(..9) {
        0 => name.to_string(),
        1 => format!("not {name}"),
        2 => pick(random, &["true", "false"]).to_string(),
        3 => {
            let operator = pick(random, &["in", "anyof", "allof"]);
            let items: Vec<String> = (0..random.u64(..4)).map(|_| literal(random)).collect();
            format!("{name} {operator} [{}]", items.join(","))
        }
        4 => {
            let operator = pick(random, &["startswith", "endswith", "contains"]);
            format!("{name} {operator} {}", pick(random, &["'a'", "'it''s'", "\"\"", "b", "'2024-0'"]))
        }
        5 => {
            let operator = pick(random, &["==", "!="]);
            format!("{name} {operator} {}", literal(random))
        }
        6 => {
            let operator = comparison(random);
            format!("{} {operator} {}", number_sum(random), number_sum(random))
        }
        7 => {
            let operator = comparison(random);
            format!("{} {operator} {}", pick(random, &["t", "u", "a"]), moved(random, "t"))
        }
        _ => {
            let operator = comparison(random);
            format!("{name} {operator} {}", pick(random, &["b", "nothing", "1", "'a'", "true", "2024-02-29"]))
        }
    }
}

fn comparison(random: &mut Rng) -> &'static str {
    pick(random, &["==", "!=", "<", "<=", ">", ">="])
}

/// A test over `now`.
pub fn now_test(random: &mut Rng, races: bool) -> String {
    let operator = comparison(random);
    let now = moved(random, "now");
    match random.u64(..8) {
        7 if races => {
            // A month is about 30 days: these two overtake each other.
            let months = 1 + random.u64(..3);
            let hours = months * 730 + random.u64(..60) - 30;
            format!("now - {months} months {operator} now - {hours} hours")
        }
        0 | 1 => format!("{} {operator} {now}", pick(random, &["t", "u", "a"])),
        2 => format!("{now} {operator} {}", moved(random, "t")),
        3 => format!("{now} {operator} {}", pick(random, INSTANTS)),
        4 if races => format!("{now} {operator} {}", moved(random, "now")),
        5 => format!("{now} != {}", moved(random, "u")),
        _ => format!("{} - 1 months {operator} {now}", pick(random, INSTANTS)),
    }
}

/// A base with up to two durations.
fn moved(random: &mut Rng, base: &str) -> String {
    let mut sum = base.to_string();
    for _ in 0..random.u64(..3) {
        let sign = pick(random, &["+", "-"]);
        sum = match random.u64(..5) {
            0 => format!("({sum}) {sign} {}", duration(random)),
            1 => format!("{sum} {sign} (1 days + 3 days)"),
            _ => format!("{sum} {sign} {}", duration(random)),
        };
    }
    sum
}

fn duration(random: &mut Rng) -> String {
    let unit = pick(random, &["years", "month", "months", "months", "weeks", "days", "hours", "ms", "ticks"]);
    let count = if random.u64(..100) < 3 { 9_000 } else { random.u64(..14) };
    format!("{count} {unit}")
}

fn number_sum(random: &mut Rng) -> String {
    let terms = ["a", "b", "1", "-1", "0.1", "1e308", "9007199254740993", "(a - 1)", "(b + (a - 2.5))"];
    let mut sum = pick(random, &terms).to_string();
    for _ in 0..random.u64(..3) {
        let sign = pick(random, &["+", "-", " - ", " +"]);
        // A path between two constants keeps them from overflowing in plain sight.
        sum = format!("{sum}{sign}b{sign}{}", pick(random, &terms));
    }
    sum
}

pub fn literal(random: &mut Rng) -> String {
    pick(
        random,
        &[
            "nothing",
            "null",
            "true",
            "false",
            "0",
            "-1",
            "1",
            "1.0",
            "0.1",
            "1e21",
            "1.5e-9",
            "9007199254740993",
            "18446744073709551615",
            "'a'",
            "\"ab\"",
            "'it''s'",
            "\"say \"\"hi\"\"\"",
            "2024-02-29",
            "2024-02-29T12:00:00.5+01:00",
            "550E8400-e29b-41d4-a716-446655440000",
        ],
    )
    .to_string()
}

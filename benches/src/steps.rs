//! Filters that make one kind of step each.

use liveset_engine::{Filter, JsonLimits, QueryLimits, Timestamp, Value, json};

/// A filter, a node, and the steps that trying the one on the other takes.
#[derive(Debug)]
pub struct StepShape {
    /// What kind of step it is.
    pub name: &'static str,
    /// The filter.
    pub filter: Filter,
    /// The node.
    pub node: Value,
    /// The moment.
    pub now: Timestamp,
    /// How many steps it takes.
    pub steps: u64,
}

/// One for each kind of step.
pub fn step_shapes() -> Vec<StepShape> {
    let numbers = |count: usize, by: usize| joined(count, ",", |n| (n * by).to_string());
    let text = |length: usize, end: &str| format!("{}{end}", "x".repeat(length));
    let object = joined(1_000, ",", |n| format!("\"k{n:04}\":{n}"));
    let instants = |quote: &str| {
        joined(900, ",", |n| {
            format!("{quote}2024-01-01T00:{:02}:{:02}.123456789+01:00{quote}", n / 60, n % 60)
        })
    };
    let shapes: Vec<(&'static str, String, String)> = vec![
        ("comparisons of numbers", joined(700, " or ", |n| format!("a < -{n}.5")), "{\"a\":5}".into()),
        (
            "comparisons of integers with a float",
            joined(700, " or ", |n| format!("a < -{n}")),
            "{\"a\":5.5}".into(),
        ),
        (
            "comparisons of short texts",
            joined(700, " or ", |n| format!("a < '{n:04}'")),
            "{\"a\":\"x\"}".into(),
        ),
        (
            "comparisons of long texts",
            joined(8, " or ", |n| format!("a > '{}'", text(1_900, &format!("{n}y")))),
            format!("{{\"a\":\"{}\"}}", text(1_900, "")),
        ),
        (
            "look-ups of numbers",
            format!("a in [{}] or b in [{}]", numbers(900, 7), numbers(900, 5)),
            "{\"a\":3,\"b\":3}".into(),
        ),
        (
            "look-ups of floats",
            format!("a in [{}]", joined(900, ",", |n| format!("{n}.25"))),
            "{\"a\":300.5}".into(),
        ),
        (
            "a walk of numbers",
            format!("a anyof [{}]", numbers(900, 7)),
            format!("{{\"a\":[{}]}}", joined(1_000, ",", |n| (n * 7 + 3).to_string())),
        ),
        (
            "a walk of texts",
            format!("a anyof [{}]", joined(900, ",", |n| format!("'value-{n:04}'"))),
            format!("{{\"a\":[{}]}}", joined(1_000, ",", |n| format!("\"value-{n:04}x\""))),
        ),
        (
            "a walk of texts that may be instants",
            format!(
                "a anyof [{}]",
                joined(400, ",", |n| format!("2023-01-01T00:{:02}:{:02}", n / 60, n % 60))
            ),
            format!("{{\"a\":[{}]}}", instants("\"")),
        ),
        (
            "a walk for a thousand tests",
            joined(900, " or ", |n| format!("a allof [{n},-1]")),
            format!("{{\"a\":[{}]}}", numbers(1_000, 1)),
        ),
        ("an equality of objects", "a == b".into(), format!("{{\"a\":{{{object}}},\"b\":{{{object}}}}}")),
        ("an equality of lists", "a == b".into(), format!("{{\"a\":[{0}],\"b\":[{0}]}}", numbers(1_000, 3))),
        (
            "steps of the calendar",
            format!("a{} > now", " + 1 months".repeat(1_000)),
            "{\"a\":\"2024-01-31\"}".into(),
        ),
        (
            "steps of years",
            format!("a{} > now", " + 1 years - 1 years".repeat(500)),
            "{\"a\":\"2024-02-29\"}".into(),
        ),
        (
            "steps of fixed durations",
            format!("a{} > now", " + 1 days - 1 days".repeat(500)),
            "{\"a\":\"2024-01-31\"}".into(),
        ),
        ("sums of floats", format!("a{} < 0", " + 0.5".repeat(1_500)), "{\"a\":1}".into()),
        ("sums of integers", format!("a{} < 0", " + 1".repeat(1_500)), "{\"a\":1}".into()),
        (
            "reading an instant",
            "a < now and a > now".into(),
            format!("{{\"a\":\"2024-01-01T00:00:00.{}\"}}", "1".repeat(16_000)),
        ),
        ("a search in a text", "a contains 'xxxxxxxy'".into(), format!("{{\"a\":\"{}\"}}", text(16_000, ""))),
        (
            "a search for a long text",
            format!("a contains '{}y{}'", text(500, ""), text(500, "")),
            format!("{{\"a\":\"{}\"}}", text(16_000, "")),
        ),
        (
            "operands",
            joined(400, " or ", |n| format!("(a == {n} and b != {n})")),
            "{\"a\":-1,\"b\":-1}".into(),
        ),
        (
            "parts that are kept",
            joined(180, " or ", |n| format!("(a == {n} and not (b < {n} and (a == {n} or c)))")),
            "{\"a\":-1,\"b\":-1}".into(),
        ),
        ("one comparison", "a == 1".into(), "{\"a\":5}".into()),
    ];
    let now = Timestamp::UNIX_EPOCH;
    let limits = QueryLimits::default().expression_bytes(1 << 20);
    let shape = |(name, filter, node): (&'static str, String, String)| {
        let filter = Filter::parse(&filter, &limits).expect("a filter");
        let node = json::parse(node.as_bytes(), &JsonLimits::default()).expect("JSON");
        let mut steps = 0;
        filter.test(&node, now, &mut steps);
        StepShape { name, filter, node, now, steps }
    };
    shapes.into_iter().map(shape).collect()
}

fn joined(count: usize, word: &str, piece: impl Fn(usize) -> String) -> String {
    (0..count).map(piece).collect::<Vec<_>>().join(word)
}

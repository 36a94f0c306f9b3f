//! Examples of the language for clients in other languages: filters and orders as trees, the text and the parameters that a builder
//! prints for them, and the rows that they find, as the engine does.
//!
//! `LIVESET_WRITE_LANGUAGE=1 cargo test -p liveset-engine --test it vectors::` writes them.

use std::fmt::Write as _;

use fastrand::Rng;
use liveset_engine::{Filter, Order, Query, QueryLimits};
use serde_json::{Map, Value, json};

use crate::support::{at, node, pick};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/language.json");
const NOW: &str = "2024-03-31T12:00:00Z";
const CASES: usize = 150;

/// Fields, each with values that it has and that it is compared with.
const FIELDS: &[(&str, &[&str])] = &[
    ("total", &["0", "1", "2.5", "-1", "1000"]),
    ("status", &[r#""new""#, r#""paid""#, r#""it's""#, r#""$p1""#, r#""""#]),
    ("customer.name", &[r#""Ann""#, r#""O'Neil""#, r#""é𝄞""#, r#""a\"b\\c\nd""#]),
    ("customer.`zip code`", &[r#""1""#, r#""2""#]),
    ("`in`", &["1", "2", "null"]),
    ("größe", &["1", "2"]),
    (
        "at",
        &[
            r#""2024-03-31T12:00:00Z""#,
            r#""2024-03-24T12:00:00Z""#,
            r#""2024-04-07T12:00:01Z""#,
            r#""2024-02-29""#,
        ],
    ),
];
const TEXTS: &[&str] = &["status", "customer.name", "customer.`zip code`"];
const PARTS: &[&str] = &["", "n", "'", "$", "𝄞", "Ann", "\\"];
const SPANS: &[&str] = &["7 days", "1 months", "90 minutes", "1 second"];

/// The names of a path as it is printed.
fn names(path: &str) -> Vec<String> {
    path.split('.').map(|name| name.trim_matches('`').to_owned()).collect()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn row(r: &mut Rng, id: usize) -> Value {
    let mut row = Map::from_iter([("id".to_owned(), json!(format!("r{id}")))]);
    for (path, values) in FIELDS {
        if r.u8(..5) > 0 {
            let (names, value) = (names(path), parsed(pick(r, values)));
            match &names[..] {
                [outer, inner] => {
                    let outer = row.entry(outer.as_str()).or_insert_with(|| json!({}));
                    outer.as_object_mut().expect("an object").insert(inner.clone(), value);
                }
                _ => drop(row.insert(names[0].clone(), value)),
            }
        }
    }
    for flag in ["urgent", "gift"] {
        if let Some(value) = pick(r, &[Some("true"), Some("false"), Some("\"true\""), None]) {
            row.insert(flag.into(), parsed(value));
        }
    }
    let tags: Vec<&str> = ["a", "b", "c"].into_iter().filter(|_| r.bool()).collect();
    row.insert("tags".into(), json!(tags));
    row.into()
}

// ---- trees ----

fn leaf(r: &mut Rng) -> Value {
    let (path, values) = pick(r, FIELDS);
    let (left, value) = (json!({ "field": path }), parsed(pick(r, values)));
    let compare = pick(r, &["eq", "ne", "lt", "le", "gt", "ge"]);
    match r.u8(..12) {
        0..4 => json!({ compare: [left, value] }),
        4 => json!({ compare: [left, { "field": pick(r, FIELDS).0 }] }),
        5 => json!({ pick(r, &["eq", "ne"]): [left, null] }),
        6 => json!({ compare: [{ "field": "at" }, { pick(r, &["ago", "fromNow"]): pick(r, SPANS) }] }),
        7 => json!({ compare: [{ "field": "at" }, pick(r, &[json_now as fn() -> Value, json_instant])()] }),
        8 => {
            let list: Vec<Value> = (0..r.usize(..4)).map(|_| parsed(pick(r, values))).collect();
            json!({ "oneOf": [left, list] })
        }
        9 => {
            let list: Vec<&str> = ["a", "b", "z"].into_iter().filter(|_| r.bool()).collect();
            json!({ pick(r, &["anyOf", "allOf"]): [{ "field": "tags" }, list] })
        }
        10 => json!({ "is": [{ "field": pick(r, &["urgent", "gift"]) }] }),
        _ => {
            let test = pick(r, &["startsWith", "endsWith", "contains"]);
            json!({ test: [{ "field": pick(r, TEXTS) }, pick(r, PARTS)] })
        }
    }
}

fn json_now() -> Value {
    json!({ "now": [] })
}

fn json_instant() -> Value {
    json!({ "date": "2024-03-24T12:00:00.000Z" })
}

fn grow(r: &mut Rng, depth: u32) -> Value {
    match if depth == 0 { 3 } else { r.u8(..5) } {
        0 => json!({ "not": [grow(r, depth - 1)] }),
        kind @ 1..=2 => {
            let parts: Vec<Value> = (0..r.usize(..4)).map(|_| grow(r, depth - 1)).collect();
            json!({ ["and", "or"][usize::from(kind - 1)]: parts })
        }
        _ => leaf(r),
    }
}

// ---- the text that a builder prints ----

/// How tightly a filter binds.
#[derive(PartialEq, PartialOrd, Clone, Copy)]
enum Level {
    Or,
    And,
    Test,
}

/// The one member of a tree.
fn member(tree: &Value) -> (&str, &[Value]) {
    let (name, parts) = tree.as_object().and_then(|tree| tree.iter().next()).expect("a tree has one member");
    (name, parts.as_array().map(Vec::as_slice).unwrap_or_default())
}

fn bind(value: Value, params: &mut Map<String, Value>) -> String {
    let name = format!("p{}", params.len() + 1);
    params.insert(name.clone(), value);
    format!("${name}")
}

fn operand(value: &Value, params: &mut Map<String, Value>) -> String {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    if let Some(path) = text("field") {
        return path.to_owned();
    }
    for (name, sign) in [("ago", '-'), ("fromNow", '+')] {
        if let Some(span) = text(name) {
            return format!("now {sign} {}", bind(json!({ "duration": span }), params));
        }
    }
    match text("date") {
        Some(instant) => bind(json!({ "instant": instant }), params),
        None if value.get("now").is_some() => "now".into(),
        None => bind(value.clone(), params),
    }
}

fn print(tree: &Value, params: &mut Map<String, Value>) -> (String, Level) {
    let (name, parts) = member(tree);
    let words = [
        ("eq", "=="),
        ("ne", "!="),
        ("lt", "<"),
        ("le", "<="),
        ("gt", ">"),
        ("ge", ">="),
        ("oneOf", "in"),
        ("anyOf", "anyof"),
        ("allOf", "allof"),
        ("startsWith", "startswith"),
        ("endsWith", "endswith"),
        ("contains", "contains"),
    ];
    if let Some((_, word)) = words.iter().find(|(other, _)| *other == name) {
        let (left, right) = (operand(&parts[0], params), operand(&parts[1], params));
        return (format!("{left} {word} {right}"), Level::Test);
    }
    let level = match name {
        "not" => return (format!("not ({})", print(&parts[0], params).0), Level::Test),
        "is" => return (operand(&parts[0], params), Level::Test),
        "and" => Level::And,
        _ => Level::Or,
    };
    match parts {
        [] => ((level == Level::And).to_string(), Level::Test),
        [one] => print(one, params),
        parts => {
            let part = |part| match print(part, params) {
                (text, inner) if inner <= level => format!("({text})"),
                (text, _) => text,
            };
            let parts: Vec<String> = parts.iter().map(part).collect();
            (parts.join(&format!(" {name} ")), level)
        }
    }
}

// ---- vectors ----

fn case(tree: &Value, keys: &[Value], rows: &[Value]) -> Value {
    let mut params = Map::new();
    let text = print(tree, &mut params).0;
    let key = |key: &Value| match key.get("desc") {
        Some(path) => format!("{} desc", path.as_str().unwrap_or_default()),
        None => key.as_str().unwrap_or_default().to_owned(),
    };
    let order_by = keys.iter().map(key).collect::<Vec<_>>().join(", ");
    let asked = json!({ "edge": "", "filter": text, "params": params }).to_string();
    let asked = Query::parse(asked.as_bytes()).unwrap();
    let limits = QueryLimits::default();
    let filter =
        Filter::bound(&text, &asked.params, &limits).unwrap_or_else(|error| panic!("{text}: {error}"));
    let order = Order::parse(&order_by, &limits).unwrap_or_else(|error| panic!("{order_by}: {error}"));
    let mut found = Vec::new();
    for row in rows {
        let (value, id) = (node(&row.to_string()), row["id"].as_str().unwrap());
        if filter.matches(&value, at(NOW)) {
            let mut rank = Vec::new();
            order.rank(&value, id, &mut rank);
            found.push((rank, id));
        }
    }
    found.sort();
    let ids: Vec<&str> = found.into_iter().map(|(_, id)| id).collect();
    json!({ "filter": tree, "where": text, "params": params, "order": keys, "orderBy": order_by, "ids": ids })
}

#[test]
fn the_vectors_are_what_the_engine_finds() {
    let mut r = Rng::with_seed(20_240_331);
    let rows: Vec<Value> = (0..24).map(|id| row(&mut r, id)).collect();
    let mut cases = Vec::new();
    while cases.len() < CASES {
        let depth = r.u32(..4);
        let tree = grow(&mut r, depth);
        let mut key = || {
            let path = pick(&mut r, FIELDS).0;
            if r.bool() { json!(path) } else { json!({ "desc": path }) }
        };
        let keys = [key(), key()];
        cases.push(case(&tree, &keys, &rows));
    }
    let found: usize = cases.iter().map(|case| case["ids"].as_array().unwrap().len()).sum();
    assert!((CASES..CASES * 20).contains(&found), "some rows are found, and some are not: {found}");

    let lines = |values: &[Value]| {
        let lines: Vec<String> = values.iter().map(|value| format!("    {value}")).collect();
        lines.join(",\n")
    };
    let mut text = String::new();
    writeln!(text, "{{\n  \"now\": \"{NOW}\",\n  \"rows\": [\n{}\n  ],", lines(&rows)).unwrap();
    writeln!(text, "  \"cases\": [\n{}\n  ]\n}}", lines(&cases)).unwrap();
    if std::env::var_os("LIVESET_WRITE_LANGUAGE").is_some() {
        std::fs::write(VECTORS, &text).unwrap();
    }
    // The order of fields is that of the host's `serde_json`.
    assert_eq!(parsed(&std::fs::read_to_string(VECTORS).unwrap()), parsed(&text));
}

//! Ranks compare as bytes the way nodes compare in an order, by a comparator that knows nothing of bytes.

use std::cmp::Ordering;

use fastrand::Rng;
use liveset_engine::{Order, QueryLimits, Value};

use crate::support::{INSTANTS, node, pick, random_json};

fn kind(value: &Value) -> u8 {
    match value {
        Value::Nothing => 0,
        Value::Bool(false) => 1,
        Value::Bool(true) => 2,
        Value::Number(_) => 3,
        Value::Instant(_) => 4,
        Value::Text(_) => 5,
        Value::List(_) => 6,
        Value::Object(_) => 7,
    }
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.cmp(b),
        (Value::Instant(a), Value::Instant(b)) => a.at().cmp(&b.at()),
        (Value::Text(a), Value::Text(b)) => a.chars().cmp(b.chars()),
        (Value::List(a), Value::List(b)) => {
            let first = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|ordering| ordering.is_ne());
            first.unwrap_or(a.len().cmp(&b.len()))
        }
        _ => kind(a).cmp(&kind(b)),
    }
}

fn rank(order: &Order, value: &Value, id: &str) -> Vec<u8> {
    let mut out = Vec::new();
    order.rank(value, id, &mut out);
    out
}

#[test]
fn ranks_sort_as_values_do() {
    let limits = QueryLimits::default();
    let mut random = Rng::with_seed(21);
    let ids = ["", "1", "10", "2", "é", "a\0b", "a"];
    let orders = ["", "a", "a desc", "a, b", "a desc, b", "a, b desc", "a desc, b desc", "a.d, a, b.x desc"];
    for text in orders {
        let order = Order::parse(text, &limits).unwrap();
        let keys: Vec<(liveset_engine::Path, bool)> = text
            .split(", ")
            .filter(|key| !key.is_empty())
            .map(|key| {
                let path = key.trim_end_matches(" desc");
                (liveset_engine::Path::parse(path, &limits).unwrap(), key.ends_with("desc"))
            })
            .collect();
        for _ in 0..4_000 {
            let [a, b] = [0, 1].map(|_| {
                let mut value = node(&format!(
                    r#"{{"a":{},"b":{}}}"#,
                    random_json(&mut random, 3),
                    random_json(&mut random, 2)
                ));
                if random.u64(..100) < 20
                    && let Some(field) = value.at_mut(&liveset_engine::Path::field("a"))
                {
                    *field = Value::Text(pick(&mut random, INSTANTS).into()).into_instant().unwrap();
                }
                value
            });
            let (a_id, b_id) = (pick(&mut random, &ids), pick(&mut random, &ids));
            let by_keys = keys.iter().fold(Ordering::Equal, |so_far, (path, descending)| {
                let key = compare(a.at(path), b.at(path));
                so_far.then(if *descending { key.reverse() } else { key })
            });
            let expected = by_keys.then_with(|| a_id.chars().cmp(b_id.chars()));
            let found = rank(&order, &a, a_id).cmp(&rank(&order, &b, b_id));
            assert_eq!(found, expected, "{text}: {a:?} {a_id} against {b:?} {b_id}");
        }
    }
}

#[test]
fn ties_are_broken_by_id_ascending() {
    let order = Order::parse("a desc", &QueryLimits::default()).unwrap();
    let tied = node(r#"{"a":{"x":1}}"#);
    let other = node(r#"{"a":{"y":2}}"#);
    assert!(rank(&order, &tied, "1") < rank(&order, &other, "10"));
    assert!(rank(&order, &other, "10") < rank(&order, &tied, "2"));
    assert_eq!(rank(&Order::by_id(), &tied, "x"), b"x");
}

#[test]
fn repeated_keys_change_nothing() {
    let limits = QueryLimits::default();
    let once = Order::parse("a, b desc", &limits).unwrap();
    let again = Order::parse("a, a desc, b desc, b", &limits).unwrap();
    assert_eq!(once, again);
    assert!(once.paths().map(ToString::to_string).eq(["a", "b"]));
}

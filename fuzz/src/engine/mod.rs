//! The query language, and live queries against recomputation.
//!
//! Expressions are text, so that a corpus can be read and written by people: an expression, and behind it the nodes to try it
//! on, each on a line of its own that begins with `{`.

use std::cmp::Ordering;
use std::time::Duration;

use liveset_engine::{
    ExprError, Filter, JsonLimits, Literal, Number, Order, Parameter, QueryLimits, Timestamp, Value, json,
};

mod holds;
mod window;

pub use holds::{holds, holds_stats};
pub use window::{window, window_stats};

/// Reads an expression and what stands behind it: nodes, each on a line that begins with `{`. Lines that are no JSON are
/// passed over.
fn expression(data: &[u8]) -> Option<(&str, Vec<Value>)> {
    let text = std::str::from_utf8(data).ok()?;
    let (text, rest) = match text.find("\n{") {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, ""),
    };
    let node = |line: &str| json::parse(line.as_bytes(), &JsonLimits::default()).ok();
    Some((text, rest.lines().filter_map(node).take(16).collect()))
}

/// What was printed may be longer than what was written (white space, doubled quotes).
fn printed() -> QueryLimits {
    QueryLimits::default().expression_bytes(1 << 20)
}

/// Reads a filter whose parameters have values: text, a number or a list, as the first letter of their names says.
pub fn read_filter(text: &str) -> Result<Filter, ExprError> {
    let value = |name: &str| {
        Some(match name.chars().next()? {
            't' => Parameter::One(Literal::Text("it's $x".into())),
            'n' => Parameter::One(Literal::Number(Number::Float(-7.5))),
            'l' => {
                Parameter::Many(vec![Literal::Nothing, Literal::Bool(true), Literal::Instant(Timestamp::MAX)])
            }
            _ => return None,
        })
    };
    Filter::parse_with(text, &QueryLimits::default(), &value)
}

/// A filter that can be read prints as itself, its canonical form means the same, and it tells in time when a node enters
/// or leaves it; one that cannot be read says so in one line.
pub fn filter(data: &[u8]) {
    let Some((text, nodes)) = expression(data) else { return };
    let filter = match read_filter(text) {
        Ok(filter) => filter,
        Err(error) => {
            assert!(error.line >= 1 && error.line <= text.split('\n').count(), "{error}");
            assert!(error.column >= 1, "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
            return;
        }
    };
    let again = Filter::parse(&filter.to_string(), &printed()).expect("what was printed can be read");
    assert_eq!(again.expr(), filter.expr(), "printing keeps the tree");
    let canonical = Filter::parse(filter.canonical(), &printed()).expect("the canonical form can be read");
    assert_eq!(canonical.canonical(), filter.canonical(), "the canonical form is that of itself");
    assert_eq!(canonical.to_string(), filter.canonical(), "the canonical form prints as itself");
    assert_eq!(canonical.uses_now(), filter.uses_now());
    assert!(canonical.paths().eq(filter.paths()));

    let start = Timestamp::parse_rfc3339("2024-02-29T12:00:00Z").expect("an instant");
    let nanosecond = Duration::from_nanos(1);
    for node in &nodes {
        let mut now = start;
        for _ in 0..8 {
            let matches = filter.matches(node, now);
            assert_eq!(canonical.matches(node, now), matches, "the canonical form means the same at {now}");
            let Some(flip) = filter.next_flip(node, now) else {
                assert_eq!(filter.matches(node, Timestamp::MAX), matches, "nothing changes after {now}");
                break;
            };
            assert!(flip > now, "a flip is to come: {flip} at {now}");
            let half = now.saturating_add(flip.saturating_duration_since(now) / 2);
            for before in [half, flip.saturating_sub(nanosecond)] {
                assert_eq!(
                    filter.matches(node, before),
                    matches,
                    "nothing changes from {now} to before {flip}"
                );
            }
            now = flip;
        }
    }
}

/// An order that can be read prints as itself; ranks compare as bytes, differ for different ids, and turn around for `desc`.
pub fn order(data: &[u8]) {
    let Some((text, nodes)) = expression(data) else { return };
    let order = match Order::parse(text, &QueryLimits::default()) {
        Ok(order) => order,
        Err(error) => {
            assert!(error.line >= 1 && error.column >= 1, "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
            return;
        }
    };
    let again = Order::parse(order.canonical(), &printed()).expect("the canonical form can be read");
    assert_eq!(again, order);

    let rank = |order: &Order, node: &Value, id: &str| {
        let mut rank = Vec::new();
        order.rank(node, id, &mut rank);
        rank
    };
    let parse = |text: String| Order::parse(&text, &printed()).expect("a path is an order");
    for path in order.paths() {
        let (up, down) = (parse(path.to_string()), parse(format!("{path} desc")));
        for (a, b) in pairs(&nodes) {
            let rising = rank(&up, a, "").cmp(&rank(&up, b, ""));
            assert_eq!(rank(&down, b, "").cmp(&rank(&down, a, "")), rising, "desc turns around");
            if a.at(path) == b.at(path) {
                assert_eq!(rising, Ordering::Equal, "equal values tie");
            }
            // The tie is broken by the id, and by nothing else.
            assert_eq!(rank(&up, a, "x").cmp(&rank(&up, b, "y")), rising.then(Ordering::Less));
        }
    }
    for (a, b) in pairs(&nodes) {
        assert_ne!(rank(&order, a, "x"), rank(&order, b, "xy"), "ranks of different ids differ");
    }
}

fn pairs(nodes: &[Value]) -> impl Iterator<Item = (&Value, &Value)> {
    nodes.iter().flat_map(move |a| nodes.iter().map(move |b| (a, b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_ends_where_the_nodes_begin() {
        let (text, nodes) = expression(b"a == '{' and\nb\n{\"a\":1}\nno node\n{\"a\":2}").unwrap();
        assert_eq!((text, nodes.len()), ("a == '{' and\nb", 2));
        assert_eq!(expression(b"a").unwrap().1, []);
        assert!(expression(b"\xff").is_none());
    }
}

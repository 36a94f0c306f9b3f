//! The bodies of the fuzz targets: arbitrary bytes in, no panic out, and what must hold holds.
//!
//! Inputs are text as far as they can be, so that a corpus can be read and written by people: an expression, and behind it
//! the nodes to try it on, each on a line of its own that begins with `{`.
//!
//! Every function panics where the package breaks a promise, and only there.

use std::cmp::Ordering;
use std::time::Duration;

use bytes::Bytes;

use crate::json::{Wanted, extract, find, is_same};
use crate::{
    Filter, JsonError, JsonLimits, Number, Order, Path, Projection, QueryLimits, Timestamp, Value, json,
};

mod holds;
mod window;

pub use holds::holds;
pub use window::window;

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

/// A filter that can be read prints as itself, its canonical form means the same, and it tells in time when a node enters
/// or leaves it; one that cannot be read says so in one line.
pub fn filter(data: &[u8]) {
    let Some((text, nodes)) = expression(data) else { return };
    let filter = match Filter::parse(text, &QueryLimits::default()) {
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

/// Whatever JSON can be read, is the same without its white space, and is the same when every one of its fields is asked for;
/// what cannot be read says where.
pub fn json(data: &[u8]) {
    let limits = JsonLimits::default();
    let mut compact = Vec::new();
    json::compact(data, &mut compact);
    let read = json::parse(data, &limits);
    assert_eq!(
        json::check(data, &limits),
        read.as_ref().map(drop).map_err(Clone::clone),
        "checked as it is read"
    );
    extraction(data, &compact, &read, &limits);
    let value = match read {
        Ok(value) => value,
        Err(error) => {
            assert!(error.offset() <= data.len(), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
            // Bytes that are not JSON are passed over, not trusted.
            let _ = Projection::parse(&["a.b".into()], "id", &QueryLimits::default())
                .map(|projection| projection.project(&Bytes::copy_from_slice(data)));
            return;
        }
    };
    assert!(compact.len() <= data.len());
    assert_eq!(json::parse(&compact, &limits).as_ref(), Ok(&value), "white space means nothing");
    let mut again = Vec::new();
    json::compact(&compact, &mut again);
    assert_eq!(again, compact, "there is none left");

    let Value::Object(object) = &value else { return };
    let names: Vec<&str> = object.iter().map(|(name, _)| name).collect();
    let fields: Vec<String> = names.iter().map(|name| Path::field(name).to_string()).collect();
    let (Some(key), true) = (names.first(), fields.iter().map(String::len).sum::<usize>() < 10_000) else {
        return;
    };
    let Ok(all) = Projection::parse(&fields, key, &QueryLimits::default()) else { return };
    let projected = all.project(&compact.clone().into());
    assert_eq!(json::parse(&projected, &limits).as_ref(), Ok(&value), "a projection to all fields shows all");
    assert_eq!(projected, compact, "in the order and the spelling of the node");

    // One field shows that field and the key.
    let one = Projection::parse(&fields[fields.len() - 1..], key, &QueryLimits::default())
        .expect("one of the fields");
    let shown = json::parse(&one.project(&compact.into()), &limits).expect("a projection is JSON");
    assert!(one.same(&value, &shown), "a projection keeps what it shows");
    assert!(all.same(&value, &value));
}

/// Reading only what is wanted refuses what reading everything refuses, and sees the same values.
fn extraction(data: &[u8], compact: &[u8], read: &Result<Value, JsonError>, limits: &JsonLimits) {
    let mut paths = vec![Path::field("a"), Path::from_names(vec!["a".into(), "b".into()]), Path::field("a")];
    if let Ok(value) = read {
        add_paths(value, &mut Vec::new(), &mut paths);
    }
    let wanted = Wanted::new(&paths);
    let (value, extracted) = match (read, extract(data, &wanted, limits)) {
        (Ok(value), Ok(extracted)) => (value, extracted),
        (Err(error), Err(other)) => return assert_eq!(*error, other, "the same trouble"),
        (read, extracted) => panic!("{read:?} read, but extracted {extracted:?}"),
    };
    for (place, path) in paths.iter().enumerate() {
        let (found, there) = (&extracted.values[place], value.find(path));
        assert_eq!(found, value.at(path), "the value at {path}");
        assert!(computes_alike(found, value.at(path)), "the numbers at {path}");
        assert_eq!(extracted.was_present(place), there.is_some(), "whether there is {path}");
        assert_eq!(find(compact, path), *found, "the value at {path}, looked up");
    }
    assert_eq!(extracted.compact.as_deref(), (compact != data).then_some(compact), "white space goes");
    let again = extract(compact, &wanted, limits).expect("it was read before");
    assert_eq!(again.digest, extracted.digest, "white space has no part in the digest");
    assert!(is_same(data, compact), "white space means nothing");
}

/// Adds the paths to some of the fields of a value.
fn add_paths(value: &Value, names: &mut Vec<Box<str>>, paths: &mut Vec<Path>) {
    let Value::Object(object) = value else { return };
    for (name, value) in object.iter() {
        if paths.len() >= 70 || names.len() >= 4 {
            return;
        }
        names.push(name.into());
        paths.push(Path::from_names(names.clone()));
        add_paths(value, names, paths);
        names.pop();
    }
}

/// Whether arithmetic on two equal values comes out alike: each number in the one is an integer where it is one in the other.
fn computes_alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            matches!(a, Number::Float(_)) == matches!(b, Number::Float(_))
        }
        (Value::List(a), Value::List(b)) => a.iter().zip(b).all(|(a, b)| computes_alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.iter().zip(b.iter()).all(|((_, a), (_, b))| computes_alike(a, b))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator of our own: the same numbers on every run.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }
    }

    #[test]
    fn random_operations_keep_every_window_true() {
        for seed in 1..=300_u64 {
            let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let data: Vec<u8> = (0..300).map(|_| (random.next() >> 32) as u8).collect();
            window(&data);
        }
    }

    #[test]
    fn dear_input_keeps_to_holds() {
        let runs = std::env::var("LIVESET_SEEDS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(40);
        let (mut fell_behind, mut made_again, mut flips) = (0, 0, 0);
        for seed in 1..=runs {
            let mut random = Random(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15));
            let data: Vec<u8> = (0..1 + 4 * 48).map(|_| (random.next() >> 32) as u8).collect();
            let stats =
                std::panic::catch_unwind(|| holds::run(&data)).unwrap_or_else(|_| panic!("seed {seed}"));
            fell_behind += stats.fell_behind;
            made_again += stats.made_again;
            flips += stats.flips;
        }
        assert!(fell_behind > runs && made_again > 0 && flips > 0, "{fell_behind} {made_again} {flips}");
    }

    #[test]
    fn queries_that_are_behind_show_what_was() {
        let runs = std::env::var("LIVESET_SEEDS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(400);
        let (mut fell_behind, mut made_again) = (0, 0);
        for seed in 1..=runs {
            let mut random = Random(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15));
            let mut data: Vec<u8> = (0..600).map(|_| (random.next() >> 32) as u8).collect();
            data[0] |= 0xC0;
            let stats = window::run(&data);
            fell_behind += stats.fell_behind;
            made_again += stats.made_again;
        }
        assert!(fell_behind > 10 * runs && made_again > runs, "{fell_behind}, {made_again}");
    }

    #[test]
    fn an_expression_ends_where_the_nodes_begin() {
        let (text, nodes) = expression(b"a == '{' and\nb\n{\"a\":1}\nno node\n{\"a\":2}").unwrap();
        assert_eq!((text, nodes.len()), ("a == '{' and\nb", 2));
        assert_eq!(expression(b"a").unwrap().1, []);
        assert!(expression(b"\xff").is_none());
    }
}

//! The language against the oracle.

mod case;

use std::collections::BTreeMap;

use liveset_engine::{
    Engine, EngineLimits, FeedId, FieldKind, Filter, HashSeed, JsonLimits, Op, Path, Plan, QueryLimits,
    SetDef, Timestamp, Value, json,
};

use crate::oracle::{self, Nanos, Query, Store, Val, print_expr, same};
use crate::text::Json;
use case::Case;

const SET: &str = "nodes";
/// What is declared to be an instant, where anything is.
const DECLARED: [&str; 2] = ["at", "o.at"];

/// Reads a filter, an order, a projection and nodes (see `case`). The filter lets pass the nodes that the oracle lets pass,
/// now and at every moment before it says that time may change that; and a query over all nodes gives, once and live, what
/// the oracle gives: in number, order and content, while nodes come and go and the clock goes forth and back. The oracle says too
/// what is no node, and which filter has a constant that overflows.
pub fn evaluate(data: &[u8]) {
    evaluate_tally(data);
}

/// The same; tells how many nodes passed and how many did not. `None` where the filter is refused: a constant may overflow.
pub fn evaluate_tally(data: &[u8]) -> Option<(usize, usize)> {
    let case = Case::read(data, SET);
    let mut spelling = case.spelling;
    let expr = case.query.filter.as_ref().expect("a filter");
    let mut choice = |choices| {
        spelling = spelling.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (spelling >> 33) as usize % choices
    };
    let text = print_expr(expr, &mut choice);
    let bound = case.query.json(&mut choice).to_string();
    let bound = liveset_engine::Query::parse(bound.as_bytes()).expect("a query");
    // What overflows, or has a sum of constants that does, is refused, and what compares different kinds.
    let filter = Filter::parse(&text, &QueryLimits::default());
    assert_eq!(filter.is_err(), expr.is_refused(&[]), "{text}: {:?}", filter.err());
    let filter = filter.ok()?;
    let nodes: Vec<String> = case
        .nodes
        .iter()
        .enumerate()
        .map(|(n, node)| with_key(n % 5, node))
        .filter(|node| is_sound(node))
        .collect();
    let mut tally = (0, 0);
    for node in &nodes {
        for declared in [&[][..], &DECLARED[..]] {
            let Some((value, val)) = read(node, declared) else { continue };
            let passes = case.query.matches(&val, case.now);
            assert_eq!(filter.matches(&value, at(case.now)), passes, "{text} of {node}, {declared:?}");
            if passes {
                tally.0 += 1
            } else {
                tally.1 += 1
            }
            check_flip(&filter, &value, &case.query, &val, case.now, &text);
        }
    }
    check_results(&case, &bound, &filter, &nodes, &[]);
    check_results(&case, &bound, &filter, &nodes, &DECLARED);
    Some(tally)
}

/// Until the moment that the filter names, time changes nothing.
fn check_flip(filter: &Filter, value: &Value, query: &Query, val: &Val, now: Nanos, text: &str) {
    let passes = query.matches(val, now);
    let flip = filter.next_flip(value, at(now)).map(Timestamp::unix_nanos);
    assert!(flip.is_none_or(|flip| flip > now), "{text}");
    let end = flip.unwrap_or(now + 40 * 366 * 86_400_000_000_000).min(Timestamp::MAX.unix_nanos());
    let mut steps: Vec<Nanos> = (1..8).map(|part| (end - 1 - now) * part / 8).collect();
    steps.extend([1, 1_000_000_000, 3_600_000_000_000, 86_400_000_000_000, end - 1 - now]);
    for step in steps.into_iter().filter(|step| (1..end - now).contains(step)) {
        assert_eq!(query.matches(val, now + step), passes, "{text}: the change after {step} ns is late");
    }
}

/// Once, and live: from an empty set on, through commits and time. `query` has parameters in place of literals of `filter`.
fn check_results(
    case: &Case,
    query: &liveset_engine::Query,
    filter: &Filter,
    nodes: &[String],
    declared: &[&str],
) {
    let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
    let mut def = SetDef::new(SET);
    for path in declared {
        def = def.field(*path, FieldKind::Instant);
    }
    engine.define_set(def).expect("a set");
    let mut store = Store::default();
    store.define(SET, "id", declared);
    let plan = engine.prepare(query);
    assert_eq!(plan.is_err(), store.refuses(&case.query), "{query:?}, {declared:?}");
    let Ok(plan) = plan else { return };
    assert_eq!(plan.filter(), filter, "the values of parameters are literals: {query:?}");
    let (feed, snapshot) = engine.open(at(case.now), &plan).expect("there is room");
    assert_eq!(snapshot.count.total, 0);
    let mut live = BTreeMap::new();
    let mut now = case.now;
    for (n, node) in nodes.iter().enumerate() {
        // Where it is no instant that is declared to be one, both refuse it.
        let expected = store.apply(&[oracle::Op::upsert(SET, node)]).ok();
        let op = Op::Upsert { set: SET.into(), node: node.clone().into() };
        let committed = engine.commit(at(now), vec![op]).ok().map(|committed| committed.changed);
        assert_eq!(committed, expected, "{node}, {declared:?}");
        compare(&mut engine, &plan, feed, &mut live, case, &store, now);
        // Now and then one goes, whether or not it is there.
        if (case.spelling >> n).is_multiple_of(4) {
            let id = (n * 3 % 5).to_string();
            let expected = store.apply(&[oracle::Op::remove(SET, &id)]).expect("it may be missing");
            let op = Op::Remove { set: SET.into(), id };
            assert_eq!(engine.commit(at(now), vec![op]).expect("it may be missing").changed, expected);
            compare(&mut engine, &plan, feed, &mut live, case, &store, now);
        }
    }
    // Nodes as patches, some under the query's own filter as a condition; in the end the set is cleared.
    for (n, node) in case.nodes.iter().enumerate().take(8) {
        let id = (n * 2 % 5).to_string();
        let op = oracle::Op::patch(SET, &id, &with_key(n * 2 % 5, node), n % 2 == 0);
        let op = if n % 3 == 0 { op } else { op.only_if(case.query.filter.clone()) };
        let op = if n == 7 { oracle::Op::clear(SET) } else { op };
        if !matches!(&op, oracle::Op::Clear { .. }) && !is_sound(&with_key(n * 2 % 5, node)) {
            continue;
        }
        let expected = store.apply_at(std::slice::from_ref(&op), now).ok();
        let committed = engine.commit(at(now), vec![crate::engine_op(&op)]);
        assert_eq!(committed.as_ref().ok().map(|it| it.changed), expected, "{op:?}: {committed:?}");
        compare(&mut engine, &plan, feed, &mut live, case, &store, now);
    }
    for _ in 0..4 {
        let Some(due) = engine.poll_timeout() else { break };
        now = due.unix_nanos();
        engine.handle_timeout(due);
        compare(&mut engine, &plan, feed, &mut live, case, &store, now);
    }
    // The clock is set back, and goes on from there.
    let hours = i128::from([1, 25, 24 * 31, 24 * 366][(case.spelling >> 40) as usize % 4]);
    let Some(back) = Timestamp::from_unix_nanos(now - hours * 3_600_000_000_000) else { return };
    let mut due = Some(back);
    for _ in 0..3 {
        let Some(moment) = due else { break };
        engine.handle_timeout(moment);
        compare(&mut engine, &plan, feed, &mut live, case, &store, moment.unix_nanos());
        due = engine.poll_timeout();
    }
}

/// What somebody who watches has, in order.
type Live = BTreeMap<Vec<u8>, (String, Vec<u8>)>;

fn compare(
    engine: &mut Engine,
    plan: &Plan,
    feed: FeedId,
    live: &mut Live,
    case: &Case,
    store: &Store,
    now: Nanos,
) {
    while let Some(update) = engine.poll_update() {
        assert_eq!(update.feed, feed);
        for change in update.changes() {
            if let Some(before) = change.before() {
                live.remove(&before.order_key()[..]);
            }
            if let Some(after) = change.after() {
                live.insert(after.order_key().to_vec(), (after.id().to_owned(), after.json().to_vec()));
            }
        }
    }
    let shown = store.result(&case.query, now, 1_000);
    let once = engine.evaluate(at(now), plan).expect("few fields are read");
    assert_eq!((once.count.total, once.count.capped), (shown.total, shown.capped), "{case:?}");
    let once = once.rows.iter().map(|row| (row.id(), row.json()));
    let live = live.values().map(|(id, data)| (&**id, &data[..]));
    for rows in [once.collect::<Vec<_>>(), live.collect()] {
        let ids: Vec<&str> = rows.iter().map(|(id, _)| *id).collect();
        let expected: Vec<&str> = shown.rows.iter().map(|(id, _)| &**id).collect();
        assert_eq!(ids, expected, "{case:?}");
        for ((_, data), (_, expected)) in rows.iter().zip(&shown.rows) {
            let data = Val::parse(data).expect("JSON");
            assert!(same(&data, expected), "{data:?}, expected {expected:?}: {case:?}");
        }
    }
}

/// A node in both forms; `None` where a declared instant is none.
fn read(node: &str, declared: &[&str]) -> Option<(Value, Val)> {
    let mut value = json::parse(node.as_bytes(), &JsonLimits::default()).expect("it is sound");
    let mut val = Val::parse(node.as_bytes()).expect("it is sound");
    for path in declared {
        if !val.declare_instant(&oracle::build::names(path)) {
            return None;
        }
        let path = Path::parse(path, &QueryLimits::default()).expect("a path");
        if let Some(place) = value.at_mut(&path).filter(|place| !matches!(place, Value::Nothing)) {
            let instant = std::mem::take(place).into_instant();
            *place = instant.expect("the oracle reads it as an instant");
        }
    }
    Some((value, val))
}

/// A few keys, so that nodes are written anew.
fn with_key(key: usize, rest: &str) -> String {
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    format!("{{\"id\":\"{key}\"{comma}{rest}")
}

/// Not all that lines hold is a node: keys may repeat, numbers be too large.
fn is_sound(node: &str) -> bool {
    let is_sound = Json::strict(node, 64).is_some();
    assert_eq!(json::parse(node.as_bytes(), &JsonLimits::default()).is_ok(), is_sound, "{node}");
    is_sound
}

fn at(nanos: Nanos) -> Timestamp {
    Timestamp::from_unix_nanos(nanos).expect("the oracle's instants exist")
}

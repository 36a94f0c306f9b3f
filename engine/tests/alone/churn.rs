//! Queries that come and go leave nothing behind: neither what the engine counts nor what it does not.

use liveset_engine::{Engine, EngineLimits, FieldKind, HashSeed, Op, Query, SetDef, Stats, Timestamp};

use crate::{HEAP, alone};

const NODES: u64 = 2_000;

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2025-01-01T00:00:00Z").expect("a moment")
}

fn orders() -> Engine {
    let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
    engine.define_set(SetDef::new("orders").field("createdAt", FieldKind::Instant)).expect("a set");
    let node = |id: u64| {
        let (customer, day) = (id % 500, 1 + id % 28);
        let node = format!(
            r#"{{"id":{id},"customer":{customer},"total":{},"name":"order {id}","createdAt":"2024-12-{day:02}T00:00:00Z"}}"#,
            id % 97
        );
        Op::Upsert { set: "orders".into(), node: node.into() }
    };
    engine.commit(now(), (0..NODES).map(node).collect()).expect("good nodes");
    engine
}

fn open_and_close(engine: &mut Engine, query: &Query) {
    let plan = engine.prepare(query).expect("a query");
    let (feed, _) = engine.open(now(), &plan).expect("room for a view");
    engine.close(feed);
}

fn held(engine: &Engine) -> [u64; 8] {
    let Stats {
        views, feeds, indexes, deadlines, row_bytes, index_bytes, window_bytes, unindexed_views, ..
    } = engine.stats();
    [views, feeds, indexes, deadlines, row_bytes, index_bytes, window_bytes, unindexed_views]
}

/// What is held does not grow from one round to the next.
fn assert_flat(what: &str, mut round: impl FnMut(&mut Engine, u64), rounds: u64, slack: usize) {
    let mut engine = orders();
    for number in 0..rounds / 10 {
        round(&mut engine, number);
    }
    let (counted, heap) = (held(&engine), HEAP.current_usage());
    for number in rounds / 10..rounds {
        round(&mut engine, number);
    }
    assert_eq!(held(&engine), counted, "{what}");
    let grown = HEAP.current_usage().saturating_sub(heap);
    assert!(grown <= slack, "{what}: {grown} bytes more than after the first of {rounds} rounds");
}

/// What is held grows and shrinks, and its most is the same in the second half of the rounds as in the first.
fn assert_bounded(what: &str, mut round: impl FnMut(&mut Engine, u64), rounds: u64) {
    let mut engine = orders();
    HEAP.reset_peak_usage();
    (0..rounds / 2).for_each(|number| round(&mut engine, number));
    let most = HEAP.peak_usage();
    HEAP.reset_peak_usage();
    (rounds / 2..rounds).for_each(|number| round(&mut engine, number));
    let grown = HEAP.peak_usage().saturating_sub(most);
    assert!(
        grown < most / 50,
        "{what}: {grown} bytes more than {most} in the second half of {rounds} rounds"
    );
}

#[test]
fn queries_that_come_and_go_leave_nothing_behind() {
    let _alone = alone();
    let of = |filter: String| Query::new("orders").filter(filter).order_by("total").limit(5);
    assert_flat(
        "one shape",
        |engine, number| open_and_close(engine, &of(format!("customer == {}", number % 1_000))),
        1_000_000,
        4_096,
    );
    assert_flat(
        "ranges, texts and time",
        |engine, number| {
            open_and_close(engine, &of(format!("total >= {} and total < {}", number % 90, number % 90 + 3)));
            open_and_close(engine, &of(format!("name startswith 'order {}'", number % 100)));
            open_and_close(engine, &of(format!("customer == {} and createdAt > now - 7 days", number % 100)));
        },
        1_000,
        4_096,
    );
    // Fields that were read once are forgotten, by rows too.
    assert_bounded(
        "a field that no query has read before",
        |engine, number| {
            open_and_close(engine, &of(format!("customer == {} and field{number} == 1", number % 500)));
        },
        1_000,
    );
    assert_bounded(
        "a time that no query has read before",
        |engine, number| {
            open_and_close(engine, &of(format!("field{number} > now - 7 days")));
        },
        400,
    );
}

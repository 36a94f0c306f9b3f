//! A query that is found in vain too often is filed under another part of its filter.

use liveset_engine::{Engine, EngineLimits, HashSeed, Op, Query, SetDef, Timestamp};

const NOW: Timestamp = Timestamp::MIN;

fn put(engine: &mut Engine, id: u64, a: u64, b: u64) {
    let node = format!(r#"{{"id":{id},"a":{a},"b":{b}}}"#);
    engine.commit(NOW, vec![Op::Upsert { set: "nodes".into(), node: node.into() }]).expect("a good node");
}

#[test]
fn a_value_that_becomes_common_finds_a_query_no_more() {
    let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
    engine.define_set(SetDef::new("nodes")).expect("a set");
    // `a == 1` is rare, `b == 7` is in every other node.
    for id in 0..100 {
        put(&mut engine, id, 2 + id % 40, 7 - id % 2);
    }
    let plan = engine.prepare(&Query::new("nodes").filter("a == 1 and b == 7").limit(3)).expect("a query");
    let (feed, snapshot) = engine.open(NOW, &plan).expect("room for a view");
    assert_eq!(snapshot.count.total, 0);
    assert_eq!(engine.explain(NOW, &plan).unwrap().probes, ["a is 1"]);

    // Now it is the other way round.
    for id in 0..2_000 {
        put(&mut engine, id, 1, if id % 500 == 0 { 7 } else { 8 });
    }
    assert_eq!(engine.stats().rechosen, 1);
    assert_eq!(engine.explain(NOW, &plan).unwrap().probes, ["b is 7"]);
    let before = engine.stats();
    for id in 2_000..3_000 {
        put(&mut engine, id, 1, if id % 500 == 0 { 7 } else { 8 });
    }
    assert_eq!(engine.stats().since(&before).candidates_found, 2);

    let held: Vec<String> =
        engine.snapshot(feed).expect("it is open").rows.iter().map(|row| row.id().to_owned()).collect();
    assert_eq!(held, ["0", "1000", "1500"]);
    let last = std::iter::from_fn(|| engine.poll_update()).last().and_then(|update| update.count);
    assert_eq!(last.map(|count| (count.total, count.capped)), Some((6, true)));

    // And is left as it was filed last.
    engine.close(feed);
    let before = engine.stats();
    put(&mut engine, 9_000, 1, 7);
    assert_eq!((engine.stats().since(&before).candidates_found, engine.stats().views), (0, 0));
}

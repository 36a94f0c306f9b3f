//! A test over time that an order of values serves waits for one moment, however many nodes will flip, and looks at none but
//! those that do.

use liveset_engine::{Engine, EngineLimits, FieldKind, HashSeed, Op, Query, SetDef, Timestamp};

const NODES: u64 = 50_000;
const SECOND: i128 = 1_000_000_000;
const WEEK: i128 = 7 * 24 * 3_600;

fn at(second: i128) -> Timestamp {
    Timestamp::from_unix_nanos((1_700_000_000 + second) * SECOND).expect("a moment of our time")
}

fn put(id: u64, created: i128) -> Op {
    let node = format!(r#"{{"id":{id},"createdAt":"{}"}}"#, at(created));
    Op::Upsert { set: "orders".into(), node: node.into() }
}

#[test]
fn many_nodes_under_one_test_wait_for_one_moment() {
    let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
    engine.define_set(SetDef::new("orders").field("createdAt", FieldKind::Instant)).expect("a set");
    engine.commit(at(0), (0..NODES).map(|id| put(id, i128::from(id) * -10)).collect()).expect("good nodes");
    let query = Query::new("orders").filter("createdAt > now - 7 days").order_by("createdAt desc").limit(20);
    let plan = engine.prepare(&query).expect("a query");
    let (feed, snapshot) = engine.open(at(0), &plan).expect("room for a view");
    assert_eq!(snapshot.count.total, NODES, "the oldest is {} days old", NODES * 10 / 86_400);
    assert_eq!(engine.stats().deadlines, 1);
    let oldest = (NODES as i128 - 1) * -10;
    assert_eq!(engine.poll_timeout(), Some(at(oldest + WEEK)));

    // Other queries over the same test wait with it, however they are found.
    let other =
        engine.prepare(&Query::new("orders").filter("createdAt > now - 7 days and open")).expect("a query");
    let (other, _) = engine.open(at(0), &other).expect("room for a view");
    assert_eq!(engine.stats().deadlines, 1);
    engine.close(other);

    let before = engine.stats();
    for flip in 1..=5 {
        let moment = engine.poll_timeout().expect("nodes will flip");
        assert_eq!(moment, at(oldest + WEEK + (flip - 1) * 10));
        engine.handle_timeout(moment);
        let count = engine.poll_update().and_then(|update| update.count).map(|count| count.total);
        assert_eq!(count, Some(NODES - flip as u64));
    }
    let work = engine.stats().since(&before);
    assert_eq!((work.flips, work.predicates_evaluated, work.rows_visited), (5, 10, 0));
    assert_eq!(engine.stats().deadlines_fired, 5);

    // A step over many moments is one step.
    engine.handle_timeout(at(oldest + WEEK + 1_000));
    let work = engine.stats().since(&before);
    assert_eq!((work.flips, work.rows_visited), (101, 0));
    assert_eq!(std::iter::from_fn(|| engine.poll_update()).count(), 1);

    // A commit may bring what flips earlier, and take it away again.
    let now = at(oldest + WEEK + 1_000);
    let next = engine.poll_timeout();
    engine.commit(now, vec![put(1_000_000, oldest + 1_001)]).expect("a good node");
    assert_eq!(engine.poll_timeout(), Some(at(oldest + WEEK + 1_001)));
    engine.commit(now, vec![Op::Remove { set: "orders".into(), id: "1000000".into() }]).expect("an id");
    assert_eq!((engine.poll_timeout(), engine.stats().deadlines), (next, 1));

    engine.close(feed);
    assert_eq!((engine.poll_timeout(), engine.stats().deadlines), (None, 0));
}

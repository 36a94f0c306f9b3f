//! Limits at 0 and 1, and what is said of input beyond every limit.

use liveset_engine::{Engine, EngineLimits, HashSeed, Op, Query, SetDef, Timestamp};

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2024-01-01").unwrap()
}

fn engine(limits: EngineLimits) -> Engine {
    let mut engine = Engine::new(limits, HashSeed::FIXED);
    engine.define_set(SetDef::new("s")).unwrap();
    engine
}

fn upsert(node: &str) -> Op {
    Op::Upsert { set: "s".into(), node: node.as_bytes().to_vec().into() }
}

#[test]
fn a_window_holds_one_node_at_least() {
    for (max_window, held) in [(0, 1), (1, 1), (2, 2)] {
        let mut engine = engine(EngineLimits::default().max_window(max_window));
        for limit in [1, 7, u64::MAX] {
            let plan = engine.prepare(&Query::new("s").limit(limit)).unwrap();
            assert_eq!(plan.cap(), held.min(usize::try_from(limit).unwrap_or(usize::MAX)));
        }
        let plan = engine.prepare(&Query::new("s")).unwrap();
        let (_, snapshot) = engine.open(now(), &plan).unwrap();
        assert_eq!((snapshot.rows.len(), snapshot.count.capped), (0, false));
        engine.commit(now(), (0..3).map(|id| upsert(&format!(r#"{{"id":{id}}}"#))).collect()).unwrap();
        let update = engine.poll_update().unwrap();
        let count = update.count.expect("followed");
        assert_eq!((update.len(), count.total, count.capped), (held, 3, true));
        assert_eq!(engine.evaluate(now(), &plan).unwrap().rows.len(), held);
    }
}

/// Whoever wants no limit says so by the largest number there is.
#[test]
fn a_limit_may_be_as_large_as_can_be() {
    let max = usize::MAX;
    let limits = EngineLimits::default()
        .max_window(max)
        .max_nodes_per_set(max)
        .max_node_bytes(max)
        .max_views(max)
        .max_unindexed_views(max)
        .max_filling(max)
        .max_window_bytes(max)
        .max_columns(max)
        .slice_rows(max)
        .shards(max);
    let mut engine = engine(limits);
    for filter in ["", "a > 1", "not (a <= 1)"] {
        for order in ["", "a desc"] {
            let plan = engine.prepare(&Query::new("s").filter(filter).order_by(order)).unwrap();
            engine.open(now(), &plan).unwrap();
        }
    }
    engine.commit(now(), (0..100).map(|id| upsert(&format!(r#"{{"id":{id},"a":{id}}}"#))).collect()).unwrap();
    engine.commit(now(), vec![Op::Remove { set: "s".into(), id: "7".into() }]).unwrap();
    let updates: Vec<_> = std::iter::from_fn(|| engine.poll_update()).collect();
    assert_eq!(updates.len(), 12);
    let plan = engine.prepare(&Query::new("s").filter("a > 1").order_by("a")).unwrap();
    assert_eq!(engine.open(now(), &plan).unwrap().1.rows.len(), 97);
}

#[test]
fn nothing_is_accepted_where_a_limit_is_none() {
    let default = EngineLimits::default;
    let node = || vec![upsert(r#"{"id":1}"#)];
    let refused =
        [default().max_nodes_per_set(0), default().max_node_bytes(0), default().max_ops_per_commit(0)];
    for limits in refused {
        let mut engine = engine(limits);
        assert!(engine.commit(now(), node()).is_err());
        assert_eq!(engine.commit(now(), Vec::new()).unwrap().commit, 1);
    }
    let mut engine = engine(default().max_views(0));
    let plan = engine.prepare(&Query::new("s")).unwrap();
    assert!(engine.open(now(), &plan).is_err());
    assert_eq!((engine.stats().views, engine.stats().feeds), (0, 0));
    engine.commit(now(), node()).unwrap();
    assert_eq!(engine.evaluate(now(), &plan).unwrap().count.total, 1);
}

/// A peer's mistake is not sent back in its full length.
#[test]
fn errors_stay_short_whatever_they_are_about() {
    let mut engine = engine(EngineLimits::default());
    let long = "\u{1}x".repeat(100_000);
    let texts = [
        engine.prepare(&Query::new(&long)).unwrap_err().to_string(),
        engine.prepare(&Query::new("s").filter(&long)).unwrap_err().to_string(),
        engine.prepare(&Query::new("s").order_by(&long)).unwrap_err().to_string(),
        engine.prepare(&Query::new("s").fields([&long])).unwrap_err().to_string(),
        engine
            .commit(now(), vec![Op::Remove { set: long.as_str().into(), id: "x".into() }])
            .unwrap_err()
            .to_string(),
        engine.commit(now(), vec![Op::Remove { set: "s".into(), id: long.clone() }]).unwrap_err().to_string(),
        engine
            .commit(now(), vec![upsert(&format!(r#"{{"id":"{}"}}"#, "x".repeat(100_000)))])
            .unwrap_err()
            .to_string(),
        engine
            .commit(now(), vec![upsert(&format!(r#"{{"id":"{}","a":}}"#, "x".repeat(100_000)))])
            .unwrap_err()
            .to_string(),
    ];
    for text in texts {
        assert!(text.len() < 600 && !text.contains(char::is_control), "{} bytes: {text:.200}", text.len());
    }
}

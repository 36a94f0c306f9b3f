//! The work of a commit follows the queries that it may touch, not the queries that there are.

use liveset_engine::{Engine, EngineLimits, FieldKind, Instant, Op, Query, SetDef, Work};

const NOW: Instant = Instant::MIN;

fn engine() -> Engine {
    let mut engine = Engine::new(EngineLimits::default());
    engine.define_set(SetDef::new("orders", "id").field("at", FieldKind::Instant, false)).expect("a set");
    engine
}

fn watch(engine: &mut Engine, filter: String) {
    let plan = engine.prepare(&Query::new("orders").filter(filter).limit(10)).expect("a query");
    engine.open(NOW, &plan).expect("room for a view");
}

/// The updates of a commit of one node, and the work that it took.
fn upsert(engine: &mut Engine, node: &str) -> (usize, Work) {
    let before = engine.stats();
    engine
        .commit(NOW, vec![Op::Upsert { set: "orders".into(), node: node.to_owned().into() }])
        .expect("a good node");
    let after = engine.stats();
    let work = after.work.since(&before.work);
    (std::iter::from_fn(|| engine.poll_update()).count(), work)
}

#[test]
fn one_of_many_queries_by_customer_costs_at_most_two_evaluations() {
    let mut engine = engine();
    for customer in 0..10_000 {
        watch(&mut engine, format!("customer == {customer} and total > 10"));
    }
    for (node, updates, evaluations) in [
        (r#"{"id":1,"customer":7,"total":20}"#, 1, 1),
        (r#"{"id":1,"customer":7,"total":30}"#, 1, 2),
        (r#"{"id":1,"customer":8.0,"total":30}"#, 2, 2),
        (r#"{"id":1,"customer":"8","total":30}"#, 1, 1),
        (r#"{"id":2,"customer":-1,"total":30}"#, 0, 0),
    ] {
        let (sent, work) = upsert(&mut engine, node);
        assert_eq!((sent, work.predicates_evaluated), (updates, evaluations), "{node}");
        assert_eq!((work.candidates_scanned, work.rows_visited), (0, 0), "{node}");
    }
}

#[test]
fn what_no_index_finds_is_tried_against_every_change() {
    let mut engine = engine();
    for total in 0..10 {
        watch(&mut engine, format!("not (total <= {total})"));
    }
    let (sent, work) = upsert(&mut engine, r#"{"id":1,"total":5}"#);
    assert_eq!((sent, work.candidates_scanned, work.candidates_found), (5, 10, 0));
}

#[test]
fn a_declared_instant_is_found_in_any_spelling() {
    let mut engine = engine();
    watch(&mut engine, "at == '2023-01-01T00:00:00Z'".into());
    watch(&mut engine, "at in ['2023-01-01']".into());
    let (sent, _) = upsert(&mut engine, r#"{"id":1,"at":"2023-01-01T01:00:00+01:00"}"#);
    assert_eq!(sent, 2);
}

//! Queries that read many fields: refused before anything is made of them, and nothing of one that is asked once is left behind.

use liveset_engine::{Engine, EngineLimits, HashSeed, Op, OpenError, Query, SetDef, Timestamp};

use crate::{HEAP, alone};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const NODES: u64 = 500;

fn engine(max_columns: usize) -> Engine {
    let mut engine = Engine::new(EngineLimits::default().max_columns(max_columns), HashSeed::FIXED);
    engine.define_set(SetDef::new("s")).expect("a set");
    let node = |id: u64| {
        let fields: Vec<String> = (0..40).map(|field| format!(r#""f{field}":"{field} of {id}""#)).collect();
        Op::Upsert { set: "s".into(), node: format!(r#"{{"id":{id},{}}}"#, fields.join(",")).into() }
    };
    engine.commit(NOW, (0..NODES).map(node).collect()).expect("good nodes");
    engine
}

/// `f0 == '0 of 7' or f1 == '1 of 7' or …`
fn query(names: impl Iterator<Item = String>) -> Query {
    let tests: Vec<String> =
        names.enumerate().map(|(field, name)| format!("{name} == '{field} of 7'")).collect();
    Query::new("s").filter(tests.join(" or "))
}

#[test]
fn many_fields() {
    let _alone = alone();
    too_many_fields_are_refused_and_leave_nothing();
    what_is_read_for_a_query_that_is_asked_once_is_let_go();
    commits_do_not_change_what_was_asked_before();
}

fn what_is_read_for_a_query_that_is_asked_once_is_let_go() {
    let mut engine = engine(64);
    let mut ask = |round: usize| {
        // Of the first fields there are some in the nodes; their names are other ones each time.
        let names =
            (0..60).map(|field| if field < 40 { format!("f{field}") } else { format!("x{round}_{field}") });
        let query = query(names).order_by(format!("y{round} desc, f1"));
        let plan = engine.prepare(&query).expect("a query");
        let snapshot = engine.evaluate(NOW, &plan).expect("no more fields than there may be");
        assert_eq!((snapshot.count.total, snapshot.rows[0].id()), (1, "7"));
        assert!(engine.explain(NOW, &plan).is_ok());
        engine.stats().row_bytes
    };
    for round in 0..10 {
        ask(round);
    }
    let (rows, heap) = (ask(10), HEAP.current_usage());
    for round in 11..60 {
        // The few nodes that a sample looks at hold what is read now.
        assert!(ask(round).abs_diff(rows) < 64 * 1024, "round {round}");
    }
    let grown = HEAP.current_usage().saturating_sub(heap);
    assert!(grown < 64 * 1024, "{grown} bytes are left of 50 queries over {NODES} nodes");
}

fn too_many_fields_are_refused_and_leave_nothing() {
    let mut engine = engine(256);
    // As many names as a filter has room for.
    let letters = || (b'a'..=b'z').map(char::from);
    let names = "wxyz"
        .chars()
        .flat_map(|a| letters().flat_map(move |b| letters().map(move |c| format!("{a}{b}{c}"))));
    let names = names.take(2_330);
    let many = Query::new("s").filter(names.collect::<Vec<_>>().join(" or "));
    let plan = engine.prepare(&many).expect("it is not too long");
    let refused = OpenError::TooManyColumns { max: 256 };
    let (before, heap) = (engine.stats(), HEAP.current_usage());
    for _ in 0..3 {
        assert_eq!(engine.open(NOW, &plan).unwrap_err(), refused);
        assert_eq!(engine.evaluate(NOW, &plan).unwrap_err(), refused);
        assert_eq!(engine.explain(NOW, &plan).unwrap_err(), refused);
    }
    let mut after = engine.stats();
    assert!(after.steps - before.steps <= 9 * 16 * 1_024, "planning is counted");
    after.work.steps = before.steps;
    assert_eq!(after, before, "no node was looked at");
    assert!(HEAP.current_usage().saturating_sub(heap) < 16 * 1024);

    // What is read already counts once.
    let held = engine.prepare(&query((0..200).map(|field| format!("f{field}")))).expect("a query");
    let (feed, _) = engine.open(NOW, &held).expect("there is room");
    let more = |from: usize| query((from..from + 200).map(|field| format!("f{field}")));
    let (fits, too_many) =
        (engine.prepare(&more(56)).expect("a query"), engine.prepare(&more(57)).expect("a query"));
    assert!(engine.evaluate(NOW, &fits).is_ok());
    assert_eq!(engine.evaluate(NOW, &too_many).unwrap_err(), refused);
    engine.close(feed);
    assert!(engine.evaluate(NOW, &too_many).is_ok(), "nobody reads those any more");
}

/// A one-shot query is as of the moment at which it was asked.
fn commits_do_not_change_what_was_asked_before() {
    let mut engine = engine(256);
    let plan =
        engine.prepare(&Query::new("s").filter("f3 == '3 of 7' or new").order_by("f2")).expect("a query");
    let asked = engine.one_shot(NOW, &plan).expect("few fields are read");
    let node = Op::Upsert { set: "s".into(), node: r#"{"id":8,"new":true}"#.into() };
    engine.commit(NOW, vec![node, Op::Remove { set: "s".into(), id: "7".into() }]).expect("good operations");
    fn may_cross_threads(_: &impl Send) {}
    may_cross_threads(&asked);
    let then = asked.run();
    assert_eq!(then.rows.iter().map(|row| row.id()).collect::<Vec<_>>(), ["7"]);
    let now = engine.evaluate(NOW, &plan).expect("few fields are read");
    assert_eq!(now.rows.iter().map(|row| row.id()).collect::<Vec<_>>(), ["8"]);
    assert!(then.version < now.version);
}

//! Commits in two steps: nobody sees what is staged, and it is checked against what is staged before it.

use liveset_engine::{Engine, EngineLimits, HashSeed, Op, OpProblem, Query, SetDef, StagedWrite, Timestamp};

use crate::support::at;

fn now() -> Timestamp {
    at("2024-01-01")
}

fn engine(max_nodes_per_set: usize) -> Engine {
    let mut engine =
        Engine::new(EngineLimits::default().max_nodes_per_set(max_nodes_per_set), HashSeed::FIXED);
    engine.define_set(SetDef::new("s")).unwrap();
    engine.define_set(SetDef::new("t")).unwrap();
    engine
}

fn upsert(set: &str, id: &str, value: u32) -> Op {
    Op::Upsert { set: set.into(), node: format!(r#"{{"id":"{id}","v":{value}}}"#).into() }
}

fn remove(id: &str) -> Op {
    Op::Remove { set: "s".into(), id: id.into() }
}

fn stage(engine: &mut Engine, ops: Vec<Op>) -> Vec<(String, String, Option<String>)> {
    let writes = engine.stage(now(), ops).unwrap();
    let row = |write| match write {
        StagedWrite::Put { set, id, json } => {
            (set.to_string(), id.to_owned(), Some(String::from_utf8(json.to_vec()).unwrap()))
        }
        StagedWrite::Remove { set, id } => (set.to_string(), id.to_owned(), None),
        StagedWrite::Clear { set } => (set.to_string(), "*".to_owned(), None),
    };
    writes.map(row).collect()
}

fn rows(engine: &Engine) -> Vec<Option<u32>> {
    let value = |id| {
        let json = String::from_utf8(engine.row("s", id)?.json().to_vec()).unwrap();
        json.trim_end_matches('}').rsplit(':').next()?.parse().ok()
    };
    ["a", "b", "c"].map(value).to_vec()
}

#[test]
fn a_staged_commit_says_what_it_writes_and_shows_nothing() {
    let mut engine = engine(10);
    engine.commit(now(), vec![upsert("s", "a", 1)]).unwrap();
    let plan = engine.prepare(&Query::new("s").filter("v > 0")).unwrap();
    let (feed, _) = engine.open(now(), &plan).unwrap();
    while engine.poll_update().is_some() {}
    let version = engine.version();
    let written =
        stage(&mut engine, vec![upsert("s", "a", 2), upsert("t", "x", 3), remove("b"), upsert("s", "b", 4)]);
    let row =
        |set: &str, id: &str, json: Option<&str>| (set.to_owned(), id.to_owned(), json.map(str::to_owned));
    assert_eq!(
        written,
        [
            row("s", "a", Some(r#"{"id":"a","v":2}"#)),
            row("s", "b", None),
            row("s", "b", Some(r#"{"id":"b","v":4}"#)),
            row("t", "x", Some(r#"{"id":"x","v":3}"#)),
        ]
    );
    assert_eq!((engine.version(), engine.staged(), rows(&engine)), (version, 1, vec![Some(1), None, None]));
    assert!(engine.poll_update().is_none());

    let done = engine.apply_staged(now(), |_| ()).unwrap();
    assert_eq!((done.changed, done.commit, engine.staged()), (3, 2, 0));
    assert_eq!(rows(&engine), [Some(2), Some(4), None]);
    assert_eq!(engine.poll_update().map(|update| update.feed), Some(feed));
    assert!(engine.apply_staged(now(), |_| ()).is_none());
}

#[test]
fn staged_commits_are_applied_in_their_order_or_abandoned() {
    let mut engine = engine(10);
    stage(&mut engine, vec![upsert("s", "a", 1)]);
    stage(&mut engine, vec![upsert("s", "a", 2), upsert("s", "b", 2)]);
    stage(&mut engine, vec![upsert("s", "a", 3), remove("b")]);
    stage(&mut engine, vec![upsert("s", "c", 4)]);
    engine.apply_staged(now(), |_| ()).unwrap();
    assert_eq!(rows(&engine), [Some(1), None, None]);
    engine.apply_staged(now(), |_| ()).unwrap();
    assert_eq!(rows(&engine), [Some(2), Some(2), None]);
    engine.abandon_staged(1);
    assert_eq!(engine.staged(), 1);
    engine.apply_staged(now(), |_| ()).unwrap();
    assert_eq!(rows(&engine), [Some(3), None, None]);
    stage(&mut engine, vec![upsert("s", "c", 5)]);
    engine.abandon_staged(0);
    assert!(engine.apply_staged(now(), |_| ()).is_none());
    assert_eq!((rows(&engine), engine.stats().commits), (vec![Some(3), None, None], 3));
}

#[test]
fn a_commit_that_is_refused_is_not_staged() {
    let mut engine = engine(10);
    assert!(engine.stage(now(), vec![upsert("s", "a", 1), upsert("u", "a", 1)]).is_err());
    assert!(engine.stage(now(), vec![Op::Upsert { set: "s".into(), node: "[]".into() }]).is_err());
    assert_eq!(engine.staged(), 0);
}

#[test]
fn a_set_is_full_as_the_staged_commits_leave_it() {
    let mut engine = engine(2);
    engine.commit(now(), vec![upsert("s", "a", 1)]).unwrap();
    let refused = |engine: &mut Engine, ops: Vec<Op>| {
        let last = ops.len() - 1;
        let error = engine.stage(now(), ops).err().unwrap();
        assert_eq!(*error.problem, OpProblem::TooMany { what: "nodes in a set", max: 2 });
        assert_eq!(error.index, last);
    };
    stage(&mut engine, vec![upsert("t", "1", 1), upsert("t", "2", 1), upsert("s", "b", 1)]);
    refused(&mut engine, vec![upsert("s", "a", 2), upsert("s", "c", 1)]);
    stage(&mut engine, vec![upsert("s", "b", 2), upsert("s", "a", 2)]);
    stage(&mut engine, vec![remove("a")]);
    stage(&mut engine, vec![upsert("s", "c", 1)]);
    refused(&mut engine, vec![upsert("s", "a", 3)]);
    // What is abandoned gives its room back.
    engine.abandon_staged(0);
    stage(&mut engine, vec![upsert("s", "c", 1)]);
    refused(&mut engine, vec![upsert("s", "b", 1)]);
    engine.apply_staged(now(), |_| ()).unwrap();
    assert_eq!(rows(&engine), [Some(1), None, Some(1)]);
}

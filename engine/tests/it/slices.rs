//! Large commits, applied in slices.

use std::collections::BTreeSet;

use liveset_engine::{Applied, Engine, EngineLimits, FeedId, HashSeed, Op, Plan, Query, SetDef, Timestamp};

const ROWS: usize = 100_000;

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2024-01-01").unwrap()
}

fn row(set: &str, id: usize, n: usize) -> Op {
    let node = format!(r#"{{"id":"r{id}","n":{n},"m":{},"rest":"{:060}"}}"#, n % 7, id);
    Op::Upsert { set: set.into(), node: node.into_bytes().into() }
}

fn engine(limits: EngineLimits, sets: &[&str]) -> Engine {
    let mut engine = Engine::new(limits, HashSeed::FIXED);
    sets.iter().for_each(|set| engine.define_set(SetDef::new(*set)).unwrap());
    engine
}

fn open(engine: &mut Engine, set: &str, filter: &str) -> FeedId {
    let plan = engine.prepare(&Query::new(set).filter(filter).order_by("n").limit(10)).unwrap();
    engine.open(now(), &plan).unwrap().0
}

fn total(engine: &mut Engine, plan: &Plan) -> u64 {
    engine.evaluate(now(), plan).unwrap().count.total
}

/// Applies a commit, and tells how many slices it took and how many rows it changed. Between two of them others see nothing of it.
fn in_slices(engine: &mut Engine, ops: Vec<Op>) -> (usize, u64) {
    let plans =
        ["n >= 0", "n >= 1000000"].map(|filter| engine.prepare(&Query::new("s").filter(filter)).unwrap());
    let before = plans.each_ref().map(|plan| total(engine, plan));
    let (mut steps, mut written) = (engine.steps(), engine.stats().nodes_changed);
    let mut applied = engine.commit_in_slices(now(), ops, |_| ()).unwrap();
    let mut slices = 1;
    loop {
        let (taken, changed) = (engine.steps() - steps, engine.stats().nodes_changed - written);
        assert!(taken <= engine.hold_steps(), "a slice took {taken} steps");
        assert!(changed <= 1_000, "a slice wrote {changed} rows");
        if let Applied::Whole(committed) = applied {
            return (slices, committed.changed);
        }
        assert!(engine.is_applying());
        if slices % 50 == 1 {
            assert_eq!(plans.each_ref().map(|plan| total(engine, plan)), before);
        }
        (steps, written) = (engine.steps(), engine.stats().nodes_changed);
        applied = engine.apply_slice(now(), |_| ()).expect("there is more");
        slices += 1;
    }
}

#[test]
fn no_slice_takes_more_than_a_hold() {
    let mut engine = engine(EngineLimits::default(), &["s"]);
    let (slices, changed) = in_slices(&mut engine, (0..ROWS).map(|id| row("s", id, id)).collect());
    assert!(slices > 100 && changed == ROWS as u64, "{slices} slices, {changed} rows");
    let feeds: Vec<FeedId> =
        (0..200).map(|n| open(&mut engine, "s", &format!("n > {} and m == 3", n * 11))).collect();
    while engine.poll_update().is_some() {}
    let commits = engine.stats().commits;
    let (_, changed) = in_slices(&mut engine, (0..ROWS).map(|id| row("s", id, 1_000_000 + id)).collect());
    assert_eq!((changed, engine.stats().commits), (ROWS as u64, commits + 1));
    while engine.is_behind() {
        engine.catch_up(100_000);
    }
    for (n, feed) in feeds.into_iter().enumerate() {
        let plan = engine
            .prepare(&Query::new("s").filter(format!("n > {} and m == 3", n * 11)).order_by("n").limit(10));
        let kept = engine.snapshot(feed).unwrap();
        let anew = engine.evaluate(now(), &plan.unwrap()).unwrap();
        assert_eq!((kept.rows, kept.count), (anew.rows, anew.count));
    }
}

#[test]
fn a_row_that_comes_again_behind_a_clear_is_one_change() {
    let mut engine = engine(EngineLimits::default(), &["s"]);
    in_slices(&mut engine, (0..ROWS).map(|id| row("s", id, id)).collect());
    let clear = Op::Clear { set: "s".into() };
    // The first as it was, the second as another, and one that is new; one comes and goes.
    let gone = Op::Remove { set: "s".into(), id: "r3".into() };
    let ops = vec![clear, row("s", 0, 0), row("s", 1, 7), row("s", ROWS, 9), row("s", 3, 3), gone];
    let (slices, changed) = in_slices(&mut engine, ops);
    assert!(slices > 100 && changed == ROWS as u64, "{slices} slices, {changed} rows");
    let plan = engine.prepare(&Query::new("s").order_by("id")).unwrap();
    let rows = engine.evaluate(now(), &plan).unwrap().rows;
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.id()).collect();
    assert_eq!(ids, ["r0", "r1", "r100000"].into());
}

/// To bound what is kept for one of its sets finishes the commit in all of them, before some had anything to finish.
#[test]
fn a_commit_of_two_sets_that_is_too_much_for_one_reaches_the_other() {
    let mut engine = engine(EngineLimits::default().max_behind_rows(4), &["s", "t"]).leaving_scans();
    engine.commit(now(), (0..10).flat_map(|id| [row("s", id, id), row("t", id, id)]).collect()).unwrap();
    for n in 0..300 {
        open(&mut engine, "s", &format!("n != m + {n}"));
    }
    let other = open(&mut engine, "t", "n != m + 1000");
    while engine.poll_update().is_some() {}
    let ops = (0..8).map(|id| row("s", id, 50 + id)).chain([row("t", 0, 3)]).collect();
    engine.commit(now(), ops).unwrap();
    engine.finish_commit(u64::MAX);
    while engine.is_behind() {
        engine.catch_up(100_000);
    }
    // Asked in other words: by nobody's view.
    let plan = engine.prepare(&Query::new("t").filter("not n == m + 1000").order_by("n").limit(10)).unwrap();
    assert_eq!(engine.snapshot(other).unwrap().rows, engine.evaluate(now(), &plan).unwrap().rows);
}

//! What a commit does to its sets as a whole: limits, and what counts as a change.

use std::{collections::HashSet, time::Instant as Stopwatch};

use liveset_engine::{Condition, Engine, EngineLimits, HashSeed, Op, OpProblem, Query, SetDef, Timestamp};

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2024-01-01").unwrap()
}

fn engine(max_nodes_per_set: usize) -> Engine {
    let mut engine =
        Engine::new(EngineLimits::default().max_nodes_per_set(max_nodes_per_set), HashSeed::FIXED);
    engine.define_set(SetDef::new("s")).unwrap();
    engine
}

fn upsert(node: &str) -> Op {
    Op::Upsert { set: "s".into(), node: node.as_bytes().to_vec().into() }
}

fn remove(id: &str) -> Op {
    Op::Remove { set: "s".into(), id: id.into() }
}

#[test]
fn a_full_set_takes_what_makes_room_for_itself() {
    let mut engine = engine(2);
    let a = || upsert(r#"{"id":"a"}"#);
    let b = || upsert(r#"{"id":"b"}"#);
    let c = || upsert(r#"{"id":"c"}"#);
    engine.commit(now(), vec![a(), b(), a()]).unwrap();

    for ops in [vec![c()], vec![remove("x"), c()], vec![c(), remove("a"), a()], vec![remove("a"), c(), a()]] {
        let last = ops.len() - 1;
        let error = engine.commit(now(), ops).unwrap_err();
        assert_eq!(*error.problem, OpProblem::TooMany { what: "nodes in a set", max: 2 });
        assert_eq!(error.index, last);
    }
    assert_eq!((engine.stats().nodes, engine.stats().commits), (2, 1));

    // What counts is the set as the commit leaves it.
    for (ops, changed) in
        [(vec![c(), remove("c"), a()], 0), (vec![remove("a"), c()], 2), (vec![a(), remove("c")], 2)]
    {
        assert_eq!(engine.commit(now(), ops).unwrap().changed, changed);
        assert_eq!(engine.stats().nodes, 2);
    }
}

/// Each operation on a full set once cost a look at all those before it.
#[test]
#[expect(clippy::disallowed_methods, reason = "the time that a large commit takes is what is tested")]
fn replacing_the_nodes_of_a_full_set_costs_what_filling_it_costs() {
    let mut engine = engine(10_000);
    for version in 0..2 {
        let node = |id| upsert(&format!(r#"{{"id":{id},"v":{version}}}"#));
        let ops = (0..10_000).map(node).collect();
        let watch = Stopwatch::now();
        assert_eq!(engine.commit(now(), ops).unwrap().changed, 10_000);
        // Milliseconds in a release build; more than a minute where the cost grows with the square.
        assert!(watch.elapsed().as_secs() < 10, "{:?}", watch.elapsed());
    }
}

/// 2^53 and 2^53.0 are one value, but their sums are not: another spelling is no change, and the old one stays.
#[test]
fn a_number_written_otherwise_counts_as_it_was_written_first() {
    let mut engine = engine(10);
    let plan = engine.prepare(&Query::new("s").filter("a.n + 1 == 9007199254740993")).unwrap();
    let all = engine.prepare(&Query::new("s")).unwrap();
    let (feed, _) = engine.open(now(), &plan).unwrap();
    let (other, _) = engine.open(now(), &all).unwrap();

    let float = r#"{"id":"x","a":{"n":9007199254740992.0}}"#;
    let integer = r#"{"id":"x","a":{"n":9007199254740992}}"#;
    let reordered = r#"{"a":{"n":9007199254740992},"id":"x"}"#;
    let other_value = r#"{"id":"x","a":{"n":1}}"#;
    for (node, changed, total, held) in [
        (float, 1, 0, float),
        (integer, 0, 0, float),
        (reordered, 0, 0, float),
        (other_value, 1, 0, other_value),
        (integer, 1, 1, integer),
        (reordered, 0, 1, integer),
        (float, 0, 1, integer),
    ] {
        let before = engine.evaluate(now(), &plan).unwrap().count.total;
        assert_eq!(engine.commit(now(), vec![upsert(node)]).unwrap().changed, changed, "{node}");
        let mut updated = HashSet::new();
        while let Some(update) = engine.poll_update() {
            updated.insert(update.feed);
        }
        let of_plan = (before != total).then_some(feed);
        let of_all = (changed > 0).then_some(other);
        assert_eq!(updated, of_plan.into_iter().chain(of_all).collect(), "{node}");
        let result = engine.evaluate(now(), &plan).unwrap();
        assert_eq!(result.count.total, total, "{node}");
        // To all who watch the node is the same, byte for byte.
        assert_eq!(engine.row("s", "x").unwrap().json(), held.as_bytes());
    }
}

/// "`Updated` is sent when the projected data or the node's own sort key changed, and not otherwise": objects tie, whatever is in them.
#[test]
fn a_sort_key_that_ties_with_the_one_before_is_the_same() {
    for (order, before, after, is_update) in [
        ("o", r#"{"x":1}"#, r#"{"x":2}"#, false),
        ("o desc, b", r#"{"x":1}"#, "{}", false),
        ("o", r#"[{"x":1},2]"#, r#"[{"x":2},2]"#, false),
        ("o", r#"[{"x":1},2]"#, r#"[{"x":2},3]"#, true),
        ("o", r#"{"x":1}"#, "[]", true),
        ("o", "1", "1.5", true),
        ("b", "1", "2", false),
    ] {
        let mut engine = engine(10);
        let row = |o: &str| upsert(&format!(r#"{{"id":"a","shown":1,"b":2,"o":{o}}}"#));
        engine.commit(now(), vec![row(before), upsert(r#"{"id":"b","o":5}"#)]).unwrap();
        let query = Query::new("s").order_by(order).fields(["shown"]);
        let plan = engine.prepare(&query).unwrap();
        engine.open(now(), &plan).unwrap();
        engine.commit(now(), vec![row(after)]).unwrap();
        let updates = std::iter::from_fn(|| engine.poll_update());
        assert_eq!(
            updates.map(|update| update.len()).sum::<usize>(),
            usize::from(is_update),
            "{order}: {after}"
        );
    }
}

/// What is read ahead is what the commit would have read, also where queries have come and gone since; what it would refuse is left
/// to it; and a row of another engine is no row of this one.
#[test]
fn rows_that_are_read_ahead_are_the_rows_of_the_commit() {
    let engine = || {
        let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
        engine.define_set(SetDef::new("s")).unwrap();
        engine.define_set(SetDef::new("t").key("k")).unwrap();
        engine
    };
    let (mut ahead, mut plain) = (engine(), engine());
    let queries = [
        Query::new("s").filter("a > 3").order_by("b desc"),
        Query::new("s").filter("b == 'x' or a < 2"),
        Query::new("t").filter("a != 1"),
    ];
    let mut reader = ahead.row_reader(["s", "t", "unknown"]);
    for round in 0..60_u32 {
        let node = |set: &str, key: &str, n: u32| Op::Upsert {
            set: set.into(),
            node: format!(r#"{{"{key}":{},"a":{},"b":"{}"}}"#, n % 7, n % 5, ["x", "y"][n as usize % 2])
                .into(),
        };
        let mut ops = vec![node("s", "id", round), node("t", "k", round * 3), node("s", "id", round + 1)];
        ops.push(Op::Remove { set: "s".into(), id: (round % 11).to_string() });
        if round % 13 == 5 {
            ops.insert(2, node("t", "id", 1));
        }
        let same = ops.clone();
        reader.read(&mut ops);
        let is_read = |op: &&Op| matches!(op, Op::Put(_));
        assert_eq!(ops.iter().filter(is_read).count(), if round % 13 == 5 { 2 } else { 3 });
        assert_eq!(ahead.commit(now(), ops), plain.commit(now(), same), "round {round}");
        for query in &queries {
            let [left, right] = [&mut ahead, &mut plain].map(|engine| {
                let plan = engine.prepare(query).unwrap();
                engine.evaluate(now(), &plan).unwrap()
            });
            assert_eq!((left.count, left.rows), (right.count, right.rows), "round {round}");
        }
        // A query comes, and later another: the reader knows of neither until it is made again.
        if let 10 | 30 = round {
            for engine in [&mut ahead, &mut plain] {
                let plan = engine.prepare(&queries[round as usize / 20]).unwrap();
                engine.open(now(), &plan).unwrap();
            }
        }
        if round == 45 {
            reader = ahead.row_reader(["t", "s"]);
        }
    }
    let mut foreign = vec![Op::Upsert { set: "s".into(), node: r#"{"id":1}"#.into() }];
    plain.row_reader(["s"]).read(&mut foreign);
    let error = ahead.commit(now(), foreign).unwrap_err();
    assert_eq!(error.to_string(), "operation 0: the row was read for another engine");
}

/// `9007199254740993.0` is the number 9007199254740992, which adds up otherwise where it is written as an integer.
#[test]
fn an_equal_number_of_another_form_is_a_change_to_a_sum() {
    let mut engine = engine(10);
    engine.commit(now(), vec![upsert(r#"{"id":1,"n":9007199254740993.0}"#)]).unwrap();
    let query = Query::new("s").filter("n + 1 != 9007199254740992");
    let plan = engine.prepare(&query).unwrap();
    let (feed, first) = engine.open(now(), &plan).unwrap();
    assert_eq!(first.count.total, 0);
    engine.commit(now(), vec![upsert(r#"{"id":1,"n":9007199254740992,"m":1}"#)]).unwrap();
    assert_eq!(engine.snapshot(feed).unwrap().count.total, 1);
}

/// Patches and conditions are worked on in the hold of the lock in which they are checked: it is counted, whatever becomes of them.
#[test]
fn what_patches_and_conditions_take_is_counted_and_bounded() {
    let limits = EngineLimits::default().max_commit_steps(1_000);
    let mut engine = Engine::new(limits, HashSeed::FIXED);
    engine.define_set(SetDef::new("s")).unwrap();
    let text = "x".repeat(1_600);
    engine.commit(now(), vec![upsert(&format!(r#"{{"id":"a","n":1,"text":"{text}"}}"#))]).unwrap();
    let patch = || Op::Patch { set: "s".into(), id: "a".into(), patch: r#"{"n":2}"#.into(), upsert: false };
    let only_if = |filter: &str, op| Op::If { condition: Condition::filter(filter), op: Box::new(op) };
    // About a hundred steps for the row's text, each time.
    for (ops, is_let) in [
        (vec![patch(); 9], true),
        (vec![patch(); 10], false),
        (vec![only_if("n > 0", patch()); 4], true),
        (vec![only_if("n > 0", patch()); 5], false),
    ] {
        let (before, row) = (engine.steps(), engine.row("s", "a"));
        let done = engine.commit(now(), ops);
        assert_eq!(done.is_ok(), is_let, "{done:?}");
        if let Err(error) = done {
            assert_eq!(*error.problem, OpProblem::TooMuchWork { max: 1_000 });
            assert_eq!(engine.row("s", "a"), row, "nothing was applied");
            let taken = engine.steps() - before;
            assert!((900..1_300).contains(&taken), "{taken} steps");
        }
    }
    // A condition that does not hold has been looked at all the same.
    let before = engine.steps();
    let error = engine.commit(now(), vec![only_if("n > 7", patch())]).unwrap_err();
    assert!(matches!(*error.problem, OpProblem::Conflict { .. }), "{error}");
    assert!(engine.steps() - before >= 100, "{}", engine.steps() - before);
}

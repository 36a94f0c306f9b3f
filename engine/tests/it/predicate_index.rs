//! The work of a commit follows the queries that it may touch, not the queries that there are.

use liveset_engine::{Engine, EngineLimits, FieldKind, HashSeed, Op, Query, SetDef, Timestamp, Work};

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2025-01-01T00:00:00Z").expect("a moment")
}

fn engine() -> Engine {
    let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
    engine.define_set(SetDef::new("orders").field("at", FieldKind::Instant)).expect("a set");
    engine
}

fn watch(engine: &mut Engine, filter: String) {
    let plan = engine.prepare(&Query::new("orders").filter(filter).limit(10)).expect("a query");
    engine.open(now(), &plan).expect("room for a view");
}

/// The updates of a commit of one node, and the work that it took.
fn upsert(engine: &mut Engine, node: &str) -> (usize, Work) {
    let before = engine.stats();
    engine
        .commit(now(), vec![Op::Upsert { set: "orders".into(), node: node.to_owned().into() }])
        .expect("a good node");
    let after = engine.stats();
    let work = after.work.since(&before.work);
    (std::iter::from_fn(|| engine.poll_update()).count(), work)
}

#[test]
fn one_of_a_hundred_thousand_queries_costs_at_most_two_evaluations() {
    let mut engine = engine();
    for customer in 0..100_000 {
        watch(&mut engine, format!("customer == {customer}"));
    }
    for (node, updates, candidates) in [
        (r#"{"id":1,"customer":7,"total":20}"#, 1, 1),
        (r#"{"id":1,"customer":7,"total":30}"#, 1, 1),
        (r#"{"id":1,"customer":99999,"total":30}"#, 2, 2),
        (r#"{"id":1,"customer":"8","total":30}"#, 1, 1),
        (r#"{"id":2,"customer":-1,"total":30}"#, 0, 0),
    ] {
        let (sent, work) = upsert(&mut engine, node);
        assert_eq!((sent, work.candidates_found), (updates, candidates), "{node}");
        // That it was found proves all of the filter.
        assert_eq!(
            (work.predicates_evaluated, work.candidates_scanned, work.rows_visited),
            (0, 0, 0),
            "{node}"
        );
    }
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
fn of_many_ranges_those_are_found_that_overlap() {
    let mut engine = engine();
    for low in 0..10_000 {
        watch(&mut engine, format!("total >= {low} and total < {}", low + 10));
    }
    for (node, candidates) in [
        (r#"{"id":1,"total":5000.5}"#, 10),
        (r#"{"id":2,"total":3}"#, 4),
        (r#"{"id":3,"total":10008}"#, 1),
        (r#"{"id":4,"total":10009}"#, 0),
        (r#"{"id":5,"total":"5000"}"#, 0),
        // Six held before and hold still, of the others four leave and four come.
        (r#"{"id":1,"total":5004.5}"#, 14),
    ] {
        let (sent, work) = upsert(&mut engine, node);
        assert_eq!((sent as u64, work.candidates_found), (candidates, candidates), "{node}");
        assert_eq!(
            (work.predicates_evaluated, work.candidates_scanned, work.rows_visited),
            (0, 0, 0),
            "{node}"
        );
    }
}

#[test]
fn a_text_is_found_by_its_beginnings() {
    let mut engine = engine();
    for number in 0..10_000 {
        watch(&mut engine, format!("name startswith 'p{number:04}'"));
        watch(&mut engine, format!("name startswith 'a long way to go p{number:04}'"));
    }
    let (sent, work) = upsert(&mut engine, r#"{"id":1,"name":"p0123 and so on"}"#);
    assert_eq!((sent, work.candidates_found, work.predicates_evaluated), (1, 1, 0));
    let (sent, work) = upsert(&mut engine, r#"{"id":1,"name":"q0123"}"#);
    assert_eq!((sent, work.candidates_found, work.predicates_evaluated), (1, 1, 0));
    let (sent, work) = upsert(&mut engine, r#"{"id":2,"name":"a long way to go p0123"}"#);
    assert_eq!((sent, work.candidates_found, work.predicates_evaluated), (1, 1, 0));
}

/// 10,000 prefixes that are alike in their first 20 bytes and more, some of them prefixes of others, alone and among other tests.
#[test]
fn texts_that_begin_alike_are_told_apart_by_all_of_their_bytes() {
    let mut engine = engine();
    for number in 0..10_000 {
        watch(&mut engine, format!("name startswith 'twenty bytes that are alike {number}x'"));
    }
    watch(&mut engine, "name startswith 'twenty bytes that are'".into());
    watch(&mut engine, "name startswith 'twenty bytes that are alike 77x and' and total != 3".into());
    watch(
        &mut engine,
        "name startswith 'twenty bytes that are alike 77x' or name startswith 'twenty bytes th'".into(),
    );
    for (node, updates, found, evaluated) in [
        (r#"{"id":1,"name":"twenty bytes that are alike 77x and more"}"#, 4, 4, 1),
        (r#"{"id":2,"name":"twenty bytes that are alike 77"}"#, 2, 2, 0),
        (r#"{"id":3,"name":"twenty bytes that"}"#, 1, 1, 0),
        (r#"{"id":4,"name":["twenty bytes that are alike 77x"]}"#, 0, 0, 0),
        // Both were in one of the others.
        (r#"{"id":3,"name":"twenty bytes that are alike 9999x"}"#, 3, 3, 0),
    ] {
        let (sent, work) = upsert(&mut engine, node);
        let counted = (sent, work.candidates_found, work.predicates_evaluated, work.candidates_scanned);
        assert_eq!(counted, (updates, found, evaluated, 0), "{node}");
    }
}

#[test]
fn a_moment_is_found_by_those_for_which_it_is_recent_enough() {
    let mut engine = engine();
    for minutes in 1..=1_000 {
        watch(&mut engine, format!("at > now - {minutes} minutes"));
    }
    // 23:50, and 999 minutes and a half before midnight.
    for (id, at, candidates) in
        [(1, "2024-12-31T23:50:00Z", 990), (2, "2024-12-31T07:20:30Z", 1), (3, "2024-12-30", 0)]
    {
        let (sent, work) = upsert(&mut engine, &format!(r#"{{"id":{id},"at":"{at}"}}"#));
        assert_eq!(
            (sent as u64, work.candidates_found, work.candidates_scanned),
            (candidates, candidates, 0),
            "{at}"
        );
    }
}

#[test]
fn a_list_is_found_by_each_of_its_items() {
    let mut engine = engine();
    for tag in 0..10_000 {
        watch(&mut engine, format!("tags anyof ['t{tag}', 'u{tag}']"));
    }
    for (node, candidates) in [
        (r#"{"id":1,"tags":["t1","t2","t2","u2","v3"]}"#, 2),
        (r#"{"id":1,"tags":["t1","t4"]}"#, 3),
        (r#"{"id":1,"tags":"t1"}"#, 2),
        (r#"{"id":2,"tags":[]}"#, 0),
    ] {
        let (sent, work) = upsert(&mut engine, node);
        assert_eq!(
            (sent as u64, work.candidates_found, work.candidates_scanned),
            (candidates, candidates, 0),
            "{node}"
        );
    }
}

#[test]
fn one_of_several_equalities_is_enough() {
    let mut engine = engine();
    for person in 0..10_000 {
        watch(&mut engine, format!("buyer == {person} or seller == {person}"));
    }
    for (node, updates, candidates) in [
        (r#"{"id":1,"buyer":5,"seller":7}"#, 2, 2),
        (r#"{"id":2,"buyer":5,"seller":5}"#, 1, 1),
        (r#"{"id":2,"buyer":6,"seller":5}"#, 2, 2),
        (r#"{"id":2,"buyer":-6,"seller":"5"}"#, 2, 2),
    ] {
        let (sent, work) = upsert(&mut engine, node);
        assert_eq!(
            (sent, work.candidates_found, work.candidates_scanned),
            (updates, candidates, 0),
            "{node}"
        );
    }
}

/// Of 60 steps none takes over 50 ns: 3 µs for the commit, of which the query is a part.
#[test]
fn of_a_hundred_branches_only_the_one_that_was_found_is_tried() {
    for (rest, tried) in
        [("total > {}", 2), ("name endswith 'x{}'", 1), ("total > {} and name endswith 'x{}'", 2)]
    {
        let branch = |n: usize| format!("customer == {n} and {}", rest.replace("{}", &n.to_string()));
        let mut engine = engine();
        watch(&mut engine, (0..100).map(branch).collect::<Vec<_>>().join(" or "));
        let (sent, _) = upsert(&mut engine, r#"{"id":1,"customer":70,"total":90,"name":"x70"}"#);
        assert_eq!(sent, 1, "{rest}");
        let (sent, work) = upsert(&mut engine, r#"{"id":1,"customer":70,"total":91,"name":"x70"}"#);
        assert_eq!((sent, work.candidates_found, work.candidates_scanned), (1, 1, 0), "{rest}");
        assert!(work.predicates_evaluated >= tried && work.steps <= 60, "{rest}: {work:?}");
        // From one branch to another it stays, and leaves where no branch takes it.
        let (sent, work) = upsert(&mut engine, r#"{"id":1,"customer":7,"total":91,"name":"x7"}"#);
        assert_eq!((sent, work.candidates_found), (1, 1), "{rest}");
        let (sent, _) = upsert(&mut engine, r#"{"id":1,"customer":7,"total":1,"name":"x"}"#);
        assert_eq!(sent, 1, "{rest}");
        let (sent, _) = upsert(&mut engine, r#"{"id":1,"customer":7,"total":2,"name":"y"}"#);
        assert_eq!(sent, 0, "{rest}");
    }
}

#[test]
fn what_is_left_of_a_filter_is_asked_where_it_is_found() {
    let mut engine = engine();
    for number in 0..1_000 {
        watch(&mut engine, format!("customer == 1 and total >= {number} and total < {}", number + 10));
        watch(&mut engine, format!("customer == 1 and tags anyof ['t{number}'] and total != 3"));
    }
    let node =
        |total: &str, tag: &str| format!(r#"{{"id":1,"customer":1,"total":{total},"tags":["{tag}"]}}"#);
    let (sent, work) = upsert(&mut engine, &node("500.5", "t7"));
    assert_eq!(sent, 11);
    assert!(work.steps < 2_500, "{work:?}");
    let (sent, _) = upsert(&mut engine, &node("3", "t7"));
    assert_eq!(sent, 15, "10 totals and a tag have lost it, 4 totals have found it");
    let (sent, _) = upsert(&mut engine, &node("3", "t8"));
    assert_eq!(sent, 4, "they show all of the node");
}

/// 10,000 prefixes cost what they have to do with a text, however long they are alike.
#[test]
fn prefixes_that_begin_alike_cost_no_more_than_others() {
    let steps = |alike: usize| {
        let mut engine = engine();
        for number in 0..10_000 {
            watch(&mut engine, format!("name startswith '{}{number:05}'", "a".repeat(alike)));
        }
        let node = format!(r#"{{"id":1,"name":"{}00077 and more"}}"#, "a".repeat(alike));
        let (sent, work) = upsert(&mut engine, &node);
        assert_eq!((sent, work.candidates_found, work.candidates_scanned), (1, 1, 0));
        work.steps
    };
    let (short, long) = (steps(4), steps(30));
    assert!(long <= 3 * short, "{long} steps, {short} where they are short");
}

/// What comes, goes and changes behind the window and its reserve changes the count alone.
#[test]
fn what_passes_by_a_window_is_not_brought_to_it() {
    let mut engine = engine();
    let query = Query::new("orders").filter("customer == 1").order_by("total desc").limit(2);
    let plan = engine.prepare(&query).expect("a query").without_counts();
    for id in 0..20 {
        upsert(&mut engine, &format!(r#"{{"id":{id},"customer":1,"total":{}}}"#, 100 + id));
    }
    let (feed, _) = engine.open(now(), &plan).expect("room for a view");
    let (sent, work) = upsert(&mut engine, r#"{"id":100,"customer":1,"total":1}"#);
    assert_eq!((sent, work.candidates_found, work.windows_touched), (0, 1, 0));
    let (sent, work) = upsert(&mut engine, r#"{"id":100,"customer":1,"total":2}"#);
    assert_eq!((sent, work.candidates_found, work.windows_touched), (0, 1, 0));
    assert_eq!(engine.snapshot(feed).expect("it is open").count.total, 21);
    upsert(&mut engine, r#"{"id":100,"customer":2,"total":2}"#);
    assert_eq!(engine.snapshot(feed).expect("it is open").count.total, 20);
    let (sent, work) = upsert(&mut engine, r#"{"id":100,"customer":1,"total":200}"#);
    assert_eq!((sent, work.windows_touched), (1, 1));
    // Whoever follows the count is told of it.
    engine.open(now(), &engine.prepare(&query).expect("a query")).expect("room for a feed");
    let (sent, _) = upsert(&mut engine, r#"{"id":101,"customer":1,"total":1}"#);
    assert_eq!(sent, 1);
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

#[test]
fn each_way_of_finding_has_its_count() {
    let mut engine = engine();
    for filter in [
        "customer == 1",
        "tags anyof ['a']",
        "total >= 10 and total < 20",
        "name startswith 'x'",
        "not (total > 5)",
    ] {
        watch(&mut engine, filter.into());
    }
    let node = r#"{"id":1,"customer":1,"tags":["a","b"],"total":15,"name":"xy"}"#;
    let (_, work) = upsert(&mut engine, node);
    assert_eq!((work.candidates_by_value, work.candidates_by_item, work.candidates_by_range), (1, 1, 2));
    assert_eq!((work.candidates_found, work.candidates_scanned), (4, 1));
}

//! What it costs to make a query: the rows that it looks at, and the indexes that this leaves behind for the next one.

use fastrand::Rng;
use liveset_engine::{Engine, EngineLimits, FeedId, HashSeed, Op, Query, SetDef, Snapshot, Timestamp, Work};

const NOW: Timestamp = Timestamp::MIN;
const NODES: u64 = 2_000;

fn order(id: u64) -> String {
    let (customer, open, total) = (id % 100, id.is_multiple_of(2), id * 7_919 % 10_007);
    format!(
        r#"{{"id":{id},"customer":{customer},"open":{open},"total":{total},"tags":["t{customer}"],"at":"2024-12-01"}}"#
    )
}

fn put(node: String) -> Op {
    Op::Upsert { set: "orders".into(), node: node.into() }
}

fn remove(id: &str) -> Op {
    Op::Remove { set: "orders".into(), id: id.to_owned() }
}

fn orders(nodes: u64, limits: EngineLimits) -> Engine {
    let mut engine = Engine::new(limits, HashSeed::FIXED);
    engine.define_set(SetDef::new("orders")).expect("a set");
    engine.commit(NOW, (0..nodes).map(|id| put(order(id))).collect()).expect("good nodes");
    engine
}

fn open(engine: &mut Engine, query: &Query) -> (FeedId, Snapshot, Work) {
    let before = engine.stats();
    let plan = engine.prepare(query).expect("a query");
    let (feed, snapshot) = engine.open(NOW, &plan).expect("room for a view");
    (feed, snapshot, engine.stats().since(&before))
}

/// Opens a query and closes it; the rows that this has looked at.
fn visit(engine: &mut Engine, query: &Query) -> u64 {
    let (feed, _, work) = open(engine, query);
    engine.close(feed);
    work.rows_visited
}

fn by_customer(customer: u64) -> Query {
    Query::new("orders").filter(format!("customer == {customer}")).limit(5)
}

fn ids(snapshot: &Snapshot) -> Vec<u64> {
    snapshot.rows.iter().map(|row| row.id().parse().expect("a number")).collect()
}

#[test]
fn the_first_queries_scan_and_then_there_is_an_index() {
    let mut engine = orders(NODES, EngineLimits::default());
    let visited: Vec<u64> = (0..5).map(|customer| visit(&mut engine, &by_customer(customer))).collect();
    assert_eq!(visited, [2_000, 2_000, 20, 20, 20]);
    assert_eq!(engine.stats().indexes, 1);

    let items = |tag: u64| Query::new("orders").filter(format!("tags anyof ['t{tag}']"));
    let visited: Vec<u64> = (0..4).map(|tag| visit(&mut engine, &items(tag))).collect();
    assert_eq!((visited, engine.stats().indexes), (vec![2_000, 2_000, 20, 20], 2));

    let range = |from: u64| {
        let filter = format!("total >= {from} and total < {} and open", from + 50);
        Query::new("orders").filter(filter)
    };
    let visited: Vec<u64> = (0..4).map(|from| visit(&mut engine, &range(from * 50))).collect();
    assert_eq!((visited[0], visited[1], engine.stats().indexes), (2_000, 2_000, 3));
    assert!(visited[2..].iter().all(|visited| *visited < 50), "{visited:?}");
}

#[test]
fn one_shot_queries_make_and_use_the_same_indexes() {
    let mut engine = orders(NODES, EngineLimits::default());
    let mut visited = Vec::new();
    for customer in 0..4 {
        let before = engine.stats();
        let plan = engine.prepare(&by_customer(customer)).expect("a query");
        assert_eq!(engine.evaluate(NOW, &plan).unwrap().count.total, 20);
        visited.push(engine.stats().since(&before).rows_visited);
        engine.slice(usize::MAX);
    }
    assert_eq!((visited, engine.stats().indexes), (vec![2_000, 2_000, 20, 20], 1));
}

#[test]
fn queries_that_are_made_in_slices_leave_indexes_behind_too() {
    let mut engine = orders(NODES, EngineLimits::default().slice_rows(10));
    let mut visited = Vec::new();
    for customer in 0..4 {
        let before = engine.stats();
        let plan = engine.prepare(&by_customer(customer)).expect("a query");
        let (feed, is_there) = engine.begin_open(NOW, &plan).expect("room for a view");
        assert!(!is_there);
        while engine.slice(10) {}
        assert_eq!(engine.poll_opened(), Some(feed));
        assert_eq!(engine.snapshot(feed).map(|snapshot| snapshot.count.total), Some(20));
        visited.push(engine.stats().since(&before).rows_visited);
        engine.close(feed);
    }
    // Also where their own rows are more than a slice, they look at no others.
    assert_eq!((visited, engine.stats().indexes), (vec![2_000, 2_000, 20, 20], 1));
}

#[test]
fn a_stretch_of_a_shared_order_hears_nothing_of_what_is_behind_its_window() {
    let mut engine = orders(NODES, EngineLimits::default());
    let query = Query::new("orders").order_by("total desc").limit(10);
    let visited: Vec<u64> = (0..4).map(|_| visit(&mut engine, &query)).collect();
    assert_eq!(visited, [2_000, 2_000, 0, 0]);
    let plan = engine.prepare(&query).expect("a query").without_counts();
    let (feed, _) = engine.open(NOW, &plan).expect("room for a view");
    assert!(engine.explain(NOW, &plan).unwrap().is_stretch);

    let before = engine.stats();
    for id in 10_000..10_100 {
        engine.commit(NOW, vec![put(format!(r#"{{"id":{id},"total":5}}"#))]).expect("a good node");
    }
    let work = engine.stats().since(&before);
    assert_eq!((work.candidates_found, work.windows_touched, work.rows_visited), (0, 0, 0));
    assert!(engine.poll_update().is_none());

    engine.commit(NOW, vec![put(r#"{"id":1,"total":99999}"#.into())]).expect("a good node");
    assert_eq!(engine.stats().since(&before).windows_touched, 1);
    assert_eq!(engine.poll_update().map(|update| update.feed), Some(feed));
    assert_eq!(engine.position(feed, "1"), Some(0));
}

#[test]
fn windows_are_refilled_from_an_order_at_the_cost_of_few_rows() {
    let mut engine = orders(10_000, EngineLimits::default());
    let query = Query::new("orders").filter("open").order_by("total").limit(10);
    let (feed, ..) = open(&mut engine, &query);
    let mut rest: Vec<(u64, u64)> = (0..10_000).step_by(2).map(|id| (id * 7_919 % 10_007, id)).collect();
    rest.sort_unstable();
    let before = engine.stats();
    for removed in 1..=500 {
        let first = rest.remove(0).1.to_string();
        engine.commit(NOW, vec![remove(&first)]).expect("no node is needed");
        while engine.slice(usize::MAX) {}
        if removed % 50 == 0 {
            let expected: Vec<u64> = rest[..10].iter().map(|(_, id)| *id).collect();
            assert_eq!(ids(&engine.snapshot(feed).expect("it is open")), expected);
        }
    }
    let work = engine.stats().since(&before);
    assert!((20..200).contains(&work.refills), "{work:?}");
    assert!(work.rows_visited_refilling < 4 * 500, "{work:?}");
}

#[test]
fn queries_beyond_a_limit_are_told_which() {
    let limits = EngineLimits::default().max_unindexed_views(1).max_columns(2);
    let mut engine = orders(10, limits);
    let (scanned, ..) = open(&mut engine, &Query::new("orders").filter("not (total == 1)"));
    let other = engine.prepare(&Query::new("orders").filter("total != 2")).expect("a query");
    assert_eq!(
        engine.open(NOW, &other).unwrap_err().to_string(),
        "no more than 1 live queries are kept that every change has to be tried on; a filter with a test such as field == \
         'value', field in [..] or field < 10 that all of its nodes pass is not one of them (filter: total != 2)"
    );
    // A filter that is tried on every change already may have one window more.
    open(&mut engine, &Query::new("orders").filter("not (total == 1)").limit(3));
    open(&mut engine, &Query::new("orders").filter("open"));
    let third = engine.prepare(&Query::new("orders").filter("open").order_by("customer")).expect("a query");
    assert_eq!(
        engine.open(NOW, &third).unwrap_err().to_string(),
        "live queries read no more than 2 different fields of a set at once"
    );
    engine.close(scanned);
    assert_eq!(engine.stats().unindexed_views, 1);
}

/// Fields count that live queries read, not those that others have read before.
#[test]
fn fields_of_queries_that_are_gone_count_no_more() {
    let mut engine = orders(10, EngineLimits::default().max_columns(2));
    for field in 0..300 {
        let query = Query::new("orders").filter("open").order_by(format!("field{field} desc"));
        let (feed, ..) = open(&mut engine, &query);
        engine.close(feed);
    }
}

#[test]
fn a_query_tells_how_it_is_kept() {
    let mut engine = orders(NODES, EngineLimits::default());
    for (filter, access, probes, has_residue) in [
        ("customer == 3", "equality", "customer is 3", false),
        ("customer == 3 and total != 5", "equality", "customer is 3", true),
        ("customer in [3, 4]", "in", "customer is 3; customer is 4", false),
        ("tags anyof ['t3']", "items", "tags has 't3'", false),
        ("at > now - 7 days", "time", "now - 7 days < at", false),
        ("customer == 3 or tags anyof ['t3']", "union", "customer is 3; tags has 't3'", false),
        ("customer == 3 and total > 5 and total < 3", "never", "", false),
        ("total != 5", "scan", "", true),
        ("name contains 'x'", "scan", "", true),
    ] {
        let plan = engine.prepare(&Query::new("orders").filter(filter)).expect("a query");
        let explain = engine.explain(NOW, &plan).unwrap();
        let said = (explain.access.as_str(), explain.probes.join("; "), explain.has_residue);
        assert_eq!(said, (access, probes.to_owned(), has_residue), "{filter}");
        assert_eq!((explain.is_open, explain.sharing), (false, 0), "{filter}");
    }
    for (filter, access) in [("total >= 5 and total < 9", "range"), ("name startswith 'a'", "prefix")] {
        let plan = engine.prepare(&Query::new("orders").filter(filter)).expect("a query");
        let explain = engine.explain(NOW, &plan).unwrap();
        assert_eq!((explain.access.as_str(), explain.probes.len(), explain.candidates), (access, 1, 2_000));
    }
    for customer in 0..3 {
        open(&mut engine, &by_customer(customer));
    }
    open(&mut engine, &by_customer(1).order_by("total").limit(7));
    open(&mut engine, &Query::new("orders").filter("customer == 1 and total > 100"));
    let plan = engine.prepare(&by_customer(1)).expect("a query");
    let explain = engine.explain(NOW, &plan).unwrap();
    // Two windows of one filter are one; the other filter stands at the same place.
    assert_eq!((explain.is_open, explain.sharing, explain.candidates), (true, 2, 20));
}

#[test]
fn a_query_that_is_made_while_commits_go_on_has_the_result_of_all_of_them() {
    let mut engine = orders(5_000, EngineLimits::default().slice_rows(300));
    let mut model: Vec<Option<(u64, bool)>> =
        (0..5_000_u64).map(|id| Some((id * 7_919 % 10_007, id.is_multiple_of(2)))).collect();
    let query = Query::new("orders").filter("open and total > 500").order_by("total").limit(40);
    let plan = engine.prepare(&query).expect("a query");
    let (feed, is_there) = engine.begin_open(NOW, &plan).expect("room for a view");
    assert!(!is_there && engine.poll_timeout() == Some(NOW) && engine.poll_opened().is_none());

    let mut slices = 0;
    let mut rng = Rng::with_seed(1);
    let mut random = |end: u64| rng.u64(..end);
    while engine.poll_opened() != Some(feed) {
        let mut ops = Vec::new();
        for _ in 0..40 {
            let (id, total, open) = (random(5_200), random(10_000), random(2) == 0);
            model.resize(model.len().max(id as usize + 1), None);
            if random(3) == 0 {
                model[id as usize] = None;
                ops.push(remove(&id.to_string()));
            } else {
                model[id as usize] = Some((total, open));
                ops.push(put(format!(r#"{{"id":{id},"open":{open},"total":{total}}}"#)));
            }
        }
        engine.commit(NOW, ops).expect("good nodes");
        assert!(engine.poll_update().is_none(), "there is nothing to be told before there is a result");
        assert!(engine.snapshot(feed).is_none());
        engine.slice(300);
        slices += 1;
    }
    assert!(slices > 10);
    let mut expected: Vec<(u64, String)> = Vec::new();
    for (id, node) in model.iter().enumerate() {
        if let Some((total, true)) = node
            && *total > 500
        {
            expected.push((*total, id.to_string()));
        }
    }
    expected.sort();
    let snapshot = engine.snapshot(feed).expect("it was said to be there");
    assert_eq!((snapshot.count.total, snapshot.count.capped), (expected.len() as u64, true));
    let held: Vec<String> = snapshot.rows.iter().map(|row| row.id().to_owned()).collect();
    assert_eq!(held, expected.iter().take(40).map(|(_, id)| id.clone()).collect::<Vec<_>>());

    engine.commit(NOW, vec![remove(&held[0])]).expect("no node is needed");
    let update = engine.poll_update().expect("the first one has left");
    assert_eq!((update.version > snapshot.version, update.len()), (true, 2));
}

/// A view that is closed while it is being made leaves its number to the next.
#[test]
fn a_query_that_is_closed_while_it_is_made_leaves_no_work_behind() {
    let mut engine = orders(NODES, EngineLimits::default().slice_rows(100));
    for customer in 0..20 {
        let plan = engine.prepare(&by_customer(customer).order_by("total")).expect("a query");
        let (feed, _) = engine.begin_open(NOW, &plan).expect("room for a view");
        engine.close(feed);
    }
    let plan = engine.prepare(&by_customer(50)).expect("a query");
    let (feed, _) = engine.begin_open(NOW, &plan).expect("room for a view");
    while engine.slice(100) {}
    assert_eq!(engine.poll_opened().or(Some(feed)), Some(feed));
    assert_eq!(
        engine.snapshot(feed).map(|snapshot| ids(&snapshot)),
        Some(vec![1_050, 1_150, 1_250, 1_350, 1_450])
    );
    assert_eq!(engine.poll_timeout(), None);
}

/// All rows go while an index and a view are half made, and others come in their places.
#[test]
fn a_set_that_is_emptied_while_a_query_is_made_starts_anew() {
    let mut engine = orders(NODES, EngineLimits::default().slice_rows(100));
    // Over time, so its order is not given up when many rows go.
    let timed = engine.prepare(&Query::new("orders").filter("at > now + 7 days")).expect("a query");
    let (timed, is_there) = engine.begin_open(NOW, &timed).expect("room for a view");
    assert!(!is_there);
    for _ in 0..25 {
        engine.slice(100);
    }
    let plan = engine.prepare(&Query::new("orders").filter("not (total < 500)")).expect("a query");
    let (feed, _) = engine.begin_open(NOW, &plan).expect("room for a view");
    for _ in 0..3 {
        engine.slice(900);
    }
    engine.commit(NOW, (0..NODES).map(|id| remove(&id.to_string())).collect()).expect("no node is needed");
    engine.commit(NOW, (3_000..3_300).map(|id| put(order(id))).collect()).expect("good nodes");
    while engine.slice(70) {}
    let matching = (3_000..3_300_u64).filter(|id| id * 7_919 % 10_007 >= 500).count() as u64;
    let mut opened: Vec<FeedId> = std::iter::from_fn(|| engine.poll_opened()).collect();
    opened.sort();
    assert_eq!(opened, [timed, feed]);
    assert_eq!(engine.snapshot(feed).map(|snapshot| snapshot.count.total), Some(matching));
    assert_eq!(engine.snapshot(timed).map(|snapshot| snapshot.count.total), Some(300));
}

//! How much work is done, counted: unlike times, counts are the same on every machine.

use liveset_benches::{BenchQuery, Class, FanOut, Live, OrderRow, Shape, Sort, Step, Workload, json_op};
use liveset_engine::{Op, Query, Work};

fn live(nodes: u32, queries: &[BenchQuery]) -> (Workload, Live) {
    let workload = Workload::new(nodes, 1);
    let mut live = Live::new(workload.orders(), workload.now());
    for query in queries {
        live.open(&query.query());
    }
    (workload, live)
}

/// The next changes of a workload, each as a commit.
fn commits(workload: &mut Workload, count: usize) -> Vec<(i64, Vec<Op>)> {
    let commit = |_| {
        let step = workload.step();
        (workload.now(), vec![json_op(&step)])
    };
    (0..count).map(commit).collect()
}

/// The work of 50 commits of one change each.
fn work(workload: &mut Workload, live: &mut Live) -> Work {
    let before = live.stats();
    for (now, ops) in commits(workload, 50) {
        live.apply(now, ops);
    }
    let after = live.stats();
    assert_eq!(after.nodes_changed - before.nodes_changed, 50);
    after.work.since(&before.work)
}

/// Each change tries at most so many queries, and is tried at most twice on each, however many nodes and queries there are.
fn narrow(class: Class, sizes: &[(u32, usize)], most: u64) {
    for (nodes, count) in sizes {
        let queries = class.queries(*count, *nodes);
        assert_eq!(queries.len(), *count);
        let (mut workload, mut live) = live(*nodes, &queries);
        assert_eq!(live.stats().views, *count as u64, "the queries of a class are all different");
        let work = work(&mut workload, &mut live);
        let what = format!("{class}, {nodes} nodes, {count} queries: {work:?}");
        assert!(work.predicates_evaluated <= 50 * 2 * most, "{what}");
        assert!(work.candidates_found <= 50 * most, "{what}");
        assert_eq!(work.candidates_scanned, 0, "{what}");
        assert_eq!(work.rows_visited, 0, "{what}");
    }
}

#[test]
fn of_queries_for_a_customer_each_a_change_tries_its_own() {
    narrow(Class::B, &[(1_000, 100), (1_000, 10), (100, 10)], 1);
    // Ten thousand queries over few nodes: to open them is what takes long here.
    let query = |who| BenchQuery { shape: Shape::Customer(who), sort: Sort::Newest, cap: 100 };
    let queries: Vec<BenchQuery> = (0..10_000).map(query).collect();
    let (mut workload, mut live) = live(100, &queries);
    let work = work(&mut workload, &mut live);
    assert!(work.predicates_evaluated <= 50 * 2, "{work:?}");
    assert!(work.candidates_found <= 50, "{work:?}");
}

#[test]
fn of_queries_for_a_customer_and_a_status_each_a_change_tries_its_own() {
    narrow(Class::C, &[(1_000, 100), (1_000, 10), (100, 10)], 1);
}

#[test]
fn of_queries_for_a_region_and_a_priority_a_change_tries_those_of_its_region() {
    narrow(Class::E, &[(1_000, 250), (100, 250), (100, 50)], 5);
}

#[test]
fn a_commit_visits_no_node_but_the_changed_one() {
    for nodes in [200, 2_000] {
        for class in [Class::B, Class::D, Class::E, Class::G] {
            let (mut workload, mut live) = live(nodes, &class.queries(50, nodes));
            assert_eq!(work(&mut workload, &mut live).rows_visited, 0, "{class}");
        }
    }
}

#[test]
fn a_change_is_tried_at_most_twice_on_each_query_however_many_nodes_there_are() {
    for nodes in [200, 2_000] {
        for count in [1, 10, 100] {
            let queries = Class::G.queries(count, nodes);
            let (mut workload, mut live) = live(nodes, &queries);
            let tried = work(&mut workload, &mut live).predicates_evaluated;
            assert!(tried <= 50 * 2 * count as u64, "{nodes} nodes, {count} queries: {tried}");
        }
    }
}

#[test]
fn time_flips_touch_only_the_queries_whose_span_is_over() {
    let query = |minutes| BenchQuery { shape: Shape::Minutes(minutes), sort: Sort::Dearest, cap: 50 };
    let queries: Vec<BenchQuery> = (1..=100).map(|step| query(step * 10)).collect();
    let workload = Workload::new(1, 1);
    let mut row = OrderRow::clone(&workload.orders()[0]);
    row.created = workload.now();
    let mut live = Live::new(&[row.into()], workload.now());
    for query in &queries {
        live.open(&query.query());
    }
    let before = live.stats();
    assert_eq!(live.apply(workload.now() + 10 * 60, Vec::new()), 1, "it left one window");
    let after = live.stats();
    assert_eq!(after.flips - before.flips, 1);
    // As it was and as it is, of the one query.
    assert!(after.predicates_evaluated - before.predicates_evaluated <= 2, "{after:?}");
    assert_eq!(after.rows_visited, before.rows_visited);
}

#[test]
fn a_change_that_no_query_shows_sends_nothing() {
    let (workload, mut live) = live(200, &Class::E.queries(50, 200));
    let sent = live.stats().changes_out;
    for order in workload.orders() {
        let op = json_op(&Step::Put(order.clone()));
        assert_eq!(live.apply(workload.now(), vec![op]), 0, "the node is as it was");
    }
    assert_eq!(live.stats().changes_out, sent);
    assert_eq!(live.stats().nodes_changed, 200, "those of the first commit");
}

#[test]
fn a_duplicate_query_adds_no_view_and_no_work() {
    let queries = Class::G.queries(10, 2_000);
    let (mut workload, mut live) = live(2_000, &queries);
    let (mut workload_again, mut live_again) = (workload.clone(), self::live(2_000, &queries).1);
    let before = live_again.stats();
    for query in queries.iter().map(BenchQuery::query) {
        // The same queries in another spelling.
        let filter = format!(" ( {} ) ", query.filter.clone().unwrap_or_default());
        live_again.open(&query.clone().filter(filter));
        live_again.open(&query);
    }
    let after = live_again.stats();
    assert_eq!((after.views, after.feeds), (before.views, before.feeds));
    assert_eq!(after.rows_visited, before.rows_visited, "nothing was evaluated again");
    assert_eq!(after.predicates_evaluated, before.predicates_evaluated);

    let (once, shared) = (work(&mut workload, &mut live), work(&mut workload_again, &mut live_again));
    assert_eq!(shared.predicates_evaluated, once.predicates_evaluated);
    assert_eq!(shared.changes_out, once.changes_out);
}

#[test]
fn another_projection_is_no_new_view() {
    let queries = Class::A1.queries(1, 200);
    let (mut workload, mut live) = live(200, &queries);
    let alone = work(&mut workload.clone(), &mut self::live(200, &queries).1);
    live.open(&queries[0].query().fields(["status"]));
    assert_eq!((live.stats().views, live.stats().feeds), (1, 2));
    assert_eq!(work(&mut workload, &mut live).predicates_evaluated, alone.predicates_evaluated);
}

#[test]
fn a_result_costs_one_visit_of_each_node_and_a_held_one_none() {
    let (_, mut live) = live(2_000, &[]);
    for query in Class::G.queries(10, 2_000).iter().map(BenchQuery::query) {
        let plan = live.prepare(&query);
        let visited = |live: &Live| live.stats().rows_visited;

        let before = visited(&live);
        live.once(&plan);
        assert!(visited(&live) - before <= 2_000, "{query:?} once");

        let before = visited(&live);
        live.open(&query);
        assert!(visited(&live) - before <= 2_000, "{query:?} live");

        let before = visited(&live);
        live.once(&plan);
        assert_eq!(visited(&live), before, "{query:?} once while it is held");
    }
}

#[test]
fn closing_leaves_nothing_to_do() {
    let (mut workload, mut live) = live(200, &Class::G.queries(50, 200));
    for (feed, shares) in live.feeds() {
        (0..shares).for_each(|_| live.close(feed));
    }
    let stats = live.stats();
    assert_eq!((stats.views, stats.feeds, stats.deadlines), (0, 0, 0));
    assert_eq!(work(&mut workload, &mut live).predicates_evaluated, 0);
}

#[test]
fn a_window_in_the_midst_of_changes_is_refilled_without_a_scan_where_an_order_is_known() {
    let (workload, mut live) = live(500, &[]);
    let newest = |limit| Query::new("orders").order_by("createdAt desc").limit(limit);
    // Who asks again is worth an order.
    for limit in [20, 30] {
        let feed = live.open(&newest(limit));
        live.close(feed);
    }
    live.open(&newest(10));
    let before = live.stats();
    for order in workload.orders() {
        live.apply(workload.now(), vec![json_op(&Step::Remove(order.id))]);
    }
    let after = live.stats();
    assert_eq!(after.rows_visited, before.rows_visited);
    assert!(after.refilled - before.refilled > 0);
    assert_eq!(after.nodes, 0);
}

#[test]
fn a_window_in_the_midst_of_changes_is_soon_refilled_from_an_order() {
    let (workload, mut live) = live(500, &[]);
    live.open(&Query::new("orders").order_by("createdAt desc").limit(10));
    let before = live.stats();
    for order in workload.orders() {
        live.apply(workload.now(), vec![json_op(&Step::Remove(order.id))]);
    }
    let after = live.stats();
    // Some scans show that an order pays; from then on each node is visited once.
    assert!(after.rows_visited - before.rows_visited <= 500 * 4, "{after:?}");
    assert!(after.refilled - before.refilled > 0);
    assert_eq!(after.nodes, 0);
}

#[test]
fn a_diff_is_made_once_however_many_connections_watch() {
    let mut work = Vec::new();
    let query = Class::A2.queries(1, 100)[0].query();
    for sessions in [1, 10, 100] {
        let mut workload = Workload::new(100, 1);
        let mut hub = FanOut::new(workload.orders(), workload.now(), &query, sessions);
        let before = hub.stats();
        let mut sent = Vec::new();
        for (now, ops) in commits(&mut workload, 20) {
            let mut of_change = Vec::new();
            hub.show(now, ops, |text| of_change.push(text.len()));
            assert_eq!(of_change.len(), sessions, "each connection gets one message");
            sent.push(of_change[0]);
        }
        let after = hub.stats();
        assert_eq!((after.live_queries, after.feeds, after.engine.views), (sessions, 1, 1));
        assert_eq!(after.batches - before.batches, 20);
        work.push((
            after.engine.predicates_evaluated - before.engine.predicates_evaluated,
            after.engine.changes_out - before.engine.changes_out,
            sent,
        ));
    }
    assert!(work.iter().all(|each| *each == work[0]), "{work:?}");
}

#[test]
fn of_overlapping_ranges_a_change_tries_those_that_hold_its_total() {
    // Of 1,000 ranges of 10 over totals up to 2,000 about 5 hold a total: those of the one before and of the one after a change.
    narrow(Class::D, &[(1_000, 100), (100, 1_000), (1_000, 1_000)], 14);
}

#[test]
fn of_queries_for_a_prefix_each_a_change_tries_its_own() {
    let query = |place: u32| {
        let letter = |by: u32| b'a' + (place / by % 26) as u8;
        BenchQuery { shape: Shape::Prefix([letter(676), letter(26), letter(1)]), sort: Sort::Newest, cap: 50 }
    };
    let queries: Vec<BenchQuery> = (0..2_000).map(query).collect();
    let (mut workload, mut live) = live(200, &queries);
    let work = work(&mut workload, &mut live);
    assert_eq!(work.candidates_scanned, 0, "{work:?}");
    assert!(work.candidates_found <= 50, "{work:?}");
    assert!(work.predicates_evaluated <= 50 * 2, "{work:?}");
}

#[test]
fn of_queries_over_the_last_minutes_a_change_of_an_old_order_tries_none() {
    let query = |minutes| BenchQuery { shape: Shape::Minutes(minutes), sort: Sort::Dearest, cap: 50 };
    let queries: Vec<BenchQuery> = (1..=500).map(query).collect();
    let workload = Workload::new(500, 1);
    // Older than the longest of the queries, so that nothing of them will ever match.
    let old = workload.orders().iter().filter(|row| row.created < workload.now() - 600 * 60);
    let old: Vec<_> = old.cloned().collect();
    let mut live = Live::new(&old, workload.now());
    for query in &queries {
        live.open(&query.query());
    }
    let before = live.stats();
    for row in &old {
        let mut row = OrderRow::clone(row);
        row.total += 1;
        live.apply(workload.now(), vec![json_op(&Step::Put(row.into()))]);
    }
    let after = live.stats();
    assert_eq!(after.nodes_changed - before.nodes_changed, old.len() as u64);
    assert_eq!(after.candidates_scanned, before.candidates_scanned);
    assert_eq!(after.candidates_found, before.candidates_found);
    assert_eq!(after.predicates_evaluated, before.predicates_evaluated);
    // One order index waits for all of them, and nothing is left to flip.
    assert_eq!(after.deadlines, 0, "{after:?}");
}

#[test]
fn a_query_by_equality_is_created_from_its_own_rows() {
    // A first query may pay for the index that those after it use.
    let (_, mut live) = live(2_000, &Class::B.queries(100, 2_000));
    let before = live.stats();
    live.open(&BenchQuery { shape: Shape::Customer(1), sort: Sort::Dearest, cap: 100 }.query());
    assert!(live.stats().rows_visited - before.rows_visited <= 50, "10 orders of a customer, not 2,000");
}

#[test]
fn a_window_over_all_rows_in_a_known_order_is_created_from_its_first_rows() {
    let (_, mut live) = live(2_000, &Class::A2.queries(1, 2_000));
    // Who asks again is worth an order.
    live.open(&BenchQuery { shape: Shape::Every, sort: Sort::Dearest, cap: 20 }.query());
    live.open(&BenchQuery { shape: Shape::Every, sort: Sort::Dearest, cap: 30 }.query());
    let before = live.stats();
    live.open(&BenchQuery { shape: Shape::Every, sort: Sort::Dearest, cap: 10 }.query());
    assert!(live.stats().rows_visited - before.rows_visited <= 100);
}

/// More connections than one subject may have: each is another one's.
#[test]
fn a_fan_out_has_as_many_connections_as_it_is_asked_for() {
    let workload = Workload::new(10, 1);
    let query = Class::F.queries(1, 10)[0].query();
    let fan_out = FanOut::new(workload.orders(), workload.now(), &query, 1_100);
    assert_eq!((fan_out.stats().connections, fan_out.stats().live_queries), (1_100, 1_100));
}

//! How much work is done, counted: unlike times, counts are the same on every machine.

use liveset_benches::{FanOut, Live, NativeQuery, Workload, queries};
use liveset_engine::{Query, Work};

fn live(nodes: u32, count: usize) -> (Workload, Live) {
    let workload = Workload::new(nodes, 1);
    let some = queries(count, nodes / 10);
    let live = Live::new(workload.orders(), some.iter().map(|query| &query.query));
    (workload, live)
}

/// The work of 50 commits of one changed node each.
fn work(workload: &mut Workload, live: &mut Live) -> Work {
    let before = live.stats();
    for order in workload.changes(50) {
        live.apply(vec![order.upsert()]);
    }
    let after = live.stats();
    assert_eq!(after.nodes_changed - before.nodes_changed, 50);
    after.work.since(&before.work)
}

#[test]
fn a_commit_visits_no_node_but_the_changed_one() {
    for nodes in [200, 2_000] {
        let (mut workload, mut live) = live(nodes, 100);
        assert_eq!(work(&mut workload, &mut live).rows_visited, 0);
    }
}

#[test]
fn a_change_is_tried_at_most_twice_on_each_query_however_many_nodes_there_are() {
    for nodes in [200, 2_000] {
        for count in [1, 10, 100] {
            let (mut workload, mut live) = live(nodes, count);
            assert_eq!(live.stats().views, count as u64, "the queries of the workload are all different");
            let tried = work(&mut workload, &mut live).predicates_evaluated;
            assert!(tried <= 50 * 2 * count as u64, "{nodes} nodes, {count} queries: {tried}");
        }
    }
}

#[test]
fn a_change_that_no_query_shows_sends_nothing() {
    let (workload, mut live) = live(200, 5);
    let sent = live.stats().changes_out;
    for order in workload.orders() {
        assert_eq!(live.apply(vec![order.upsert()]), 0, "the node is as it was");
    }
    assert_eq!(live.stats().changes_out, sent);
    assert_eq!(live.stats().nodes_changed, 200, "those of the first commit");
}

#[test]
fn a_duplicate_query_adds_no_view_and_no_work() {
    let (mut workload, mut live) = live(2_000, 10);
    let (mut workload_again, mut live_again) = (workload.clone(), self::live(2_000, 10).1);
    let before = live_again.stats();
    for NativeQuery { query, .. } in queries(10, 200) {
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
    let (mut workload, mut live) = live(200, 1);
    let NativeQuery { query, .. } = queries(1, 20).remove(0);
    let alone = work(&mut workload.clone(), &mut self::live(200, 1).1);
    live.open(&query.fields(["status"]));
    assert_eq!((live.stats().views, live.stats().feeds), (1, 2));
    assert_eq!(work(&mut workload, &mut live).predicates_evaluated, alone.predicates_evaluated);
}

#[test]
fn a_result_costs_one_visit_of_each_node_and_a_held_one_none() {
    let (_, mut live) = live(2_000, 0);
    for NativeQuery { query, .. } in queries(5, 200) {
        let plan = live.prepare(&query);
        let visited = |live: &Live| live.stats().rows_visited;

        let before = visited(&live);
        live.once(&plan);
        assert_eq!(visited(&live) - before, 2_000, "{query:?} once");

        let before = visited(&live);
        live.open(&query);
        assert_eq!(visited(&live) - before, 2_000, "{query:?} live");

        let before = visited(&live);
        live.once(&plan);
        assert_eq!(visited(&live), before, "{query:?} once while it is held");
    }
}

#[test]
fn closing_leaves_nothing_to_do() {
    let (mut workload, mut live) = live(200, 10);
    for (feed, shares) in live.feeds() {
        (0..shares).for_each(|_| live.close(feed));
    }
    let stats = live.stats();
    assert_eq!((stats.views, stats.feeds, stats.deadlines), (0, 0, 0));
    assert_eq!(work(&mut workload, &mut live).predicates_evaluated, 0);
}

#[test]
fn a_window_in_the_midst_of_changes_is_refilled_without_a_scan() {
    let (workload, mut live) = live(500, 0);
    live.open(&Query::new("orders").order_by("createdAt desc").limit(10));
    let before = live.stats();
    for order in workload.orders() {
        live.apply(vec![liveset_engine::Op::Remove { set: "orders".into(), id: order.id() }]);
    }
    let after = live.stats();
    assert_eq!(after.rows_visited, before.rows_visited);
    assert!(after.refilled - before.refilled > 0);
    assert_eq!(after.nodes, 0);
}

#[test]
fn a_diff_is_made_once_however_many_connections_watch() {
    let mut work = Vec::new();
    for sessions in [1, 10, 100] {
        let mut workload = Workload::new(100, 1);
        let mut hub = FanOut::new(&workload, sessions);
        let before = hub.stats();
        let mut sent = 0;
        for order in workload.changes(20) {
            let (messages, bytes) = hub.apply(vec![order.upsert()]);
            assert_eq!(messages, sessions, "each connection gets one message");
            sent += bytes;
        }
        let after = hub.stats();
        assert_eq!((after.live_queries, after.feeds, after.engine.views), (sessions, 1, 1));
        assert_eq!(after.batches - before.batches, 20);
        work.push((
            after.engine.predicates_evaluated - before.engine.predicates_evaluated,
            after.engine.changes_out - before.engine.changes_out,
            sent / sessions,
        ));
    }
    assert!(work.iter().all(|each| *each == work[0]), "{work:?}");
}

//! A live query is maintained once, however many ask for it and however they spell it.

use liveset_hub::HubConfig;

use crate::support::{self, client, create, order, orders, request, types, world};

#[test]
fn two_clients_with_one_query_share_a_feed() {
    let mut world = world(HubConfig::default());
    let (a, b) = (client(&mut world, "a"), client(&mut world, "b"));
    for client in [a, b] {
        create(&mut world, client, "q", r#"{"edge":"orders","filter":"total > 5"}"#);
    }
    let stats = world.hub().stats();
    assert_eq!((stats.live_queries, stats.feeds, stats.engine.feeds, stats.engine.views), (2, 1, 1, 1));

    let before = world.hub().stats();
    world.commit(vec![order(1, 6)]).unwrap();
    world.settle();
    let after = world.hub().stats();
    assert_eq!(after.batches - before.batches, 1, "an update is converted once");
    for client in [a, b] {
        assert_eq!(types(&mut world, client).last().unwrap(), "liveQueryAddedNode");
    }
}

#[test]
fn spelling_makes_no_difference() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    let spellings = [
        r#"{"edge":"orders","filter":"total > 5 and id != 3","orderBy":"total desc"}"#,
        r#"{"edge":"orders","filter":"  id!=3\n and (total>5)","orderBy":"total   desc"}"#,
        r#"{"edge":"orders","filter":"(`id` != 3 and (total) > 5)","orderBy":" `total` desc"}"#,
    ];
    for (i, spelling) in spellings.iter().enumerate() {
        create(&mut world, client, &format!("q{i}"), spelling);
    }
    let stats = world.hub().stats();
    assert_eq!((stats.live_queries, stats.feeds), (3, 1));
}

#[test]
fn a_bound_value_is_the_literal() {
    let mut world = world(HubConfig::default());
    world.commit(vec![order(1, 6), order(2, 4)]).unwrap();
    let client = client(&mut world, "a");
    let queries = [
        r#"{"edge":"orders","filter":"total > 5 and not (id in ['x', 3])"}"#,
        r#"{"edge":"orders","filter":"total > $least and not (id in $not)","params":{"least":5,"not":["x",3]}}"#,
        r#"{"edge":"orders","params":{"a":"x","least":5},"filter":"not (id in [3, $a]) and $least < total"}"#,
    ];
    for (i, query) in queries.iter().enumerate() {
        create(&mut world, client, &format!("q{i}"), query);
        assert_eq!(support::shown(&mut world, client, &format!("q{i}")), ["1"]);
    }
    let stats = world.hub().stats();
    assert_eq!((stats.live_queries, stats.feeds, stats.engine.views), (3, 1, 1));
}

#[test]
fn wrong_parameters_are_wrong_queries() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    let cases = [
        (
            r#""filter":"total > $least""#,
            "filter, line 1, column 9: found $least, expected a name that 'params' has",
        ),
        (
            r#""filter":"total > 5","params":{"least":5}"#,
            "params.least: found a value, expected '$least' in the filter",
        ),
        (
            r#""filter":"total > $principal.least""#,
            "filter, line 1, column 9: found $principal.least, expected a value of",
        ),
        (r#""orderBy":"$x","params":{"x":"total"}"#, "params.x: found a value, expected '$x' in the filter"),
    ];
    for (fields, expected) in cases {
        create(&mut world, client, "q", &format!(r#"{{"edge":"orders",{fields}}}"#));
        let error = support::messages(&mut world, client).pop().unwrap();
        assert_eq!((&error["code"], &error["id"]), (&"INVALID_QUERY".into(), &"q".into()), "{error}");
        assert!(error["message"].as_str().unwrap().starts_with(expected), "{fields}: {error}");
    }
}

#[test]
fn projections_are_feeds_of_one_view() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    create(&mut world, client, "whole", r#"{"edge":"orders"}"#);
    create(&mut world, client, "ids", r#"{"edge":"orders","node":{"fields":["id"]}}"#);
    create(&mut world, client, "totals", r#"{"edge":"orders","node":{"fields":["total"]}}"#);
    let stats = world.hub().stats();
    assert_eq!((stats.feeds, stats.engine.feeds, stats.engine.views), (3, 3, 1));

    // What a projection does not show is no update for it.
    world.commit(vec![order(1, 1)]).unwrap();
    world.settle();
    types(&mut world, client);
    world.commit(vec![order(1, 2)]).unwrap();
    world.settle();
    assert_eq!(types(&mut world, client), ["liveQueryUpdatedNode", "liveQueryUpdatedNode"]);
}

#[test]
fn a_late_watcher_gets_a_snapshot_that_splices() {
    let mut world = world(HubConfig::default());
    let (a, b) = (client(&mut world, "a"), client(&mut world, "b"));
    create(&mut world, a, "q", r#"{"edge":"orders"}"#);
    // Committed and asked for without a drain between: the commit is in the snapshot, and not told again.
    world.commit(vec![order(1, 1)]).unwrap();
    create(&mut world, b, "q", r#"{"edge":"orders"}"#);
    assert_eq!(types(&mut world, b), ["liveQueryCreated", "liveQueryData"]);
    assert_eq!(support::shown(&mut world, b, "q"), ["1"]);
    assert_eq!(support::shown(&mut world, a, "q"), ["1"]);
    world.commit(vec![order(2, 1)]).unwrap();
    world.settle();
    assert_eq!(types(&mut world, b), ["liveQueryAddedNode"]);
}

#[test]
fn a_count_is_followed_where_somebody_wants_it() {
    for (counts, batches) in [(false, 0), (true, 1)] {
        let mut world = world(HubConfig::default());
        world.commit(orders(8)).unwrap();
        let client = client(&mut world, "a");
        let mut wanted = request("q", r#"{"edge":"orders","orderBy":"total","limit":2}"#);
        wanted.options.counts = counts;
        world.session(client).create_live_query(wanted);
        world.settle();
        // Behind the end of the window.
        world.commit(vec![order(9, 9)]).unwrap();
        assert_eq!(world.hub().stats().batches, batches, "counts: {counts}");
    }
}

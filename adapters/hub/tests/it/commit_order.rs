//! Everything of one commit leaves before what is of the next, over all live queries of a connection: whatever their options, however
//! large the diffs, and where a query is brought up to date in slices.

use std::time::Duration;

use liveset_engine::{EngineLimits, Op, SetDef};
use liveset_hub::{
    HubConfig, Now,
    test_kit::{ClientId, World, upsert},
};
use serde_json::Value;

use crate::support::{client, messages, request, types, world};

/// What a slice takes.
const SLICE: Duration = Duration::from_millis(10);

/// A world with `orders` and `notes`.
fn two_sets(config: HubConfig) -> World {
    let mut world = world(config);
    world.hub_mut().define_set(SetDef::new("notes")).unwrap();
    world
}

fn create_with(world: &mut World, client: ClientId, id: &str, query: &str, options: &str) {
    let mut wanted = request(id, query);
    let has = |name| options.contains(name);
    wanted.options.positions = has("positions");
    wanted.options.counts = has("counts");
    wanted.options.reasons = has("reasons");
    wanted.options.resume = has("resume");
    world.session(client).create_live_query(wanted);
    world.settle();
    let types = types(world, client);
    assert_eq!(types, ["liveQueryCreated", "liveQueryData"]);
}

/// The rows of commit `n`: some orders of that many bytes, and one note.
fn commit(n: u32, orders: u32, bytes: usize) -> Vec<Op> {
    let text = "x".repeat(bytes);
    let order = |i| upsert("orders", &format!(r#"{{"id":"{n}-{i}","n":{n},"text":"{text}"}}"#));
    (0..orders).map(order).chain([upsert("notes", &format!(r#"{{"id":{n},"n":{n}}}"#))]).collect()
}

/// Of each diff the commit and the live query, one for those that follow each other.
fn order_of(messages: &[Value]) -> Vec<(u64, &str)> {
    let diffs = messages.iter().filter(|message| message["data"].is_object());
    let mut order: Vec<_> = diffs
        .map(|message| (message["data"]["n"].as_u64().unwrap(), message["id"].as_str().unwrap()))
        .collect();
    order.dedup();
    order
}

#[test]
fn commits_do_not_overtake_each_other_whatever_the_options() {
    for (a, z) in
        [("positions", ""), ("counts", ""), ("", "positions"), ("resume", "counts"), ("", "reasons resume")]
    {
        for takes_diffs in [true, false] {
            let mut world = two_sets(HubConfig::default());
            world.set_takes_diffs(takes_diffs);
            let c = client(&mut world, "a");
            create_with(&mut world, c, "a", r#"{"edge":"orders"}"#, a);
            create_with(&mut world, c, "z", r#"{"edge":"notes"}"#, z);
            for n in [1, 2, 3] {
                world.commit(commit(n, 2, 10)).unwrap();
            }
            world.settle();
            let messages = messages(&mut world, c);
            let order: Vec<u64> = order_of(&messages).iter().map(|(n, _)| *n).collect();
            assert_eq!(order, [1, 1, 2, 2, 3, 3], "{a} and {z}: {messages:?}");
        }
    }
}

/// Those of the first commit do not fit on the way, so they go through the session.
#[test]
fn large_diffs_are_not_overtaken() {
    for (orders, bytes) in [(40, 1_024), (200, 200), (1, 40 * 1_024)] {
        let mut world = two_sets(HubConfig::default());
        world.set_room(32 * 1_024);
        let c = client(&mut world, "a");
        create_with(&mut world, c, "a", r#"{"edge":"orders"}"#, "");
        create_with(&mut world, c, "z", r#"{"edge":"notes"}"#, "");
        world.commit(commit(1, orders, bytes)).unwrap();
        world.commit(commit(2, 1, 10)).unwrap();
        world.settle();
        let messages = messages(&mut world, c);
        assert_eq!(messages.len() as u32, orders + 3);
        let order: Vec<u64> = order_of(&messages).iter().map(|(n, _)| *n).collect();
        assert_eq!(order, [1, 1, 2, 2]);
        // And afterwards diffs go past the session again.
        let past = world.hub().stats().handed_past;
        world.commit(commit(3, 1, 10)).unwrap();
        world.settle();
        assert_eq!(world.hub().stats().handed_past, past + 2);
    }
}

/// One whose commits of many orders take several slices for whatever tries them all.
fn slow_world() -> World {
    let engine = EngineLimits::default().hold_steps(1_500);
    let mut world = two_sets(HubConfig { engine, ..HubConfig::default() });
    world.set_slice_time(SLICE..=SLICE);
    world
}

const DEAR: &str = r#"{"edge":"orders","filter":"text contains 'x'"}"#;
const NOTES: &str = r#"{"edge":"notes"}"#;

/// A client with a query that lags behind a commit, and one that does not.
fn one_lagging(world: &mut World) -> ClientId {
    let c = client(world, "a");
    create_with(world, c, "dear", DEAR, "");
    create_with(world, c, "z", NOTES, "");
    c
}

fn lags(world: &World) -> bool {
    world.hub().poll_timeout().is_due_already
}

#[test]
fn who_watches_what_lags_gets_each_commit_whole() {
    for options in ["", "counts", "positions resume"] {
        let mut world = slow_world();
        let c = client(&mut world, "a");
        create_with(&mut world, c, "dear", DEAR, options);
        create_with(&mut world, c, "z", NOTES, options);
        let other = client(&mut world, "b");
        create_with(&mut world, other, "z", NOTES, options);
        let mut seen = Vec::new();
        for n in 1..=4 {
            world.commit(commit(n, 60, 200)).unwrap();
            world.run_for(SLICE / 4);
            assert!(lags(&world));
            seen.extend(messages(&mut world, c));
            let others = messages(&mut world, other);
            assert_eq!(order_of(&others), [(u64::from(n), "z")], "others get theirs at once");
        }
        world.settle();
        assert!(!lags(&world));
        seen.extend(messages(&mut world, c));
        let order: Vec<u64> = order_of(&seen).iter().map(|(n, _)| *n).collect();
        assert_eq!(order, [1, 1, 2, 2, 3, 3, 4, 4], "{options}");
        // Nothing of this is left: what comes goes its usual way.
        world.commit(commit(9, 1, 1)).unwrap();
        world.settle();
        assert_eq!(order_of(&messages(&mut world, c)).len(), 2);
        assert_eq!(world.hub().stats().backlog.changes, 0);
    }
}

/// Nobody takes anything until it is all done: what lagged comes out of the engine last.
#[test]
fn what_lagged_and_was_not_handed_out_is_put_in_its_place() {
    for takes_diffs in [true, false] {
        let mut world = slow_world();
        world.set_takes_diffs(takes_diffs);
        let c = one_lagging(&mut world);
        for n in 1..=3 {
            world.commit(commit(n, 60, 200)).unwrap();
        }
        assert!(lags(&world));
        while lags(&world) {
            let now = world.now();
            world.hub_mut().handle_timeout(now);
        }
        world.settle();
        let seen = messages(&mut world, c);
        let order: Vec<u64> = order_of(&seen).iter().map(|(n, _)| *n).collect();
        assert_eq!(order, [1, 1, 2, 2, 3, 3]);
    }
}

#[test]
fn what_was_held_goes_when_nothing_of_the_connection_lags_any_more() {
    let mut world = slow_world();
    let c = client(&mut world, "a");
    create_with(&mut world, c, "dear", DEAR, "");
    create_with(&mut world, c, "dear too", r#"{"edge":"orders","filter":"text contains 'xx'"}"#, "positions");
    create_with(&mut world, c, "z", NOTES, "");
    // Keeps both behind, whatever the first client does.
    let other = client(&mut world, "b");
    create_with(&mut world, other, "dear", DEAR, "");
    world.commit(commit(1, 300, 10)).unwrap();
    let mut destroy = |id| {
        world.session(c).destroy_live_query(id);
        world.run_for(SLICE / 8);
        assert!(lags(&world));
        let seen = messages(&mut world, c);
        (seen.len(), order_of(&seen).iter().map(|(n, id)| format!("{id} {n}")).collect::<Vec<_>>())
    };
    assert_eq!(destroy("dear"), (1, vec![]), "the other one lags");
    assert_eq!(destroy("dear too"), (2, vec!["z 1".to_owned()]));
    world.commit(commit(2, 1, 1)).unwrap();
    world.run_for(SLICE / 8);
    assert!(lags(&world));
    assert_eq!(order_of(&messages(&mut world, c)), [(2, "z")]);
}

#[test]
fn who_goes_while_something_lags_leaves_nothing() {
    let mut world = slow_world();
    let c = one_lagging(&mut world);
    world.commit(commit(1, 300, 10)).unwrap();
    world.run_for(SLICE / 4);
    assert!(lags(&world));
    world.cut(c);
    world.settle();
    let stats = world.hub().stats();
    assert_eq!((stats.feeds, stats.backlog.changes, stats.engine.behind), (0, 0, 0));
}

/// A live query that joins one that lags begins where that is, and its connection waits for it as well.
#[test]
fn who_joins_what_lags_is_in_step_as_well() {
    let mut world = slow_world();
    let first = one_lagging(&mut world);
    let late = client(&mut world, "b");
    create_with(&mut world, late, "z", NOTES, "");
    world.commit(commit(1, 90, 200)).unwrap();
    world.run_for(SLICE / 4);
    messages(&mut world, late);
    world.session(late).create_live_query(request("dear", DEAR));
    world.run_for(SLICE / 4);
    assert!(lags(&world));
    let began = messages(&mut world, late);
    assert_eq!(began.last().unwrap()["data"], Value::Array(Vec::new()), "{began:?}");
    world.commit(commit(2, 1, 10)).unwrap();
    world.settle();
    for (client, notes) in [(first, 2), (late, 1)] {
        let seen = messages(&mut world, client);
        let order = order_of(&seen);
        assert!(order.is_sorted_by_key(|(n, _)| *n), "{order:?}");
        assert_eq!(order.iter().filter(|(_, id)| *id == "z").count(), notes);
        assert_eq!(order.iter().filter(|(_, id)| *id == "dear").count(), 2);
    }
}

/// What is held for a connection that reads is bounded as for one that does not.
#[test]
fn what_is_held_is_bounded_and_comes_to_the_result() {
    let mut world = slow_world();
    let c = client(&mut world, "a");
    create_with(&mut world, c, "dear", DEAR, "");
    create_with(&mut world, c, "z", r#"{"edge":"notes","limit":5}"#, "");
    let conn = world.connection(c).unwrap();
    world.commit(commit(1, 1_000, 10)).unwrap();
    for n in 0..600 {
        world.commit(vec![upsert("notes", &format!(r#"{{"id":{},"n":{n}}}"#, n % 5))]).unwrap();
        world.run_for(Duration::ZERO);
        assert!(world.hub().session(conn).unwrap().backlog().changes <= 256 + 1_000);
    }
    world.settle();
    let result = world.session(c).live_query("z").unwrap();
    let mut rows: Vec<Value> = result.rows().map(|(_, data)| serde_json::from_slice(data).unwrap()).collect();
    rows.sort_by_key(|row| row["id"].as_u64());
    assert_eq!(
        rows.iter().map(|row| row["n"].as_u64().unwrap()).collect::<Vec<_>>(),
        [595, 596, 597, 598, 599]
    );
    assert_eq!(world.session(c).live_query("dear").unwrap().len(), 1_000);
}

/// "At most once per commit (the passing of time before it included)."
#[test]
fn a_commit_that_time_came_before_tells_one_count() {
    for hold_steps in [EngineLimits::default().hold_steps, 20] {
        let engine = EngineLimits::default().hold_steps(hold_steps);
        let mut world = world(HubConfig { engine, ..HubConfig::default() });
        world.set_slice_time(SLICE..=SLICE);
        let c = client(&mut world, "a");
        let query = r#"{"edge":"orders","filter":"at > now and text contains 'x'"}"#;
        create_with(&mut world, c, "q", query, "counts");
        let row = |id: u32, second: u32| {
            upsert("orders", &format!(r#"{{"id":{id},"text":"xyz","at":"2024-01-01T00:00:{second:02}Z"}}"#))
        };
        world.commit((10..40).map(|second| row(second, second)).collect()).unwrap();
        world.settle();
        let count = |messages: &[Value]| {
            let counts = messages.iter().filter(|message| message["type"] == "liveQueryCount");
            counts.map(|message| message["totalCount"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(count(&messages(&mut world, c)), [30], "{hold_steps}");
        for n in 1..=5 {
            // The clock that the host reads with the commit is the first to say that time has passed.
            let now = world.now();
            let wall = now.wall.saturating_add(Duration::from_secs(n * 2 + 10));
            let now = Now { wall, ..now };
            world.hub_mut().commit(now, vec![row(100 + n as u32, 59)]).unwrap();
            world.run_for(Duration::ZERO);
            world.settle();
            let seen = messages(&mut world, c);
            let removed = seen.iter().filter(|message| message["type"] == "liveQueryRemovedNode").count();
            assert!(removed > 0, "time has passed: {seen:?}");
            assert_eq!(count(&seen).len(), 1, "{hold_steps}: {seen:?}");
            assert_eq!(seen.last().unwrap()["type"], "liveQueryCount");
        }
    }
}

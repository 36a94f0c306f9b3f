//! What was held is free again, however it ended.

use std::time::Duration;

use fastrand::Rng;
use liveset_core::{CloseCode, SubscriptionSpec};
use liveset_hub::{HubConfig, Stats, test_kit::World};

use crate::support::{self, client, create, messages, order, orders, request, types, world};

fn nothing_is_held(world: &World) {
    let stats = world.hub().stats();
    let mut held = stats.clone();
    held.engine = Default::default();
    (held.resumed, held.resumes_missed, held.events, held.batches, held.handed_past) = (0, 0, 0, 0, 0);
    (held.planned, held.parsed, held.given_up) = (0, 0, 0);
    (held.sessions, held.holds, held.delays) = Default::default();
    assert_eq!(held, Stats::default(), "{stats:?}");
    assert_eq!((stats.engine.feeds, stats.engine.views, stats.engine.deadlines), (0, 0, 0));
}

fn subscription(id: &str, path: &str) -> SubscriptionSpec {
    SubscriptionSpec { id: id.into(), path: path.into(), events: vec!["jobFailed".into()] }
}

#[test]
fn a_disconnect_frees_everything() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    world.session(client).subscribe(vec![subscription("s", "jobs"), subscription("t", "jobs")]);
    create(&mut world, client, "q", r#"{"edge":"orders"}"#);
    let stats = world.hub().stats();
    assert_eq!((stats.subscriptions, stats.subscribed_paths, stats.live_queries, stats.feeds), (2, 1, 1, 1));
    world.cut(client);
    world.settle();
    nothing_is_held(&world);
}

#[test]
fn half_open_connections_are_found_by_the_missing_pong() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    create(&mut world, client, "q", r#"{"edge":"orders"}"#);
    let conn = world.vanish(client).unwrap();
    world.run_for(Duration::from_secs(30));
    // The socket takes the ping as any other bytes, and nobody answers it.
    let (now, mut out) = (world.now(), Vec::new());
    assert!(world.hub_mut().poll_transmit(now, conn, &mut out).is_some());
    assert_eq!(out, br#"{"type":"ping"}"#);
    world.run_for(Duration::from_secs(29));
    assert_eq!(world.hub().stats().feeds, 1);
    world.run_for(Duration::from_secs(2));
    // What it held is free at once; the connection itself is the owner's to drop.
    let stats = world.hub().stats();
    assert_eq!((stats.connections, stats.feeds, stats.live_queries), (1, 0, 0));
    let now = world.now();
    world.hub_mut().handle_disconnect(now, conn);
    nothing_is_held(&world);
}

#[test]
fn nothing_follows_a_destroy_during_the_load() {
    let mut world = world(HubConfig::default());
    world.commit(orders(1_000)).unwrap();
    world.set_room(1);
    let client = client(&mut world, "a");
    world.stall(client);
    create(&mut world, client, "q", r#"{"edge":"orders"}"#);
    world.session(client).destroy_live_query("q");
    world.settle();
    world.commit(vec![order(1, 7)]).unwrap();
    world.unstall(client);
    world.settle();
    let types = types(&mut world, client);
    assert!(types.len() < 7, "the rest of the data is not sent: {types:?}");
    assert_eq!(types.last().unwrap(), "liveQueryDestroyed");
    assert_eq!(world.hub().stats().feeds, 0);

    // The id is free.
    create(&mut world, client, "q", r#"{"edge":"orders","limit":1}"#);
    assert_eq!(support::types(&mut world, client), ["liveQueryCreated", "liveQueryData"]);
}

#[test]
fn a_refused_create_leaves_nothing() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    for query in [
        r#"{"edge":"ordres"}"#,
        r#"{"edge":"orders","filter":"total >"}"#,
        r#"{"edge":"orders","orderBy":"a b"}"#,
    ] {
        create(&mut world, client, "q", query);
        let messages = messages(&mut world, client);
        assert_eq!(
            (messages.len(), &messages[0]["code"], &messages[0]["id"]),
            (1, &"INVALID_QUERY".into(), &"q".into())
        );
    }
    create(&mut world, client, "q", r#"{"edge":"orders"}"#);
    assert_eq!(types(&mut world, client), ["liveQueryCreated", "liveQueryData"]);
}

#[test]
fn churn_leaves_nothing() {
    let mut world = world(HubConfig::default());
    let mut r = Rng::with_seed(3);
    for round in 0..300 {
        let client = world.connect("a");
        let filter = r.usize(..5);
        let query = format!(r#"{{"edge":"orders","filter":"total > {filter}"}}"#);
        let mut wanted = request("q", &query);
        wanted.options.resume = r.bool();
        world.session(client).create_live_query(wanted);
        world.session(client).subscribe(vec![subscription("s", "jobs/7")]);
        if r.bool() {
            world.settle();
            world.commit(vec![order(r.usize(..9) as u32, round)]).unwrap();
        }
        if r.bool() {
            world.session(client).destroy_live_query("q");
            world.session(client).unsubscribe(["s"]);
            world.settle();
        }
        if r.bool() {
            world.settle();
        }
        world.cut(client);
    }
    world.run_for(Duration::from_secs(61));
    nothing_is_held(&world);
}

#[test]
fn shutdown_sends_what_is_queued_then_closes() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    create(&mut world, client, "q", r#"{"edge":"orders"}"#);
    world.stall(client);
    world.commit(orders(3)).unwrap();
    let now = world.now();
    world.hub_mut().shutdown(now);
    world.unstall(client);
    world.settle();
    let types = types(&mut world, client);
    assert_eq!(&types[2..], ["liveQueryAddedNode"; 3]);
    assert_eq!(world.close_code(client), Some(CloseCode::GoingAway));
    nothing_is_held(&world);

    // Whoever comes too late is sent away at once.
    let late = world.connect("a");
    world.settle();
    assert_eq!(world.close_code(late), Some(CloseCode::GoingAway));
}

#[test]
fn faults_and_overload_close_with_their_codes() {
    let mut world = world(HubConfig::default());
    let (a, b) = (client(&mut world, "a"), client(&mut world, "b"));
    let now = world.now();
    let (conn_a, conn_b) = (world.connection(a).unwrap(), world.connection(b).unwrap());
    world.hub_mut().fail(now, conn_a);
    world.hub_mut().overload(now, conn_b, "too slow");
    world.settle();
    assert_eq!(messages(&mut world, a)[0]["code"], "INTERNAL");
    assert_eq!(messages(&mut world, b)[0]["message"], "too slow");
    assert_eq!(world.close_code(a), Some(CloseCode::Internal));
    assert_eq!(world.close_code(b), Some(CloseCode::TryAgainLater));
    nothing_is_held(&world);
}

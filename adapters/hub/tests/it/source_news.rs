//! Sources of which something is known that is not applied, and clients that wait for it.

use std::time::Duration;

use liveset_core::{LiveQueryOptions, LiveQueryRequest, SessionLimits, SetStatus};
use liveset_hub::{
    HashSeed, HubConfig, SourceId,
    test_kit::{ClientId, World},
};

use crate::support::{client, create, messages, order, request, types, world};

/// A world whose orders come from a source.
fn of_source(identity: &str, config: HubConfig) -> (World, SourceId) {
    let mut world = world(config);
    let source = world.hub_mut().declare_source(identity, ["orders".into()]);
    (world, source)
}

fn reach(world: &mut World, source: SourceId, position: u64) {
    let now = world.now();
    world.hub_mut().reach(now, source, position);
}

fn notice(world: &mut World, source: SourceId, position: u64, ago: Duration) {
    let now = world.now();
    world.hub_mut().notice(now, source, position, ago);
    world.settle();
}

fn wait(world: &mut World, client: ClientId, source: SourceId, position: u64) {
    let position = world.hub().position_at(source, position).to_string();
    world.session(client).await_position(position);
    world.settle();
}

fn status(world: &World) -> &'static str {
    world.hub().status("orders").as_str()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_client_waits_for_what_its_server_has_not_applied_yet() {
    // Another node was asked first.
    let (mut ahead, there) =
        of_source("db", HubConfig { seed: HashSeed::new([9, 9]), ..HubConfig::default() });
    reach(&mut ahead, there, 7);
    let position = ahead.hub().position(there).to_string();

    let (mut world, source) = of_source("db", HubConfig::default());
    let client = client(&mut world, "a");
    create(&mut world, client, "all", r#"{"edge":"orders"}"#);
    types(&mut world, client);
    world.session(client).await_position(position);
    world.settle();
    reach(&mut world, source, 6);
    world.settle();
    assert!(types(&mut world, client).is_empty());
    world.commit(vec![order(1, 1)]).unwrap();
    reach(&mut world, source, 8);
    world.settle();
    assert_eq!(types(&mut world, client), ["liveQueryAddedNode", "positionReached"]);
    wait(&mut world, client, source, 8);
    assert_eq!(types(&mut world, client), ["positionReached"]);
}

#[test]
fn a_position_of_another_history_is_none() {
    let (mut world, source) = of_source("db", HubConfig::default());
    let client = client(&mut world, "a");
    reach(&mut world, source, 7);
    let old = world.hub().position(source).to_string();
    wait(&mut world, client, source, 9);
    assert!(types(&mut world, client).is_empty());
    let now = world.now();
    world.hub_mut().begin_history(now, source, "db again", 7);
    world.settle();
    assert_eq!(messages(&mut world, client)[0]["code"], "UNKNOWN_POSITION", "who waits is told");
    world.session(client).await_position(old);
    world.settle();
    assert_eq!(messages(&mut world, client)[0]["code"], "UNKNOWN_POSITION");
    wait(&mut world, client, source, 7);
    assert_eq!(types(&mut world, client), ["positionReached"]);
}

#[test]
fn whoever_waits_for_what_never_comes_is_told_and_forgotten() {
    let config =
        HubConfig { session: SessionLimits::default().awaited_positions(100), ..HubConfig::default() };
    let (mut world, source) = of_source("db", config);
    let client = client(&mut world, "a");
    for round in 0..10 {
        for n in 0..100 {
            wait(&mut world, client, source, 1_000 - round * 100 + n);
        }
        world.run_for(31 * SECOND);
        let told = messages(&mut world, client);
        let late = told.iter().filter(|told| told["code"] == "OVERLOADED").count();
        assert_eq!(late, 100, "{told:?}");
        assert!(world.hub().stats().awaited <= 100);
    }
    let gone = world.connect("b");
    world.settle();
    wait(&mut world, gone, source, 5);
    world.cut(gone);
    world.settle();
    reach(&mut world, source, 10_000);
    world.settle();
    assert_eq!(world.hub().stats().awaited, 0);
}

#[test]
fn a_set_is_stale_while_its_source_has_had_something_for_long() {
    let (mut world, source) = of_source("db", HubConfig::default());
    let client = client(&mut world, "a");
    let options = LiveQueryOptions { status: true, ..LiveQueryOptions::default() };
    let asked = LiveQueryRequest { options, ..request("q", r#"{"edge":"orders"}"#) };
    world.session(client).create_live_query(asked);
    world.settle();
    types(&mut world, client);

    notice(&mut world, source, 10, SECOND);
    world.run_for(Duration::from_millis(3_999));
    assert_eq!(status(&world), "live");
    world.run_for(Duration::from_millis(1));
    assert_eq!(status(&world), "stale");
    notice(&mut world, source, 20, Duration::ZERO);
    reach(&mut world, source, 9);
    world.settle();
    assert_eq!(status(&world), "stale");
    reach(&mut world, source, 10);
    world.settle();
    assert_eq!(status(&world), "live", "what was there is applied");
    let told: Vec<_> = messages(&mut world, client);
    let statuses: Vec<_> = told.iter().map(|told| told["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["stale", "live"]);
    assert!(told[0]["since"].as_str().unwrap().ends_with('Z'));

    world.run_for(5 * SECOND);
    assert_eq!(status(&world), "stale", "20 has been there for five seconds");
    reach(&mut world, source, 30);
    world.run_for(60 * SECOND);
    assert_eq!(status(&world), "live", "without heartbeats silence means nothing");
}

#[test]
fn silence_makes_a_set_stale_where_heartbeats_were_promised() {
    let (mut world, source) = of_source("db", HubConfig::default());
    let now = world.now();
    world.hub_mut().expect_heartbeats(now, source);
    for _ in 0..5 {
        world.run_for(9 * SECOND);
        reach(&mut world, source, 0);
    }
    assert_eq!(status(&world), "live");
    world.run_for(10 * SECOND);
    assert_eq!(status(&world), "stale");
    notice(&mut world, source, 5, Duration::ZERO);
    assert_eq!(status(&world), "live", "nothing was there when it fell silent");
    world.run_for(10 * SECOND);
    assert_eq!(status(&world), "stale");
    reach(&mut world, source, 4);
    assert_eq!(status(&world), "stale");
    reach(&mut world, source, 5);
    assert_eq!(status(&world), "live");
}

#[test]
fn what_a_source_says_itself_stays() {
    let (mut world, source) = of_source("db", HubConfig::default());
    let now = world.now();
    world.hub_mut().set_status(now, "orders", SetStatus::Loading).unwrap();
    notice(&mut world, source, 5, 9 * SECOND);
    reach(&mut world, source, 5);
    assert_eq!(status(&world), "loading", "its first content is still to come");
    world.hub_mut().set_status(now, "orders", SetStatus::Live).unwrap();
    notice(&mut world, source, 6, 9 * SECOND);
    assert_eq!(status(&world), "stale");
    let since = SetStatus::Stale { since: "2024-01-01T00:00:00Z".into() };
    world.hub_mut().set_status(now, "orders", since.clone()).unwrap();
    reach(&mut world, source, 6);
    assert_eq!(*world.hub().status("orders"), since);
}

#[test]
fn behind_another_history_a_stale_set_is_live_with_its_first_commit() {
    let (mut world, source) = of_source("db", HubConfig::default());
    notice(&mut world, source, 1_000, 9 * SECOND);
    assert_eq!(status(&world), "stale");
    let now = world.now();
    world.hub_mut().begin_history(now, source, "db again", 0);
    assert_eq!(status(&world), "stale");
    reach(&mut world, source, 1);
    assert_eq!(status(&world), "live");
}

/// The oldest is never forgotten, however many are known.
#[test]
fn many_that_are_known_take_little() {
    let (mut world, source) = of_source("db", HubConfig::default());
    for position in 1..=10_000 {
        notice(&mut world, source, position, Duration::ZERO);
    }
    world.run_for(5 * SECOND);
    assert_eq!(status(&world), "stale");
    reach(&mut world, source, 9_999);
    assert_eq!(status(&world), "stale");
    reach(&mut world, source, 10_000);
    assert_eq!(status(&world), "live");
}

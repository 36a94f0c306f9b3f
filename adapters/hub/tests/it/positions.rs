//! "answered `positionReached` once all of the connection's live queries show that commit and all before it, also where it changed
//! none of them"

use std::time::Duration;

use liveset_core::{ClientEvent, ErrorCode, SessionLimits};
use liveset_hub::{
    HashSeed, HubConfig, SourceId,
    test_kit::{ClientId, World},
};

use crate::support::{client, create, messages, order, orders, types, world};

fn commit(world: &mut World, ops: Vec<liveset_engine::Op>) -> String {
    let version = world.commit(ops).unwrap().version;
    world.hub().position_at(SourceId::OWN, version).to_string()
}

fn wait(world: &mut World, client: ClientId, position: &str) {
    world.session(client).await_position(position);
}

#[test]
fn it_is_reached_behind_the_diffs_of_its_commit() {
    for takes_diffs in [false, true] {
        let mut world = world(HubConfig::default());
        world.set_takes_diffs(takes_diffs);
        let client = client(&mut world, "a");
        create(&mut world, client, "all", r#"{"edge":"orders"}"#);
        types(&mut world, client);
        let position = commit(&mut world, vec![order(1, 1)]);
        wait(&mut world, client, &position);
        world.settle();
        assert_eq!(types(&mut world, client), ["liveQueryAddedNode", "positionReached"]);
        // One that is long reached, and one that changed nothing here.
        wait(&mut world, client, &position);
        world.settle();
        assert_eq!(types(&mut world, client), ["positionReached"]);
        let position = commit(&mut world, vec![order(1, 1)]);
        wait(&mut world, client, &position);
        world.settle();
        assert_eq!(types(&mut world, client), ["positionReached"]);
    }
}

#[test]
fn whoever_has_no_live_query_has_reached_everything() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    let position = commit(&mut world, vec![order(1, 1)]);
    wait(&mut world, client, &position);
    world.settle();
    assert_eq!(types(&mut world, client), ["positionReached"]);
    let events = world.take_events(client);
    assert!(matches!(events.last(), Some(ClientEvent::PositionReached { .. })), "{events:?}");
}

#[test]
fn a_slow_connection_waits_for_what_it_has_not_taken() {
    let mut world =
        world(HubConfig { session: SessionLimits::default().backlog_changes(4), ..HubConfig::default() });
    world.set_room(1);
    let client = client(&mut world, "a");
    create(&mut world, client, "all", r#"{"edge":"orders"}"#);
    types(&mut world, client);
    world.stall(client);
    let mut position = String::new();
    for n in 0..20 {
        position = commit(&mut world, vec![order(n, n)]);
    }
    wait(&mut world, client, &position);
    world.settle();
    world.unstall(client);
    world.settle();
    let told = types(&mut world, client);
    assert_eq!(told.iter().position(|kind| kind == "positionReached"), Some(20), "{told:?}");
}

#[test]
fn of_another_history_it_is_unknown_and_the_connection_stays() {
    let mut other = world(HubConfig { seed: HashSeed::new([7, 7]), ..HubConfig::default() });
    let foreign = commit(&mut other, vec![order(1, 1)]);
    let mut world = world(HubConfig::default());
    let ours = commit(&mut world, vec![order(1, 1)]);
    let ahead = world.hub().position_at(SourceId::OWN, 1_000_000).to_string();
    let client = client(&mut world, "a");
    for position in ["", "7", &foreign, &ahead, &ours.to_uppercase(), &format!("{ours}0")] {
        wait(&mut world, client, position);
        world.settle();
        let [error] = &messages(&mut world, client)[..] else { panic!("one answer to {position}") };
        assert_eq!(
            (&error["type"], &error["code"]),
            (&"error".into(), &ErrorCode::UnknownPosition.as_str().into())
        );
        assert!(error["requestId"].is_string());
    }
    wait(&mut world, client, &ours);
    world.settle();
    assert_eq!(types(&mut world, client), ["positionReached"]);
}

#[test]
fn it_is_waited_for_30_seconds_and_so_many_at_once() {
    let mut world =
        world(HubConfig { session: SessionLimits::default().awaited_positions(2), ..HubConfig::default() });
    world.set_room(1);
    let client = client(&mut world, "a");
    create(&mut world, client, "all", r#"{"edge":"orders"}"#);
    types(&mut world, client);
    world.stall(client);
    let position = commit(&mut world, orders(5));
    world.settle();
    for _ in 0..3 {
        wait(&mut world, client, &position);
    }
    world.run_for(Duration::from_millis(29_999));
    let conn = world.connection(client).unwrap();
    assert_eq!(world.hub().session(conn).unwrap().backlog().control, 1, "the third is refused");
    world.run_for(Duration::from_millis(1));
    world.unstall(client);
    world.settle();
    let errors: Vec<_> =
        messages(&mut world, client).iter().filter_map(|it| it["code"].as_str().map(str::to_owned)).collect();
    assert_eq!(errors, ["LIMIT_EXCEEDED", "OVERLOADED", "OVERLOADED"]);
}

//! "A set is `loading` before its first whole content …, then `live`, or `stale` since a moment"

use std::time::Duration;

use liveset_core::{LiveQueryOptions, LiveQueryRequest, Query, SetStatus};
use liveset_engine::EngineLimits;
use liveset_hub::{
    HubConfig, HubLimits, Principal, StatusError,
    test_kit::{ClientId, World},
};
use serde_json::json;

use crate::support::{client, create, messages, order, request, types, world};

const ALL: &str = r#"{"edge":"orders"}"#;

fn create_with_status(world: &mut World, client: ClientId, id: &str) {
    let options = LiveQueryOptions { status: true, ..LiveQueryOptions::default() };
    world.session(client).create_live_query(LiveQueryRequest { options, ..request(id, ALL) });
    world.settle();
}

fn set(world: &mut World, status: SetStatus) {
    let now = world.now();
    world.hub_mut().set_status(now, "orders", status).unwrap();
    world.settle();
}

fn stale() -> SetStatus {
    SetStatus::Stale { since: "2025-12-07T00:00:00Z".into() }
}

#[test]
fn a_live_query_waits_for_a_set_that_is_loading() {
    let mut world = world(HubConfig::default());
    set(&mut world, SetStatus::Loading);
    let client = client(&mut world, "a");
    create(&mut world, client, "q", ALL);
    create_with_status(&mut world, client, "s");
    let told = messages(&mut world, client);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0], json!({ "type": "liveQueryStatus", "id": "s", "status": "loading" }));
    world.commit(vec![order(1, 1)]).unwrap();
    world.run_for(Duration::from_secs(4));
    assert!(types(&mut world, client).is_empty(), "nothing is shown before it is whole");
    set(&mut world, SetStatus::Live);
    let told = types(&mut world, client);
    let first = ["liveQueryCreated", "liveQueryData"];
    assert!(
        told[..2] == ["liveQueryCreated", "liveQueryCreated"] && told.contains(&"liveQueryStatus".to_owned())
    );
    assert_eq!(told.iter().filter(|kind| first.contains(&kind.as_str())).count(), 4, "{told:?}");
    world.run_for(Duration::from_secs(10));
    assert_eq!(world.hub().stats().live_queries, 2);
}

#[test]
fn it_waits_for_5_seconds_or_as_long_as_it_takes_where_it_is_told() {
    let mut world = world(HubConfig::default());
    set(&mut world, SetStatus::Loading);
    let client = client(&mut world, "a");
    create(&mut world, client, "q", ALL);
    create_with_status(&mut world, client, "s");
    world.run_for(Duration::from_millis(4_999));
    assert_eq!(types(&mut world, client), ["liveQueryStatus"]);
    world.run_for(Duration::from_millis(1));
    let told = messages(&mut world, client);
    assert_eq!((told.len(), &told[0]["code"], &told[0]["id"]), (1, &"OVERLOADED".into(), &"q".into()));
    world.run_for(Duration::from_secs(100));
    assert_eq!(types(&mut world, client), ["ping", "ping", "ping"]);
    set(&mut world, stale());
    assert_eq!(types(&mut world, client), ["liveQueryCreated", "liveQueryStatus", "liveQueryData"]);
}

#[test]
fn what_is_wrong_or_forbidden_is_told_at_once() {
    let mut world = world(HubConfig::default());
    set(&mut world, SetStatus::Loading);
    let client = client(&mut world, "a");
    create(&mut world, client, "q", r#"{"edge":"orders","filter":"total >"}"#);
    assert_eq!(messages(&mut world, client)[0]["code"], "INVALID_QUERY");
    create(&mut world, client, "q", ALL);
    world.cut(client);
    world.settle();
    set(&mut world, SetStatus::Live);
    assert_eq!(world.hub().stats().live_queries, 0, "who has gone waits for nothing");
}

#[test]
fn changes_are_told_to_who_asked_and_only_then() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    create(&mut world, client, "q", ALL);
    create_with_status(&mut world, client, "s");
    assert!(!types(&mut world, client).contains(&"liveQueryStatus".to_owned()), "it is live");
    set(&mut world, stale());
    let told = messages(&mut world, client);
    let status =
        json!({ "type": "liveQueryStatus", "id": "s", "status": "stale", "since": "2025-12-07T00:00:00Z" });
    assert_eq!(told, [status]);
    set(&mut world, stale());
    assert!(types(&mut world, client).is_empty(), "it is told once");
    world.stall(client);
    world.settle();
    for status in [SetStatus::Live, stale(), SetStatus::Live] {
        set(&mut world, status);
    }
    world.unstall(client);
    world.settle();
    assert!(messages(&mut world, client).iter().all(|told| told["id"] == "s"));
    world.commit(vec![order(1, 1)]).unwrap();
    world.settle();
    assert_eq!(types(&mut world, client), ["liveQueryAddedNode"; 2], "a set is served whatever its status");
}

#[test]
fn a_set_does_not_load_again_and_queries_of_principals_wait_for_it() {
    let mut world = world(HubConfig::default());
    let now = world.now();
    let hub = world.hub_mut();
    assert_eq!(hub.set_status(now, "none", SetStatus::Live), Err(StatusError::UnknownSet));
    hub.set_status(now, "orders", SetStatus::Loading).unwrap();
    hub.set_status(now, "orders", SetStatus::Loading).unwrap();
    let refused = hub.query(now, Some(&Principal::new("a")), &Query::new("orders")).unwrap_err();
    assert_eq!(refused.message, "The set 'orders' is still loading: try again later");
    assert!(hub.query(now, None, &Query::new("orders")).is_ok(), "the host sees what is there");
    hub.set_status(now, "orders", stale()).unwrap();
    assert_eq!(hub.set_status(now, "orders", SetStatus::Loading), Err(StatusError::WasLive));
    assert!(hub.query(now, Some(&Principal::new("a")), &Query::new("orders")).is_ok());
    assert_eq!(*hub.status("orders"), stale());
}

#[test]
fn one_that_waits_for_a_set_can_be_destroyed_and_holds_nothing_up() {
    let mut world = world(HubConfig::default());
    set(&mut world, SetStatus::Loading);
    let client = client(&mut world, "a");
    // More than a connection may hold back: none of it waits behind what waits for the set.
    for round in 0..80 {
        create_with_status(&mut world, client, "s");
        world.session(client).destroy_live_query("s");
        world.session(client).ping();
        world.settle();
        let told = types(&mut world, client);
        assert_eq!(told, ["liveQueryStatus", "error", "liveQueryDestroyed", "pong"], "round {round}");
    }
    assert_eq!(world.session(client).unanswered(), 0, "each request was answered");
    create_with_status(&mut world, client, "s");
    set(&mut world, SetStatus::Live);
    let told = types(&mut world, client);
    assert!(told.contains(&"liveQueryData".to_owned()), "the id is free: {told:?}");
    assert_eq!(world.hub().stats().live_queries, 1);
}

/// All that wait for a set are not planned in one hold of the lock.
#[test]
fn those_that_waited_are_created_in_slices() {
    let config = HubConfig { engine: EngineLimits::default().hold_steps(2_000), ..HubConfig::default() };
    let mut world = world(config);
    set(&mut world, SetStatus::Loading);
    let clients: Vec<_> = (0..40).map(|number| client(&mut world, &format!("c{number}"))).collect();
    for client in &clients {
        for id in 0..5 {
            let filter = format!(r#"{{"edge":"orders","filter":"total > {id}"}}"#);
            create(&mut world, *client, &format!("q{id}"), &filter);
        }
    }
    let now = world.now();
    world.hub_mut().set_status(now, "orders", SetStatus::Live).unwrap();
    assert_eq!(world.hub().stats().live_queries, 0);
    world.hub_mut().handle_timeout(now);
    let first = world.hub().stats().live_queries;
    assert!((1..200).contains(&first), "{first} in the first slice");
    world.settle();
    assert_eq!(world.hub().stats().live_queries, 200);
}

/// Whoever asks for the status waits for as long as it takes: what waits is counted, by connection and by subject.
#[test]
fn what_waits_for_a_set_is_bounded_in_number_and_in_bytes() {
    let limits = HubLimits::default().live_queries_per_subject(12);
    let mut world = world(HubConfig { hub: limits, ..HubConfig::default() });
    set(&mut world, SetStatus::Loading);
    let many: Vec<_> = (0..2).map(|_| client(&mut world, "many")).collect();
    for id in 0..10 {
        create_with_status(&mut world, many[id % 2], &format!("s{id}"));
        assert_eq!(types(&mut world, many[id % 2]), ["liveQueryStatus"]);
    }
    create_with_status(&mut world, many[0], "s10");
    create_with_status(&mut world, many[1], "s11");
    types(&mut world, many[0]);
    create_with_status(&mut world, many[0], "s12");
    let told = messages(&mut world, many[0]);
    assert_eq!((told.len(), &told[0]["code"], &told[0]["id"]), (1, &"LIMIT_EXCEEDED".into(), &"s12".into()));
    // One that goes makes room.
    world.session(many[0]).destroy_live_query("s10");
    world.settle();
    types(&mut world, many[0]);
    create_with_status(&mut world, many[0], "s12");
    assert_eq!(types(&mut world, many[0]), ["liveQueryStatus"]);
    world.cut(many[0]);
    world.settle();

    let room = 10_000;
    let limits = HubLimits::default().query_bytes_per_connection(room);
    let mut world = self::world(HubConfig { hub: limits, ..HubConfig::default() });
    set(&mut world, SetStatus::Loading);
    let client = client(&mut world, "long");
    let filter = format!(r#"{{"edge":"orders","filter":"note == '{}'"}}"#, "n".repeat(3_000));
    let ask = |world: &mut World, id: &str| {
        let options = LiveQueryOptions { status: true, ..LiveQueryOptions::default() };
        world.session(client).create_live_query(LiveQueryRequest { options, ..request(id, &filter) });
        world.settle();
        messages(world, client).remove(0)
    };
    for id in ["a", "b"] {
        assert_eq!(ask(&mut world, id)["status"], "loading");
    }
    let told = ask(&mut world, "c");
    assert_eq!((&told["code"], &told["id"]), (&"OVERLOADED".into(), &"c".into()));
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("still loading") && message.ends_with("of 10000 are left: try again later"),
        "{message}"
    );
    world.session(client).destroy_live_query("a");
    world.settle();
    messages(&mut world, client);
    assert_eq!(ask(&mut world, "c")["status"], "loading", "what went has given its room back");
}

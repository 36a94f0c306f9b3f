//! "First results after a restart are admitted at a rate: a create waits its turn up to 5 s, then `OVERLOADED` with its id"

use std::time::Duration;

use liveset_hub::{
    HubConfig, HubLimits,
    test_kit::{ClientId, World},
};

use crate::support::{client, create, messages, orders, request, types, world};

/// So little that each first result has to wait for the one before it.
const RATE: u64 = 10_000;

/// A world with 1,000 rows. A result over them takes a few thousand steps.
fn busy() -> World {
    let hub = HubLimits::default().first_steps_per_second(RATE);
    let mut world = world(HubConfig { hub, ..HubConfig::default() });
    world.commit(orders(1_000)).unwrap();
    world
}

fn ask(world: &mut World, client: ClientId, id: &str) {
    let query = format!(r#"{{"edge":"orders","filter":"total != {}"}}"#, id.len());
    world.session(client).create_live_query(request(id, &query));
}

/// How many were answered, and how many refused.
fn answers(world: &mut World, client: ClientId) -> (usize, usize) {
    let told = messages(world, client);
    let of = |kind: &str| told.iter().filter(|told| told["type"] == kind).count();
    for error in told.iter().filter(|told| told["type"] == "error") {
        assert_eq!(error["code"], "OVERLOADED");
        assert!(error["id"].is_string() && error["requestId"].is_string(), "{error}");
    }
    (of("liveQueryCreated"), of("error"))
}

#[test]
fn they_come_at_a_rate_and_who_waits_for_too_long_is_told() {
    let mut world = busy();
    let clients: Vec<_> = (0..60).map(|n| client(&mut world, &format!("subject {n}"))).collect();
    let before = world.hub().stats().engine.work.steps;
    for (n, client) in clients.iter().enumerate() {
        ask(&mut world, *client, "q");
        // Each has a query of its own.
        ask(&mut world, *client, &"x".repeat(n + 2));
    }
    let mut all = (0, 0);
    for second in 0..6 {
        world.run_for(Duration::from_secs(1));
        let spent = world.hub().stats().engine.work.steps - before;
        // What is begun is ended, whatever it takes.
        assert!(spent <= RATE * (second + 2) + 10_000, "{spent} steps after {second} seconds");
        for client in &clients {
            let (answered, refused) = answers(&mut world, *client);
            all = (all.0 + answered, all.1 + refused);
        }
    }
    assert!(all.0 > 5 && all.1 > 5, "{all:?}");
    assert_eq!(all.0 + all.1, 120, "each is answered");
    // And then there is room.
    world.run_for(Duration::from_secs(2));
    create(&mut world, clients[0], "late", r#"{"edge":"orders"}"#);
    world.run_for(Duration::from_secs(1));
    assert_eq!(answers(&mut world, clients[0]), (1, 0));
}

#[test]
fn a_subject_that_asks_for_little_does_not_wait_for_one_that_asks_for_much() {
    let mut world = busy();
    let (greedy, modest) = (client(&mut world, "greedy"), client(&mut world, "modest"));
    for n in 0..100 {
        ask(&mut world, greedy, &"x".repeat(n + 1));
    }
    world.settle();
    create(&mut world, modest, "q", r#"{"edge":"orders","filter":"total < 3"}"#);
    world.run_for(Duration::from_secs(2));
    assert_eq!(answers(&mut world, modest), (1, 0));
    world.run_for(Duration::from_secs(5));
    let (answered, refused) = answers(&mut world, greedy);
    assert!(answered > 3 && refused > 3 && answered + refused == 100, "{answered} {refused}");
}

#[test]
fn who_gives_up_or_goes_takes_no_turn() {
    let mut world = busy();
    let (stays, goes) = (client(&mut world, "stays"), client(&mut world, "goes"));
    for n in 0..20 {
        ask(&mut world, stays, &"x".repeat(n + 1));
        ask(&mut world, goes, &"x".repeat(n + 1));
    }
    world.settle();
    for n in 5..20 {
        world.session(stays).destroy_live_query(&"x".repeat(n + 1));
    }
    world.cut(goes);
    world.run_for(Duration::from_secs(10));
    let told = types(&mut world, stays);
    let of = |kind: &str| told.iter().filter(|told| *told == kind).count();
    assert_eq!(of("liveQueryDestroyed"), 15);
    assert_eq!(of("liveQueryCreated") + of("error"), 20);
    assert!(world.hub().stats().live_queries <= 5);
    world.hub().check_totals();
}

/// Nobody waits where there is room: the same messages in the same order, whatever the rate is.
#[test]
fn a_quiet_server_lets_all_in_at_once() {
    let mut world = world(HubConfig::default());
    world.commit(orders(1_000)).unwrap();
    let client = client(&mut world, "a");
    for n in 0..50 {
        ask(&mut world, client, &"x".repeat(n + 1));
    }
    world.settle();
    assert_eq!(answers(&mut world, client), (50, 0));
}

//! First results over many nodes are made in turns: by subject, then by where connections come from, then by connection.

use std::time::Duration;

use liveset_engine::EngineLimits;
use liveset_hub::{
    HubConfig, Origin, Principal,
    test_kit::{ClientId, World},
};

use crate::support::{client, messages, order, request, world};

const SLICE: Duration = Duration::from_millis(1);
const ROWS: u32 = 1_600;
/// What one query takes, at 16 rows a slice.
const SLICES: u64 = ROWS as u64 / 16;

/// Tokens are a subject, or a subject and an address.
fn crowd() -> World {
    let engine = EngineLimits::default().slice_rows(16).max_filling(100_000).max_unindexed_views(100_000);
    let mut world = world(HubConfig { engine, ..HubConfig::default() });
    world.set_authenticator(|token| Ok(Principal::new(token)));
    world.commit((0..ROWS).map(|n| order(n, n)).collect()).expect("rows");
    world
}

/// Asks for something that nobody else asks for.
fn ask(world: &mut World, client: ClientId, id: &str, number: usize) {
    let query = format!(r#"{{"edge":"orders","filter":"total != {number}","limit":1}}"#);
    world.session(client).create_live_query(request(id, &query));
}

/// How many slices are done before the client has its answer.
fn slices_until_answered(world: &mut World, client: ClientId) -> u64 {
    for slices in 0.. {
        if messages(world, client).iter().any(|message| message["type"] == "liveQueryCreated") {
            return slices;
        }
        assert!(slices < 100_000, "it is never answered");
        world.run_for(SLICE);
    }
    unreachable!()
}

/// How many slices one waits for who asks beside 50 connections of these subjects with 20 live queries each.
fn slices_beside(subject: impl Fn(usize) -> String) -> u64 {
    let mut world = crowd();
    let hostile: Vec<_> = (0..50).map(|n| client(&mut world, &subject(n))).collect();
    let honest = client(&mut world, "honest");
    world.set_slice_time(SLICE..=SLICE);
    for (c, client) in hostile.iter().enumerate() {
        for q in 0..20 {
            ask(&mut world, *client, &format!("q{q}"), 10_000 + c * 100 + q);
        }
    }
    world.run_for(SLICE);
    ask(&mut world, honest, "q", 5);
    slices_until_answered(&mut world, honest)
}

#[test]
fn one_honest_subject_has_a_turn_in_two_however_many_connections_another_has() {
    let slices = slices_beside(|_| "hostile".into());
    assert!(slices <= 2 * SLICES + 4, "{slices} slices, alone {SLICES}");
}

#[test]
fn fifty_hostile_subjects_have_fifty_turns() {
    let slices = slices_beside(|n| format!("hostile {n}"));
    assert!(slices <= 51 * SLICES + 4, "{slices} slices, alone {SLICES}");
}

#[test]
fn the_host_has_its_turns_like_one_subject() {
    let mut world = crowd();
    let hostile = client(&mut world, "hostile");
    world.set_slice_time(SLICE..=SLICE);
    for q in 0..100 {
        ask(&mut world, hostile, &format!("q{q}"), 10_000 + q);
    }
    world.run_for(SLICE);
    let now = world.now();
    let spec = request("w", r#"{"edge":"orders","filter":"total != 5","limit":1}"#).query;
    let watch = world.hub_mut().watch(now, &spec).expect("a watch");
    world.take_watches();
    let mut slices = 0;
    while world.hub_mut().poll_watch(watch).is_none() {
        world.run_for(SLICE);
        slices += 1;
        assert!(slices <= 2 * SLICES + 4, "alone {SLICES}");
    }
}

/// Whose authenticator tells nobody apart: addresses have turns, then connections.
#[test]
fn where_all_are_one_subject_addresses_take_turns_and_then_connections() {
    for (origin, most) in [(2, 2), (1, 3)] {
        let mut world = crowd();
        // Two connections from one address.
        let hostile: Vec<_> = (0..2).map(|_| client(&mut world, "everybody")).collect();
        for (c, client) in hostile.iter().enumerate() {
            for q in 0..100 {
                ask(&mut world, *client, &format!("q{q}"), 10_000 + c * 100 + q);
            }
        }
        let now = world.now();
        let hub = world.hub_mut();
        // The world's connections come from nowhere in particular.
        let conn = hub.connect_from(now, Origin(origin - 1));
        hub.handle_text(now, conn, br#"{"type":"auth","token":"t"}"#);
        while let Some(output) = hub.poll_output() {
            if let liveset_hub::Output::Verify { conn, attempt, .. } = output {
                hub.handle_verdict(now, conn, attempt, Ok(Principal::new("everybody")));
            }
        }
        for client in &hostile {
            let conn = world.connection(*client).expect("it is connected");
            for q in 0..100 {
                let text = format!(
                    r#"{{"type":"createLiveQuery","id":"x{q}","query":{{"edge":"orders","filter":"total != {}"}}}}"#,
                    50_000 + conn.slot() * 1_000 + q
                );
                world.hub_mut().handle_text(now, conn, text.as_bytes());
            }
        }
        let hub = world.hub_mut();
        let text = br#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders","filter":"total != 5"}}"#;
        hub.handle_text(now, conn, text);
        let mut slices = 0;
        while hub.session(conn).expect("it is there").live_queries().next().is_none() {
            hub.handle_timeout(now);
            slices += 1;
            assert!(slices <= most * SLICES + 4, "alone {SLICES}");
        }
        assert!(slices > (most - 1) * SLICES, "{slices}: the others have their turns too");
    }
}

#[test]
fn who_is_gone_has_no_turns() {
    let mut world = crowd();
    let (a, b) = (client(&mut world, "a"), client(&mut world, "b"));
    world.set_slice_time(SLICE..=SLICE);
    for q in 0..50 {
        ask(&mut world, a, &format!("q{q}"), 10_000 + q);
        ask(&mut world, b, &format!("q{q}"), 20_000 + q);
    }
    world.run_for(SLICE);
    world.cut(a);
    world.run_for(SLICE);
    world.cut(b);
    world.run_for(2 * SLICE);
    let visited = world.hub().stats().engine.rows_visited;
    // An index that was wished for is still built.
    world.run_for(1_000 * SLICE);
    assert!(!world.hub().poll_timeout().is_due_already);
    assert_eq!((world.hub().stats().waiting, world.hub().stats().engine.rows_visited), (0, visited));
}

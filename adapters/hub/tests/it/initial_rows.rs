//! First rows are bounded: those of one live query, and those that one connection holds without taking them.

use liveset_core::ErrorCode;
use liveset_engine::{EngineLimits, Op};
use liveset_hub::{
    HubConfig, HubLimits, WatchError,
    test_kit::{ClientId, World, upsert},
};
use serde_json::Value;

use crate::support::{client, create, messages, order, request, types, world};

/// A node of a hundred bytes.
fn hundred(id: u32) -> Op {
    let head = format!("{{\"id\":{},\"text\":\"", id + 10);
    upsert("orders", &format!("{head}{}\"}}", "x".repeat(98 - head.len())))
}

fn limited(change: impl FnOnce(&mut HubLimits)) -> HubConfig {
    let mut hub = HubLimits::default();
    change(&mut hub);
    HubConfig { hub, ..HubConfig::default() }
}

fn only_error(world: &mut World, client: ClientId) -> Value {
    let came = messages(world, client);
    let [error] = &came[..] else { panic!("not one error: {came:?}") };
    assert_eq!(error["type"], "error", "{error}");
    error.clone()
}

#[test]
fn a_live_query_with_too_many_bytes_is_refused_by_name() {
    let mut world = world(limited(|hub| hub.initial_bytes = 300));
    world.commit((0..4).map(hundred).collect()).unwrap();
    let a = client(&mut world, "a");
    create(&mut world, a, "q", r#"{"edge":"orders"}"#);
    let error = only_error(&mut world, a);
    assert_eq!((&error["code"], &error["id"]), (&"LIMIT_EXCEEDED".into(), &"q".into()));
    assert!(error["requestId"].is_string(), "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("400 bytes") && message.contains("at most 300"), "{message}");
    let stats = world.hub().stats();
    assert_eq!((stats.live_queries, stats.feeds, stats.engine.views), (0, 0, 0), "nothing is left of it");
    assert_eq!(stats.refusals.of("hub.initial_bytes"), 1);

    // Fewer rows, or fewer fields, and the id is free.
    create(&mut world, a, "q", r#"{"edge":"orders","limit":3}"#);
    create(&mut world, a, "r", r#"{"edge":"orders","node":{"fields":["id"]}}"#);
    assert_eq!(
        types(&mut world, a),
        ["liveQueryCreated", "liveQueryData", "liveQueryCreated", "liveQueryData"]
    );
    // What comes later is not counted.
    world.commit((4..60).map(hundred).collect()).unwrap();
    world.settle();
    assert_eq!(world.session(a).live_query("r").unwrap().rows().count(), 60);
}

#[test]
fn a_client_that_does_not_read_holds_little_and_gets_all_in_order_when_it_does() {
    for limit in [0, 1, 500, 100_000] {
        let mut world = world(limited(|hub| hub.initial_backlog_bytes = limit));
        // Nothing is written that the client has not read.
        world.set_room(1);
        world.commit((0..10).map(hundred).collect()).unwrap();
        let (a, b) = (client(&mut world, "a"), client(&mut world, "b"));
        world.stall(a);
        for n in 0..10 {
            world.session(a).create_live_query(request(
                &format!("q{n}"),
                &format!(r#"{{"edge":"orders","orderBy":"id desc","limit":{}}}"#, n + 1),
            ));
            world.settle();
        }
        // Each has a window of up to 1,000 bytes: the first is given, and another as long as less than the limit is held.
        let held = world.hub().stats().backlog.initial_bytes;
        assert!(held <= limit + 1_000, "{held} bytes are held, with a limit of {limit}");
        if limit < 1_000 {
            assert!(world.hub().stats().waiting > 0);
        }
        // Others are not held up, and what is committed meanwhile is not lost.
        create(&mut world, b, "q", r#"{"edge":"orders"}"#);
        assert_eq!(types(&mut world, b), ["liveQueryCreated", "liveQueryData"]);
        world.commit(vec![hundred(50)]).unwrap();
        world.settle();
        messages(&mut world, a);
        world.unstall(a);
        world.settle();
        let stats = world.hub().stats();
        assert_eq!((stats.waiting, stats.backlog.initial_bytes), (0, 0));
        let created: Vec<String> = messages(&mut world, a)
            .iter()
            .filter(|message| message["type"] == "liveQueryCreated")
            .map(|message| message["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(created, (0..10).map(|n| format!("q{n}")).collect::<Vec<_>>());
        for n in 0..10 {
            let id = format!("q{n}");
            let shown: Vec<_> =
                world.session(a).live_query(&id).unwrap().rows().map(|(id, _)| id.to_string()).collect();
            assert_eq!(shown.len(), n + 1);
            assert_eq!(shown.last().map(String::as_str), Some("60"), "the newest node is in each");
        }
    }
}

#[test]
fn what_waits_for_room_ends_with_its_query_or_connection() {
    let mut world = world(limited(|hub| hub.initial_backlog_bytes = 0));
    world.set_room(1);
    world.commit((0..8).map(hundred).collect()).unwrap();
    let a = client(&mut world, "a");
    world.stall(a);
    // The first two fill the way; the third is held, and two wait for it.
    for n in 0..5 {
        world.session(a).create_live_query(request(&format!("q{n}"), r#"{"edge":"orders"}"#));
        world.settle();
    }
    assert!(world.hub().stats().waiting > 0);
    world.session(a).destroy_live_query("q4");
    world.settle();
    world.unstall(a);
    world.settle();
    assert_eq!((world.hub().stats().waiting, world.hub().stats().live_queries), (0, 4));

    world.stall(a);
    for n in 5..9 {
        world.session(a).create_live_query(request(&format!("q{n}"), r#"{"edge":"orders"}"#));
        world.settle();
    }
    world.cut(a);
    world.settle();
    let stats = world.hub().stats();
    assert_eq!((stats.waiting, stats.feeds, stats.engine.views), (0, 0, 0));
}

#[test]
fn what_the_engine_has_no_room_for_is_refused_and_the_connection_stays() {
    let engine = EngineLimits::default().max_window_bytes(1_000);
    let mut world = world(HubConfig { engine, ..HubConfig::default() });
    world.commit((0..100).map(|n| order(n, n)).collect()).unwrap();
    let a = client(&mut world, "a");
    create(&mut world, a, "q", r#"{"edge":"orders","filter":"total > 3","limit":50}"#);
    let error = only_error(&mut world, a);
    assert_eq!((&error["code"], &error["id"]), (&"OVERLOADED".into(), &"q".into()));
    assert!(
        error["requestId"].is_string() && error["message"].as_str().unwrap().contains("1000 bytes"),
        "{error}"
    );
    assert_eq!(world.close_code(a), None);
    create(&mut world, a, "q", r#"{"edge":"orders","filter":"total > 3","limit":5}"#);
    assert_eq!(types(&mut world, a), ["liveQueryCreated", "liveQueryData"]);
    assert_eq!(world.hub().stats().refusals.of("engine.max_window_bytes"), 1);

    let now = world.now();
    let query = liveset_core::Query::parse(br#"{"edge":"orders","filter":"total > 4"}"#).unwrap();
    let error = world.hub_mut().watch(now, &query).unwrap_err();
    assert!(matches!(error, WatchError::TooMany(_)));
    assert_eq!(error.code(), ErrorCode::Overloaded);
}

#[test]
fn too_many_first_results_at_once_are_refused_and_the_connection_stays() {
    let engine = EngineLimits::default().max_filling(1).slice_rows(10);
    let mut world = world(HubConfig { engine, ..HubConfig::default() });
    let second = std::time::Duration::from_secs(1);
    world.set_slice_time(second..=second);
    world.commit((0..100).map(|n| order(n, n)).collect()).unwrap();
    let a = client(&mut world, "a");
    for n in 0..2 {
        let query = format!(r#"{{"edge":"orders","filter":"total != {n}"}}"#);
        world.session(a).create_live_query(request(&format!("q{n}"), &query));
        world.run_for(second / 2);
    }
    let error = only_error(&mut world, a);
    assert_eq!((&error["code"], &error["id"]), (&"OVERLOADED".into(), &"q1".into()));
    assert_eq!(world.hub().stats().refusals.of("engine.max_filling"), 1);
    world.settle();
    assert_eq!(types(&mut world, a), ["liveQueryCreated", "liveQueryData"]);
    create(&mut world, a, "q1", r#"{"edge":"orders","filter":"total != 1"}"#);
    assert_eq!(types(&mut world, a), ["liveQueryCreated", "liveQueryData"]);
}

/// Half a megabyte for each; a client that takes nothing holds some 64 KiB less.
#[test]
fn what_all_connections_of_a_subject_do_not_take_is_bounded() {
    let large = |id: u32| upsert("orders", &format!(r#"{{"id":{id},"text":"{}"}}"#, "x".repeat(5_000)));
    for (limit, at_once) in [(0, 1), (400_000, 1), (600_000, 2), (100_000_000, 5)] {
        let mut world = world(limited(|hub| hub.initial_backlog_bytes_per_subject = limit));
        world.set_room(1);
        world.commit((0..100).map(large).collect()).unwrap();
        let clients: Vec<ClientId> = (0..5).map(|_| client(&mut world, "a")).collect();
        let other = client(&mut world, "b");
        for (place, client) in clients.iter().enumerate() {
            world.stall(*client);
            let query = format!(r#"{{"edge":"orders","filter":"id != {}"}}"#, 1_000 + place);
            world.session(*client).create_live_query(request("q", &query));
            world.settle();
        }
        assert_eq!(world.hub().stats().waiting, 5 - at_once, "{limit}");
        // A small result is not held up, nor what is another subject's.
        let sixth = client(&mut world, "a");
        create(&mut world, sixth, "small", r#"{"edge":"orders","limit":10}"#);
        assert_eq!(types(&mut world, sixth), ["liveQueryCreated", "liveQueryData"]);
        create(&mut world, other, "q", r#"{"edge":"orders"}"#);
        assert_eq!(types(&mut world, other)[0], "liveQueryCreated");
        // One goes, one gives up its query, and the others read: all are answered.
        world.cut(clients[0]);
        world.settle();
        world.unstall(clients[1]);
        world.settle();
        for client in &clients[2..] {
            world.unstall(*client);
            world.settle();
        }
        for client in &clients[1..] {
            assert_eq!(world.session(*client).live_query("q").unwrap().rows().count(), 100, "{limit}");
        }
        assert_eq!((world.hub().stats().waiting, world.hub().stats().backlog.initial_bytes), (0, 0));
    }
}

/// "`limit: 0` is a live count: one `liveQueryData` with `data: []`, `totalCount` (and with `counts` its changes), `capped` as soon as one
/// node matches."
#[test]
fn a_limit_of_nothing_is_a_live_count() {
    let mut world = world(HubConfig::default());
    let a = client(&mut world, "a");
    let mut counted = request("q", r#"{"edge":"orders","filter":"total > 5","limit":0}"#);
    counted.options.counts = true;
    world.session(a).create_live_query(counted);
    world.settle();
    create(&mut world, a, "plain", r#"{"edge":"orders","limit":0}"#);
    let came = messages(&mut world, a);
    assert_eq!(came.len(), 4);
    assert_eq!((&came[0]["totalCount"], &came[0]["capped"]), (&0.into(), &false.into()));
    let data = r#"{"type":"liveQueryData","id":"q","data":[],"hasMore":false,"capped":false}"#;
    assert_eq!(came[1], serde_json::from_str::<Value>(data).unwrap());
    let mut counts = Vec::new();
    for ops in [
        vec![order(1, 9), order(2, 9), order(3, 1)],
        vec![order(1, 10)],
        vec![order(3, 6), order(2, 2)],
        vec![order(3, 1)],
        vec![order(1, 1)],
    ] {
        world.commit(ops).unwrap();
        world.settle();
        for message in messages(&mut world, a) {
            assert_eq!((&message["type"], &message["id"]), (&"liveQueryCount".into(), &"q".into()));
            counts.push((message["totalCount"].as_u64().unwrap(), message["capped"].as_bool().unwrap()));
        }
    }
    // A commit that changes no count says nothing.
    assert_eq!(counts, [(2, true), (1, true), (0, false)]);
    create(&mut world, a, "later", r#"{"edge":"orders","limit":0}"#);
    let came = messages(&mut world, a);
    assert_eq!((&came[0]["totalCount"], &came[0]["capped"]), (&3.into(), &true.into()));
    assert_eq!((&came[1]["data"], &came[1]["hasMore"]), (&Value::Array(Vec::new()), &false.into()));
}

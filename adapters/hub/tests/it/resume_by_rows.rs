//! "`have`: from **any** node, after any restart and any time, with no history kept for it"

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fastrand::Rng;
use liveset_core::{LiveQueryOptions, LiveQueryRequest, LiveResult, Snapshot};
use liveset_engine::{EngineLimits, Op};
use liveset_hub::{
    HashSeed, HubConfig,
    test_kit::{ClientId, World, remove},
};

use crate::support::{client, messages, order, order_of, orders, request, types, world};

const FEW: &str = r#"{"edge":"orders","orderBy":"total","limit":5}"#;

fn ask(world: &mut World, client: ClientId, query: &str, positions: bool, from: Option<LiveResult>) {
    let options = LiveQueryOptions { resume: true, positions, ..LiveQueryOptions::default() };
    let asked = request("q", query);
    world.session(client).create_live_query(LiveQueryRequest { options, resume_from: from, ..asked });
    world.settle();
}

fn result(world: &mut World, client: ClientId) -> LiveResult {
    world.session(client).live_query("q").expect("it is there").clone()
}

/// The rows of a result, and where the client must know their order, that.
fn rows(result: &LiveResult) -> Vec<(String, String)> {
    let text =
        |(id, row): (&Arc<str>, &bytes::Bytes)| (id.to_string(), String::from_utf8(row.to_vec()).unwrap());
    match result.ordered() {
        Some(ordered) => ordered.map(text).collect(),
        None => result.rows().map(text).collect(),
    }
}

fn truth(world: &mut World, query: &str, positions: bool) -> Vec<(String, String)> {
    let now = world.now();
    let query = liveset_core::Query::parse(query.as_bytes()).unwrap();
    let Snapshot { rows, .. } = world.hub_mut().query(now, None, &query).unwrap().run();
    let text = |row: &liveset_core::Row| (row.id().to_owned(), row.to_string());
    match positions {
        true => rows.iter().map(text).collect(),
        false => rows.iter().map(text).collect::<BTreeMap<_, _>>().into_iter().collect(),
    }
}

#[test]
fn another_server_with_the_same_rows_sends_what_is_missing() {
    let mut one = world(HubConfig::default());
    one.commit(orders(8)).unwrap();
    let reader = client(&mut one, "a");
    ask(&mut one, reader, FEW, true, None);
    let had = result(&mut one, reader);
    let mut other = world(HubConfig { seed: HashSeed::new([3, 4]), epoch: 77, ..HubConfig::default() });
    other
        .commit((0..8).rev().map(|n| order_of(&format!(r#"{{ "total": {n}.0, "id": {n} }}"#))).collect())
        .unwrap();
    let reader = client(&mut other, "a");
    // Nothing has changed, though it is written in another way.
    ask(&mut other, reader, FEW, true, Some(had.clone()));
    let [told] = &messages(&mut other, reader)[..] else { panic!("one message") };
    assert_eq!((&told["type"], told["drop"].as_array().map(Vec::len)), (&"liveQueryResumed".into(), Some(0)));
    assert!(told["version"].is_string());
    other.session(reader).destroy_live_query("q");
    // One is gone, one has changed and moved.
    other.commit(vec![remove("orders", "1"), order(3, 0)]).unwrap();
    other.settle();
    types(&mut other, reader);
    ask(&mut other, reader, FEW, true, Some(had));
    let told = messages(&mut other, reader);
    assert_eq!(told[0]["drop"].to_string(), "[1,3]");
    let added: Vec<_> =
        told[1..].iter().map(|it| (it["nodeId"].as_str().unwrap(), it["index"].as_u64())).collect();
    assert_eq!(added, [("3", Some(1)), ("5", Some(4))]);
    let versions: Vec<bool> = told.iter().map(|told| told["version"].is_string()).collect();
    assert_eq!(versions, [false, false, true], "only the last has one that may be kept");
    // What it has kept is written as the first server wrote it.
    let ids = |rows: Vec<(String, String)>| rows.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids(rows(&result(&mut other, reader))), ids(truth(&mut other, FEW, true)));
}

#[test]
fn what_is_of_little_use_is_answered_from_the_start() {
    let mut world = world(HubConfig::default());
    world.commit(orders(4)).unwrap();
    let reader = client(&mut world, "a");
    ask(&mut world, reader, r#"{"edge":"orders"}"#, false, None);
    let had = result(&mut world, reader).without_version();
    for (more, expected) in [(4, "liveQueryResumed"), (1, "liveQueryCreated")] {
        world.session(reader).destroy_live_query("q");
        let all = world.hub().stats().engine.nodes as u32;
        world.commit((all..all + more).map(|n| order(n, n)).collect()).unwrap();
        world.settle();
        types(&mut world, reader);
        ask(&mut world, reader, r#"{"edge":"orders"}"#, false, Some(had.clone()));
        assert_eq!(types(&mut world, reader)[0], expected, "4 of {}", all + more);
        assert_eq!(rows(&result(&mut world, reader)), truth(&mut world, r#"{"edge":"orders"}"#, false));
    }
    let stats = world.hub().stats();
    assert_eq!((stats.resumed, stats.resumes_missed), (1, 1));
}

#[test]
fn it_needs_the_option_and_etags() {
    let mut world = world(HubConfig::default());
    let reader = client(&mut world, "a");
    for (have, options, what) in [
        (r#"["AAAAAAAAAAAAAAAAAAAAAA"]"#, "{}", "'have' needs 'options.resume' to be true"),
        (
            r#"["AAAAAAAAAAAAAAAAAAAAAA",""]"#,
            r#"{"resume":true}"#,
            "'have[1]' must be an etag: 22 characters of base64url",
        ),
        (r#"[7]"#, r#"{"resume":true}"#, "'have[0]' must be a string"),
        (r#""AAAAAAAAAAAAAAAAAAAAAA""#, r#"{"resume":true}"#, "'have' must be an array"),
    ] {
        let text = format!(
            r#"{{"type":"createLiveQuery","id":"q","query":{{"edge":"orders"}},"options":{options},"have":{have}}}"#
        );
        world.send_raw(reader, &text);
        world.settle();
        let [told] = &messages(&mut world, reader)[..] else { panic!("one answer") };
        assert_eq!((told["code"].as_str(), told["message"].as_str()), (Some("INVALID_MESSAGE"), Some(what)));
    }
}

/// The etags of a large result are not computed in one hold of the lock, and commits go on meanwhile.
#[test]
fn the_etags_of_a_large_result_are_computed_in_slices() {
    let limits = EngineLimits::default().hold_steps(2_000);
    let mut world = world(HubConfig { engine: limits, ..HubConfig::default() });
    let wide = |n: u32, total: u32| {
        order_of(&format!(r#"{{"id":{n},"total":{total},"text":"{}"}}"#, "x".repeat(4_000)))
    };
    for n in 0..100 {
        world.commit(vec![wide(n, n)]).unwrap();
    }
    world.set_slice_time(Duration::from_millis(1)..=Duration::from_millis(1));
    let plain = client(&mut world, "b");
    world.session(plain).create_live_query(request("q", r#"{"edge":"orders"}"#));
    world.settle();
    let reader = client(&mut world, "a");
    let options = LiveQueryOptions { resume: true, ..LiveQueryOptions::default() };
    let asked = LiveQueryRequest { options, ..request("q", r#"{"edge":"orders"}"#) };
    world.session(reader).create_live_query(asked.clone());
    for n in 0..3 {
        world.run_for(Duration::from_millis(3));
        assert!(types(&mut world, reader).is_empty(), "25,000 steps take 12 slices and more");
        world.commit(vec![wide(n * 7, 500)]).unwrap();
    }
    world.settle();
    assert_eq!(types(&mut world, reader)[0], "liveQueryCreated");
    let had = result(&mut world, reader);
    assert_eq!(rows(&had), truth(&mut world, r#"{"edge":"orders"}"#, false));
    let steps = |world: &World| world.hub().stats().holds.iter().map(|(_, hold)| hold.steps).sum::<u64>();
    // The next one finds them.
    let before = steps(&world);
    let next = client(&mut world, "a");
    world.session(next).create_live_query(LiveQueryRequest { resume_from: Some(had), ..asked });
    world.settle();
    assert!(steps(&world) - before < 25_000 / 4, "{} steps", steps(&world) - before);
    assert_eq!(types(&mut world, next), ["liveQueryResumed"]);
}

/// Whoever comes for a result whose etags were being computed for one that has gone has the turns for them.
#[test]
fn the_etags_that_were_begun_for_one_that_has_gone_are_computed_for_the_next() {
    let limits = EngineLimits::default().hold_steps(2_000);
    let mut config = HubConfig { engine: limits, ..HubConfig::default() };
    config.hub.resume_log_changes = 10;
    let mut world = world(config);
    let wide = |n: u32| order_of(&format!(r#"{{"id":{n},"total":{n},"text":"{}"}}"#, "x".repeat(4_000)));
    world.commit((0..100).map(wide).collect()).unwrap();
    world.set_slice_time(Duration::from_millis(1)..=Duration::from_millis(1));
    let options = LiveQueryOptions { resume: true, ..LiveQueryOptions::default() };
    let asked = LiveQueryRequest { options, ..request("q", r#"{"edge":"orders"}"#) };
    // Its feed is kept for when it comes back.
    let one = client(&mut world, "a");
    world.session(one).create_live_query(asked.clone());
    world.settle();
    world.commit((0..100).map(|n| order(n, 1_000 + n)).collect()).unwrap();
    world.commit((0..100).map(wide).collect()).unwrap();
    let other = client(&mut world, "a");
    world.session(other).create_live_query(asked.clone());
    world.run_for(Duration::from_millis(3));
    assert!(types(&mut world, other).is_empty(), "its etags are being computed");
    world.cut(one);
    world.cut(other);
    let next = client(&mut world, "a");
    world.session(next).create_live_query(asked);
    world.settle();
    assert_eq!(types(&mut world, next)[0], "liveQueryCreated");
}

/// Clients wander between two processes that get the same commits, and are cut off wherever they are.
#[test]
fn clients_wander_between_two_servers() {
    for seed in 0..6 {
        let mut r = Rng::with_seed(seed);
        let mut worlds = [1, 2].map(|n| {
            let config = HubConfig { seed: HashSeed::new([n, n]), epoch: n * 1_000, ..HubConfig::default() };
            let mut world = world(config);
            world.set_room(150);
            world.set_latency(Duration::ZERO..=Duration::from_millis(2));
            world
        });
        let mut held: Vec<Option<LiveResult>> = vec![None; 6];
        let (mut moves, mut kept) = (0, 0);
        while moves < 300 {
            let ops: Vec<Op> = (0..=r.usize(..3))
                .map(|_| match r.u8(..4) < 1 {
                    true => remove("orders", &r.usize(..12).to_string()),
                    false => order(r.usize(..12) as u32, r.usize(..20) as u32),
                })
                .collect();
            for world in &mut worlds {
                world.commit(ops.clone()).unwrap();
            }
            let (c, w) = (r.usize(..held.len()), r.usize(..2));
            let world = &mut worlds[w];
            let positions = c % 2 == 0;
            let id = client(world, "a");
            let options =
                LiveQueryOptions { resume: true, positions, counts: c % 3 == 0, ..Default::default() };
            let asked = LiveQueryRequest { options, resume_from: held[c].take(), ..request("q", FEW) };
            world.session(id).create_live_query(asked);
            match r.bool() {
                true => world.settle(),
                false => world.run_for(Duration::from_millis(r.usize(..9) as u64)),
            }
            let is_settled = world.session(id).live_query("q").is_some_and(|it| it.version().is_some());
            if is_settled && r.bool() {
                world.settle();
                let result = result(world, id);
                assert_eq!(rows(&result), truth(world, FEW, positions), "seed {seed}, move {moves}");
            }
            kept += types(world, id).iter().filter(|kind| *kind == "liveQueryResumed").count();
            held[c] = world.session(id).live_query("q").cloned();
            world.cut(id);
            world.settle();
            moves += 1;
        }
        assert!(kept > 50, "seed {seed}: {kept} went on from what they had");
    }
}

//! A client whose connection was lost goes on where it was, while the hub still knows what happened since.

use std::time::Duration;

use liveset_core::{LiveQueryOptions, LiveQueryRequest, LiveResult, SessionLimits};
use liveset_engine::{HashSeed, SetDef};
use liveset_hub::{
    HubConfig, HubLimits,
    test_kit::{ClientId, World, upsert},
};

use crate::support::{client, create, messages, order, orders, request, shown, types, world};

const QUERY: &str = r#"{"edge":"orders","filter":"total < 100","orderBy":"total","limit":5}"#;

fn create_resumable(world: &mut World, client: ClientId, from: Option<LiveResult>) {
    let mut wanted = request("q", QUERY);
    wanted.options.resume = true;
    wanted.options.positions = true;
    // By its version alone.
    wanted.resume_from = from.map(LiveResult::without_etags);
    world.session(client).create_live_query(wanted);
    world.settle();
}

fn ordered(world: &mut World, client: ClientId) -> Vec<String> {
    let result = world.session(client).live_query("q").unwrap();
    result.ordered().unwrap().map(|(id, _)| id.to_string()).collect()
}

/// A client that has five orders, of which it lost sight.
fn lost(config: HubConfig) -> (World, ClientId, LiveResult) {
    let mut world = world(config);
    world.commit(orders(8)).unwrap();
    let client = client(&mut world, "a");
    create_resumable(&mut world, client, None);
    assert_eq!(ordered(&mut world, client), ["0", "1", "2", "3", "4"]);
    let result = world.session(client).live_query("q").unwrap().clone();
    world.cut(client);
    world.settle();
    messages(&mut world, client);
    (world, client, result)
}

fn change(world: &mut World) {
    world.commit(vec![order(0, 200), order(2, 50)]).unwrap();
    world.commit(vec![order(9, 0), order(3, 3)]).unwrap();
    world.commit(vec![order(10, 1)]).unwrap();
    world.commit(vec![order(10, 500)]).unwrap();
}

fn come_back(world: &mut World, client: ClientId, result: LiveResult) -> Vec<String> {
    world.reconnect(client, "a");
    create_resumable(world, client, Some(result));
    let types = types(world, client);
    assert_eq!(ordered(world, client), ["9", "1", "3", "4", "5"]);
    // And on from there.
    world.commit(vec![order(11, 2)]).unwrap();
    world.settle();
    assert_eq!(ordered(world, client), ["9", "1", "11", "3", "4"]);
    types[1..].to_vec()
}

/// "`liveQueryCreated` and `liveQueryResumed` carry `key`, the name of the set's key field", for any option.
#[test]
fn whoever_asks_for_an_option_is_told_the_key_field() {
    let mut world = world(HubConfig::default());
    world.hub_mut().define_set(SetDef::new("parts").key("no")).unwrap();
    world.commit(vec![upsert("parts", r#"{"no":7}"#)]).unwrap();
    let client = client(&mut world, "a");
    let key = |world: &mut World| messages(world, client)[0]["key"].clone();
    for option in 0..6 {
        let on = |number| number == option;
        let (positions, counts, reasons) = (on(0), on(1), on(2));
        let options =
            LiveQueryOptions { positions, counts, reasons, resume: on(3), status: on(5), hints: on(4) };
        // The client does not know the key, and is told.
        let asked = request(&format!("q{option}"), r#"{"edge":"parts"}"#);
        world.session(client).create_live_query(LiveQueryRequest { options, ..asked });
        world.settle();
        assert_eq!(key(&mut world), "no", "{options:?}");
    }
    let plain = LiveQueryRequest { key: "no".into(), ..request("plain", r#"{"edge":"parts"}"#) };
    world.session(client).create_live_query(plain);
    world.settle();
    assert_eq!(key(&mut world), serde_json::Value::Null);
    let result = world.session(client).live_query("q3").unwrap().clone();
    assert!(result.row("7").is_some());
    world.cut(client);
    world.settle();
    world.reconnect(client, "a");
    messages(&mut world, client);
    let mut again = request("again", r#"{"edge":"parts"}"#);
    (again.options.resume, again.resume_from) = (true, Some(result));
    world.session(client).create_live_query(again);
    world.settle();
    let resumed = messages(&mut world, client).into_iter().find(|message| message["id"] == "again").unwrap();
    assert_eq!((&resumed["type"], &resumed["key"]), (&"liveQueryResumed".into(), &"no".into()));
}

#[test]
fn net_changes_since_then_are_sent() {
    let (mut world, client, result) = lost(HubConfig::default());
    assert_eq!((world.hub().stats().feeds, world.hub().stats().lingering_feeds), (1, 1));
    change(&mut world);
    let types = come_back(&mut world, client, result);
    // 0 and 2 have left, 9 and 5 have come; 10 came and went.
    let expected = [
        "liveQueryResumed",
        "liveQueryRemovedNode",
        "liveQueryRemovedNode",
        "liveQueryAddedNode",
        "liveQueryAddedNode",
    ];
    assert_eq!(types, expected);
    assert_eq!(world.hub().stats().resumed, 1);
}

#[test]
fn nothing_happened_is_nothing_sent() {
    let (mut world, client, result) = lost(HubConfig::default());
    world.reconnect(client, "a");
    create_resumable(&mut world, client, Some(result));
    assert_eq!(types(&mut world, client), ["authenticated", "liveQueryResumed"]);
    assert_eq!(ordered(&mut world, client), ["0", "1", "2", "3", "4"]);
}

#[test]
fn what_is_not_known_any_more_is_answered_by_a_snapshot() {
    let snapshot = ["liveQueryCreated", "liveQueryData"];
    let with = |hub: HubLimits| HubConfig { hub, ..HubConfig::default() };

    // Too long away.
    let (mut world, client, result) = lost(HubConfig::default());
    change(&mut world);
    world.run_for(Duration::from_secs(61));
    assert_eq!(world.hub().stats().feeds, 0);
    assert_eq!(come_back(&mut world, client, result), snapshot);
    assert_eq!(world.hub().stats().resumes_missed, 1);

    // Too much happened, for the feed and for all of them.
    for hub in [
        HubLimits::default().resume_log_changes(3),
        HubLimits::default().resume_log_changes(0),
        HubLimits::default().resume_log_changes_total(2),
        HubLimits::default().resume_log_bytes(0),
        HubLimits::default().resume_log_bytes(1),
        HubLimits::default().resume_linger_feeds(0),
        HubLimits::default().resume_linger(Duration::ZERO),
    ] {
        let (mut world, client, result) = lost(with(hub.clone()));
        world.run_for(Duration::from_millis(1));
        change(&mut world);
        assert_eq!(come_back(&mut world, client, result), snapshot, "{hub:?}");
        assert!(
            world.hub().stats().resume_log_changes
                <= hub.resume_log_changes.min(hub.resume_log_changes_total)
        );
        assert!(world.hub().stats().resume_log_bytes <= hub.resume_log_bytes);
    }
}

#[test]
fn the_bytes_of_all_logs_have_a_limit() {
    let changed = |limit: usize| {
        let hub = HubLimits::default().resume_log_bytes(limit);
        let (mut world, client, result) = lost(HubConfig { hub, ..HubConfig::default() });
        change(&mut world);
        world.settle();
        let bytes = world.hub().stats().resume_log_bytes;
        (world, client, result, bytes)
    };
    let (.., all) = changed(usize::MAX);
    assert!(all > 0);
    // At the limit everything is remembered; with a byte less the oldest batch goes, and all of it.
    let (mut world, client, result, bytes) = changed(all);
    assert_eq!(bytes, all);
    assert_eq!(come_back(&mut world, client, result)[0], "liveQueryResumed");
    let (mut world, client, result, fewer) = changed(all - 1);
    assert!(fewer > 0 && fewer < all - 1, "{fewer} of {all}");
    assert_eq!(come_back(&mut world, client, result)[0], "liveQueryCreated");
}

#[test]
fn what_a_log_held_is_given_back() {
    let mut world = world(HubConfig::default());
    let mut clients = Vec::new();
    for query in [QUERY, r#"{"edge":"orders","filter":"total < 50","orderBy":"total","limit":3}"#] {
        let client = client(&mut world, "a");
        let mut wanted = request("q", query);
        wanted.options.resume = true;
        world.session(client).create_live_query(wanted);
        world.settle();
        clients.push(client);
    }
    world.commit(orders(8)).unwrap();
    change(&mut world);
    world.settle();
    let both = world.hub().stats();
    world.session(clients[0]).destroy_live_query("q");
    world.settle();
    let one = world.hub().stats();
    assert!(one.resume_log_bytes > 0 && one.resume_log_bytes < both.resume_log_bytes);
    world.session(clients[1]).destroy_live_query("q");
    world.settle();
    assert_eq!((world.hub().stats().resume_log_changes, world.hub().stats().resume_log_bytes), (0, 0));
}

#[test]
fn versions_of_another_run_are_not_known() {
    let (_, _, earlier) = lost(HubConfig { epoch: 0, ..HubConfig::default() });
    let (_, _, later) = lost(HubConfig { epoch: 2_000_000, ..HubConfig::default() });
    for result in [earlier, later] {
        let (mut world, client, _) = lost(HubConfig { epoch: 1_000_000, ..HubConfig::default() });
        change(&mut world);
        assert_eq!(come_back(&mut world, client, result), ["liveQueryCreated", "liveQueryData"]);
    }
}

#[test]
fn any_text_is_a_version_that_is_not_known() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    for since in ["", "x", "-1", "18446744073709551616", "1.5", "９"] {
        let text = format!(
            r#"{{"type":"createLiveQuery","id":"r","query":{{"edge":"orders"}},"options":{{"resume":true}},"since":"{since}"}}"#
        );
        // Told to the hub directly: the client of the world would not know of it.
        let now = world.now();
        let conn = world.connection(client).unwrap();
        world.hub_mut().handle_text(now, conn, text.as_bytes());
        let mut out = Vec::new();
        while world.hub_mut().poll_transmit(now, conn, &mut out).is_some() {}
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("liveQueryCreated") && out.contains("liveQueryData"), "{since}: {out}");
        world.hub_mut().handle_text(now, conn, br#"{"type":"destroyLiveQuery","id":"r"}"#);
        while world.hub_mut().poll_transmit(now, conn, &mut Vec::new()).is_some() {}
    }
}

#[test]
fn only_so_many_feeds_linger() {
    let hub = HubLimits::default().resume_linger_feeds(2);
    let mut world = world(HubConfig { hub, ..HubConfig::default() });
    for n in 0..5 {
        let client = client(&mut world, "a");
        let mut wanted = request("q", &format!(r#"{{"edge":"orders","filter":"total > {n}"}}"#));
        wanted.options.resume = true;
        world.session(client).create_live_query(wanted);
        world.settle();
        world.cut(client);
        world.run_for(Duration::from_secs(1));
    }
    let stats = world.hub().stats();
    assert_eq!((stats.feeds, stats.lingering_feeds, stats.engine.feeds), (2, 2, 2));
    world.run_for(Duration::from_secs(60));
    let stats = world.hub().stats();
    assert_eq!((stats.feeds, stats.lingering_feeds, stats.engine.feeds, stats.deadlines), (0, 0, 0, 0));
}

#[test]
fn a_destroyed_live_query_does_not_linger() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    create_resumable(&mut world, client, None);
    world.session(client).destroy_live_query("q");
    world.settle();
    assert_eq!(world.hub().stats().feeds, 0);
}

#[test]
fn where_nothing_is_remembered_no_result_is_kept() {
    let limits = [
        HubLimits::default().resume_log_changes(0),
        HubLimits::default().resume_log_changes_total(0),
        HubLimits::default().resume_log_bytes(0),
        HubLimits::default().resume_linger_feeds(0),
    ];
    for (hub, kept) in limits.into_iter().map(|limits| (limits, 0)).chain([(HubLimits::default(), 1)]) {
        let mut world = world(HubConfig { hub, ..HubConfig::default() });
        let client = client(&mut world, "a");
        create_resumable(&mut world, client, None);
        world.cut(client);
        world.settle();
        assert_eq!(world.hub().stats().feeds, kept);
    }
}

#[test]
fn where_nothing_is_remembered_nothing_is_resumed() {
    for (hub, resumed) in [
        (HubLimits::default().resume_log_changes(0), 0),
        (HubLimits::default().resume_log_changes_total(0), 0),
        (HubLimits::default().resume_log_bytes(0), 0),
        (HubLimits::default(), 1),
    ] {
        let mut world = world(HubConfig { hub, ..HubConfig::default() });
        let other = client(&mut world, "b");
        create_resumable(&mut world, other, None);
        let client = client(&mut world, "a");
        create_resumable(&mut world, client, None);
        let result = world.session(client).live_query("q").unwrap().clone();
        world.cut(client);
        world.settle();
        // The result has not changed, and is there for the other.
        world.reconnect(client, "a");
        create_resumable(&mut world, client, Some(result));
        assert_eq!(world.hub().stats().resumed, resumed);
    }
}

#[test]
fn those_who_did_not_ask_to_resume_cost_no_log() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    create(&mut world, client, "q", QUERY);
    change(&mut world);
    world.settle();
    assert_eq!(world.hub().stats().resume_log_changes, 0);
    assert_eq!(shown(&mut world, client, "q").len(), 3);
    world.cut(client);
    world.settle();
    assert_eq!(world.hub().stats().feeds, 0);
}

#[test]
fn a_connection_cut_within_a_commit_loses_nothing() {
    // The way to the client takes one message at a time: it is cut after each possible number of them.
    for read in 0..9 {
        let mut world = world(HubConfig::default());
        world.commit(orders(4)).unwrap();
        let client = client(&mut world, "a");
        create_resumable(&mut world, client, None);
        world.set_room(1);
        world.set_latency(Duration::from_millis(1)..=Duration::from_millis(1));
        world.commit(vec![order(0, 50), order(1, 200), order(7, 0)]).unwrap();
        world.commit(vec![order(7, 300), order(8, 1), order(9, 2)]).unwrap();
        world.run_for(Duration::from_millis(read));
        let result = world.session(client).live_query("q").unwrap().clone();
        world.cut(client);
        world.commit(vec![order(9, 60)]).unwrap();
        world.run_for(Duration::from_millis(10));
        world.reconnect(client, "a");
        create_resumable(&mut world, client, Some(result));
        assert_eq!(ordered(&mut world, client), ["8", "2", "3", "0", "9"], "after {read} messages");
    }
}

/// The versions of two queries are numbers of one sequence: only the mark tells them apart.
#[test]
fn a_version_of_another_query_is_answered_by_a_snapshot() {
    let others = [
        r#"{"edge":"others","filter":"total < 100","orderBy":"total","limit":5}"#,
        r#"{"edge":"orders","filter":"total < 99","orderBy":"total","limit":5}"#,
        r#"{"edge":"orders","filter":"total < 100","orderBy":"total desc","limit":5}"#,
        r#"{"edge":"orders","filter":"total < 100","orderBy":"total","limit":4}"#,
        r#"{"edge":"orders","filter":"total < 100","orderBy":"total","limit":5,"node":{"fields":["total"]}}"#,
    ];
    for (other, resumes) in others.map(|other| (other, false)).into_iter().chain([
        (QUERY, true),
        (r#"{"edge":"orders","filter":"(total) < 100","orderBy":" total","limit":5,"node":null}"#, true),
    ]) {
        let mut world = world(HubConfig::default());
        world.hub_mut().define_set(SetDef::new("others")).unwrap();
        world.commit(orders(8)).unwrap();
        let client = client(&mut world, "a");
        // Both are watched by clients that may come back, so that both have a log.
        for (id, query) in [("q", QUERY), ("other", other)] {
            let mut wanted = request(id, query);
            wanted.options.resume = true;
            world.session(client).create_live_query(wanted);
        }
        world.settle();
        let version = world.session(client).live_query("q").unwrap().version().unwrap().to_owned();
        world.commit(vec![order(3, 50)]).unwrap();
        world.settle();
        messages(&mut world, client);
        let again = format!(
            r#"{{"type":"createLiveQuery","id":"again","query":{other},"options":{{"resume":true}},"since":"{version}"}}"#
        );
        let now = world.now();
        let conn = world.connection(client).unwrap();
        world.hub_mut().handle_text(now, conn, again.as_bytes());
        let mut out = Vec::new();
        while world.hub_mut().poll_transmit(now, conn, &mut out).is_some() {}
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.contains("liveQueryResumed"), resumes, "{other}: {out}");
        assert_eq!(out.contains("liveQueryCreated"), !resumes, "{other}: {out}");
    }
}

/// Any option may be another one when a client comes back, but for places, which it cannot know.
#[test]
fn options_may_change_when_a_client_comes_back() {
    for (before, after) in (0..8).flat_map(|before| (0..8).map(move |after| (before, after))) {
        let (mut world, client, result) = lost_with(before);
        change(&mut world);
        world.reconnect(client, "a");
        let mut wanted = request("q", QUERY);
        wanted.options = options(after);
        wanted.resume_from = Some(result);
        let resumes = !wanted.options.positions || options(before).positions;
        world.session(client).create_live_query(wanted);
        world.settle();
        let expected = if resumes { "liveQueryResumed" } else { "liveQueryCreated" };
        assert_eq!(types(&mut world, client)[1], expected, "{before} {after}");
        let rows = |world: &mut World| {
            let result = world.session(client).live_query("q").unwrap();
            let mut ids: Vec<_> = result.rows().map(|(id, _)| id.to_string()).collect();
            ids.sort();
            ids
        };
        assert_eq!(rows(&mut world), ["1", "3", "4", "5", "9"], "{before} {after}");
        world.commit(vec![order(11, 2)]).unwrap();
        world.settle();
        assert_eq!(rows(&mut world), ["1", "11", "3", "4", "9"], "{before} {after}");
    }
}

fn options(bits: u32) -> LiveQueryOptions {
    LiveQueryOptions {
        resume: true,
        positions: bits & 1 > 0,
        counts: bits & 2 > 0,
        reasons: bits & 4 > 0,
        ..LiveQueryOptions::default()
    }
}

fn lost_with(bits: u32) -> (World, ClientId, LiveResult) {
    let mut world = world(HubConfig::default());
    world.commit(orders(8)).unwrap();
    let client = client(&mut world, "a");
    let mut wanted = request("q", QUERY);
    wanted.options = options(bits);
    world.session(client).create_live_query(wanted);
    world.settle();
    let result = world.session(client).live_query("q").unwrap().clone();
    world.cut(client);
    world.settle();
    messages(&mut world, client);
    (world, client, result)
}

/// A client that says so all the same, with a version that it was given without places, begins anew.
#[test]
fn places_are_not_begun_with_diffs() {
    for (had, resumes) in [(false, false), (true, true)] {
        let mut world = world(HubConfig::default());
        world.commit(orders(8)).unwrap();
        let client = client(&mut world, "a");
        let mut wanted = request("q", QUERY);
        wanted.options = options(u32::from(had));
        world.session(client).create_live_query(wanted);
        world.settle();
        let version = world.session(client).live_query("q").unwrap().version().unwrap().to_owned();
        world.commit(vec![order(0, 200)]).unwrap();
        world.settle();
        messages(&mut world, client);
        let text = format!(
            r#"{{"type":"createLiveQuery","id":"r","query":{QUERY},"options":{{"resume":true,"positions":true}},"since":"{version}"}}"#
        );
        let (now, conn) = (world.now(), world.connection(client).unwrap());
        world.hub_mut().handle_text(now, conn, text.as_bytes());
        let mut out = Vec::new();
        while world.hub_mut().poll_transmit(now, conn, &mut out).is_some() {}
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.contains("liveQueryResumed"), resumes, "{out}");
        assert_eq!(out.contains(&format!(r#""version":"{version}""#)), resumes, "it is repeated: {out}");
    }
}

/// Two tenants, and one that sees more: what they are given has nothing in common, and says nothing of how much happens.
#[test]
fn versions_tell_clients_nothing() {
    let versions = |seed: HashSeed| {
        let mut world = world(HubConfig { seed, epoch: 1_700_000_000_000_000_000, ..HubConfig::default() });
        world.commit(orders(8)).unwrap();
        let client = client(&mut world, "a");
        for (id, query) in [("q", QUERY), ("r", r#"{"edge":"orders","limit":3}"#)] {
            let mut wanted = request(id, query);
            wanted.options.resume = true;
            world.session(client).create_live_query(wanted);
        }
        world.settle();
        let mut all = Vec::new();
        for total in 0..20 {
            world.commit(vec![order(0, total), order(1, total)]).unwrap();
            world.settle();
            for id in ["q", "r"] {
                all.push(world.session(client).live_query(id).unwrap().version().unwrap().to_owned());
            }
        }
        all
    };
    let (one, again, other) =
        (versions(HashSeed::FIXED), versions(HashSeed::FIXED), versions(HashSeed::new([1, 2])));
    assert_eq!(one, again, "the same seed, the same versions");
    let distinct = |versions: &[String]| versions.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    assert!(distinct(&one).len() > 25 && distinct(&one).is_disjoint(&distinct(&other)));
    for pair in one.windows(2) {
        let alike = pair[0].bytes().zip(pair[1].bytes()).filter(|(a, b)| a == b).count();
        assert!(pair[0].len() == pair[1].len() && alike < pair[0].len() / 2, "{pair:?}");
    }
}

#[test]
fn counts_are_right_after_resuming() {
    // Whoever asks for counts now may not have asked before.
    for counts_before in [true, false] {
        let mut world = world(HubConfig::default());
        world.commit(orders(8)).unwrap();
        let client = client(&mut world, "a");
        let create = |world: &mut World, counts: bool, from: Option<LiveResult>| {
            let mut wanted = request("q", QUERY);
            wanted.options.resume = true;
            wanted.options.counts = counts;
            wanted.resume_from = from;
            world.session(client).create_live_query(wanted);
            world.settle();
        };
        create(&mut world, counts_before, None);
        let result = world.session(client).live_query("q").unwrap().clone();
        world.cut(client);
        // Behind the end of the window: only the count changes.
        world.commit(vec![order(20, 20), order(21, 21)]).unwrap();
        world.commit(vec![order(0, 200)]).unwrap();
        world.reconnect(client, "a");
        create(&mut world, true, Some(result));
        let count = |world: &mut World| world.session(client).live_query("q").unwrap().total_count();
        assert_eq!(count(&mut world), 9);
        assert_eq!(world.hub().stats().resumed, 1);
        world.commit(vec![order(22, 22)]).unwrap();
        world.settle();
        assert_eq!(count(&mut world), 10);
    }
}

#[test]
fn more_changes_than_may_wait_are_answered_by_a_snapshot() {
    let order = |id: u32, text: &str| {
        let note = text.repeat(1_000);
        upsert("orders", &format!(r#"{{"id":{id},"total":{id},"note":"{note}"}}"#))
    };
    // Of each changed row both versions wait.
    for (backlog_bytes, expected) in [(8_000, "liveQueryCreated"), (30_000, "liveQueryResumed")] {
        let session = SessionLimits::default().backlog_bytes(backlog_bytes);
        let mut world = world(HubConfig { session, ..HubConfig::default() });
        world.commit((0..10).map(|id| order(id, "a")).collect()).unwrap();
        let client = client(&mut world, "a");
        create_resumable(&mut world, client, None);
        for round in 0..3 {
            let result = world.session(client).live_query("q").unwrap().clone();
            world.cut(client);
            world.settle();
            messages(&mut world, client);
            world.commit((0..10).map(|id| order(id, ["b", "c", "d"][round])).collect()).unwrap();
            world.reconnect(client, "a");
            create_resumable(&mut world, client, Some(result));
            assert_eq!(types(&mut world, client)[1], expected);
            assert_eq!(world.close_code(client), None);
            assert_eq!(ordered(&mut world, client), ["0", "1", "2", "3", "4"]);
        }
    }
}

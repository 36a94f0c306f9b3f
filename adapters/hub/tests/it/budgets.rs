//! What may be spent by the second, what one hold of the lock may take, and what everybody together may hold.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use liveset_core::{Query, SubscriptionSpec};
use liveset_engine::{EngineLimits, Timestamp};
use liveset_hub::{
    Access, AuthRefused, HubConfig, HubLimits, Input, Payer, Policy, Principal, Restriction,
    test_kit::{ClientId, World, upsert},
};
use serde_json::{Value, json};

use crate::support::{self, client, create, messages, order, request, types, world};

const ROWS: u32 = 2_000;

/// Few steps a second, and small holds.
fn slow(rate: u64) -> HubConfig {
    HubConfig {
        engine: EngineLimits::default().hold_steps(1_000),
        hub: HubLimits::default()
            .steps_per_second_per_connection(rate)
            .steps_per_second_per_subject(rate)
            .overdraft(Duration::from_secs(2)),
        ..HubConfig::default()
    }
}

fn scan(n: usize) -> String {
    format!(r#"{{"edge":"orders","filter":"total != {n}","limit":1}}"#)
}

fn filled(config: HubConfig) -> World {
    let mut world = world(config);
    world.commit((0..ROWS).map(|n| order(n, n)).collect()).expect("rows");
    world
}

/// The ids that were answered, and those that were refused as too much for now.
fn outcome(world: &mut World, client: ClientId) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut answered, mut refused) = Default::default();
    for message in messages(world, client) {
        let id = || message["id"].as_str().expect("an id").to_owned();
        match message["type"].as_str() {
            Some("liveQueryCreated") => drop(BTreeSet::insert(&mut answered, id())),
            Some("error") => {
                assert_eq!(message["code"], "OVERLOADED", "{message}");
                assert!(message["requestId"].is_string(), "{message}");
                BTreeSet::insert(&mut refused, id());
            }
            _ => {}
        }
    }
    (answered, refused)
}

#[test]
fn first_results_beyond_the_budget_wait_and_are_then_refused_with_their_id() {
    let mut world = filled(slow(40_000));
    let client = client(&mut world, "a");
    for n in 0..20 {
        world.session(client).create_live_query(request(&format!("q{n}"), &scan(10_000 + n)));
    }
    world.run_for(Duration::from_millis(1_500));
    let (early, refused) = outcome(&mut world, client);
    assert!(!early.is_empty() && refused.is_empty(), "nobody is refused who has not waited");
    world.run_for(Duration::from_secs(30));
    let (late, refused) = outcome(&mut world, client);
    assert!(!late.is_empty() && !refused.is_empty(), "{late:?} {refused:?}");
    assert_eq!(early.len() + late.len() + refused.len(), 20);
    let stats = world.hub().stats();
    assert_eq!((stats.waiting, stats.live_queries), (0, early.len() + late.len()));
    let steps = ["hub.steps_per_second_per_connection", "hub.steps_per_second_per_subject"];
    assert_eq!(steps.map(|limit| stats.refusals.of(limit)).iter().sum::<u64>(), refused.len() as u64);
    // The connection stays, and when it has made up for it there is room again.
    let one = refused.first().expect("one");
    create(&mut world, client, one, &scan(77_777));
    world.run_for(Duration::from_secs(30));
    assert_eq!(outcome(&mut world, client).0.len(), 1);
}

#[test]
fn one_that_takes_long_alone_is_not_refused() {
    let mut world = filled(slow(1_000));
    let client = client(&mut world, "a");
    world.session(client).create_live_query(request("q", &scan(10_000)));
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.hub().stats().waiting, 1, "it takes longer than anything may wait");
    world.run_for(Duration::from_secs(60));
    let (answered, refused) = outcome(&mut world, client);
    assert_eq!((answered.len(), refused.len()), (1, 0));
}

#[test]
fn what_a_subject_has_spent_it_does_not_get_back_by_coming_anew() {
    let mut world = filled(slow(10_000));
    for round in 0..5 {
        let client = client(&mut world, "a");
        for n in 0..4 {
            world.session(client).create_live_query(request(&format!("q{n}"), &scan(100 * round + n)));
        }
        world.run_for(Duration::from_millis(1));
        world.cut(client);
        world.run_for(Duration::from_millis(1));
    }
    // What may be spent at once, one hold and one query beyond it.
    let steps = world.hub().stats().holds.iter().map(|(_, hold)| hold.steps).sum::<u64>();
    let loading = world.hub().stats().holds.of(Input::Commit).steps;
    assert!(steps - loading < 10_000 + 5 * (1_000 + 2 * 250), "{} steps", steps - loading);
}

/// A query that is refused was read and planned all the same.
#[test]
fn refused_queries_are_on_the_account_of_their_subject() {
    let mut world = filled(slow(10_000));
    let (who, now) = (Principal::new("a"), world.now());
    let wrong = Query::parse(br#"{"edge":"orders","filter":"total anyo [1]"}"#).expect("a query");
    let codes: Vec<_> = (0..1_000)
        .map(|_| world.hub_mut().query(now, Some(&who), &wrong).expect_err("it is wrong").code)
        .collect();
    let read = codes.iter().filter(|code| **code == liveset_core::ErrorCode::InvalidQuery).count();
    assert!((10..600).contains(&read), "{read} were read");
    assert!(codes[read..].iter().all(|code| *code == liveset_core::ErrorCode::Overloaded), "{codes:?}");
}

#[test]
fn queries_that_are_asked_once_are_on_the_account_of_their_subject() {
    let mut world = filled(slow(10_000));
    let who = Principal::new("a");
    let spec = Query::parse(scan(1).as_bytes()).expect("a query");
    let now = world.now();
    let mut asked = world.hub_mut().query(now, Some(&who), &spec).expect("allowed");
    assert_eq!(asked.payer().map(|payer| &*payer.subject), Some("a"));
    let (mut steps, mut turns, mut wait) = (0, 0, Duration::ZERO);
    let result = loop {
        let (flow, spent) = asked.step_within(usize::MAX, 1_000);
        assert!(spent < 1_100, "{spent} in one turn");
        (steps, turns) = (steps + spent, turns + 1);
        wait = wait.max(world.hub_mut().pay(now, &Payer::from(&who), spent));
        match flow {
            std::ops::ControlFlow::Break(result) => break result,
            std::ops::ControlFlow::Continue(rest) => asked = rest,
        }
    };
    assert_eq!((result.rows.len(), result.count.total), (1, u64::from(ROWS) - 1));
    assert!(steps > u64::from(ROWS) && turns > 2, "{steps} steps in {turns} turns");
    // As if a live query had spent it.
    let conn = client(&mut world, "a");
    for n in 0..40 {
        let asked = world.hub_mut().query(now, Some(&who), &spec);
        match asked {
            Ok(asked) => {
                let (_, spent) = asked.step_within(usize::MAX, u64::MAX);
                world.hub_mut().pay(now, &Payer::from(&who), spent);
            }
            Err(refusal) => {
                assert_eq!(refusal.code, liveset_core::ErrorCode::Overloaded, "{refusal:?}");
                assert!(n > 0, "only what is overdrawn is refused");
                assert!(world.hub_mut().explain(now, Some(&who), &spec).is_err(), "nor is it explained");
                break;
            }
        }
        assert!(n < 39, "it is never refused");
    }
    create(&mut world, conn, "q", &scan(5));
    assert_eq!(outcome(&mut world, conn).1.len(), 1);
    // Nobody else is concerned, nor is the host.
    assert!(world.hub_mut().query(now, Some(&Principal::new("b")), &spec).is_ok());
    assert!(world.hub_mut().query(now, None, &spec).is_ok());
    // Accounts are kept no longer than there is something on them.
    world.cut(conn);
    world.run_for(Duration::from_secs(60));
    let now = world.now();
    assert!(world.hub_mut().query(now, Some(&who), &spec).is_ok());
    assert_eq!(world.hub().stats().subjects, 0);
}

/// Whatever was sent before the token was accepted is handled with the verdict.
#[test]
fn what_was_held_is_handled_within_one_hold() {
    let config = HubConfig { engine: EngineLimits::default().hold_steps(20_000), ..slow(10_000_000) };
    let mut world = filled(config);
    world.set_auth_delay(Duration::from_millis(5)..=Duration::from_millis(5));
    let client = world.connect("a");
    world.record(client);
    for n in 0..60 {
        world.session(client).create_live_query(request(&format!("q{n}"), &scan(n)));
    }
    world.settle();
    let (answered, refused) = outcome(&mut world, client);
    assert_eq!((answered.len(), refused.len()), (60, 0));
    let holds = world.hub().stats().holds;
    // Four steps for each byte of a query where it is read, and one where it is compiled.
    let planning = 60 * (200 + 5 * 12);
    for input in [Input::Verdict, Input::Message, Input::Work] {
        let longest = holds.of(input).longest;
        assert!(longest < 20_000 + planning + 100, "{input:?}: {longest} steps");
    }
    assert!(holds.of(Input::Verdict).longest > planning, "the verdict took them all");
}

fn subscriptions(ids: impl Iterator<Item = String>) -> Vec<SubscriptionSpec> {
    let spec = |id: String| SubscriptionSpec {
        id: id.into(),
        path: "jobs".into(),
        events: vec!["jobFailed".into()],
    };
    ids.map(spec).collect()
}

#[test]
fn live_queries_of_all_subjects_together_are_bounded_in_bytes() {
    let one = {
        let mut world = filled(HubConfig::default());
        let client = client(&mut world, "a");
        create(&mut world, client, "q", &scan(1));
        let held = world.hub().subject("a").query_bytes;
        assert_eq!(world.hub().stats().query_bytes, held);
        held
    };
    let hub = HubLimits::default().query_bytes(3 * one + one / 2);
    let mut world = filled(HubConfig { hub, ..HubConfig::default() });
    let clients: Vec<_> = (0..5).map(|n| client(&mut world, &format!("subject {n}"))).collect();
    // What all have counts once.
    for client in &clients {
        create(&mut world, *client, "shared", &scan(0));
        assert_eq!(types(&mut world, *client), ["liveQueryCreated", "liveQueryData"]);
    }
    assert_eq!(world.hub().stats().query_bytes, one);
    for (n, client) in clients.iter().enumerate().take(2) {
        create(&mut world, *client, "own", &scan(n + 1));
        assert_eq!(types(&mut world, *client), ["liveQueryCreated", "liveQueryData"]);
    }
    create(&mut world, clients[2], "own", &scan(3));
    let refused = messages(&mut world, clients[2]);
    assert_eq!(
        (refused.len(), &refused[0]["code"], &refused[0]["id"]),
        (1, &json!("OVERLOADED"), &json!("own"))
    );
    let text = refused[0]["message"].as_str().expect("a text");
    assert!(
        text.contains(&format!("{one} bytes; "))
            && text.contains(&format!("of {} are left", 3 * one + one / 2)),
        "{text}"
    );
    // Another's live query is not one more.
    create(&mut world, clients[2], "again", &scan(1));
    assert_eq!(types(&mut world, clients[2]), ["liveQueryCreated", "liveQueryData"]);
    let stats = world.hub().stats();
    assert_eq!((stats.refusals.of("hub.query_bytes"), stats.query_bytes), (1, 3 * one));
    // A connection that acts for another moves what it holds, and nobody's is forgotten.
    world.session(clients[0]).authenticate(&liveset_core::Token::new("subject 1"));
    world.settle();
    assert_eq!(world.hub().stats().query_bytes, 3 * one);
    for client in clients {
        world.cut(client);
    }
    world.settle();
    assert_eq!(world.hub().stats().query_bytes, 0);
}

#[test]
fn subscriptions_are_bounded_in_bytes_for_a_connection_a_subject_and_all() {
    let long = |n: usize| format!("{n:03}{}", "x".repeat(97));
    let one = {
        let mut world = world(HubConfig::default());
        let client = client(&mut world, "a");
        world.session(client).subscribe(subscriptions([long(0)].into_iter()));
        world.settle();
        world.hub().subject("a").query_bytes
    };
    assert!(one > 2 * 100);
    for (limits, most) in [
        (HubLimits::default().query_bytes_per_connection(5 * one), [5, 5, 5]),
        (HubLimits::default().query_bytes_per_subject(5 * one), [5, 0, 5]),
        (HubLimits::default().query_bytes(5 * one), [5, 0, 0]),
    ] {
        let mut world = world(HubConfig { hub: limits, ..HubConfig::default() });
        let clients = ["a", "a", "b"].map(|token| client(&mut world, token));
        for (client, most) in clients.into_iter().zip(most) {
            for n in 0..8 {
                world.session(client).subscribe(subscriptions([long(n)].into_iter()));
            }
            world.settle();
            let came = messages(&mut world, client);
            let made = came.iter().filter(|message| message["type"] == "subscribedEvents").count();
            assert_eq!(made, most);
            let refused: Vec<_> = came.iter().filter(|message| message["type"] == "error").collect();
            assert_eq!(refused.len(), 8 - most);
            for (message, n) in refused.iter().zip(most..) {
                assert_eq!((&message["code"], &message["id"]), (&json!("LIMIT_EXCEEDED"), &json!(long(n))));
            }
        }
        let made: usize = most.iter().sum();
        assert_eq!(world.hub().stats().query_bytes, made as u64 * one);
        let refusals = world.hub().stats().refusals;
        let refused = refusals.iter().filter(|(limit, _)| limit.starts_with("hub.query_bytes"));
        assert_eq!(refused.map(|(_, count)| count).sum::<u64>(), 24 - made as u64);
        // All or nothing, and what is taken back is free again.
        world.session(clients[0]).unsubscribe([&*long(0), &*long(1)]);
        world.session(clients[0]).subscribe(subscriptions((10..13).map(long)));
        world.session(clients[0]).subscribe(subscriptions((10..12).map(long)));
        world.settle();
        let kinds = types(&mut world, clients[0]);
        assert_eq!(kinds.iter().filter(|kind| *kind == "error").count(), 1);
        assert_eq!(world.hub().stats().query_bytes, made as u64 * one);
        clients.into_iter().for_each(|client| world.cut(client));
        world.settle();
        assert_eq!(world.hub().stats().query_bytes, 0);
    }
}

/// Row filters are long, and everybody's queries are planned within one.
struct Wordy(Arc<Restriction>);

impl Policy for Wordy {
    fn may_subscribe(&self, _: &Principal, _: &str, _: &[Arc<str>]) -> bool {
        true
    }

    fn access(&self, who: &Principal, _: &str) -> Access {
        match &*who.subject {
            "all" => Access::All,
            _ => Access::Part(self.0.clone()),
        }
    }

    fn may_write(&self, _: &Principal) -> bool {
        false
    }
}

/// A filter and the row filter around it are put together under the lock: that is counted, and bounded.
#[test]
fn planning_within_a_row_filter_is_a_part_of_the_hold() {
    let list: Vec<String> = (0..900).map(|n| (100_000 + n).to_string()).collect();
    let rows = format!("total in [{}] or total < 100000", list.join(","));
    let policy = Box::new(Wordy(Arc::new(Restriction::rows(rows.clone()))));
    let mut world = world(HubConfig { policy, ..HubConfig::default() });
    let client = client(&mut world, "a");
    let filter = format!("total in [{}]", list.join(","));
    create(&mut world, client, "q", &format!(r#"{{"edge":"orders","filter":"{filter}"}}"#));
    assert_eq!(types(&mut world, client), ["liveQueryCreated", "liveQueryData"]);
    let longest = world.hub().stats().holds.of(Input::Message).longest;
    assert!(longest > 4 * (filter.len() + rows.len()) as u64 && longest < 100_000, "{longest} steps");
}

/// As after a reload of a configuration: everybody is looked at, in slices.
#[test]
fn everybody_is_asked_for_anew_in_slices() {
    let mut config = HubConfig {
        policy: Box::new(Wordy(Arc::new(Restriction::rows("total < 10")))),
        ..HubConfig::default()
    };
    config.engine.hold_steps = 5_000;
    let mut world = world(config);
    world.commit((0..50).map(|n| order(n, n)).collect()).expect("rows");
    let clients: Vec<_> = (0..40).map(|_| client(&mut world, "all")).collect();
    for client in &clients {
        for q in 0..5 {
            create(
                &mut world,
                *client,
                &format!("q{q}"),
                &format!(r#"{{"edge":"orders","filter":"total < {}"}}"#, 20 + q),
            );
        }
        messages(&mut world, *client);
    }
    let before = world.hub().stats().holds.of(Input::Verdict);
    let mut left = world.hub().connection_ids();
    assert_eq!(left.len(), 40);
    let mut slices = 0;
    while !left.is_empty() {
        let now = world.now();
        let taken = left.len();
        let ended = world.hub_mut().reauthorize_some(now, &mut left, |_| Some(Principal::new("some")));
        assert!(ended == 0 && left.len() < taken);
        slices += 1;
        world.settle();
    }
    let holds = world.hub().stats().holds.of(Input::Verdict);
    assert!(slices > 4, "{slices}");
    assert!(holds.longest.max(before.longest) < 12_000, "{} steps", holds.longest);
    for client in clients {
        assert_eq!(support::shown(&mut world, client, "q3").len(), 10, "rows that some may see");
    }
}

/// The messages of the API's own documentation, with the most rows and events that its example could mean.
#[test]
fn the_documented_example_fits_every_default_limit() {
    let mut world = world(HubConfig::default());
    world.set_authenticator(
        |token| if token.is_empty() { Err(AuthRefused) } else { Ok(Principal::new("you")) },
    );
    let node = |n: u32, status: &str| {
        let id = format!("550e8400-e29b-41d4-a716-{n:012}");
        let at = Timestamp::from_unix_nanos(1_765_143_905_000_000_000 + i128::from(n)).expect("an instant");
        let node =
            json!({ "id": id, "status": status, "createdAt": at.to_string(), "note": "x".repeat(500) });
        upsert("orders", &node.to_string())
    };
    world
        .commit((0..5_000).map(|n| node(n, ["processing", "sent"][n as usize % 2])).collect())
        .expect("orders");
    let client = client(&mut world, "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9");
    let jobs = ["jobScheduled", "jobStarted", "jobCompleted", "jobFailed"];
    let subscription = |id: &str, path: &str, events: &[&str]| SubscriptionSpec {
        id: id.into(),
        path: path.into(),
        events: events.iter().map(|event| (*event).into()).collect(),
    };
    world.session(client).subscribe(vec![
        subscription("my-jobs", "jobs", &jobs),
        subscription("my-job", "jobs/550e8400-e29b-41d4-a716-446655440000", &jobs),
        subscription("definitions", "job-definitions/sync-inventory", &["jobStatistics"]),
        subscription("actors", "actors", &["actorCheckpoint"]),
        subscription("actor", "actors/orders/550e8400", &["actorCheckpoint"]),
    ]);
    let query = r#"{"edge":"orders","filter":"status == 'processing'","orderBy":"createdAt desc"}"#;
    world.session(client).create_live_query(request("lq-orders", query));
    world.settle();
    let came = messages(&mut world, client);
    assert_eq!(came[0]["type"], "subscribedEvents");
    let created = ["type", "totalCount", "capped"].map(|name| came[1][name].clone());
    assert_eq!(created, [json!("liveQueryCreated"), json!(2_500), json!(true)]);
    let rows: usize = came[2..].iter().map(|message| message["data"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(rows, 1_000);
    for n in 0..1_000_u32 {
        let data = json!({
            "jobId": "550e8400-e29b-41d4-a716-446655440000",
            "jobDefinitionId": "sync-inventory",
            "finishedAt": "2025-12-07T21:45:05.000Z",
            "elapsedMs": 4000.5,
        });
        let now = world.now();
        let data = data.to_string().into();
        world
            .hub_mut()
            .publish(now, "jobs/550e8400-e29b-41d4-a716-446655440000", "jobCompleted", data, None)
            .expect("declared");
        let status = ["processing", "sent"][(n / 7) as usize % 2];
        world.commit(vec![node(4_000 + n, status)]).expect("an order");
        world.run_for(Duration::from_millis(10));
    }
    world.session(client).unsubscribe(["my-jobs"]);
    world.session(client).destroy_live_query("lq-orders");
    world.settle();
    let came = messages(&mut world, client);
    let count = |kind: &str| came.iter().filter(|message| message["type"] == kind).count();
    assert_eq!((count("event"), count("error"), count("warning")), (2_000, 0, 0), "all jobs, and this one");
    assert!(count("liveQueryAddedNode") > 100 && count("liveQueryRemovedNode") > 100);
    assert_eq!(came.last().map(|message| &message["type"]), Some(&json!("liveQueryDestroyed")));
    let stats = world.hub().stats();
    assert_eq!(stats.refusals, Default::default());
    assert_eq!(stats.delays.longest.holds, 0, "every diff left with its commit");
    for (name, hold) in stats.holds.iter().filter(|(name, _)| *name != "commit") {
        assert!(hold.longest <= 101_000, "{name}: {} steps", hold.longest);
    }
}

/// An id of control characters is six times as long where it is written.
#[test]
fn an_event_to_many_long_ids_is_counted_as_it_is_written() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    let limit = 4 * 1024 * 1024;
    let id = |n: usize| format!("{n:03}{}", "\u{1}".repeat(125));
    for group in 0..8 {
        world.session(client).subscribe(subscriptions((32 * group..32 * group + 32).map(id)));
    }
    world.settle();
    let kinds = types(&mut world, client);
    assert_eq!(kinds, ["subscribedEvents"; 8]);
    world.set_room(1);
    world.stall(client);
    let publish = |world: &mut World| {
        let now = world.now();
        let queued = world.hub_mut().publish(now, "jobs", "jobFailed", "1".into(), None).expect("declared");
        world.settle();
        queued
    };
    assert_eq!(publish(&mut world), 256);
    // One is under way.
    publish(&mut world);
    let one = world.hub().stats().backlog.event_bytes;
    assert!(one > 256 * (3 + 125 * 6), "{one} bytes: an escape is six");
    for _ in 0..500 {
        publish(&mut world);
        let held = world.hub().stats().backlog.event_bytes;
        assert!(held <= limit, "{held} bytes wait for one connection");
    }
    assert!(world.hub().stats().backlog.event_bytes > limit / 2, "as many wait as may");
    assert!(world.hub().stats().sessions.events_dropped > 0);
    world.unstall(client);
    world.settle();
    let sent: Vec<Value> =
        messages(&mut world, client).into_iter().filter(|message| message["type"] == "event").collect();
    let longest = sent.iter().map(|message| message.to_string().len()).max().expect("events");
    assert!(longest.abs_diff(one) < 200, "{longest} bytes were counted as {one}");
}

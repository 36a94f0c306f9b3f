//! What a subject holds over all of its connections is counted exactly, and bounded.

use std::collections::BTreeMap;

use fastrand::Rng;
use liveset_core::{CloseCode, SessionState, SubscriptionSpec};
use liveset_engine::SetDef;
use liveset_hub::{
    Access, AuthRefused, HubConfig, HubLimits, Policy, Principal, SubjectUse,
    test_kit::{ClientId, World},
};
use serde_json::Value;

use crate::support::{client, create, messages, order, request, types, world};

fn limited(connections: usize, subscriptions: usize, live_queries: usize) -> HubConfig {
    let hub = HubLimits::default()
        .connections_per_subject(connections)
        .subscriptions_per_subject(subscriptions)
        .live_queries_per_subject(live_queries);
    HubConfig { hub, ..HubConfig::default() }
}

fn subscriptions(ids: &[&str]) -> Vec<SubscriptionSpec> {
    let spec = |id: &&str| SubscriptionSpec {
        id: (*id).into(),
        path: "jobs".into(),
        events: vec!["jobFailed".into()],
    };
    ids.iter().map(spec).collect()
}

fn holds(world: &World, subject: &str) -> (usize, usize, usize) {
    let SubjectUse { connections, subscriptions, live_queries, .. } = world.hub().subject(subject);
    (connections, subscriptions, live_queries)
}

/// The code, the id and the request of the one error that came.
fn error(world: &mut World, client: ClientId) -> (String, Option<String>, bool) {
    let came = messages(world, client);
    let [error] = &came[..] else { panic!("not one error: {came:?}") };
    assert_eq!(error["type"], "error", "{error}");
    let code = error["code"].as_str().unwrap().to_owned();
    (code, error["id"].as_str().map(Into::into), error.get("requestId").is_some_and(Value::is_string))
}

const ALL: &str = r#"{"edge":"orders"}"#;

#[test]
fn live_queries_are_bounded_over_all_connections_of_a_subject() {
    let mut world = world(limited(9, 9, 3));
    let (a, b, other) = (client(&mut world, "a"), client(&mut world, "a"), client(&mut world, "b"));
    create(&mut world, a, "q", ALL);
    create(&mut world, b, "q", ALL);
    create(&mut world, b, "r", ALL);
    types(&mut world, a);
    create(&mut world, a, "r", ALL);
    let (code, id, has_request) = error(&mut world, a);
    assert_eq!((code.as_str(), id.as_deref(), has_request), ("LIMIT_EXCEEDED", Some("r"), true));
    assert_eq!(holds(&world, "a"), (2, 0, 3));
    assert_eq!(world.hub().stats().refusals.of("hub.live_queries_per_subject"), 1);
    create(&mut world, other, "q", ALL);
    assert_eq!(types(&mut world, other), ["liveQueryCreated", "liveQueryData"], "others are not concerned");

    // What is given up, and what is lost with its connection, is free again.
    world.session(b).destroy_live_query("r");
    world.settle();
    create(&mut world, a, "r", ALL);
    assert_eq!(types(&mut world, a), ["liveQueryCreated", "liveQueryData"]);
    world.cut(b);
    world.settle();
    assert_eq!(holds(&world, "a"), (1, 0, 2));
    create(&mut world, a, "s", ALL);
    assert_eq!(holds(&world, "a"), (1, 0, 3));
}

#[test]
fn subscriptions_are_bounded_all_or_nothing() {
    let mut world = world(limited(9, 3, 9));
    let (a, b) = (client(&mut world, "a"), client(&mut world, "a"));
    world.session(a).subscribe(subscriptions(&["s", "t"]));
    world.settle();
    world.session(b).subscribe(subscriptions(&["u", "v", "w"]));
    world.settle();
    let (code, id, has_request) = error(&mut world, b);
    assert_eq!((code.as_str(), id.as_deref(), has_request), ("LIMIT_EXCEEDED", Some("v"), true));
    assert_eq!(holds(&world, "a"), (2, 2, 0), "none of them was made");
    world.session(b).subscribe(subscriptions(&["u"]));
    world.settle();
    assert_eq!(types(&mut world, b), ["subscribedEvents"]);
    world.session(a).unsubscribe(["s", "t"]);
    world.settle();
    assert_eq!(holds(&world, "a"), (2, 1, 0));
}

#[test]
fn one_connection_too_many_is_told_and_closed() {
    let mut world = world(limited(2, 9, 9));
    let first = client(&mut world, "a");
    client(&mut world, "a");
    let third = world.connect("a");
    world.record(third);
    world.settle();
    let (code, id, _) = error(&mut world, third);
    assert_eq!((code.as_str(), id), ("LIMIT_EXCEEDED", None));
    assert_eq!(world.close_code(third), Some(CloseCode::Policy));
    client(&mut world, "b");
    assert_eq!(world.hub().stats().refusals.of("hub.connections_per_subject"), 1);

    // A second `auth` of one that is counted is no further connection.
    world.session(first).authenticate(&liveset_core::Token::new("a"));
    world.settle();
    assert_eq!(types(&mut world, first), ["authenticated"]);
    world.cut(first);
    world.settle();
    client(&mut world, "a");
    assert_eq!(holds(&world, "a"), (2, 0, 0));
}

#[test]
fn what_is_held_moves_with_the_connection() {
    let mut world = world(limited(2, 1, 1));
    let (mover, other) = (client(&mut world, "a"), client(&mut world, "b"));
    for client in [mover, other] {
        create(&mut world, client, "q", ALL);
        world.session(client).subscribe(subscriptions(&["s"]));
        world.settle();
    }
    world.session(mover).authenticate(&liveset_core::Token::new("b"));
    world.settle();
    assert_eq!((holds(&world, "a"), holds(&world, "b")), ((0, 0, 0), (2, 2, 2)));
    assert_eq!(world.hub().stats().subjects, 1);
    types(&mut world, mover);
    create(&mut world, mover, "r", ALL);
    assert_eq!(error(&mut world, mover).0, "LIMIT_EXCEEDED");

    // A third connection cannot come that way either.
    let third = client(&mut world, "c");
    world.session(third).authenticate(&liveset_core::Token::new("b"));
    world.settle();
    assert_eq!(error(&mut world, third).0, "LIMIT_EXCEEDED");
    assert_eq!(world.close_code(third), Some(CloseCode::Policy));
    assert_eq!(world.hub().stats().subjects, 1);
}

#[test]
fn limits_of_zero_leave_nothing() {
    let mut world = world(limited(1, 0, 0));
    let a = client(&mut world, "a");
    create(&mut world, a, "q", ALL);
    assert_eq!(error(&mut world, a).0, "LIMIT_EXCEEDED");
    world.session(a).subscribe(subscriptions(&["s"]));
    world.settle();
    assert_eq!(error(&mut world, a).1.as_deref(), Some("s"));
}

/// Forbids the set `secret` to all but `a`.
struct OnlyA;

impl Policy for OnlyA {
    fn may_subscribe(&self, who: &Principal, path: &str, _: &[std::sync::Arc<str>]) -> bool {
        path != "actors" || &*who.subject == "a"
    }

    fn may_query(&self, who: &Principal, query: &liveset_core::Query) -> bool {
        query.set != "secret" || &*who.subject == "a"
    }

    fn access(&self, _: &Principal, _: &str) -> Access {
        Access::All
    }

    fn may_write(&self, _: &Principal) -> bool {
        false
    }
}

/// Two of three subjects are of one tenant.
fn tenant(subject: &str) -> Option<std::sync::Arc<str>> {
    (subject != "c").then(|| "acme".into())
}

fn of_tenant(subject: &str) -> Principal {
    Principal { tenant: tenant(subject), ..Principal::new(subject) }
}

/// What each subject holds by what its sessions say.
fn recount(world: &World, clients: &[ClientId]) -> BTreeMap<String, SubjectUse> {
    let mut by_subject: BTreeMap<String, SubjectUse> = BTreeMap::new();
    for conn in clients.iter().filter_map(|client| world.connection(*client)) {
        let (Some(who), Some(session)) = (world.hub().principal(conn), world.hub().session(conn)) else {
            continue;
        };
        if session.state() == SessionState::Active {
            let held = by_subject.entry(who.subject.to_string()).or_default();
            held.connections += 1;
            held.subscriptions += session.subscriptions().count();
            held.live_queries += session.live_queries().count();
        }
    }
    by_subject
}

#[test]
fn the_counts_agree_with_a_recount_whatever_happens() {
    for seed in 0..40 {
        let mut rng = Rng::with_seed(seed);
        let mut world = World::new(seed, HubConfig { policy: Box::new(OnlyA), ..limited(4, 6, 6) });
        for set in ["orders", "secret"] {
            world.hub_mut().define_set(SetDef::new(set)).expect("a set");
        }
        world.set_authenticator(|token| match token {
            "bad" => Err(AuthRefused),
            subject => Ok(of_tenant(subject)),
        });
        let subjects = ["a", "b", "c"];
        let clients: Vec<ClientId> = (0..8).map(|i| world.connect(subjects[i % subjects.len()])).collect();
        world.settle();
        for step in 0..120 {
            let client = clients[rng.usize(..clients.len())];
            let subject = subjects[rng.usize(..subjects.len())];
            let name = format!("n{}", rng.usize(..4));
            let now = world.now();
            match rng.usize(..14) {
                0..=2 => {
                    let edge = if rng.usize(..3) == 0 { "secret" } else { "orders" };
                    world
                        .session(client)
                        .create_live_query(request(&name, &format!("{{\"edge\":\"{edge}\"}}")));
                }
                3 => {
                    let _ = world.session(client).destroy_live_query(&name);
                }
                4..=5 => {
                    let path = if rng.usize(..3) == 0 { "actors" } else { "jobs" };
                    let event = if path == "jobs" { "jobFailed" } else { "actorCheckpoint" };
                    let mut wanted = subscriptions(&[&name, "m"]);
                    wanted.truncate(1 + rng.usize(..2));
                    for one in &mut wanted {
                        (one.path, one.events) = (path.into(), vec![event.into()]);
                    }
                    world.session(client).subscribe(wanted);
                }
                6 => {
                    let _ = world.session(client).unsubscribe([name.as_str()]);
                }
                7 => {
                    let _ = world.session(client).authenticate(&liveset_core::Token::new(subject));
                }
                8 if step % 5 == 0 => {
                    let _ = world.session(client).authenticate(&liveset_core::Token::new("bad"));
                }
                9 => world.reconnect(client, subject),
                10 => world.cut(client),
                11 if step % 4 == 0 => drop(world.hub_mut().revoke(now, subject)),
                12 => {
                    // Some act for somebody else from here on.
                    let of = subjects[rng.usize(..subjects.len())];
                    let other = Principal { tenant: tenant(of), ..of_tenant(subject) };
                    let mut which = rng.usize(..4);
                    world.hub_mut().reauthorize(now, |who| {
                        which += 1;
                        Some(if which == 4 { other.clone() } else { who.clone() })
                    });
                }
                13 => match world.connection(client) {
                    Some(conn) if step % 3 == 0 => world.hub_mut().fail(now, conn),
                    Some(conn) => world.hub_mut().overload(now, conn, "too slow"),
                    None => {}
                },
                _ => drop(world.commit(vec![order(rng.usize(..9) as u32, step)])),
            }
            world.settle();
            world.hub().check_totals();
            let counted = recount(&world, &clients);
            for subject in subjects {
                let expected = counted.get(subject).copied().unwrap_or_default();
                let held = world.hub().subject(subject);
                assert_eq!(
                    held.query_bytes > 0,
                    expected.live_queries + expected.subscriptions > 0,
                    "seed {seed}, step {step}, {subject}"
                );
                let SubjectUse { query_bytes, standing_steps, delay, .. } = held;
                let expected = SubjectUse { query_bytes, standing_steps, delay, ..expected };
                assert_eq!(held, expected, "seed {seed}, step {step}, {subject}");
            }
            let stats = world.hub().stats();
            assert_eq!(stats.subjects, counted.len(), "seed {seed}, step {step}");
            let sum = |of: fn(&SubjectUse) -> usize| counted.values().map(of).sum::<usize>();
            assert_eq!(stats.live_queries, sum(|held| held.live_queries));
            assert_eq!(stats.subscriptions, sum(|held| held.subscriptions));
        }
        for client in clients {
            world.cut(client);
        }
        world.settle();
        let stats = world.hub().stats();
        assert_eq!((stats.subjects, stats.connections), (0, 0), "seed {seed}");
    }
}

/// What many connections of one subject share costs the subject once.
#[test]
fn a_live_query_that_many_connections_share_is_charged_once() {
    let hub = HubLimits::default().columns_per_subject(1).unindexed_views_per_subject(1);
    let mut world = world(HubConfig { hub, ..HubConfig::default() });
    world.commit((0..20).map(|n| order(n, n)).collect()).unwrap();
    let clients: Vec<_> = (0..5).map(|_| client(&mut world, "a")).collect();
    for client in &clients {
        create(&mut world, *client, "q", r#"{"edge":"orders","filter":"total != 5"}"#);
        assert_eq!(types(&mut world, *client), ["liveQueryCreated", "liveQueryData"]);
    }
    let one = world.hub().subject("a");
    world.cut(clients[0]);
    world.settle();
    assert_eq!(world.hub().subject("a").query_bytes, one.query_bytes);
    create(&mut world, clients[1], "r", r#"{"edge":"orders","filter":"total != 6"}"#);
    assert_eq!(types(&mut world, clients[1]), ["error"]);
    for client in &clients[1..] {
        world.session(*client).destroy_live_query("q");
    }
    world.settle();
    assert_eq!(world.hub().subject("a").query_bytes, 0);
}

//! What the subjects of a tenant have together is counted, and bounded.

use std::time::Duration;

use liveset_core::{CloseCode, Query, SubscriptionSpec};
use liveset_hub::{
    HubConfig, HubLimits, Payer, Principal, TenantUse,
    test_kit::{ClientId, World},
};
use serde_json::{Value, json};

use crate::support::{client, create, messages, order, types, world};

const ALL: &str = r#"{"edge":"orders"}"#;

/// A token is a subject, or a subject and its tenant, as `ann@acme`.
fn principal(token: &str) -> Principal {
    let (subject, tenant) = token.split_once('@').map_or((token, None), |(who, of)| (who, Some(of.into())));
    Principal { tenant, ..Principal::new(subject) }
}

fn limited(hub: HubLimits) -> World {
    let mut world = world(HubConfig { hub, ..HubConfig::default() });
    world.set_authenticator(|token| Ok(principal(token)));
    world
}

fn error(world: &mut World, client: ClientId) -> Value {
    let came = messages(world, client);
    let [error] = &came[..] else { panic!("not one error: {came:?}") };
    assert_eq!(error["type"], "error", "{error}");
    error.clone()
}

/// Names, connections and live queries.
fn counted(world: &World) -> Vec<(String, usize, usize)> {
    world.hub().check_totals();
    let tenants = world.hub().stats().tenants;
    tenants.iter().map(|one| (one.name.to_string(), one.connections, one.live_queries)).collect()
}

fn scan(n: usize) -> String {
    format!(r#"{{"edge":"orders","filter":"total != {n}","limit":1}}"#)
}

#[test]
fn connections_and_live_queries_are_bounded_over_all_subjects_of_a_tenant() {
    let mut world = limited(HubLimits::default().connections_per_tenant(2).live_queries_per_tenant(3));
    let (ann, bob) = (client(&mut world, "ann@acme"), client(&mut world, "bob@acme"));
    let (other, nobody) = (client(&mut world, "ann@globex"), client(&mut world, "ann"));
    for (client, id) in [(ann, "q"), (bob, "q"), (bob, "r"), (other, "q"), (nobody, "q")] {
        create(&mut world, client, id, ALL);
        assert_eq!(types(&mut world, client), ["liveQueryCreated", "liveQueryData"]);
    }
    create(&mut world, ann, "r", ALL);
    let refused = error(&mut world, ann);
    assert_eq!((&refused["code"], &refused["id"]), (&json!("LIMIT_EXCEEDED"), &json!("r")));
    let late = world.connect("cid@acme");
    world.record(late);
    world.settle();
    assert_eq!(error(&mut world, late)["code"], "LIMIT_EXCEEDED");
    assert_eq!(world.close_code(late), Some(CloseCode::Policy));
    let refusals = world.hub().stats().refusals;
    let of = |limit| refusals.of(limit);
    assert_eq!((of("hub.live_queries_per_tenant"), of("hub.connections_per_tenant")), (1, 1));
    assert_eq!(counted(&world), [("acme".into(), 2, 3), ("globex".into(), 1, 1)]);

    // One that is counted may say again who it is; what it holds goes with it to another tenant.
    for token in ["ann@acme", "bob@acme", "ann@globex"] {
        world.session(ann).authenticate(&liveset_core::Token::new(token));
        world.settle();
        assert_eq!(types(&mut world, ann), ["authenticated"], "{token}");
    }
    assert_eq!(counted(&world), [("acme".into(), 1, 2), ("globex".into(), 2, 2)]);
    world.cut(bob);
    world.cut(other);
    world.settle();
    assert_eq!(counted(&world), [("acme".into(), 0, 0), ("globex".into(), 1, 1)]);
}

#[test]
fn what_the_subjects_of_a_tenant_keep_is_bounded_together_and_what_they_share_counts_once() {
    let (bytes, steps) = {
        let mut world = limited(HubLimits::default());
        let ann = client(&mut world, "ann");
        create(&mut world, ann, "q", &scan(1));
        let held = world.hub().subject("ann");
        (held.query_bytes, held.standing_steps)
    };
    for (limits, name) in [
        (HubLimits::default().query_bytes_per_tenant(2 * bytes), "hub.query_bytes_per_tenant"),
        (HubLimits::default().standing_steps_per_tenant(2 * steps), "hub.standing_steps_per_tenant"),
    ] {
        let mut world = limited(limits);
        let [ann, bob, other] = ["ann@acme", "bob@acme", "ann@globex"].map(|who| client(&mut world, who));
        for (client, n) in [(ann, 1), (bob, 1), (bob, 2)] {
            create(&mut world, client, &format!("q{n}"), &scan(n));
            assert_eq!(types(&mut world, client), ["liveQueryCreated", "liveQueryData"], "{name}");
        }
        create(&mut world, ann, "q3", &scan(3));
        assert_eq!(error(&mut world, ann)["code"], "OVERLOADED", "{name}");
        assert_eq!(world.hub().stats().refusals.of(name), 1);
        // What another subject of the tenant has is nothing more, and other tenants are not concerned.
        for (client, n) in [(ann, 2), (other, 3)] {
            create(&mut world, client, &format!("q{n}"), &scan(n));
            assert_eq!(types(&mut world, client), ["liveQueryCreated", "liveQueryData"], "{name}");
        }
        world.hub().check_totals();
        // There is room again when nobody of the tenant has it any more.
        world.session(bob).destroy_live_query("q2");
        world.settle();
        create(&mut world, ann, "q3", &scan(3));
        assert_eq!(error(&mut world, ann)["code"], "OVERLOADED", "{name}");
        world.session(ann).destroy_live_query("q2");
        world.settle();
        types(&mut world, ann);
        create(&mut world, ann, "q3", &scan(3));
        assert_eq!(types(&mut world, ann), ["liveQueryCreated", "liveQueryData"], "{name}");
        world.hub().check_totals();
    }
}

#[test]
fn subscriptions_count_among_the_bytes_of_a_tenant() {
    let spec =
        || vec![SubscriptionSpec { id: "s".into(), path: "jobs".into(), events: vec!["jobFailed".into()] }];
    let one = {
        let mut world = limited(HubLimits::default());
        let ann = client(&mut world, "ann");
        world.session(ann).subscribe(spec());
        world.settle();
        world.hub().subject("ann").query_bytes
    };
    let mut world = limited(HubLimits::default().query_bytes_per_tenant(one));
    for (token, expected) in
        [("ann@acme", "subscribedEvents"), ("bob@acme", "error"), ("ann@globex", "subscribedEvents")]
    {
        let client = client(&mut world, token);
        world.session(client).subscribe(spec());
        world.settle();
        assert_eq!(types(&mut world, client), [expected], "{token}");
    }
    assert_eq!(world.hub().stats().refusals.of("hub.query_bytes_per_tenant"), 1);
}

#[test]
fn steps_are_spent_for_the_tenant_and_bounded_by_the_second() {
    let hub = HubLimits::default().steps_per_second_per_tenant(10_000).overdraft(Duration::from_secs(1));
    let mut world = limited(hub);
    world.commit((0..2_000).map(|n| order(n, n)).collect()).expect("rows");
    let now = world.now();
    let query = Query::parse(scan(1).as_bytes()).expect("a query");
    let (ann, bob) = (principal("ann@acme"), principal("bob@acme"));
    let mut spent_by_ann = 0;
    while let Ok(asked) = world.hub_mut().query(now, Some(&ann), &query) {
        assert_eq!(asked.payer(), Some(&Payer::from(&ann)));
        let (_, spent) = asked.step_within(usize::MAX, u64::MAX);
        world.hub_mut().pay(now, &Payer::from(&ann), spent);
        spent_by_ann += spent;
        assert!(spent_by_ann < 100_000, "it is never refused");
    }
    let refused = world.hub_mut().query(now, Some(&bob), &query).expect_err("of the same tenant");
    assert!(refused.message.contains("10000 for a tenant"), "{}", refused.message);
    assert_eq!(world.hub().stats().refusals.of("hub.steps_per_second_per_tenant"), 2);
    // Nor may a connection of the tenant have more.
    let client_of_bob = client(&mut world, "bob@acme");
    create(&mut world, client_of_bob, "q", &scan(2));
    assert_eq!(error(&mut world, client_of_bob)["code"], "OVERLOADED");
    for (who, is_concerned) in [("ann@globex", false), ("ann", false), ("cid@acme", true)] {
        let asked = world.hub_mut().query(now, Some(&principal(who)), &query);
        assert_eq!(asked.is_err(), is_concerned, "{who}");
    }
    let steps = |world: &World, name: &str| {
        let tenants = world.hub().stats().tenants;
        tenants.iter().find(|one| *one.name == *name).map(|one| one.steps)
    };
    let of_acme = steps(&world, "acme").expect("it has a name");
    assert!(of_acme >= spent_by_ann && of_acme < 2 * spent_by_ann, "{of_acme} of which {spent_by_ann}");

    // It comes in again, and what was spent is not forgotten.
    world.cut(client_of_bob);
    world.run_for(Duration::from_secs(60));
    let now = world.now();
    assert!(world.hub_mut().query(now, Some(&bob), &query).is_ok());
    assert!(steps(&world, "acme") > Some(of_acme));
}

#[test]
fn so_many_tenants_have_a_name_and_the_others_are_counted_together() {
    let mut world = limited(HubLimits::default().tenants_named(2));
    let long = "x".repeat(129);
    let tokens = [format!("ann@{long}"), format!("ann@{}", TenantUse::OTHERS)];
    let unnamed = tokens.map(|token| client(&mut world, &token));
    let clients: Vec<_> = (0..6).map(|n| client(&mut world, &format!("ann@tenant-{}", n % 3))).collect();
    create(&mut world, clients[2], "q", ALL);
    create(&mut world, unnamed[0], "q", ALL);
    let others = TenantUse::OTHERS.to_owned();
    assert_eq!(
        counted(&world),
        [("tenant-0".into(), 2, 0), ("tenant-1".into(), 2, 0), (others.clone(), 4, 2)]
    );
    // Whoever has a name keeps it.
    clients.iter().chain(&unnamed).for_each(|client| world.cut(*client));
    world.run_for(Duration::from_secs(60));
    client(&mut world, "ann@tenant-4");
    assert_eq!(counted(&world), [("tenant-0".into(), 0, 0), ("tenant-1".into(), 0, 0), (others, 1, 0)]);
    let steps: u64 = world.hub().stats().tenants.iter().map(|one| one.steps).sum();
    assert!(steps > 0);
}

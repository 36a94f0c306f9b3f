//! A connection says again who it is: what that changes is planned again, and nothing else; a few queries at a time, and nothing of them
//! is sent meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;

use liveset_core::Token;
use liveset_engine::SetDef;
use liveset_hub::{
    Access, HubConfig, Policy, Principal, Restriction,
    test_kit::{ClientId, World, upsert},
};
use serde_json::{Map, Value};

use crate::support::{client, create, messages, request, shown, types, world};

/// Of `orders` everybody sees the rows of their tenant, of `notes` all. Counts what it is asked.
struct Tenants(Arc<AtomicUsize>);

impl Policy for Tenants {
    fn may_subscribe(&self, _: &Principal, _: &str, _: &[Arc<str>]) -> bool {
        true
    }

    fn access(&self, who: &Principal, edge: &str) -> Access {
        self.0.fetch_add(1, Ordering::Relaxed);
        match (edge, who.claims.get("fired")) {
            ("orders", None) => Access::Part(Arc::new(Restriction::rows("tenant == $principal.tenant"))),
            ("notes", None) => Access::All,
            _ => Access::Nothing,
        }
    }

    fn may_write(&self, _: &Principal) -> bool {
        false
    }
}

/// Tokens are claims.
fn principal(token: &str) -> Principal {
    let claims: Map<String, Value> = serde_json::from_str(token).expect("an object");
    Principal { claims: Arc::new(claims), ..Principal::new("ann") }
}

const ACME: &str = r#"{"tenant":"acme"}"#;
const UMBRELLA: &str = r#"{"tenant":"umbrella"}"#;
const QUERIES: usize = 250;
const NOTES: usize = 10;

fn row(id: u32, tenant: &str, n: u32) -> liveset_engine::Op {
    upsert("orders", &format!(r#"{{"id":{id},"tenant":"{tenant}","n":{n}}}"#))
}

/// A client with many long queries over orders and a few over notes.
fn shop() -> (World, ClientId, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let policy = Box::new(Tenants(asked.clone()));
    let mut world = world(HubConfig { policy, ..HubConfig::default() });
    world.hub_mut().define_set(SetDef::new("notes")).expect("a set");
    world.set_authenticator(|token| Ok(principal(token)));
    let tenants = ["acme", "umbrella"];
    world.commit((0..20).map(|n| row(n, tenants[n as usize % 2], n)).collect()).expect("rows");
    let client = client(&mut world, ACME);
    for q in 0..QUERIES {
        let edge = if q < NOTES { "notes" } else { "orders" };
        let terms: Vec<String> = (0..50).map(|n| format!("n == {}", n * 1000 + q)).collect();
        let query = format!(r#"{{"edge":"{edge}","filter":"n < 100 or {}"}}"#, terms.join(" or "));
        world.session(client).create_live_query(request(&format!("q{q}"), &query));
    }
    world.settle();
    messages(&mut world, client);
    asked.store(0, Ordering::Relaxed);
    (world, client, asked)
}

fn say(world: &mut World, client: ClientId, token: &str) {
    world.session(client).authenticate(&Token::new(token));
}

/// Plans made, filters parsed.
fn work(world: &World) -> (u64, u64) {
    let stats = world.hub().stats();
    (stats.planned, stats.parsed)
}

/// What every query shows is what it shows to somebody new.
fn shows_what_it_should(world: &mut World, client: ClientId, token: &str) {
    let new = world.connect(token);
    world.settle();
    for (edge, q) in [("orders", NOTES), ("orders", QUERIES - 1), ("notes", 0)] {
        create(world, new, "q", &format!(r#"{{"edge":"{edge}","filter":"n < 100"}}"#));
        let expected = shown(world, new, "q");
        assert_eq!(shown(world, client, &format!("q{q}")), expected, "q{q}");
        world.session(new).destroy_live_query("q");
        world.settle();
    }
    world.cut(new);
    world.settle();
}

#[test]
fn the_same_principal_again_plans_nothing() {
    let (mut world, client, asked) = shop();
    let before = work(&world);
    for _ in 0..5 {
        say(&mut world, client, ACME);
        world.settle();
        assert_eq!(types(&mut world, client), ["authenticated"]);
    }
    assert_eq!(work(&world), before);
    assert_eq!(asked.load(Ordering::Relaxed), 5 * 2, "once for each set");
    // Nor does a reload after which everybody is who they were.
    let now = world.now();
    assert_eq!(world.hub_mut().reauthorize(now, |who| Some(who.clone())), 0);
    assert!(!world.hub().poll_timeout().is_due_already);
    assert_eq!(work(&world), before);
    // What was made of a row filter serves the next query too.
    create(&mut world, client, "new", r#"{"edge":"orders"}"#);
    assert_eq!(work(&world), (before.0 + 1, before.1), "it has no filter of its own");
    // Diffs still go past the sessions.
    world.set_room(1024 * 1024);
    let past = world.hub().stats().handed_past;
    world.commit(vec![row(0, "acme", 7)]).expect("a row");
    world.settle();
    assert_eq!(world.hub().stats().handed_past - past, (QUERIES - NOTES) as u64 + 1);
}

#[test]
fn other_claims_that_mean_the_same_plan_nothing() {
    let (mut world, client, _) = shop();
    let before = work(&world);
    say(&mut world, client, r#"{"tenant":"acme","session":"another"}"#);
    world.settle();
    assert_eq!(work(&world), (before.0, before.1 + 1), "the row filter is made once for the set");
}

#[test]
fn only_the_queries_of_a_set_that_is_seen_otherwise_are_planned_in_slices() {
    let (mut world, client, asked) = shop();
    let before = work(&world).0;
    let slice = Duration::from_millis(10);
    world.set_slice_time(slice..=slice);
    say(&mut world, client, UMBRELLA);
    world.run_for(Duration::from_millis(1));
    let at_once = work(&world).0 - before;
    assert!(at_once < 20, "{at_once} in one go");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    // Others have their turns, and what they do reaches nobody too early.
    let mut longest = 0;
    for n in 0..10 {
        let then = work(&world).0;
        world.run_for(slice);
        longest = longest.max(work(&world).0 - then);
        world.commit(vec![row(n, "acme", n + 50), row(n + 100, "umbrella", n)]).expect("rows");
    }
    assert!(longest > 0 && longest < 20, "{longest} in one go");
    assert!(world.hub().poll_timeout().is_due_already);
    let told = types(&mut world, client);
    assert_eq!(told, ["authenticated"], "nothing of any live query");
    world.settle();
    assert_eq!(work(&world).0 - before, (QUERIES - NOTES) as u64, "each once");
    assert!(!world.hub().poll_timeout().is_due_already);
    shows_what_it_should(&mut world, client, UMBRELLA);
    // And all of them go on.
    world.commit(vec![row(7, "umbrella", 3)]).expect("a row");
    world.settle();
    shows_what_it_should(&mut world, client, UMBRELLA);
}

#[test]
fn what_is_destroyed_asked_or_taken_back_meanwhile() {
    let (mut world, client, _) = shop();
    let before = work(&world).0;
    let slice = Duration::from_millis(10);
    world.set_slice_time(slice..=slice);
    say(&mut world, client, UMBRELLA);
    world.run_for(Duration::from_millis(1));
    world.session(client).destroy_live_query("q100");
    create(&mut world, client, "q100", r#"{"edge":"orders","filter":"n < 100"}"#);
    assert_eq!(work(&world).0 - before, (QUERIES - NOTES) as u64);
    shows_what_it_should(&mut world, client, UMBRELLA);

    // Back before it is over: what was planned is planned back, the rest stays.
    let before = work(&world).0;
    say(&mut world, client, ACME);
    world.run_for(Duration::from_millis(25));
    let planned = work(&world).0 - before;
    assert!(planned > 0 && planned < 100, "{planned}");
    say(&mut world, client, UMBRELLA);
    world.settle();
    assert_eq!(work(&world).0 - before, 2 * planned);
    shows_what_it_should(&mut world, client, UMBRELLA);

    // Gone in the middle of it.
    say(&mut world, client, ACME);
    world.run_for(Duration::from_millis(25));
    assert!(world.hub().poll_timeout().is_due_already);
    world.cut(client);
    world.run_for(Duration::from_millis(25));
    assert!(!world.hub().poll_timeout().is_due_already);
    assert_eq!(world.hub().stats().feeds, 0);
}

#[test]
fn who_may_see_nothing_any_more_is_told_at_once() {
    let (mut world, client, _) = shop();
    let before = work(&world).0;
    say(&mut world, client, r#"{"tenant":"acme","fired":true}"#);
    world.settle();
    let told = types(&mut world, client);
    assert_eq!(told.iter().filter(|kind| *kind == "error").count(), QUERIES);
    assert_eq!(work(&world).0, before);
    assert_eq!((world.hub().stats().feeds, world.hub().poll_timeout().is_due_already), (0, false));
}

/// Those that wait for their first result are answered with that of the new principal.
#[test]
fn first_results_that_were_under_way_are_made_for_the_new_principal() {
    let mut config = HubConfig { policy: Box::new(Tenants(Arc::default())), ..HubConfig::default() };
    config.engine.slice_rows = 16;
    let mut world = world(config);
    world.set_authenticator(|token| Ok(principal(token)));
    let tenants = ["acme", "umbrella"];
    world.commit((0..200).map(|n| row(n, tenants[n as usize % 2], n)).collect()).expect("rows");
    let client = client(&mut world, ACME);
    let slice = Duration::from_millis(10);
    world.set_slice_time(slice..=slice);
    for q in 0..20 {
        let query = format!(r#"{{"edge":"orders","filter":"n != {q}","limit":3}}"#);
        world.session(client).create_live_query(request(&format!("q{q}"), &query));
    }
    world.run_for(Duration::from_millis(1));
    say(&mut world, client, UMBRELLA);
    world.settle();
    for q in 0..20 {
        let shown = shown(&mut world, client, &format!("q{q}"));
        assert_eq!(shown.len(), 3);
        assert!(shown.iter().all(|id| id.parse::<u32>().expect("a number") % 2 == 1), "{q}: {shown:?}");
    }
    assert_eq!(world.hub().stats().waiting, 0);
}

//! A live query over many nodes is answered when its result is there; everything else goes on meanwhile.

use std::{sync::Arc, time::Duration};

use liveset_core::{CloseCode, LiveResult, Query, Token};
use liveset_engine::{EngineLimits, Tuning};
use liveset_hub::{
    Access, AllowAll, HubConfig, LiveUpdate, Policy, Principal,
    test_kit::{ClientId, World},
};

use crate::support::{client, messages, order, orders, request, shown, types, world};

const QUERY: &str = r#"{"edge":"orders","filter":"total != 7","orderBy":"total","limit":5}"#;
/// What a slice takes.
const SLICE: Duration = Duration::from_millis(10);

fn config() -> HubConfig {
    let tuning = Tuning { small_slices: true, ..Tuning::default() };
    let engine = EngineLimits::default().slice_rows(10).tuning(tuning);
    HubConfig { engine, ..HubConfig::default() }
}

/// A hundred orders, ten slices.
fn slow_world(config: HubConfig) -> World {
    let mut world = world(config);
    world.set_slice_time(SLICE..=SLICE);
    world.commit(orders(100)).unwrap();
    world.settle();
    world
}

fn ask(world: &mut World, client: ClientId, from: Option<LiveResult>) {
    let mut wanted = request("q", QUERY);
    wanted.options.resume = true;
    wanted.resume_from = from;
    world.session(client).create_live_query(wanted);
    world.run_for(SLICE * 2);
    assert_eq!(types(world, client), [""; 0], "it waits");
    let stats = world.hub().stats();
    assert_eq!((stats.live_queries, stats.waiting), (1, 1));
}

fn nothing_is_left(world: &mut World) {
    world.settle();
    let stats = world.hub().stats();
    assert_eq!((stats.live_queries, stats.waiting, stats.feeds, stats.engine.views), (0, 0, 0, 0));
    assert!(!world.hub().poll_timeout().is_due_already);
}

#[test]
fn the_answer_has_all_that_was_committed_meanwhile() {
    let mut world = slow_world(config());
    let client = client(&mut world, "a");
    ask(&mut world, client, None);
    world.commit(vec![order(3, 1_000), order(50, 0)]).unwrap();
    world.run_for(SLICE);
    world.commit(vec![order(99, 1), order(51, 2)]).unwrap();
    world.settle();
    assert_eq!(types(&mut world, client), ["liveQueryCreated", "liveQueryData"]);
    assert_eq!(shown(&mut world, client, "q"), ["0", "1", "2", "50", "99"].map(String::from));
    world.commit(vec![order(50, 1_000)]).unwrap();
    world.settle();
    assert_eq!(types(&mut world, client), ["liveQueryRemovedNode", "liveQueryAddedNode"]);
}

#[test]
fn one_who_joins_waits_with_the_others() {
    let mut world = slow_world(config());
    let (a, b) = (client(&mut world, "a"), client(&mut world, "b"));
    ask(&mut world, a, None);
    let now = world.now();
    let query = Query::parse(QUERY.as_bytes()).unwrap();
    let watch = world.hub_mut().watch(now, &query).unwrap();
    assert!(world.hub_mut().poll_watch(watch).is_none());
    world.session(b).create_live_query(request("q", QUERY));
    world.run_for(Duration::ZERO);
    assert_eq!(world.hub().stats().waiting, 3);
    world.settle();
    assert_eq!(world.hub().stats().waiting, 0);
    for client in [a, b] {
        assert_eq!(types(&mut world, client), ["liveQueryCreated", "liveQueryData"]);
    }
    assert_eq!(world.take_watches(), [watch]);
    let first = world.hub_mut().poll_watch(watch);
    assert!(matches!(first, Some(LiveUpdate::Snapshot(snapshot)) if snapshot.count.total == 99));
}

#[test]
fn destroyed_while_it_waits() {
    let mut world = slow_world(config());
    let client = client(&mut world, "a");
    ask(&mut world, client, None);
    world.session(client).destroy_live_query("q");
    world.settle();
    // Every request is answered, in order; no row follows the end.
    assert_eq!(types(&mut world, client), ["liveQueryCreated", "liveQueryDestroyed"]);
    nothing_is_left(&mut world);
}

#[test]
fn unwatched_while_it_waits() {
    let mut world = slow_world(config());
    let now = world.now();
    let query = Query::parse(QUERY.as_bytes()).unwrap();
    let watch = world.hub_mut().watch(now, &query).unwrap();
    assert_eq!(world.hub().stats().waiting, 1);
    world.hub_mut().unwatch(watch);
    nothing_is_left(&mut world);
    assert!(world.take_watches().is_empty());
}

#[test]
fn a_connection_that_goes_leaves_nothing_that_lingers() {
    let mut world = slow_world(config());
    let client = client(&mut world, "a");
    ask(&mut world, client, None);
    world.cut(client);
    nothing_is_left(&mut world);
}

#[test]
fn nothing_happened_since_the_version_that_it_resumes_from() {
    let mut world = slow_world(config());
    let client = client(&mut world, "a");
    ask(&mut world, client, None);
    world.settle();
    let result = world.session(client).live_query("q").unwrap().clone();
    world.cut(client);
    // The hub has forgotten the query; the version is still the present one.
    world.run_for(Duration::from_secs(100));
    world.reconnect(client, "a");
    world.run_for(Duration::ZERO);
    messages(&mut world, client);
    ask(&mut world, client, Some(result));
    world.settle();
    assert_eq!(types(&mut world, client), ["liveQueryResumed"]);
}

struct OnlyWide;

impl Policy for OnlyWide {
    fn may_subscribe(&self, who: &Principal, path: &str, events: &[Arc<str>]) -> bool {
        AllowAll.may_subscribe(who, path, events)
    }

    fn may_query(&self, who: &Principal, _: &Query) -> bool {
        &*who.subject == "wide"
    }

    fn access(&self, _: &Principal, _: &str) -> Access {
        Access::All
    }

    fn may_write(&self, who: &Principal) -> bool {
        AllowAll.may_write(who)
    }
}

#[test]
fn forbidden_while_it_waits() {
    let mut world = slow_world(HubConfig { policy: Box::new(OnlyWide), ..config() });
    let client = client(&mut world, "wide");
    ask(&mut world, client, None);
    world.session(client).authenticate(&Token::new("narrow"));
    world.settle();
    assert_eq!(types(&mut world, client), ["authenticated", "error"]);
    nothing_is_left(&mut world);
}

#[test]
fn shut_down_while_it_waits() {
    let mut world = slow_world(config());
    let client = client(&mut world, "a");
    ask(&mut world, client, None);
    let now = world.now();
    world.hub_mut().shutdown(now);
    nothing_is_left(&mut world);
}

/// A policy with a fault.
struct Bomb;

impl Policy for Bomb {
    fn may_subscribe(&self, _: &Principal, _: &str, _: &[Arc<str>]) -> bool {
        true
    }

    fn may_query(&self, _: &Principal, query: &Query) -> bool {
        assert_ne!(query.order_by.as_deref(), Some("bomb"), "boom");
        true
    }

    fn access(&self, _: &Principal, _: &str) -> Access {
        Access::All
    }

    fn may_write(&self, _: &Principal) -> bool {
        true
    }
}

/// The answer lets a request go that was held until then, over which the policy panics: at a time when somebody else's input is at
/// work.
#[test]
fn a_policy_that_panics_over_what_was_held_harms_only_its_own_connection() {
    let mut world = slow_world(HubConfig { policy: Box::new(Bomb), ..config() });
    let (a, b) = (client(&mut world, "a"), client(&mut world, "b"));
    ask(&mut world, a, None);
    world.session(a).destroy_live_query("q");
    world.session(a).create_live_query(request("q", r#"{"edge":"orders","orderBy":"bomb"}"#));
    world.session(b).create_live_query(request("q", r#"{"edge":"orders","limit":1}"#));
    world.settle();
    assert_eq!(world.close_code(a), Some(CloseCode::Internal));
    assert_eq!(
        messages(&mut world, a).last().map(|message| message["code"].clone()),
        Some("INTERNAL".into())
    );
    assert_eq!(shown(&mut world, b, "q"), ["0"]);
    let stats = world.hub().stats();
    assert_eq!((stats.live_queries, stats.waiting, stats.feeds), (1, 0, 1));
}

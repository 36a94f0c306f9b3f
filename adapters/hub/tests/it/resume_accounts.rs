//! What is remembered for clients that resume is on their subject's account, and is given up when keeping it costs more than making it
//! again.

use liveset_hub::{
    HubConfig, HubLimits,
    test_kit::{ClientId, World},
};

use crate::support::{client, messages, order, orders, request, types, world};

fn ask(world: &mut World, client: ClientId, id: &str, filter: &str) {
    let mut wanted = request(id, &format!(r#"{{"edge":"orders","filter":"{filter}","limit":5}}"#));
    wanted.options.resume = true;
    world.session(client).create_live_query(wanted);
}

fn with(hub: HubLimits) -> HubConfig {
    HubConfig { hub, ..HubConfig::default() }
}

/// 240 queries that no index finds, left behind by somebody who hangs up; five times.
#[test]
fn queries_that_are_left_behind_do_not_cost_later_commits() {
    const ROWS: u32 = 50;
    let mut world = world(HubConfig::default());
    world.commit(orders(ROWS)).expect("rows");
    for round in 0..5 {
        let hostile = client(&mut world, "hostile");
        for q in 0..240 {
            ask(&mut world, hostile, &format!("q{q}"), &format!("total != {}", 1_000 + round * 1_000 + q));
        }
        world.settle();
        world.cut(hostile);
        world.settle();
    }
    let stats = world.hub().stats();
    assert_eq!((stats.feeds, stats.lingering_feeds), (128, 128), "an eighth of what all may leave");
    // Another subject's query of the same kind is served.
    let other = client(&mut world, "other");
    ask(&mut world, other, "q", "total != 5");
    world.settle();
    assert_eq!(types(&mut world, other)[0], "liveQueryCreated");

    // At once, or put off.
    let tried = |world: &World| {
        let stats = world.hub().stats().engine;
        stats.candidates_scanned + stats.fell_behind
    };
    let before = tried(&world);
    for n in 0..ROWS {
        world.commit(vec![order(n, n + 100)]).expect("a row");
        world.settle();
    }
    // The last row is not tried on those that are given up with it.
    let (all, last) = (u64::from(ROWS) * 129, tried(&world) - before);
    assert!((all - 128..=all).contains(&last), "each was tried as often as it has rows: {last} of {all}");
    let stats = world.hub().stats();
    assert_eq!((stats.feeds, stats.lingering_feeds, stats.given_up), (1, 0, 128));
    let before = tried(&world);
    world.commit(vec![order(0, 5)]).expect("a row");
    assert_eq!(tried(&world) - before, 1);
    world.settle();
}

#[test]
fn what_somebody_watches_or_an_index_finds_is_not_given_up() {
    let mut world = world(HubConfig::default());
    world.commit(orders(10)).expect("rows");
    let (a, b) = (client(&mut world, "a"), client(&mut world, "b"));
    for (client, id, filter) in [
        (a, "shared", "total != 5"),
        (b, "shared", "total != 5"),
        (a, "found", "total == 5"),
        (a, "alone", "total != 6"),
    ] {
        ask(&mut world, client, id, filter);
    }
    world.settle();
    world.cut(a);
    world.settle();
    for n in 0..30 {
        world.commit(vec![order(n % 10, n)]).expect("a row");
        world.settle();
    }
    let stats = world.hub().stats();
    assert_eq!((stats.feeds, stats.given_up), (2, 1), "the one that nobody watches and no index finds");

    // Watched again before its time: it has all of its time again.
    world.cut(b);
    world.settle();
    for n in 0..9 {
        world.commit(vec![order(n, n + 50)]).expect("a row");
    }
    let c = client(&mut world, "c");
    ask(&mut world, c, "shared", "total != 5");
    world.settle();
    for n in 0..30 {
        world.commit(vec![order(n % 10, n + 70)]).expect("a row");
        world.settle();
    }
    assert_eq!(world.hub().stats().given_up, 1);
    world.cut(c);
    world.settle();
    for n in 0..10 {
        assert_eq!(world.hub().stats().given_up, 1);
        world.commit(vec![order(n, n + 500)]).expect("a row");
    }
    assert_eq!(world.hub().stats().given_up, 2);
}

#[test]
fn changes_of_another_set_do_not_count() {
    let mut world = world(HubConfig::default());
    world.hub_mut().define_set(liveset_engine::SetDef::new("notes")).expect("a set");
    world.commit(orders(10)).expect("rows");
    let a = client(&mut world, "a");
    ask(&mut world, a, "q", "total != 5");
    world.settle();
    world.cut(a);
    world.settle();
    for n in 0..100 {
        let note = liveset_hub::test_kit::upsert("notes", &format!(r#"{{"id":{n}}}"#));
        world.commit(vec![note]).expect("a row");
    }
    assert_eq!(world.hub().stats().lingering_feeds, 1);
    world.commit(orders(20)).expect("rows");
    assert_eq!(world.hub().stats().lingering_feeds, 0, "as many as there were, and as many again");
}

#[test]
fn one_subject_ends_its_own_that_would_end_first() {
    for limit in [0, 1, 2] {
        let hub = HubLimits::default().resume_linger_feeds_per_subject(limit).resume_linger_feeds(4);
        let mut world = world(with(hub));
        world.commit(orders(10)).expect("rows");
        let honest = client(&mut world, "honest");
        ask(&mut world, honest, "q", "total == 0");
        world.settle();
        let result = world.session(honest).live_query("q").expect("it is there").clone();
        world.cut(honest);
        world.settle();
        for q in 1..9 {
            let hostile = client(&mut world, "hostile");
            ask(&mut world, hostile, "q", &format!("total == {q}"));
            world.settle();
            world.cut(hostile);
            world.settle();
        }
        assert_eq!(world.hub().stats().lingering_feeds, limit + limit.min(1));
        world.reconnect(honest, "honest");
        let mut wanted = request("q", r#"{"edge":"orders","filter":"total == 0","limit":5}"#);
        wanted.options.resume = true;
        wanted.resume_from = Some(result);
        world.session(honest).create_live_query(wanted);
        world.settle();
        let expected = if limit == 0 { "liveQueryCreated" } else { "liveQueryResumed" };
        assert!(types(&mut world, honest).iter().any(|kind| kind == expected), "{limit}");
    }
}

/// A log counts for each subject that it is kept for; one who has used up their share takes nothing from others who have room.
#[test]
fn logs_are_on_the_account_of_their_subject() {
    let hub = HubLimits::default().resume_log_changes_per_subject(10);
    let mut world = world(with(hub));
    world.commit(orders(4)).expect("rows");
    let (greedy, modest) = (client(&mut world, "greedy"), client(&mut world, "modest"));
    for q in 0..4 {
        ask(&mut world, greedy, &format!("q{q}"), &format!("total >= 0 and id == {q}"));
    }
    ask(&mut world, modest, "q", "total >= 0 and id == 3");
    world.settle();
    for n in 0..20 {
        world.commit((0..4).map(|id| order(id, n + id + 1)).collect()).expect("rows");
        world.settle();
    }
    // The one that both have is kept as long as the modest one has room, and uses up the share of the other one.
    assert_eq!(world.hub().stats().resume_log_changes, 10);
    world.session(modest).destroy_live_query("q");
    world.settle();
    for n in 0..20 {
        world.commit((0..4).map(|id| order(id, n + id + 100)).collect()).expect("rows");
        world.settle();
    }
    assert!(world.hub().stats().resume_log_changes <= 10, "{}", world.hub().stats().resume_log_changes);
    messages(&mut world, greedy);
    world.cut(greedy);
    world.run_for(std::time::Duration::from_secs(61));
    let stats = world.hub().stats();
    assert_eq!((stats.resume_log_changes, stats.resume_log_bytes, stats.feeds), (0, 0, 0));
}

#[test]
fn what_more_than_eight_subjects_wait_for_is_on_nobodys_account() {
    let hub = HubLimits::default().resume_log_changes_per_subject(2);
    let mut world = world(with(hub));
    world.commit(orders(1)).expect("rows");
    let clients: Vec<_> = (0..9).map(|n| client(&mut world, &format!("c{n}"))).collect();
    for client in &clients {
        ask(&mut world, *client, "q", "total >= 0");
    }
    world.settle();
    let change = |world: &mut World, from: u32| {
        for n in 0..6 {
            world.commit(vec![order(0, from + n)]).expect("a row");
            world.settle();
        }
    };
    change(&mut world, 1);
    assert_eq!(world.hub().stats().resume_log_changes, 6);
    world.session(clients[8]).destroy_live_query("q");
    world.settle();
    change(&mut world, 10);
    assert_eq!(world.hub().stats().resume_log_changes, 2);
}

#[test]
fn an_account_follows_the_connection_to_another_subject() {
    let hub = HubLimits::default().resume_log_changes_per_subject(2);
    let mut world = world(with(hub));
    world.commit(orders(2)).expect("rows");
    let a = client(&mut world, "a");
    ask(&mut world, a, "q", "id == 0");
    world.settle();
    world.commit(vec![order(0, 7)]).expect("a row");
    world.commit(vec![order(0, 8)]).expect("a row");
    world.session(a).authenticate(&liveset_core::Token::new("b"));
    world.settle();
    // The first one has room again, the second one none.
    let other = client(&mut world, "a");
    ask(&mut world, other, "q", "id == 1");
    ask(&mut world, a, "r", "id == 1 and total > 0");
    world.settle();
    for n in 0..4 {
        world.commit(vec![order(1, n + 10)]).expect("a row");
    }
    world.settle();
    assert_eq!(world.hub().stats().resume_log_changes, 2 + 2);
    world.cut(a);
    world.cut(other);
    world.run_for(std::time::Duration::from_secs(61));
    assert_eq!(world.hub().stats().resume_log_changes, 0);
}

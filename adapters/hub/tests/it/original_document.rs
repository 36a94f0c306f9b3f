//! "A client that asks for nothing sees no new message and no new field", whatever others ask for next to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fastrand::Rng;
use liveset_core::{
    AuthOptions, LiveQueryOptions, LiveQueryRequest, SessionLimits, SetStatus, SubscriptionSpec, Token,
};
use liveset_engine::SetDef;
use liveset_hub::{
    HubConfig, SourceId,
    test_kit::{ClientId, Frame, World, remove, upsert},
};
use serde_json::Value;

use crate::support::{pick, request};

/// The messages of the original document, with their fields. Those behind the bar may be missing.
const MESSAGES: [&str; 13] = [
    "authenticated | requestId",
    "ping",
    "subscribedEvents subscriptions requestId",
    "unsubscribedEvents ids requestId",
    "event subscriptionIds eventType path data timestamp",
    "warning code message subscriptionId",
    "liveQueryCreated id totalCount capped | requestId",
    "liveQueryData id data hasMore capped",
    "liveQueryAddedNode id nodeId data",
    "liveQueryUpdatedNode id nodeId data",
    "liveQueryRemovedNode id nodeId",
    "liveQueryDestroyed id | requestId",
    "error code message | requestId id",
];

const QUERIES: [&str; 4] = [
    r#"{"edge":"orders"}"#,
    r#"{"edge":"orders","filter":"n > 5","orderBy":"n desc","limit":3}"#,
    r#"{"edge":"orders","filter":"at > now - 5 minutes","orderBy":"at"}"#,
    r#"{"edge":"orders","filter":"n > 2","node":{"fields":["n"]},"limit":0}"#,
];

#[test]
fn a_client_from_the_original_document_sees_no_new_message_and_no_new_field() {
    let fields = |message: &str| -> (String, (BTreeSet<String>, BTreeSet<String>)) {
        let (always, sometimes) = message.split_once('|').unwrap_or((message, ""));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (mut always, sometimes) = (words(always), words(sometimes));
        let kind = always.remove(0);
        always.push("type".to_owned());
        let all = always.iter().chain(&sometimes).cloned().collect();
        (kind, (always.into_iter().collect(), all))
    };
    let known: BTreeMap<_, _> = MESSAGES.into_iter().map(fields).collect();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..6 {
        live(seed, |message| {
            let kind = message["type"].as_str().unwrap().to_owned();
            let has: BTreeSet<String> = message.as_object().unwrap().keys().cloned().collect();
            let (least, most) = known.get(&kind).unwrap_or_else(|| panic!("{message}"));
            assert!(least.is_subset(&has) && has.is_subset(most), "{message}");
            *seen.entry(kind).or_default() += 1;
        });
    }
    let unseen: Vec<_> = known.keys().filter(|kind| !seen.contains_key(*kind)).collect();
    assert!(unseen.is_empty(), "nothing is said of {unseen:?}: {seen:?}");
}

/// A life of such a client, next to one that asks for everything.
fn live(seed: u64, mut see: impl FnMut(&Value)) {
    let mut r = Rng::with_seed(seed);
    let session = SessionLimits::default().event_queue(2).backlog_changes(4).chunk_rows(3);
    let session = session.messages_per_second(1_000_000).message_burst(1_000_000);
    let mut world = World::new(seed, HubConfig { session, ..HubConfig::default() });
    world.hub_mut().define_set(SetDef::new("orders")).unwrap();
    world.set_room(2_000);
    let now = world.now();
    world.hub_mut().set_status(now, "orders", SetStatus::Loading).unwrap();

    world.set_auth_options(AuthOptions { commits: true });
    let other = world.connect("other");
    world.set_auth_options(AuthOptions::default());
    let plain = world.connect("plain");
    world.record(plain);
    world.settle();
    let mut position = String::new();
    let mut names = 0;
    for _ in 0..400 {
        match r.usize(..22) {
            0..=6 => {
                let id = r.usize(..15);
                let op = match r.u8(..4) {
                    0 => remove("orders", &id.to_string()),
                    _ => {
                        let n = r.usize(..12);
                        upsert("orders", &format!(r#"{{"id":{id},"n":{n},"at":"2024-01-01T00:{n:02}:00Z"}}"#))
                    }
                };
                let committed = world.commit(vec![op]).unwrap();
                position = world.hub().position_at(SourceId::OWN, committed.version).to_string();
            }
            7..=9 => {
                let query = *pick(&mut r, &QUERIES);
                let id = r.usize(..6);
                world.session(plain).create_live_query(request(&format!("q{id}"), query));
                names += 1;
                let everything = LiveQueryOptions {
                    positions: true,
                    counts: true,
                    reasons: true,
                    resume: true,
                    status: true,
                    hints: true,
                };
                let wanted = request(&format!("o{names}"), query);
                world.session(other).create_live_query(LiveQueryRequest { options: everything, ..wanted });
                world.session(other).await_position(&*position);
            }
            10 => {
                let id = format!("q{}", r.usize(..6));
                world.session(plain).destroy_live_query(&id);
            }
            11 => {
                let events = vec!["jobCompleted".into()];
                let spec = SubscriptionSpec { id: "s".into(), path: "jobs".into(), events };
                world.session(plain).subscribe(vec![spec]);
            }
            12 => drop(world.session(plain).unsubscribe(["s"])),
            13..=14 => {
                let now = world.now();
                world.hub_mut().publish(now, "jobs/7", "jobCompleted", "{}".into(), None).unwrap();
            }
            15 => {
                let stale = SetStatus::Stale { since: "2024-01-01T00:00:00Z".into() };
                let status = if r.bool() { stale } else { SetStatus::Live };
                let now = world.now();
                world.hub_mut().set_status(now, "orders", status).unwrap();
            }
            16 => world.stall(plain),
            17..=18 => world.unstall(plain),
            19 => drop(world.session(plain).authenticate(&Token::new("plain"))),
            20 => world.run_for(Duration::from_secs(r.u64(..20))),
            _ => world.settle(),
        }
        take(&mut world, plain, &mut see);
    }
    world.unstall(plain);
    world.run_for(Duration::from_secs(40));
    take(&mut world, plain, &mut see);
}

fn take(world: &mut World, client: ClientId, see: &mut impl FnMut(&Value)) {
    world.take_events(client);
    for frame in world.take_record(client) {
        if let Frame::Text(text) = frame {
            let message: Value = serde_json::from_str(&text).unwrap();
            see(&message);
        }
    }
}

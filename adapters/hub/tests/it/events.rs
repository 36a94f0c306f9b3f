//! Events reach the subscriptions of their path and of its declared ancestors; what is lost is counted.

use liveset_core::{SessionLimits, SubscriptionSpec};
use liveset_hub::{
    HubConfig, HubLimits, PublishError,
    test_kit::{ClientId, World},
};
use serde_json::{Value, json};

use crate::support::{client, messages, types, world};

fn subscription(id: &str, path: &str, events: &[&str]) -> SubscriptionSpec {
    SubscriptionSpec {
        id: id.into(),
        path: path.into(),
        events: events.iter().map(|e| (*e).into()).collect(),
    }
}

fn publish(world: &mut World, path: &str, event: &str, data: &str) -> Result<usize, PublishError> {
    let now = world.now();
    world.hub_mut().publish(now, path, event, data.to_owned().into(), None)
}

fn got(world: &mut World, client: ClientId) -> Vec<(Value, Value)> {
    world.settle();
    let messages = messages(world, client);
    messages.iter().map(|m| (m["path"].clone(), m["subscriptionIds"].clone())).collect()
}

#[test]
fn ancestors_are_reached_and_siblings_are_not() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    let paths = ["actors", "actors/orders", "actors/orders/1", "actors/orders/2", "actors/skus"];
    let all = paths.map(|path| subscription(path, path, &["actorCheckpoint"]));
    world.session(client).subscribe(all.to_vec());
    world.settle();
    messages(&mut world, client);

    assert_eq!(publish(&mut world, "actors/orders/1", "actorCheckpoint", "{}").unwrap(), 3);
    let expected = ["actors/orders/1", "actors/orders", "actors"].map(|path| (json!(path), json!([path])));
    let mut arrived = got(&mut world, client);
    arrived.sort_by_key(|(path, _)| std::cmp::Reverse(path.as_str().map(str::len)));
    assert_eq!(arrived, expected);

    assert_eq!(publish(&mut world, "actors/orders", "actorCheckpoint", "{}").unwrap(), 2);
    assert_eq!(publish(&mut world, "jobs/1", "jobFailed", "{}").unwrap(), 0);
}

#[test]
fn one_message_for_each_path_names_every_subscription_that_wants_it() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    world.session(client).subscribe(vec![
        subscription("failed", "jobs", &["jobFailed"]),
        subscription("both", "jobs", &["jobFailed", "jobStarted"]),
        subscription("started", "jobs", &["jobStarted"]),
    ]);
    world.settle();
    messages(&mut world, client);
    assert_eq!(publish(&mut world, "jobs/7", "jobFailed", r#"{"n":1}"#).unwrap(), 2);
    world.settle();
    assert_eq!(
        messages(&mut world, client),
        [
            json!({ "type": "event", "subscriptionIds": ["failed", "both"], "eventType": "jobFailed", "path": "jobs",
            "data": { "n": 1 }, "timestamp": "2024-01-01T00:00:00.000Z" })
        ]
    );
    world.session(client).unsubscribe(["both"]);
    world.settle();
    assert_eq!(publish(&mut world, "jobs/7", "jobFailed", "1").unwrap(), 1);
    world.session(client).unsubscribe(["failed", "started"]);
    world.settle();
    assert_eq!(publish(&mut world, "jobs/7", "jobFailed", "1").unwrap(), 0);
    assert_eq!(world.hub().stats().subscribed_paths, 0);
}

#[test]
fn subscribing_is_all_or_nothing_and_names_the_first_bad_one() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    let good = subscription("good", "jobs", &["jobFailed"]);
    let cases = [
        (
            subscription("x", "invalid/path", &["jobFailed"]),
            "INVALID_PATH",
            "Unknown resource path: invalid/path",
        ),
        (subscription("x", "jobs/", &["jobFailed"]), "INVALID_PATH", "Unknown resource path: jobs/"),
        (
            subscription("x", "job-definitions", &["jobStatistics", "jobFailed"]),
            "INVALID_EVENT",
            "Unknown event type 'jobFailed' for path 'job-definitions'; it has jobStatistics",
        ),
    ];
    for (bad, code, message) in cases {
        world.session(client).subscribe(vec![good.clone(), bad]);
        world.settle();
        let errors = messages(&mut world, client);
        assert_eq!(errors.len(), 1);
        assert_eq!(
            (&errors[0]["code"], &errors[0]["message"], &errors[0]["id"]),
            (&json!(code), &json!(message), &json!("x"))
        );
        assert_eq!(world.hub().stats().subscriptions, 0);
    }
}

#[test]
fn what_is_not_declared_or_not_json_is_not_published() {
    let mut world = world(HubConfig::default());
    assert_eq!(
        publish(&mut world, "invalid/path", "jobFailed", "1").unwrap_err().to_string(),
        "Unknown resource path: invalid/path"
    );
    assert!(matches!(publish(&mut world, "jobs", "x", "1"), Err(PublishError::Resource(_))));
    for data in [
        "",
        "{",
        "1 2",
        "nope",
        "{\"a\":1}x",
        r#"{"a":1,"\u0061":2}"#,
        "[1e400]",
        "18446744073709551616",
        r#""\ud800""#,
    ] {
        assert!(
            matches!(publish(&mut world, "jobs", "jobFailed", data), Err(PublishError::Data(_))),
            "{data}"
        );
    }
    assert_eq!(publish(&mut world, "jobs", "jobFailed", "null").unwrap(), 0);
}

#[test]
fn data_larger_than_the_limit_is_not_published() {
    for limit in [0, 1, 1024 * 1024] {
        let hub = HubLimits::default().event_data_bytes(limit);
        let mut world = world(HubConfig { hub, ..HubConfig::default() });
        let number = |digits: usize| format!("{}1", " ".repeat(digits.saturating_sub(1)));
        if limit > 0 {
            assert_eq!(publish(&mut world, "jobs", "jobFailed", &number(limit)).unwrap(), 0);
        }
        let error = publish(&mut world, "jobs", "jobFailed", &number(limit + 1)).unwrap_err();
        assert!(
            matches!(error, PublishError::TooLarge { bytes, max } if (bytes, max) == (limit + 1, limit)),
            "{error}"
        );
        assert_eq!(world.hub().stats().events, u64::from(limit > 0));
    }
}

#[test]
fn a_path_that_is_too_long_is_not_subscribed_to() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    let path = |bytes: usize| format!("jobs/{}", "x".repeat(bytes - "jobs/".len()));
    for (bytes, expected) in [(513, "error"), (512, "subscribedEvents")] {
        world.session(client).subscribe(vec![subscription("s", &path(bytes), &["jobFailed"])]);
        world.settle();
        assert_eq!(types(&mut world, client), [expected], "{bytes}");
    }
    assert_eq!(world.hub().stats().subscribed_paths, 1);
}

#[test]
fn data_nested_deeper_than_a_node_may_be_is_not_published() {
    let mut world = world(HubConfig::default());
    let client = client(&mut world, "a");
    world.session(client).subscribe(vec![subscription("s", "jobs", &["jobFailed"])]);
    world.settle();
    messages(&mut world, client);
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(publish(&mut world, "jobs", "jobFailed", &nested(64)).unwrap(), 1);
    for depth in [65, 500_000] {
        assert_eq!(
            publish(&mut world, "jobs", "jobFailed", &nested(depth))
                .unwrap_err()
                .to_string()
                .split(" at ")
                .next(),
            Some("the data of an event is refused: arrays and objects nested deeper than 64")
        );
    }
    // Brackets in texts are no nesting, and closed ones do not add up.
    let flat = format!(r#"{{"a\"{b}":["\\","{b}"{}]}}"#, ",[{}]".repeat(100), b = "[".repeat(100));
    assert_eq!(publish(&mut world, "jobs", "jobFailed", &flat).unwrap(), 1);
    world.settle();
    assert_eq!(messages(&mut world, client).len(), 2);
}

#[test]
fn overflow_is_counted_exactly_for_each_subscription() {
    for queue in [1, 2, 10] {
        let session = SessionLimits::default().event_queue(queue);
        let mut world = world(HubConfig { session, ..HubConfig::default() });
        world.set_room(1);
        let client = client(&mut world, "a");
        world.session(client).subscribe(vec![
            subscription("all", "jobs", &["jobFailed", "jobStarted"]),
            subscription("failed", "jobs", &["jobFailed"]),
            subscription("seven", "jobs/7", &["jobFailed"]),
        ]);
        world.settle();
        messages(&mut world, client);
        world.stall(client);
        let (mut published, mut failed) = (0, 0);
        for n in 0..57 {
            let event = if n % 3 == 0 { "jobStarted" } else { "jobFailed" };
            publish(&mut world, "jobs/7", event, &n.to_string()).unwrap();
            published += 1;
            failed += u32::from(n % 3 != 0);
            world.settle();
        }
        world.unstall(client);
        world.settle();
        let messages = messages(&mut world, client);
        for (id, published) in [("all", published), ("failed", failed), ("seven", failed)] {
            let mut received: Vec<u64> = Vec::new();
            let mut dropped = 0;
            for message in &messages {
                if message["subscriptionId"] == id {
                    let text = message["message"].as_str().unwrap();
                    let count: u32 = text.split(' ').next().unwrap().parse().unwrap();
                    assert_eq!(
                        text,
                        format!("{count} events dropped for subscription '{id}' due to slow consumption")
                    );
                    dropped += count;
                } else if message["subscriptionIds"].as_array().is_some_and(|ids| ids.contains(&json!(id))) {
                    received.push(message["data"].as_u64().unwrap());
                }
            }
            assert_eq!(received.len() as u32 + dropped, published, "{id} with a queue of {queue}");
            assert!(received.is_sorted(), "in publish order");
            assert!(dropped > 0 && received.len() >= queue, "{id} with a queue of {queue}: {received:?}");
        }
    }
}

#[test]
fn a_slow_connection_does_not_slow_the_others() {
    let mut world = world(HubConfig::default());
    let (slow, quick) = (client(&mut world, "a"), client(&mut world, "b"));
    for client in [slow, quick] {
        world.session(client).subscribe(vec![subscription("s", "jobs", &["jobFailed"])]);
    }
    world.settle();
    world.stall(slow);
    for n in 0..2_000 {
        publish(&mut world, "jobs", "jobFailed", &n.to_string()).unwrap();
        world.settle();
    }
    let types = types(&mut world, quick);
    assert_eq!(types.iter().filter(|kind| *kind == "event").count(), 2_000);
}

//! "One event is **one** message per distinct subscribed path on a connection: `path` is the path as subscribed, and
//! `subscriptionIds` lists every subscription of that connection on that path that wants the type." "Delivery is best
//! effort and in publish order."

use liveset_core::SessionLimits;

use crate::util::*;

#[test]
fn one_message_for_all_subscriptions_of_a_path() {
    let mut server = Server::active(SessionLimits::default());
    server.subscribe("z", "jobs", &["jobStarted", "jobFailed"]);
    server.subscribe("a", "jobs", &["jobStarted"]);
    server.subscribe("o", "jobs", &["jobFailed"]);
    server.subscribe("p", "jobs/7", &["jobStarted"]);
    assert_eq!(server.session.deliver("jobs", &event("jobStarted", 5)), 2);
    assert_eq!(server.session.deliver("jobs/7", &event("jobStarted", 5)), 1);
    assert_eq!(server.session.deliver("jobs", &event("other", 5)), 0);
    assert_eq!(server.session.deliver("jobs/8", &event("jobStarted", 5)), 0);
    assert_eq!(
        server.texts(),
        [
            r#"{"type":"event","subscriptionIds":["z","a"],"eventType":"jobStarted","path":"jobs","data":5,"timestamp":"2025-12-07T21:45:05.000Z"}"#,
            r#"{"type":"event","subscriptionIds":["p"],"eventType":"jobStarted","path":"jobs/7","data":5,"timestamp":"2025-12-07T21:45:05.000Z"}"#,
        ]
    );
}

#[test]
fn they_come_in_publish_order() {
    let mut server = Server::active(SessionLimits::default());
    server.subscribe("a", "jobs", &["x", "y"]);
    server.subscribe("b", "actors", &["x"]);
    for number in 0..50 {
        let (path, kind) = [("jobs", "x"), ("actors", "x"), ("jobs", "y")][number % 3];
        server.session.deliver(path, &event(kind, number as u64));
    }
    let texts = server.texts();
    assert_eq!(texts.len(), 50);
    for (number, text) in texts.iter().enumerate() {
        assert!(text.contains(&format!(r#""data":{number},"#)));
    }
}

#[test]
fn a_subscription_takes_effect_with_its_answer() {
    let mut server = Server::active(SessionLimits::default());
    server.send(r#"{"type":"subscribeEvents","subscriptions":[{"id":"a","path":"jobs","events":["x"]}]}"#);
    assert_eq!(server.session.deliver("jobs", &event("x", 1)), 0);
    server.accept_subscriptions();
    assert_eq!(server.session.deliver("jobs", &event("x", 2)), 1);
    let texts = server.texts();
    assert!(texts[0].contains("subscribedEvents") && texts[1].contains(r#""data":2"#), "{texts:?}");
}

#[test]
fn control_messages_and_answers_go_first() {
    let mut server = Server::active(SessionLimits::default());
    server.subscribe("a", "jobs", &["x"]);
    server.session.deliver("jobs", &event("x", 1));
    server.pass(seconds(30));
    let texts = server.ask(r#"{"type":"ping"}"#);
    assert_eq!(texts[..2], [r#"{"type":"ping"}"#, r#"{"type":"pong"}"#]);
    assert_eq!(texts.len(), 3);
}

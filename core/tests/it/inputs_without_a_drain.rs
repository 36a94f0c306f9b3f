//! Any number of inputs between two drains is legal, and means what it would mean with drains between them.

use std::sync::Arc;

use liveset_core::{CloseCode, ErrorCode, Refusal, Request, SessionLimits};

use crate::util::*;

const SUBSCRIBE: &str =
    r#"{"type":"subscribeEvents","subscriptions":[{"id":"s","path":"jobs","events":["x"]}]}"#;
const UNSUBSCRIBE: &str = r#"{"type":"unsubscribeEvents","requestId":"u","ids":["s"]}"#;
const DESTROY: &str = r#"{"type":"destroyLiveQuery","id":"q"}"#;

/// Answers all requests until there are none.
fn settle(server: &mut Server) {
    while let Some(request) = server.session.poll_request() {
        match request {
            Request::Subscribe { ticket, .. } => {
                server.session.accept_subscriptions(server.now, ticket);
            }
            Request::CreateLiveQuery { ticket, .. } => {
                server.session.accept_live_query(server.now, ticket, Arc::new(snapshot(1, &[])));
            }
            _ => {}
        }
    }
}

fn kinds(texts: &[String]) -> Vec<&str> {
    texts.iter().map(|text| text.split('"').nth(3).unwrap()).collect()
}

#[test]
fn what_names_an_open_id_waits_for_its_answer() {
    let mut server = Server::active(SessionLimits::default());
    for text in [SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBE, UNSUBSCRIBE] {
        server.send(text);
    }
    settle(&mut server);
    assert_eq!(
        kinds(&server.texts()),
        ["subscribedEvents", "unsubscribedEvents", "subscribedEvents", "unsubscribedEvents"]
    );
    for text in [&create_text("q", ""), DESTROY, &create_text("q", ""), DESTROY, DESTROY] {
        server.send(text);
    }
    settle(&mut server);
    assert_eq!(
        kinds(&server.texts()),
        ["liveQueryCreated", "liveQueryDestroyed", "liveQueryCreated", "liveQueryDestroyed", "error"]
    );
}

#[test]
fn a_refused_create_leaves_its_id_to_the_one_behind_it() {
    let mut server = Server::active(SessionLimits::default());
    server.send(&create_text("q", ""));
    server.send(&create_text("q", ""));
    let ticket = server.create_request();
    assert_eq!(server.session.poll_request(), None);
    let refusal = Refusal { code: ErrorCode::InvalidQuery, message: "no".into(), id: None };
    server.session.refuse(server.now, ticket, refusal);
    settle(&mut server);
    assert_eq!(kinds(&server.texts()), ["error", "liveQueryCreated", "liveQueryData"]);
}

#[test]
fn pings_and_pongs_do_not_wait() {
    let mut server = Server::active(SessionLimits::default());
    server.send(&create_text("q", ""));
    server.send(DESTROY);
    server.pass(seconds(30));
    assert_eq!(server.ask(r#"{"type":"ping"}"#), [r#"{"type":"ping"}"#, r#"{"type":"pong"}"#]);
    server.send(r#"{"type":"pong"}"#);
    server.pass(seconds(29));
    assert_eq!(server.closed, None);
}

#[test]
fn what_waits_is_bounded() {
    let mut server = Server::active(SessionLimits::default().held_messages(2));
    server.send(&create_text("q", ""));
    for _ in 0..2 {
        assert!(server.ask(DESTROY).is_empty());
    }
    assert_error(&server.ask(DESTROY), "LIMIT_EXCEEDED");
    assert_eq!(server.closed, Some(CloseCode::Policy));
}

#[test]
fn what_names_no_open_id_goes_straight_through() {
    let mut server = Server::active(SessionLimits::default().held_messages(0));
    for number in 0..200 {
        server.send(&create_text(&format!("q{number}"), ""));
    }
    assert_eq!(server.requests().len(), 200);
    assert_eq!(server.closed, None);
}

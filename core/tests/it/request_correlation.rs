//! "A client may put `requestId` (string) on any request; the direct response or error of that request carries the
//! same `requestId`, and no other message does." "All text that a client chose … is echoed as data, correctly
//! escaped, never spliced in raw."

use std::sync::Arc;

use liveset_core::{ErrorCode, Refusal, Request, SessionLimits, Verdict};

use crate::util::*;

#[test]
fn each_answer_carries_the_mark_of_its_request() {
    let mut server = Server::active(SessionLimits::default());
    server.send(r#"{"type":"auth","token":"t","requestId":"1"}"#);
    server.verdict(Verdict::Accepted { expires: None });
    server.send(r#"{"type":"ping","requestId":"2"}"#);
    server.send(
        r#"{"type":"subscribeEvents","requestId":"3","subscriptions":[{"id":"s","path":"jobs","events":["x"]}]}"#,
    );
    server.accept_subscriptions();
    server.send(r#"{"type":"unsubscribeEvents","requestId":"4","ids":["s"]}"#);
    server.requests();
    server.send(r#"{"type":"createLiveQuery","requestId":"5","id":"q","query":{"edge":"e"}}"#);
    let ticket = server.create_request();
    server.session.accept_live_query(server.now, ticket, Arc::new(snapshot(1, &[])));
    server.send(r#"{"type":"destroyLiveQuery","requestId":"6","id":"q"}"#);
    server.send(r#"{"type":"destroyLiveQuery","requestId":"7","id":"q"}"#);
    server.send(r#"{"type":"other","requestId":"8"}"#);
    server.send(r#"{"type":"destroyLiveQuery","requestId":"9"}"#);
    let texts = server.texts();
    assert_eq!(texts.len(), 9);
    for (number, text) in texts.iter().enumerate() {
        assert!(text.contains(&format!(r#""requestId":"{}""#, number + 1)), "{text}");
    }
}

#[test]
fn refusals_of_the_owner_carry_it_too() {
    let mut server = Server::active(SessionLimits::default());
    server.send(
        r#"{"type":"subscribeEvents","requestId":"a","subscriptions":[{"id":"s","path":"nowhere","events":["x"]}]}"#,
    );
    let Some(Request::Subscribe { ticket, .. }) = server.session.poll_request() else { panic!() };
    let message = "Unknown resource path: nowhere".to_owned();
    let refusal = Refusal { code: ErrorCode::InvalidPath, message, id: Some("s".into()) };
    server.session.refuse(server.now, ticket, refusal);
    assert_eq!(
        server.texts(),
        [
            r#"{"type":"error","code":"INVALID_PATH","message":"Unknown resource path: nowhere","requestId":"a","id":"s"}"#
        ]
    );
    server.send(r#"{"type":"createLiveQuery","requestId":"b","id":"q","query":{"edge":"e"}}"#);
    let ticket = server.create_request();
    let refusal = Refusal { code: ErrorCode::InvalidQuery, message: "no".into(), id: None };
    server.session.refuse(server.now, ticket, refusal);
    assert_eq!(
        server.texts(),
        [r#"{"type":"error","code":"INVALID_QUERY","message":"no","requestId":"b","id":"q"}"#]
    );
    assert_eq!(server.closed, None);
}

#[test]
fn no_other_message_carries_it() {
    let mut server = Server::active(SessionLimits::default());
    server.send(
        r#"{"type":"subscribeEvents","requestId":"r","subscriptions":[{"id":"s","path":"jobs","events":["x"]}]}"#,
    );
    server.accept_subscriptions();
    server.send(r#"{"type":"createLiveQuery","requestId":"r","id":"q","query":{"edge":"e"}}"#);
    let ticket = server.create_request();
    server.session.accept_live_query(server.now, ticket, Arc::new(snapshot(1, &[("a", 1)])));
    server.texts().iter().take(2).for_each(|text| assert!(text.contains("requestId")));
    server.session.deliver("jobs", &event("x", 1));
    server.change(ticket, batch(2, 0, [removed("a", 1)]));
    server.session.end_live_query(server.now, ticket, ErrorCode::Forbidden, "no");
    server.session.end_subscription("s", ErrorCode::Forbidden, "no");
    server.pass(seconds(30));
    let texts = server.texts();
    assert_eq!(texts.len(), 3);
    assert!(texts.iter().all(|text| !text.contains("requestId")), "{texts:?}");
}

#[test]
fn what_the_client_chose_is_echoed_escaped() {
    let mut server = Server::active(SessionLimits::default());
    // A quote, a backslash, a control character, a line separator, a solidus.
    let evil = r#"\",\"x\":\"\\ \u0001 \u2028 \/"#;
    let echoed = r#"\",\"x\":\"\\ \u0001 \u2028 /"#;
    server.send(&format!(
        r#"{{"type":"subscribeEvents","requestId":"{evil}","subscriptions":[{{"id":"{evil}","path":"{evil}","events":["{evil}"]}}]}}"#
    ));
    server.accept_subscriptions();
    let expected = format!(
        r#"{{"type":"subscribedEvents","requestId":"{echoed}","subscriptions":[{{"id":"{echoed}","path":"{echoed}","events":["{echoed}"]}}]}}"#
    );
    assert_eq!(server.texts(), [expected]);
    let texts = server.ask(&format!(r#"{{"type":"destroyLiveQuery","id":"{evil}"}}"#));
    assert!(texts[0].ends_with(&format!(r#","id":"{echoed}"}}"#)), "{texts:?}");
}

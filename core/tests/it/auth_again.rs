//! "`auth` on an active connection re-authenticates: … Until it is answered the old principal serves. On
//! failure: `AUTH_FAILED`, close 1008." A verdict is waited for as long as the first may take.

use std::time::Duration;

use liveset_core::{CloseCode, ErrorCode, Request, SessionLimits, Verdict};

use crate::util::*;

const AGAIN: &str = r#"{"type":"auth","token":"again","requestId":"again"}"#;

#[test]
fn until_it_is_answered_the_old_principal_serves() {
    let mut server = Server::active(SessionLimits::default());
    server.subscribe("s", "jobs", &["jobStarted"]);
    let ticket = server.create("q", "", snapshot(1, &[]));
    server.texts();
    server.send(AGAIN);
    // Requests are answered, events and diffs flow.
    assert_eq!(server.ask(r#"{"type":"ping"}"#), [r#"{"type":"pong"}"#]);
    assert_eq!(server.session.deliver("jobs", &event("jobStarted", 1)), 1);
    server.change(ticket, batch(2, 1, [added("a", 1)]));
    assert_eq!(server.texts().len(), 2);
    assert!(server.verdict(Verdict::Accepted { expires: None }));
    assert_eq!(server.texts(), [r#"{"type":"authenticated","requestId":"again"}"#]);
    assert_eq!(server.session.subscriptions().count(), 1);
    assert_eq!(server.session.live_queries().count(), 1);
}

#[test]
fn those_no_longer_allowed_end_with_forbidden_that_names_them() {
    let mut server = Server::active(SessionLimits::default());
    server.subscribe("s", "jobs", &["jobStarted"]);
    let ticket = server.create("q", "", snapshot(1, &[("a", 1)]));
    server.session.deliver("jobs", &event("jobStarted", 1));
    server.send(AGAIN);
    assert!(server.verdict(Verdict::Accepted { expires: None }));
    server.session.end_subscription("s", ErrorCode::Forbidden, "no");
    server.session.end_live_query(server.now, ticket, ErrorCode::Forbidden, "no");
    // Neither the event nor the rows that had waited go out any more.
    assert_eq!(
        server.texts(),
        [
            r#"{"type":"liveQueryCreated","id":"q","totalCount":1,"capped":false}"#,
            r#"{"type":"authenticated","requestId":"again"}"#,
            r#"{"type":"error","code":"FORBIDDEN","message":"no","id":"s"}"#,
            r#"{"type":"error","code":"FORBIDDEN","message":"no","id":"q"}"#,
        ]
    );
    assert_eq!(server.closed, None);
}

#[test]
fn failure_closes() {
    let mut server = Server::active(SessionLimits::default());
    server.send(AGAIN);
    assert!(!server.verdict(Verdict::Refused));
    let error =
        r#"{"type":"error","code":"AUTH_FAILED","message":"Authentication failed","requestId":"again"}"#;
    assert_eq!(server.texts(), [error]);
    assert_eq!(server.closed, Some(CloseCode::Policy));
}

#[test]
fn a_second_one_waits_for_the_answer_to_the_first() {
    let mut server = Server::active(SessionLimits::default());
    server.send(AGAIN);
    server.send(r#"{"type":"auth","token":"third","requestId":"third"}"#);
    let Some(Request::Verify { attempt, .. }) = server.session.poll_request() else { panic!() };
    assert_eq!(server.session.poll_request(), None);
    assert!(server.session.handle_verdict(server.now, attempt, Verdict::Accepted { expires: None }));
    assert!(!server.session.handle_verdict(server.now, attempt, Verdict::Refused), "it was answered");
    assert!(server.verdict(Verdict::Accepted { expires: None }));
    assert_eq!(
        server.texts(),
        [
            r#"{"type":"authenticated","requestId":"again"}"#,
            r#"{"type":"authenticated","requestId":"third"}"#
        ]
    );
}

#[test]
fn a_verdict_that_does_not_come_closes() {
    let mut server = Server::active(SessionLimits::default());
    server.pass(seconds(5));
    server.send(AGAIN);
    let Some(Request::Verify { attempt, .. }) = server.session.poll_request() else { panic!() };
    server.pass(seconds(10) - Duration::from_nanos(1));
    assert!(server.texts().is_empty() && server.closed.is_none(), "the old principal serves");
    server.pass(Duration::from_nanos(1));
    let message = "Authentication was not completed in time";
    let error =
        format!(r#"{{"type":"error","code":"AUTH_TIMEOUT","message":"{message}","requestId":"again"}}"#);
    assert_eq!(server.texts(), [error]);
    assert_eq!(server.closed, Some(CloseCode::Policy));
    assert!(!server.session.handle_verdict(server.now, attempt, Verdict::Accepted { expires: None }));
}

#[test]
fn a_later_one_has_a_deadline_of_its_own() {
    let mut server = Server::active(SessionLimits::default());
    for _ in 0..2 {
        server.send(AGAIN);
        server.pass(seconds(9));
        assert!(server.verdict(Verdict::Accepted { expires: None }));
    }
    assert_eq!(server.texts().len(), 2);
}

#[test]
fn a_principal_that_expires_first_closes_as_such() {
    let mut server = Server::open(SessionLimits::default());
    server.send(AUTH);
    assert!(server.verdict(Verdict::Accepted { expires: Some(server.now + seconds(8)) }));
    server.texts();
    server.send(AGAIN);
    server.pass(seconds(10));
    assert_error(&server.texts(), "TOKEN_EXPIRED");
}

#[test]
fn it_does_not_move_the_ping() {
    let mut server = Server::active(SessionLimits::default());
    let ping_at = server.session.poll_timeout();
    server.pass(seconds(20));
    server.send(AGAIN);
    server.verdict(Verdict::Accepted { expires: None });
    assert_eq!(server.session.poll_timeout(), ping_at);
}

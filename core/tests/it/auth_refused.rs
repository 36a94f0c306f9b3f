//! "`error` `AUTH_FAILED` (echoing `requestId`), close 1008. The message never says why in detail."

use liveset_core::{CloseCode, ErrorCode, Request, SessionLimits, Verdict};

use crate::util::*;

#[test]
fn a_refused_token_closes() {
    let mut server = Server::open(SessionLimits::default());
    server.send(r#"{"type":"auth","token":"hunter2","requestId":"r"}"#);
    assert!(!server.verdict(Verdict::Refused));
    let error = r#"{"type":"error","code":"AUTH_FAILED","message":"Authentication failed","requestId":"r"}"#;
    assert_eq!(server.texts(), [error]);
    assert_eq!(server.closed, Some(CloseCode::Policy));
}

#[test]
fn no_debug_output_shows_the_token() {
    let mut server = Server::open(SessionLimits::default());
    server.send(r#"{"type":"auth","token":"hunter2"}"#);
    assert!(!format!("{:?}", server.session).contains("hunter2"));
    assert!(!format!("{:?}", server.requests()).contains("hunter2"));
}

#[test]
fn what_was_held_is_not_handled() {
    let mut server = Server::open(SessionLimits::default());
    server.send(AUTH);
    server.send(r#"{"type":"ping"}"#);
    server.verdict(Verdict::Refused);
    assert_error(&server.texts(), "AUTH_FAILED");
}

#[test]
fn an_attempt_that_is_denied_closes_too_and_says_why() {
    let mut server = Server::open(SessionLimits::default());
    server.send(r#"{"type":"auth","token":"hunter2","requestId":"r"}"#);
    let Some(Request::Verify { attempt, .. }) = server.session.poll_request() else { panic!("no attempt") };
    server.session.deny(server.now, attempt, ErrorCode::RateLimited, "try again in 3 s");
    let error = r#"{"type":"error","code":"RATE_LIMITED","message":"try again in 3 s","requestId":"r"}"#;
    assert_eq!(server.texts(), [error]);
    assert_eq!(server.closed, Some(CloseCode::Policy));
}

#[test]
fn only_the_attempt_that_is_waited_for_can_be_denied() {
    let mut server = Server::active(SessionLimits::default());
    server.send(AUTH);
    let Some(Request::Verify { attempt, .. }) = server.session.poll_request() else { panic!("no attempt") };
    assert!(server.session.handle_verdict(server.now, attempt, Verdict::Accepted { expires: None }));
    server.session.deny(server.now, attempt, ErrorCode::RateLimited, "too late");
    assert_eq!(server.texts(), [r#"{"type":"authenticated"}"#], "it was answered");
    // A second `auth` is denied as the first is.
    server.send(AUTH);
    let Some(Request::Verify { attempt, .. }) = server.session.poll_request() else { panic!("no attempt") };
    server.session.deny(server.now, attempt, ErrorCode::LimitExceeded, "too many");
    assert_error(&server.texts(), "LIMIT_EXCEEDED");
    assert_eq!(server.closed, Some(CloseCode::Policy));
}

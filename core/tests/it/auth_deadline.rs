//! "authentication is complete (verified, not only sent) within 10 s of the connection's opening, or `error`
//! `AUTH_TIMEOUT`, close 1008."

use std::time::Duration;

use liveset_core::{CloseCode, Request, SessionLimits, Verdict};

use crate::util::*;

#[test]
fn a_silent_connection_closes_at_ten_seconds_exactly() {
    let mut server = Server::open(SessionLimits::default());
    assert_eq!(server.session.poll_timeout(), Some(server.now + seconds(10)));
    server.pass(seconds(10) - Duration::from_nanos(1));
    assert!(server.texts().is_empty() && server.closed.is_none());
    server.pass(Duration::from_nanos(1));
    assert_error(&server.texts(), "AUTH_TIMEOUT");
    assert_eq!(server.closed, Some(CloseCode::Policy));
}

#[test]
fn a_token_that_was_only_sent_is_not_enough() {
    let mut server = Server::open(SessionLimits::default());
    server.pass(seconds(9));
    server.send(AUTH);
    let Some(Request::Verify { attempt, token }) = server.session.poll_request() else { panic!() };
    assert_eq!(token.expose(), "secret");
    server.pass(seconds(1));
    assert!(!server.session.handle_verdict(server.now, attempt, Verdict::Accepted { expires: None }));
    assert_error(&server.texts(), "AUTH_TIMEOUT");
    assert_eq!(server.closed, Some(CloseCode::Policy));
}

#[test]
fn the_deadline_holds_although_nobody_told_the_time() {
    let mut server = Server::open(SessionLimits::default());
    server.now = server.now + seconds(10);
    server.send(AUTH);
    assert_eq!(server.session.poll_request(), None);
    assert_error(&server.texts(), "AUTH_TIMEOUT");
}

#[test]
fn a_limit_of_zero_lets_nobody_in() {
    let limits = SessionLimits::default().auth_timeout(Duration::ZERO);
    let mut server = Server::open(limits);
    assert_error(&server.ask(AUTH), "AUTH_TIMEOUT");
}

#[test]
fn the_deadline_is_over_once_authenticated() {
    let mut server = Server::active(SessionLimits::default());
    server.pass(seconds(11));
    assert!(server.texts().is_empty() && server.closed.is_none());
}

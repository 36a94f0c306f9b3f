//! "a principal may carry an expiry. When it passes: `error` `TOKEN_EXPIRED`, close 1008."

use liveset_core::{CloseCode, SessionLimits, Verdict};

use crate::util::*;

fn expiring() -> Server {
    let mut server = Server::open(SessionLimits::default());
    server.send(AUTH);
    let expires = Some(server.now + seconds(5));
    assert!(server.verdict(Verdict::Accepted { expires }));
    server.texts();
    server
}

#[test]
fn it_closes_when_the_expiry_passes() {
    let mut server = expiring();
    assert_eq!(server.session.poll_timeout(), Some(server.now + seconds(5)));
    server.pass(seconds(5));
    assert_error(&server.texts(), "TOKEN_EXPIRED");
    assert_eq!(server.closed, Some(CloseCode::Policy));
}

#[test]
fn no_event_and_no_diff_goes_out_after_it() {
    let mut server = expiring();
    server.subscribe("s", "jobs", &["jobStarted"]);
    server.create("q", "", snapshot(1, &[("a", 1)]));
    assert!(server.text().is_some_and(|text| text.contains("liveQueryCreated")));
    server.session.deliver("jobs", &event("jobStarted", 1));
    // Nobody called `handle_timeout`: the transport asks at its own pace.
    server.now = server.now + seconds(5);
    assert_error(&server.texts(), "TOKEN_EXPIRED");
}

#[test]
fn a_later_auth_moves_it() {
    let mut server = expiring();
    server.pass(seconds(4));
    server.send(AUTH);
    server.verdict(Verdict::Accepted { expires: Some(server.now + seconds(20)) });
    server.pass(seconds(19));
    assert_eq!(server.texts(), [r#"{"type":"authenticated"}"#]);
    server.pass(seconds(1));
    assert_error(&server.texts(), "TOKEN_EXPIRED");
}

#[test]
fn a_later_auth_may_lift_it() {
    let mut server = expiring();
    server.send(AUTH);
    server.verdict(Verdict::Accepted { expires: None });
    server.pass(seconds(6));
    assert_eq!(server.closed, None);
}

#[test]
fn one_that_has_passed_is_not_let_in() {
    let mut server = Server::open(SessionLimits::default());
    server.send(r#"{"type":"auth","token":"t","requestId":"r"}"#);
    assert!(!server.verdict(Verdict::Accepted { expires: Some(server.now) }));
    let texts = server.texts();
    assert_error(&texts, "TOKEN_EXPIRED");
    assert!(texts[0].ends_with(r#""requestId":"r"}"#));
    assert_eq!(server.closed, Some(CloseCode::Policy));
}

#[test]
fn it_passes_while_draining_too() {
    let mut server = expiring();
    server.create("q", "", snapshot(1, &[("a", 1)]));
    server.text();
    server.session.shutdown(server.now);
    server.pass(seconds(5));
    assert_error(&server.texts(), "TOKEN_EXPIRED");
    assert_eq!(server.closed, Some(CloseCode::Policy));
}

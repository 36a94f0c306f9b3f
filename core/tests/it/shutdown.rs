//! "close 1001 after what is queued was flushed, bounded by a deadline" (which is the owner's)

use liveset_core::{CloseCode, SessionLimits, SessionState};

use crate::util::*;

#[test]
fn what_is_queued_goes_out_first() {
    let mut server = Server::active(SessionLimits::default());
    server.subscribe("s", "jobs", &["jobStarted"]);
    let ticket = server.create("q", "", snapshot(1, &[("a", 1)]));
    server.change(ticket, batch(2, 2, [added("b", 2)]));
    server.session.deliver("jobs", &event("jobStarted", 1));
    server.send(r#"{"type":"ping"}"#);
    server.session.shutdown(server.now);
    assert_eq!(server.session.state(), SessionState::Draining);
    // Nothing new comes in.
    server.send(r#"{"type":"ping"}"#);
    server.change(ticket, batch(3, 3, [added("c", 3)]));
    assert_eq!(server.session.deliver("jobs", &event("jobStarted", 2)), 0);
    let texts = server.texts();
    let kinds: Vec<_> = texts.iter().map(|text| text.split('"').nth(3).unwrap()).collect();
    assert_eq!(kinds, ["liveQueryCreated", "pong", "event", "liveQueryData", "liveQueryAddedNode"]);
    assert_eq!(server.closed, Some(CloseCode::GoingAway));
}

#[test]
fn a_connection_without_a_principal_closes_at_once() {
    let mut server = Server::open(SessionLimits::default());
    server.session.shutdown(server.now);
    assert!(server.texts().is_empty());
    assert_eq!(server.closed, Some(CloseCode::GoingAway));
}

#[test]
fn twice_is_once() {
    let mut server = Server::active(SessionLimits::default());
    server.session.shutdown(server.now);
    server.session.shutdown(server.now);
    assert!(server.texts().is_empty());
    assert_eq!(server.closed, Some(CloseCode::GoingAway));
    server.session.shutdown(server.now);
    assert_eq!(server.session.state(), SessionState::Closed(CloseCode::GoingAway));
}

#[test]
fn no_ping_is_sent_and_none_is_missed_while_draining() {
    let mut server = Server::active(SessionLimits::default());
    server.create("q", "", snapshot(1, &[("a", 1)]));
    server.session.shutdown(server.now);
    server.pass(seconds(120));
    assert_eq!(server.texts().len(), 2);
    assert_eq!(server.closed, Some(CloseCode::GoingAway));
}

#[test]
fn what_is_withheld_is_not_sent_and_the_answers_are() {
    let mut server = Server::active(SessionLimits::default());
    server.subscribe("s", "jobs", &["jobStarted"]);
    server.create("q", "", snapshot(1, &[("a", 1)]));
    server.session.deliver("jobs", &event("jobStarted", 1));
    server.send(r#"{"type":"ping"}"#);
    // Of one that is not shut down the owner ends what may not be sent, one by one.
    server.session.withhold();
    server.session.shutdown(server.now);
    server.session.withhold();
    let texts = server.texts();
    let kinds: Vec<_> = texts.iter().map(|text| text.split('"').nth(3).unwrap()).collect();
    assert_eq!(kinds, ["liveQueryCreated", "pong"]);
    assert_eq!(server.closed, Some(CloseCode::GoingAway));
}

#[test]
fn a_principal_that_is_renewed_while_draining_expires_when_it_says_now() {
    let mut server = Server::active(SessionLimits::default());
    server.create("q", "", snapshot(1, &[("a", 1)]));
    server.session.shutdown(server.now);
    assert!(server.text().is_some_and(|text| text.contains("liveQueryCreated")));
    server.session.renew(server.now, Some(server.now));
    assert_error(&server.texts(), "TOKEN_EXPIRED");
    assert_eq!(server.closed, Some(CloseCode::Policy));
}

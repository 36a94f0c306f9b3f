//! "the server sends `{"type":"ping"}` 30 s after `authenticated` and 30 s after each pong, none while one is
//! unanswered; without a `{"type":"pong"}` within 30 s: `error` `PING_TIMEOUT`, close 1008. An unasked `pong` is
//! ignored. A client's own `{"type":"ping"}` is answered with `{"type":"pong"}`."

use std::time::Duration;

use liveset_core::{CloseCode, SessionLimits};

use crate::util::*;

const PING: &str = r#"{"type":"ping"}"#;
const PONG: &str = r#"{"type":"pong"}"#;

#[test]
fn a_ping_thirty_seconds_after_authenticated_and_after_each_pong() {
    let mut server = Server::active(SessionLimits::default());
    for _ in 0..3 {
        server.pass(seconds(30) - Duration::from_nanos(1));
        assert!(server.texts().is_empty());
        server.pass(Duration::from_nanos(1));
        assert_eq!(server.texts(), [PING]);
        // Late, but in time; and no second ping while the first is unanswered.
        server.pass(seconds(29));
        assert!(server.texts().is_empty());
        assert!(server.ask(PONG).is_empty());
    }
    assert_eq!(server.closed, None);
}

#[test]
fn a_missing_pong_closes() {
    let mut server = Server::active(SessionLimits::default());
    server.pass(seconds(30));
    assert_eq!(server.texts(), [PING]);
    // Other messages are no pong.
    assert_eq!(server.ask(PING), [PONG]);
    server.pass(seconds(30));
    assert_error(&server.texts(), "PING_TIMEOUT");
    assert_eq!(server.closed, Some(CloseCode::Policy));
}

#[test]
fn an_unasked_pong_is_ignored() {
    let mut server = Server::active(SessionLimits::default());
    server.pass(seconds(20));
    assert!(server.ask(PONG).is_empty());
    server.pass(seconds(10));
    assert_eq!(server.texts(), [PING]);
}

#[test]
fn the_clients_own_ping_is_answered() {
    let mut server = Server::active(SessionLimits::default());
    assert_eq!(server.ask(PING), [PONG]);
    let numbered = server.ask(r#"{"type":"ping","requestId":"7"}"#);
    assert_eq!(numbered, [r#"{"type":"pong","requestId":"7"}"#]);
}

#[test]
fn a_late_owner_does_not_make_the_client_late() {
    let mut server = Server::active(SessionLimits::default());
    server.pass(seconds(300));
    assert_eq!(server.texts(), [PING]);
    server.pass(seconds(29));
    assert!(server.ask(PONG).is_empty());
    assert_eq!(server.closed, None);
}

/// A client is not missed for a ping that waits here, nor for one that its transport has not sent.
#[test]
fn the_wait_for_a_pong_begins_when_the_ping_has_left() {
    let mut server = Server::active(SessionLimits::default());
    server.send(PING);
    server.pass(seconds(30));
    server.pass(seconds(100));
    assert_eq!(server.session.poll_timeout(), None, "it is behind an answer that waits");
    assert!(!server.session.awaits_pong());
    assert_eq!(server.texts(), [PONG, PING]);
    assert!(server.session.awaits_pong());
    server.pass(seconds(29));
    server.session.handle_sent(server.now);
    server.pass(seconds(29));
    assert!(server.texts().is_empty() && server.ask(PONG).is_empty());
    // Nothing is waited for now.
    server.session.handle_sent(server.now);
    assert_eq!(server.session.poll_timeout(), Some(server.now + seconds(30)));
    server.pass(seconds(30));
    assert_eq!(server.texts(), [PING]);
    server.pass(seconds(30));
    assert_error(&server.texts(), "PING_TIMEOUT");
}

/// What came while the owner stood still is read before anybody is missed; once for each ping.
#[test]
fn after_a_pause_of_its_owner_a_pong_is_waited_for_again() {
    let mut server = Server::active(SessionLimits::default());
    for answers in [true, true, false] {
        server.pass(seconds(30));
        assert_eq!(server.texts(), [PING]);
        server.now = server.now + seconds(3600);
        server.session.handle_pause(server.now, seconds(1));
        server.session.handle_timeout(server.now);
        assert!(server.texts().is_empty());
        if answers {
            assert!(server.ask(PONG).is_empty());
            continue;
        }
        server.pass(seconds(1) - Duration::from_nanos(1));
        server.session.handle_pause(server.now, seconds(1));
        server.pass(Duration::from_nanos(1));
        assert_error(&server.texts(), "PING_TIMEOUT");
    }
}

#[test]
fn after_a_pause_of_its_owner_a_token_is_waited_for_again() {
    for answers in [true, false] {
        let mut server = Server::open(SessionLimits::default());
        server.now = server.now + seconds(3600);
        server.session.handle_pause(server.now, seconds(1));
        server.session.handle_timeout(server.now);
        assert!(server.texts().is_empty());
        if answers {
            server.send(AUTH);
            server.verdict(liveset_core::Verdict::Accepted { expires: None });
            assert_eq!(server.texts(), [r#"{"type":"authenticated"}"#]);
        } else {
            server.pass(seconds(1));
            assert_error(&server.texts(), "AUTH_TIMEOUT");
        }
    }
}

#[test]
fn limits_of_zero_end_the_connection_without_a_busy_loop() {
    let zero = Duration::ZERO;
    let limits = SessionLimits::default().ping_interval(zero).pong_timeout(zero);
    let mut server = Server::open(limits);
    server.send(AUTH);
    server.verdict(liveset_core::Verdict::Accepted { expires: None });
    assert_eq!(server.text().as_deref(), Some(r#"{"type":"authenticated"}"#));
    server.pass(zero);
    let texts = server.texts();
    assert_eq!(texts[0], PING);
    assert!(is_error(&texts[1], "PING_TIMEOUT"));
}

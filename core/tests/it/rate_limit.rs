//! `RATE_LIMITED`: "more messages per second than allowed | stays, then 1008"; "100 messages a second with a burst of
//! 300" by default.

use liveset_core::{CloseCode, SessionLimits};

use crate::util::*;

#[test]
fn a_burst_of_three_hundred_then_a_hundred_a_second() {
    let mut server = Server::active(SessionLimits::default());
    server.pass(seconds(5));
    for _ in 0..300 {
        assert_eq!(server.ask(r#"{"type":"ping"}"#), [r#"{"type":"pong"}"#]);
    }
    let texts = server.ask(r#"{"type":"ping","requestId":"late"}"#);
    assert_error(&texts, "RATE_LIMITED");
    assert!(texts[0].ends_with(r#","requestId":"late"}"#));
    server.pass(seconds(1));
    for _ in 0..100 {
        assert_eq!(server.ask(r#"{"type":"ping"}"#), [r#"{"type":"pong"}"#]);
    }
    assert_error(&server.ask(r#"{"type":"ping"}"#), "RATE_LIMITED");
    assert_eq!(server.session.take_refusals().of("session.messages_per_second"), 2);
}

#[test]
fn the_refused_message_is_not_handled() {
    let limits = SessionLimits::default().message_burst(1);
    let mut server = Server::active(limits);
    assert_error(&server.ask(&create_text("q", "")), "RATE_LIMITED");
    assert_eq!(server.requests(), []);
    server.pass(seconds(1));
    server.send(&create_text("q", ""));
    server.create_request();
}

#[test]
fn a_hundred_in_a_row_close() {
    for (limit, closes_at) in [(100, 100), (1, 1), (0, 1)] {
        let limits = SessionLimits::default().message_burst(1).rate_limited_in_a_row(limit);
        let mut server = Server::active(limits);
        for number in 1..=closes_at {
            assert_error(&server.ask("nonsense"), "RATE_LIMITED");
            assert_eq!(server.closed.is_some(), number == closes_at);
        }
        assert_eq!(server.closed, Some(CloseCode::Policy));
    }
}

#[test]
fn a_message_that_passed_starts_the_count_anew() {
    let limits = SessionLimits::default().message_burst(1).rate_limited_in_a_row(2);
    let mut server = Server::active(limits);
    for _ in 0..5 {
        assert_error(&server.ask(r#"{"type":"pong"}"#), "RATE_LIMITED");
        server.pass(seconds(1));
        assert!(server.ask(r#"{"type":"pong"}"#).is_empty());
    }
}

#[test]
fn answers_that_nobody_reads_end_the_connection() {
    let limits = SessionLimits::default().control_messages(10);
    let mut server = Server::active(limits);
    for _ in 0..50 {
        server.send(r#"{"type":"ping"}"#);
    }
    let texts = server.texts();
    assert_eq!(texts.len(), 12, "what was queued, then the error");
    assert!(is_error(&texts[11], "OVERLOADED"));
    assert_eq!(server.closed, Some(CloseCode::TryAgainLater));

    let limits = SessionLimits::default().control_bytes(100);
    let mut server = Server::active(limits);
    for _ in 0..50 {
        server.send(r#"{"type":"ping"}"#);
    }
    assert!(server.texts().len() < 10);
    assert_eq!(server.closed, Some(CloseCode::TryAgainLater));
}

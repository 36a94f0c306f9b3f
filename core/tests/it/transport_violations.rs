//! The close codes of what no conversation survives, with the error first where the protocol says so.

use liveset_core::{CloseCode, ErrorCode, SessionLimits, Violation};

use crate::util::*;

#[test]
fn a_binary_message_gets_unsupported_frame_then_1003() {
    let mut server = Server::active(SessionLimits::default());
    server.session.handle_violation(server.now, Violation::BinaryMessage);
    assert_error(&server.texts(), "UNSUPPORTED_FRAME");
    assert_eq!(server.closed, Some(CloseCode::Unsupported));
}

#[test]
fn invalid_utf8_closes_with_1007() {
    let mut server = Server::active(SessionLimits::default());
    server.session.handle_violation(server.now, Violation::InvalidUtf8);
    assert!(server.texts().is_empty());
    assert_eq!(server.closed, Some(CloseCode::InvalidData));

    let mut server = Server::active(SessionLimits::default());
    server.session.handle_text(server.now, b"{\"type\":\"ping\xff\"}");
    assert!(server.texts().is_empty());
    assert_eq!(server.closed, Some(CloseCode::InvalidData));
}

#[test]
fn a_message_over_the_limit_gets_message_too_large_then_1009() {
    let mut server = Server::active(SessionLimits::default());
    let ping = r#"{"type":"ping"}"#;
    let fits = format!("{ping}{}", " ".repeat(64 * 1024 - ping.len()));
    assert_eq!(server.ask(&fits).len(), 1);
    assert_error(&server.ask(&format!("{fits} ")), "MESSAGE_TOO_LARGE");
    assert_eq!(server.closed, Some(CloseCode::TooLarge));

    let mut server = Server::open(SessionLimits::default());
    server.session.handle_violation(server.now, Violation::TooLarge);
    assert_error(&server.texts(), "MESSAGE_TOO_LARGE");
    assert_eq!(server.closed, Some(CloseCode::TooLarge));
}

#[test]
fn a_violation_of_rfc_6455_closes_with_1002() {
    let mut server = Server::active(SessionLimits::default());
    server.session.handle_violation(server.now, Violation::Protocol);
    assert!(server.texts().is_empty());
    assert_eq!(server.closed, Some(CloseCode::Protocol));
}

#[test]
fn answers_queued_before_go_out_first_and_the_first_reason_counts() {
    let mut server = Server::active(SessionLimits::default());
    server.send(r#"{"type":"ping"}"#);
    server.session.handle_violation(server.now, Violation::BinaryMessage);
    server.session.handle_violation(server.now, Violation::Protocol);
    let texts = server.texts();
    assert_eq!(texts[0], r#"{"type":"pong"}"#);
    assert!(is_error(&texts[1], "UNSUPPORTED_FRAME"));
    assert_eq!(server.closed, Some(CloseCode::Unsupported));
}

#[test]
fn a_fault_of_ours_is_internal_then_1011() {
    let mut server = Server::active(SessionLimits::default());
    server.session.fail(server.now, ErrorCode::Internal, "Something went wrong");
    assert_eq!(server.texts(), [r#"{"type":"error","code":"INTERNAL","message":"Something went wrong"}"#]);
    assert_eq!(server.closed, Some(CloseCode::Internal));
}

#[test]
fn shed_load_is_overloaded_then_1013() {
    let mut server = Server::active(SessionLimits::default());
    server.create("q", "", snapshot(1, &[("a", 1)]));
    server.texts();
    server.session.fail(server.now, ErrorCode::Overloaded, "Try again later");
    assert_error(&server.texts(), "OVERLOADED");
    assert_eq!(server.closed, Some(CloseCode::TryAgainLater));
}

#[test]
fn a_closed_session_holds_nothing() {
    let mut server = Server::active(SessionLimits::default());
    server.subscribe("s", "jobs", &["jobStarted"]);
    let ticket = server.create("q", "", snapshot(1, &[("a", 1)]));
    server.change(ticket, batch(2, 2, [added("b", 2)]));
    server.session.deliver("jobs", &event("jobStarted", 1));
    server.session.handle_violation(server.now, Violation::Protocol);
    let backlog = server.session.backlog();
    assert_eq!((backlog.events, backlog.changes), (0, 0));
    assert_eq!(server.session.subscriptions().count(), 0);
    assert_eq!(server.session.live_queries().count(), 0);
    server.change(ticket, batch(3, 3, [added("c", 3)]));
    assert_eq!(server.session.deliver("jobs", &event("jobStarted", 2)), 0);
    assert_eq!(server.texts(), [r#"{"type":"liveQueryCreated","id":"q","totalCount":1,"capped":false}"#]);
}

//! "`error` `AUTH_FAILED` (echoing `requestId`), close 1008. The message never says why in detail."

use liveset_core::{CloseCode, SessionLimits, Verdict};

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

//! "`auth` must be the first message. Anything else first: `error` `NOT_AUTHENTICATED`, close 1008."

use liveset_core::{CloseCode, SessionLimits, SessionState, Verdict};

use crate::util::*;

#[test]
fn anything_else_closes() {
    for text in
        [r#"{"type":"ping"}"#, r#"{"type":"nonsense"}"#, r#"{"type":"pong"}"#, "[]", "not json", "", "{}"]
    {
        let mut server = Server::open(SessionLimits::default());
        assert_error(&server.ask(text), "NOT_AUTHENTICATED");
        assert_eq!(server.closed, Some(CloseCode::Policy), "{text}");
    }
}

#[test]
fn the_error_carries_the_request_id() {
    let mut server = Server::open(SessionLimits::default());
    let texts = server.ask(r#"{"type":"ping","requestId":"r1"}"#);
    assert!(texts[0].ends_with(r#","requestId":"r1"}"#), "{texts:?}");
}

#[test]
fn nothing_after_it_is_handled() {
    let mut server = Server::open(SessionLimits::default());
    server.send(r#"{"type":"ping"}"#);
    server.send(AUTH);
    assert_error(&server.texts(), "NOT_AUTHENTICATED");
}

#[test]
fn an_auth_without_its_token_may_be_tried_again() {
    let mut server = Server::open(SessionLimits::default());
    for text in [r#"{"type":"auth"}"#, r#"{"type":"auth","token":5}"#, r#"{"type":"auth","token":null}"#] {
        assert_error(&server.ask(text), "INVALID_MESSAGE");
        assert_eq!(server.session.state(), SessionState::AwaitingAuth);
    }
    server.send(AUTH);
    assert!(server.verdict(Verdict::Accepted { expires: None }));
    assert_eq!(server.texts(), [r#"{"type":"authenticated"}"#]);
}

#[test]
fn accepted_carries_the_request_id() {
    let mut server = Server::open(SessionLimits::default());
    server.send(r#"{"type":"auth","token":"t","requestId":"a \" 1"}"#);
    server.verdict(Verdict::Accepted { expires: None });
    assert_eq!(server.texts(), [r#"{"type":"authenticated","requestId":"a \" 1"}"#]);
}

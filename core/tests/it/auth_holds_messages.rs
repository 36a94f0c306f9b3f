//! "Messages that arrive while the token is being verified are held (64 messages, 64 KiB; more is
//! `LIMIT_EXCEEDED`, close 1008) and handled after it, in order."

use liveset_core::{CloseCode, Request, SessionLimits, Verdict};

use crate::util::*;

fn ping(number: usize) -> String {
    format!(r#"{{"type":"ping","requestId":"{number}"}}"#)
}

#[test]
fn they_are_handled_in_order_after_it() {
    let mut server = Server::open(SessionLimits::default());
    server.send(AUTH);
    for number in 0..64 {
        assert!(server.ask(&ping(number)).is_empty());
    }
    assert!(server.verdict(Verdict::Accepted { expires: None }));
    let texts = server.texts();
    assert_eq!(texts[0], r#"{"type":"authenticated"}"#);
    for (number, text) in texts[1..].iter().enumerate() {
        assert_eq!(*text, format!(r#"{{"type":"pong","requestId":"{number}"}}"#));
    }
    assert_eq!(texts.len(), 65);
}

#[test]
fn one_message_more_closes() {
    for (limit, held) in [(64, 64), (1, 1), (0, 0)] {
        let limits = SessionLimits::default().held_messages(limit);
        let mut server = Server::open(limits);
        server.send(AUTH);
        for number in 0..held {
            assert!(server.ask(&ping(number)).is_empty());
        }
        let texts = server.ask(&ping(held));
        assert_error(&texts, "LIMIT_EXCEEDED");
        assert!(texts[0].ends_with(&format!(r#","requestId":"{held}"}}"#)));
        assert_eq!(server.closed, Some(CloseCode::Policy));
    }
}

#[test]
fn one_byte_more_closes() {
    let text = ping(0);
    for spare in [0, 1] {
        let held_bytes = 2 * text.len() - spare;
        let mut server = Server::open(SessionLimits::default().held_bytes(held_bytes));
        server.send(AUTH);
        assert!(server.ask(&text).is_empty());
        assert_eq!(server.ask(&text).len(), spare);
        assert_eq!(server.closed.is_some(), spare == 1);
    }
}

#[test]
fn a_second_auth_is_held_too() {
    let mut server = Server::open(SessionLimits::default());
    server.send(AUTH);
    server.send(r#"{"type":"auth","token":"second"}"#);
    server.verdict(Verdict::Accepted { expires: None });
    let requests = server.requests();
    assert!(matches!(&requests[..], [Request::Verify { token, .. }] if token.expose() == "second"));
}

#[test]
fn what_is_invalid_is_answered_after_it_too() {
    let mut server = Server::open(SessionLimits::default());
    server.send(AUTH);
    server.send("nonsense");
    assert!(server.texts().is_empty());
    server.verdict(Verdict::Accepted { expires: None });
    let texts = server.texts();
    assert_eq!(texts.len(), 2);
    assert!(is_error(&texts[1], "INVALID_MESSAGE"));
}

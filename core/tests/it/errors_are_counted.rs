//! The owner learns the code of each error that the client is told of, and may leave it.

use liveset_core::{ErrorCode, SessionLimits};

use crate::util::*;

fn codes(server: &mut Server) -> Vec<ErrorCode> {
    std::iter::from_fn(|| server.session.poll_error()).collect()
}

#[test]
fn in_the_order_in_which_they_arose() {
    let mut server = Server::active(SessionLimits::default());
    assert_eq!(codes(&mut server), []);
    for text in ["nonsense", r#"{"type":"nonsense"}"#, r#"{"type":"destroyLiveQuery","id":"q"}"#] {
        server.send(text);
    }
    let expected = [ErrorCode::InvalidMessage, ErrorCode::UnknownType, ErrorCode::UnknownId];
    assert_eq!(codes(&mut server), expected);
    assert_eq!(codes(&mut server), []);
    assert_eq!(server.texts().len(), 3, "they are sent all the same");
}

#[test]
fn the_one_that_closes_too() {
    let mut server = Server::open(SessionLimits::default());
    server.pass(seconds(10));
    assert_error(&server.texts(), "AUTH_TIMEOUT");
    assert_eq!(codes(&mut server), [ErrorCode::AuthTimeout]);
}

#[test]
fn who_does_not_ask_keeps_few() {
    let limits = SessionLimits::default().message_burst(10_000).invalid_in_a_row(10_000);
    let mut server = Server::active(limits);
    for _ in 0..1_000 {
        assert_error(&server.ask("nonsense"), "INVALID_MESSAGE");
    }
    assert_eq!(codes(&mut server).len(), 256);
}

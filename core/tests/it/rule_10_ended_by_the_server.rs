//! Rule 10: "Where the server itself must end a query (permission withdrawn, overload), it says so by `error` with the
//! query's `id`; nothing of that query follows."

use liveset_core::{ErrorCode, SessionLimits};

use crate::util::*;

#[test]
fn an_error_that_names_it_and_nothing_after() {
    for code in [ErrorCode::Forbidden, ErrorCode::Overloaded] {
        let mut server = Server::active(SessionLimits::default());
        let ticket = server.create("q", "", snapshot(1, &[("a", 1)]));
        server.text();
        server.change(ticket, batch(2, 2, [added("b", 2)]));
        server.session.end_live_query(server.now, ticket, code, "no more");
        server.change(ticket, batch(3, 3, [added("c", 3)]));
        let expected =
            format!(r#"{{"type":"error","code":"{}","message":"no more","id":"q"}}"#, code.as_str());
        assert_eq!(server.texts(), [expected]);
        assert_eq!(server.closed, None, "the connection stays");
        assert_eq!(server.requests(), [], "the owner knows");
        server.send(&create_text("q", ""));
        server.create_request();
    }
}

#[test]
fn one_that_was_not_answered_is_refused() {
    let mut server = Server::active(SessionLimits::default());
    server.send(r#"{"type":"createLiveQuery","requestId":"r","id":"q","query":{"edge":"e"}}"#);
    let ticket = server.create_request();
    server.session.end_live_query(server.now, ticket, ErrorCode::Forbidden, "no");
    assert_eq!(
        server.texts(),
        [r#"{"type":"error","code":"FORBIDDEN","message":"no","requestId":"r","id":"q"}"#]
    );
}

#[test]
fn what_waited_for_one_that_was_not_answered_is_handled() {
    let mut server = Server::active(SessionLimits::default());
    server.send(&create_text("q", ""));
    let ticket = server.create_request();
    server.send(r#"{"type":"destroyLiveQuery","id":"q"}"#);
    server.send(r#"{"type":"unsubscribeEvents","ids":["s"]}"#);
    server.session.end_live_query(server.now, ticket, ErrorCode::Forbidden, "no");
    let codes: Vec<_> =
        server.texts().iter().map(|text| text.split('"').nth(7).unwrap().to_owned()).collect();
    assert_eq!(codes, ["FORBIDDEN", "UNKNOWN_ID", "UNKNOWN_ID"]);
}

//! "Unknown **fields** of a message are ignored; unknown fields inside `query` are `INVALID_QUERY` … An optional
//! field that is null is absent. Unknown **types** get `error` `UNKNOWN_TYPE`; the connection stays."

use liveset_core::{Request, SessionLimits};

use crate::util::*;

#[test]
fn an_unknown_type_is_answered_and_the_connection_stays() {
    let mut server = Server::active(SessionLimits::default());
    let texts = server.ask(r#"{"type":"subscribe","requestId":"r"}"#);
    let error = r#"{"type":"error","code":"UNKNOWN_TYPE","message":"Unknown message type: subscribe","requestId":"r"}"#;
    assert_eq!(texts, [error]);
    assert_eq!(server.ask(r#"{"type":"ping"}"#), [r#"{"type":"pong"}"#]);
    for _ in 0..100 {
        server.send(r#"{"type":"x"}"#);
    }
    assert_eq!(server.texts().len(), 100);
    assert_eq!(server.closed, None);
}

#[test]
fn a_long_type_is_not_echoed_whole() {
    let mut server = Server::active(SessionLimits::default());
    let texts = server.ask(&format!(r#"{{"type":"{}"}}"#, "é".repeat(10_000)));
    assert!(is_error(&texts[0], "UNKNOWN_TYPE") && texts[0].len() < 200);
}

#[test]
fn unknown_fields_are_ignored() {
    let mut server = Server::active(SessionLimits::default());
    assert_eq!(server.ask(r#"{"x":{"type":1},"type":"ping","id":5,"y":[1e99]}"#), [r#"{"type":"pong"}"#]);
    server.send(
        r#"{"type":"subscribeEvents","subscriptions":[{"id":"a","path":"jobs","events":["x"],"note":{}}],"z":0}"#,
    );
    assert_eq!(server.accept_subscriptions().len(), 1);
    server.send(r#"{"type":"createLiveQuery","id":"q","query":{"edge":"e"},"colour":"red"}"#);
    server.create_request();
}

/// "An unknown option is `INVALID_MESSAGE` that names it; the connection stays."
#[test]
fn unknown_options_are_refused_by_name() {
    let mut server = Server::active(SessionLimits::default());
    let create = |options: &str| {
        format!(
            r#"{{"type":"createLiveQuery","requestId":"r","id":"q","query":{{"edge":"e"}},"options":{options}}}"#
        )
    };
    for options in [r#"{"count":true}"#, r#"{"counts":true,"count":false}"#, r#"{"count":null}"#] {
        let texts = server.ask(&create(options));
        assert_error(&texts, "INVALID_MESSAGE");
        assert!(texts[0].contains("unknown option 'count'") && texts[0].contains("'counts'"), "{texts:?}");
        assert!(texts[0].ends_with(r#","requestId":"r","id":"q"}"#), "{texts:?}");
        assert_eq!(server.requests(), []);
    }
    server.send(&create(r#"{"positions":true,"counts":true,"reasons":true,"resume":true,"hints":true}"#));
    server.create_request();
}

#[test]
fn unknown_options_of_auth_are_refused_by_name_and_the_connection_stays() {
    let mut server = Server::open(SessionLimits::default());
    let texts = server.ask(r#"{"type":"auth","requestId":"r","token":"t","options":{"commit":true}}"#);
    assert_error(&texts, "INVALID_MESSAGE");
    assert!(
        texts[0].contains("unknown option 'commit'") && texts[0].ends_with(r#","requestId":"r"}"#),
        "{texts:?}"
    );
    assert_eq!((server.closed, server.requests().len()), (None, 0));
    assert_error(&server.ask(r#"{"type":"auth","token":"t","options":[]}"#), "INVALID_MESSAGE");
    // It may say `auth` again until its deadline.
    server.send(r#"{"type":"auth","token":"t","options":{}}"#);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn unknown_fields_inside_query_are_invalid_query() {
    let mut server = Server::active(SessionLimits::default());
    for query in [
        r#"{"edge":"e","filtr":"a == 1"}"#,
        r#"{"edge":"e","node":{"field":["a"]}}"#,
        r#"{"filter":"a == 1"}"#,
        r#"{"edge":5}"#,
        r#"{"edge":"e","limit":-3}"#,
        r#"{"edge":"e","limit":2.5}"#,
        r#"{"edge":"e","limit":"7"}"#,
        r#"{"edge":"e","node":[]}"#,
        r#"{"edge":"e","node":{"fields":"a"}}"#,
    ] {
        let texts =
            server.ask(&format!(r#"{{"type":"createLiveQuery","requestId":"r","id":"q","query":{query}}}"#));
        assert_error(&texts, "INVALID_QUERY");
        assert!(texts[0].ends_with(r#","requestId":"r","id":"q"}"#), "{texts:?}");
        assert_eq!(server.requests(), []);
    }
    // The id stayed free.
    server.send(&create_text("q", ""));
    server.create_request();
}

#[test]
fn an_optional_field_that_is_null_is_absent() {
    let mut server = Server::active(SessionLimits::default());
    assert_eq!(server.ask(r#"{"type":"ping","requestId":null}"#), [r#"{"type":"pong"}"#]);
    server.send(
        r#"{"type":"createLiveQuery","id":"q","since":null,"options":null,
            "query":{"edge":"e","filter":null,"orderBy":null,"limit":null,"node":null}}"#,
    );
    let Some(Request::CreateLiveQuery { query, options, since, .. }) = server.session.poll_request() else {
        panic!()
    };
    assert_eq!((query.filter, query.order_by, query.limit, query.fields), (None, None, None, None));
    assert_eq!((options.is_none(), since), (true, None));
    server.send(
        r#"{"type":"createLiveQuery","id":"r","options":{"counts":null,"resume":true},"query":{"edge":"e"}}"#,
    );
    let Some(Request::CreateLiveQuery { options, .. }) = server.session.poll_request() else { panic!() };
    assert!(options.resume && !options.counts);
}

#[test]
fn names_may_be_written_with_escapes() {
    let mut server = Server::active(SessionLimits::default());
    let texts = server.ask(r#"{"\u0074ype":"\u0070ing","requestI\u0064":"\u0041"}"#);
    assert_eq!(texts, [r#"{"type":"pong","requestId":"A"}"#]);
}

//! `INVALID_MESSAGE`: "not JSON, not an object, a field missing or of the wrong type | stays (closes 1008 after 32
//! in a row, configurable)"

use liveset_core::{CloseCode, SessionLimits};

use crate::util::*;

#[test]
fn what_is_no_message() {
    let long = "x".repeat(129);
    let cases = [
        "".into(),
        "null".into(),
        "5".into(),
        "\"ping\"".into(),
        "[]".into(),
        r#"[{"type":"ping"}]"#.into(),
        "{".into(),
        "{}".into(),
        r#"{"type":null}"#.into(),
        r#"{"type":["ping"]}"#.into(),
        r#"{"type":"ping"} trailing"#.into(),
        r#"{"type":"ping"}{"type":"ping"}"#.into(),
        r#"{"type":"ping","type":"ping"}"#.into(),
        r#"{"type":"ping","requestId":5}"#.into(),
        r#"{"type":"ping","requestId":"\ud800"}"#.into(),
        format!(r#"{{"type":"ping","requestId":"{long}"}}"#),
        r#"{"type":"subscribeEvents"}"#.into(),
        r#"{"type":"subscribeEvents","subscriptions":[]}"#.into(),
        r#"{"type":"subscribeEvents","subscriptions":{}}"#.into(),
        r#"{"type":"subscribeEvents","subscriptions":[["a","jobs",["x"]]]}"#.into(),
        r#"{"type":"subscribeEvents","subscriptions":[{"path":"jobs","events":["x"]}]}"#.into(),
        r#"{"type":"subscribeEvents","subscriptions":[{"id":1,"path":"jobs","events":["x"]}]}"#.into(),
        r#"{"type":"subscribeEvents","subscriptions":[{"id":"a","events":["x"]}]}"#.into(),
        r#"{"type":"subscribeEvents","subscriptions":[{"id":"a","path":"jobs"}]}"#.into(),
        r#"{"type":"subscribeEvents","subscriptions":[{"id":"a","path":"jobs","events":[]}]}"#.into(),
        r#"{"type":"subscribeEvents","subscriptions":[{"id":"a","path":"jobs","events":[1]}]}"#.into(),
        r#"{"type":"subscribeEvents","subscriptions":[{"id":"a","path":"jobs","events":"x"}]}"#.into(),
        format!(
            r#"{{"type":"subscribeEvents","subscriptions":[{{"id":"{long}","path":"p","events":["x"]}}]}}"#
        ),
        r#"{"type":"unsubscribeEvents"}"#.into(),
        r#"{"type":"unsubscribeEvents","ids":[]}"#.into(),
        r#"{"type":"unsubscribeEvents","ids":"a"}"#.into(),
        r#"{"type":"unsubscribeEvents","ids":[null]}"#.into(),
        r#"{"type":"createLiveQuery","query":{"edge":"e"}}"#.into(),
        r#"{"type":"createLiveQuery","id":7,"query":{"edge":"e"}}"#.into(),
        r#"{"type":"createLiveQuery","id":"q"}"#.into(),
        r#"{"type":"createLiveQuery","id":"q","query":"e"}"#.into(),
        r#"{"type":"createLiveQuery","id":"q","query":["e"]}"#.into(),
        r#"{"type":"createLiveQuery","id":"q","query":{"edge":"e"},"options":[]}"#.into(),
        r#"{"type":"createLiveQuery","id":"q","query":{"edge":"e"},"options":{"counts":"yes"}}"#.into(),
        r#"{"type":"createLiveQuery","id":"q","query":{"edge":"e"},"since":5}"#.into(),
        r#"{"type":"createLiveQuery","id":"q","query":{"edge":"e"},"since":"v"}"#.into(),
        r#"{"type":"createLiveQuery","id":"q","query":{"edge":"e"},"options":{"counts":true},"since":"v"}"#
            .into(),
        format!(r#"{{"type":"createLiveQuery","id":"{long}","query":{{"edge":"e"}}}}"#),
        r#"{"type":"destroyLiveQuery"}"#.into(),
        r#"{"type":"destroyLiveQuery","id":{}}"#.into(),
    ];
    for text in &cases {
        let mut server = Server::active(SessionLimits::default());
        assert_error(&server.ask(text), "INVALID_MESSAGE");
        assert_eq!(server.requests(), [], "{text}");
        assert_eq!(server.ask(r#"{"type":"ping"}"#).len(), 1, "the connection stays after {text}");
    }
}

#[test]
fn the_message_says_what_and_where() {
    let mut server = Server::active(SessionLimits::default());
    let mut message = |text: &str| server.ask(text).remove(0);
    let text = r#"{"type":"subscribeEvents","requestId":"r","subscriptions":[{"id":"a","path":"p","events":["x"]},{"id":"b"}]}"#;
    assert_eq!(
        message(text),
        r#"{"type":"error","code":"INVALID_MESSAGE","message":"'subscriptions[1].path' is missing","requestId":"r"}"#
    );
    assert!(message("nonsense").contains("found 'n' at byte 0, expected a value"));
    assert!(message(r#"{"type":"auth"}"#).contains("'token' is missing"));
    assert!(
        message(r#"{"type":"ping","type":"x"}"#)
            .contains(r#"duplicate key \"type\" in the object at byte 0"#)
    );
}

#[test]
fn an_id_of_128_bytes_is_an_id() {
    let id = "é".repeat(64);
    let mut server = Server::active(SessionLimits::default());
    let texts = server.ask(&format!(r#"{{"type":"ping","requestId":"{id}"}}"#));
    assert_eq!(texts, [format!(r#"{{"type":"pong","requestId":"{id}"}}"#)]);
}

#[test]
fn thirty_two_in_a_row_close() {
    for (limit, closes_at) in [(32, 32), (1, 1), (0, 1)] {
        let limits = SessionLimits::default().invalid_in_a_row(limit);
        let mut server = Server::active(limits);
        for number in 1..=closes_at {
            assert_eq!(server.closed, None);
            server.send("nonsense");
            let texts = server.texts();
            assert_error(&texts, "INVALID_MESSAGE");
            assert_eq!(server.closed.is_some(), number == closes_at);
        }
        assert_eq!(server.closed, Some(CloseCode::Policy));
    }
}

#[test]
fn a_message_between_them_starts_the_count_anew() {
    let mut server = Server::active(SessionLimits::default());
    for good in [
        r#"{"type":"pong"}"#,
        r#"{"type":"what"}"#,
        r#"{"type":"createLiveQuery","id":"q","query":{"edge":"e","limit":-1}}"#,
    ] {
        for _ in 0..31 {
            server.send("nonsense");
        }
        server.send(good);
        server.texts();
        assert_eq!(server.closed, None);
    }
}

/// Nothing of a message is beyond the policy, though nobody reads it; the answer tells the request where it can be told.
#[test]
fn json_is_checked_where_nobody_reads_it() {
    let mut server = Server::active(SessionLimits::default());
    let mut ask = |text: &str| server.ask(text).remove(0);
    for (value, what) in [
        (r#"{"a":1,"\u0061":2}"#, r#"duplicate key \"a\" in the object at byte 46"#),
        ("[1e400]", "the number 1e400 at byte 47 is beyond what f64 can hold"),
        ("18446744073709551616", "the integer 18446744073709551616 at byte 46 is beyond 64 bits"),
        (r#""\udc00""#, "half a surrogate pair at byte 47"),
    ] {
        let answer = ask(&format!(r#"{{"type":"ping","requestId":"r","x":{{}},"later":{value}}}"#));
        assert!(answer.contains("INVALID_MESSAGE") && answer.contains(what), "{answer}");
        assert!(answer.ends_with(r#""requestId":"r"}"#), "{answer}");
    }
    let answer = ask(r#"{"type":"createLiveQuery","id":"q","query":{"edge":"e","edge":"f"}}"#);
    assert!(answer.ends_with(r#""id":"q"}"#), "{answer}");
    let answer = ask(r#"{"type":"ping","requestId":"r","requestId":"s"}"#);
    assert!(answer.contains("INVALID_MESSAGE") && !answer.contains(r#""requestId":"#), "{answer}");
    assert_eq!(
        ask(r#"{"type":"ping","requestId":"\u0000","x":[-0,5e-324,1e-400,18446744073709551615]}"#),
        r#"{"type":"pong","requestId":"\u0000"}"#
    );
}

#[test]
fn deep_nesting_is_no_danger() {
    let mut server = Server::active(SessionLimits::default());
    let deep = "[".repeat(30_000);
    assert_error(&server.ask(&deep), "INVALID_MESSAGE");
    let nested =
        |depth: usize| format!(r#"{{"type":"ping","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(server.ask(&nested(63)), [r#"{"type":"pong"}"#], "an unknown field is ignored");
    assert_error(&server.ask(&nested(64)), "INVALID_MESSAGE");
    assert_error(&server.ask(&nested(30_000)), "INVALID_MESSAGE");
    let query = format!(r#"{{"type":"createLiveQuery","id":"q","query":{}"#, r#"{"node":"#.repeat(8_000));
    assert_error(&server.ask(&query), "INVALID_MESSAGE");
}

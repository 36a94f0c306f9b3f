//! Messages and queries are read without the hub, and the hub then reads none of their texts.

use liveset_core::{Query, SessionState};
use liveset_engine::{SetDef, Timestamp};
use liveset_hub::{AuthRefused, ConnectionId, Hub, HubConfig, Now, Output, Principal};

use crate::support;

fn now() -> Now {
    let wall = Timestamp::parse_rfc3339("2025-12-07T21:45:05Z").expect("an instant");
    Now { monotonic: Default::default(), wall }
}

fn hub() -> Hub {
    let mut hub = Hub::new(HubConfig::default());
    hub.define_set(SetDef::new("orders")).expect("a set");
    let nodes = [r#"{"id":1,"n":1}"#, r#"{"id":2,"n":2}"#].map(support::order_of);
    hub.commit(now(), nodes.into()).expect("rows");
    hub
}

/// Everything that is sent to a connection, verdicts by `verdict`.
fn drain(hub: &mut Hub, conn: ConnectionId) -> Vec<String> {
    while hub.poll_output().is_some() {}
    let mut texts = Vec::new();
    let mut out = Vec::new();
    while let Some(liveset_core::Transmit::Text) = hub.poll_transmit(now(), conn, &mut out) {
        texts.push(String::from_utf8(std::mem::take(&mut out)).expect("JSON is UTF-8"));
    }
    texts
}

const AUTH: &str = r#"{"type":"auth","token":"t"}"#;

fn attempt(hub: &mut Hub) -> liveset_core::Attempt {
    loop {
        match hub.poll_output() {
            Some(Output::Verify { attempt, .. }) => return attempt,
            Some(_) => {}
            None => panic!("no token to verify"),
        }
    }
}

fn create(id: &str, filter: &str) -> String {
    format!(
        r#"{{"type":"createLiveQuery","requestId":"r","id":"{id}","query":{{"edge":"orders","filter":"{filter}"}}}}"#
    )
}

/// A conversation in which everything that can be wrong is wrong once.
fn texts() -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = [
        AUTH.into(),
        create("a", "n == 1"),
        create("a", "n == 1"),
        create("b", "n = 1"),
        r#"{"type":"createLiveQuery","id":"c","query":{"edge":"ordres","filter":"n ="}}"#.into(),
        r#"{"type":"createLiveQuery","id":"d","query":{"edge":"orders","orderBy":"n,,"}}"#.into(),
        r#"{"type":"createLiveQuery","id":"e","query":{"edge":"orders","node":{"fields":["n.."]}}}"#.into(),
        r#"{"type":"createLiveQuery","id":"f","query":{"edge":"orders","limit":0}}"#.into(),
        r#"{"type":"createLiveQuery","id":"g","query":{"edge":"orders","node":{"fields":["n"]},"limit":1},"options":{"counts":true}}"#.into(),
        r#"{"type":"subscribeEvents","requestId":"s","subscriptions":[{"id":"x","path":"jobs","events":["jobFailed"]},{"id":"y","path":"nope","events":["z"]}]}"#.into(),
        r#"{"type":"unsubscribeEvents","ids":["x"]}"#.into(),
        r#"{"type":"destroyLiveQuery","id":"a","requestId":"\u0000"}"#.into(),
        r#"{"type":"ping","requestId":"p"}"#.into(),
        r#"{"type":"nonsense"}"#.into(),
        "no JSON".into(),
    ]
    .map(String::into_bytes)
    .into();
    texts.push(vec![b'"', 0xff]);
    texts
}

#[test]
fn what_is_read_ahead_is_answered_alike() {
    let (mut plain, mut ahead) = (hub(), hub());
    let parser = ahead.parser();
    let (a, b) = (plain.connect(now()), ahead.connect(now()));
    for text in texts() {
        plain.handle_text(now(), a, &text);
        let is_early = ahead.principal(b).is_none();
        let message = if is_early { parser.early_message(&text) } else { parser.message(&text) };
        ahead.handle_message(now(), b, message);
        if text == AUTH.as_bytes() {
            let (x, y) = (attempt(&mut plain), attempt(&mut ahead));
            plain.handle_verdict(now(), a, x, Ok(Principal::new("a")));
            ahead.handle_verdict(now(), b, y, Ok(Principal::new("a")));
        }
        let (a, b) = (drain(&mut plain, a), drain(&mut ahead, b));
        assert_eq!(a, b, "{}", String::from_utf8_lossy(&text));
    }
    assert!(plain.stats().parsed > 0);
    assert_eq!(ahead.stats().parsed, 0);
    let wrong = |hub: &Hub, conn| hub.session(conn).map(|session| session.state());
    assert_eq!(wrong(&plain, a), wrong(&ahead, b));
}

/// "Before a connection is authenticated nothing but the message's frame is parsed": what it sends early is held as text, and read when it
/// is known whose it is.
#[test]
fn what_was_sent_before_the_verdict_is_read_before_it() {
    for (read, parsed) in [(true, 0), (false, 3)] {
        let mut hub = hub();
        let parser = hub.parser();
        let conn = hub.connect(now());
        hub.handle_message(now(), conn, parser.early_message(AUTH.as_bytes()));
        for id in ["a", "b", "c"] {
            hub.handle_message(now(), conn, parser.early_message(create(id, "n == 1").as_bytes()));
        }
        let texts = hub.held_texts(conn);
        assert_eq!(texts.len(), 3);
        if read {
            let messages = texts.iter().map(|text| parser.message(text)).collect();
            hub.read_held(conn, messages);
            assert!(hub.held_texts(conn).is_empty());
        }
        // One more that nobody has read.
        hub.handle_message(now(), conn, parser.early_message(create("d", "n == 1").as_bytes()));
        let attempt = attempt(&mut hub);
        hub.handle_verdict(now(), conn, attempt, Ok(Principal::new("a")));
        assert_eq!(hub.stats().parsed, parsed + 1);
        let created = drain(&mut hub, conn);
        let ids: Vec<_> = created.iter().filter(|text| text.contains("liveQueryCreated")).collect();
        assert_eq!(ids.len(), 4);
        assert!(
            ids.iter().zip(["a", "b", "c", "d"]).all(|(text, id)| text.contains(&format!(r#""id":"{id}""#)))
        );
    }
}

#[test]
fn a_refused_token_has_nothing_parsed() {
    let mut hub = hub();
    let parser = hub.parser();
    let conn = hub.connect(now());
    hub.handle_message(now(), conn, parser.early_message(AUTH.as_bytes()));
    hub.handle_message(now(), conn, parser.early_message(create("a", "n == 1").as_bytes()));
    let attempt = attempt(&mut hub);
    hub.handle_verdict(now(), conn, attempt, Err(AuthRefused));
    assert_eq!((hub.stats().parsed, hub.stats().planned), (0, 0));
    assert!(matches!(hub.session(conn).map(|s| s.state()), Some(SessionState::Closing(_))));
}

#[test]
fn a_set_that_a_parser_does_not_know_is_found_all_the_same() {
    let mut hub = hub();
    let parser = hub.parser();
    let spec = |edge: &str| Query { set: edge.into(), filter: Some("n ==".into()), ..Query::default() };
    let early = parser.query(spec("notes"));
    let error = hub.query_prepared(now(), None, &early).expect_err("there is no such set").message;
    assert!(error.contains("notes") && !error.contains("filter"), "{error}");
    hub.define_set(SetDef::new("notes")).expect("a set");
    let error = hub.query_prepared(now(), None, &early).expect_err("the filter is wrong").message;
    assert!(error.contains("filter, line 1"), "{error}");
    assert_eq!(hub.query(now(), None, &spec("notes")).expect_err("the same").message, error);
    assert_eq!(hub.explain_prepared(now(), None, &early).expect_err("the same").message, error);
    assert_eq!(hub.watch_prepared(now(), &early).expect_err("the same").to_string(), error);
}

//! Rule 8: "`destroyLiveQuery` drops what is pending and stops the stream: nothing of that query follows
//! `liveQueryDestroyed`, and its memory is free. The id can be used again; a refused create leaves its id free."

use std::sync::{Arc, Weak};

use liveset_core::{Request, SessionLimits};

use crate::util::*;

const DESTROY: &str = r#"{"type":"destroyLiveQuery","id":"q"}"#;

#[test]
fn nothing_follows_destroyed() {
    let mut server = Server::active(SessionLimits::default().chunk_rows(1));
    let ticket = server.create("q", "counts", snapshot(1, &[("a", 1), ("b", 2)]));
    server.text();
    assert!(server.text().is_some_and(|text| text.contains(r#""hasMore":true"#)));
    server.change(ticket, batch(2, 3, [added("c", 3)]));
    assert_eq!(server.ask(DESTROY), [r#"{"type":"liveQueryDestroyed","id":"q"}"#]);
    server.change(ticket, batch(3, 2, [removed("c", 3)]));
    assert!(server.texts().is_empty());
    let requests = server.requests();
    assert_eq!(requests, [Request::LiveQueryDestroyed { ticket, id: "q".into() }]);
}

#[test]
fn its_memory_is_free() {
    let mut server = Server::active(SessionLimits::default());
    let rows = Arc::new(snapshot(1, &[("a", 1)]));
    let changes = Arc::new(batch(2, 2, [added("c", 3)]));
    let (rows_held, changes_held): (Weak<_>, Weak<_>) = (Arc::downgrade(&rows), Arc::downgrade(&changes));
    server.send(&create_text("q", ""));
    let ticket = server.create_request();
    server.session.accept_live_query(server.now, ticket, rows);
    server.session.live_query_changed(ticket, &changes);
    drop(changes);
    assert!(rows_held.upgrade().is_some() && changes_held.upgrade().is_some());
    server.send(DESTROY);
    assert!(rows_held.upgrade().is_none() && changes_held.upgrade().is_none());
}

#[test]
fn the_id_can_be_used_again_at_once() {
    let mut server = Server::active(SessionLimits::default());
    let first = server.create("q", "", snapshot(1, &[("a", 1)]));
    server.send(DESTROY);
    server.send(&create_text("q", ""));
    let requests = server.requests();
    let [Request::LiveQueryDestroyed { .. }, Request::CreateLiveQuery { ticket: second, .. }] = &requests[..]
    else {
        panic!("{requests:?}")
    };
    assert_ne!(first, *second);
    server.session.accept_live_query(server.now, *second, Arc::new(snapshot(1, &[("b", 1)])));
    server.change(first, batch(2, 2, [added("old", 1)]));
    server.change(*second, batch(2, 2, [added("new", 2)]));
    let texts = server.texts();
    let kinds: Vec<_> = texts.iter().map(|text| text.split('"').nth(3).unwrap()).collect();
    assert_eq!(
        kinds,
        ["liveQueryCreated", "liveQueryDestroyed", "liveQueryCreated", "liveQueryData", "liveQueryAddedNode"]
    );
    assert!(texts[3].contains(r#""id":"b""#) && texts[4].contains(r#""nodeId":"new""#));
}

#[test]
fn an_id_that_is_not_there_is_unknown_id() {
    let mut server = Server::active(SessionLimits::default());
    let texts = server.ask(DESTROY);
    assert_error(&texts, "UNKNOWN_ID");
    assert!(texts[0].ends_with(r#","id":"q"}"#));
    server.create("q", "", snapshot(1, &[]));
    server.texts();
    assert_eq!(server.ask(DESTROY).len(), 1);
    assert_error(&server.ask(DESTROY), "UNKNOWN_ID");
}

#[test]
fn twenty_thousand_times_leaves_nothing() {
    let limits = SessionLimits::default().message_burst(u32::MAX);
    let mut server = Server::active(limits);
    let rows = Arc::new(snapshot(1, &[("a", 1)]));
    for _ in 0..20_000 {
        server.send(&create_text("q", ""));
        let ticket = server.create_request();
        server.session.accept_live_query(server.now, ticket, rows.clone());
        server.send(DESTROY);
        server.session.poll_request();
        server.text();
        server.text();
    }
    assert_eq!(server.session.live_queries().count(), 0);
    assert_eq!(Arc::strong_count(&rows), 1);
    assert!(!server.session.wants_transmit());
}

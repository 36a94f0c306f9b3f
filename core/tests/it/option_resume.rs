//! "`resume: true` | `liveQueryCreated` and the diffs carry an opaque `version`; a later `createLiveQuery` with `"since":
//! version` and the same query gets `liveQueryResumed` and the net diffs since then, or … the ordinary created/data
//! sequence"

use std::sync::Arc;

use liveset_core::{About, LiveQueryOptions, LiveQueryRequest, LiveResult, Query, Resumption, SessionLimits};

use crate::pair::Pair;
use crate::util::*;

fn versions(texts: &[String]) -> Vec<Option<&str>> {
    texts.iter().map(|text| text.split_once(r#""version":""#)?.1.split('"').next()).collect()
}

#[test]
fn only_the_last_diff_of_a_commit_carries_its_version() {
    for backlog_changes in [0, 256] {
        let mut server = Server::active(SessionLimits::default().backlog_changes(backlog_changes));
        let ticket = server.create("q", "resume counts", snapshot(7, &[("a", 1)]));
        assert_eq!(versions(&server.texts()), [Some("7"), None]);
        server.change(ticket, batch(9, 3, [removed("a", 1), added("b", 2), added("c", 3)]));
        assert_eq!(versions(&server.texts()), [Some("7"), Some("7"), Some("9"), None]);
        server.change(ticket, batch(12, 3, [updated("b", 2, 3)]));
        assert_eq!(versions(&server.texts()), [Some("12")]);
    }
}

#[test]
fn a_fold_reaches_the_version_when_it_is_empty() {
    let mut server = Server::active(SessionLimits::default().backlog_changes(0));
    let ticket = server.create("q", "resume", snapshot(1, &[]));
    server.texts();
    server.change(ticket, batch(2, 2, [added("a", 1), added("b", 2)]));
    assert_eq!(versions(&[server.text().unwrap()]), [Some("1")]);
    server.change(ticket, batch(3, 3, [added("c", 3)]));
    assert_eq!(versions(&server.texts()), [Some("1"), Some("3")]);
}

#[test]
fn resumed_then_the_net_diffs() {
    let mut server = Server::active(SessionLimits::default());
    server.send(
        r#"{"type":"createLiveQuery","requestId":"r","id":"q","query":{"edge":"orders"},"options":{"resume":true},"since":"5"}"#,
    );
    let ticket = server.create_request();
    let changes = Arc::new(batch(9, 2, [removed("a", 1), added("b", 2)]));
    let window = snapshot(9, &[("b", 2), ("c", 3)]);
    server.session.resume_live_query(server.now, ticket, changes, &window);
    assert_eq!(
        server.texts(),
        [
            r#"{"type":"liveQueryResumed","requestId":"r","id":"q","totalCount":2,"capped":false,"version":"5"}"#,
            r#"{"type":"liveQueryRemovedNode","id":"q","nodeId":"a","version":"5"}"#,
            r#"{"type":"liveQueryAddedNode","id":"q","nodeId":"b","data":{"id":"b","n":2},"etag":"0xnE-iGkjYUMUIR9xAls1Q","version":"9"}"#,
        ]
    );
    server.change(ticket, batch(10, 1, [removed("c", 3)]));
    assert_eq!(versions(&server.texts()), [Some("10")]);
}

#[test]
fn resumed_with_nothing_new_is_one_message() {
    let mut server = Server::active(SessionLimits::default());
    server.send(
        r#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders"},"options":{"resume":true,"counts":true},"since":"5"}"#,
    );
    let ticket = server.create_request();
    server.session.resume_live_query(server.now, ticket, Arc::new(batch(6, 4, [])), &snapshot(6, &[]));
    assert_eq!(
        server.texts(),
        [r#"{"type":"liveQueryResumed","id":"q","totalCount":4,"capped":false,"version":"6"}"#],
        "the version of now"
    );
    assert!(!server.session.wants_transmit());
}

#[test]
fn every_version_carries_the_mark_of_the_query() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create_marked("q", "resume", snapshot(7, &[("a", 1)]), "x-");
    server.change(ticket, batch(9, 1, [updated("a", 1, 2)]));
    assert_eq!(versions(&server.texts()), [Some("x-7"), None, Some("x-9")]);

    server.send(
        r#"{"type":"createLiveQuery","id":"r","query":{"edge":"orders"},"options":{"resume":true},"since":"x-7"}"#,
    );
    let ticket = server.create_request();
    let changes = Arc::new(batch(9, 2, [removed("a", 1), added("b", 2)]));
    let about = About { mark: "x-".into(), ..About::default() };
    let window = snapshot(9, &[("b", 2)]);
    let resumption = Resumption { batch: changes, window: &window, drop: None };
    server.session.resume_and_tell(server.now, ticket, resumption, about);
    assert_eq!(versions(&server.texts()), [Some("x-7"), Some("x-7"), Some("x-9")]);
}

fn request(resume_from: Option<LiveResult>) -> LiveQueryRequest {
    request_with(true, resume_from)
}

fn request_with(positions: bool, resume_from: Option<LiveResult>) -> LiveQueryRequest {
    let query = Query { set: "orders".into(), ..Query::default() };
    let options = LiveQueryOptions { positions, resume: true, ..LiveQueryOptions::default() };
    LiveQueryRequest { options, resume_from, ..LiveQueryRequest::new("q", query) }
}

/// A connection that is cut within a commit must not lose the rest of it, and nothing is applied twice: whatever was the
/// last message to arrive, the client goes on from the last version that was complete.
#[test]
fn a_client_that_was_cut_anywhere_goes_on() {
    let first = [removed("a", 1), updated("c", 3, 1), updated("b", 2, 5), added("d", 7)];
    let second = [removed("d", 7), added("e", 0), updated("c", 1, 9)];
    // The same history as one net batch since version 1, and since version 2.
    let since_1 = [removed("a", 1), added("e", 0), updated("b", 2, 5), updated("c", 3, 9)];
    for arrived in 0..=7 {
        let mut pair = Pair::new(SessionLimits::default());
        pair.client.create_live_query(request(None));
        let ticket = pair.create_with(snapshot(1, &[("a", 1), ("b", 2), ("c", 3)]));
        pair.server.live_query_changed(ticket, &Arc::new(batch(2, 3, first.clone())));
        pair.server.live_query_changed(ticket, &Arc::new(batch(3, 3, second.clone())));
        for _ in 0..arrived {
            assert!(pair.one_from_server().unwrap());
        }
        let result = pair.client.live_query("q").unwrap().clone();
        let version = result.version().unwrap().to_owned();
        assert_eq!(version, ["1", "1", "1", "1", "2", "2", "2", "3"][arrived]);

        let mut pair = Pair::new(SessionLimits::default());
        pair.client.create_live_query(request(Some(result)));
        let (ticket, since) = pair.create_request();
        assert_eq!(since, Some(version.clone()));
        let changes = match version.as_str() {
            "1" => since_1.to_vec(),
            "2" => second.to_vec(),
            _ => vec![],
        };
        let window = snapshot(3, &[("e", 0), ("b", 5), ("c", 9)]);
        pair.server.resume_live_query(pair.now, ticket, Arc::new(batch(3, 3, changes)), &window);
        pair.server_speaks().unwrap();
        let result = pair.client.live_query("q").unwrap();
        assert_eq!(result.version(), Some("3"));
        let ordered: Vec<_> = result.ordered().unwrap().map(|(_, row)| row.clone()).collect();
        assert_eq!(ordered, window.rows.iter().map(|row| row.json()).collect::<Vec<_>>());
    }
}

/// Cut within a commit, and again within the net diffs since the version before it.
#[test]
fn a_client_that_was_cut_twice_goes_on() {
    let commit = [removed("a", 1), added("d", 7), added("e", 8)];
    // By now d came and went.
    let net = [removed("b", 2), updated("a", 1, 6), added("e", 8)];
    let window = snapshot(4, &[("c", 3), ("a", 6), ("e", 8)]);
    for (first, second) in (0..=2).flat_map(|first| (0..=2).map(move |second| (first, second))) {
        let mut pair = Pair::new(SessionLimits::default());
        pair.client.create_live_query(request(None));
        let ticket = pair.create_with(snapshot(1, &[("a", 1), ("b", 2), ("c", 3)]));
        pair.server.live_query_changed(ticket, &Arc::new(batch(2, 4, commit.clone())));
        (0..first).for_each(|_| assert!(pair.one_from_server().unwrap()));
        let mut result = pair.client.live_query("q").unwrap().clone();
        for arrived in [second, 3] {
            let mut pair = Pair::new(SessionLimits::default());
            pair.client.create_live_query(request(Some(result)));
            let (ticket, since) = pair.create_request();
            assert_eq!(since.as_deref(), Some("1"));
            let batch = Arc::new(batch(4, 3, net.clone()));
            pair.server.resume_live_query(pair.now, ticket, batch, &window);
            (0..=arrived).for_each(|_| assert!(pair.one_from_server().unwrap()));
            result = pair.client.live_query("q").unwrap().clone();
        }
        assert_eq!(result.version(), Some("4"));
        let ordered: Vec<_> = result.ordered().unwrap().map(|(_, row)| row.clone()).collect();
        assert_eq!(ordered, window.rows.iter().map(|row| row.json()).collect::<Vec<_>>());
    }
}

/// A message that makes no sense ends a connection; what came before it is worth as much as before.
#[test]
fn a_message_that_does_not_fit_spoils_nothing() {
    let mut pair = Pair::new(SessionLimits::default());
    pair.client.create_live_query(request(None));
    let ticket = pair.create_with(snapshot(1, &[("a", 1), ("b", 2)]));
    pair.server.live_query_changed(ticket, &Arc::new(batch(2, 2, [updated("a", 1, 5), removed("b", 2)])));
    assert!(pair.one_from_server().unwrap());
    let wrong =
        br#"{"type":"liveQueryUpdatedNode","id":"q","nodeId":"a","data":{"id":"a"},"index":9,"version":"1"}"#;
    assert!(pair.client.handle_text(pair.now, wrong).is_err());
    let result = pair.client.live_query("q").unwrap().clone();
    let mut pair = Pair::new(SessionLimits::default());
    pair.client.create_live_query(request(Some(result)));
    let (ticket, since) = pair.create_request();
    assert_eq!(since.as_deref(), Some("1"));
    pair.server.resume_live_query(
        pair.now,
        ticket,
        Arc::new(batch(1, 2, [])),
        &snapshot(1, &[("a", 1), ("b", 2)]),
    );
    pair.server_speaks().unwrap();
    let result = pair.client.live_query("q").unwrap();
    let rows: Vec<_> = result.ordered().unwrap().map(|(_, row)| row.clone()).collect();
    assert_eq!(rows, [&br#"{"id":"a","n":1}"#[..], &br#"{"id":"b","n":2}"#[..]]);
}

#[test]
fn options_may_be_others_but_places_are_not_made_up() {
    for (had, wants) in [(true, true), (true, false), (false, false), (false, true)] {
        let mut pair = Pair::new(SessionLimits::default());
        pair.client.create_live_query(request_with(had, None));
        pair.create_with(snapshot(1, &[("a", 1), ("b", 2)]));
        let result = pair.client.live_query("q").unwrap().clone();
        let mut pair = Pair::new(SessionLimits::default());
        pair.client.create_live_query(request_with(wants, Some(result)));
        let (ticket, since) = pair.create_request();
        assert_eq!(since.is_some(), had || !wants);
        if since.is_some() {
            let changes = Arc::new(batch(2, 2, [updated("a", 1, 5)]));
            pair.server.resume_live_query(pair.now, ticket, changes, &snapshot(2, &[("b", 2), ("a", 5)]));
            pair.server_speaks().unwrap();
            let result = pair.client.live_query("q").unwrap();
            assert_eq!((result.ordered().is_some(), result.version()), (wants, Some("2")));
            assert_eq!(result.row("a").map(|row| &row[..]), Some(&br#"{"id":"a","n":5}"#[..]));
        }
    }
}

#[test]
fn where_that_is_no_longer_known_it_begins_anew() {
    let mut pair = Pair::new(SessionLimits::default());
    pair.client.create_live_query(request(None));
    pair.create_with(snapshot(1, &[("a", 1)]));
    let result = pair.client.live_query("q").unwrap().clone();
    let mut pair = Pair::new(SessionLimits::default());
    pair.client.create_live_query(request(Some(result)));
    pair.create_with(snapshot(8, &[("b", 1)]));
    let result = pair.client.live_query("q").unwrap();
    assert_eq!((result.len(), result.version(), result.row("a")), (1, Some("8"), None));
}

#[test]
fn a_load_that_was_cut_is_not_resumed() {
    let mut pair = Pair::new(SessionLimits::default().chunk_rows(1));
    pair.client.create_live_query(request(None));
    let (ticket, _) = pair.create_request();
    pair.server.accept_live_query(pair.now, ticket, Arc::new(snapshot(1, &[("a", 1), ("b", 2)])));
    pair.one_from_server().unwrap();
    pair.one_from_server().unwrap();
    let result = pair.client.live_query("q").unwrap().clone();
    assert_eq!((result.len(), result.is_loaded(), result.version()), (1, false, None));
    let mut pair = Pair::new(SessionLimits::default());
    pair.client.create_live_query(request(Some(result)));
    assert_eq!(pair.create_request().1, None);
}

#[test]
fn nobody_else_gets_versions() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("q", "positions counts reasons", snapshot(1, &[]));
    server.change(ticket, batch(2, 1, [added("a", 1)]));
    assert!(server.texts().iter().all(|text| !text.contains("version")));
}

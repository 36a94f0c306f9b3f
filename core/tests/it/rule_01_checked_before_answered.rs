//! Rule 1: "`createLiveQuery` is checked in full … before anything is answered."

use std::sync::Arc;

use liveset_core::{ErrorCode, LiveQueryOptions, Refusal, Request, SessionLimits};

use crate::util::*;

#[test]
fn nothing_is_answered_before_the_owner_did() {
    let mut server = Server::active(SessionLimits::default());
    server.send(
        r#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders","filter":"a == 1","orderBy":"b desc","limit":5,
            "node":{"fields":["a","b.c"]}},"options":{"positions":true,"resume":true},"since":"v"}"#,
    );
    assert!(server.texts().is_empty());
    let Some(Request::CreateLiveQuery { ticket, id, query, options, since, .. }) =
        server.session.poll_request()
    else {
        panic!()
    };
    assert_eq!((&*id, query.set.as_str(), query.limit), ("q", "orders", Some(5)));
    assert_eq!(query.filter.as_deref(), Some("a == 1"));
    assert_eq!(query.order_by.as_deref(), Some("b desc"));
    assert_eq!(query.fields, Some(vec!["a".to_owned(), "b.c".to_owned()]));
    assert_eq!(options, LiveQueryOptions { positions: true, resume: true, ..LiveQueryOptions::default() });
    assert_eq!(since.as_deref(), Some("v"));
    assert_eq!(server.session.live_queries().count(), 0);
    server.session.accept_live_query(server.now, ticket, Arc::new(snapshot(1, &[])));
    assert_eq!(server.texts().len(), 2);
    assert_eq!(server.session.live_queries().count(), 1);
}

#[test]
fn a_refusal_is_one_error_and_leaves_the_id_free() {
    let mut server = Server::active(SessionLimits::default());
    for _ in 0..3 {
        server.send(&create_text("q", ""));
        let ticket = server.create_request();
        let message = "line 1, column 3: expected a value".to_owned();
        let refusal = Refusal { code: ErrorCode::InvalidQuery, message, id: None };
        server.session.refuse(server.now, ticket, refusal);
        assert_eq!(
            server.texts(),
            [
                r#"{"type":"error","code":"INVALID_QUERY","message":"line 1, column 3: expected a value","id":"q"}"#
            ]
        );
        // Answered is answered.
        server.session.accept_live_query(server.now, ticket, Arc::new(snapshot(1, &[])));
        assert!(server.texts().is_empty());
    }
}

#[test]
fn an_id_in_use_is_duplicate_id() {
    let mut server = Server::active(SessionLimits::default());
    server.create("q", "", snapshot(1, &[]));
    server.texts();
    let texts = server.ask(&create_text("q", ""));
    assert_error(&texts, "DUPLICATE_ID");
    assert!(texts[0].ends_with(r#","id":"q"}"#));
    assert_eq!(server.requests(), []);
}

#[test]
fn more_than_the_limit_are_limit_exceeded() {
    for limit in [0, 1, 256] {
        let limits = SessionLimits::default().live_queries(limit);
        let mut server = Server::active(limits);
        for number in 0..limit {
            server.send(&create_text(&format!("q{number}"), ""));
        }
        let texts = server.ask(&create_text("more", ""));
        assert_error(&texts, "LIMIT_EXCEEDED");
        assert!(texts[0].ends_with(r#","id":"more"}"#));
        assert_eq!(server.requests().len(), limit);
    }
}

#[test]
fn a_refusal_for_overload_closes() {
    let mut server = Server::active(SessionLimits::default());
    server.send(&create_text("q", ""));
    let ticket = server.create_request();
    let refusal = Refusal { code: ErrorCode::Overloaded, message: "busy".into(), id: None };
    server.session.refuse(server.now, ticket, refusal);
    assert_error(&server.texts(), "OVERLOADED");
    assert_eq!(server.closed, Some(liveset_core::CloseCode::TryAgainLater));
}

//! "`subscribeEvents` and `unsubscribeEvents` are all or nothing: if any entry is invalid, nothing is changed and one
//! `error` names the first bad one." `subscribedEvents` carries the same list.

use liveset_core::model::{Refusals, limit};
use liveset_core::{ErrorCode, Refusal, Request, SessionLimits};

use crate::util::*;

fn subscribe(ids: &[&str]) -> String {
    let entries: Vec<_> =
        ids.iter().map(|id| format!(r#"{{"id":"{id}","path":"jobs","events":["x","x"]}}"#)).collect();
    format!(r#"{{"type":"subscribeEvents","subscriptions":[{}]}}"#, entries.join(","))
}

#[test]
fn the_answer_carries_the_same_list() {
    let mut server = Server::active(SessionLimits::default());
    server.send(&subscribe(&["b", "a"]));
    let specs = server.accept_subscriptions();
    assert_eq!(specs.iter().map(|spec| &*spec.id).collect::<Vec<_>>(), ["b", "a"]);
    let same = subscribe(&["b", "a"]).replace("subscribeEvents", "subscribedEvents");
    assert_eq!(server.texts(), [same]);
    assert_eq!(server.session.subscriptions().count(), 2);
}

#[test]
fn an_id_in_use_refuses_the_whole_request() {
    let mut server = Server::active(SessionLimits::default());
    server.subscribe("a", "jobs", &["x"]);
    for (ids, bad) in [(&["b", "a", "c", "c"][..], "a"), (&["b", "c", "b"], "b")] {
        server.send(&subscribe(ids));
        server.accept_subscriptions();
        let texts = server.texts();
        assert_error(&texts, "DUPLICATE_ID");
        assert!(texts[0].ends_with(&format!(r#","id":"{bad}"}}"#)), "{texts:?}");
    }
    assert_eq!(server.session.subscriptions().count(), 1);
    // What was refused is free.
    server.send(&subscribe(&["b", "c"]));
    assert_eq!(server.accept_subscriptions().len(), 2);
}

#[test]
fn the_first_bad_entry_is_named_whoever_finds_it() {
    let mut server = Server::active(SessionLimits::default().subscriptions(3));
    server.subscribe("used", "jobs", &["x"]);
    for ids in [&["a", "b", "used"][..], &["a", "b", "a"], &["a", "b", "c"]] {
        // The owner finds something in the entries before it.
        server.send(&subscribe(ids));
        let Some(Request::Subscribe { ticket, subscriptions }) = server.session.poll_request() else {
            panic!()
        };
        assert_eq!(subscriptions.iter().map(|spec| &*spec.id).collect::<Vec<_>>(), ["a", "b"]);
        let refusal = Refusal { code: ErrorCode::InvalidPath, message: "no".into(), id: Some("b".into()) };
        server.session.refuse(server.now, ticket, refusal);
        assert_eq!(server.texts(), [r#"{"type":"error","code":"INVALID_PATH","message":"no","id":"b"}"#]);
        // It does not.
        server.send(&subscribe(ids));
        let Some(Request::Subscribe { ticket, .. }) = server.session.poll_request() else { panic!() };
        assert!(!server.session.accept_subscriptions(server.now, ticket));
        let texts = server.texts();
        let code = if ids[2] == "c" { "LIMIT_EXCEEDED" } else { "DUPLICATE_ID" };
        assert_error(&texts, code);
        assert!(texts[0].ends_with(&format!(r#","id":"{}"}}"#, ids[2])), "{texts:?}");
        assert_eq!(server.session.subscriptions().count(), 1, "all or nothing");
    }
    server.send(&subscribe(&["a", "b"]));
    assert_eq!(server.accept_subscriptions().len(), 2);
    assert_eq!(server.session.subscriptions().count(), 3);
}

#[test]
fn live_queries_have_their_own_names() {
    let mut server = Server::active(SessionLimits::default());
    server.create("a", "", snapshot(1, &[]));
    server.texts();
    server.subscribe("a", "jobs", &["x"]);
    assert_eq!(server.session.subscriptions().count(), 1);
    assert_eq!(server.session.live_queries().count(), 1);
}

#[test]
fn a_refusal_of_the_owner_changes_nothing() {
    let mut server = Server::active(SessionLimits::default());
    server.send(&subscribe(&["a", "b"]));
    let Some(Request::Subscribe { ticket, .. }) = server.session.poll_request() else { panic!() };
    let refusal = Refusal { code: ErrorCode::InvalidEvent, message: "no".into(), id: Some("b".into()) };
    server.session.refuse(server.now, ticket, refusal);
    assert_eq!(server.texts(), [r#"{"type":"error","code":"INVALID_EVENT","message":"no","id":"b"}"#]);
    assert_eq!(server.session.deliver("jobs", &event("x", 1)), 0);
    server.send(&subscribe(&["a", "b"]));
    assert_eq!(server.accept_subscriptions().len(), 2);
    // The ticket of a request that was answered means nothing any more.
    server.session.accept_subscriptions(server.now, ticket);
    assert_eq!(server.session.subscriptions().count(), 2);
}

#[test]
fn more_than_the_limit_are_limit_exceeded() {
    for limit in [0, 1, 256] {
        let limits = SessionLimits::default().subscriptions(limit);
        let mut server = Server::active(limits);
        let ids: Vec<_> = (0..=limit).map(|number| format!("s{number}")).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        server.send(&subscribe(&ids));
        if limit > 0 {
            server.accept_subscriptions();
        }
        let texts = server.texts();
        assert_error(&texts, "LIMIT_EXCEEDED");
        assert!(texts[0].ends_with(&format!(r#","id":"s{limit}"}}"#)), "the first that is too many");
        if limit > 0 {
            server.send(&subscribe(&ids[..limit]));
            // Unanswered ones count too.
            assert_error(&server.ask(&subscribe(&["more"])), "LIMIT_EXCEEDED");
            server.accept_subscriptions();
            server.texts();
            assert_error(&server.ask(&subscribe(&["more"])), "LIMIT_EXCEEDED");
        }
        assert_eq!(server.closed, None);
    }
}

fn of_types(id: &str, types: &[String]) -> String {
    format!(r#"{{"id":"{id}","path":"jobs","events":[{}]}}"#, types.join(","))
}

fn at(id: &str, path: &str) -> String {
    format!(r#"{{"id":"{id}","path":"{path}","events":["x"]}}"#)
}

fn subscribe_entries(entries: &[String]) -> String {
    format!(r#"{{"type":"subscribeEvents","subscriptions":[{}]}}"#, entries.join(","))
}

#[test]
fn more_event_types_than_the_limit_are_limit_exceeded() {
    let different = |count: usize| (0..count).map(|number| format!("\"t{number}\"")).collect::<Vec<_>>();
    let same = |count: usize| vec![String::from("\"x\""); count];
    let mut refused = Refusals::default();
    refused.count(limit!(SessionLimits.subscription_events));
    for limit in [0, 1, 64] {
        for types in [different, same] {
            let limits = SessionLimits::default().subscription_events(limit);
            let mut server = Server::active(limits);
            let many = of_types("many", &types(limit + 1));
            // Alone, and behind one that is good where there can be one.
            let texts = server.ask(&subscribe_entries(std::slice::from_ref(&many)));
            assert_eq!(
                texts,
                [format!(
                    r#"{{"type":"error","code":"LIMIT_EXCEEDED","message":"A subscription may list at most {limit} event types","id":"many"}}"#
                )]
            );
            assert_eq!(server.requests(), [], "the owner is not asked");
            assert_eq!(server.session.take_refusals(), refused);
            if limit > 0 {
                let good = of_types("good", &types(limit));
                server.send(&subscribe_entries(&[good.clone(), many]));
                server.accept_subscriptions();
                let texts = server.texts();
                assert_error(&texts, "LIMIT_EXCEEDED");
                assert!(texts[0].ends_with(r#","id":"many"}"#), "{texts:?}");
                assert_eq!(server.session.subscriptions().count(), 0, "all or nothing");
                assert_eq!(server.session.take_refusals(), refused);
                server.send(&subscribe_entries(&[good]));
                server.accept_subscriptions();
                assert_eq!(server.texts().len(), 1);
                assert_eq!(server.session.subscriptions().count(), 1);
            }
            assert_eq!(server.session.take_refusals(), Refusals::default());
            assert_eq!(server.closed, None);
        }
    }
}

#[test]
fn an_event_type_that_is_listed_twice_is_kept_once_and_answered_as_it_was_listed() {
    let mut server = Server::active(SessionLimits::default());
    let list = subscribe_entries(&[of_types("a", &[r#""y""#, r#""x""#, r#""y""#].map(String::from))]);
    server.send(&list);
    let once = |specs: &[liveset_core::SubscriptionSpec]| {
        specs[0].events.iter().map(|kind| kind.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(once(&server.accept_subscriptions()), ["y", "x"]);
    assert_eq!(server.texts(), [list.replace("subscribeEvents", "subscribedEvents")]);
    let kept: Vec<_> = server.session.subscriptions().cloned().collect();
    assert_eq!(once(&kept), ["y", "x"]);
    assert_eq!(server.session.deliver("jobs", &event("y", 1)), 1);
}

#[test]
fn a_path_longer_than_the_limit_is_an_invalid_path_that_is_not_repeated() {
    for limit in [0, 1, 512] {
        let limits = SessionLimits::default().path_bytes(limit);
        let mut server = Server::active(limits);
        let (fits, long) = ("a".repeat(limit), "é".repeat(limit / 2 + 1));
        let texts = server.ask(&subscribe_entries(&[at("long", &long)]));
        assert_error(&texts, "INVALID_PATH");
        assert!(texts[0].len() < 256 && texts[0].ends_with(r#","id":"long"}"#), "{texts:?}");
        server.send(&subscribe_entries(&[at("fits", &fits), at("long", &long)]));
        server.accept_subscriptions();
        assert_error(&server.texts(), "INVALID_PATH");
        assert_eq!(server.session.subscriptions().count(), 0, "all or nothing");
        server.send(&subscribe_entries(&[at("fits", &fits)]));
        server.accept_subscriptions();
        assert_eq!(server.session.subscriptions().count(), 1);
        assert_eq!(server.closed, None);
    }
}

#[test]
fn unsubscribe_is_answered_only_where_a_request_id_was_given() {
    let mut server = Server::active(SessionLimits::default());
    server.subscribe("a", "jobs", &["x"]);
    server.subscribe("b", "jobs", &["x"]);
    server.subscribe("c", "jobs", &["x"]);
    assert!(server.ask(r#"{"type":"unsubscribeEvents","ids":["a"]}"#).is_empty());
    let texts = server.ask(r#"{"type":"unsubscribeEvents","requestId":"r","ids":["c","b"]}"#);
    assert_eq!(texts, [r#"{"type":"unsubscribedEvents","requestId":"r","ids":["c","b"]}"#]);
    let requests = server.requests();
    let [Request::Unsubscribed { subscriptions: first }, Request::Unsubscribed { subscriptions: second }] =
        &requests[..]
    else {
        panic!("{requests:?}")
    };
    assert_eq!((&*first[0].id, &*second[0].id, &*second[1].id), ("a", "c", "b"));
    assert_eq!(server.session.deliver("jobs", &event("x", 1)), 0);
}

#[test]
fn an_unknown_id_refuses_the_whole_unsubscribe() {
    let mut server = Server::active(SessionLimits::default());
    server.subscribe("a", "jobs", &["x"]);
    for (ids, bad) in [(r#"["a","b","c"]"#, "b"), (r#"["a","a"]"#, "a")] {
        let texts = server.ask(&format!(r#"{{"type":"unsubscribeEvents","ids":{ids}}}"#));
        assert_error(&texts, "UNKNOWN_ID");
        assert!(texts[0].ends_with(&format!(r#","id":"{bad}"}}"#)), "{texts:?}");
    }
    assert_eq!(server.session.subscriptions().count(), 1);
    assert_eq!(server.requests(), []);
}

#[test]
fn no_event_follows_unsubscribed() {
    let mut server = Server::active(SessionLimits::default());
    server.subscribe("a", "jobs", &["x"]);
    server.subscribe("b", "jobs", &["x"]);
    server.session.deliver("jobs", &event("x", 1));
    let texts = server.ask(r#"{"type":"unsubscribeEvents","requestId":"r","ids":["a"]}"#);
    assert_eq!(texts.len(), 2);
    assert!(texts[1].contains(r#""subscriptionIds":["b"]"#), "{texts:?}");
    server.session.deliver("jobs", &event("x", 2));
    assert!(server.ask(r#"{"type":"unsubscribeEvents","ids":["b"]}"#).is_empty());
    assert_eq!(server.session.backlog().events, 0);
    assert_eq!(server.requests().len(), 2);
    server.subscribe("a", "jobs", &["x"]);
    assert!(server.texts().is_empty(), "what a subscription missed does not come to its successor");
}

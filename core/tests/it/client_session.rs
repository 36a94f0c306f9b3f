//! The client's end: answers pings, notices a silent server, correlates, and takes no nonsense.

use liveset_core::{
    ClientError, ClientEvent, ClientLimits, ClientSession, Ended, ErrorCode, LiveQueryRequest, Monotonic,
    NodeChange, Query, Request, SessionLimits, SubscriptionSpec,
};

use crate::pair::Pair;
use crate::util::*;

fn spec(id: &str) -> SubscriptionSpec {
    SubscriptionSpec { id: id.into(), path: "jobs".into(), events: vec!["x".into()] }
}

fn live_query(id: &str) -> LiveQueryRequest {
    LiveQueryRequest::new(id, Query { set: "orders".into(), ..Query::default() })
}

#[test]
fn it_answers_pings_and_lives_on() {
    let mut pair = Pair::new(SessionLimits::default());
    for _ in 0..200 {
        let next = pair.server.poll_timeout().unwrap().min(pair.client.poll_timeout().unwrap());
        pair.now = next;
        pair.server.handle_timeout(next);
        pair.client.handle_timeout(next);
        pair.server_speaks().unwrap();
        pair.client_speaks();
    }
    assert_eq!(pair.events(), []);
    assert!(!pair.server.is_closed());
}

#[test]
fn a_server_silent_for_a_minute_is_lost_once() {
    let mut client = ClientSession::new(ClientLimits::default(), Monotonic::ZERO);
    let ping = br#"{"type":"ping"}"#;
    client.handle_text(Monotonic::ZERO + seconds(10), ping).unwrap();
    assert_eq!(client.poll_timeout(), Some(Monotonic::ZERO + seconds(70)));
    client.handle_timeout(Monotonic::ZERO + seconds(69));
    assert_eq!(client.poll_event(), None);
    client.handle_timeout(Monotonic::ZERO + seconds(70));
    client.handle_timeout(Monotonic::ZERO + seconds(80));
    assert_eq!((client.poll_event(), client.poll_event()), (Some(ClientEvent::Lost), None));
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn subscriptions_come_and_go() {
    let mut pair = Pair::new(SessionLimits::default());
    let request = pair.client.subscribe(vec![spec("a"), spec("b")]);
    pair.client_speaks();
    let Some(Request::Subscribe { ticket, .. }) = pair.server.poll_request() else { panic!() };
    pair.server.accept_subscriptions(pair.now, ticket);
    pair.server.deliver("jobs", &event("x", 7));
    pair.server_speaks().unwrap();
    let events = pair.events();
    assert_eq!(events[0], ClientEvent::Subscribed { request, ids: vec!["a".into(), "b".into()] });
    let ClientEvent::Event { subscription_ids, path, event: got } = &events[1] else { panic!() };
    assert_eq!((subscription_ids.len(), &**path, got), (2, "jobs", &*event("x", 7)));
    let request = pair.client.unsubscribe(["b"]);
    pair.client_speaks();
    pair.server_speaks().unwrap();
    assert_eq!(pair.events(), [ClientEvent::Unsubscribed { request, ids: vec!["b".into()] }]);
    assert_eq!(pair.client.subscriptions().count(), 1);
    assert_eq!(pair.client.unanswered(), 0);
}

#[test]
fn a_live_query_is_folded_into_its_result() {
    let mut pair = Pair::new(SessionLimits::default());
    let request = pair.client.create_live_query(live_query("q"));
    assert!(pair.client.live_query("q").is_none());
    let ticket = pair.create_with(snapshot(1, &[("a", 1), ("b", 2)]));
    let changes = batch(2, 2, [removed("a", 1), updated("b", 2, 3), added("c", 4)]);
    pair.server.live_query_changed(ticket, &std::sync::Arc::new(changes));
    pair.server_speaks().unwrap();
    let changed =
        |node: &str, change| ClientEvent::LiveQueryChanged { id: "q".into(), node_id: node.into(), change };
    assert_eq!(
        pair.events(),
        [
            ClientEvent::LiveQueryCreated { request, id: "q".into(), hints: Vec::new() },
            ClientEvent::LiveQueryRows { id: "q".into(), rows: 2, loaded: true },
            changed("a", NodeChange::Removed { reason: None }),
            changed("b", NodeChange::Updated { index: None }),
            changed("c", NodeChange::Added { index: None, reason: None }),
        ]
    );
    let result = pair.client.live_query("q").unwrap();
    assert_eq!((result.len(), result.total_count(), result.is_loaded()), (2, 2, true));
    assert_eq!(result.row("b").map(|row| &row[..]), Some(&br#"{"id":"b","n":3}"#[..]));
    assert!(result.ordered().is_none() && result.version().is_none());
    let request = pair.client.destroy_live_query("q");
    pair.client_speaks();
    pair.server_speaks().unwrap();
    assert_eq!(pair.events(), [ClientEvent::LiveQueryDestroyed { request, id: "q".into() }]);
    assert!(pair.client.live_query("q").is_none());
}

#[test]
fn errors_say_which_request_failed_and_what_ended() {
    let mut pair = Pair::new(SessionLimits::default());
    let request = pair.client.destroy_live_query("q");
    pair.client_speaks();
    pair.server_speaks().unwrap();
    let events = pair.events();
    let ClientEvent::Error { code, request: failed, id, ended, .. } = &events[0] else { panic!() };
    assert_eq!(
        (*code, *failed, id.as_deref(), *ended),
        (Some(ErrorCode::UnknownId), Some(request), Some("q"), None)
    );

    pair.client.create_live_query(live_query("q"));
    let ticket = pair.create_with(snapshot(1, &[]));
    pair.events();
    pair.server.end_live_query(pair.now, ticket, ErrorCode::Forbidden, "no");
    pair.server_speaks().unwrap();
    let events = pair.events();
    let ClientEvent::Error { request, ended, .. } = &events[0] else { panic!() };
    assert_eq!((*request, *ended), (None, Some(Ended::LiveQuery)));
    assert!(pair.client.live_query("q").is_none());
}

#[test]
fn a_server_that_contradicts_itself_is_an_error() {
    let started = || {
        let mut client = ClientSession::new(ClientLimits::default(), Monotonic::ZERO);
        client.create_live_query(live_query("q"));
        let mut say = move |text: &str| client.handle_text(Monotonic::ZERO, text.as_bytes());
        say(r#"{"type":"liveQueryCreated","requestId":"1","id":"q","totalCount":1,"capped":false}"#).unwrap();
        say(r#"{"type":"liveQueryData","id":"q","data":[{"id":"a"}],"hasMore":false,"capped":false}"#)
            .unwrap();
        say
    };
    for text in [
        r#"{"type":"liveQueryData","id":"q","data":[],"hasMore":false,"capped":false}"#
            .replace("[]", r#"[{"id":"b"}]"#),
        r#"{"type":"liveQueryAddedNode","id":"q","nodeId":"a","data":{}}"#.into(),
        r#"{"type":"liveQueryUpdatedNode","id":"q","nodeId":"b","data":{}}"#.into(),
        r#"{"type":"liveQueryRemovedNode","id":"q","nodeId":"b"}"#.into(),
        r#"{"type":"liveQueryRemovedNode","id":"other","nodeId":"a"}"#.into(),
        r#"{"type":"liveQueryDestroyed","id":"q"}"#.into(),
        r#"{"type":"liveQueryCreated","requestId":"1","id":"q","totalCount":1,"capped":false}"#.into(),
        r#"{"type":"authenticated","requestId":"9"}"#.into(),
        r#"{"type":"event","subscriptionIds":["s"],"eventType":"x","path":"p","data":1,"timestamp":"t"}"#
            .into(),
    ] {
        let result = started()(&text);
        assert!(matches!(result, Err(ClientError::Inconsistent(_))), "{text}: {result:?}");
    }
    assert!(matches!(started()("nonsense"), Err(ClientError::Malformed(_))));
    assert_eq!(started()(r#"{"type":"somethingNew","x":1}"#), Ok(()), "a later protocol may say more");
}

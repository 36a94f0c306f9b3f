//! Every message in both directions: the text that the protocol shows, and reading back what was written.

use liveset_core::{
    AuthOptions, ClientBody, ClientMessage, Etag, Hint, LiveQueryOptions, Param, Query, Raw, Reason,
    ServerMessage, ServerMessageError, SubscriptionSpec, Token,
};

/// What a client may choose, at its worst.
const EVIL: &str = "a\"b\\c\n\u{1}\u{2028}é🦀";

/// Of the bytes 0 to 15.
const ETAG: &str = "AAECAwQFBgcICQoLDA0ODw";

fn entry() -> SubscriptionSpec {
    SubscriptionSpec {
        id: EVIL.into(),
        path: "jobs".into(),
        events: vec!["jobCompleted".into(), EVIL.into()],
    }
}

#[test]
fn client_messages_read_back() {
    let query = Query {
        set: "orders".into(),
        filter: Some("status == $status and at > $since".into()),
        params: [
            ("status".into(), EVIL.into()),
            ("since".into(), Param::Instant("2025-12-07".into())),
            (EVIL.into(), Param::from(vec![Some(1), None])),
        ]
        .into(),
        order_by: Some("createdAt desc".into()),
        limit: Some(50),
        fields: Some(vec!["id".into(), "customer.name".into()]),
    };
    let bare = Query { set: EVIL.into(), ..Query::default() };
    let options = LiveQueryOptions {
        positions: true,
        counts: true,
        reasons: true,
        resume: true,
        status: true,
        hints: true,
    };
    let bodies = [
        ClientBody::Auth { token: Token::new(EVIL), options: AuthOptions::default() },
        ClientBody::Pong,
        ClientBody::Ping,
        ClientBody::SubscribeEvents { subscriptions: vec![entry(), entry()] },
        ClientBody::UnsubscribeEvents { ids: vec![EVIL.into(), "b".into()] },
        ClientBody::CreateLiveQuery {
            id: EVIL.into(),
            query,
            options,
            since: Some("v1".into()),
            have: Some(vec![Etag::of("a", b"{}")]),
        },
        ClientBody::CreateLiveQuery {
            id: "q".into(),
            query: bare,
            options: LiveQueryOptions::default(),
            since: None,
            have: None,
        },
        ClientBody::DestroyLiveQuery { id: EVIL.into() },
    ];
    for body in bodies {
        for request_id in [None, Some(EVIL)] {
            let message = ClientMessage { request_id: request_id.map(Box::from), body: body.clone() };
            let mut text = Vec::new();
            message.write(&mut text);
            assert_eq!(ClientMessage::parse(&text, 128), Ok(message), "{}", String::from_utf8_lossy(&text));
        }
    }
}

#[test]
fn client_messages_as_the_document_shows_them() {
    let read = |text: &'static str| ClientMessage::parse(text.as_bytes(), 128).unwrap();
    let subscribe = read(
        r#"{ "type": "subscribeEvents", "requestId": "req-1", "subscriptions": [
            { "id": "my-jobs", "path": "jobs", "events": ["jobScheduled", "jobStarted"] } ] }"#,
    );
    assert_eq!(subscribe.request_id.as_deref(), Some("req-1"));
    let ClientBody::SubscribeEvents { subscriptions } = subscribe.body else { panic!() };
    assert_eq!((&*subscriptions[0].id, &*subscriptions[0].path), ("my-jobs", "jobs"));
    assert_eq!(subscriptions[0].events, ["jobScheduled".into(), "jobStarted".into()]);

    let create = read(
        r#"{ "type": "createLiveQuery", "id": "lq-orders", "query": {
            "edge": "orders", "filter": "status == 'processing'", "orderBy": "createdAt desc" } }"#,
    );
    let ClientBody::CreateLiveQuery { id, query, options, since, .. } = create.body else { panic!() };
    assert_eq!((&*id, query.set.as_str(), since), ("lq-orders", "orders", None));
    assert_eq!(query.filter.as_deref(), Some("status == 'processing'"));
    assert_eq!(query.order_by.as_deref(), Some("createdAt desc"));
    assert_eq!(options, LiveQueryOptions::default());
}

/// Each server message, and its text in the order of fields that the protocol shows.
fn server_messages() -> Vec<(ServerMessage<'static>, &'static str)> {
    let data = Raw(br#"{"id":"n"}"#);
    vec![
        (ServerMessage::Authenticated { request_id: None }, r#"{"type":"authenticated"}"#),
        (
            ServerMessage::Authenticated { request_id: Some("r".into()) },
            r#"{"type":"authenticated","requestId":"r"}"#,
        ),
        (ServerMessage::Ping, r#"{"type":"ping"}"#),
        (ServerMessage::Pong { request_id: None }, r#"{"type":"pong"}"#),
        (
            ServerMessage::SubscribedEvents {
                request_id: Some("req-1".into()),
                subscriptions: vec![SubscriptionSpec {
                    id: "my-jobs".into(),
                    path: "jobs".into(),
                    events: vec!["jobCompleted".into()],
                }],
            },
            r#"{"type":"subscribedEvents","requestId":"req-1","subscriptions":[{"id":"my-jobs","path":"jobs","events":["jobCompleted"]}]}"#,
        ),
        (
            ServerMessage::UnsubscribedEvents {
                request_id: Some("req-2".into()),
                ids: vec!["my-jobs".into()],
            },
            r#"{"type":"unsubscribedEvents","requestId":"req-2","ids":["my-jobs"]}"#,
        ),
        (
            ServerMessage::Event {
                subscription_ids: vec!["my-jobs".into()],
                event_type: "jobCompleted".into(),
                path: "jobs".into(),
                data,
                timestamp: "2025-12-07T21:45:05.000Z".into(),
            },
            r#"{"type":"event","subscriptionIds":["my-jobs"],"eventType":"jobCompleted","path":"jobs","data":{"id":"n"},"timestamp":"2025-12-07T21:45:05.000Z"}"#,
        ),
        (
            ServerMessage::Warning {
                code: "QUEUE_OVERFLOW".into(),
                message: "5 events dropped for subscription 'my-jobs' due to slow consumption".into(),
                subscription_id: "my-jobs".into(),
            },
            r#"{"type":"warning","code":"QUEUE_OVERFLOW","message":"5 events dropped for subscription 'my-jobs' due to slow consumption","subscriptionId":"my-jobs"}"#,
        ),
        (
            ServerMessage::LiveQueryCreated {
                request_id: None,
                id: "lq-orders".into(),
                total_count: 42,
                capped: false,
                version: None,
                key: None,
                hints: None,
            },
            r#"{"type":"liveQueryCreated","id":"lq-orders","totalCount":42,"capped":false}"#,
        ),
        (
            ServerMessage::LiveQueryCreated {
                request_id: Some("r".into()),
                id: "q".into(),
                total_count: u64::MAX,
                capped: true,
                version: Some("7".into()),
                key: Some("id".into()),
                hints: Some(vec![Hint { text: "odd".into(), line: 1, column: 3 }]),
            },
            r#"{"type":"liveQueryCreated","requestId":"r","id":"q","totalCount":18446744073709551615,"capped":true,"version":"7","key":"id","hints":[{"text":"odd","line":1,"column":3}]}"#,
        ),
        (
            ServerMessage::LiveQueryResumed {
                request_id: None,
                id: "q".into(),
                total_count: 1,
                capped: false,
                version: Some("v".into()),
                key: Some("no".into()),
                drop: None,
            },
            r#"{"type":"liveQueryResumed","id":"q","totalCount":1,"capped":false,"version":"v","key":"no"}"#,
        ),
        (
            ServerMessage::LiveQueryResumed {
                request_id: None,
                id: "q".into(),
                total_count: 1,
                capped: false,
                version: None,
                key: Some("id".into()),
                drop: Some(vec![0, 7]),
            },
            r#"{"type":"liveQueryResumed","id":"q","totalCount":1,"capped":false,"key":"id","drop":[0,7]}"#,
        ),
        (
            ServerMessage::LiveQueryData {
                id: "lq-orders".into(),
                data: vec![data, data],
                etags: None,
                has_more: true,
                capped: false,
            },
            r#"{"type":"liveQueryData","id":"lq-orders","data":[{"id":"n"},{"id":"n"}],"hasMore":true,"capped":false}"#,
        ),
        (
            ServerMessage::LiveQueryData {
                id: "q".into(),
                data: vec![],
                etags: None,
                has_more: false,
                capped: true,
            },
            r#"{"type":"liveQueryData","id":"q","data":[],"hasMore":false,"capped":true}"#,
        ),
        (
            ServerMessage::LiveQueryData {
                id: "q".into(),
                data: vec![data],
                etags: Some(vec![ETAG.parse().unwrap()]),
                has_more: false,
                capped: false,
            },
            r#"{"type":"liveQueryData","id":"q","data":[{"id":"n"}],"etags":["AAECAwQFBgcICQoLDA0ODw"],"hasMore":false,"capped":false}"#,
        ),
        (
            ServerMessage::LiveQueryAddedNode {
                id: "q".into(),
                node_id: "n".into(),
                data,
                index: None,
                reason: None,
                version: None,
                etag: None,
            },
            r#"{"type":"liveQueryAddedNode","id":"q","nodeId":"n","data":{"id":"n"}}"#,
        ),
        (
            ServerMessage::LiveQueryAddedNode {
                id: "q".into(),
                node_id: "n".into(),
                data,
                index: Some(3),
                reason: Some(Reason::Refilled),
                version: Some("8".into()),
                etag: Some(ETAG.parse().unwrap()),
            },
            r#"{"type":"liveQueryAddedNode","id":"q","nodeId":"n","data":{"id":"n"},"etag":"AAECAwQFBgcICQoLDA0ODw","index":3,"reason":"refilled","version":"8"}"#,
        ),
        (
            ServerMessage::LiveQueryUpdatedNode {
                id: "q".into(),
                node_id: "n".into(),
                data,
                index: Some(0),
                version: None,
                etag: None,
            },
            r#"{"type":"liveQueryUpdatedNode","id":"q","nodeId":"n","data":{"id":"n"},"index":0}"#,
        ),
        (
            ServerMessage::LiveQueryRemovedNode {
                id: "q".into(),
                node_id: "n".into(),
                reason: Some(Reason::Displaced),
                version: Some("9".into()),
            },
            r#"{"type":"liveQueryRemovedNode","id":"q","nodeId":"n","reason":"displaced","version":"9"}"#,
        ),
        (
            ServerMessage::LiveQueryCount { id: "q".into(), total_count: 5, capped: true },
            r#"{"type":"liveQueryCount","id":"q","totalCount":5,"capped":true}"#,
        ),
        (
            ServerMessage::LiveQueryDestroyed { request_id: None, id: "lq-orders".into() },
            r#"{"type":"liveQueryDestroyed","id":"lq-orders"}"#,
        ),
        (
            ServerMessage::Error {
                code: "INVALID_PATH".into(),
                message: "Unknown resource path: invalid/path".into(),
                request_id: Some("req-5".into()),
                id: Some("s".into()),
            },
            r#"{"type":"error","code":"INVALID_PATH","message":"Unknown resource path: invalid/path","requestId":"req-5","id":"s"}"#,
        ),
    ]
}

#[test]
fn server_messages_stand_as_the_protocol_shows_them_and_read_back() {
    for (message, text) in server_messages() {
        let mut written = Vec::new();
        message.write(&mut written);
        assert_eq!(String::from_utf8_lossy(&written), text);
        assert_eq!(ServerMessage::parse(&written), Ok(message));
    }
}

#[test]
fn every_reason_reads_back() {
    use Reason::{Created, Filter, Refilled, Time};
    for reason in [Created, Filter, Refilled, Time] {
        let text = format!(
            r#"{{"type":"liveQueryAddedNode","id":"q","nodeId":"n","data":1,"reason":"{}"}}"#,
            reason.as_str(true)
        );
        let message = ServerMessage::parse(text.as_bytes()).unwrap();
        assert!(
            matches!(message, ServerMessage::LiveQueryAddedNode { reason: Some(read), .. } if read == reason)
        );
    }
    for reason in [Filter, Reason::Displaced, Time, Reason::Deleted, Reason::Forbidden] {
        let text = format!(
            r#"{{"type":"liveQueryRemovedNode","id":"q","nodeId":"n","reason":"{}"}}"#,
            reason.as_str(false)
        );
        let message = ServerMessage::parse(text.as_bytes()).unwrap();
        assert!(
            matches!(message, ServerMessage::LiveQueryRemovedNode { reason: Some(read), .. } if read == reason)
        );
    }
}

#[test]
fn a_client_can_tell_an_unknown_type_from_a_broken_message() {
    let unknown = ServerMessage::parse(br#"{"type":"later"}"#);
    assert_eq!(unknown, Err(ServerMessageError::UnknownType("later".into())));
    for text in ["", "[]", "{}", r#"{"type":5}"#, r#"{"type":"event"}"#, r#"{"type":"ping"}x"#] {
        assert!(
            matches!(ServerMessage::parse(text.as_bytes()), Err(ServerMessageError::Invalid(_))),
            "{text}"
        );
    }
}

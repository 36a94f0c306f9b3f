//! Every error code of the protocol, reached over a real socket with a client library that is not ours: its
//! code, whose request it echoes, what it names, and what becomes of the connection.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use liveset::{Access, AuthError, Grant, Limits, Liveset, Policy, Principal, Query, SetDef, StaticTokens};
use liveset_server::{accept, http};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::TOKEN;
use crate::ws::{Came, Ws};

/// Serves an endpoint of one set, `orders`, with these limits, and says where.
async fn serve(limits: Limits) -> (Liveset, String) {
    serve_built(Liveset::builder().limits(limits).authenticator(tokens())).await
}

fn tokens() -> StaticTokens {
    StaticTokens::new([(TOKEN, Grant::new("writer")), ("guest", Grant::new("guest"))])
}

async fn serve_built(builder: liveset::Builder) -> (Liveset, String) {
    let liveset = builder.set(SetDef::new("orders")).build().expect("the endpoint is right");
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    // What is accepted inherits it: a client that does not read is noticed after kilobytes, not megabytes.
    socket.set_send_buffer_size(8192).expect("a socket option");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let listener = socket.listen(64).expect("a listener");
    let address = listener.local_addr().expect("an address").to_string();
    let router = http::router(liveset.clone(), http::HttpOptions::default(), axum::Router::new());
    let front = accept::Front::new(router, accept::AcceptLimits::default());
    tokio::spawn(accept::serve(listener, front, None, std::future::pending()));
    (liveset, address)
}

/// Asserts what an error says. `request` and `id` must be echoed where given, and absent where not.
#[track_caller]
fn assert_error(message: &Value, code: &str, request: Option<&str>, id: Option<&str>) {
    assert_eq!(message["type"], "error", "{message}");
    assert_eq!(message["code"], code, "{message}");
    assert!(message["message"].as_str().is_some_and(|text| !text.is_empty()), "{message}");
    assert_eq!(message.get("requestId").and_then(Value::as_str), request, "{message}");
    assert_eq!(message.get("id").and_then(Value::as_str), id, "{message}");
    let known: BTreeSet<_> = ["type", "code", "message", "requestId", "id"].into();
    let fields: BTreeSet<_> = message.as_object().unwrap().keys().map(String::as_str).collect();
    assert!(fields.is_subset(&known), "{message}");
}

/// The connection still works.
async fn assert_alive(ws: &mut Ws) {
    let pong = ws.ask(json!({ "type": "ping", "requestId": "alive" })).await;
    assert_eq!(pong, json!({ "type": "pong", "requestId": "alive" }));
}

async fn create(ws: &mut Ws, id: &str, filter: &str) -> Value {
    let query = json!({ "edge": "orders", "filter": filter });
    ws.ask(json!({ "type": "createLiveQuery", "requestId": "c", "id": id, "query": query })).await
}

async fn subscribe(ws: &mut Ws, id: &str, path: &str, event: &str) -> Value {
    let subscriptions = json!([{ "id": id, "path": path, "events": [event] }]);
    ws.ask(json!({ "type": "subscribeEvents", "requestId": "s", "subscriptions": subscriptions })).await
}

#[tokio::test]
async fn invalid_message_stays_until_it_is_all_that_comes() {
    let (_, address) = serve(Limits::default()).await;
    let mut ws = Ws::open(&address).await;
    for (text, request, id) in [
        ("", None, None),
        ("{", None, None),
        ("7", None, None),
        ("[]", None, None),
        (r#"["ping"]"#, None, None),
        (r#"{"requestId":"r"}"#, Some("r"), None),
        (r#"{"type":7,"requestId":"r"}"#, Some("r"), None),
        (r#"{"type":"ping","requestId":7}"#, None, None),
        (r#"{"type":"ping"} x"#, None, None),
        (r#"{"type":"ping","type":"ping"}"#, None, None),
        (r#"{"type":"auth","requestId":"r"}"#, Some("r"), None),
        (r#"{"type":"subscribeEvents","requestId":"r"}"#, Some("r"), None),
        (r#"{"type":"subscribeEvents","requestId":"r","subscriptions":[]}"#, Some("r"), None),
        (r#"{"type":"unsubscribeEvents","requestId":"r","ids":[]}"#, Some("r"), None),
        (r#"{"type":"unsubscribeEvents","requestId":"r","ids":[7]}"#, Some("r"), None),
        (r#"{"type":"destroyLiveQuery","requestId":"r"}"#, Some("r"), None),
        (r#"{"type":"createLiveQuery","requestId":"r","query":{"edge":"orders"}}"#, Some("r"), None),
        (r#"{"type":"createLiveQuery","requestId":"r","id":"q"}"#, Some("r"), Some("q")),
        (r#"{"type":"createLiveQuery","requestId":"r","id":"q","query":[]}"#, Some("r"), Some("q")),
    ] {
        ws.send_raw(Message::text(text)).await;
        let error = ws.next().await;
        // Which live query it is about is named where it could be read.
        let id = id.filter(|_| error.get("id").is_some());
        assert_error(&error, "INVALID_MESSAGE", request, id);
    }
    let empty_events = json!([{ "id": "a", "path": "jobs", "events": [] }]);
    let error =
        ws.ask(json!({ "type": "subscribeEvents", "requestId": "r", "subscriptions": empty_events })).await;
    assert_eq!((&error["code"], &error["requestId"]), (&json!("INVALID_MESSAGE"), &json!("r")));
    assert_alive(&mut ws).await;

    for _ in 0..31 {
        assert_error(&ws.ask(json!({ "kind": "ping" })).await, "INVALID_MESSAGE", None, None);
    }
    assert_alive(&mut ws).await;
    for _ in 0..32 {
        assert_error(&ws.ask(json!({ "kind": "ping" })).await, "INVALID_MESSAGE", None, None);
    }
    ws.expect_close(1008).await;
}

#[tokio::test]
async fn unknown_type_stays() {
    let (_, address) = serve(Limits::default()).await;
    let mut ws = Ws::open(&address).await;
    let error = ws.ask(json!({ "type": "sing", "requestId": "r", "id": "x" })).await;
    assert_eq!((&error["code"], &error["requestId"]), (&json!("UNKNOWN_TYPE"), &json!("r")), "{error}");
    let error = ws.ask(json!({ "type": "sing\u{2028}\"</script>" })).await;
    assert_error(&error, "UNKNOWN_TYPE", None, None);
    assert_alive(&mut ws).await;
}

#[tokio::test]
async fn not_authenticated_closes() {
    let (_, address) = serve(Limits::default()).await;
    for first in [json!({ "type": "ping", "requestId": "r" }), json!({ "type": "sing", "requestId": "r" })] {
        let mut ws = Ws::connect(&address).await;
        assert_error(&ws.ask(first).await, "NOT_AUTHENTICATED", Some("r"), None);
        ws.expect_close(1008).await;
    }
}

#[tokio::test]
async fn auth_failed_closes_at_first_and_again() {
    let (_, address) = serve(Limits::default()).await;
    let wrong = json!({ "type": "auth", "token": "nonsense", "requestId": "r" });
    let mut ws = Ws::connect(&address).await;
    let error = ws.ask(wrong.clone()).await;
    assert_error(&error, "AUTH_FAILED", Some("r"), None);
    assert!(!error.to_string().contains("nonsense"));
    ws.expect_close(1008).await;

    let mut ws = Ws::open(&address).await;
    assert_error(&ws.ask(wrong).await, "AUTH_FAILED", Some("r"), None);
    ws.expect_close(1008).await;
}

#[tokio::test]
async fn an_authenticator_that_panics_refuses() {
    let panics = liveset::from_fn(|_| async { panic!("the authenticator has a fault") });
    let (_, address) = serve_built(Liveset::builder().authenticator(panics)).await;
    let mut ws = Ws::connect(&address).await;
    assert_error(&ws.ask(json!({ "type": "auth", "token": TOKEN })).await, "AUTH_FAILED", None, None);
    ws.expect_close(1008).await;
}

#[tokio::test]
async fn auth_timeout_closes() {
    let mut limits = Limits::default();
    limits.session.auth_timeout = Duration::from_millis(150);
    let (_, address) = serve(limits.clone()).await;
    let mut ws = Ws::connect(&address).await;
    assert_error(&ws.next().await, "AUTH_TIMEOUT", None, None);
    ws.expect_close(1008).await;

    // A token that was sent, but is not judged in time, is too late as well.
    let slow = liveset::from_fn(|_| async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(Grant::new("late"))
    });
    let (_, address) = serve_built(Liveset::builder().limits(limits).authenticator(slow)).await;
    let mut ws = Ws::connect(&address).await;
    let error = ws.ask(json!({ "type": "auth", "token": TOKEN, "requestId": "r" })).await;
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("AUTH_TIMEOUT")), "{error}");
    ws.expect_close(1008).await;
}

#[tokio::test]
async fn token_expired_closes() {
    let short = liveset::from_fn(|_| async {
        Ok::<_, AuthError>(Grant::new("guest").expires(SystemTime::now() + Duration::from_millis(300)))
    });
    let (_, address) = serve_built(Liveset::builder().authenticator(short)).await;
    let mut ws = Ws::open(&address).await;
    assert_alive(&mut ws).await;
    assert_error(&ws.next().await, "TOKEN_EXPIRED", None, None);
    ws.expect_close(1008).await;
}

#[tokio::test]
async fn ping_timeout_closes() {
    let mut limits = Limits::default();
    limits.session.ping_interval = Duration::from_millis(80);
    limits.session.pong_timeout = Duration::from_millis(250);
    let (_, address) = serve(limits).await;
    let mut ws = Ws::open(&address).await;
    assert_eq!(ws.next().await, json!({ "type": "ping" }));
    ws.send(json!({ "type": "pong" })).await;
    assert_eq!(ws.next().await, json!({ "type": "ping" }), "the next one after the pong");
    // A pong of the transport is not the protocol's.
    ws.send_raw(Message::Pong("".into())).await;
    assert_error(&ws.next().await, "PING_TIMEOUT", None, None);
    ws.expect_close(1008).await;
}

/// Guests may see nothing but jobs.
struct GuestsSeeJobs;

impl Policy for GuestsSeeJobs {
    fn may_subscribe(&self, who: &Principal, path: &str, _: &[Arc<str>]) -> bool {
        &*who.subject != "guest" || path.starts_with("jobs")
    }

    fn may_query(&self, who: &Principal, _: &Query) -> bool {
        &*who.subject != "guest"
    }

    fn access(&self, _: &Principal, _: &str) -> Access {
        Access::All
    }

    fn may_write(&self, _: &Principal) -> bool {
        false
    }
}

#[tokio::test]
async fn forbidden_stays() {
    let (_, address) = serve_built(Liveset::builder().authenticator(tokens()).policy(GuestsSeeJobs)).await;
    let mut ws = Ws::connect(&address).await;
    assert_eq!(ws.ask(json!({ "type": "auth", "token": "guest" })).await["type"], "authenticated");
    assert_error(&create(&mut ws, "q", "").await, "FORBIDDEN", Some("c"), Some("q"));
    assert_error(
        &subscribe(&mut ws, "a", "actors", "actorCheckpoint").await,
        "FORBIDDEN",
        Some("s"),
        Some("a"),
    );
    assert_eq!(subscribe(&mut ws, "a", "jobs", "jobStarted").await["type"], "subscribedEvents");
    assert_alive(&mut ws).await;
}

#[tokio::test]
async fn what_another_principal_may_not_have_ends_with_forbidden() {
    let (_, address) = serve_built(Liveset::builder().authenticator(tokens()).policy(GuestsSeeJobs)).await;
    let mut ws = Ws::open(&address).await;
    assert_eq!(create(&mut ws, "q", "").await["type"], "liveQueryCreated");
    assert_eq!(ws.next().await["type"], "liveQueryData");
    assert_eq!(subscribe(&mut ws, "a", "actors", "actorCheckpoint").await["type"], "subscribedEvents");
    let first = ws.ask(json!({ "type": "auth", "token": "guest", "requestId": "again" })).await;
    let came = [first, ws.next().await, ws.next().await];
    assert!(came.contains(&json!({ "type": "authenticated", "requestId": "again" })), "{came:?}");
    for id in ["q", "a"] {
        let error =
            came.iter().find(|message| message["id"] == id).unwrap_or_else(|| panic!("{id}: {came:?}"));
        assert_error(error, "FORBIDDEN", None, Some(id));
    }
    assert_alive(&mut ws).await;
}

#[tokio::test]
async fn invalid_path_and_invalid_event_stay() {
    let (_, address) = serve(Limits::default()).await;
    let mut ws = Ws::open(&address).await;
    let error = subscribe(&mut ws, "a", "invalid/path", "jobStarted").await;
    assert_error(&error, "INVALID_PATH", Some("s"), Some("a"));
    assert_eq!(error["message"], "Unknown resource path: invalid/path");
    assert_error(&subscribe(&mut ws, "a", "jobs/7", "jobLost").await, "INVALID_EVENT", Some("s"), Some("a"));
    // All or nothing: the good one of the two is not there.
    let both = json!([{ "id": "a", "path": "jobs", "events": ["jobStarted"] }, { "id": "b", "path": "nowhere", "events": ["x"] }]);
    let error = ws.ask(json!({ "type": "subscribeEvents", "requestId": "s", "subscriptions": both })).await;
    assert_error(&error, "INVALID_PATH", Some("s"), Some("b"));
    assert_eq!(subscribe(&mut ws, "a", "jobs", "jobStarted").await["type"], "subscribedEvents");
}

#[tokio::test]
async fn invalid_query_stays_and_says_where() {
    let (_, address) = serve(Limits::default()).await;
    let mut ws = Ws::open(&address).await;
    let bad = [
        (json!({ "edge": "order" }), "did you mean 'orders'"),
        (json!({ "filter": "a == 1" }), "edge"),
        (json!({ "edge": "orders", "filtr": "a == 1" }), "filtr"),
        (json!({ "edge": "orders", "filter": "a == 1 and b = 2" }), "line 1, column 14"),
        (json!({ "edge": "orders", "filter": 7 }), "filter"),
        (json!({ "edge": "orders", "filter": "a anyoff [1]" }), "did you mean 'anyof'?"),
        (json!({ "edge": "orders", "filter": "(".repeat(10_000) }), "filter"),
        (json!({ "edge": "orders", "orderBy": "a up" }), "line 1, column 3"),
        (json!({ "edge": "orders", "limit": -1 }), "limit"),
        (json!({ "edge": "orders", "filter": "createdAt > now - 5m" }), "did you mean '5 minutes'?"),
        (json!({ "edge": "orders", "filter": "a == 5 days" }), "line 1, column 3"),
        (json!({ "edge": "orders", "orderBy": "-a" }), "did you mean 'a desc'?"),
        (json!({ "edge": "orders", "limit": 1.5 }), "limit"),
        (json!({ "edge": "orders", "node": { "fields": ["a..b"] } }), "field"),
    ];
    for (query, what) in bad {
        let error =
            ws.ask(json!({ "type": "createLiveQuery", "requestId": "r", "id": "q", "query": query })).await;
        assert_error(&error, "INVALID_QUERY", Some("r"), Some("q"));
        assert!(error["message"].as_str().unwrap().contains(what), "{query} should say {what}: {error}");
    }
    assert_eq!(
        create(&mut ws, "q", "").await["type"],
        "liveQueryCreated",
        "a refused create leaves its id free"
    );
}

#[tokio::test]
async fn unknown_options_are_invalid_message_that_names_them_and_stay() {
    let (_, address) = serve(Limits::default()).await;
    let mut ws = Ws::connect(&address).await;
    let auth =
        |options: Value| json!({ "type": "auth", "requestId": "a", "token": TOKEN, "options": options });
    let error = ws.ask(auth(json!({ "colour": true }))).await;
    assert_error(&error, "INVALID_MESSAGE", Some("a"), None);
    assert!(error["message"].as_str().unwrap().contains("'colour'"), "{error}");
    // It may say `auth` again.
    assert_eq!(ws.ask(auth(json!({}))).await, json!({ "type": "authenticated", "requestId": "a" }));
    let create = |options: Value| json!({ "type": "createLiveQuery", "requestId": "c", "id": "q", "query": { "edge": "orders" }, "options": options });
    let error = ws.ask(create(json!({ "count": true }))).await;
    assert_error(&error, "INVALID_MESSAGE", Some("c"), Some("q"));
    assert!(error["message"].as_str().unwrap().contains("'count'"), "{error}");
    assert_alive(&mut ws).await;
    let created = ws.ask(create(json!({ "hints": true }))).await;
    assert_eq!((&created["type"], &created["hints"]), (&json!("liveQueryCreated"), &json!([])));
}

#[tokio::test]
async fn duplicate_id_and_unknown_id_stay() {
    let (_, address) = serve(Limits::default()).await;
    let mut ws = Ws::open(&address).await;
    assert_eq!(subscribe(&mut ws, "x", "jobs", "jobStarted").await["type"], "subscribedEvents");
    assert_error(&subscribe(&mut ws, "x", "jobs", "jobStarted").await, "DUPLICATE_ID", Some("s"), Some("x"));
    // Two name spaces.
    assert_eq!(create(&mut ws, "x", "").await["type"], "liveQueryCreated");
    assert_eq!(ws.next().await["type"], "liveQueryData");
    assert_error(&create(&mut ws, "x", "").await, "DUPLICATE_ID", Some("c"), Some("x"));
    let twice = json!([{ "id": "y", "path": "jobs", "events": ["jobStarted"] }, { "id": "y", "path": "jobs", "events": ["jobFailed"] }]);
    let error = ws.ask(json!({ "type": "subscribeEvents", "requestId": "s", "subscriptions": twice })).await;
    assert_error(&error, "DUPLICATE_ID", Some("s"), Some("y"));

    let error = ws.ask(json!({ "type": "destroyLiveQuery", "requestId": "d", "id": "z" })).await;
    assert_error(&error, "UNKNOWN_ID", Some("d"), Some("z"));
    let error = ws.ask(json!({ "type": "unsubscribeEvents", "requestId": "u", "ids": ["x", "z"] })).await;
    assert_error(&error, "UNKNOWN_ID", Some("u"), Some("z"));
    let gone = ws.ask(json!({ "type": "unsubscribeEvents", "requestId": "u", "ids": ["x"] })).await;
    assert_eq!(gone, json!({ "type": "unsubscribedEvents", "requestId": "u", "ids": ["x"] }));
    assert_alive(&mut ws).await;
}

#[tokio::test]
async fn limit_exceeded_stays() {
    let mut limits = Limits::default();
    limits.session.subscriptions = 1;
    limits.session.live_queries = 1;
    let (_, address) = serve(limits).await;
    let mut ws = Ws::open(&address).await;
    assert_eq!(subscribe(&mut ws, "a", "jobs", "jobStarted").await["type"], "subscribedEvents");
    let error = subscribe(&mut ws, "b", "jobs", "jobStarted").await;
    assert_eq!((&error["code"], &error["requestId"]), (&json!("LIMIT_EXCEEDED"), &json!("s")), "{error}");
    assert_eq!(create(&mut ws, "a", "").await["type"], "liveQueryCreated");
    assert_eq!(ws.next().await["type"], "liveQueryData");
    assert_error(&create(&mut ws, "b", "").await, "LIMIT_EXCEEDED", Some("c"), Some("b"));
    assert_alive(&mut ws).await;
    let destroyed = ws.ask(json!({ "type": "destroyLiveQuery", "id": "a" })).await;
    assert_eq!(destroyed["type"], "liveQueryDestroyed");
    assert_eq!(create(&mut ws, "b", "").await["type"], "liveQueryCreated");
}

#[tokio::test]
async fn too_much_before_the_token_is_judged_is_limit_exceeded() {
    let slow = liveset::from_fn(|_| async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(Grant::new("late"))
    });
    let mut limits = Limits::default();
    limits.session.held_messages = 3;
    let (_, address) = serve_built(Liveset::builder().limits(limits).authenticator(slow)).await;
    let mut ws = Ws::connect(&address).await;
    ws.send(json!({ "type": "auth", "token": TOKEN })).await;
    for _ in 0..4 {
        ws.send(json!({ "type": "ping" })).await;
    }
    let error = ws.next().await;
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("LIMIT_EXCEEDED")), "{error}");
    ws.expect_close(1008).await;
}

#[tokio::test]
async fn rate_limited_stays_then_closes() {
    let mut limits = Limits::default();
    limits.session.messages_per_second = 1;
    limits.session.message_burst = 3;
    limits.session.rate_limited_in_a_row = 3;
    let (_, address) = serve(limits).await;
    let mut ws = Ws::open(&address).await;
    let ping = |request: &str| json!({ "type": "ping", "requestId": request });
    let mut refused = 0;
    for n in 0..10 {
        let request = n.to_string();
        let answer = ws.ask(ping(&request)).await;
        if answer["type"] == "error" {
            assert_eq!(
                (&answer["code"], &answer["requestId"]),
                (&json!("RATE_LIMITED"), &json!(request)),
                "{answer}"
            );
            refused += 1;
            break;
        }
    }
    assert_eq!(refused, 1);
    // It stays: after a while it may speak again.
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    assert_eq!(ws.ask(ping("later")).await, json!({ "type": "pong", "requestId": "later" }));
    for n in 0..20 {
        ws.send(ping(&n.to_string())).await;
    }
    loop {
        match ws.came().await {
            Came::Message(message) if message["type"] == "pong" => {}
            Came::Message(message) => assert_eq!(message["code"], "RATE_LIMITED", "{message}"),
            Came::Closed(code) => break assert_eq!(code, 1008),
        }
    }
}

#[tokio::test]
async fn unsupported_frame_closes() {
    let (_, address) = serve(Limits::default()).await;
    let mut ws = Ws::open(&address).await;
    ws.send_raw(Message::binary(b"{}".to_vec())).await;
    assert_error(&ws.next().await, "UNSUPPORTED_FRAME", None, None);
    ws.expect_close(1003).await;
}

#[tokio::test]
async fn message_too_large_closes() {
    let (_, address) = serve(Limits::default()).await;
    let mut ws = Ws::open(&address).await;
    let message = |size: usize| {
        let empty = json!({ "type": "ping", "x": "" }).to_string().len();
        Message::text(json!({ "type": "ping", "x": "y".repeat(size - empty) }).to_string())
    };
    ws.send_raw(message(64 * 1024)).await;
    assert_eq!(ws.next().await["type"], "pong");
    ws.send_raw(message(64 * 1024 + 1)).await;
    assert_error(&ws.next().await, "MESSAGE_TOO_LARGE", None, None);
    ws.expect_close(1009).await;
}

/// A client that asks and does not read: what it is owed has a limit.
#[tokio::test]
async fn overloaded_closes() {
    let mut limits = Limits::default();
    limits.session.control_messages = 100;
    limits.session.messages_per_second = 1_000_000;
    limits.session.message_burst = 1_000_000;
    let (_, address) = serve(limits).await;
    let mut ws = Ws::connect_narrow(&address).await;
    ws.authenticate().await;
    let ping = json!({ "type": "ping", "requestId": "r".repeat(128) }).to_string();
    // More than the sockets and the writer hold, and the hundred on top.
    let sent = 2_000;
    for _ in 0..sent {
        ws.send_raw(Message::text(ping.clone())).await;
    }
    let mut pongs = 0;
    loop {
        let message = ws.next().await;
        if message["type"] == "pong" {
            pongs += 1;
            continue;
        }
        assert_error(&message, "OVERLOADED", None, None);
        break;
    }
    assert!(pongs < sent, "{pongs} of {sent}");
    ws.expect_close(1013).await;
}

/// A policy with a fault: the connection that meets it is closed, no other, and nothing is told of it.
struct Faulty(Arc<AtomicBool>);

impl Policy for Faulty {
    fn may_subscribe(&self, _: &Principal, _: &str, _: &[Arc<str>]) -> bool {
        true
    }

    fn may_query(&self, _: &Principal, _: &Query) -> bool {
        assert!(!self.0.load(Ordering::Relaxed), "a secret of ours");
        true
    }

    fn access(&self, _: &Principal, _: &str) -> Access {
        Access::All
    }

    fn may_write(&self, _: &Principal) -> bool {
        true
    }
}

#[tokio::test]
async fn internal_closes_one_connection() {
    let fault = Arc::new(AtomicBool::new(false));
    let builder = Liveset::builder().authenticator(tokens()).policy(Faulty(fault.clone()));
    let (liveset, address) = serve_built(builder).await;
    let mut bystander = Ws::open(&address).await;
    assert_eq!(create(&mut bystander, "q", "").await["type"], "liveQueryCreated");
    assert_eq!(bystander.next().await["type"], "liveQueryData");

    let mut ws = Ws::open(&address).await;
    fault.store(true, Ordering::Relaxed);
    let error = create(&mut ws, "q", "").await;
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("INTERNAL")), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    ws.expect_close(1011).await;

    fault.store(false, Ordering::Relaxed);
    liveset.commit(|tx| tx.upsert("orders", &json!({ "id": "a" }))).expect("commits go on");
    assert_eq!(bystander.next().await["nodeId"], "a");
    assert_alive(&mut bystander).await;
}

/// None is forgotten: the codes that these tests name are those of the protocol.
#[test]
fn every_code_is_reached() {
    let codes = [
        "INVALID_MESSAGE",
        "UNKNOWN_TYPE",
        "NOT_AUTHENTICATED",
        "AUTH_FAILED",
        "AUTH_TIMEOUT",
        "TOKEN_EXPIRED",
        "PING_TIMEOUT",
        "FORBIDDEN",
        "INVALID_PATH",
        "INVALID_EVENT",
        "INVALID_QUERY",
        "DUPLICATE_ID",
        "UNKNOWN_ID",
        "LIMIT_EXCEEDED",
        "RATE_LIMITED",
        "UNSUPPORTED_FRAME",
        "MESSAGE_TOO_LARGE",
        "OVERLOADED",
        "INTERNAL",
    ];
    let tests =
        include_str!("protocol_errors.rs").split("fn every_code_is_reached").next().unwrap_or_default();
    for code in codes {
        assert!(code.parse::<liveset::ErrorCode>().is_ok(), "{code}");
        assert!(tests.contains(&format!("\"{code}\"")), "{code} is not reached");
    }
}

//! The opening handshake through axum, with a client that we did not write and with hand-written requests.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use liveset::http::Origins;
use liveset::{AnyToken, ClientAddress, Limits, Liveset, SetDef, StaticTokens};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

fn liveset() -> Liveset {
    Liveset::builder().set(SetDef::new("orders")).authenticator(AnyToken).build().unwrap()
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn send(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

async fn receive(socket: &mut Socket) -> Value {
    let message = tokio::time::timeout(Duration::from_secs(20), socket.next()).await;
    let message = message.expect("a message in time").expect("a message").unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

#[tokio::test]
async fn a_client_connects_and_follows_a_live_query_beside_other_routes() {
    let liveset = liveset();
    let app = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/ws", liveset_axum::websocket(liveset.clone()));
    let address = serve(app).await;

    let (mut socket, response) = connect_async(format!("ws://{address}/ws")).await.unwrap();
    assert_eq!(response.status(), 101);
    send(&mut socket, json!({ "type": "auth", "token": "t" })).await;
    assert_eq!(receive(&mut socket).await, json!({ "type": "authenticated" }));
    send(&mut socket, json!({ "type": "createLiveQuery", "id": "q", "query": { "edge": "orders" } })).await;
    assert_eq!(receive(&mut socket).await["type"], "liveQueryCreated");
    assert_eq!(receive(&mut socket).await["type"], "liveQueryData");
    liveset.commit(|tx| tx.upsert("orders", &json!({ "id": 1 }))).unwrap();
    assert_eq!(receive(&mut socket).await["nodeId"], "1");

    assert_eq!(request(address, "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.0, 200);
    socket.close(None).await.unwrap();
}

/// Two handlers for one path and method are a mistake, and axum says so; it kept the second and lost the endpoint.
#[tokio::test]
#[should_panic(expected = "Overlapping method route")]
async fn a_second_get_of_the_same_path_is_refused() {
    let _app: Router = Router::new()
        .route("/ws", liveset_axum::websocket(liveset()))
        .route("/ws", get(|| async { "hello" }));
}

#[tokio::test]
async fn the_subprotocol_is_chosen_where_it_is_offered() {
    let address = serve(Router::new().route("/ws", liveset_axum::websocket(liveset()))).await;
    for (offered, chosen) in [
        (None, None),
        (Some("liveset"), Some("liveset")),
        (Some("graphql-ws, liveset"), Some("liveset")),
        (Some("liveset.v2, Liveset"), None),
        (Some("other"), None),
    ] {
        let header = offered.map(|offered| format!("sec-websocket-protocol: {offered}"));
        let mut lines = RIGHT.to_vec();
        lines.extend(header.as_deref());
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("GET /ws HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n")).as_bytes())
            .await
            .unwrap();
        let mut answer = vec![0; 4096];
        let read = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).to_lowercase();
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        let found = answer.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(found, chosen, "{offered:?}");
    }
}

/// Sends a request by hand; gives status and whole answer.
async fn request(address: SocketAddr, text: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the end in time").unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}

const RIGHT: [&str; 5] = [
    "host: h",
    "upgrade: websocket",
    "connection: upgrade",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version: 13",
];

fn handshake(method: &str, replaced: &str, by: &[&str]) -> String {
    let kept = RIGHT.iter().filter(|header| replaced.is_empty() || !header.starts_with(replaced));
    let headers: Vec<&str> = kept.chain(by).copied().collect();
    format!("{method} /ws HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n"))
}

#[tokio::test]
async fn wrong_handshakes_are_refused_with_the_right_status() {
    let address = serve(Router::new().route("/ws", liveset_axum::websocket(liveset()))).await;
    let close = "connection: close";
    let cases = [
        (handshake("POST", "connection", &[close]), 405, "allow: GET"),
        (handshake("PUT", "connection", &[close]), 405, "allow: GET"),
        (handshake("GET", "connection", &[close]), 426, "upgrade: websocket"),
        (handshake("GET", "upgrade", &["upgrade: h2c", close]), 426, "upgrade: websocket"),
        (
            handshake("GET", "sec-websocket-version", &["sec-websocket-version: 8", close]),
            426,
            "sec-websocket-version: 13",
        ),
        (handshake("GET", "sec-websocket-version", &[close]), 400, "BAD_HANDSHAKE"),
        (handshake("GET", "sec-websocket-key", &[close]), 400, "BAD_HANDSHAKE"),
        (handshake("GET", "sec-websocket-key", &["sec-websocket-key: ", close]), 400, "BAD_HANDSHAKE"),
        (handshake("GET", "sec-websocket-key", &["sec-websocket-key: abc", close]), 400, "BAD_HANDSHAKE"),
        (handshake("GET", "host", &[close]), 400, ""),
    ];
    for (text, status, says) in cases {
        let (given, answer) = request(address, &text).await;
        assert_eq!(given, status, "{text}{answer}");
        assert!(answer.contains(says), "{text}{answer}");
    }
}

#[tokio::test]
async fn the_sample_handshake_of_the_rfc() {
    let address = serve(Router::new().route("/ws", liveset_axum::websocket(liveset()))).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Frames that come together with the handshake are not lost: a close frame, which is answered.
    let early = [handshake("GET", "", &[]).as_bytes(), b"\x88\x82\0\0\0\0\x03\xe8"].concat();
    stream.write_all(&early).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let (head, frames) = answer.split_at(answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4);
    let head = String::from_utf8_lossy(head);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    assert_eq!(frames, b"\x88\x02\x03\xe8");
}

/// A text frame with a mask that changes nothing.
fn frame(fin: bool, opcode: u8, text: &str) -> Vec<u8> {
    let head = [if fin { 0x80 } else { 0 } | opcode, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    [&head, text.as_bytes()].concat()
}

#[tokio::test]
async fn what_comes_with_the_handshake_is_served_however_much_of_it_comes() {
    let liveset = liveset();
    liveset.commit(|tx| tx.upsert("orders", &json!({ "id": 1 }))).unwrap();
    let address = serve(Router::new().route("/ws", liveset_axum::websocket(liveset.clone()))).await;
    let (mut other, _) = connect_async(format!("ws://{address}/ws")).await.unwrap();
    send(&mut other, json!({ "type": "auth", "token": "t" })).await;
    assert_eq!(receive(&mut other).await["type"], "authenticated");

    let frames = [
        frame(true, 1, r#"{"type":"auth","token":"t"}"#),
        frame(false, 1, r#"{"type":"createLiveQuery","id":"q","#),
        frame(true, 0, r#""query":{"edge":"orders"}}"#),
        b"\x88\x82\0\0\0\0\x03\xe8".to_vec(),
    ]
    .concat();
    let expected = [
        r#"{"type":"authenticated"}"#,
        r#"{"type":"liveQueryCreated","id":"q","totalCount":1,"capped":false}"#,
        r#"{"type":"liveQueryData","id":"q","data":[{"id":1}],"hasMore":false,"capped":false}"#,
    ];
    // The request and so many bytes in one segment, the rest behind it.
    for early in 0..=frames.len() {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (first, second) = frames.split_at(early);
        stream.write_all(&[handshake("GET", "", &[]).as_bytes(), first].concat()).await.unwrap();
        let mut answer = Vec::new();
        // The head of the answer; all of it but the end may come later.
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        stream.write_all(second).await.unwrap();
        let rest = stream.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(20), rest).await.expect("the end in time").unwrap();
        let end = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let mut sent: Vec<u8> =
            expected.iter().flat_map(|text| [&[0x81, text.len() as u8], text.as_bytes()].concat()).collect();
        sent.extend_from_slice(b"\x88\x02\x03\xe8");
        assert_eq!(
            String::from_utf8_lossy(&answer[end..]),
            String::from_utf8_lossy(&sent),
            "{early} bytes with the request"
        );
    }
    send(&mut other, json!({ "type": "ping" })).await;
    assert_eq!(receive(&mut other).await, json!({ "type": "pong" }));
    assert_eq!(liveset.stats().hub.live_queries, 0);
}

#[tokio::test]
async fn origins_that_are_not_listed_are_refused() {
    let origins = Origins::list(["https://app.example.com"]);
    let address = serve(Router::new().route("/ws", liveset_axum::websocket_from(liveset(), origins))).await;
    let connect = async |origin: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(handshake("GET", "", &[origin]).as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert_eq!(connect("origin: https://evil.example.org").await, "HTTP/1.1 403");
    assert_eq!(connect("origin: https://app.example.com").await, "HTTP/1.1 101");
    assert_eq!(connect("x-none: given").await, "HTTP/1.1 101");
}

#[tokio::test]
async fn a_server_that_shuts_down_takes_no_more() {
    let liveset = liveset();
    let address = serve(Router::new().route("/ws", liveset_axum::websocket(liveset.clone()))).await;
    liveset.shutdown(liveset::Drain::AT_ONCE).await;
    match connect_async(format!("ws://{address}/ws")).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 503),
        other => panic!("{other:?}"),
    }
}

/// What a token is answered.
async fn attempt(address: SocketAddr, token: &str) -> Value {
    let (mut socket, _) = connect_async(format!("ws://{address}/ws")).await.unwrap();
    send(&mut socket, json!({ "type": "auth", "token": token })).await;
    receive(&mut socket).await
}

#[tokio::test]
async fn bad_tokens_count_by_the_address_that_axum_or_the_host_knows() {
    let liveset = || {
        let mut limits = Limits::default();
        limits.auth.failures_per_address = 1;
        limits.auth.count_loopback = true;
        let tokens = StaticTokens::new([("good", liveset::Grant::new("alice"))]);
        Liveset::builder().authenticator(tokens).limits(limits).build().unwrap()
    };
    let app = Router::new().route("/ws", liveset_axum::websocket(liveset()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    assert_eq!(attempt(address, "bad").await["code"], "AUTH_FAILED");
    assert_eq!(attempt(address, "good").await["code"], "RATE_LIMITED");

    // Without an address nothing is counted.
    let address = serve(Router::new().route("/ws", liveset_axum::websocket(liveset()))).await;
    for _ in 0..3 {
        assert_eq!(attempt(address, "bad").await["code"], "AUTH_FAILED");
    }

    // A host behind a proxy says what the proxy has told it.
    let name = axum::middleware::from_fn(
        async |mut request: axum::extract::Request, next: axum::middleware::Next| {
            request.extensions_mut().insert(ClientAddress("192.0.2.1".parse().unwrap()));
            next.run(request).await
        },
    );
    let address = serve(Router::new().route("/ws", liveset_axum::websocket(liveset())).layer(name)).await;
    assert_eq!(attempt(address, "bad").await["code"], "AUTH_FAILED");
    assert_eq!(attempt(address, "good").await["code"], "RATE_LIMITED");
}

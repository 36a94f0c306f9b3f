//! Connections that have not said what they want: how long and how many of them a server bears.
#![cfg(unix)]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::http::Http;
use crate::support::ws::Ws;
use crate::support::{PATIENCE, Server};

const ORDERS: &str = "[[set]]\nname = \"orders\"\n";

async fn silent(server: &Server, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(TcpStream::connect(&server.address).await.unwrap());
    }
    streams
}

/// Everything that the server says, to the end.
async fn all(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the end in time").expect("no reset");
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn who_is_over_the_cap_is_told_when_to_come_back() {
    let server =
        Server::start(&format!("{ORDERS}[limits.http]\nmax_handshakes = 3\nheader_timeout = \"1h\"\n"));
    let mut waiting = silent(&server, 3).await;
    // One that says nothing, and one that has sent a request before it is turned away.
    for request in ["", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
        let mut over = TcpStream::connect(&server.address).await.unwrap();
        over.write_all(request.as_bytes()).await.unwrap();
        let said = all(&mut over).await;
        assert!(said.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{said}");
        let after: u32 =
            said.split("retry-after: ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
        assert!((1..=5).contains(&after), "{said}");
        assert!(said.ends_with(r#"{"code":"OVERLOADED","message":"too many handshakes"}"#), "{said}");
    }
    server.wait_for_log("too many handshakes");

    // A request ends a handshake, whatever is asked; and so does giving up.
    let mut first = waiting.remove(0);
    first.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, first.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    waiting.extend(silent(&server, 1).await);
    drop(waiting);
    eventually_served(&server).await;
}

/// Waits until a request is answered otherwise than by 503: connections that are dropped are seen a little later.
async fn eventually_served(server: &Server) {
    let trying = async {
        loop {
            let mut stream = TcpStream::connect(&server.address).await.unwrap();
            let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(request).await;
            if all(&mut stream).await.starts_with("HTTP/1.1 200") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, trying).await.expect("served in time");
}

#[tokio::test]
async fn who_says_nothing_is_let_go_and_makes_room() {
    let server =
        Server::start(&format!("{ORDERS}[limits.http]\nmax_handshakes = 2\nheader_timeout = \"300ms\"\n"));
    let mut streams = silent(&server, 2).await;
    // A byte is no head of a request.
    streams[1].write_all(b"G").await.unwrap();
    for stream in &mut streams {
        let mut said = Vec::new();
        // On a busy machine the byte may cross with the close, which is a reset then.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the end in time");
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{said:?}");
    }
    eventually_served(&server).await;
}

#[tokio::test]
async fn what_became_a_websocket_is_no_handshake() {
    let server = Server::start(&format!("{ORDERS}[limits.http]\nmax_handshakes = 1\n"));
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(Ws::open(&server.address).await);
    }
    let mut http = Http::connect(&server.address).await;
    assert_eq!(http.get("/healthz", None).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_clients_gets_in_by_and_by() {
    const CLIENTS: usize = 400;
    let server = Server::start(&format!("{ORDERS}[limits.http]\nmax_handshakes = 8\n"));
    let upgrade = format!(
        "GET /ws HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
        server.address
    );
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (address, upgrade) = (server.address.clone(), upgrade.clone());
            tokio::spawn(async move {
                let mut refused = 0;
                loop {
                    let mut stream = TcpStream::connect(&address).await.expect("the server accepts");
                    // A client that takes its time fills the caps.
                    tokio::time::sleep(Duration::from_millis(client as u64 % 20)).await;
                    let _ = stream.write_all(upgrade.as_bytes()).await;
                    let mut answer = [0; 12];
                    stream.read_exact(&mut answer).await.expect("an answer and no reset");
                    match &answer {
                        b"HTTP/1.1 101" => return (stream, refused),
                        b"HTTP/1.1 503" => refused += 1,
                        other => panic!("{:?}", String::from_utf8_lossy(other)),
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        })
        .collect();
    let mut open = Vec::new();
    let mut refusals = 0;
    for client in clients {
        let (stream, refused) = timeout(PATIENCE, client).await.expect("let in in time").unwrap();
        open.push(stream);
        refusals += refused;
    }
    assert_eq!(open.len(), CLIENTS);
    assert!(refusals > 0, "the caps were never reached: this tests nothing");
    // Not a line of log for each.
    let warnings = server.log().matches("too many handshakes").count();
    assert!(warnings < refusals || refusals == 1, "{warnings} warnings for {refusals}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn out_of_descriptors_the_server_waits_and_goes_on() {
    let server = Server::start(ORDERS);
    server.limit_files(40);
    let mut connected = Ws::open(&server.address).await;
    // More than it can have; the kernel keeps the rest for it.
    let crowd = silent(&server, 60).await;
    server.wait_for_log("cannot accept connections");
    // Who is connected is served as before.
    let answer = connected.ask(serde_json::json!({ "type": "ping" })).await;
    assert_eq!(answer, serde_json::json!({ "type": "pong" }));
    drop(crowd);
    let mut late = timeout(PATIENCE, Ws::open(&server.address)).await.expect("let in in time");
    let answer = late.ask(serde_json::json!({ "type": "ping" })).await;
    assert_eq!(answer, serde_json::json!({ "type": "pong" }));
    let failures = server.log().matches("cannot accept connections").count();
    assert!(failures < 200, "{failures} attempts: it spins");
}

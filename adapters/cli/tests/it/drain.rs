//! A server that comes and goes behind a load balancer: when it says that it is ready, and how it stops.
#![cfg(unix)]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::demo::{Demo, lines_of};
use crate::support::http::Http;
use crate::support::metrics::wait_for;
use crate::support::ws::Ws;
use crate::support::{PATIENCE, Server, TOKEN, liveset};

const ORDERS: &str = "[[set]]\nname = \"orders\"\n";
const LONG: &str = "[limits.drain]\nwait = \"1h\"\nspread = \"1h\"\n";

#[tokio::test]
async fn a_server_answers_before_its_sets_are_loaded_and_says_what_is_missing() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("orders.ndjson");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let file = folder.path().join("liveset.toml");
    std::fs::write(&file, format!("{ORDERS}load = \"orders.ndjson\"\n[[set]]\nname = \"other\"\n")).unwrap();
    let mut command = liveset(&["serve", "--listen", "127.0.0.1:0", "--log", "info", "--token"]);
    command.arg(format!("writer={TOKEN}")).arg("--config").arg(&file);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (log, said) = (lines_of(child.stderr.take().unwrap()), lines_of(child.stdout.take().unwrap()));
    let address = loop {
        let line = log.recv_timeout(PATIENCE).expect("a line of the log");
        if let Some((_, address)) = line.split_once("listening address=") {
            break address.trim().to_owned();
        }
    };
    // Opened once the server reads it, which then waits for a row.
    let mut rows = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    let mut http = Http::connect(&address).await;
    assert_eq!(http.get("/livez", None).await.status, 200);
    for (token, expected) in [
        (None, json!({ "status": "loading" })),
        (Some("nonsense"), json!({ "status": "loading" })),
        (Some(TOKEN), json!({ "status": "loading", "sets": ["orders"] })),
    ] {
        let ready = http.get("/readyz", token).await;
        assert_eq!((ready.status, ready.json()), (503, expected));
        assert_eq!(ready.header("retry-after"), Some("1"));
    }
    assert_eq!(http.get("/metrics", Some(TOKEN)).await.status, 200);
    assert_eq!(http.get("/metrics", None).await.status, 401);
    for path in ["/sets", "/ws", "/nowhere"] {
        let answer = http.get(path, Some(TOKEN)).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "OVERLOADED"), "{path}");
    }
    assert!(said.try_recv().is_err(), "it does not say that it serves");

    rows.write_all(b"{\"id\":1}\n").unwrap();
    drop(rows);
    let line = said.recv_timeout(PATIENCE).expect("it serves");
    assert_eq!(line, format!("listening on http://{address}"));
    // The connections that are there go on.
    let ready = http.get("/readyz", None).await;
    assert_eq!((ready.status, ready.json()), (200, json!({ "status": "ready" })));
    let found = http.post("/query", r#"{"edge":"orders"}"#).await;
    assert_eq!(found.json()["nodes"], json!([{ "id": 1 }]));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn sigterm_lets_everybody_go_on_until_clients_are_sent_elsewhere() {
    const CLIENTS: usize = 40;
    let mut server = Server::start(&format!("{ORDERS}{LONG}"));
    let mut http = Http::connect(&server.address).await;
    assert_eq!(http.get("/readyz", None).await.status, 200);
    let query = json!({ "edge": "orders" });
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut ws = Ws::open(&server.address).await;
        ws.create("q", &query).await;
        clients.push(ws);
    }
    server.signal("TERM");
    server.wait_for_log("stopping");
    loop {
        let ready = http.get("/readyz", None).await;
        if ready.status == 503 {
            assert_eq!(ready.json(), json!({ "status": "draining" }));
            break;
        }
    }
    assert_eq!(http.get("/livez", None).await.status, 200);
    // A balancer that has not looked yet sends more.
    let mut late = Ws::open(&server.address).await;
    late.create("q", &query).await;
    clients.push(late);
    let written = http.post("/batch", r#"[{"op":"upsert","set":"orders","node":{"id":1}}]"#).await;
    assert_eq!(written.status, 200);
    for ws in &mut clients {
        assert_eq!(ws.next().await["type"], "liveQueryAddedNode");
    }
    // However long it waits, it can be told that it was enough.
    server.signal("TERM");
    for ws in &mut clients {
        ws.expect_close(1001).await;
    }
    http.closed().await;
    drop(clients);
    assert!(server.wait().success());
    assert!(TcpStream::connect(&server.address).await.is_err());
}

#[tokio::test]
async fn another_signal_cuts_a_drain_short() {
    for (first, second) in [("TERM", "TERM"), ("TERM", "INT")] {
        let mut server = Server::start(&format!("{ORDERS}{LONG}"));
        let mut ws = Ws::open(&server.address).await;
        server.signal(first);
        server.wait_for_log("stage=Draining");
        assert_eq!(ws.ask(json!({ "type": "ping" })).await, json!({ "type": "pong" }));
        server.signal(second);
        ws.expect_close(1001).await;
        drop(ws);
        assert!(server.wait().success());
    }
}

#[tokio::test]
async fn sigint_waits_for_nothing() {
    let mut server = Server::start(&format!("{ORDERS}{LONG}"));
    let mut ws = Ws::open(&server.address).await;
    server.signal("INT");
    ws.expect_close(1001).await;
    drop(ws);
    assert!(server.wait().success());
}

#[tokio::test]
async fn a_demo_closes_its_connections_at_either_signal() {
    for name in ["TERM", "INT"] {
        let mut demo = Demo::start("127.0.0.1:0", &[]);
        let mut ws = Ws::open(&demo.address).await;
        demo.signal(name);
        ws.expect_close(1001).await;
        drop(ws);
        assert!(demo.wait().success());
    }
}

#[tokio::test]
async fn a_drain_ends_with_the_last_connection() {
    let mut server = Server::start(&format!("{ORDERS}{LONG}"));
    let ws = Ws::open(&server.address).await;
    let http = Http::connect(&server.address).await;
    server.signal("TERM");
    server.wait_for_log("stage=Draining");
    drop(ws);
    wait_for(&server.address, ["liveset_connections"], [0]).await;
    drop(http);
    assert!(server.wait().success());
}

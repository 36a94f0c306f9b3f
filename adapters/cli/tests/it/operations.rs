//! What is around a server: a log that nobody takes, limits of files, clients that close one side, signals while it starts.
#![cfg(unix)]

use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::http::Http;
use crate::support::ws::Ws;
use crate::support::{self, Server, TOKEN, liveset, serve_within, wait};

const ORDERS: &str = "[[set]]\nname = \"orders\"\n";

/// Serves with standard error going there; every request that is refused is a line.
fn start_logging_to(stderr: Stdio) -> (Child, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = liveset(&["serve", "--listen", "127.0.0.1:0", "--log", "debug", "--token"]);
    command
        .arg(format!("writer={TOKEN}"))
        .args(["--limit", "drain.wait=0s,drain.spread=0s"])
        .stdout(Stdio::piped())
        .stderr(stderr);
    let file = folder.path().join("liveset.toml");
    std::fs::write(&file, ORDERS).unwrap();
    let mut child = command.arg("--config").arg(file).spawn().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect(&line).to_owned();
    (child, address, folder)
}

async fn works_and_stops(mut child: Child, address: &str) {
    // More lines than any pipe holds, and than wait to be written.
    let mut http = Http::connect(address).await;
    for _ in 0..10_000 {
        assert_eq!(http.get("/nowhere", None).await.status, 404);
    }
    let mut client = Ws::connect(address).await;
    let authenticated = client.ask(json!({ "type": "auth", "token": TOKEN })).await;
    assert_eq!(authenticated["type"], "authenticated");
    let mut http = Http::connect(address).await;
    let metrics = http.get("/metrics", Some(TOKEN)).await;
    let lost = metrics.text().lines().find_map(|line| line.strip_prefix("liveset_log_lines_lost_total "));
    assert!(lost.is_some_and(|lost| lost.parse::<u64>().unwrap() > 100), "{lost:?}");
    support::signal(child.id(), "TERM");
    assert!(wait(&mut child).success());
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing() {
    let (full, _kept) = UnixStream::pair().unwrap();
    let (child, address, _folder) = start_logging_to(Stdio::from(std::os::fd::OwnedFd::from(full)));
    works_and_stops(child, &address).await;
}

#[tokio::test]
async fn a_log_whose_reader_is_gone_stops_nothing() {
    let (gone, reader) = UnixStream::pair().unwrap();
    drop(reader);
    let (child, address, _folder) = start_logging_to(Stdio::from(std::os::fd::OwnedFd::from(gone)));
    works_and_stops(child, &address).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_log_on_a_full_disk_stops_nothing() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (child, address, _folder) = start_logging_to(Stdio::from(full));
    works_and_stops(child, &address).await;
}

#[tokio::test]
async fn who_closes_the_sending_side_behind_a_request_is_answered() {
    let server = Server::start(ORDERS);
    for (path, body) in [
        ("/batch", r#"[{"op":"upsert","set":"orders","node":{"id":1}}]"#),
        ("/query", r#"{"edge":"orders","limit":1}"#),
        ("/explain", r#"{"edge":"orders"}"#),
        ("/events", r#"{"path":"jobs/1","eventType":"jobStarted","data":1}"#),
    ] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(&server.address).await.unwrap();
            let bytes = body.len();
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {bytes}\r\n\r\n{body}"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        }
    }
}

/// A client that is reset, and not only half closed, has its query given up: the place of its subject is free again.
#[tokio::test]
async fn the_query_of_a_client_that_was_reset_is_given_up() {
    let server = Server::start(&format!(
        "{ORDERS}[limits.http]\nqueries_per_subject = 1\nqueries_at_once = 1\nmax_body_bytes = 50_000_000\n"
    ));
    let mut http = Http::connect(&server.address).await;
    let nodes: Vec<_> = (0..20_000)
        .map(|id| json!({ "op": "upsert", "set": "orders", "node": { "id": id, "nums": (2000..2020).collect::<Vec<_>>() } }))
        .collect();
    let written = http.post("/batch", &json!(nodes).to_string()).await;
    assert_eq!(written.status, 200, "{}", written.text());
    let lists: Vec<_> = (0..3)
        .map(|list| {
            let items: Vec<_> = (0..1000).map(|item| format!("-{}", 1 + item + 1000 * list)).collect();
            format!("not (nums anyof [{}])", items.join(","))
        })
        .collect();
    let dear = json!({ "edge": "orders", "filter": lists.join(" and "), "limit": 1 }).to_string();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        let bytes = dear.len();
        let request = format!(
            "POST /query HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {bytes}\r\n\r\n{dear}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
        // A reset.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        drop(stream);
        let deadline = Instant::now() + support::PATIENCE;
        loop {
            let answer = http.post("/query", r#"{"edge":"orders","limit":1}"#).await;
            if answer.status == 200 {
                break;
            }
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(Instant::now() < deadline, "the place is never free");
        }
    }
}

#[tokio::test]
async fn idle_connections_make_room_for_newcomers() {
    let config = format!("{ORDERS}[limits.http]\nheader_timeout = \"1h\"\n");
    let server = Server::start_as(serve_within(256), &config, &[], &[]);
    server.wait_for_log("may not open as many files");
    let mut idle = Vec::new();
    for _ in 0..300 {
        let mut http = Http::connect(&server.address).await;
        assert_eq!(http.get("/healthz", None).await.status, 200);
        idle.push(http);
    }
    let mut client = Ws::open(&server.address).await;
    let created =
        client.ask(json!({ "type": "createLiveQuery", "id": "q", "query": { "edge": "orders" } })).await;
    assert_eq!(created["type"], "liveQueryCreated");
    // Those that were idle for longest went, the latest did not.
    assert_eq!(idle.pop().unwrap().get("/healthz", None).await.status, 200);
    idle.remove(0).closed().await;
    // WebSockets are not idle, however little they say.
    let mut clients = vec![client];
    while clients.len() < 150 {
        clients.push(Ws::open(&server.address).await);
    }
    for client in &mut clients[1..] {
        assert_eq!(client.ask(json!({ "type": "ping" })).await["type"], "pong");
    }
}

#[test]
fn the_soft_limit_of_files_is_raised() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 200 && exec \"$0\" \"$@\""]);
    command.args([env!("CARGO_BIN_EXE_liveset"), "serve", "--config"]);
    let server = Server::start_as(command, ORDERS, &[], &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<u64> = files.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers[0], numbers[1].min(1 << 20), "{files}");
}

#[test]
fn sigterm_while_loading_stops() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("orders.ndjson");
    // Nobody ever writes to it: the loading waits.
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let file = folder.path().join("liveset.toml");
    std::fs::write(&file, format!("{ORDERS}load = \"{}\"\n", pipe.display())).unwrap();
    for name in ["TERM", "INT"] {
        let mut command =
            liveset(&["serve", "--listen", "127.0.0.1:0", "--token", "a=b", "--log", "info", "--config"]);
        let mut child = command.arg(&file).stderr(Stdio::piped()).spawn().unwrap();
        // Until it listens to signals and loads.
        let opened = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        let started = Instant::now();
        support::signal(child.id(), name);
        assert!(wait(&mut child).success());
        assert!(started.elapsed() < Duration::from_secs(20));
        drop(opened);
        let mut log = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut log).unwrap();
        assert!(log.contains("stopped before everything was loaded"), "{log}");
    }
}

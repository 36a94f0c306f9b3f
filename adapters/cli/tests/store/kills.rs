//! A server that is killed at random moments under load.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::restarts::{config, rows};
use crate::support::ws::Ws;
use crate::support::{Server, TOKEN};

const WRITERS: usize = 3;

/// One writer commits 1, 2, 3, … Each commit writes its number into two rows. `acknowledged` is the last that was answered.
async fn write(address: String, writer: usize, first: u64, acknowledged: Arc<AtomicU64>) {
    let Ok(stream) = TcpStream::connect(&address).await else { return };
    let mut stream = BufReader::new(stream);
    for number in first.. {
        let row = |half: &str| json!({ "op": "upsert", "set": "orders", "node": { "id": format!("{writer}{half}"), "n": number, "text": "z".repeat(900) } });
        let body = json!([row("a"), row("b")]).to_string();
        let head = format!(
            "POST /batch HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
            return;
        }
        // The answer is one line, with a line feed at its end or without: the head is enough.
        let (mut first_line, mut line) = (String::new(), String::new());
        if stream.read_line(&mut first_line).await.unwrap_or(0) == 0 {
            return;
        }
        assert!(first_line.starts_with("HTTP/1.1 200 "), "{first_line}");
        acknowledged.store(number, Ordering::SeqCst);
        let mut length = 0;
        while stream.read_line(&mut line).await.is_ok_and(|read| read > 2) {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut rest = vec![0; length];
        if tokio::io::AsyncReadExt::read_exact(&mut stream, &mut rest).await.is_err() {
            return;
        }
    }
}

/// Remembers the highest number of each writer that a client was shown.
async fn watch(mut ws: Ws, seen: Arc<[AtomicU64; WRITERS]>) {
    while let Some(Ok(Message::Text(text))) = ws.socket.next().await {
        let message: Value = serde_json::from_str(&text).unwrap();
        let node = &message["data"];
        let Some(writer) = node["id"].as_str().and_then(|id| id[..1].parse::<usize>().ok()) else { continue };
        seen[writer].fetch_max(node["n"].as_u64().unwrap(), Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_or_shown_outlives_a_kill_and_no_commit_is_torn() {
    let kills = std::env::var("LIVESET_KILLS").map_or(12, |count| count.parse().expect("a number"));
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("sets.db"));
    let mut random = fastrand::Rng::with_seed(2);
    let mut stored = [0; WRITERS];
    let mut total = 0;
    for kill in 0..kills {
        let server = Server::start(&config);
        let acknowledged: [Arc<AtomicU64>; WRITERS] = std::array::from_fn(|_| Arc::default());
        let seen: Arc<[AtomicU64; WRITERS]> = Arc::new(std::array::from_fn(|_| AtomicU64::new(0)));
        let mut ws = Ws::connect(&server.address).await;
        ws.send(json!({ "type": "auth", "token": TOKEN })).await;
        ws.send(json!({ "type": "createLiveQuery", "id": "q", "query": { "edge": "orders", "node": { "fields": ["n"] } } }))
            .await;
        let mut tasks = vec![tokio::spawn(watch(ws, seen.clone()))];
        for (writer, acknowledged) in acknowledged.iter().enumerate() {
            tasks.push(tokio::spawn(write(
                server.address.clone(),
                writer,
                stored[writer] + 1,
                acknowledged.clone(),
            )));
        }
        tokio::time::sleep(Duration::from_millis(random.u64(5..300))).await;
        assert!(Command::new("kill").args(["-9", &server.pid().to_string()]).status().unwrap().success());
        for task in tasks {
            task.await.unwrap();
        }
        drop(server);

        let server = Server::start(&config);
        let found = rows(&server).await;
        for writer in 0..WRITERS {
            let number = |half: &str| {
                let row = found.iter().find(|row| row["id"] == format!("{writer}{half}"));
                row.map_or(0, |row| row["n"].as_u64().unwrap())
            };
            let (acknowledged, seen) =
                (acknowledged[writer].load(Ordering::SeqCst), seen[writer].load(Ordering::SeqCst));
            let now = number("a");
            assert_eq!(now, number("b"), "kill {kill}: a commit is torn");
            assert!(
                now >= acknowledged.max(seen).max(stored[writer]),
                "kill {kill}: {now} of {acknowledged}, {seen}"
            );
            assert!(now <= acknowledged.max(stored[writer]) + 1, "kill {kill}: {now} of {acknowledged}");
            total += now - stored[writer];
            stored[writer] = now;
        }
    }
    assert!(total > 0, "some were acknowledged");
    println!("{kills} kills, {total} commits");
}

//! A server that is told to stop in the middle of its work loses nothing that it has acknowledged, and ends in time.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::follower::Follower;
use crate::support::metrics::wait_for;
use crate::support::ws::Ws;
use crate::support::{self, Server};

const READING: usize = 188;
const STALLED: usize = 12;
const WRITERS: usize = 4;

/// Stalled clients are left alone until the end: it is the deadline of the shutdown that cuts them.
const CONFIG: &str = r#"
    [[set]]
    name = "orders"
    [[set]]
    name = "bulk"
    load = "bulk.ndjson"
    [limits.http]
    shutdown_timeout = "6s"
    requests_per_second = 1000000
    request_burst = 1000000
    [limits.drain]
    wait = "0s"
    spread = "0s"
    [limits.hub]
    initial_backlog_bytes_per_subject = 200_000_000
    [limits.transport]
    write_timeout = "300s"
"#;

/// Commits one after the other, each with the next number in two of this writer's ten nodes, until the server takes no
/// more. The last that was acknowledged is in `acknowledged`; the last that was tried is returned.
async fn write(address: String, writer: usize, acknowledged: Arc<AtomicU64>) -> u64 {
    let Ok(mut stream) = tokio::net::TcpStream::connect(&address).await else { return 0 };
    for n in 1.. {
        let node = |id: u64| {
            let node = json!({ "id": format!("{writer}-{id}"), "writer": writer, "n": n });
            json!({ "op": "upsert", "set": "orders", "node": node })
        };
        let body = json!([node(n % 10), node((n + 5) % 10)]).to_string();
        if post(&mut stream, &address, &body).await.is_none() {
            return n;
        }
        acknowledged.store(n, Ordering::SeqCst);
    }
    0
}

/// Whether the server took it. What it takes when it stops is answered with `connection: close`.
async fn post(stream: &mut tokio::net::TcpStream, address: &str, body: &str) -> Option<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let request = format!(
        "POST /batch HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
        support::TOKEN,
        body.len()
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    // The body of the answer is an object without objects in it.
    while answer.last() != Some(&b'}') {
        if stream.read_buf(&mut answer).await.ok()? == 0 {
            return None;
        }
    }
    answer.starts_with(b"HTTP/1.1 200 ").then_some(())
}

/// The rows as they are after each writer's commit of this number.
fn expected(last: &[u64]) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    for (writer, last) in last.iter().enumerate() {
        for n in 1..=*last {
            for id in [n % 10, (n + 5) % 10] {
                rows.insert(format!("{writer}-{id}"), n);
            }
        }
    }
    rows
}

/// Reads to the close frame; gives its code and the rows.
async fn follow(mut follower: Follower) -> (u16, BTreeMap<String, Value>) {
    loop {
        if let Some(code) = follower.step().await {
            return (code, follower.rows);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_get_what_was_acknowledged_and_the_stalled_are_cut() {
    // More than the kernels hold for a client that does not read.
    let bulk: String =
        (0..900).map(|id| format!("{}\n", json!({ "id": id, "padding": "x".repeat(10_000) }))).collect();
    let mut server = Server::start_with(CONFIG, &[("bulk.ndjson", bulk.as_bytes())], &[]);
    let address = server.address.clone();

    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut ws = Ws::connect_narrow(&address).await;
        ws.authenticate().await;
        ws.send(json!({ "type": "createLiveQuery", "id": "bulk", "query": { "edge": "bulk" } })).await;
        stalled.push(ws);
    }
    let mut reading = Vec::new();
    for _ in 0..READING {
        let follower = Follower::open(&address, &json!({ "edge": "orders" })).await;
        reading.push(tokio::spawn(follow(follower)));
    }
    let all = (READING + STALLED) as u64;
    wait_for(&address, ["liveset_connections", "liveset_live_queries"], [all, all]).await;

    let acknowledged: [Arc<AtomicU64>; WRITERS] = Default::default();
    let write = |(n, acknowledged): (usize, &Arc<AtomicU64>)| {
        tokio::spawn(write(address.clone(), n, Arc::clone(acknowledged)))
    };
    let writing: Vec<_> = acknowledged.iter().enumerate().map(write).collect();
    let numbers = || acknowledged.each_ref().map(|number| number.load(Ordering::SeqCst));
    while numbers().iter().any(|number| *number < 20) {
        assert!(writing.iter().all(|writing| !writing.is_finished()), "a writer was refused");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = numbers();
    let started = Instant::now();
    server.signal("TERM");

    let mut states = Vec::new();
    for reading in reading {
        let (code, rows) = reading.await.expect("the reader is served to the end");
        assert_eq!(code, 1001);
        states.push(rows);
    }
    let mut tried = Vec::new();
    for writing in writing {
        tried.push(writing.await.expect("the writer ends"));
    }
    for rows in &states {
        let numbers: BTreeMap<String, u64> =
            rows.iter().map(|(id, row)| (id.clone(), row["n"].as_u64().expect("a number"))).collect();
        let mut last = [0; WRITERS];
        for row in rows.values() {
            let (writer, n) =
                (row["writer"].as_u64().expect("a writer"), row["n"].as_u64().expect("a number"));
            let last = &mut last[writer as usize];
            *last = n.max(*last);
        }
        // Some moment of the history, of whole commits, and none before the signal.
        assert_eq!(numbers, expected(&last));
        for writer in 0..WRITERS {
            assert!(
                (before[writer]..=tried[writer]).contains(&last[writer]),
                "writer {writer}: {} of {} acknowledged before the signal and {} tried",
                last[writer],
                before[writer],
                tried[writer]
            );
        }
    }

    let status = server.wait();
    assert!(status.success(), "{status}");
    // The stalled are given their time, and no more.
    assert!(started.elapsed() >= Duration::from_secs(6), "{:?}", started.elapsed());
    let cut = format!("were cut at the deadline of the shutdown connections={STALLED}");
    server.wait_for_log(&cut);
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
    drop(stalled);
}

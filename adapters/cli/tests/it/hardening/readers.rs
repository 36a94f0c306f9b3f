//! Clients that do not read what they asked for.

use std::time::Duration;

use liveset_fuzz::frames::{CLOSE, TEXT};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::case::{Case, SLACK, Writer};
use super::table::{Line, Row};
use crate::support::metrics::{Metrics, wait_for};
use crate::support::raw::Raw;
use crate::support::{PATIENCE, TOKEN};

/// More than the kernels hold for one client: 9 MB.
const BULK_NODES: usize = 900;
const BULK_NODE_BYTES: usize = 10_000;

fn bulk() -> String {
    let padding = "s3cret....".repeat(BULK_NODE_BYTES / 10);
    (0..BULK_NODES).map(|id| format!("{}\n", json!({ "id": id, "padding": padding }))).collect()
}

const BULK: &str = "[[set]]\nname = \"bulk\"\nload = \"bulk.ndjson\"\n";

/// A client with a small window of the kernel's, that has asked for everything in a set and reads nothing.
async fn reads_nothing(address: &str, set: &str) -> Raw {
    let mut raw = Raw::connect_narrow(address).await;
    raw.authenticate(TOKEN).await;
    raw.send_json(&json!({ "type": "createLiveQuery", "id": "q", "query": { "edge": set } })).await;
    raw
}

pub async fn half_open(row: Row) -> Line {
    const CLIENTS: u64 = 20;
    let config = "[limits.session]\nping_interval = \"200ms\"\npong_timeout = \"3s\"\n\
                  [limits.transport]\nclose_timeout = \"300ms\"\n";
    let mut case = Case::start(row, config).await;
    case.rounds(2, SLACK, async |case: &mut Case| {
        let mut gone = Vec::new();
        for _ in 0..CLIENTS {
            gone.push(reads_nothing(&case.address, "orders").await);
        }
        wait_for(&case.address, ["liveset_live_queries"], [CLIENTS + 1]).await;
        case.served().await;
        // Their sockets stay as they are, and answer nothing.
        case.recovered().await;
        drop(gone);
    })
    .await;
    assert!(case.moved("liveset_errors_total{code=\"PING_TIMEOUT\"}").await >= 3 * CLIENTS);
    case.logged("the client is told of an error code=\"PING_TIMEOUT\"");
    case.finish(
        "20 clients with live queries that answer nothing any more (over a link that is cut: the test `half_open`)",
        "dropped at the deadline of the pong (3 s here, 30 s by default), sockets, live queries and all",
    )
    .await
}

pub async fn destroy_while_sending(row: Row) -> Line {
    let mut case = Case::start_with(row, BULK, &[("bulk.ndjson", bulk().as_bytes())], &[]).await;
    let mut chunks_seen = 0;
    case.rounds(4, SLACK, async |case: &mut Case| {
        let mut raw = reads_nothing(&case.address, "bulk").await;
        assert_eq!(raw.receive_json().await["type"], "liveQueryCreated");
        assert_eq!(raw.receive_json().await["hasMore"], true);
        case.served().await;
        // The rest is on its way, or waits for it.
        raw.send_json(&json!({ "type": "destroyLiveQuery", "requestId": "d", "id": "q" })).await;
        let mut rows = 0;
        loop {
            let message = raw.receive_json().await;
            match message["type"].as_str() {
                Some("liveQueryData") => {
                    assert_eq!(message["hasMore"], true, "all of it was sent: this tests nothing");
                    rows += message["data"].as_array().map_or(0, Vec::len);
                    chunks_seen += 1;
                }
                _ => {
                    assert_eq!(message, json!({ "type": "liveQueryDestroyed", "requestId": "d", "id": "q" }));
                    break;
                }
            }
        }
        assert!(rows < BULK_NODES);
        // Nothing of it follows, whatever happens to its rows.
        let op = json!([{ "op": "upsert", "set": "bulk", "node": { "id": 0, "padding": "s3cret" } }]);
        Writer::new(&case.address).commit(&op).await;
        raw.assert_alive().await;
        // And its id is free.
        raw.send_json(&json!({ "type": "createLiveQuery", "id": "q", "query": { "edge": "orders" } })).await;
        assert_eq!(raw.receive_json().await["totalCount"], 0);
        assert_eq!(raw.receive_json().await["hasMore"], false);
        raw.leave().await;
    })
    .await;
    case.moved("liveset_write_stall_seconds_count").await;
    case.logged("Ended");
    let came_back = format!(
        "`liveQueryDestroyed` after {chunks_seen} more chunks in all, and not a message of it after that; the id is free"
    );
    case.finish("a live query over 9 MB is destroyed after its first chunk was read", &came_back).await
}

/// Reads to the close frame; gives the code of the error before it, and its own.
async fn read_to_the_end(raw: &mut Raw) -> (Option<String>, Option<u16>) {
    let mut code = None;
    loop {
        match raw.receive().await {
            Some((TEXT, text)) => {
                let message: Value = serde_json::from_slice(&text).expect("JSON");
                if message["type"] == "error" {
                    code = message["code"].as_str().map(str::to_owned);
                }
            }
            Some((CLOSE, payload)) => {
                return (code, payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]])));
            }
            Some((opcode, _)) => panic!("{opcode}"),
            None => return (code, None),
        }
    }
}

pub async fn slow_reader(row: Row) -> Line {
    const NODES: usize = 100;
    const COMMITS: usize = 100;
    let config = "[limits.transport]\nwrite_timeout = \"3s\"\nclose_timeout = \"60s\"\n";
    let mut case = Case::start(row, config).await;
    let mut writer = Writer::new(&case.address);
    let padding = "s3cret....".repeat(200);
    let (mut most, mut given_up) = (0, 0);
    case.rounds(2, SLACK, async |case: &mut Case| {
        let mut raw = reads_nothing(&case.address, "orders").await;
        wait_for(&case.address, ["liveset_live_queries"], [2]).await;
        for commit in 0..COMMITS {
            let ops: Vec<_> = (0..NODES)
                .map(|id| json!({ "op": "upsert", "set": "orders", "node": { "id": id, "commit": commit, "padding": padding } }))
                .collect();
            writer.commit(&json!(ops)).await;
        }
        let waiting = Metrics::read(&case.address).await.value("liveset_changes_waiting_bytes");
        most = most.max(waiting);
        // 20 MB were produced; twice the window may wait.
        assert!(waiting < 2 << 20, "{waiting} bytes wait");
        case.served().await;
        given_up += 1;
        let deadline = Instant::now() + PATIENCE;
        while case.server.log().matches("the peer took nothing for too long").count() < given_up {
            assert!(Instant::now() < deadline, "not given up");
            sleep(Duration::from_millis(10)).await;
        }
        // Who comes back in time is told why.
        assert_eq!(read_to_the_end(&mut raw).await, (Some("OVERLOADED".into()), Some(1013)));
    })
    .await;
    case.moved("liveset_changes_folded_total").await;
    case.moved("liveset_write_timeouts_total").await;
    case.moved("liveset_close_frames_sent_total{code=\"1013\"}").await;
    case.logged("the peer took nothing for too long");
    case.memory(format!("at most {:.2} MB of 20 MB waited", most as f64 / 1e6));
    case.finish(
        "100 commits to 100 nodes of 2 kB (10,000 diffs, 20 MB), of which nothing is read",
        "folded; `OVERLOADED`, 1013 after 3 s without a byte (10 s by default)",
    )
    .await
}

pub async fn never_reads(row: Row) -> Line {
    const CLIENTS: u64 = 20;
    // What is of HTTP alone does not concern them.
    let config = format!(
        "{BULK}[limits.http]\nwrite_timeout = \"300ms\"\n\
         [limits.transport]\nwrite_timeout = \"3s\"\nclose_timeout = \"300ms\"\n"
    );
    let mut case = Case::start_with(row, &config, &[("bulk.ndjson", bulk().as_bytes())], &[]).await;
    let mut grown = 0;
    case.rounds(2, SLACK, async |case: &mut Case| {
        let before = case.resident();
        let mut stalled = Vec::new();
        for _ in 0..CLIENTS {
            stalled.push(reads_nothing(&case.address, "bulk").await);
        }
        // Every one has got what the kernels hold; the first may be given up already.
        let given_up = "liveset_write_timeouts_total";
        let earlier = Metrics::read(&case.address).await.value(given_up);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Metrics::read(&case.address).await;
            grown = grown.max(case.resident().saturating_sub(before));
            if now.value("liveset_stalled_connections") + now.value(given_up) - earlier >= CLIENTS {
                break;
            }
            assert!(Instant::now() < deadline, "they are not stalled");
            sleep(Duration::from_millis(20)).await;
        }
        // 180 MB are wanted.
        assert!(grown < 16 << 20, "{grown} bytes for what nobody reads");
        case.served().await;
        case.recovered().await;
        drop(stalled);
    })
    .await;
    assert!(case.moved("liveset_write_timeouts_total").await >= 3 * CLIENTS);
    case.moved("liveset_errors_total{code=\"OVERLOADED\"}").await;
    case.logged("the peer took nothing for too long");
    case.memory(format!("at most +{:.1} MB while 180 MB were wanted", grown as f64 / 1e6));
    case.finish(
        "20 clients ask for 9 MB each and read nothing",
        "produced as far as it can be sent; given up after 3 s without a byte (10 s by default), `OVERLOADED`",
    )
    .await
}

//! Clients that are killed leave nothing behind, and disturb nobody.
#![cfg(unix)]

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::Server;
use crate::support::clients::{Clients, obey};
use crate::support::follower::Follower;
use crate::support::http::Http;
use crate::support::metrics::{HELD, Metrics, wait_for};

const CLIENTS: u64 = 200;

/// HTTP connections stay until they are dropped, and are counted.
const CONFIG: &str = r#"
    [[set]]
    name = "orders"
    [limits.http]
    header_timeout = "300s"
"#;

#[tokio::test]
#[ignore = "the clients of the other test, in a process of their own"]
async fn clients() {
    obey().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once() {
    let server = Server::start(CONFIG);
    let mut http = Http::connect(&server.address).await;
    let mut follower = Follower::open(&server.address, &json!({ "edge": "orders" })).await;
    let before = Metrics::read(&server.address).await;
    let held = before.values(HELD);
    assert_eq!(held, [1, 1, 1, 1]);

    let queries = [
        json!({ "edge": "orders" }),
        json!({ "edge": "orders", "filter": "n > 10", "orderBy": "n desc", "limit": 5 }),
        json!({ "edge": "orders", "filter": "n < 0" }),
    ];
    let mut clients =
        Clients::start("killed_clients::clients", &[], &server.address, CLIENTS as usize, &queries);
    let metrics = Metrics::read(&server.address).await;
    assert_eq!(metrics.values(HELD), [CLIENTS + 1, 3 * CLIENTS + 1, 3, 3]);

    // In the middle of what they are sent.
    for n in 0..100 {
        let batch = json!([{ "op": "upsert", "set": "orders", "node": { "id": n % 20, "n": n } }]);
        assert_eq!(http.post("/batch", &batch.to_string()).await.status, 200);
        if n == 50 {
            clients.kill();
        }
    }
    let after = wait_for(&server.address, HELD, held).await;
    let gauges = ["liveset_subscriptions", "liveset_engine_indexes", "liveset_resume_log_changes"];
    assert_eq!(after.values(gauges), before.values(gauges));
    wait_for(&server.address, ["liveset_http_connections"], [3]).await;

    // The one that stayed was sent all of it, and is.
    while follower.rows.len() < 20 || follower.rows["19"]["n"] != 99 {
        assert_eq!(follower.step().await, None);
    }
    assert_eq!(follower.diffs, 100);
    let found = http.post("/query", r#"{"edge":"orders"}"#).await.json();
    let found = found["nodes"].as_array().expect("nodes").iter();
    let found: BTreeMap<_, _> = found.map(|node| (node["id"].to_string(), node.clone())).collect();
    assert_eq!(follower.rows, found);
}

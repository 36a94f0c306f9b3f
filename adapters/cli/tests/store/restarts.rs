//! What a restart leaves as it was, and what may be done with the file meanwhile.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::demo::Demo;
use crate::support::http::Http;
use crate::support::{Server, run};

/// A configuration with a store.
pub(crate) fn config(file: &Path) -> String {
    format!("[[set]]\nname = \"orders\"\n[store]\npath = {:?}\n", file.to_str().unwrap())
}

pub(crate) async fn upsert(server: &Server, node: Value) -> u16 {
    let batch = json!([{ "op": "upsert", "set": "orders", "node": node }]);
    Http::connect(&server.address).await.post("/batch", &batch.to_string()).await.status
}

pub(crate) async fn rows(server: &Server) -> Vec<Value> {
    let query = json!({ "edge": "orders", "orderBy": "id" }).to_string();
    let answer = Http::connect(&server.address).await.post("/query", &query).await.json();
    answer["nodes"].as_array().unwrap().clone()
}

fn stop(mut server: Server) {
    server.signal("TERM");
    assert!(server.wait().success());
}

#[tokio::test]
async fn sets_survive_a_restart_and_are_loaded_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data/sets.db");
    let text = format!("{}[[set]]\nname = \"goods\"\nload = \"goods.ndjson\"\n", config(&file));
    let files: &[(&str, &[u8])] = &[("goods.ndjson", b"{\"id\":1}\n{\"id\":2}\n")];
    for durability in ["always", "100ms"] {
        let start = || Server::start_with(&text, files, &["--durability", durability]);
        let server = start();
        for id in 1..=3 {
            assert_eq!(upsert(&server, json!({ "id": id, "by": durability })).await, 200);
        }
        let mut http = Http::connect(&server.address).await;
        let batch = r#"[{"op":"remove","set":"orders","id":3},{"op":"remove","set":"goods","id":2}]"#;
        assert_eq!(http.post("/batch", batch).await.status, 200);
        stop(server);

        let server = start();
        let expected = [1, 2].map(|id| json!({ "id": id, "by": durability }));
        assert_eq!(rows(&server).await, expected);
        let mut http = Http::connect(&server.address).await;
        let goods = http.post("/query", r#"{"edge":"goods"}"#).await.json();
        assert_eq!(goods["totalCount"], 1, "what was taken out is not loaded again");
        server.wait_for_log("opened the store");
        stop(server);
    }
}

#[tokio::test]
async fn a_second_server_on_the_file_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sets.db");
    let server = Server::start(&config(&file));
    let path = file.to_str().unwrap();
    let (ok, _, stderr) =
        run(&["serve", "--listen", "127.0.0.1:0", "--token", "a=b", "--set", "orders", "--store", path]);
    let expected = format!("{path} is open in another Liveset (process {})", server.pid());
    assert!(!ok && stderr.contains(&expected), "{stderr}");
    assert_eq!(upsert(&server, json!({ "id": 1 })).await, 200);
}

#[tokio::test]
async fn a_store_is_copied_while_it_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, copy) = (path("sets.db"), path("copy.db"));
    let server = Server::start(&config(Path::new(&file)));
    assert_eq!(upsert(&server, json!({ "id": 1 })).await, 200);
    let (ok, stdout, stderr) = run(&["backup", &file, &copy]);
    assert!(ok, "{stderr}");
    assert_eq!(stdout, format!("copied 1 row, up to commit 1, to {copy}\n"));
    assert_eq!(upsert(&server, json!({ "id": 2 })).await, 200);
    for (from, to, what) in
        [(&file, &copy, "copy.db is there already"), (&path("x"), &path("y"), "is not there")]
    {
        let (ok, _, stderr) = run(&["backup", from, to]);
        assert!(!ok && stderr.contains(what), "{stderr}");
    }
    let copied = Server::start(&config(Path::new(&copy)));
    assert_eq!(rows(&copied).await, [json!({ "id": 1 })]);
    assert_eq!(rows(&server).await, [json!({ "id": 1 }), json!({ "id": 2 })]);
}

#[tokio::test]
async fn what_the_store_does_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&config(&folder.path().join("sets.db")));
    assert_eq!(upsert(&server, json!({ "id": 1 })).await, 200);
    let mut http = Http::connect(&server.address).await;
    let metrics = http.get("/metrics", Some(crate::support::TOKEN)).await;
    for name in [
        "liveset_store_write_seconds_count 1\n",
        "liveset_store_commits_together_count 1\n",
        "liveset_store_sync_seconds_count 1\n",
        "liveset_store_bytes{file=\"main\"} ",
        "liveset_store_bytes{file=\"log\"} ",
        "liveset_store_waiting_bytes 0\n",
    ] {
        assert!(metrics.text().contains(name), "{name}{}", metrics.text());
    }
}

#[tokio::test]
async fn the_shop_of_the_demo_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    let start = || Demo::start("127.0.0.1:0", &["--data", file.to_str().unwrap(), "--rate", "0.001"]);
    let ask = async |demo: &Demo, query: Value| {
        Http::connect(&demo.address).await.post("/query", &query.to_string()).await.json()
    };
    let orders = json!({ "edge": "orders", "orderBy": "number" });
    let demo = start();
    let batch = r#"[{"op":"upsert","set":"orders","node":{"id":"mine","number":0,"status":"mine","total":1,"createdAt":"2025-01-01","updatedAt":"2025-01-01"}}]"#;
    assert_eq!(Http::connect(&demo.address).await.post("/batch", batch).await.status, 200);
    let before = ask(&demo, orders.clone()).await;
    assert!(before["totalCount"].as_u64().unwrap() > 100, "{before}");
    drop(demo);

    let demo = start();
    let after = ask(&demo, orders).await;
    // A position is one of the process.
    for told in ["nodes", "totalCount", "capped"] {
        assert_eq!(after[told], before[told], "{told}");
    }
    let jobs = ask(&demo, json!({ "edge": "jobs", "filter": "status == 'running'" })).await;
    assert_eq!(jobs["totalCount"], 0, "who ran them is gone");
}

//! What a server tells its operator: metrics as Prometheus wants them, and a log that machines read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::deploy::{named, read};
use crate::support::demo::skip;
use crate::support::follower::Follower;
use crate::support::http::Http;
use crate::support::metrics::Metrics;
use crate::support::ws::Ws;
use crate::support::{Server, TOKEN};

const ORDERS: &str = "[[set]]\nname = \"orders\"\n";

/// A server that has done some of everything.
async fn used() -> (Server, Metrics) {
    let server = Server::start(ORDERS);
    let mut http = Http::connect(&server.address).await;
    let mut follower = Follower::open(&server.address, &json!({ "edge": "orders" })).await;
    http.post("/batch", r#"[{"op":"upsert","set":"orders","node":{"id":1,"total":1}}]"#).await;
    follower.step().await;
    http.post("/query", r#"{"edge":"orders"}"#).await;
    http.post("/query", r#"{"edge":"nonsense"}"#).await;
    http.post("/events", r#"{"path":"jobs/1","eventType":"jobStarted","data":1}"#).await;
    http.get("/nowhere", Some("nonsense")).await;
    assert_eq!(Ws::open(&server.address).await.ask(json!({ "type": "nonsense" })).await["type"], "error");
    let metrics = Metrics::read(&server.address).await;
    (server, metrics)
}

#[tokio::test]
async fn every_metric_has_a_help_text_and_histograms_have_buckets() {
    let (server, metrics) = used().await;
    let (mut helped, mut kinds) = (BTreeSet::new(), BTreeMap::new());
    for line in metrics.text().lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            assert!(!help.is_empty() && helped.insert(name), "{line}");
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            kinds.insert(name, kind);
        }
    }
    assert!(kinds.len() > 80, "{kinds:?}");
    for (name, kind) in &kinds {
        assert!(helped.contains(name), "{name} has no help text");
        assert!(["counter", "gauge", "histogram"].contains(kind), "{name} is a {kind}");
        let bucket = format!("{name}_bucket{{le=\"+Inf\"}}");
        assert!(*kind != "histogram" || metrics.text().contains(&bucket), "{name} has no buckets");
    }
    let build = format!("liveset_build_info{{version=\"{}\",features=\"", env!("CARGO_PKG_VERSION"));
    assert!(metrics.text().contains(&build), "{}", metrics.text());
    assert_eq!(metrics.values(["liveset_ready", "liveset_engine_nodes"]), [1, 1]);
    if cfg!(target_os = "linux") {
        assert!(metrics.value("process_resident_memory_bytes") > 1_000_000);
        assert!(metrics.value("process_open_fds") > 5);
    }
    drop(server);
}

#[tokio::test]
async fn each_panel_of_the_dashboard_shows_something_of_a_server_that_is_used() {
    let (_server, metrics) = used().await;
    let dashboard: Value = serde_json::from_str(&read("grafana.json")).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter();
    for target in targets.flat_map(|panel| panel["targets"].as_array().unwrap()) {
        for name in named(target["expr"].as_str().unwrap()) {
            // Of a store there is something where there is one, of a limit when it refuses.
            let comes_later = name.starts_with("liveset_store_") || name == "liveset_limit_refusals_total";
            let has = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
            assert!(comes_later || metrics.text().lines().any(has), "{name}");
        }
    }
}

#[tokio::test]
async fn prometheus_finds_nothing_wrong_with_the_metrics() {
    let (_server, metrics) = used().await;
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else { return skip("promtool is not installed") };
    promtool.stdin.take().unwrap().write_all(metrics.text().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&said), "");
    assert!(output.status.success());
}

#[tokio::test]
async fn a_log_of_json_is_an_object_a_line() {
    let server = Server::start_with(ORDERS, &[], &["--log-format", "json", "--log", "debug"]);
    let mut http = Http::connect(&server.address).await;
    assert_eq!(http.get("/sets", Some("nonsense")).await.status, 401);
    let _follower = Follower::open(&server.address, &json!({ "edge": "orders" })).await;
    server.wait_for_log("\"connection\"");
    let log = server.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        let has = |name: &str| line[name].is_string();
        assert!(has("timestamp") && has("level") && has("target") && line["fields"].is_object(), "{line}");
    }
    let listening = lines.iter().find(|line| line["fields"]["message"] == "listening").unwrap();
    assert_eq!(listening["fields"]["address"], server.address);
    assert!(lines.iter().any(|line| line["span"]["name"] == "connection"), "{log}");
    assert!(!log.contains(TOKEN), "{log}");
}

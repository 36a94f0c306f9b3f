//! `liveset bench` against servers of ours: what it counts adds up.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::http::Http;
use crate::support::{self, PATIENCE, Server, TOKEN, liveset, run};

const CONFIG: &str = "[[set]]\nname = \"bench\"\n";

async fn nodes(http: &mut Http) -> u64 {
    let answer = http.post("/query", r#"{"edge":"bench"}"#).await;
    answer.json()["totalCount"].as_u64().unwrap()
}

#[tokio::test]
async fn what_is_counted_adds_up() {
    let server = Server::start(CONFIG);
    let (ok, stdout, stderr) = run(&[
        "bench",
        &format!("ws://{}/ws", server.address),
        "--token",
        TOKEN,
        "--connections=20",
        "--queries=2",
        "--shape=own",
        "--groups=10",
        "--nodes=100",
        "--stalled=25",
        "--commits=50",
        "--changes=5",
        "--events=20",
        "--duration=1500ms",
        "--warm-up=200ms",
        "--verify=5",
        "--json",
    ]);
    assert!(ok, "{stdout}{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let number = |pointer: &str| {
        report
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("no {pointer} in {report:#}"))
    };
    assert_eq!(number("/setup/stalled"), 5);
    assert_eq!((number("/connect/connections"), number("/connect/failed")), (20, 0));
    assert_eq!(number("/connect/authenticated/count"), 20);
    assert_eq!(number("/connect/firstResults/count"), 20);

    // 1.7 s at 50 a second, all of them answered.
    assert_eq!(
        (number("/writes/scheduled"), number("/writes/commits"), number("/writes/failed")),
        (85, 85, 0)
    );
    assert_eq!((number("/writes/changes"), number("/writes/answered/count")), (85 * 5, 75));

    // Forty queries share ten groups, so a change is due at four of them, or at eight if it moves.
    let (live, stalled) = (number("/received/live/diffs"), number("/received/stalled/diffs"));
    assert_eq!(live, number("/received/live/diffsDue"));
    assert!(stalled > 0 && stalled <= number("/received/stalled/diffsDue"), "{report:#}");
    let due = number("/received/live/diffsDue") + number("/received/stalled/diffsDue");
    assert!((85 * 5 * 4..=85 * 5 * 8).contains(&due), "{due}");
    let parts = ["added", "updated", "removed"].map(|kind| number(&format!("/received/live/{kind}")));
    assert!(parts.iter().all(|part| *part > 0) && parts.iter().sum::<u64>() == live, "{parts:?}");
    let events = number("/writes/events");
    assert_eq!((events, number("/received/live/events")), (34, 34 * 15));
    assert_eq!(number("/received/stalled/events") + number("/received/stalled/eventsDropped"), 34 * 5);

    // Only diffs that carry a node carry its stamp, and only those of the window are kept.
    let samples = number("/windows/0/diffs/count");
    assert!(samples > 0 && samples <= parts[0] + parts[1], "{samples} of {parts:?}");
    assert_eq!(number("/windows/0/events/count"), 30 * 15);
    let quantiles = ["p50", "p90", "p99", "p99.9", "max"]
        .map(|name| report["windows"][0]["diffs"][name].as_f64().unwrap());
    assert!(quantiles[0] > 0.0 && quantiles.is_sorted(), "{quantiles:?}");
    // Those that stall read again when all had been quiet for a while.
    assert!(number("/windows/0/diffsStalled/count") > 0);
    assert!(report["windows"][0]["diffsStalled"]["p50"].as_f64() > Some(300.0), "{report:#}");
    assert!(report.get("compare").is_none());

    assert_eq!((number("/verify/connections"), number("/verify/queries")), (5, 10));
    assert_eq!(report["verify"]["mismatches"], json!([]));
    assert!(number("/counted/all/liveset_commits_total") >= 85, "{report:#}");
    if cfg!(target_os = "linux") {
        assert_eq!(number("/server/pid"), u64::from(server.pid()));
        assert!(number("/server/rssConnected") > 0);
    }
    assert_eq!(nodes(&mut Http::connect(&server.address).await).await, 0, "its nodes are gone");
}

#[test]
fn a_server_of_its_own_is_measured_with_and_without_stalled_connections() {
    let (ok, stdout, stderr) = run(&[
        "bench",
        "--connections=12",
        "--stalled=25",
        "--compare-stalled",
        "--duration=1s",
        "--warm-up=100ms",
        "--commits=40",
        "--verify",
        "--options=positions,counts,resume",
    ]);
    assert!(ok, "{stdout}{stderr}");
    for text in [
        "a server of its own",
        "12 × 2 queries (mixed), 3 of them stalled",
        "12 in ",
        "88 commits",
        "diff, all read",
        "diff, some stall",
        "with 3 stalled connections, the others' p99 is ",
        "9 connections, 18 queries",
        "all agree",
    ] {
        assert!(stdout.contains(text), "no {text:?} in\n{stdout}");
    }
}

#[test]
fn queries_of_a_file_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queries.ndjson");
    let queries = "{\"edge\":\"bench\",\"filter\":\"group == {connection}\"}\n\n{\"edge\":\"absent\"}\n";
    std::fs::write(&file, queries).unwrap();
    let file = file.to_str().unwrap();
    let (ok, stdout, stderr) =
        run(&["bench", "-c3", "-q2", "--query-file", file, "-d200ms", "--warm-up=0s", "--json"]);
    assert!(ok, "{stdout}{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["received"]["live"]["errors"], json!({ "INVALID_QUERY": 3 }));
    assert!(report["received"]["live"]["diffs"].as_u64() > Some(0), "{report:#}");
    assert!(report["warnings"][0].as_str().unwrap().contains("unknown edge 'absent'"), "{report:#}");
}

#[test]
fn what_cannot_be_measured_is_said() {
    let server = Server::start("[[set]]\nname = \"orders\"\n");
    let url = format!("ws://{}/ws", server.address);
    let away = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().to_string()
    };
    for (args, what) in [
        (&["--compare-stalled"][..], "--stalled 20"),
        (&["--stalled", "100"], "nobody is left"),
        (&["--stalled", "many"], "percentage"),
        (&["--duration", "0s"], "measures nothing"),
        (&["--duration", "10"], "not a length of time"),
        (&["--shape", "round"], "shared, own, top, mixed"),
        (&["--query", "{\"edge\":1}"], "the query {\"edge\":1}: 'query.edge'"),
        (&["--query-file", "/absent"], "/absent"),
        (&["--", "--nonsense"], "the server did not start"),
        (&[&url], "wants a token"),
        (&[&url, "--token", "wrong"], "401"),
        (&[&url, "--token", TOKEN], "liveset serve --set bench"),
        (&[&away, "--token", TOKEN], "no connection"),
    ] {
        let (ok, stdout, stderr) = run(&[&["bench"], args].concat());
        assert!(!ok && stdout.is_empty() && stderr.contains(what), "{args:?}: {stdout}{stderr}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_run_that_is_stopped_leaves_nothing_behind() {
    let server = Server::start(CONFIG);
    let mut http = Http::connect(&server.address).await;
    let mut bench = liveset(&["bench", &server.address, "--token", TOKEN, "-c5", "-d60s", "--json"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while nodes(&mut http).await < 1_000 {
        assert!(Instant::now() < deadline, "the nodes never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    support::signal(bench.id(), "INT");
    assert!(!support::wait(&mut bench).success());
    assert_eq!(nodes(&mut http).await, 0);
}

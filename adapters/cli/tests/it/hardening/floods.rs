//! Much of what is allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use liveset_fuzz::frames::{CLOSE, TEXT, frame};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::case::{Case, SLACK};
use super::table::{Line, Row};
use crate::support::metrics::{Metrics, wait_for};
use crate::support::raw::{Raw, upgrade};
use crate::support::{PATIENCE, TOKEN};

pub async fn subscriptions(row: Row) -> Line {
    flood(row).await.and(churn(row).await)
}

async fn flood(row: Row) -> Line {
    let limits = liveset::Limits::default().session;
    assert_eq!((limits.subscriptions, limits.live_queries), (256, 256));
    let config = "[limits.session]\nsubscriptions = 50\nlive_queries = 40\nrate_limited_in_a_row = 20\n";
    let mut case = Case::start(row, config).await;
    case.rounds(6, SLACK, async |case: &mut Case| {
        let mut raw = Raw::open(&case.address).await;
        let entry = |n: usize| json!({ "id": format!("s{n}"), "path": "jobs", "events": ["jobStarted"] });
        // All or nothing.
        let many: Vec<_> = (0..51).map(entry).collect();
        raw.send_json(&json!({ "type": "subscribeEvents", "subscriptions": many })).await;
        assert_eq!(raw.error().await, "LIMIT_EXCEEDED");
        for n in 0..60 {
            raw.send_json(&json!({ "type": "subscribeEvents", "subscriptions": [entry(n)] })).await;
            let answer = raw.receive_json().await;
            let expected = if n < 50 { "subscribedEvents" } else { "error" };
            assert_eq!(answer["type"], expected, "{n}: {answer}");
            assert!(n < 50 || answer["code"] == "LIMIT_EXCEEDED");
        }
        for n in 0..60 {
            let query = json!({ "edge": "orders", "filter": format!("n == {n} and note != 's3cret'") });
            raw.send_json(&json!({ "type": "createLiveQuery", "id": format!("q{n}"), "query": query })).await;
            let answer = raw.receive_json().await;
            if n < 40 {
                assert_eq!(answer["type"], "liveQueryCreated");
                assert_eq!(raw.receive_json().await["type"], "liveQueryData");
            } else {
                assert_eq!(answer["code"], "LIMIT_EXCEEDED");
            }
        }
        wait_for(&case.address, ["liveset_subscriptions", "liveset_live_queries"], [50, 41]).await;
        case.served().await;
        // More messages a second than there may be: refused first, then closed.
        let ping = frame(true, TEXT, br#"{"type":"ping"}"#);
        raw.try_send(&ping.repeat(2_000)).await;
        let mut limited = 0;
        loop {
            match raw.receive().await.expect("a close frame") {
                (CLOSE, payload) => break assert_eq!(payload, 1008_u16.to_be_bytes()),
                (_, text) => limited += usize::from(String::from_utf8_lossy(&text).contains("RATE_LIMITED")),
            }
        }
        assert!(limited >= 20, "{limited}");
    })
    .await;
    case.moved("liveset_errors_total{code=\"LIMIT_EXCEEDED\"}").await;
    case.moved("liveset_limit_refusals_total{limit=\"session.messages_per_second\"}").await;
    case.logged("the client is told of an error code=\"LIMIT_EXCEEDED\"");
    case.logged("the client is told of an error code=\"RATE_LIMITED\"");
    case.finish(
        "60 subscriptions and 60 live queries where 50 and 40 may be; 2,000 messages at once",
        "`LIMIT_EXCEEDED` beyond the cap; `RATE_LIMITED`, then 1008",
    )
    .await
}

/// A million take minutes without optimisation: `HARDENING_CYCLES` says otherwise.
fn cycles() -> usize {
    let given = std::env::var("HARDENING_CYCLES").ok().and_then(|cycles| cycles.parse().ok());
    given.unwrap_or(if cfg!(debug_assertions) { 12_000 } else { 200_000 })
}

async fn churn(row: Row) -> Line {
    const AT_ONCE: usize = 200;
    let config = "[limits.session]\nmessages_per_second = 4000000000\nmessage_burst = 4000000000\nheld_messages = 1000\n\
                  held_bytes = 1000000\n";
    let mut case = Case::start(row, config).await;
    let rounds = 4;
    let each = cycles() / rounds;
    let mut cycle = 0;
    let size = async |case: &Case| {
        Metrics::read(&case.address).await.values([
            "liveset_engine_indexes",
            "liveset_engine_index_bytes",
            "liveset_engine_window_bytes",
            "liveset_engine_views",
        ])
    };
    let before = size(&case).await;
    case.rounds(u32::try_from(rounds).expect("few"), SLACK, async |case: &mut Case| {
        let mut raw = Raw::open(&case.address).await;
        for batch in 0..each / AT_ONCE {
            let mut messages = Vec::new();
            for _ in 0..AT_ONCE {
                cycle += 1;
                // A query of its own each time: nothing of it is there yet.
                let filter = format!("n == {cycle} and note == 's3cret-{cycle}' or tags anyof [{cycle}]");
                let query = json!({ "edge": "orders", "filter": filter, "orderBy": "n desc" });
                let create = json!({ "type": "createLiveQuery", "id": format!("q{cycle}"), "query": query });
                let destroy = json!({ "type": "destroyLiveQuery", "id": format!("q{cycle}") });
                for message in [create, destroy] {
                    messages.extend(frame(true, TEXT, message.to_string().as_bytes()));
                }
            }
            raw.send(&messages).await;
            let mut destroyed = 0;
            while destroyed < AT_ONCE {
                let message = raw.receive_json().await;
                assert_ne!(message["type"], "error", "{message}");
                destroyed += usize::from(message["type"] == "liveQueryDestroyed");
            }
            if batch == 0 {
                case.served().await;
            }
        }
        raw.leave().await;
    })
    .await;
    assert_eq!(size(&case).await, before, "indexes, their bytes, those of windows, views");
    case.moved("liveset_messages_received_total").await;
    case.logged("Ended");
    case.memory("indexes, their bytes, windows and views as before".to_owned());
    let done = format!(
        "{cycle} live queries of the million created and destroyed, each with a filter of its own (`HARDENING_CYCLES=1000000` for all)"
    );
    case.finish(&done, "each answered and freed").await
}

/// How many clients come back at once.
const CLIENTS: usize = if cfg!(debug_assertions) { 3_000 } else { 10_000 };

pub async fn reconnect(row: Row) -> Line {
    storm(row).await.and(first_results(row).await)
}

/// As many open files as the hard limit lets be, here and in the servers that are started from here: the usual limit is 1,024.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard })
        .expect("the limit of open files can be raised");
    assert!(
        hard.is_none_or(|hard| hard > CLIENTS as u64 + 500),
        "no more than {hard:?} files may be open here"
    );
}

async fn storm(row: Row) -> Line {
    raise_descriptors();
    let limits = liveset_server::accept::AcceptLimits::default();
    assert_eq!((limits.http.connections_per_second, limits.http.connection_burst), (2_000, 10_000));
    let config = "[limits.http]\nmax_connections = 20000\nmax_handshakes = 200\nconnections_per_second = 200\nconnection_burst = 300\n\
                  [limits.session]\nauth_timeout = \"1h\"\nping_interval = \"1h\"\n[limits.hub]\nconnections_per_subject = 20000\n";
    let mut case = Case::start(row, config).await;
    let refused = Arc::new(AtomicU64::new(0));
    let mut storms = 0;
    case.rounds(1, 2 * SLACK, async |case: &mut Case| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| tokio::spawn(come_back(case.address.clone(), client, Arc::clone(&refused))))
            .collect();
        case.served().await;
        let mut inside = Vec::new();
        for client in clients {
            let client = tokio::time::timeout(PATIENCE, client).await.expect("let in in time");
            inside.push(client.expect("a client"));
        }
        let all = CLIENTS as u64 + 1;
        wait_for(&case.address, ["liveset_connections", "liveset_live_queries"], [all, all]).await;
        case.served().await;
        storms += 1;
        drop(inside);
    })
    .await;
    let refused = refused.load(Ordering::Relaxed);
    assert!(refused > 0, "nobody was refused: this tests nothing");
    case.moved("liveset_connections_refused_total{cap=\"new connections\"}").await;
    case.logged("too many new connections");
    // Not a line for each.
    let warnings = case.server.log().matches("WARN").count();
    assert!(warnings < 500, "{warnings} warnings");
    let done = format!(
        "{CLIENTS} clients of the 10,000 at once (all in a build with optimisations), {storms} times, which try again until they are in; each with a live query"
    );
    let came_back = format!(
        "{refused} times 503 with `retry-after` from the accept rate (300 at once, 200 a second); all are in in the end"
    );
    case.finish(&done, &came_back).await
}

async fn come_back(address: String, client: usize, refused: Arc<AtomicU64>) -> Raw {
    let mut wait = Duration::from_millis(100);
    let mut raw = loop {
        if let Ok(mut stream) = TcpStream::connect(&address).await {
            let _ = stream.write_all(upgrade(&address, "").as_bytes()).await;
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") && matches!(stream.read_buf(&mut answer).await, Ok(1..)) {}
            if answer.starts_with(b"HTTP/1.1 101 ") {
                break Raw { stream };
            }
            // One that was only waited for until it was over may see a reset.
            if !answer.is_empty() {
                assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&answer));
                refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        // Spread, as clients do who were told to come back.
        sleep(wait + Duration::from_millis(client as u64 % 97)).await;
        wait = (wait * 2).min(Duration::from_secs(1));
    };
    raw.authenticate(TOKEN).await;
    let query = json!({ "edge": "orders", "filter": format!("n == {}", client % 50) });
    raw.send_json(&json!({ "type": "createLiveQuery", "id": "q", "query": query })).await;
    assert_eq!(raw.receive_json().await["type"], "liveQueryCreated");
    assert_eq!(raw.receive_json().await["type"], "liveQueryData");
    raw
}

/// Live queries over many nodes, each another, at once: no more than so many are made at a time.
async fn first_results(row: Row) -> Line {
    const QUERIES: usize = 60;
    let bulk: String = (0..600).map(|id| format!("{}\n", json!({ "id": id, "x": "s3cret" }))).collect();
    let config = "[[set]]\nname = \"bulk\"\nload = \"bulk.ndjson\"\n[limits.engine]\nslice_rows = 2\nmax_filling = 2\n";
    let mut case = Case::start_with(row, config, &[("bulk.ndjson", bulk.as_bytes())], &[]).await;
    let refused = Arc::new(AtomicU64::new(0));
    case.rounds(2, SLACK, async |case: &mut Case| {
        let clients: Vec<_> = (0..QUERIES)
            .map(|client| {
                tokio::spawn(ask_until_answered(case.address.clone(), client, Arc::clone(&refused)))
            })
            .collect();
        case.served().await;
        for client in clients {
            let raw = tokio::time::timeout(PATIENCE, client).await.expect("answered in time");
            raw.expect("a client").leave().await;
        }
    })
    .await;
    let refused = refused.load(Ordering::Relaxed);
    assert!(refused > 0, "nobody was refused: this tests nothing");
    case.moved("liveset_limit_refusals_total{limit=\"engine.max_filling\"}").await;
    case.logged("Refused(");
    let came_back = format!(
        "{refused} times `OVERLOADED` beyond 2 at once (1,024 by default), the connections stay; all are answered in the end"
    );
    case.finish("60 clients ask for live queries of their own over 600 nodes, in slices of 2", &came_back)
        .await
}

async fn ask_until_answered(address: String, client: usize, refused: Arc<AtomicU64>) -> Raw {
    let mut raw = Raw::open(&address).await;
    loop {
        let query = json!({ "edge": "bulk", "filter": format!("x != 's3cret-{client}'") });
        raw.send_json(&json!({ "type": "createLiveQuery", "id": "q", "query": query })).await;
        let answer = raw.receive_json().await;
        if answer["type"] == "liveQueryCreated" {
            assert_eq!(answer["totalCount"], 600);
            while raw.receive_json().await["hasMore"] == true {}
            return raw;
        }
        assert_eq!((&answer["code"], &answer["id"]), (&json!("OVERLOADED"), &json!("q")), "{answer}");
        refused.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(30)).await;
    }
}

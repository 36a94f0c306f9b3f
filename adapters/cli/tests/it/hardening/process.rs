//! Faults of the machine and of the host's code, and the end of the process.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use liveset_engine::Timestamp;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::case::{Case, SLACK, Writer, lean};
use super::host::{self, BOMBS, PANICS, STALLS};
use super::table::{Line, Row};
use crate::support::http::Http;
use crate::support::metrics::Metrics;
use crate::support::raw::{Raw, rest};
use crate::support::{PATIENCE, liveset};

pub async fn clock_jumps(row: Row) -> Line {
    let line = clock_of_the_data(row).await;
    match libfaketime() {
        Some(library) => line.and(clock_of_the_wall(row, &library).await),
        None => line,
    }
}

/// The library that gives a process a clock of its own. Where it is missing, CI fails and others are told.
fn libfaketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut files = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found = files.find(|file| file.is_file());
    if found.is_none() {
        let missing = "libfaketime is not there (Debian's package is `faketime`): no wall clock jumps";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("skipped: {missing}");
    }
    found
}

/// The program itself, and its machine's clock.
async fn clock_of_the_wall(row: Row, library: &Path) -> Line {
    const DEADLINE: Duration = Duration::from_secs(3);
    let folder = tempfile::tempdir().expect("a folder");
    let clock = folder.path().join("clock");
    let set = |hours: i64| {
        // Read whenever the time is asked for: never half of it.
        let next = folder.path().join("next");
        std::fs::write(&next, format!("{:+}\n", hours * 3_600)).expect("the clock is set");
        std::fs::rename(next, &clock).expect("the clock is set");
    };
    set(0);
    let mut command = lean(liveset(&["serve", "--config"]));
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    let config = format!(
        "[limits.session]\nauth_timeout = \"{}s\"\nping_interval = \"10m\"\n[limits.http]\nheader_timeout = \"10m\"\n",
        DEADLINE.as_secs()
    );
    let mut case = Case::start_as(row, command, &config).await;
    // A node of the moment.
    let at = Timestamp::from(SystemTime::now()).to_string();
    let node = json!({ "id": "now", "at": at, "x": "s3cret" });
    Writer::new(&case.address).commit(&json!([{ "op": "upsert", "set": "orders", "node": node }])).await;
    case.rounds(1, SLACK, async |case: &mut Case| {
        let mut raw = Raw::open(&case.address).await;
        for (id, filter, count) in
            [("late", "at > now - 30 minutes", 1), ("past", "at > now + 30 minutes", 0)]
        {
            let query = json!({ "edge": "orders", "filter": filter });
            raw.send_json(&json!({ "type": "createLiveQuery", "id": id, "query": query })).await;
            assert_eq!(raw.receive_json().await["totalCount"], count, "{filter}");
            raw.receive_json().await;
        }
        let mut silent = Vec::new();
        for (hours, diffs) in [
            (1, vec![("late", "liveQueryRemovedNode")]),
            // Two hours back, past where it was: what was gone is there again.
            (-1, vec![("late", "liveQueryAddedNode"), ("past", "liveQueryAddedNode")]),
            (0, vec![("past", "liveQueryRemovedNode")]),
        ] {
            silent.push((Instant::now(), Raw::connect(&case.address).await));
            set(hours);
            let mut came = Vec::new();
            for _ in &diffs {
                let diff = raw.receive_json().await;
                came.push((diff["id"].as_str().map(str::to_owned), diff["type"].as_str().map(str::to_owned)));
            }
            came.sort();
            let expected = diffs.iter().map(|(id, kind)| (Some((*id).to_owned()), Some((*kind).to_owned())));
            assert_eq!(came, expected.collect::<Vec<_>>(), "{hours:+} h");
            case.served().await;
        }
        for (since, mut silent) in silent {
            assert_eq!(silent.error().await, "AUTH_TIMEOUT");
            assert!(since.elapsed() >= DEADLINE, "a jump cut it short: {:?}", since.elapsed());
            assert_eq!(silent.close_code().await, Some(1008));
        }
        // Nobody else's deadline came.
        raw.assert_alive().await;
        raw.leave().await;
    })
    .await;
    case.moved("liveset_engine_clock_set_back_total").await;
    case.moved("liveset_engine_flips_total").await;
    case.logged("the client is told of an error code=\"AUTH_TIMEOUT\"");
    case.finish(
        "the machine's clock (by libfaketime) an hour on, an hour back, and right again, a silent connection open at each; live queries over `now`",
        "`now ± 30 minutes` follow in both directions; `AUTH_TIMEOUT` at the deadline (3 s here), neither before nor an hour late; nobody else is closed",
    )
    .await
}

async fn clock_of_the_data(row: Row) -> Line {
    const DEADLINE: Duration = Duration::from_secs(3);
    let mut case = Case::over(row, host::start(DEADLINE)).await;
    let mut hour = 0;
    case.rounds(1, SLACK, async |case: &mut Case| {
        let mut writer = Writer::new(&case.address);
        let mut at = async |hour: u32, ops: serde_json::Value| {
            writer.commit(&json!({ "at": format!("2030-01-{:02}T{:02}:00:00Z", 1 + hour / 24, hour % 24), "ops": ops })).await;
        };
        hour += 2;
        let created = format!("2030-01-{:02}T{:02}:00:00Z", 1 + hour / 24, hour % 24);
        at(hour, json!([{ "op": "upsert", "set": "orders", "node": { "id": hour, "at": created, "x": "s3cret" } }])).await;
        let mut raw = Raw::open(&case.address).await;
        let query = json!({ "edge": "orders", "filter": "at > now - 30 minutes" });
        raw.send_json(&json!({ "type": "createLiveQuery", "id": "q", "query": query })).await;
        assert_eq!(raw.receive_json().await["totalCount"], 1);
        raw.receive_json().await;

        let started = Instant::now();
        let mut silent = Raw::connect(&case.address).await;
        // An hour on, and the query knows.
        hour += 1;
        at(hour, json!([])).await;
        let removed = raw.receive_json().await;
        assert_eq!(removed["type"], "liveQueryRemovedNode", "{removed}");
        case.served().await;
        // An hour back, which changes nothing: commits name moments in order.
        at(hour - 1, json!([])).await;
        assert_eq!(silent.error().await, "AUTH_TIMEOUT");
        assert!(started.elapsed() >= DEADLINE, "the jump cut it short: {:?}", started.elapsed());
        assert_eq!(silent.close_code().await, Some(1008));
        // Nobody else's deadline came.
        raw.assert_alive().await;
        raw.leave().await;
    })
    .await;
    case.moved("liveset_engine_flips_total").await;
    case.moved("liveset_errors_total{code=\"AUTH_TIMEOUT\"}").await;
    case.logged("the client is told of an error code=\"AUTH_TIMEOUT\"");
    case.finish(
        "the clock of the data an hour on and an hour back while a connection has not authenticated, and others serve queries over `now`",
        "`now - 30 minutes` follows at once; `AUTH_TIMEOUT` at its deadline (3 s here), not before; nobody else is closed",
    )
    .await
}

pub async fn faults(row: Row) -> Line {
    panics(row).await.and(stall(row).await).and(out_of_descriptors(row).await)
}

async fn panics(row: Row) -> Line {
    let mut case = Case::over(row, host::start(Duration::from_secs(30))).await;
    case.may_panic();
    case.rounds(6, SLACK, async |case: &mut Case| {
        for _ in 0..5 {
            let mut raw = Raw::open(&case.address).await;
            raw.send_json(&json!({ "type": "createLiveQuery", "id": "q", "query": { "edge": "orders" } }))
                .await;
            assert_eq!(raw.receive_json().await["type"], "liveQueryCreated");
            raw.receive_json().await;
            raw.send_json(&json!({ "type": "createLiveQuery", "id": "b", "query": { "edge": BOMBS } })).await;
            let error = raw.receive_json().await;
            assert_eq!(
                (&error["code"], error.to_string().contains("fault")),
                (&json!("INTERNAL"), false),
                "{error}"
            );
            assert_eq!(raw.close_code().await, Some(1011));
            let mut raw = Raw::connect(&case.address).await;
            raw.send_json(&json!({ "type": "auth", "token": PANICS })).await;
            assert_eq!(raw.error().await, "AUTH_FAILED");
            assert_eq!(raw.close_code().await, Some(1008));
        }
        case.served().await;
        let answer =
            Http::connect(&case.address).await.post("/query", &json!({ "edge": BOMBS }).to_string()).await;
        assert_eq!((answer.status, &*answer.code()), (500, "INTERNAL"));
        let answer = Http::connect(&case.address).await.get("/metrics", Some(PANICS)).await;
        assert_eq!((answer.status, &*answer.code()), (401, "AUTH_FAILED"));
    })
    .await;
    case.moved("liveset_panics_total{place=\"policy\"}").await;
    case.moved("liveset_panics_total{place=\"authenticator\"}").await;
    case.moved("liveset_close_frames_sent_total{code=\"1011\"}").await;
    case.logged("the policy panicked over this connection; the connection is closed");
    case.logged("the authenticator panicked; the token counts as refused");
    case.finish(
        "a policy that panics over a query, an authenticator that panics over a token; over HTTP too",
        "`INTERNAL`, 1011 (HTTP 500); `AUTH_FAILED`, 1008 (HTTP 401); without a detail",
    )
    .await
}

async fn stall(row: Row) -> Line {
    let mut case = Case::over(row, host::start(Duration::from_secs(300))).await;
    let stuck = "liveset_stuck_threads_total";
    case.rounds(2, SLACK, async |case: &mut Case| {
        let before = Metrics::read(&case.address).await.value(stuck);
        let mut stalled = Raw::connect(&case.address).await;
        stalled.send_json(&json!({ "type": "auth", "token": STALLS })).await;
        // One of two threads stands still. The others do the work, of those who are there and of those who come.
        for _ in 0..10 {
            case.served().await;
            let mut raw = Raw::open(&case.address).await;
            raw.assert_alive().await;
            raw.leave().await;
        }
        let deadline = Instant::now() + PATIENCE;
        while Metrics::read(&case.address).await.value(stuck) == before {
            assert!(Instant::now() < deadline, "nobody has seen it");
            sleep(Duration::from_millis(20)).await;
        }
        Http::connect(&case.address).await.post("/release", "").await;
        assert_eq!(stalled.receive_json().await["type"], "authenticated");
        stalled.leave().await;
    })
    .await;
    case.logged("a thread of the runtime has been in one task for a second");
    case.moved(stuck).await;
    case.finish(
        "an authenticator that blocks its thread, one of two, until it is released",
        "all others are served and let in; then `authenticated`",
    )
    .await
}

async fn out_of_descriptors(row: Row) -> Line {
    let mut case = Case::start_within(row, 60, "[limits.http]\nheader_timeout = \"300s\"\n").await;
    let mut failures = 0;
    case.rounds(4, SLACK, async |case: &mut Case| {
        case.served().await;
        // More than it can have; the kernel keeps the rest for it.
        let mut crowd = Vec::new();
        for _ in 0..90 {
            crowd.push(TcpStream::connect(&case.address).await.expect("the kernel accepts"));
        }
        let deadline = Instant::now() + PATIENCE;
        let found = loop {
            let found = case.server.log().matches("cannot accept connections").count();
            if found > failures {
                break found;
            }
            assert!(Instant::now() < deadline, "it accepts them all");
            sleep(Duration::from_millis(10)).await;
        };
        assert!(found - failures < 200, "{found} attempts: it spins");
        failures = found;
        case.served().await;
        drop(crowd);
        let late = Raw::open(&case.address).await;
        late.leave().await;
        case.recovered().await;
        failures = case.server.log().matches("cannot accept connections").count();
    })
    .await;
    case.moved("liveset_accept_errors_total").await;
    case.logged("cannot accept connections");
    case.finish(
        "60 descriptors, 90 sockets",
        "who is connected is served; pauses of 10 ms to 1 s between attempts; then everybody is let in",
    )
    .await
}

pub async fn sigterm(row: Row) -> Line {
    const CLIENTS: usize = 50;
    let config = "[limits.http]\nshutdown_timeout = \"20s\"\nheader_timeout = \"60s\"\n[limits.transport]\nclose_timeout = \"1s\"\n[limits.drain]\nwait = \"0s\"\nspread = \"0s\"\n";
    let mut case = Case::start(row, config).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut raw = Raw::open(&case.address).await;
        raw.send_json(&json!({ "type": "createLiveQuery", "id": "q", "query": { "edge": "orders" } })).await;
        raw.receive_json().await;
        raw.receive_json().await;
        clients.push(raw);
    }
    // One that says nothing any more must not hold it up.
    let deaf = Raw::open(&case.address).await;
    // Half of a request, which is waited for: what the server counts while it stops.
    let mut request = TcpStream::connect(&case.address).await.expect("accepted");
    let (first, second) = (
        "GET /metrics HTTP/1.1\r\nhost: localhost\r\n",
        format!("authorization: Bearer {}\r\n\r\n", crate::support::TOKEN),
    );
    request.write_all(first.as_bytes()).await.expect("taken");
    case.served().await;
    let mut writer = Writer::new(&case.address);
    let ops: Vec<_> = (0..20).map(|id| json!({ "op": "upsert", "set": "orders", "node": { "id": id, "x": "s3cret".repeat(1_000) } })).collect();
    writer.commit(&json!(ops)).await;
    let stopping = Instant::now();
    case.server.signal("TERM");
    for raw in &mut clients {
        // What was acknowledged is flushed first, all of it.
        for _ in 0..20 {
            assert_eq!(raw.receive_json().await["type"], "liveQueryAddedNode");
        }
        assert_eq!(raw.close_code().await, Some(1001));
    }
    assert_eq!(case.bystander_closed().await, 1001);
    let newcomer = async {
        match TcpStream::connect(&case.address).await {
            Ok(mut stream) => rest(&mut stream).await,
            Err(_) => Vec::new(),
        }
    };
    assert_eq!(newcomer.await, b"", "nobody is let in any more");
    request.write_all(second.as_bytes()).await.expect("taken");
    let said = rest(&mut request).await;
    let said = String::from_utf8_lossy(&said);
    let sent =
        said.lines().find_map(|line| line.strip_prefix("liveset_close_frames_sent_total{code=\"1001\"} "));
    let sent: usize = sent.unwrap_or_else(|| panic!("{said}")).parse().expect("a number");
    assert!(sent > CLIENTS, "{sent}");
    case.metric(format!("`liveset_close_frames_sent_total{{code=\"1001\"}}` +{sent}"));
    let status = case.server.wait();
    let took = stopping.elapsed();
    assert!(status.success(), "{status}");
    assert!(took < PATIENCE, "{took:?}");
    drop(deaf);
    case.logged("stopping");
    case.logged("stopped");
    case.memory("the process has ended".to_owned());
    case.closed(
        "50 clients with a commit of 120 kB each on its way, one that answers nothing, half a request",
        &format!("no newcomers; the commit is flushed, then 1001 (the bystander too); the request is answered; status 0 after {:.1} s", took.as_secs_f64()),
    )
}

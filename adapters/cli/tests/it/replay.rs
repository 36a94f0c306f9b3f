//! `liveset replay` into `liveset serve`.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::http::Http;
use crate::support::{self, READER, Server, TOKEN, liveset, run};

const CONFIG: &str = "[[set]]\nname = \"flights\"\n[clock]\nsource = \"commits\"\n";

/// Two hundred commits, a minute apart: flight `n` appears, and the one twenty before it goes.
fn stream() -> String {
    let commit = |n: u32| {
        let at = format!("2024-01-01T{:02}:{:02}:00Z", n / 60, n % 60);
        let mut ops =
            vec![json!({ "op": "upsert", "set": "flights", "node": { "id": format!("f{n}"), "at": at } })];
        if n >= 20 {
            ops.push(json!({ "op": "remove", "set": "flights", "id": format!("f{}", n - 20) }));
        }
        format!("{}\n", json!({ "at": at, "ops": ops }))
    };
    (0..200).map(commit).collect()
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

async fn count(server: &Server, filter: &str) -> u64 {
    let mut http = Http::connect(&server.address).await;
    let query = json!({ "edge": "flights", "filter": filter }).to_string();
    http.post("/query", &query).await.json()["totalCount"].as_u64().unwrap()
}

#[tokio::test]
async fn a_file_is_replayed_whole() {
    let server = Server::start_with(CONFIG, &[("flights.ndjson.gz", &gzipped(&stream()))], &[]);
    let file = server.folder.path().join("flights.ndjson.gz");
    let url = format!("http://{}", server.address);
    let (ok, stdout, stderr) =
        run(&["replay", file.to_str().unwrap(), "--url", &url, "--token", TOKEN, "--speed", "max"]);
    assert!(ok, "{stderr}");
    assert!(stdout.starts_with("replayed 200 commits, 380 operations, 380 nodes changed in "), "{stdout}");
    assert_eq!(count(&server, "").await, 20);
    assert_eq!(count(&server, "now == 2024-01-01T03:19:00Z").await, 20);
}

#[tokio::test]
async fn a_part_is_replayed() {
    let server = Server::start_with(CONFIG, &[("flights.ndjson", stream().as_bytes())], &[]);
    let file = server.folder.path().join("flights.ndjson");
    let args = ["replay", file.to_str().unwrap(), "--url", &server.address, "--token", TOKEN, "--speed", "0"];
    let replay = |more: &[&str]| {
        let (ok, stdout, stderr) = run(&[&args, more].concat());
        assert!(ok, "{stderr}");
        stdout
    };
    let stdout = replay(&["--limit", "10"]);
    assert!(stdout.starts_with("replayed 10 commits, "), "{stdout}");
    assert_eq!(count(&server, "").await, 10);
    replay(&["--from", "11", "--limit", "5"]);
    assert_eq!(count(&server, "").await, 15);
    replay(&["--from", "2024-01-01T03:15:00Z"]);
    assert_eq!(count(&server, "id in ['f195','f196','f197','f198','f199','f194']").await, 5);
}

#[tokio::test]
async fn time_passes_as_fast_as_asked() {
    let server = Server::start_with(CONFIG, &[("flights.ndjson", stream().as_bytes())], &[]);
    let file = server.folder.path().join("flights.ndjson");
    let started = Instant::now();
    // Eleven commits span ten minutes: a second at 600 times.
    let (ok, stdout, stderr) = run(&[
        "replay",
        file.to_str().unwrap(),
        "--url",
        &server.address,
        "--token",
        TOKEN,
        "--speed",
        "600",
        "--limit",
        "11",
    ]);
    assert!(ok && stdout.starts_with("replayed 11 commits"), "{stdout}{stderr}");
    assert!(started.elapsed() >= Duration::from_millis(990), "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_the_server_refuses_is_named_with_its_line() {
    let bad = format!(
        "{}{}\n",
        stream(),
        json!({ "ops": [{ "op": "upsert", "set": "ships", "node": { "id": 1 } }] })
    );
    let not_a_commit = "\n{\"id\":1}\n";
    let server = Server::start_with(
        CONFIG,
        &[("bad.ndjson", bad.as_bytes()), ("node.ndjson", not_a_commit.as_bytes())],
        &[],
    );
    let file = |name: &str| server.folder.path().join(name).to_str().unwrap().to_owned();
    let replay = |file: &str, token: &str| {
        let (ok, stdout, stderr) =
            run(&["replay", file, "--url", &server.address, "--token", token, "--speed", "max"]);
        assert!(!ok, "{stdout}");
        stderr
    };
    let error = replay(&file("bad.ndjson"), TOKEN);
    assert!(
        error.contains("bad.ndjson:201: ") && error.contains("422") && error.contains("unknown set 'ships'"),
        "{error}"
    );
    let error = replay(&file("bad.ndjson"), READER);
    assert!(error.contains("bad.ndjson:1: ") && error.contains("403"), "{error}");
    let error = replay(&file("bad.ndjson"), "nonsense");
    assert!(error.contains("401") && !error.contains("nonsense"), "{error}");
    let error = replay(&file("node.ndjson"), TOKEN);
    assert!(error.contains("node.ndjson:2: is not a commit"), "{error}");
    let error = replay(&file("absent.ndjson"), TOKEN);
    assert!(error.contains("absent.ndjson"), "{error}");
}

/// A server that is away is waited for, and the replay goes on where it was.
#[tokio::test]
async fn a_server_that_is_away_is_waited_for() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flights.ndjson");
    std::fs::write(&file, stream()).unwrap();
    drop(taken);
    let replay =
        liveset(&["replay", file.to_str().unwrap(), "--url", &address, "--token", TOKEN, "--speed", "max"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let server = Server::start_with(CONFIG, &[], &["--listen", &address]);
    let output = replay.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains(&format!("no connection to http://{address}")), "{stderr}");
    assert_eq!(count(&server, "").await, 20);
}

/// A commit that was sent and not answered is sent again, and that is said.
#[tokio::test]
async fn a_commit_without_an_answer_is_not_repeated_silently() {
    let (server, seen) = half_deaf_server();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flights.ndjson");
    std::fs::write(&file, stream()).unwrap();
    let (ok, stdout, stderr) = run(&[
        "replay",
        file.to_str().unwrap(),
        "--url",
        &server,
        "--token",
        TOKEN,
        "--speed",
        "max",
        "--limit",
        "2",
    ]);
    assert!(ok, "{stderr}");
    let seen = seen.lock().unwrap();
    let lost = match seen[0].len() {
        1 => "line 1 was",
        _ => "lines 1 to 2 were",
    };
    assert!(stderr.contains(&format!("{lost} sent and not answered")), "{stderr}");
    let repeated = format!("sent again because no answer came: {}", seen[0].len());
    assert!(stdout.contains(&repeated), "{stdout}");
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[1..].concat(), ["f0", "f1"]);
}

/// Takes the first request and hangs up; answers the others. Returns its address and the flights of each request.
fn half_deaf_server() -> (String, std::sync::Arc<std::sync::Mutex<Vec<Vec<String>>>>) {
    use std::io::{BufRead, BufReader, Read};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = std::sync::Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            loop {
                let (mut length, mut line) = (0, String::new());
                while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                if length == 0 || stream.read_exact(&mut body).is_err() {
                    break;
                }
                let commits = serde_json::Deserializer::from_slice(&body).into_iter::<serde_json::Value>();
                let id =
                    |commit: serde_json::Value| commit["ops"][0]["node"]["id"].as_str().unwrap().to_owned();
                let flights: Vec<_> = commits.map(|commit| id(commit.unwrap())).collect();
                let answer = json!({ "applied": flights.len(), "changed": flights.len() }).to_string();
                let mut log = log.lock().unwrap();
                log.push(flights);
                if log.len() == 1 {
                    break;
                }
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    (address, seen)
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupted_replay_says_how_far_it_came() {
    let server = Server::start_with(CONFIG, &[("flights.ndjson", stream().as_bytes())], &[]);
    let file = server.folder.path().join("flights.ndjson");
    let replay = liveset(&["replay", file.to_str().unwrap(), "--url", &server.address, "--token", TOKEN])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // In real time the second commit is a minute away.
    let deadline = Instant::now() + support::PATIENCE;
    while count(&server, "").await == 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    support::signal(replay.id(), "INT");
    let output = replay.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("stopped after 1 commit, 1 operation, 1 node changed in "), "{stdout}");
    assert!(stdout.ends_with("; --from 2 goes on\n"), "{stdout}");
}

/// The commit that was begun may take as long as the server does; the second ctrl-c does not wait for it.
#[cfg(unix)]
#[test]
fn a_second_interrupt_waits_for_nothing() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flights.ndjson");
    std::fs::write(&file, stream()).unwrap();
    let mut replay = liveset(&["replay", file.to_str().unwrap(), "--url", &address, "--token", TOKEN])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stream, _) = silent.accept().unwrap();
    std::io::Read::read(&mut stream, &mut [0; 64]).unwrap();
    support::signal(replay.id(), "INT");
    let mut said = std::io::BufRead::lines(std::io::BufReader::new(replay.stderr.take().unwrap()));
    assert!(said.next().unwrap().unwrap().contains("ctrl-c again"));
    support::signal(replay.id(), "INT");
    assert!(said.next().unwrap().unwrap().contains("line 1 was sent and not answered"));
    let output = replay.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(output.stdout.starts_with(b"stopped after 0 commits"));
}

#[tokio::test]
async fn an_empty_range_says_so() {
    let stream = stream();
    let files = [("flights.ndjson", stream.as_bytes()), ("empty.ndjson", b"\n")];
    let server = Server::start_with(CONFIG, &files, &[]);
    let file = |name: &str| server.folder.path().join(name).to_str().unwrap().to_owned();
    let replay = |file: &str, more: &[&str]| {
        run(&[&["replay", file, "--url", &server.address, "--token", TOKEN, "--speed", "max"], more].concat())
    };
    for (name, more, expected) in [
        (
            "flights.ndjson",
            &["--from", "500"][..],
            "has 200 commits, none of them from line 500 on; the last is in line 200",
        ),
        (
            "flights.ndjson",
            &["--from", "2030-01-01T00:00:00Z"],
            "has 200 commits, none of them at or after 2030-01-01T00:00:00Z; the last is at 2024-01-01T03:19:00Z",
        ),
        ("empty.ndjson", &[], "there are no commits in "),
    ] {
        let (ok, stdout, stderr) = replay(&file(name), more);
        assert!(
            ok && stdout.starts_with("nothing to replay: ") && stdout.contains(expected),
            "{stdout}{stderr}"
        );
    }
    let (ok, _, stderr) = replay(&file("flights.ndjson"), &["--limit", "0"]);
    assert!(!ok && stderr.contains("--limit"), "{stderr}");
    assert_eq!(count(&server, "").await, 0);
}

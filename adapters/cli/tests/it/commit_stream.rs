//! `POST /batch` with a line a commit, through `liveset serve`.

use serde_json::{Value, json};

use crate::support::http::{Answer, Http};
use crate::support::{READER, Server, TOKEN};

const CONFIG: &str = "[[set]]\nname = \"orders\"\n";
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson; charset=utf-8");

fn line(id: u64) -> String {
    format!("{}\n", json!([{ "op": "upsert", "set": "orders", "node": { "id": id } }]))
}

async fn stream(http: &mut Http, token: &str, lines: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str()), NDJSON];
    http.request("POST", "/batch", &headers, lines.as_bytes()).await
}

/// Begins a stream whose end is open.
async fn begin(http: &mut Http) {
    let head = format!(
        "POST /batch HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/x-ndjson\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    http.send(head.as_bytes()).await;
}

async fn chunk(http: &mut Http, text: &str) {
    http.send(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await;
}

async fn count(server: &Server) -> u64 {
    let answer = Http::connect(&server.address).await.post("/query", r#"{"edge":"orders"}"#).await;
    answer.json()["totalCount"].as_u64().unwrap()
}

async fn wait_for(server: &Server, rows: u64) {
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while count(server).await != rows {
        assert!(std::time::Instant::now() < deadline, "{} rows, not {rows}", count(server).await);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn each_line_is_a_commit_and_a_body_has_no_bound() {
    // Ten lines are more than a body may have.
    let server = Server::start_with(CONFIG, &[], &["--limit", "http.max_body_bytes=600"]);
    let mut http = Http::connect(&server.address).await;
    let mut lines: String = (0..1_000).map(line).collect();
    lines.insert_str(0, "\n  \r\n");
    lines.push_str(&line(1_000).replace('\n', "\r\n"));
    lines.push_str(line(7).trim_end());
    let answer = stream(&mut http, TOKEN, &lines).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let position = answer["position"].as_str().unwrap();
    let done = json!({ "applied": 1_002, "changed": 1_001, "commit": 1_002, "position": position });
    assert_eq!(answer, done);
    assert_eq!(count(&server).await, 1_001);
    assert_eq!(stream(&mut http, TOKEN, "").await.json(), json!({ "applied": 0, "changed": 0 }));
    assert_eq!(stream(&mut http, READER, &lines).await.status, 403);
}

#[tokio::test]
async fn it_stops_at_the_first_line_that_is_refused() {
    let long = json!([{ "op": "upsert", "set": "orders", "node": { "id": 1, "text": "x".repeat(1_000) } }]);
    for (wrong, status, code) in [
        (json!([{ "op": "upsert", "set": "ships", "node": { "id": 1 } }]).to_string(), 422, "INVALID_NODE"),
        (
            json!([{ "op": "upsert", "set": "orders", "node": { "no": "id" } }]).to_string(),
            422,
            "INVALID_NODE",
        ),
        ("{\"ops\":".into(), 400, "INVALID_MESSAGE"),
        (long.to_string(), 413, "MESSAGE_TOO_LARGE"),
        // No end of a line comes at all.
        ("x".repeat(200_000), 413, "MESSAGE_TOO_LARGE"),
    ] {
        let server = Server::start_with(CONFIG, &[], &["--limit", "http.max_body_bytes=600"]);
        let mut http = Http::connect(&server.address).await;
        let lines = format!("{}{}\n{wrong}\n{}", line(1), line(2), line(3));
        let answer = stream(&mut http, TOKEN, &lines).await;
        assert_eq!((answer.status, &*answer.code()), (status, code), "{}", answer.text());
        let said = answer.json();
        let [line, applied, changed] = ["line", "applied", "changed"].map(|name| said[name].as_u64());
        assert_eq!((line, applied, changed), (Some(4), Some(2), Some(2)), "{said}");
        assert_eq!(count(&server).await, 2);
    }
}

#[tokio::test]
async fn lines_are_applied_as_they_come_and_a_token_that_is_taken_back_ends_them() {
    let server = Server::start(CONFIG);
    let mut http = Http::connect(&server.address).await;
    begin(&mut http).await;
    for id in 1..=3 {
        let line = line(id);
        let (first, rest) = line.split_at(20);
        chunk(&mut http, first).await;
        assert_eq!(count(&server).await, id - 1);
        chunk(&mut http, rest).await;
        wait_for(&server, id).await;
    }
    let config = std::fs::read_to_string(server.config_file()).unwrap();
    let log = server.log().len();
    std::fs::write(server.config_file(), config.replace(TOKEN, "another-token")).unwrap();
    server.signal("HUP");
    server.wait_for_log_after(log, "read the configuration again");
    chunk(&mut http, &line(4)).await;
    let answer = http.answer().await;
    assert_eq!((answer.status, &*answer.code()), (401, "AUTH_FAILED"));
    assert_eq!((&answer.json()["line"], &answer.json()["applied"]), (&json!(4), &json!(3)));
}

#[tokio::test]
async fn a_stream_that_is_silent_or_breaks_off_leaves_whole_commits() {
    let server = Server::start_with(CONFIG, &[], &["--limit", "http.body_timeout=1s"]);
    let mut http = Http::connect(&server.address).await;
    begin(&mut http).await;
    chunk(&mut http, &format!("{}{}", line(1), &line(2)[..20])).await;
    let answer = http.answer().await;
    assert_eq!((answer.status, &*answer.code()), (408, "TIMEOUT"), "{}", answer.text());
    assert_eq!((&answer.json()["line"], &answer.json()["applied"]), (&json!(2), &json!(1)));

    let mut http = Http::connect(&server.address).await;
    begin(&mut http).await;
    chunk(&mut http, &format!("{}{}", line(3), line(4).trim_end())).await;
    wait_for(&server, 2).await;
    http.reset();
    // The line without its end is none.
    assert_eq!(stream(&mut Http::connect(&server.address).await, TOKEN, &line(5)).await.status, 200);
    assert_eq!(count(&server).await, 3);
}

#[tokio::test]
async fn others_have_their_turn_while_a_stream_is_applied() {
    let server = Server::start(CONFIG);
    let mut http = Http::connect(&server.address).await;
    begin(&mut http).await;
    let lines: String = (0..2_000).map(line).collect();
    let mut answered = 0;
    for _ in 0..5 {
        chunk(&mut http, &lines).await;
        let health = Http::connect(&server.address).await.get("/healthz", None).await;
        answered += u32::from(health.status == 200);
    }
    http.send(b"0\r\n\r\n").await;
    let answer: Value = http.answer().await.json();
    assert_eq!((answered, &answer["applied"], &answer["changed"]), (5, &json!(10_000), &json!(2_000)));
}

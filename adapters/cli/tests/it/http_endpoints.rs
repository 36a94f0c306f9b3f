//! The HTTP endpoints of `liveset serve`, each with every status it can answer.

use std::time::Duration;

use serde_json::json;

use crate::support::http::Http;
use crate::support::metrics::Metrics;
use crate::support::{self, READER, Server, TOKEN};

const ORDERS: &str = r#"
    [[set]]
    name = "orders"
    fields = [{ name = "total", type = "number", required = true }, { name = "createdAt", type = "instant" }]

    [[set]]
    name = "skus"
    key = "sku"

    [[set]]
    name = "strict"
    fields = [{ name = "name", type = "text" }]
    strict = true
"#;

#[tokio::test]
async fn a_batch_is_one_atomic_commit() {
    let server = Server::start(ORDERS);
    let mut http = Http::connect(&server.address).await;
    let batch = r#"[{"op":"upsert","set":"orders","node":{"id":"a","total":1.10}},
                    {"op":"upsert","set":"orders","node":{"total":9007199254740993,"id":7}},
                    {"op":"upsert","set":"skus","node":{"sku":"x"}}]"#;
    let first = http.post("/batch", batch).await;
    assert_eq!((first.status, first.header("content-type")), (200, Some("application/json")));
    let first = first.json();
    assert_eq!(first["changed"], 3);
    let position = first["position"].as_str().unwrap();
    assert_eq!(position.len(), 32, "{first}");

    // The same again changes nothing, and is a commit of its own.
    let again = http.post("/batch", batch).await.json();
    assert_eq!(again["changed"], 0);
    assert!(again["commit"].as_u64() > first["commit"].as_u64(), "{again} after {first}");
    assert_ne!(again["position"], position);

    // One bad op, and nothing is applied.
    let bad = r#"[{"op":"remove","set":"orders","id":"a"},{"op":"upsert","set":"orders","node":{"id":"b"}}]"#;
    let refused = http.post("/batch", bad).await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "INVALID_NODE"));
    assert!(refused.text().contains("operation 1") && refused.text().contains("total"), "{}", refused.text());

    // What was sent comes back byte for byte, whatever a float would make of it.
    let all = http.post("/query", r#"{"edge":"orders","orderBy":"total"}"#).await;
    let position = again["position"].as_str().unwrap();
    assert_eq!(
        all.text(),
        format!(
            r#"{{"nodes":[{{"id":"a","total":1.10}},{{"total":9007199254740993,"id":7}}],"totalCount":2,"capped":false,"position":"{position}"}}"#
        )
    );

    // Removing what is there, what is not there, and by a number.
    let removed = http
        .post(
            "/batch",
            r#"{"ops":[{"op":"remove","set":"orders","id":"a"},{"op":"remove","set":"orders","id":"zzz"},
                       {"op":"remove","set":"orders","id":7}]}"#,
        )
        .await;
    assert_eq!(removed.json()["changed"], 2, "{}", removed.text());
    assert_eq!(http.post("/batch", "[]").await.json()["changed"], 0);
}

#[tokio::test]
async fn with_the_clock_of_the_commits_now_is_the_largest_at() {
    let server = Server::start(&format!("[clock]\nsource = \"commits\"\n{ORDERS}"));
    let mut http = Http::connect(&server.address).await;
    let batch = r#"{"at":"2024-05-01T12:00:00Z","ops":[
        {"op":"upsert","set":"orders","node":{"id":"a","total":1,"createdAt":"2024-05-01T11:59:00Z"}}]}"#;
    assert_eq!(http.post("/batch", batch).await.status, 200);
    let recent = r#"{"edge":"orders","filter":"createdAt > now - 5 minutes"}"#;
    assert_eq!(http.post("/query", recent).await.json()["totalCount"], 1);
    // An earlier moment does not set the clock back, a later one makes the node old.
    http.post("/batch", r#"{"at":"2024-01-01T00:00:00Z","ops":[]}"#).await;
    assert_eq!(http.post("/query", recent).await.json()["totalCount"], 1);
    http.post("/batch", r#"{"at":"2024-05-01T12:04:00Z","ops":[]}"#).await;
    assert_eq!(http.post("/query", recent).await.json()["totalCount"], 0);
}

#[tokio::test]
async fn what_is_not_of_the_form_is_400() {
    let server = Server::start(ORDERS);
    let mut http = Http::connect(&server.address).await;
    for (path, body, what) in [
        ("/batch", "", "found nothing"),
        ("/batch", "{", "EOF"),
        ("/batch", "7", "a list of ops"),
        ("/batch", r#"{"ops":[],"att":1}"#, "unknown field `att`"),
        ("/batch", r#"{"ops":[],"at":"yesterday"}"#, "RFC 3339"),
        (
            "/batch",
            r#"[{"op":"remove","set":"orders","id":1},{"op":"move","set":"orders"}]"#,
            "operation 1: unknown variant",
        ),
        ("/batch", r#"[{"op":"upsert","set":"orders","node":{"id":"a" "b"}}]"#, "operation 0: "),
        ("/batch", "[]]", "trailing characters"),
        ("/batch", "\u{0}", "a list of ops"),
        ("/query", "{", "found the end at byte 1, expected a key"),
        ("/explain", "{", "found the end"),
        ("/query", "", "found the end"),
        ("/events", "[]", "invalid type"),
        ("/events", r#"{"path":"jobs","eventType":"jobStarted"}"#, "missing field `data`"),
        ("/events", r#"{"path":"jobs","eventType":"jobStarted","data":{},"time":1}"#, "unknown field `time`"),
        ("/events", r#"{"path":"jobs","path":"jobs","eventType":"jobStarted","data":{}}"#, "duplicate field"),
        ("/events", r#"{"path":"jobs","eventType":"jobStarted","data":{},"timestamp":"now"}"#, "RFC 3339"),
    ] {
        let answer = http.post(path, body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "INVALID_MESSAGE"),
            "{path} {body}: {}",
            answer.text()
        );
        assert!(answer.text().contains(what), "{path} {body}\nshould say {what}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_commit_can_depend_on_the_rows_as_they_are() {
    let server = Server::start(ORDERS);
    let mut http = Http::connect(&server.address).await;
    let put = r#"[{"op":"upsert","set":"orders","node":{"id":"a","total":1.10,"to":{"city":"Oslo"}},"if":"nothing"}]"#;
    assert_eq!(http.post("/batch", put).await.json()["changed"], 1);
    let again = http.post("/batch", put).await;
    assert_eq!((again.status, again.code().as_str()), (409, "CONFLICT"));
    assert!(again.text().contains("operation 0: set 'orders', node 'a': it is there"), "{}", again.text());

    let patch = r#"[{"op":"patch","set":"orders","id":"a","patch":{"total":2.50,"to":{"zip":"0150"}},
                     "if":"total < $most and now > 2020-01-01","params":{"most":2}}]"#;
    assert_eq!(http.post("/batch", patch).await.json()["changed"], 1);
    assert_eq!(http.post("/batch", patch).await.status, 409);
    let rows = || r#"{"edge":"orders"}"#;
    assert!(
        http.post("/query", rows())
            .await
            .text()
            .contains(r#"[{"id":"a","total":2.50,"to":{"city":"Oslo","zip":"0150"}}]"#)
    );

    for (body, status, code, what) in [
        (r#"[{"op":"patch","set":"orders","id":"b","patch":{}}]"#, 404, "NOT_FOUND", "no node 'b' to patch"),
        (
            r#"[{"op":"patch","set":"orders","id":"a","patch":{"id":"c"}}]"#,
            422,
            "INVALID_NODE",
            "key field 'id'",
        ),
        (r#"[{"op":"patch","set":"orders","id":"a","patch":{"total":"x"}}]"#, 422, "INVALID_NODE", "total"),
        (r#"[{"op":"remove","set":"orders","id":"a","if":"total >"}]"#, 422, "INVALID_QUERY", "condition"),
        (r#"[{"op":"remove","set":"orders","id":"a","if":"to == $x"}]"#, 422, "INVALID_QUERY", "$x"),
        (
            r#"[{"op":"clear","set":"orders","if":"true"}]"#,
            400,
            "INVALID_MESSAGE",
            "a clear has only the `set`",
        ),
    ] {
        let refused = http.post("/batch", body).await;
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{body}: {}", refused.text());
        assert!(refused.text().contains(what), "{body}: {}", refused.text());
    }

    // In a stream of commits each is a line's, and the line is named.
    let lines = concat!(
        r#"[{"op":"patch","set":"orders","id":"b","patch":{"id":"b","total":1},"upsert":true}]"#,
        "\n",
        r#"[{"op":"clear","set":"orders"},{"op":"upsert","set":"orders","node":{"id":"c","total":3}}]"#,
        "\n",
        r#"[{"op":"remove","set":"orders","id":"c","if":"total == 4"}]"#,
    );
    let headers = [("authorization", "Bearer writer-token"), ("content-type", "application/x-ndjson")];
    let stopped = http.request("POST", "/batch", &headers, lines.as_bytes()).await;
    assert_eq!((stopped.status, stopped.code().as_str()), (409, "CONFLICT"), "{}", stopped.text());
    assert_eq!((&stopped.json()["line"], &stopped.json()["applied"]), (&json!(3), &json!(2)));
    assert!(http.post("/query", rows()).await.text().contains(r#"[{"id":"c","total":3}]"#));
}

#[tokio::test]
async fn what_is_refused_is_422() {
    let server = Server::start(ORDERS);
    let mut http = Http::connect(&server.address).await;
    for (path, body, code, what) in [
        (
            "/batch",
            r#"[{"op":"upsert","set":"order","node":{"id":1,"total":1}}]"#,
            "INVALID_NODE",
            "did you mean 'orders'",
        ),
        ("/batch", r#"[{"op":"upsert","set":"orders","node":[1]}]"#, "INVALID_NODE", "operation 0"),
        ("/batch", r#"[{"op":"upsert","set":"orders","node":{"total":1}}]"#, "INVALID_NODE", "id"),
        (
            "/batch",
            r#"[{"op":"upsert","set":"orders","node":{"id":1,"id":2,"total":1}}]"#,
            "INVALID_NODE",
            "operation 0",
        ),
        (
            "/batch",
            r#"[{"op":"upsert","set":"orders","node":{"id":1,"total":1e400}}]"#,
            "INVALID_NODE",
            "operation 0",
        ),
        (
            "/batch",
            r#"[{"op":"upsert","set":"orders","node":{"id":1,"total":18446744073709551616}}]"#,
            "INVALID_NODE",
            "operation 0",
        ),
        (
            "/batch",
            r#"[{"op":"upsert","set":"orders","node":{"id":1,"total":1,"createdAt":"soon"}}]"#,
            "INVALID_NODE",
            "createdAt",
        ),
        ("/batch", r#"[{"op":"remove","set":"nothing","id":1}]"#, "INVALID_NODE", "nothing"),
        ("/query", r#"{"edge":"order"}"#, "INVALID_QUERY", "orders"),
        ("/explain", r#"{"edge":"order"}"#, "INVALID_QUERY", "orders"),
        ("/query", r#"{"edge":"orders","filtr":"total > 1"}"#, "INVALID_QUERY", "filtr"),
        ("/query", r#"{"edge":"orders","filter":"total = 1"}"#, "INVALID_QUERY", "line 1, column 7"),
        ("/query", r#"{"edge":"orders","orderBy":"total up"}"#, "INVALID_QUERY", "line 1, column 7"),
        ("/query", r#"{"edge":"orders","limit":-1}"#, "INVALID_QUERY", "limit"),
        ("/query", r#"{"edge":"orders","filter":"total == 'ten'"}"#, "INVALID_QUERY", "declared as a number"),
        ("/query", r#"{"edge":"orders","filter":"total > $least"}"#, "INVALID_QUERY", "line 1, column 9"),
        ("/explain", r#"{"edge":"orders","params":{"x":1}}"#, "INVALID_QUERY", "params.x"),
        (
            "/query",
            r#"{"edge":"orders","filter":"total > $x","params":{"x":"ten"}}"#,
            "INVALID_QUERY",
            "declared as a number",
        ),
        ("/query", r#"{"edge":"strict","filter":"nam == 'x'"}"#, "INVALID_QUERY", "did you mean 'name'?"),
        ("/explain", r#"{"edge":"strict","orderBy":"nam"}"#, "INVALID_QUERY", "did you mean 'name'?"),
        (
            "/batch",
            r#"[{"op":"upsert","set":"strict","node":{"id":"s1"}},{"op":"upsert","set":"strict","node":{"id":"s2","nam":1}}]"#,
            "INVALID_NODE",
            "operation 1: set 'strict', node 's2': field 'nam' is not declared",
        ),
        ("/query", "[]", "INVALID_QUERY", "query"),
        ("/query", "{}", "INVALID_QUERY", "edge"),
        (
            "/events",
            r#"{"path":"invalid/path","eventType":"jobStarted","data":1}"#,
            "INVALID_PATH",
            "invalid/path",
        ),
        ("/events", r#"{"path":"jobs/1","eventType":"jobLost","data":1}"#, "INVALID_EVENT", "jobLost"),
        (
            "/events",
            &format!(r#"{{"path":"jobs","eventType":"jobStarted","data":"{}"}}"#, "x".repeat(1_048_575)),
            "LIMIT_EXCEEDED",
            "1048577 bytes",
        ),
    ] {
        let answer = http.post(path, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, code), "{path} {body}: {}", answer.text());
        assert!(answer.text().contains(what), "{path} {body}\nshould say {what}: {}", answer.text());
    }
    assert_eq!(
        http.post("/query", r#"{"edge":"orders"}"#).await.json()["totalCount"],
        0,
        "nothing was applied"
    );
}

#[tokio::test]
async fn tokens_are_asked_for_and_may_be_read_only() {
    let server = Server::start(ORDERS);
    let mut http = Http::connect(&server.address).await;
    let valid = [
        ("/batch", "[]"),
        ("/query", r#"{"edge":"orders"}"#),
        ("/explain", r#"{"edge":"orders"}"#),
        ("/events", r#"{"path":"jobs","eventType":"jobStarted","data":{}}"#),
    ];
    for (path, body) in valid {
        for header in [None, Some("Basic YTpi"), Some("Bearer"), Some("Bearer  "), Some(TOKEN)] {
            let headers: Vec<_> = header.iter().map(|value| ("authorization", *value)).collect();
            let answer = http.request("POST", path, &headers, body.as_bytes()).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (401, "NOT_AUTHENTICATED"),
                "{path} {header:?}"
            );
            assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
        }
        for wrong in ["Bearer nonsense", "bearer writer-toke", "BEARER writer-tokenn"] {
            let answer = http.request("POST", path, &[("authorization", wrong)], body.as_bytes()).await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "AUTH_FAILED"), "{path} {wrong}");
            assert!(answer.header("www-authenticate").is_some());
        }
        let reader = format!("bearer {READER}");
        let answer = http.request("POST", path, &[("authorization", &reader)], body.as_bytes()).await;
        match path {
            "/query" | "/explain" => assert_eq!(answer.status, 200),
            _ => assert_eq!((answer.status, answer.code().as_str()), (403, "FORBIDDEN"), "{path}"),
        }
        let twice = [("authorization", reader.as_str()), ("authorization", "Bearer writer-token")];
        assert_eq!(
            http.request("POST", path, &twice, body.as_bytes()).await.status,
            401,
            "two tokens are none"
        );
        assert_eq!(http.post(path, body).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_query_is_explained() {
    let server = Server::start(ORDERS);
    let mut http = Http::connect(&server.address).await;
    let batch: Vec<_> = (0..10)
        .map(|id| json!({ "op": "upsert", "set": "orders", "node": { "id": id, "total": id % 2 } }))
        .collect();
    http.post("/batch", &json!(batch).to_string()).await;

    let found = http.post("/explain", r#"{"edge":"orders","filter":"total == 1 and id != 'x'"}"#).await;
    assert_eq!((found.status, found.header("content-type")), (200, Some("application/json")));
    let found = found.json();
    assert_eq!((&found["access"], &found["hasResidue"]), (&json!("equality"), &json!(true)), "{found}");
    assert_eq!(
        (&found["isOpen"], found["probes"].as_array().map(Vec::len)),
        (&json!(false), Some(1)),
        "{found}"
    );
    assert!(found["text"].as_str().unwrap().starts_with("found by: equality\n"), "{found}");

    assert_eq!(found["projectionCost"], json!({ "fixed": 1, "perBlock": 1 }), "{found}");
    assert_eq!(found["orderCost"], json!({ "fixed": 9, "perBlock": 0 }), "{found}");
    assert!(found["cost"]["fixed"].as_u64().is_some_and(|fixed| (5..20).contains(&fixed)), "{found}");
    assert_eq!((&found["cost"]["perBlock"], &found["flipCost"]["fixed"]), (&json!(0), &json!(0)), "{found}");
    assert!(found["filterBytes"].as_u64().is_some_and(|bytes| (200..2_000).contains(&bytes)), "{found}");

    let scanned = http.post("/explain", r#"{"edge":"orders","filter":"total != 1"}"#).await.json();
    assert_eq!((&scanned["access"], &scanned["candidates"]), (&json!("scan"), &json!(10)), "{scanned}");
    assert_eq!(scanned["hints"], json!([]));

    let bound = r#"{"edge":"orders","filter":"total == $total and id != $id","params":{"total":1,"id":"x"}}"#;
    assert_eq!(http.post("/explain", bound).await.json(), found, "a bound value is the literal");
    let nodes = &http.post("/query", bound).await.json()["nodes"];
    assert_eq!(nodes.as_array().map(Vec::len), Some(5), "{nodes}");

    let range =
        http.post("/explain", r#"{"edge":"orders","filter":"total >= 10 and total < 20.5"}"#).await.json();
    assert_eq!(range["probes"], json!(["total from 10 and below 20.5"]), "{range}");
    let hinted = http.post("/explain", r#"{"edge":"orders","filter":"total == ten"}"#).await.json();
    assert_eq!(
        (&hinted["hints"][0]["line"], &hinted["hints"][0]["column"]),
        (&json!(1), &json!(10)),
        "{hinted}"
    );
    assert!(hinted["hints"][0]["text"].as_str().unwrap().contains("text stands in quotes"), "{hinted}");
    assert!(hinted["text"].as_str().unwrap().contains("perhaps a mistake, line 1, column 10"), "{hinted}");
}

#[tokio::test]
async fn a_limit_of_nothing_is_a_count() {
    let server = Server::start(ORDERS);
    let mut http = Http::connect(&server.address).await;
    let count = |filter: &str| format!(r#"{{"edge":"orders","filter":"{filter}","limit":0}}"#);
    let answer = http.post("/query", &count("total > 1")).await.json();
    let nothing = json!({ "nodes": [], "totalCount": 0, "capped": false, "position": answer["position"] });
    assert_eq!(answer, nothing);
    let batch = r#"[{"op":"upsert","set":"orders","node":{"id":1,"total":1}},{"op":"upsert","set":"orders","node":{"id":2,"total":2}}]"#;
    let position = http.post("/batch", batch).await.json()["position"].clone();
    let one = json!({ "nodes": [], "totalCount": 1, "capped": true, "position": position });
    assert_eq!(http.post("/query", &count("total > 1")).await.json(), one);
}

#[tokio::test]
async fn other_paths_and_methods_are_404_and_405() {
    let server = Server::start(ORDERS);
    let mut http = Http::connect(&server.address).await;
    for path in ["/", "/batch/", "/graph"] {
        let answer = http.get(path, Some(TOKEN)).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "NOT_FOUND"), "{path}");
    }
    for (method, path, allow) in [
        ("GET", "/batch", "POST"),
        ("PUT", "/query", "POST"),
        ("DELETE", "/events", "POST"),
        ("POST", "/healthz", "GET,HEAD"),
    ] {
        let answer = http.request(method, path, &[], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (405, "METHOD_NOT_ALLOWED"), "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    // Without an upgrade there is nothing at /ws.
    let answer = http.get("/ws", None).await;
    assert!(matches!(answer.status, 400 | 426), "{}", answer.status);
}

#[tokio::test]
async fn bodies_are_limited_and_must_be_json() {
    let server =
        Server::start(&format!("{ORDERS}\n[limits.http]\nmax_body_bytes = 1000\nbody_timeout = \"500ms\"\n"));
    let mut http = Http::connect(&server.address).await;
    let authorization = format!("Bearer {TOKEN}");
    let token = ("authorization", authorization.as_str());

    let node = |size: usize| {
        format!(
            r#"[{{"op":"upsert","set":"orders","node":{{"id":1,"total":1,"x":"{}"}}}}]"#,
            "x".repeat(size)
        )
    };
    let fits = node(1000 - node(0).len());
    assert_eq!(http.post("/batch", &fits).await.status, 200);
    let answer = http.post("/batch", &node(1001 - node(0).len())).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "MESSAGE_TOO_LARGE"));
    assert!(answer.text().contains("1000"), "{}", answer.text());

    // In chunks, where nobody says beforehand how much it will be.
    let mut http = Http::connect(&server.address).await;
    let head = format!(
        "POST /batch HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    http.send(head.as_bytes()).await;
    http.send(format!("3e9\r\n{}\r\n", " ".repeat(1001)).as_bytes()).await;
    assert_eq!(http.answer().await.status, 413);

    let mut http = Http::connect(&server.address).await;
    for content_type in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
        let answer = http.request("POST", "/batch", &[token, ("content-type", content_type)], b"[]").await;
        assert_eq!(answer.status, 200, "{content_type}");
    }

    // A body that does not come.
    let mut http = Http::connect(&server.address).await;
    let head = format!(
        "POST /batch HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\ncontent-length: 10\r\n\r\n["
    );
    http.send(head.as_bytes()).await;
    let answer = http.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "TIMEOUT"));
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_sees_why_it_was_refused() {
    let server = Server::start(ORDERS);
    let body = " ".repeat(9 * 1024 * 1024);
    for (authorization, status, code) in [
        (format!("Bearer {TOKEN}"), 413, "MESSAGE_TOO_LARGE"),
        ("Bearer wrong".to_owned(), 401, "AUTH_FAILED"),
        (format!("Bearer {READER}"), 403, "FORBIDDEN"),
    ] {
        let mut http = Http::connect(&server.address).await;
        let headers = [("authorization", authorization.as_str())];
        let answer = http.request("POST", "/batch", &headers, body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
}

#[tokio::test]
async fn eight_mebibytes_are_the_limit_unless_said_otherwise() {
    let server = Server::start(ORDERS);
    let mut http = Http::connect(&server.address).await;
    let space = 8 * 1024 * 1024 - 2;
    assert_eq!(http.post("/batch", &format!("[{}]", " ".repeat(space))).await.status, 200);
    // Refused by its length alone.
    let head = format!(
        "POST /batch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n",
        space + 3
    );
    http.send(head.as_bytes()).await;
    let answer = http.answer().await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn health_and_metrics() {
    let server = Server::start(ORDERS);
    let mut http = Http::connect(&server.address).await;
    let health = http.get("/healthz", None).await;
    assert_eq!((health.status, health.json()), (200, json!({ "status": "ok" })));

    assert_eq!(http.get("/metrics", None).await.status, 401);
    assert_eq!(http.get("/metrics", Some("nonsense")).await.status, 401);
    http.post("/batch", r#"[{"op":"upsert","set":"orders","node":{"id":1,"total":1}}]"#).await;
    let metrics = http.get("/metrics", Some(READER)).await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").is_some_and(|value| value.starts_with("text/plain")));
    for line in [
        "liveset_engine_nodes 1",
        "liveset_commits_total{outcome=\"applied\"} 1",
        "liveset_http_requests_total{path=\"/healthz\",status=\"200\"} 1",
        "liveset_http_connections 1",
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "no {line} in\n{}", metrics.text());
    }

    let open = Server::start(&format!("metrics_public = true\n{ORDERS}"));
    let mut http = Http::connect(&open.address).await;
    assert_eq!(http.get("/metrics", None).await.status, 200);
}

#[tokio::test]
async fn only_allowed_origins_may_read() {
    let server = Server::start(&format!("{ORDERS}\n[cors]\norigins = [\"https://shop.example\"]\n"));
    let mut http = Http::connect(&server.address).await;
    let preflight = |origin| {
        [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization"),
        ]
    };
    let allowed = http.request("OPTIONS", "/batch", &preflight("https://shop.example"), b"").await;
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://shop.example"));
    assert!(
        allowed.header("access-control-allow-headers").is_some_and(|value| value.contains("authorization"))
    );
    for other in ["https://shop.example.evil", "http://shop.example", "null"] {
        let refused = http.request("OPTIONS", "/batch", &preflight(other), b"").await;
        assert_eq!(refused.status, 403, "{other}");
        assert_eq!(refused.header("vary"), Some("origin"));
        assert_eq!(refused.header("access-control-allow-origin"), None);
        let answer = http.request("GET", "/healthz", &[("origin", other)], b"").await;
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("vary"), Some("origin"));
    }
    // This is no preflight, and no route answers it.
    let other = http.request("OPTIONS", "/batch", &[("origin", "https://shop.example")], b"").await;
    assert_eq!(other.status, 405);
    // An error too must be readable.
    let unauthorized = http.request("POST", "/batch", &[("origin", "https://shop.example")], b"[]").await;
    assert_eq!(unauthorized.status, 401);
    assert_eq!(unauthorized.header("access-control-allow-origin"), Some("https://shop.example"));

    let upgrade = |origin| {
        [
            ("origin", origin),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]
    };
    for (origin, status) in [("https://shop.example", 101), ("https://other.example", 403)] {
        let mut http = Http::connect(&server.address).await;
        assert_eq!(http.request("GET", "/ws", &upgrade(origin), b"").await.status, status, "{origin}");
    }

    let closed = Server::start(ORDERS);
    let mut http = Http::connect(&closed.address).await;
    assert_eq!(http.request("GET", "/ws", &upgrade("https://other.example"), b"").await.status, 101);
    let mut http = Http::connect(&closed.address).await;
    let answer = http.request("GET", "/healthz", &[("origin", "https://shop.example")], b"").await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(http.request("OPTIONS", "/batch", &preflight("https://shop.example"), b"").await.status, 405);
}

#[tokio::test]
async fn an_event_reaches_its_subscribers() {
    let server = Server::start(ORDERS);
    let mut http = Http::connect(&server.address).await;
    let mut ws = support::ws::Ws::open(&server.address).await;
    let subscribe = json!({ "type": "subscribeEvents", "subscriptions": [
        { "id": "all", "path": "jobs", "events": ["jobStarted", "jobCompleted"] },
        { "id": "one", "path": "jobs/7", "events": ["jobCompleted"] },
    ]});
    assert_eq!(ws.ask(subscribe).await["type"], "subscribedEvents");
    let event = r#"{"path":"jobs/7","eventType":"jobCompleted","data":{"n": 1.10},"timestamp":"2025-12-07T22:45:05+01:00"}"#;
    let answer = http.post("/events", event).await;
    assert_eq!((answer.status, answer.text()), (200, r#"{"delivered":2}"#));
    let mut paths = Vec::new();
    for _ in 0..2 {
        let event = ws.next().await;
        assert_eq!(event["timestamp"], "2025-12-07T21:45:05.000Z", "{event}");
        paths.push(event["path"].as_str().unwrap_or_default().to_owned());
    }
    paths.sort();
    assert_eq!(paths, ["jobs", "jobs/7"]);
    let nobody = r#"{"path":"actors/orders","eventType":"actorCheckpoint","data":null}"#;
    assert_eq!(http.post("/events", nobody).await.text(), r#"{"delivered":0}"#);
}

#[tokio::test]
async fn a_head_that_is_slow_or_large_is_not_waited_for() {
    let server = Server::start(&format!("{ORDERS}\n[limits.http]\nheader_timeout = \"300ms\"\n"));
    for head in ["", "GET /healthz HTTP/1.1\r\nhost: x\r\n"] {
        let mut http = Http::connect(&server.address).await;
        http.send(head.as_bytes()).await;
        let closed = tokio::time::timeout(Duration::from_secs(10), http.closed()).await;
        assert!(closed.is_ok(), "{head:?} is waited for");
    }
    let mut http = Http::connect(&server.address).await;
    let large = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    http.send(large.as_bytes()).await;
    assert_eq!(http.answer().await.status, 431);
    // Others are served all the while.
    assert_eq!(Http::connect(&server.address).await.get("/healthz", None).await.status, 200);
}

#[tokio::test]
async fn a_query_and_its_answer_have_the_limits_of_a_message_and_of_first_rows() {
    let limits = "[limits.session]\nmessage_bytes = 200\n[limits.hub]\ninitial_bytes = 300\n";
    let server = Server::start(&format!("{ORDERS}\n{limits}"));
    let mut http = Http::connect(&server.address).await;
    let op = |id: u32| json!({ "op": "upsert", "set": "orders", "node": { "id": id, "total": 1, "x": "x".repeat(100) } });
    // A batch is no query.
    assert_eq!(http.post("/batch", &json!([op(1), op(2)]).to_string()).await.status, 200);
    let query = r#"{"edge":"orders"}"#;
    assert_eq!(http.post("/query", query).await.json()["totalCount"], 2);
    assert_eq!(http.post("/batch", &json!([op(3)]).to_string()).await.status, 200);
    let answer = http.post("/query", query).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "LIMIT_EXCEEDED"), "{}", answer.text());
    assert!(answer.text().contains("fewer rows"), "{}", answer.text());
    for fewer in [r#"{"edge":"orders","limit":2}"#, r#"{"edge":"orders","node":{"fields":["total"]}}"#] {
        assert_eq!(http.post("/query", fewer).await.json()["totalCount"], 3, "{fewer}");
    }
    let counted = Metrics::read(&server.address).await;
    assert_eq!(counted.value("liveset_limit_refusals_total{limit=\"hub.initial_bytes\"}"), 1);

    for path in ["/query", "/explain"] {
        let padded = |bytes: usize| format!("{query}{}", " ".repeat(bytes - query.len()));
        let mut http = Http::connect(&server.address).await;
        let limit = r#"{"edge":"orders","limit":1}"#;
        assert_eq!(http.post(path, &format!("{limit}{}", " ".repeat(200 - limit.len()))).await.status, 200);
        let answer = http.post(path, &padded(201)).await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "MESSAGE_TOO_LARGE"), "{path}");
    }
}

#[tokio::test]
async fn a_subject_sends_only_so_many_requests() {
    let limits = "[limits.http]\nrequests_per_second = 1\nrequest_burst = 3\n";
    let tokens = "[auth]\ntokens = [{ token = \"one\", subject = \"a\" }, { token = \"two\", subject = \"a\" }, { token = \"three\", subject = \"b\" }]\n";
    let server = Server::start(&format!("metrics_public = true\n{ORDERS}\n{limits}\n{tokens}"));
    let mut http = Http::connect(&server.address).await;
    let mut ask = async |token: &str, path: &str| {
        let authorization = format!("Bearer {token}");
        http.request("POST", path, &[("authorization", &authorization)], br#"{"edge":"orders"}"#).await
    };
    let started = std::time::Instant::now();
    let mut limited = None;
    for n in 0..1_000 {
        // Over all endpoints, tokens and connections of the subject, whatever comes of the request.
        let answer = ask(["one", "two"][n % 2], ["/query", "/explain", "/batch"][n % 3]).await;
        if answer.status == 429 {
            limited = Some((n, answer));
            break;
        }
    }
    let (taken, limited) = limited.expect("a limit");
    assert!(taken >= 3 && taken as u64 <= 3 + 1 + started.elapsed().as_secs(), "{taken}");
    assert_eq!((limited.code().as_str(), limited.header("retry-after")), ("RATE_LIMITED", Some("1")));
    assert_eq!(ask("three", "/query").await.status, 200, "of another subject");
    let counted = Http::connect(&server.address).await.get("/metrics", None).await;
    let refused = "liveset_limit_refusals_total{limit=\"http.requests_per_second\"} 1";
    assert!(counted.text().contains(refused), "{}", counted.text());
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(ask("one", "/query").await.status, 200, "again, after a while");
}

const ROWS: i32 = 10_000;

/// A server with many rows, which answers one query at once, and a query that takes long over them.
async fn busy(more: &str) -> (Server, String) {
    let config = format!("[limits.http]\nqueries_at_once = 1\n{more}\n[[set]]\nname = \"rows\"");
    let server = Server::start(&config);
    let mut http = Http::connect(&server.address).await;
    let row =
        |id: i32| json!({"op":"upsert","set":"rows","node":{"id":id,"text":"a text that is looked through"}});
    let batch: Vec<_> = (0..ROWS).map(row).collect();
    assert_eq!(http.post("/batch", &json!(batch).to_string()).await.status, 200);
    let terms: Vec<_> = (0..200).map(|n| format!("not (text contains 'nothing {n}')")).collect();
    (server, json!({"edge":"rows","limit":1,"filter":terms.join(" and ")}).to_string())
}

async fn ask(server: &Server, token: &str, query: &str) -> Http {
    let mut http = Http::connect(&server.address).await;
    let mut request = Vec::new();
    let authorization = format!("Bearer {token}");
    http.encode("POST", "/query", &[("authorization", &authorization)], query.as_bytes(), &mut request);
    http.send(&request).await;
    http
}

const ANSWERED: &str = r#"liveset_queries_total{outcome="answered"}"#;

/// Not one that has closed its sending side alone: that waits for its answer.
#[cfg(unix)]
#[tokio::test]
async fn a_query_whose_client_is_gone_stops() {
    let (server, query) = busy("").await;
    for _ in 0..8 {
        ask(&server, READER, &query).await.reset();
    }
    let mut http = Http::connect(&server.address).await;
    let answer = http.post("/query", r#"{"edge":"rows","limit":1}"#).await;
    assert_eq!((answer.status, &answer.json()["totalCount"]), (200, &json!(ROWS)));
    // Those that were let in have left the queue, and what the last one was at ends with its turn.
    let after = http.post("/query", &query).await;
    assert_eq!(after.status, 200);
    let answered = Metrics::read(&server.address).await.value(ANSWERED);
    assert!(answered <= 5, "{answered} were answered, two of them to somebody");
}

#[tokio::test]
async fn turns_go_round_by_subject_and_a_subject_has_so_many_queries() {
    let (server, query) = busy("queries_per_subject = 16").await;
    let mut asked = Vec::new();
    for _ in 0..16 {
        asked.push(ask(&server, READER, &query).await);
    }
    // The requests are on different connections: all of them are there once one more is refused. One that is let in waits behind
    // others, and is given up.
    let refused = loop {
        let mut one_more = ask(&server, READER, &query).await;
        let answer = tokio::time::timeout(Duration::from_millis(50), one_more.answer()).await;
        match answer {
            Ok(answer) if answer.status != 200 => break answer,
            _ => {}
        }
    };
    assert_eq!((refused.status, refused.code().as_str()), (503, "OVERLOADED"), "{}", refused.text());
    let mut http = Http::connect(&server.address).await;
    let before = Metrics::read(&server.address).await.value(ANSWERED);
    assert_eq!(http.post("/query", r#"{"edge":"rows","limit":1}"#).await.status, 200);
    let metrics = Metrics::read(&server.address).await;
    let meanwhile = metrics.value(ANSWERED) - before;
    assert!(meanwhile <= 4, "{meanwhile} queries went before one of another subject");
    assert!(metrics.value(r#"liveset_limit_refusals_total{limit="http.queries_per_subject"}"#) > 0);
    // They are patient, and are served.
    for mut http in asked.into_iter().take(2) {
        assert_eq!(http.answer().await.status, 200);
    }
}

#[tokio::test]
async fn a_query_beyond_what_its_subject_may_spend_waits_and_is_then_refused() {
    let limits = "[limits.hub]\nsteps_per_second_per_subject = 200000\noverdraft = \"400ms\"";
    let (server, query) = busy(limits).await;
    let answer = ask(&server, READER, &query).await.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "OVERLOADED"), "{}", answer.text());
    // Another subject is not concerned.
    let few = r#"{"edge":"rows","filter":"id < 3"}"#;
    let mut http = Http::connect(&server.address).await;
    assert_eq!(http.post("/query", few).await.status, 200);
    // Nor is this one, when it has made up for what it took.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answer = ask(&server, READER, few).await.answer().await;
    assert_eq!((answer.status, &answer.json()["totalCount"]), (200, &json!(3)), "{}", answer.text());
}

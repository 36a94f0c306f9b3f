//! What is JSON and what is not, at both doors.

use liveset_fuzz::frames::{TEXT, frame};
use serde_json::{Value, json};

use super::case::{Case, SLACK};
use super::table::{Line, Row};
use crate::support::http::Http;
use crate::support::raw::Raw;

/// Room for what the limit of messages would turn away before it is looked at.
const ROOM: &str = "[limits.session]\nmessage_bytes = 8000000\nmessages_per_second = 100000\nmessage_burst = 100000\n\
                    [limits.http]\nmax_body_bytes = 8000000\n";

/// Lists in lists.
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// Objects in objects.
fn nested_objects(depth: usize) -> String {
    format!("{}1{}", "{\"x\":".repeat(depth), "}".repeat(depth))
}

/// Posts a body; gives status and code.
async fn post(address: &str, path: &str, body: &str) -> (u16, String) {
    let answer = Http::connect(address).await.post(path, body).await;
    (answer.status, if answer.status == 200 { String::new() } else { answer.code() })
}

pub async fn malformed_json(row: Row) -> Line {
    let mut case = Case::start(row, ROOM).await;
    let invalid = "INVALID_MESSAGE";
    let mut messages: Vec<(String, Vec<&str>)> = vec![
        (r#"["ping"]"#.into(), vec![invalid]),
        (r#"[{"type":"ping"}]"#.into(), vec![invalid]),
        (r#"{"type":["ping"]}"#.into(), vec![invalid]),
        (r#"{"type":"createLiveQuery","id":"q","query":["orders"]}"#.into(), vec![invalid]),
        (r#"{"type":"subscribeEvents","subscriptions":{"id":"s"}}"#.into(), vec![invalid]),
        (r#"{"type":"ping","type":"ping"}"#.into(), vec![invalid]),
        (r#"{"type":"ping","type":"s3cret"}"#.into(), vec![invalid]),
        (
            r#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders","edge":"orders"}}"#.into(),
            vec!["INVALID_QUERY", invalid],
        ),
        (r#"{"type":"ping"} s3cret"#.into(), vec![invalid]),
        (r#"{"type":"ping"}{"type":"ping"}"#.into(), vec![invalid]),
        (r#"{"type":"ping"},"#.into(), vec![invalid]),
        (r#"{"type":"ping",}"#.into(), vec![invalid]),
        (r#"{"type":"ping"#.into(), vec![invalid]),
        ("{\"type\":\"ping\"}\0".into(), vec![invalid]),
        ("\u{feff}{\"type\":\"ping\"}".into(), vec![invalid]),
        ("'s3cret'".into(), vec![invalid]),
        (String::new(), vec![invalid]),
    ];
    let deep = [
        nested(128),
        nested_objects(128),
        "[".repeat(128),
        "{\"x\":".repeat(128),
        nested(1_000_000),
        "{\"x\":".repeat(1_000_000),
    ];
    for nested in deep {
        let query = format!(r#"{{"type":"createLiveQuery","id":"q","query":{nested}}}"#);
        messages.extend([(query, vec![invalid, "INVALID_QUERY"]), (nested, vec![invalid])]);
    }
    for start in [r#"{"type":"#, r#"{"type":"destroyLiveQuery","id":"#, r#"{"type":"ping","requestId":"#] {
        messages.push((format!("{start}{}}}", nested(128)), vec![invalid]));
    }
    let upsert = |node: &str| format!(r#"[{{"op":"upsert","set":"orders","node":{node}}}]"#);
    let mut bodies: Vec<(&str, String)> = vec![
        ("/query", r#"["orders"]"#.into()),
        ("/query", r#"{"edge":"orders","edge":"orders"}"#.into()),
        ("/query", r#"{"edge":"orders"} s3cret"#.into()),
        ("/query", r#"{"edge":"orders"}{"edge":"orders"}"#.into()),
        ("/query", "{\"edge\":\"orders\"}\0".into()),
        ("/batch", r#"[["upsert","orders",{"id":1}]]"#.into()),
        ("/batch", r#"[{"op":"upsert","op":"upsert","set":"orders","node":{"id":1}}]"#.into()),
        ("/batch", format!("{} s3cret", upsert(r#"{"id":1}"#))),
        ("/batch", upsert(r#"["s3cret"]"#)),
        ("/batch", upsert(r#"{"id":1,"s3cret":1,"s3cret":2}"#)),
        ("/batch", upsert(r#"{"id":1,"x":{"s3cret":1,"s3cret":2}}"#)),
        ("/events", r#"["jobs/1"]"#.into()),
        ("/events", r#"{"path":"jobs/1","path":"jobs/2","eventType":"jobStarted","data":1}"#.into()),
        ("/events", r#"{"path":"jobs/1","eventType":"jobStarted","data":1} s3cret"#.into()),
    ];
    for nested in [nested(128), nested_objects(128), nested(1_000_000), "[".repeat(1_000_000)] {
        bodies.push(("/batch", upsert(&format!(r#"{{"id":1,"x":{nested}}}"#))));
        bodies.push(("/query", format!(r#"{{"edge":"orders","x":{nested}}}"#)));
        bodies.push(("/events", format!(r#"{{"path":"jobs/1","eventType":"jobStarted","data":{nested}}}"#)));
        bodies.push(("/batch", nested));
    }
    case.rounds(4, SLACK, async |case: &mut Case| {
        let mut raw = Raw::open(&case.address).await;
        for (message, codes) in &messages {
            let error = raw.ask(message).await;
            let start: String = message.chars().take(80).collect();
            assert!(
                error["type"] == "error" && codes.iter().any(|code| error["code"] == *code),
                "{start}: {error}"
            );
            assert!(error.to_string().len() < 1_000, "{start}: {error}");
            raw.assert_alive().await;
        }
        // Also in a field that means nothing.
        for nested in [nested(128), nested(1_000_000)] {
            let answer = raw.ask(&format!(r#"{{"type":"ping","x":{nested}}}"#)).await;
            assert_eq!(answer["code"], invalid, "{answer}");
            raw.assert_alive().await;
        }
        case.served().await;
        for (path, body) in &bodies {
            let (status, code) = post(&case.address, path, body).await;
            let start: String = body.chars().take(80).collect();
            assert!(status == 400 || status == 422, "{path} {start}: {status} {code}");
        }
        assert_eq!(post(&case.address, "/query", r#"{"edge":"orders"}"#).await.0, 200);
        raw.leave().await;
    })
    .await;
    let answer = Http::connect(&case.address).await.post("/query", r#"{"edge":"orders"}"#).await;
    assert_eq!(answer.json()["totalCount"], 0, "nothing of it was taken");
    case.moved("liveset_messages_invalid_total").await;
    case.moved("liveset_errors_total{code=\"INVALID_MESSAGE\"}").await;
    case.moved("liveset_http_requests_total{path=\"/batch\",status=\"400\"}").await;
    case.logged("the client is told of an error code=\"INVALID_MESSAGE\"");
    case.logged("refused a request path=\"/batch\" status=400");
    let done = format!(
        "{} messages and {} bodies: lists and objects 128 and 1,000,000 deep, closed and open; lists for objects; duplicate keys; trailing bytes, NUL, BOM",
        messages.len(),
        bodies.len()
    );
    case.finish(
        &done,
        "`INVALID_MESSAGE` or `INVALID_QUERY`, and the connection survives each; over HTTP 400 or 422",
    )
    .await
}

pub async fn odd_ids(row: Row) -> Line {
    let mut case = Case::start(row, "[limits.transport]\nclose_timeout = \"200ms\"\n").await;
    let odd = [
        "\"quoted\" \\ back\\slash / '",
        "a\nINFO injected: a line of its own",
        "\u{1b}[31mred\u{1b}[0m\r\t\u{8}\u{7f}",
        "\u{0}",
        "\u{2028}\u{2029}\u{85}\u{feff}\u{202e}",
        "</script><!--",
        "\u{10ffff}é€",
        "",
    ];
    case.rounds(8, SLACK, async |case: &mut Case| {
        let mut raw = Raw::open(&case.address).await;
        for id in odd {
            let query = json!({ "edge": "orders" });
            raw.send_json(&json!({ "type": "createLiveQuery", "requestId": id, "id": id, "query": query })).await;
            let (opcode, text) = raw.receive().await.expect("an answer");
            assert_eq!(opcode, TEXT);
            assert!(text.iter().all(|byte| *byte >= 0x20), "escaped: {}", String::from_utf8_lossy(&text));
            let created: Value = serde_json::from_slice(&text).expect("JSON");
            assert_eq!((&created["type"], &created["id"], &created["requestId"]), (&json!("liveQueryCreated"), &json!(id), &json!(id)));
            assert_eq!(raw.receive_json().await["id"], id);
            // Nodes have ids too.
            let key = format!("n{id}");
            let mut http = Http::connect(&case.address).await;
            let op = json!([{ "op": "upsert", "set": "orders", "node": { "id": key, "x": "s3cret" } }]);
            assert_eq!(http.post("/batch", &op.to_string()).await.status, 200);
            let added = raw.receive_json().await;
            assert_eq!((&added["type"], &added["nodeId"], &added["data"]["id"]), (&json!("liveQueryAddedNode"), &json!(key), &json!(key)));
            let op = json!([{ "op": "remove", "set": "orders", "id": key }]);
            assert_eq!(http.post("/batch", &op.to_string()).await.status, 200);
            assert_eq!(raw.receive_json().await["nodeId"], key);
            // An error that quotes it.
            raw.send_json(&json!({ "type": "createLiveQuery", "id": id, "query": query })).await;
            let error = raw.receive_json().await;
            assert_eq!((&error["code"], &error["id"]), (&json!("DUPLICATE_ID"), &json!(id)));
            raw.send_json(&json!({ "type": "destroyLiveQuery", "id": id })).await;
            assert_eq!(raw.receive_json().await["type"], "liveQueryDestroyed");
        }
        case.served().await;
        // 128 bytes are an id; a byte more is not, however it is written.
        for (id, is_one) in [("x".repeat(128), true), ("x".repeat(129), false), ("é".repeat(64), true), ("é".repeat(65), false), ("s3cret".repeat(10_000), false)] {
            raw.send_json(&json!({ "type": "createLiveQuery", "id": id, "query": { "edge": "no-such-set" } })).await;
            assert_eq!(raw.error().await, if is_one { "INVALID_QUERY" } else { "INVALID_MESSAGE" });
            raw.send_json(&json!({ "type": "ping", "requestId": id })).await;
            assert_eq!(raw.receive_json().await["type"], if is_one { "pong" } else { "error" });
        }
        let message = json!({ "type": "createLiveQuery", "id": "s3cret".repeat(170_000), "query": { "edge": "orders" } });
        raw.try_send(&frame(true, TEXT, message.to_string().as_bytes())).await;
        assert_eq!(raw.error().await, "MESSAGE_TOO_LARGE");
        assert_eq!(raw.close_code().await, Some(1009));
        let op = json!([{ "op": "upsert", "set": "orders", "node": { "id": "s3cret".repeat(170_000) } }]);
        let (status, code) = post(&case.address, "/batch", &op.to_string()).await;
        assert_eq!((status, &*code), (422, "INVALID_NODE"));
    })
    .await;
    case.moved("liveset_errors_total{code=\"DUPLICATE_ID\"}").await;
    case.moved("liveset_errors_total{code=\"MESSAGE_TOO_LARGE\"}").await;
    case.logged("</script><!--");
    case.logged("\\u{2028}");
    let log = case.server.log();
    assert!(!log.lines().any(|line| line.starts_with("INFO")), "a line of theirs:\n{log}");
    assert!(
        !log.contains(|letter: char| letter.is_control() && letter != '\n') && !log.contains('\u{2028}'),
        "{log}"
    );
    case.finish(
        "8 ids with quotes, line ends, terminal escapes, NUL, U+2028, markup; of live queries, requests and nodes; ids of 129 bytes, 60 kB, 1 MB",
        "echoed as they are, escaped as JSON; over 128 bytes `INVALID_MESSAGE`, 1 MB 1009 (HTTP 422); in the log escaped, no line of theirs",
    )
    .await
}

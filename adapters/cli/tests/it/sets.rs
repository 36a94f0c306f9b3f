//! What sets there are, and what is in them, over HTTP.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::http::{Answer, Http};
use crate::support::{Server, TOKEN};

const CONFIG: &str = r#"
[auth]
tokens = [
    { token = "writer-token", subject = "shop", claims = { role = "staff" } },
    { token = "of-eve", subject = "eve", claims = { role = "staff" } },
    { token = "of-acme", subject = "ann", read_only = true, claims = { tenant = "acme" } },
]
[[set]]
name = "orders"
load = "orders.ndjson"
strict = false
fields = [
    { name = "total", type = "number", required = true },
    { name = "customer.name", type = "text", required = true },
    { name = "customer.since", type = "instant" },
]
[[set]]
name = "users"
key = "email"
strict = true
fields = [{ name = "admin", type = "bool" }]
[[policy]]
set = "*"
claims = { role = "staff" }
[[policy]]
set = "orders"
rows = "tenant == $principal.tenant"
fields = ["tenant", "total", "tags"]
"#;

const ORDERS: &str = r#"{"id":1,"tenant":"acme","total":1,"tags":["a","b"],"customer":{"name":"x","since":"2024-01-01"}}
{"id":2,"tenant":"acme","total":1.0,"tags":["b"],"customer":{"name":"y"},"odd name":null}
{"id":3,"tenant":"umbrella","total":7,"tags":"b","customer":{"name":"x"},"at":"2024-01-01T00:00:00Z"}
"#;

fn start() -> Server {
    Server::start_with(CONFIG, &[("orders.ndjson", ORDERS.as_bytes())], &[])
}

async fn get(server: &Server, path: &str, token: &str) -> Answer {
    Http::connect(&server.address).await.get(path, Some(token)).await
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn sets_are_listed_with_their_fields_as_far_as_somebody_sees_them() {
    let server = start();
    let all = get(&server, "/sets", TOKEN).await.json();
    assert_eq!(names(&all["sets"]), ["orders", "users"]);
    let orders = &all["sets"][0];
    let of_orders = ["name", "key", "count", "source", "status", "strict"].map(|name| orders[name].clone());
    assert_eq!(json!(of_orders), json!(["orders", "id", 3, "host", "live", false]));
    assert_eq!(orders["declared"][0], json!({ "name": "total", "type": "number", "required": true }));
    assert_eq!(names(&orders["declared"]), ["total", "customer.name", "customer.since"]);
    let seen: Vec<_> = orders["seen"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(
        seen,
        [
            r#"{"name":"`odd name`","nodes":1,"types":["null"]}"#,
            r#"{"name":"at","nodes":1,"types":["instant"]}"#,
            r#"{"name":"customer","nodes":3,"types":["object"]}"#,
            r#"{"name":"customer.name","nodes":3,"types":["text"]}"#,
            r#"{"name":"customer.since","nodes":1,"types":["instant"]}"#,
            r#"{"name":"id","nodes":3,"types":["number"]}"#,
            r#"{"name":"tags","nodes":3,"types":["list","text"]}"#,
            r#"{"name":"tenant","nodes":3,"types":["text"]}"#,
            r#"{"name":"total","nodes":3,"types":["number"]}"#,
        ]
    );

    let part = get(&server, "/sets", "of-acme").await.json();
    assert_eq!(names(&part["sets"]), ["orders"]);
    let orders = &part["sets"][0];
    assert_eq!(orders["count"], 2);
    assert_eq!(names(&orders["declared"]), ["total"]);
    assert_eq!(names(&orders["seen"]), ["id", "tags", "tenant", "total"]);
    assert_eq!(get(&server, "/sets", "nobody").await.status, 401);
}

#[tokio::test]
async fn the_commonest_values_are_counted_as_far_as_somebody_sees_them() {
    let server = start();
    let values =
        async |query: &str, token: &str| get(&server, &format!("/sets/orders/values?{query}"), token).await;
    let tags = values("field=tags", TOKEN).await.json();
    let counted = json!([{ "value": "b", "count": 3 }, { "value": "a", "count": 1 }]);
    assert_eq!(
        tags,
        json!({ "field": "tags", "nodes": 3, "without": 0, "different": 2, "others": 0, "values": counted })
    );
    let most = values("field=tags&limit=1", "of-acme").await.json();
    assert_eq!((&most["nodes"], &most["values"]), (&json!(2), &json!([{ "value": "b", "count": 2 }])));
    // 1 and 1.0 are one value.
    assert_eq!(values("field=total", TOKEN).await.json()["values"][0], json!({ "value": 1, "count": 2 }));
    assert_eq!(values("field=customer.since", TOKEN).await.json()["without"], 2);
    assert_eq!(values("field=%60odd+name%60", TOKEN).await.json()["without"], 3);
    for (query, token, status, code) in [
        ("", TOKEN, 400, "INVALID_MESSAGE"),
        ("field=tags&limit=many", TOKEN, 400, "INVALID_MESSAGE"),
        ("field=tags&limit=1001", TOKEN, 400, "INVALID_MESSAGE"),
        ("fild=tags", TOKEN, 400, "INVALID_MESSAGE"),
        ("field=a..b", TOKEN, 422, "INVALID_QUERY"),
        ("field=customer.name", "of-acme", 403, "FORBIDDEN"),
    ] {
        let answer = values(query, token).await;
        assert_eq!((answer.status, &*answer.code()), (status, code), "{query}: {}", answer.text());
    }
    assert_eq!(get(&server, "/sets/users/values?field=admin", "of-acme").await.status, 403);
    assert_eq!(get(&server, "/sets/ships/values?field=a", TOKEN).await.status, 422);
}

#[tokio::test]
async fn a_set_has_the_schema_that_it_declares() {
    let server = start();
    let schemas = get(&server, "/schema", TOKEN).await.json();
    let text = json!({ "type": "string" });
    let instant =
        json!({ "type": ["string", "null"], "anyOf": [{ "format": "date-time" }, { "format": "date" }] });
    let customer = json!({
        "type": "object",
        "properties": { "name": text, "since": instant },
        "required": ["name"],
    });
    assert_eq!(
        schemas["orders"],
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "orders",
            "type": "object",
            "properties": { "id": { "type": ["string", "integer"] }, "total": { "type": "number" }, "customer": customer },
            "required": ["customer", "id", "total"],
        })
    );
    assert_eq!(
        schemas["users"],
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "users",
            "type": "object",
            "properties": { "email": { "type": ["string", "integer"] }, "admin": { "type": ["boolean", "null"] } },
            "required": ["email"],
            "additionalProperties": false,
        })
    );
    let part = get(&server, "/schema", "of-acme").await.json();
    assert!(part.get("users").is_none(), "{part}");
    let properties: Vec<_> = part["orders"]["properties"].as_object().unwrap().keys().collect();
    assert_eq!(properties, ["id", "total"]);
}

#[test]
fn a_schema_is_printed_as_types() {
    let server = start();
    let types = |token: &str| {
        let url = format!("http://{}", server.address);
        let mut liveset = Command::new(env!("CARGO_BIN_EXE_liveset"));
        liveset.args(["types", "--url", &url, "--token", token]).env_remove("LIVESET_CA").output().unwrap()
    };
    let expected = "\
// Written by `liveset types`.
import '@liveset/client'

/** The sets of the server, and the rows of each. */
export type Schema = {
  orders: {
    customer: {
      name: string
      since?: string | null
    }
    id: string | number
    total: number
  }
  users: {
    admin?: boolean | null
    email: string | number
  }
}

declare module '@liveset/client' {
  interface Register {
    schema: Schema
  }
}
";
    let answer = types(TOKEN);
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), expected);
    assert!(answer.status.success());
    let part = String::from_utf8(types("of-acme").stdout).unwrap();
    assert!(part.contains("    total: number\n") && !part.contains("customer"), "{part}");
    let refused = types("nobody");
    assert!(!refused.status.success() && refused.stdout.is_empty());
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(complaint.contains("answered with AUTH_FAILED"), "{complaint}");
}

fn sorted(text: &str) -> BTreeSet<&str> {
    text.lines().collect()
}

#[tokio::test]
async fn a_set_is_read_whole_and_loaded_again() {
    let server = start();
    // An end of a line between tokens is no end of a row.
    let spaced = "[{\"op\":\"upsert\",\"set\":\"orders\",\"node\":{\"id\":4,\n\"total\": 1,\"customer\":{\"name\":\"\\n\"}}}]";
    assert_eq!(Http::connect(&server.address).await.post("/batch", spaced).await.status, 200);
    let whole = get(&server, "/sets/orders", TOKEN).await;
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("application/x-ndjson")));
    let spaced = r#"{"id":4,"total":1,"customer":{"name":"\n"}}"#;
    let expected: BTreeSet<_> = ORDERS.lines().chain([spaced]).collect();
    assert_eq!(sorted(whole.text()), expected);

    let again = Server::start_with(CONFIG, &[("orders.ndjson", &whole.body)], &[]);
    assert_eq!(sorted(get(&again, "/sets/orders", TOKEN).await.text()), expected);
    assert_eq!(get(&again, "/sets/users", TOKEN).await.body, b"");
    for (path, token, status) in [
        ("/sets/orders", "of-acme", 403),
        ("/sets/users", "of-acme", 403),
        ("/sets/ships", "of-acme", 403),
        ("/sets/ships", TOKEN, 404),
        ("/sets/%FF", TOKEN, 400),
        ("/sets/orders", "nobody", 401),
    ] {
        assert_eq!(get(&again, path, token).await.status, status, "{path} {token}");
    }
}

/// Rows that no socket holds at once.
const MANY: usize = 20_000;

fn many() -> Server {
    let rows: String = (0..MANY)
        .map(|id| {
            let text = "x".repeat(700);
            format!("{{\"id\":{id},\"total\":1,\"customer\":{{\"name\":\"before\"}},\"text\":\"{text}\"}}\n")
        })
        .collect();
    let limits = ["--limit", "hub.scan_bytes=1000000"];
    Server::start_with(CONFIG, &[("orders.ndjson", rows.as_bytes())], &limits)
}

/// Begins to read the set whole, and reads no further than the head of the answer.
async fn begin(server: &Server, token: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let head = format!("GET /sets/orders HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut read = vec![0; 12];
    stream.read_exact(&mut read).await.unwrap();
    (stream, String::from_utf8(read).unwrap())
}

async fn change(server: &Server, ids: std::ops::Range<usize>) {
    let mut http = Http::connect(&server.address).await;
    let ids: Vec<_> = ids.collect();
    for ids in ids.chunks(500) {
        let ops = ids.iter().map(|id| {
            let node = json!({ "id": id, "total": 1, "customer": { "name": "after" } });
            json!({ "op": "upsert", "set": "orders", "node": node })
        });
        let answer = http.post("/batch", &json!(ops.collect::<Vec<_>>()).to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// What is left of an answer, read until its last chunk, or until the connection ends; and whether it is whole.
async fn rest(mut stream: TcpStream) -> (String, bool) {
    let mut read = Vec::new();
    let mut piece = vec![0; 1 << 16];
    while !read.ends_with(b"\r\n0\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return (String::from_utf8(read).unwrap(), false),
            Ok(bytes) => read.extend_from_slice(&piece[..bytes]),
        }
    }
    (String::from_utf8(read).unwrap(), true)
}

#[tokio::test]
async fn what_is_read_is_of_one_moment_and_one_at_a_time() {
    let server = many();
    let (stream, status) = begin(&server, TOKEN).await;
    assert_eq!(status, "HTTP/1.1 200");
    let second = get(&server, "/sets/orders", TOKEN).await;
    assert_eq!((second.status, &*second.code()), (503, "OVERLOADED"));
    let (of_another, status) = begin(&server, "of-eve").await;
    assert_eq!(status, "HTTP/1.1 200");
    change(&server, MANY - 1_000..MANY).await;
    let (text, is_whole) = rest(stream).await;
    assert!(is_whole);
    assert_eq!((text.matches("\"before\"").count(), text.matches("\"after\"").count()), (MANY, 0));
    drop(of_another);
    let after = get(&server, "/sets/orders", TOKEN).await;
    assert_eq!(after.status, 200, "the first has ended");
    assert_eq!(after.text().matches("\"after\"").count(), 1_000);
}

#[tokio::test]
async fn where_too_much_changes_meanwhile_the_body_is_cut() {
    let server = many();
    let (stream, status) = begin(&server, TOKEN).await;
    assert_eq!(status, "HTTP/1.1 200");
    change(&server, 0..MANY / 2).await;
    let (text, is_whole) = rest(stream).await;
    assert!(!is_whole && text.matches("\"before\"").count() < MANY);
    let metrics = get(&server, "/metrics", TOKEN).await;
    assert!(
        metrics.text().contains("liveset_limit_refusals_total{limit=\"hub.scan_bytes\"} 1"),
        "{}",
        metrics.text()
    );
    assert_eq!(get(&server, "/sets/orders", TOKEN).await.text().matches("\"after\"").count(), MANY / 2);
}

/// What is kept for somebody who does not read is let go of then, not when they read on.
#[tokio::test]
async fn who_does_not_read_keeps_no_more_than_that() {
    let server = many();
    let (stream, status) = begin(&server, TOKEN).await;
    assert_eq!(status, "HTTP/1.1 200");
    change(&server, 0..MANY / 2).await;
    let refusals = "liveset_limit_refusals_total{limit=\"hub.scan_bytes\"}";
    crate::support::metrics::wait_for(&server.address, [refusals], [1]).await;
    let (_, is_whole) = rest(stream).await;
    assert!(!is_whole);
}

#[tokio::test]
async fn fields_with_names_beyond_measure_are_not_named() {
    let long = "n".repeat(10_000);
    let rows =
        format!("{{\"id\":1,\"{long}\":1,\"total\":1,\"customer\":{{\"name\":\"x\",\"{long}\":1}}}}\n");
    let server = Server::start_with(CONFIG, &[("orders.ndjson", rows.as_bytes())], &[]);
    let answer = get(&server, "/sets", TOKEN).await;
    assert!(answer.text().len() < 2_000, "{}", answer.text().len());
    assert_eq!(names(&answer.json()["sets"][0]["seen"]), ["customer", "customer.name", "id", "total"]);
}

//! `liveset serve` and signals: reading the tokens again, and stopping.
#![cfg(unix)]

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::http::Http;
use crate::support::ws::Ws;
use crate::support::{NO_DRAIN, Server, TOKEN};

fn config(tokens: &str, more: &str) -> String {
    format!("{more}\n[auth]\ntokens = [{tokens}]\n[[set]]\nname = \"orders\"\n")
}

const FIRST: &str = r#"{ token = "writer-token", subject = "a" }"#;
const SECOND: &str = r#"{ token = "another-token", subject = "b", read_only = true }"#;
/// Whose token stays.
const THIRD: &str = r#"{ token = "third-token", subject = "c" }"#;

#[tokio::test]
async fn hangup_reads_the_tokens_again() {
    let server = Server::start(&config(&format!("{FIRST}, {THIRD}"), ""));
    let mut http = Http::connect(&server.address).await;
    let query = (r#"{"edge":"orders"}"#, "/query");
    let ask = async |http: &mut Http, token: &str| {
        let authorization = format!("Bearer {token}");
        http.request("POST", query.1, &[("authorization", &authorization)], query.0.as_bytes()).await.status
    };
    assert_eq!((ask(&mut http, TOKEN).await, ask(&mut http, "another-token").await), (200, 401));
    let mut revoked = Ws::open(&server.address).await;
    let mut connected = Ws::connect(&server.address).await;
    let authenticated = connected.ask(json!({ "type": "auth", "token": "third-token" })).await;
    assert_eq!(authenticated["type"], "authenticated");

    std::fs::write(
        server.config_file(),
        config(
            &format!("{SECOND}, {THIRD}"),
            "metrics_public = true\nlisten = \"127.0.0.1:1\"\n[limits.engine]\nmax_views = 7",
        ),
    )
    .unwrap();
    server.signal("HUP");
    server.wait_for_log("needs a restart");
    let mut http = Http::connect(&server.address).await;
    assert_eq!((ask(&mut http, TOKEN).await, ask(&mut http, "another-token").await), (401, 200));
    // A flag gives the address.
    assert!(server.log().contains("changed=\"limits.engine.max_views\""), "{}", server.log());
    assert_eq!(http.get("/metrics", None).await.status, 200, "the rest counts at once");
    // Whoever has no token any more is gone, the others stay.
    assert_eq!(revoked.next().await["code"], "TOKEN_EXPIRED");
    revoked.expect_close(1008).await;
    assert_eq!(connected.ask(json!({ "type": "ping" })).await, json!({ "type": "pong" }));

    // A file that is wrong, or has no tokens, changes nothing.
    for (wrong, said) in [("[auth]\ntoken = []", "unknown field `token`"), ("", "no tokens any more")] {
        std::fs::write(server.config_file(), wrong).unwrap();
        server.signal("HUP");
        server.wait_for_log(said);
        assert_eq!(ask(&mut http, "another-token").await, 200);
    }
    for secret in [TOKEN, "another-token"] {
        assert!(!server.log().contains(secret), "{}", server.log());
    }
}

/// Several tokens may stand for one subject: each connection goes by its own.
#[tokio::test]
async fn a_reload_goes_by_the_token_that_let_a_connection_in() {
    let token = |token: &str, tenant: &str| {
        format!(r#"{{ token = "{token}", subject = "app", claims = {{ tenant = "{tenant}" }} }}"#)
    };
    let policy = "[[policy]]\nset = \"orders\"\nrows = \"tenant == $principal.tenant\"\n";
    let write = |tokens: String| format!("{}\n{policy}", config(&tokens, ""));
    let (first, second, third) = (token("t1", "acme"), token("t2", "globex"), token("t3", "other"));
    let server = Server::start(&write(format!("{first}, {second}, {third}")));
    let mut connected = Vec::new();
    for token in ["t1", "t2", "t3"] {
        let mut ws = Ws::connect(&server.address).await;
        ws.ask(json!({ "type": "auth", "token": token })).await;
        let query = json!({ "type": "createLiveQuery", "id": "q", "query": { "edge": "orders" } });
        assert_eq!(ws.ask(query).await["type"], "liveQueryCreated");
        ws.next().await;
        connected.push(ws);
    }
    let changed = second.replace("globex", "initech");
    std::fs::write(server.config_file(), write(format!("{first}, {changed}"))).unwrap();
    server.signal("HUP");
    server.wait_for_log("read the configuration again");
    assert_eq!(connected[2].next().await["code"], "TOKEN_EXPIRED");
    for ws in &mut connected[..2] {
        assert_eq!(ws.ask(json!({ "type": "ping" })).await, json!({ "type": "pong" }));
    }
    assert!(server.log().contains("ended=1"), "{}", server.log());
}

#[tokio::test]
async fn a_terminated_server_says_goodbye() {
    for name in ["TERM", "INT"] {
        let mut server = Server::start(&config(FIRST, if name == "TERM" { NO_DRAIN } else { "" }));
        let mut ws = Ws::open(&server.address).await;
        let created = json!({ "type": "createLiveQuery", "id": "q", "query": { "edge": "orders" } });
        assert_eq!(ws.ask(created).await["type"], "liveQueryCreated");
        assert_eq!(ws.next().await["hasMore"], false);
        let mut idle = Http::connect(&server.address).await;
        idle.get("/healthz", None).await;

        let before = Instant::now();
        server.signal(name);
        ws.expect_close(1001).await;
        drop(ws);
        let status = server.wait();
        assert!(status.success(), "{name}: {status}");
        assert!(before.elapsed() < Duration::from_secs(8), "{name} took {:?}", before.elapsed());
        assert!(TcpStream::connect(&server.address).await.is_err());
    }
}

/// A request that has shown its token, and lets its body wait.
#[tokio::test]
async fn a_token_that_is_taken_back_while_the_body_arrives_is_none() {
    let server = Server::start(&config(&format!("{FIRST}, {THIRD}"), ""));
    let bodies = [
        ("/query", r#"{"edge":"orders"}"#),
        ("/explain", r#"{"edge":"orders"}"#),
        ("/batch", r#"[{"op":"upsert","set":"orders","node":{"id":1}}]"#),
        ("/events", r#"{"path":"jobs/1","eventType":"jobStarted","data":1}"#),
    ];
    let mut waiting = Vec::new();
    for (path, body) in bodies {
        for token in [TOKEN, "third-token"] {
            let mut stream = TcpStream::connect(&server.address).await.unwrap();
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let (first, rest) = body.split_at(1);
            stream.write_all(format!("{head}{first}").as_bytes()).await.unwrap();
            waiting.push((stream, rest, path, token));
        }
    }
    // So that all of them have shown their tokens.
    tokio::time::sleep(Duration::from_millis(300)).await;
    std::fs::write(server.config_file(), config(THIRD, "")).unwrap();
    server.signal("HUP");
    server.wait_for_log("read the configuration again");
    for (mut stream, rest, path, token) in waiting {
        stream.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let expected = if token == TOKEN { "HTTP/1.1 401 " } else { "HTTP/1.1 200 " };
        assert!(answer.starts_with(expected), "{path} with {token}: {answer}");
    }
}

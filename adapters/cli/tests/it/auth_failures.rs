//! Bad tokens from one address: those of `/ws` and those of the HTTP endpoints count together.

use serde_json::json;

use crate::support::http::Http;
use crate::support::metrics::Metrics;
use crate::support::ws::Ws;
use crate::support::{Server, TOKEN};

#[tokio::test]
async fn bad_tokens_lock_an_address_out_for_a_while() {
    let server = Server::start(
        "metrics_public = true\n[[set]]\nname = \"orders\"\n\
         [limits.auth]\nfailures_per_address = 3\nfailure_interval = \"1h\"\ncount_loopback = true\n",
    );
    let mut inside = Ws::open(&server.address).await;

    for _ in 0..2 {
        let mut ws = Ws::connect(&server.address).await;
        let refused = ws.ask(json!({ "type": "auth", "token": "bad-token" })).await;
        assert_eq!(refused["code"], "AUTH_FAILED");
        ws.expect_close(1008).await;
    }
    let mut http = Http::connect(&server.address).await;
    let refused = http.request("POST", "/query", &[("authorization", "Bearer bad-token")], b"{}").await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "AUTH_FAILED"));

    // Now no token is looked at, whichever it is.
    for token in [TOKEN, "bad-token"] {
        let mut ws = Ws::connect(&server.address).await;
        let refused = ws.ask(json!({ "type": "auth", "token": token })).await;
        assert_eq!(refused["code"], "RATE_LIMITED", "{refused}");
        ws.expect_close(1008).await;
        let authorization = format!("Bearer {token}");
        let refused = http.request("POST", "/query", &[("authorization", &authorization)], b"{}").await;
        assert_eq!((refused.status, refused.code().as_str()), (429, "RATE_LIMITED"));
        let after: u64 = refused.header("retry-after").expect("when to try again").parse().unwrap();
        assert!((1..=3_600).contains(&after), "{after}");
    }
    // What needs no token is there, and so is whoever was in.
    assert_eq!(http.get("/healthz", None).await.status, 200);
    assert_eq!(inside.ask(json!({ "type": "ping" })).await["type"], "pong");

    let metrics = Metrics::read(&server.address).await;
    assert_eq!(metrics.value("liveset_limit_refusals_total{limit=\"auth.failures_per_address\"}"), 4);
    server.wait_for_log("too many failed authentications");
    let log = server.log();
    assert_eq!(log.matches("too many failed authentications").count(), 1, "{log}");
    assert!(!log.contains("bad-token") && !log.contains(TOKEN), "{log}");
}

#[tokio::test]
async fn loopback_is_not_counted_by_itself() {
    let server = Server::start("[[set]]\nname = \"orders\"\n[limits.auth]\nfailures_per_address = 1\n");
    let mut http = Http::connect(&server.address).await;
    for _ in 0..5 {
        assert_eq!(http.get("/metrics", Some("bad-token")).await.status, 401);
    }
    assert_eq!(http.get("/metrics", Some(TOKEN)).await.status, 200);
}

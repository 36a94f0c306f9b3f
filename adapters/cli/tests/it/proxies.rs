//! Behind a proxy that is believed, what is counted by address counts for its clients.

use std::time::Duration;

use serde_json::json;

use crate::support::http::{Answer, Http};
use crate::support::metrics::Metrics;
use crate::support::ws::Ws;
use crate::support::{Server, TOKEN, run};

const LIMITS: &str = "metrics_public = true\n[[set]]\nname = \"orders\"\n\
    [limits.auth]\nfailures_per_address = 3\nfailure_interval = \"1h\"\ncount_loopback = true\n\
    [limits.http]\nmax_connections_per_address = 2\n";

const ALICE: &str = "198.51.100.7";
const BOB: &str = "2001:db8::7";

/// A request with a token, as a proxy passes it on.
async fn through(http: &mut Http, forwarded_for: &str, token: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str()), ("x-forwarded-for", forwarded_for)];
    http.request("POST", "/query", &headers, br#"{"edge":"orders"}"#).await
}

/// A handshake for `/ws`, as a proxy passes it on.
async fn upgrade(server: &Server, forwarded_for: &str) -> (Answer, Http) {
    let mut http = Http::connect(&server.address).await;
    (ask_to_upgrade(&mut http, "/ws", "13", forwarded_for).await, http)
}

async fn ask_to_upgrade(http: &mut Http, path: &str, version: &str, forwarded_for: &str) -> Answer {
    let headers = [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", version),
        ("x-forwarded-for", forwarded_for),
    ];
    http.request("GET", path, &headers, b"").await
}

#[tokio::test]
async fn bad_tokens_count_for_whom_the_proxy_speaks() {
    let server = Server::start(&format!("trusted_proxies = [\"127.0.0.0/8\"]\n{LIMITS}"));
    // One connection of the proxy, for all.
    let mut http = Http::connect(&server.address).await;
    for _ in 0..3 {
        assert_eq!(through(&mut http, ALICE, "bad-token").await.status, 401);
    }
    for forwarded_for in [ALICE, "203.0.113.1, 198.51.100.7", "198.51.100.7, 127.0.0.9"] {
        assert_eq!(through(&mut http, forwarded_for, TOKEN).await.status, 429, "{forwarded_for}");
    }
    assert_eq!(through(&mut http, BOB, TOKEN).await.status, 200);
    // Over /ws too.
    let mut ws = Ws::connect_with(&server.address, &[("x-forwarded-for", ALICE)]).await;
    let refused = ws.ask(json!({ "type": "auth", "token": TOKEN })).await;
    assert_eq!(refused["code"], "RATE_LIMITED", "{refused}");
    let mut ws = Ws::connect_with(&server.address, &[("x-forwarded-for", BOB)]).await;
    assert_eq!(ws.ask(json!({ "type": "auth", "token": TOKEN })).await["type"], "authenticated");
    // A proxy that does not say speaks for itself.
    for forwarded_for in ["unknown", "198.51.100.7, unknown", ""] {
        assert_eq!(through(&mut http, forwarded_for, "bad-token").await.status, 401);
    }
    for forwarded_for in ["unknown", "127.0.0.1"] {
        assert_eq!(through(&mut http, forwarded_for, TOKEN).await.status, 429, "{forwarded_for}");
    }
    assert_eq!(through(&mut http, BOB, TOKEN).await.status, 200);
}

#[tokio::test]
async fn who_is_no_proxy_is_not_believed() {
    for config in ["", "trusted_proxies = [\"10.0.0.0/8\"]\n"] {
        let server = Server::start(&format!("{config}{LIMITS}"));
        let mut http = Http::connect(&server.address).await;
        for forwarded_for in [ALICE, BOB, "203.0.113.1"] {
            assert_eq!(through(&mut http, forwarded_for, "bad-token").await.status, 401);
        }
        assert_eq!(through(&mut http, "203.0.113.2", TOKEN).await.status, 429);
    }
}

#[tokio::test]
async fn websockets_count_for_whom_the_proxy_speaks() {
    let server = Server::start(&format!("trusted_proxies = [\"127.0.0.1\"]\n{LIMITS}"));
    // The proxy itself may have more connections than one address.
    let mut idle = Vec::new();
    for _ in 0..5 {
        let mut http = Http::connect(&server.address).await;
        assert_eq!(http.get("/healthz", None).await.status, 200);
        idle.push(http);
    }
    let (first, first_of_alice) = upgrade(&server, ALICE).await;
    let (second, _second_of_alice) = upgrade(&server, ALICE).await;
    assert_eq!((first.status, second.status), (101, 101));
    let (third, _) = upgrade(&server, ALICE).await;
    assert_eq!((third.status, third.code().as_str()), (503, "OVERLOADED"));
    assert!(
        third.header("retry-after").is_some_and(|after| (1..=5).contains(&after.parse::<u32>().unwrap()))
    );
    server.wait_for_log("too many connections of one address client=198.51.100.7");
    // Handshakes that lead to nothing, and upgrades of something else, count for nobody.
    for http in &mut idle {
        assert_eq!(ask_to_upgrade(http, "/ws", "8", BOB).await.status, 426);
    }
    for http in &mut idle {
        assert_eq!(ask_to_upgrade(http, "/healthz", "13", BOB).await.status, 200);
    }
    let (of_bob, _bob) = upgrade(&server, BOB).await;
    assert_eq!(of_bob.status, 101);
    // A connection of the proxy that had been refused for one client is good for another.
    let mut http = Http::connect(&server.address).await;
    assert_eq!(ask_to_upgrade(&mut http, "/ws", "13", ALICE).await.status, 503);
    assert_eq!(ask_to_upgrade(&mut http, "/ws", "13", BOB).await.status, 101);
    assert_eq!(upgrade(&server, BOB).await.0.status, 503);
    let metrics = Metrics::read(&server.address).await;
    assert_eq!(metrics.value("liveset_connections_refused_total{cap=\"connections of one address\"}"), 3);

    drop(first_of_alice);
    let again = async {
        while upgrade(&server, ALICE).await.0.status != 101 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.expect("there is room again");
}

#[test]
fn what_is_no_network_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("liveset.toml");
    let path = file.to_str().unwrap();
    for (networks, says) in [
        ("[\"127.0.0.1\", \"proxy.example\"]", "liveset.toml:1:33: trusted_proxies[1]: "),
        ("[\"10.0.0.1/8\"]", "10.0.0.0/8 is one"),
    ] {
        std::fs::write(&file, format!("trusted_proxies = {networks}\n")).unwrap();
        let (ok, _, stderr) = run(&["serve", "--listen", "127.0.0.1:0", "--config", path]);
        assert!(!ok && stderr.contains(says), "{stderr}");
    }
    let flag = ["serve", "--print-config", "--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "::1"];
    let (ok, shown, stderr) = run(&flag);
    assert!(ok && shown.contains("trusted_proxies = [\"10.0.0.0/8\", \"::1\"]"), "{shown}{stderr}");
    let (ok, _, stderr) = run(&["serve", "--trusted-proxy", "x"]);
    assert!(!ok && stderr.contains("trusted_proxies[0]: "), "{stderr}");
}

//! `[tenants]`: users of one customer share limits, and are counted together.

use serde_json::{Value, json};

use crate::support::http::Http;
use crate::support::metrics::{Metrics, wait_for};
use crate::support::ws::Ws;
use crate::support::{Server, TOKEN};

const CONFIG: &str = r#"
[tenants]
claim = "customer"
[auth]
tokens = [
  { token = "writer-token", subject = "shop" },
  { token = "of-ann", subject = "ann", claims = { customer = "acme" } },
  { token = "of-bob", subject = "bob", claims = { customer = "acme" } },
  { token = "of-cid", subject = "cid", claims = { customer = 7 } },
  { token = "of-dan", subject = "dan", claims = { customer = "globex" } },
  { token = "of-eve", subject = "eve", claims = { customer = ["acme"] } },
  { token = "admin-token", subject = "operator", admin = true },
]
[[set]]
name = "orders"
[limits.hub]
connections_per_tenant = 2
live_queries_per_tenant = 3
tenants_named = 2
"#;

async fn open_as(server: &Server, token: &str) -> (Ws, Value) {
    let mut ws = Ws::connect(&server.address).await;
    let answer = ws.ask(json!({ "type": "auth", "token": token })).await;
    (ws, answer)
}

async fn create(ws: &mut Ws, id: &str) -> Value {
    let query = json!({ "edge": "orders", "limit": 0 });
    ws.send(json!({ "type": "createLiveQuery", "id": id, "query": query })).await;
    let answer = ws.next().await;
    if answer["type"] == "liveQueryCreated" {
        assert_eq!(ws.next().await["type"], "liveQueryData");
    }
    answer
}

#[tokio::test]
async fn users_of_a_tenant_share_what_it_may_have_and_are_counted_together() {
    let server = Server::start(CONFIG);
    let (mut ann, _) = open_as(&server, "of-ann").await;
    let (mut bob, _) = open_as(&server, "of-bob").await;
    let (mut crowded, refused) = open_as(&server, "of-ann").await;
    assert_eq!(refused["code"], "LIMIT_EXCEEDED", "{refused}");
    crowded.expect_close(1008).await;
    assert_eq!(create(&mut ann, "a").await["type"], "liveQueryCreated");
    for id in ["b", "c"] {
        assert_eq!(create(&mut bob, id).await["type"], "liveQueryCreated");
    }
    let refused = create(&mut ann, "d").await;
    assert_eq!((&refused["code"], &refused["id"]), (&json!("LIMIT_EXCEEDED"), &json!("d")));

    // Those without a tenant share with nobody. A claim that is no name is none.
    let mut others = Vec::new();
    for token in [TOKEN, TOKEN, TOKEN, "of-eve", "of-eve", "of-eve", "of-cid", "of-dan"] {
        let (mut ws, answer) = open_as(&server, token).await;
        assert_eq!(answer["type"], "authenticated", "{token}");
        assert_eq!(create(&mut ws, "q").await["type"], "liveQueryCreated");
        others.push(ws);
    }
    let connections = |tenant| format!("liveset_tenant_connections{{tenant=\"{tenant}\"}}");
    let names = ["acme", "7", "(others)"].map(connections);
    let metrics = wait_for(&server.address, names.each_ref().map(String::as_str), [2, 1, 1]).await;
    let live_queries = |tenant| format!("liveset_tenant_live_queries{{tenant=\"{tenant}\"}}");
    let counted = ["acme", "7", "(others)"].map(|tenant| metrics.value(&live_queries(tenant)));
    assert_eq!(counted, [3, 1, 1]);
    assert!(!metrics.text().contains("globex"), "it came after those that have names");

    // What is asked over HTTP is on the account of the tenant too.
    let steps = "liveset_tenant_steps_total{tenant=\"acme\"}";
    let before = metrics.value(steps);
    let mut http = Http::connect(&server.address).await;
    let token = [("authorization", "Bearer of-ann")];
    let query = r#"{"edge":"orders","filter":"total > 5"}"#;
    assert_eq!(http.request("POST", "/query", &token, query.as_bytes()).await.status, 200);
    assert!(Metrics::read(&server.address).await.value(steps) > before);
    let all = http.get("/admin/connections?subject=bob", Some("admin-token")).await.json();
    assert_eq!(all["connections"][0]["tenant"], "acme", "{all}");
}

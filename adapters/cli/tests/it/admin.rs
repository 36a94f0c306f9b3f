//! What an operator can look at and do, with a token that says so, and nobody else.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http::{Answer, Http};
use crate::support::metrics::wait_for;
use crate::support::ws::Ws;
use crate::support::{PATIENCE, Server, TOKEN};

const CONFIG: &str = r#"
[auth]
tokens = [
  { token = "writer-token", subject = "shop" },
  { token = "wall-token", subject = "wall", read_only = true },
  { token = "admin-token", subject = "operator", read_only = true, admin = true },
]
[[set]]
name = "orders"
[[policy]]
set = "*"
subjects = ["shop"]
[[policy]]
set = "orders"
subjects = ["wall"]
rows = "tenant == $principal.subject"
"#;

async fn get(server: &Server, path: &str) -> Value {
    let answer = Http::connect(&server.address).await.get(path, Some("admin-token")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

async fn revoke(server: &Server, body: Value) -> Answer {
    let mut http = Http::connect(&server.address).await;
    let token = [("authorization", "Bearer admin-token")];
    http.request("POST", "/admin/revoke", &token, body.to_string().as_bytes()).await
}

async fn open_as(server: &Server, token: &str, filters: &[&str]) -> Ws {
    let mut ws = Ws::connect(&server.address).await;
    let answer = ws.ask(json!({ "type": "auth", "token": token })).await;
    assert_eq!(answer["type"], "authenticated");
    for filter in filters {
        ws.create(filter, &json!({ "edge": "orders", "filter": filter })).await;
    }
    ws
}

#[tokio::test]
async fn connections_and_what_they_cost_are_listed() {
    let server = Server::start(CONFIG);
    let mut connected = vec![open_as(&server, TOKEN, &["total == 1"]).await];
    for _ in 0..3 {
        connected.push(open_as(&server, "wall-token", &["total != 1"]).await);
    }
    connected.push(Ws::connect(&server.address).await);

    let all = get(&server, "/admin/connections").await;
    let list = all["connections"].as_array().unwrap();
    assert_eq!((all["count"].as_u64(), list.len()), (Some(5), 5), "{all}");
    let subjects: Vec<_> = list.iter().map(|connection| connection["subject"].as_str()).collect();
    assert_eq!(subjects, [Some("shop"), Some("wall"), Some("wall"), Some("wall"), None]);
    let (first, last) = (&list[0], &list[4]);
    assert_eq!((&first["state"], &last["state"]), (&json!("active"), &json!("authenticating")));
    assert_eq!((&first["liveQueries"], &last["liveQueries"]), (&json!(1), &json!(0)));
    assert_eq!(first["address"], "127.0.0.1");
    assert!(first["queryBytes"].as_u64().is_some_and(|bytes| bytes > 0), "{first}");
    let of_wall = get(&server, "/admin/connections?subject=wall&limit=2").await;
    assert_eq!((&of_wall["count"], of_wall["connections"].as_array().map(Vec::len)), (&json!(3), Some(2)));

    connected.push(open_as(&server, TOKEN, &["total != 2"]).await);
    // The one that every change is tried on is the dearest.
    let queries = get(&server, "/admin/queries").await;
    let found: Vec<_> = queries["queries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|query| {
            (
                query["filter"].as_str().unwrap(),
                query["watchers"].as_u64().unwrap(),
                query["isIndexed"] == true,
            )
        })
        .collect();
    assert_eq!(found[0], ("total != 2", 1, false), "{queries}");
    assert_eq!((found.len(), &queries["queries"][0]["access"]), (3, &json!("scan")));
    let of_wall = get(&server, "/admin/queries?subject=wall").await;
    let query = &of_wall["queries"][0];
    assert_eq!((&query["filter"], &query["watchers"]), (&json!("total != 1"), &json!(3)));
    // By what the policy adds to it.
    assert_eq!((&query["access"], &query["isIndexed"]), (&json!("equality"), &json!(true)));
}

#[tokio::test]
async fn one_connection_can_be_closed_and_a_subject_kept_out() {
    let server = Server::start(CONFIG);
    let (mut first, mut second) =
        (open_as(&server, "wall-token", &[]).await, open_as(&server, "wall-token", &[]).await);
    let mut shop = open_as(&server, TOKEN, &[]).await;
    let ids = get(&server, "/admin/connections").await;
    let id = ids["connections"][0]["id"].as_u64().unwrap();
    let mut http = Http::connect(&server.address).await;
    let token = [("authorization", "Bearer admin-token")];
    let path = format!("/admin/connections/{id}");
    assert_eq!(http.request("DELETE", &path, &token, b"").await.json(), json!({ "closed": id }));
    first.expect_close(1001).await;
    drop(first);
    wait_for(&server.address, ["liveset_connections"], [2]).await;
    for gone in [path.as_str(), "/admin/connections/x", "/admin/connections/99999"] {
        assert_eq!(http.request("DELETE", gone, &token, b"").await.status, 404, "{gone}");
    }

    let answer = revoke(&server, json!({ "subject": "wall", "for": "1h" })).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "ended": 1 })));
    assert_eq!(second.next().await["code"], "TOKEN_EXPIRED");
    second.expect_close(1008).await;
    assert_eq!(http.get("/sets", Some("wall-token")).await.status, 401);
    assert_eq!(shop.ask(json!({ "type": "ping" })).await, json!({ "type": "pong" }));
    // Until it is taken back.
    assert_eq!(revoke(&server, json!({ "subject": "wall", "for": "0s" })).await.status, 200);
    assert_eq!(http.get("/sets", Some("wall-token")).await.status, 200);
    // For a moment.
    assert_eq!(revoke(&server, json!({ "subject": "wall", "for": "200ms" })).await.status, 200);
    let waited = async {
        while http.get("/sets", Some("wall-token")).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.expect("it is let in again");
    for wrong in [json!({}), json!({ "subject": "wall", "for": "long" }), json!({ "subject": 1 })] {
        assert_eq!(revoke(&server, wrong.clone()).await.status, 400, "{wrong}");
    }
    for line in ["by=\"operator\" connection=", "by=\"operator\" subject=\"wall\" ended=1"] {
        assert!(server.log().contains(line), "{line}: {}", server.log());
    }
}

#[tokio::test]
async fn it_takes_a_token_that_says_so() {
    let server = Server::start(CONFIG);
    let mut http = Http::connect(&server.address).await;
    let all = [
        ("GET", "/admin/connections"),
        ("GET", "/admin/queries"),
        ("GET", "/admin/sources"),
        ("DELETE", "/admin/connections/1"),
        ("POST", "/admin/revoke"),
    ];
    for (method, path) in all {
        let body: &[u8] = if method == "POST" { br#"{"subject":"shop"}"# } else { b"" };
        let asked = [(None, 401), (Some("Bearer nonsense"), 401), (Some("Bearer writer-token"), 403)];
        for (token, status) in asked {
            let headers: Vec<_> = token.map(|token| ("authorization", token)).into_iter().collect();
            let answer = http.request(method, path, &headers, body).await;
            assert_eq!(answer.status, status, "{method} {path} with {token:?}: {}", answer.text());
        }
    }
    // Who administers sees no rows that way.
    assert_eq!(http.get("/sets", Some("admin-token")).await.json()["sets"], json!([]));

    // A token becomes one of an administrator, and stops to be one, without a restart.
    for (is_admin, status) in [(true, 200), (false, 403)] {
        let of_shop = format!("subject = \"shop\", admin = {is_admin}");
        std::fs::write(server.config_file(), CONFIG.replace("subject = \"shop\"", &of_shop)).unwrap();
        let before = server.log().len();
        server.signal("HUP");
        server.wait_for_log_after(before, "read the configuration again");
        assert_eq!(http.get("/admin/connections", Some(TOKEN)).await.status, status);
    }
}

//! `[[policy]]`: what a token sees is up to the configuration, over WebSocket and HTTP alike.

use serde_json::{Value, json};

use crate::support::http::{Answer, Http};
use crate::support::ws::Ws;
use crate::support::{self, Server};

const CONFIG: &str = r#"
[auth]
tokens = [
    { token = "writer-token", subject = "shop", claims = { role = "staff" } },
    { token = "of-acme", subject = "ann", read_only = true, claims = { tenant = "acme" } },
    { token = "of-umbrella", subject = "bob", read_only = true, claims = { tenant = "umbrella" } },
    { token = "of-nobody", subject = "eve", read_only = true },
    { token = "without-a-rule", subject = "zed" },
]
[[set]]
name = "orders"
[[set]]
name = "users"
[[policy]]
set = "*"
claims = { role = "staff" }
[[policy]]
set = "orders"
rows = "tenant == $principal.tenant"
fields = ["tenant", "total"]
[[policy]]
path = "jobs/{jobId}"
subjects = ["ann"]
events = ["jobStarted"]
"#;

async fn post(http: &mut Http, token: &str, path: &str, body: Value) -> Answer {
    let authorization = format!("Bearer {token}");
    http.request("POST", path, &[("authorization", &authorization)], body.to_string().as_bytes()).await
}

async fn shop() -> (Server, Http) {
    let server = Server::start(CONFIG);
    let mut http = Http::connect(&server.address).await;
    let order = |id: u32, tenant: &str| {
        let node = json!({ "id": id, "tenant": tenant, "total": id * 10, "secret": "s3cret" });
        json!({ "op": "upsert", "set": "orders", "node": node })
    };
    let batch = json!([order(1, "acme"), order(2, "umbrella"), order(3, "acme")]);
    assert_eq!(post(&mut http, "writer-token", "/batch", batch).await.status, 200);
    (server, http)
}

#[tokio::test]
async fn each_tenant_sees_its_rows_and_no_hidden_field() {
    let (server, mut http) = shop().await;
    let query = json!({ "edge": "orders", "orderBy": "total desc" });
    let acme = post(&mut http, "of-acme", "/query", query.clone()).await.json();
    assert_eq!(acme["totalCount"], 2);
    assert_eq!(acme["nodes"][0], json!({ "id": 3, "tenant": "acme", "total": 30 }));
    let all = post(&mut http, "writer-token", "/query", query.clone()).await.json();
    assert_eq!((&all["totalCount"], &all["nodes"][0]["secret"]), (&json!(3), &json!("s3cret")));
    for (token, body) in [
        ("of-acme", json!({ "edge": "users" })),
        ("of-acme", json!({ "edge": "no-such-set" })),
        ("of-acme", json!({ "edge": "orders", "filter": "secret == 's3cret'" })),
        ("of-acme", json!({ "edge": "orders", "orderBy": "secret" })),
        ("of-acme", json!({ "edge": "orders", "node": { "fields": ["secret"] } })),
    ] {
        let answer = post(&mut http, token, "/query", body.clone()).await;
        assert_eq!((answer.status, &*answer.code()), (403, "FORBIDDEN"), "{token} {body}");
    }
    // Whoever lacks the claim sees no row.
    let nothing = post(&mut http, "of-nobody", "/query", query.clone()).await;
    assert_eq!((nothing.status, &nothing.json()["totalCount"]), (200, &json!(0)));
    assert_eq!(post(&mut http, "of-acme", "/explain", query.clone()).await.status, 403);
    assert_eq!(post(&mut http, "writer-token", "/explain", query.clone()).await.status, 200);
    // What is not seen is not written either: an answer would tell what is there.
    for token in ["of-acme", "without-a-rule"] {
        let event = json!({ "path": "jobs/1", "eventType": "jobStarted", "data": 1 });
        let node = json!([{ "op": "upsert", "set": "users", "node": { "id": 1 } }]);
        for (path, body) in [("/batch", json!([])), ("/batch", node), ("/events", event)] {
            assert_eq!(post(&mut http, token, path, body).await.status, 403, "{token} {path}");
        }
    }

    let mut clients = Vec::new();
    for token in ["of-acme", "of-umbrella"] {
        let mut ws = Ws::connect(&server.address).await;
        ws.ask(json!({ "type": "auth", "token": token })).await;
        let created = ws.ask(json!({ "type": "createLiveQuery", "id": "q", "query": query })).await;
        assert_eq!(created["type"], "liveQueryCreated");
        ws.next().await;
        clients.push(ws);
    }
    let moved = json!([{ "op": "upsert", "set": "orders", "node": { "id": 3, "tenant": "umbrella", "total": 5, "secret": "x" } }]);
    assert_eq!(post(&mut http, "writer-token", "/batch", moved).await.status, 200);
    assert_eq!(clients[0].next().await, json!({ "type": "liveQueryRemovedNode", "id": "q", "nodeId": "3" }));
    let added = json!({ "type": "liveQueryAddedNode", "id": "q", "nodeId": "3", "data": { "id": 3, "tenant": "umbrella", "total": 5 } });
    assert_eq!(clients[1].next().await, added);
}

#[tokio::test]
async fn events_are_for_whom_they_are_said_to_be() {
    let (server, _) = shop().await;
    let subscribe = |path: &str, event: &str| {
        let subscription = json!({ "id": "s", "path": path, "events": [event] });
        json!({ "type": "subscribeEvents", "subscriptions": [subscription] })
    };
    for (token, path, event, answer) in [
        ("of-acme", "jobs/7", "jobStarted", "subscribedEvents"),
        ("of-acme", "jobs/7", "jobFailed", "error"),
        ("of-acme", "jobs", "jobStarted", "error"),
        ("of-umbrella", "jobs/7", "jobStarted", "error"),
        ("writer-token", "jobs/7", "jobStarted", "error"),
    ] {
        let mut ws = Ws::connect(&server.address).await;
        ws.ask(json!({ "type": "auth", "token": token })).await;
        let got = ws.ask(subscribe(path, event)).await;
        assert_eq!(got["type"], answer, "{token} {path} {event}: {got}");
    }
}

#[test]
fn wrong_policies_are_named() {
    for (policy, said) in [
        ("rows = 'a == 1'", "a policy names a `set` or a `path`"),
        ("set = 'nothing'", "there is no set \"nothing\""),
        ("set = 'orders'\nrows = 'tenant = $principal.tenant'", "line 1, column 8: found '='"),
        ("set = 'orders'\nrows = 'a == $claims.b'", "found $claims.b, expected a parameter that there is"),
        ("set = 'orders'\nfields = ['a..b']", "field"),
        ("set = 'orders'\npath = 'jobs'", "not both"),
        ("path = 'jobs'\nrows = 'a'", "rows are of a set"),
        ("set = 'orders'\nrole = 'x'", "unknown field `role`"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("liveset.toml");
        let config = format!(
            "[auth]\ntokens = [{{ token = 't', subject = 's' }}]\n[[set]]\nname = 'orders'\n[[policy]]\n{policy}\n"
        );
        std::fs::write(&file, config).unwrap();
        let (ok, _, error) = support::run(&["serve", "--config", file.to_str().unwrap()]);
        assert!(!ok && error.contains(said), "{policy}: {error}");
    }
}

/// A 403 says what would have been needed.
#[tokio::test]
async fn who_may_not_write_is_told_what_that_would_need() {
    let (_server, mut http) = shop().await;
    let mut refused = async |token: &str| {
        let answer = post(&mut http, token, "/batch", json!([])).await;
        assert_eq!((answer.status, &*answer.code()), (403, "FORBIDDEN"), "{token}");
        answer.json()["message"].as_str().expect("a message").to_owned()
    };
    let read_only = refused("of-acme").await;
    assert!(read_only.contains("the token of \"ann\" is read-only"), "{read_only}");
    assert!(read_only.contains("`read_only` in [auth], `write_scope` in [jwt]"), "{read_only}");
    let of_set = refused("without-a-rule").await;
    assert!(of_set.contains("\"zed\" does not see all of set \"*\""), "{of_set}");
    assert!(
        of_set.contains("needs a [[policy]] for this set and subject without `rows` and `fields`"),
        "{of_set}"
    );
}

/// Without any `[[policy]]` every token sees everything, which is said at the start.
#[test]
fn a_configuration_without_a_policy_is_warned_of() {
    const WARNING: &str = "there is no [[policy]]";
    let open = Server::start("[auth]\ntokens = [{ token = \"a\", subject = \"b\" }]\n");
    open.wait_for_log(WARNING);
    assert_eq!(open.log().matches(WARNING).count(), 1, "{}", open.log());
    let closed = Server::start(CONFIG);
    closed.wait_for_log("listening");
    assert!(!closed.log().contains(WARNING), "{}", closed.log());
}

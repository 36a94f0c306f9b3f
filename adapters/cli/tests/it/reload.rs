//! SIGHUP: what can change without a restart does, all of it or nothing, and nobody connects again.
#![cfg(unix)]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::follower::Follower;
use crate::support::http::Http;
use crate::support::ws::Ws;
use crate::support::{Server, TOKEN};

const AUTH: &str = r#"
[auth]
tokens = [
  { token = "writer-token", subject = "shop" },
  { token = "wall-token", subject = "wall", read_only = true, claims = { tenant = "acme" } },
]
"#;
const POLICY: &str = "[[policy]]\nset = \"*\"\nsubjects = [\"shop\"]\n";
const ORDERS: &str = "[[set]]\nname = \"orders\"\n";

fn of_wall(rows: &str) -> String {
    format!("[[policy]]\nset = \"orders\"\n{rows}\n")
}

async fn reload(server: &Server, config: &str) {
    std::fs::write(server.config_file(), config).unwrap();
    let before = server.log().len();
    server.signal("HUP");
    server.wait_for_log_after(before, "read the configuration again");
}

async fn follow_as_wall(address: &str) -> Follower {
    let mut ws = Ws::connect(address).await;
    ws.ask(json!({ "type": "auth", "token": "wall-token" })).await;
    let rows = ws.create("followed", &json!({ "edge": "orders" })).await;
    let id =
        |row: &serde_json::Value| row["id"].as_str().map_or_else(|| row["id"].to_string(), str::to_owned);
    let rows = rows.into_iter().map(|row| (id(&row), row)).collect();
    Follower { ws, rows, diffs: 0 }
}

fn ids(follower: &Follower) -> Vec<&str> {
    follower.rows.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_narrower_policy_takes_rows_out_by_diffs_and_a_wider_one_brings_them_back() {
    let config = |rows: &str| format!("{AUTH}{ORDERS}{POLICY}{}", of_wall(rows));
    let server = Server::start(&config(""));
    let mut http = Http::connect(&server.address).await;
    let rows = r#"[{"op":"upsert","set":"orders","node":{"id":1,"tenant":"acme"}},{"op":"upsert","set":"orders","node":{"id":2,"tenant":"globex"}}]"#;
    assert_eq!(http.post("/batch", rows).await.status, 200);
    let mut wall = follow_as_wall(&server.address).await;
    assert_eq!(ids(&wall), ["1", "2"]);

    reload(&server, &config("rows = \"tenant == $principal.tenant\"")).await;
    let more = r#"[{"op":"upsert","set":"orders","node":{"id":3,"tenant":"globex"}},{"op":"upsert","set":"orders","node":{"id":4,"tenant":"acme"}}]"#;
    assert_eq!(http.post("/batch", more).await.status, 200);
    while ids(&wall) != ["1", "4"] {
        assert_eq!(wall.step().await, None);
        assert!(!wall.rows.contains_key("3"), "it was never to be seen");
    }
    reload(&server, &config("")).await;
    while ids(&wall) != ["1", "2", "3", "4"] {
        assert_eq!(wall.step().await, None);
    }
}

#[tokio::test]
async fn sets_origins_resources_limits_and_the_log_change_at_once() {
    let server = Server::start(&format!("{AUTH}{ORDERS}"));
    let mut http = Http::connect(&server.address).await;
    let mut connected = Ws::open(&server.address).await;
    let query = r#"{"edge":"stock"}"#;
    assert_eq!(http.post("/query", query).await.status, 422);
    let event = r#"{"path":"stock/1","eventType":"sold","data":1}"#;
    assert_eq!(http.post("/events", event).await.status, 422);

    std::fs::write(server.folder.path().join("stock.ndjson"), "{\"id\":1}\n{\"id\":2}\n").unwrap();
    let more = "[[set]]\nname = \"stock\"\nload = \"stock.ndjson\"\n[[resource]]\npath = \"stock/{id}\"\nevents = [\"sold\"]\n\
                [cors]\norigins = [\"https://shop.example\"]\n[limits.http]\nmax_body_bytes = 200\n";
    reload(&server, &format!("log = \"debug\"\n{AUTH}{ORDERS}{more}")).await;
    server.wait_for_log("stock.ndjson nodes=2");
    assert_eq!(http.post("/query", query).await.json()["totalCount"], 2);
    assert_eq!(http.post("/events", event).await.status, 200);
    let answer = http.request("GET", "/livez", &[("origin", "https://shop.example")], b"").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    // Of the same connection: the list of [websocket] is that of [cors].
    let page = [
        ("origin", "https://other.example"),
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(http.request("GET", "/ws", &page, b"").await.status, 403);
    server.wait_for_log("DEBUG");
    let created = json!({ "type": "createLiveQuery", "id": "q", "query": { "edge": "stock" } });
    assert_eq!(connected.ask(created).await["type"], "liveQueryCreated");
    let mut http = Http::connect(&server.address).await;
    assert_eq!(http.post("/batch", &" ".repeat(201)).await.status, 413);
    assert!(!server.log().contains("needs a restart"), "{}", server.log());
}

#[tokio::test]
async fn what_a_subject_may_have_changes_at_once_and_what_a_connection_may_for_the_next() {
    let limits = |of_subject: u32, of_connection: u32| {
        format!(
            "{AUTH}{ORDERS}[limits.hub]\nlive_queries_per_subject = {of_subject}\n[limits.session]\nlive_queries = {of_connection}\n"
        )
    };
    let server = Server::start(&limits(1, 2));
    let mut old = Ws::open(&server.address).await;
    let ask = async |ws: &mut Ws, id: &str| {
        let filter = format!("total > {id}");
        let query = json!({ "edge": "orders", "filter": filter });
        ws.send(json!({ "type": "createLiveQuery", "id": id, "query": query })).await;
        loop {
            let answer = ws.next().await;
            match answer["type"].as_str() {
                Some("liveQueryCreated") => return "created".to_owned(),
                Some("error") => return answer["code"].as_str().unwrap().to_owned(),
                _ => {}
            }
        }
    };
    assert_eq!(ask(&mut old, "1").await, "created");
    assert_eq!(ask(&mut old, "2").await, "LIMIT_EXCEEDED");
    reload(&server, &limits(3, 1)).await;
    assert_eq!(ask(&mut old, "3").await, "created", "the connection is as it was, the subject may have more");
    let mut new = Ws::open(&server.address).await;
    assert_eq!(ask(&mut new, "4").await, "created");
    assert_eq!(ask(&mut new, "5").await, "LIMIT_EXCEEDED");
    assert!(!server.log().contains("needs a restart"), "{}", server.log());
}

#[tokio::test]
async fn a_configuration_with_an_error_changes_nothing() {
    let whole = format!("{AUTH}{ORDERS}{POLICY}");
    let server = Server::start(&whole);
    let mut http = Http::connect(&server.address).await;
    let other = AUTH.replace("writer-token", "other-token");
    for (wrong, said) in [
        (format!("{other}{ORDERS}{POLICY}[[set]]\nname = \"stock\"\nkey = \"a.b\"\n"), "is a path"),
        (format!("{other}{ORDERS}{POLICY}[[policy]]\nset = \"nowhere\"\n"), "there is no set"),
        (format!("{other}{ORDERS}{POLICY}[[resource]]\npath = \"a//b\"\nevents = [\"e\"]\n"), "segments"),
        (format!("{other}{ORDERS}"), "has no [[policy]] any more"),
        (format!("{ORDERS}{POLICY}"), "no tokens any more"),
        (format!("{other}{ORDERS}{POLICY}[auth"), "nothing was changed"),
    ] {
        std::fs::write(server.config_file(), &wrong).unwrap();
        let before = server.log().len();
        server.signal("HUP");
        server.wait_for_log_after(before, "nothing was changed");
        assert!(server.log()[before..].contains(said), "{said}: {}", server.log());
        assert_eq!(http.get("/sets", Some(TOKEN)).await.status, 200, "{said}");
        assert_eq!(http.get("/sets", Some("other-token")).await.status, 401, "{said}");
    }
}

/// Writes a file as slow programs do: it is empty first, and whole after a while.
fn write_slowly(file: &Path, text: &str) {
    let mut file = std::fs::File::create(file).unwrap();
    for piece in text.as_bytes().chunks(text.len() / 4 + 1) {
        file.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Commits one row after the other until it is told to stop; says how many.
async fn write_until(address: String, done: Arc<AtomicBool>) -> u64 {
    let mut http = Http::connect(&address).await;
    for n in 1.. {
        let last = done.load(Ordering::Relaxed);
        let id = if last { "last".to_owned() } else { (n % 50).to_string() };
        let row = json!([{ "op": "upsert", "set": "orders", "node": { "id": id, "n": n } }]);
        assert_eq!(http.post("/batch", &row.to_string()).await.status, 200);
        if last {
            return n;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    0
}

/// Follows until the last row comes. To be closed is a failure.
async fn follow_until_last(mut follower: Follower) -> Follower {
    while !follower.rows.contains_key("last") {
        assert_eq!(follower.step().await, None, "nobody connects again");
    }
    follower
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_being_written_is_never_taken_in_parts() {
    // Cut anywhere, it is a configuration with fewer tokens, or rules.
    let tokens = |from: usize| {
        (from..from + 20)
            .map(|n| format!("[[auth.tokens]]\ntoken = \"token-{n}\"\nsubject = \"s{n}\"\n"))
            .collect::<String>()
    };
    let text = move |from: usize| format!("{ORDERS}{POLICY}{}{AUTH_LAST}{}", of_wall(""), tokens(from));
    const AUTH_LAST: &str = "[[auth.tokens]]\ntoken = \"writer-token\"\nsubject = \"shop\"\n";
    let server = Server::start_as(
        crate::support::liveset(&["serve", "--config"]),
        &format!("# [auth]\n{}", text(0)),
        &[],
        &[],
    );
    let mut kept = Ws::connect(&server.address).await;
    // Of both lists.
    kept.ask(json!({ "type": "auth", "token": "token-19" })).await;
    let done = Arc::new(AtomicBool::new(false));
    let writing = std::thread::spawn({
        let (file, done) = (server.config_file(), Arc::clone(&done));
        move || {
            while !done.load(Ordering::Relaxed) {
                for from in [0, 10] {
                    write_slowly(&file, &text(from));
                    std::thread::sleep(Duration::from_millis(40));
                }
            }
            write_slowly(&file, &text(10));
        }
    });
    // Under load: rows come all the time, and go to those who watch.
    let mut following = Vec::new();
    for _ in 0..20 {
        let follower = Follower::open(&server.address, &json!({ "edge": "orders" })).await;
        following.push(tokio::spawn(follow_until_last(follower)));
    }
    let stop_writing = Arc::new(AtomicBool::new(false));
    let written = tokio::spawn(write_until(server.address.clone(), Arc::clone(&stop_writing)));
    let mut http = Http::connect(&server.address).await;
    for _ in 0..300 {
        server.signal("HUP");
        for token in ["token-19", "token-10", TOKEN] {
            assert_eq!(http.get("/sets", Some(token)).await.status, 200, "{token}\n{}", server.log());
        }
    }
    done.store(true, Ordering::Relaxed);
    writing.join().unwrap();
    let before = server.log().len();
    server.signal("HUP");
    server.wait_for_log_after(before, "tokens=21");
    assert_eq!(http.get("/sets", Some("token-29")).await.status, 200);
    assert_eq!(http.get("/sets", Some("token-9")).await.status, 401);
    assert_eq!(kept.ask(json!({ "type": "ping" })).await, json!({ "type": "pong" }));
    assert!(!server.log().contains("nothing was changed: listen"), "{}", server.log());
    stop_writing.store(true, Ordering::Relaxed);
    let last = written.await.unwrap();
    let held = http.post("/query", r#"{"edge":"orders"}"#).await.json();
    for following in following {
        let follower = following.await.unwrap();
        assert_eq!(follower.rows["last"]["n"], last);
        let rows: Vec<_> = held["nodes"].as_array().unwrap().iter().collect();
        assert!(rows.len() > 20 && rows.len() == follower.rows.len(), "{} rows", rows.len());
        assert!(rows.iter().all(|row| follower.rows.values().any(|had| had == *row)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_time_a_policy_is_narrower_it_holds_before_the_next_change_whatever_is_written_meanwhile() {
    let config = |rows: &str| format!("{AUTH}{ORDERS}{POLICY}{}", of_wall(rows));
    let server = Server::start(&config(""));
    let done = Arc::new(AtomicBool::new(false));
    let written = tokio::spawn(write_until(server.address.clone(), Arc::clone(&done)));
    let mut wall = follow_as_wall(&server.address).await;
    let mut http = Http::connect(&server.address).await;
    for round in 0..5 {
        let put = |id: String, tenant: &str| json!([{ "op": "upsert", "set": "orders", "node": { "id": id, "tenant": tenant, "round": round } }]);
        // Wide: it comes. Narrow: of two that come behind each other, the second alone, and those of the writer are gone.
        let shown = put(format!("wide-{round}"), "globex").to_string();
        assert_eq!(http.post("/batch", &shown).await.status, 200);
        while !wall.rows.contains_key(&format!("wide-{round}")) {
            assert_eq!(wall.step().await, None);
        }
        reload(&server, &config("rows = \"tenant == $principal.tenant\"")).await;
        for (id, tenant) in [("hidden", "globex"), ("narrow", "acme")] {
            let row = put(format!("{id}-{round}"), tenant).to_string();
            assert_eq!(http.post("/batch", &row).await.status, 200);
        }
        while !wall.rows.contains_key(&format!("narrow-{round}")) {
            assert_eq!(wall.step().await, None);
            assert!(!wall.rows.contains_key(&format!("hidden-{round}")), "it was never to be seen");
        }
        assert!(wall.rows.values().all(|row| row["tenant"] == "acme"), "{:?}", wall.rows);
        reload(&server, &config("")).await;
    }
    done.store(true, Ordering::Relaxed);
    written.await.unwrap();
    let wall = follow_until_last(wall).await;
    assert!(wall.diffs > 10, "{}", wall.diffs);
}

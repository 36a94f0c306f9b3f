//! `liveset serve`: what it takes from file, flags and environment, and why it refuses to start.

use serde_json::json;

use crate::support::http::Http;
use crate::support::{Server, liveset, run, run_with};

fn refused(config: &str, files: &[(&str, &str)], more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let file = folder.path().join("liveset.toml");
    std::fs::write(&file, config).unwrap();
    let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()];
    args.extend_from_slice(more);
    let (ok, stdout, stderr) = run(&args);
    assert!(!ok, "it started: {stdout}");
    assert_eq!(stdout, "");
    stderr
}

const TOKENS: &str = "[auth]\ntokens = [{ token = \"t0ken\", subject = \"a\" }]\n";

#[test]
fn without_tokens_it_does_not_start() {
    let (ok, _, stderr) = run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(!ok);
    for text in ["no tokens", "[auth]", "--token SUBJECT=TOKEN"] {
        assert!(stderr.contains(text), "{stderr}");
    }
}

#[test]
fn a_wrong_configuration_is_named_with_its_place() {
    for (config, what) in [
        ("lisen = \"x\"", "liveset.toml:1:1: lisen: unknown field `lisen`"),
        ("[[set]]\nname = \"a\"\nlod = \"b\"", "liveset.toml:3:1: set[0].lod: unknown field `lod`"),
        ("listen = ", "liveset.toml:1:"),
        ("[[set]]\nname = \"a\"\nfields = [{ name = \"b..c\", type = \"text\" }]", "b..c"),
        ("[[resource]]\npath = \"jobs/{jobId\"\nevents = [\"a\"]", "jobs/{jobId"),
        ("[[set]]\nname = \"a\"\nstrict = 1", "liveset.toml:3:10: set[0].strict:"),
        (
            "[[set]]\nname = \"a\"\nfields = [{ name = \"n\", type = \"number\" }]\n\
             [[policy]]\nset = \"a\"\nrows = \"n == 'x' or m == $principal.m\"",
            "policy[0].rows: of the set \"a\": line 1, column 6: found ''x'', expected a number",
        ),
        (
            "[[set]]\nname = \"a\"\nstrict = true\n[[policy]]\nset = \"*\"\nrows = \"m == $principal.m\"",
            "policy[0].rows: of the set \"a\": line 1, column 1: found 'm', which the set does not declare",
        ),
    ] {
        let error = refused(&format!("{config}\n{TOKENS}"), &[], &[]);
        assert!(error.starts_with("error: "), "{error}");
        assert!(error.contains(what), "{config}\nshould say {what}\n{error}");
        assert!(!error.contains("t0ken"), "{error}");
    }
    let error = refused(TOKENS, &[], &["--limit", "session.nothing=1"]);
    assert!(error.contains("session has auth_timeout"), "{error}");
    let (ok, _, stderr) = run(&["serve", "--config", "/nowhere/liveset.toml"]);
    assert!(!ok && stderr.contains("/nowhere/liveset.toml"), "{stderr}");
    let error = refused(TOKENS, &[], &["--listen", "256.1.1.1:1"]);
    assert!(
        error.contains("the argument '--listen") || error.contains("cannot listen on 256.1.1.1:1"),
        "{error}"
    );
}

#[test]
fn a_wrong_line_of_a_file_is_named() {
    let config = format!(
        "{TOKENS}[[set]]\nname = \"orders\"\nload = \"orders.ndjson\"\nfields = [{{ name = \"n\", type = \"number\" }}]\n"
    );
    let good = "{\"id\":1}\n\n".repeat(1500);
    for (file, line, what) in [
        (format!("{good}{{\"id\":1,\"n\":\"x\"}}\n{good}"), 3001, "field 'n' must be a number"),
        ("{\"id\":1}\n{\"id\":2".to_owned(), 2, "node"),
        ("{\"id\":1}\n{\"n\":2}\n".to_owned(), 2, "the key field 'id'"),
        (
            "{\"ops\":[{\"op\":\"upsert\",\"set\":\"orders\"}]}".to_owned(),
            1,
            "operation 0: missing field `node`",
        ),
        (
            "{\"ops\":[{\"op\":\"upsert\",\"set\":\"order\",\"node\":{\"id\":1}}]}".to_owned(),
            1,
            "unknown set 'order'",
        ),
        ("{\"at\":\"x\",\"ops\":[]}".to_owned(), 1, "RFC 3339"),
    ] {
        let error = refused(&config, &[("orders.ndjson", &file)], &[]);
        assert!(error.contains(&format!("orders.ndjson:{line}: ")), "{error}");
        assert!(error.contains(what), "should say {what}: {error}");
    }
    let error = refused(&config, &[], &[]);
    assert!(error.contains("orders.ndjson: "), "{error}");
}

#[tokio::test]
async fn sets_are_loaded_from_nodes_and_commits() {
    let nodes: String = (0..2500).map(|n| format!("{{\"id\":{n},\"big\":9007199254740993}}\n")).collect();
    let commits = "{\"at\":\"2024-01-01T00:00:00Z\",\"ops\":[{\"op\":\"upsert\",\"set\":\"b\",\"node\":{\"key\":\"x\"}}]}\n\
                   {\"key\":\"y\"}\n\
                   {\"at\":\"2024-01-02T00:00:00Z\",\"ops\":[{\"op\":\"remove\",\"set\":\"b\",\"id\":\"x\"},\
                   {\"op\":\"remove\",\"set\":\"a\",\"id\":0}]}\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, commits.as_bytes()).unwrap();
    let server = Server::start_with(
        "[[set]]\nname = \"a\"\nload = \"a.ndjson\"\n[[set]]\nname = \"b\"\nkey = \"key\"\nload = \"b.ndjson.gz\"\n\
         [clock]\nsource = \"commits\"\n",
        &[("a.ndjson", nodes.as_bytes()), ("b.ndjson.gz", &gzip.finish().unwrap())],
        &[],
    );
    let mut http = Http::connect(&server.address).await;
    let a = http.post("/query", r#"{"edge":"a","limit":1}"#).await;
    let rows = r#"{"nodes":[{"id":1,"big":9007199254740993}],"totalCount":2499,"capped":true,"position":""#;
    assert!(a.text().starts_with(rows), "{}", a.text());
    let b = http.post("/query", r#"{"edge":"b","filter":"2024-01-02 == now"}"#).await;
    let b = b.json();
    let rows =
        json!({ "nodes": [{ "key": "y" }], "totalCount": 1, "capped": false, "position": b["position"] });
    assert_eq!(b, rows);
}

#[test]
fn the_effective_configuration_is_printed_as_toml() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("liveset.toml");
    std::fs::write(
        &file,
        format!(
            "listen = \"127.0.0.1:1\"\n{TOKENS}[[set]]\nname = \"a\"\n[limits.session]\nlive_queries = 3\n"
        ),
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let print = |more: &[&str]| {
        let mut command = liveset(&["serve", "--print-config", "--config", path, "--listen", "127.0.0.1:2"]);
        command.args(more).env("LIVESET_TOKENS", "env=fr0m-env").env("LIVESET_CLOCK", "commits");
        let (ok, stdout, stderr) = run_with(command);
        assert!(ok, "{stderr}");
        stdout
    };
    let shown = print(&[]);
    assert!(!shown.contains("t0ken") && !shown.contains("fr0m-env"), "{shown}");
    let table: toml::Table = toml::from_str(&shown).unwrap();
    assert_eq!(table["listen"].as_str(), Some("127.0.0.1:2"));
    assert_eq!(table["clock"]["source"].as_str(), Some("commits"));
    assert_eq!(table["limits"]["session"]["live_queries"].as_integer(), Some(3));
    let engine = &table["limits"]["engine"];
    for (name, default) in
        [("max_unindexed_views", 8_000), ("max_columns", 1_024), ("slice_rows", 16_384), ("shards", 1)]
    {
        assert_eq!(engine[name].as_integer(), Some(default), "{name}");
    }
    assert_eq!(table["limits"]["session"]["auth_timeout"].as_str(), Some("10s"));
    assert_eq!(table["auth"]["tokens"][1]["subject"].as_str(), Some("env"));
    assert_eq!(table["set"][0]["name"].as_str(), Some("a"));

    // With the tokens it is a configuration that says the same again.
    let whole = print(&["--show-tokens"]);
    assert!(whole.contains("t0ken") && whole.contains("fr0m-env"));
    std::fs::write(&file, &whole).unwrap();
    let (ok, again, stderr) = run(&["serve", "--print-config", "--show-tokens", "--config", path]);
    assert!(ok, "{stderr}");
    assert_eq!(again, whole);
}

#[tokio::test]
async fn flags_alone_are_enough() {
    let server = Server::start_with(
        "",
        &[],
        &[
            "--set",
            "orders:number",
            "--resource",
            "news=posted",
            "--metrics-public",
            "--limit",
            "session.live_queries=1",
            "--limit",
            "engine.shards=2",
            "--limit",
            "engine.max_unindexed_views=0",
        ],
    );
    let mut http = Http::connect(&server.address).await;
    let batch = r#"[{"op":"upsert","set":"orders","node":{"number":1}}]"#;
    assert_eq!(http.post("/batch", batch).await.json()["changed"], 1);
    assert_eq!(http.get("/metrics", None).await.status, 200);
    let event = r#"{"path":"news","eventType":"posted","data":{}}"#;
    assert_eq!(http.post("/events", event).await.status, 200);
    let stock = r#"{"path":"jobs","eventType":"jobStarted","data":{}}"#;
    assert_eq!(
        http.post("/events", stock).await.status,
        422,
        "declared resources come in place of the stock"
    );
}

#[tokio::test]
async fn two_servers_cannot_have_one_address() {
    let server = Server::start("");
    let (ok, _, stderr) = run(&["serve", "--listen", &server.address, "--token", "a=b"]);
    assert!(!ok && stderr.contains(&format!("cannot listen on {}", server.address)), "{stderr}");
    assert!(
        stderr.contains("another program listens there") && stderr.contains("--listen 127.0.0.1:"),
        "{stderr}"
    );
    let (ok, _, stderr) = run(&["demo", "--listen", &server.address]);
    assert!(!ok && stderr.contains("another program listens there"), "{stderr}");
    let (ok, _, stderr) = run(&["serve", "--listen", "192.0.2.1:8080", "--token", "a=b"]);
    assert!(!ok && stderr.contains("this machine has no such address"), "{stderr}");
}

#[cfg(not(feature = "store"))]
#[test]
fn whoever_asks_for_a_store_that_was_not_built_in_is_told_how_to_build_it() {
    for args in [&["demo", "--listen", "127.0.0.1:0", "--data", "shop.db"][..], &["backup", "a.db", "b.db"]] {
        let (ok, stdout, stderr) = run(args);
        let expected = "this program was built without the store; build it with `--features store`";
        assert!(!ok && stdout.is_empty() && stderr.contains(expected), "{stdout}{stderr}");
    }
    let error = refused(&format!("{TOKENS}[store]\npath = \"a.db\"\n"), &[], &[]);
    assert!(error.contains(":3:1: store: ") && error.contains("--features store"), "{error}");
}

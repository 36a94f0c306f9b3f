//! `liveset watch` against `liveset serve`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};

use serde_json::{Value, json};

use crate::support::http::Http;
use crate::support::{self, PATIENCE, Server, TOKEN, liveset, run};

const CONFIG: &str = "[[set]]\nname = \"orders\"\n[[set]]\nname = \"skus\"\nkey = \"sku\"\n";

struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(address: &str, more: &[&str]) -> Watch {
        let url = format!("ws://{address}/ws");
        let mut child = liveset(&["watch", &url, "--token", TOKEN])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Watch { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.line()).expect("a line is a JSON message")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn upsert(http: &mut Http, node: &str) {
    let batch = format!(r#"[{{"op":"upsert","set":"orders","node":{node}}}]"#);
    assert_eq!(http.post("/batch", &batch).await.status, 200);
}

#[tokio::test]
async fn json_is_one_line_per_message() {
    let server = Server::start(CONFIG);
    let mut http = Http::connect(&server.address).await;
    upsert(&mut http, "{\"id\":\"a\",\n \"status\":\"open\",\"total\":1.10}").await;
    let watch = Watch::start(
        &server.address,
        &[
            "--json",
            "--set",
            "orders",
            "--filter",
            "status == 'open'",
            "--order-by",
            "total desc",
            "--limit",
            "2",
            "--fields",
            "total,status",
        ],
    );
    let created = watch.json();
    assert_eq!(
        (&created["type"], &created["totalCount"]),
        (&json!("liveQueryCreated"), &json!(1)),
        "{created}"
    );
    let data = watch.line();
    assert!(data.contains(r#""data":[{"id":"a","status":"open","total":1.10}]"#), "{data}");

    upsert(&mut http, r#"{"id":"b","status":"open","total":5,"more":true}"#).await;
    let added = watch.json();
    assert_eq!(
        (&added["type"], &added["nodeId"], &added["index"]),
        (&json!("liveQueryAddedNode"), &json!("b"), &json!(0))
    );
    assert_eq!(added["data"], json!({ "id": "b", "status": "open", "total": 5 }));
    assert_eq!(watch.json()["type"], "liveQueryCount");
    upsert(&mut http, r#"{"id":"a","status":"closed","total":1}"#).await;
    assert_eq!(watch.json()["type"], "liveQueryRemovedNode");
}

#[tokio::test]
async fn the_table_follows_the_result() {
    let server = Server::start(CONFIG);
    let mut http = Http::connect(&server.address).await;
    let watch = Watch::start(&server.address, &["--set", "orders", "--order-by", "total"]);
    let table = || {
        let mut lines = Vec::new();
        loop {
            match watch.line() {
                line if line.is_empty() => return lines,
                line => lines.push(line),
            }
        }
    };
    assert_eq!(table(), ["orders by total", "0 of 0 rows"]);
    upsert(&mut http, r#"{"id":"b","total":5}"#).await;
    assert_eq!(table(), ["orders by total", "  id  total", "+ b   5", "1 of 1 rows"]);
    assert_eq!(http.post("/batch", r#"[{"op":"remove","set":"orders","id":"b"}]"#).await.status, 200);
    assert_eq!(table(), ["orders by total", "0 of 0 rows, 1 removed"]);
}

#[tokio::test]
async fn the_key_the_order_and_the_filter_come_first() {
    let server = Server::start(CONFIG);
    let mut http = Http::connect(&server.address).await;
    upsert(&mut http, r#"{"note":"東京","carrier":{"name":"AA"},"delay":7,"id":"a","open":true}"#).await;
    let query =
        ["--set", "orders", "--order-by", "delay desc, id", "--filter", "carrier.name == 'AA' and delay > 1"];
    let watch = Watch::start(&server.address, &query);
    let table: Vec<_> = (0..4).map(|_| watch.line()).collect();
    assert_eq!(
        table[1..],
        [
            "  id  delay  carrier.name  note  carrier        open",
            "  a   7      AA            東京  {\"name\":\"AA\"}  true",
            "1 of 1 rows"
        ]
    );
}

#[tokio::test]
async fn parameters_have_values() {
    let server = Server::start(CONFIG);
    let mut http = Http::connect(&server.address).await;
    upsert(&mut http, r#"{"id":"a","name":"o'hara","delay":7}"#).await;
    upsert(&mut http, r#"{"id":"b","name":"7","delay":3}"#).await;
    let filter = ["--set", "orders", "--filter", "delay in $delays and name == $name"];
    let params = ["--param", "delays=[7, 8]", "--param", "name=o'hara"];
    let watch = Watch::start(&server.address, &[&filter[..], &params].concat());
    let table: Vec<_> = (0..4).map(|_| watch.line()).collect();
    assert_eq!(table[1..], ["  id  delay  name", "  a   7      o'hara", "1 of 1 rows"]);

    let url = format!("ws://{}/ws", server.address);
    let refused = |param: &str| {
        let args = [&["watch", &url, "--token", TOKEN][..], &filter, &["--param", param]].concat();
        run(&args).2
    };
    assert!(refused("delays").contains("expected a name, '=' and a value"));
    assert!(refused("delays={}").contains("must be a string, a number"));
    assert!(refused("delays=[7]").contains("found $name, expected a name that 'params' has a value for"));
}

/// Answers whatever comes with this, and hangs up. Returns its address.
fn answers(answer: &'static [u8]) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        }
    });
    address
}

#[tokio::test]
async fn what_no_retry_cures_ends_it_with_a_sentence() {
    let server = Server::start(CONFIG);
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates/authority.pem");
    let page = answers(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    let mail = answers(b"220 mail.example ESMTP\r\n");
    // What a server with TLS says to whom it does not understand.
    let tls = answers(b"\x15\x03\x03\x00\x02\x02\x32");
    for (url, expected) in [
        (format!("ws://{}/live", server.address), vec!["/live/ws: no WebSocket is there", "404 Not Found"]),
        (format!("ws://{page}/ws"), vec!["no WebSocket is there", "200 OK"]),
        (format!("ws://{mail}/ws"), vec!["does not speak HTTP"]),
        (format!("ws://{tls}/ws"), vec!["does not speak HTTP", "wss://"]),
        (format!("wss://{}/ws", server.address), vec!["no TLS there", "ws://"]),
    ] {
        let (ok, stdout, stderr) =
            run(&["watch", &url, "--token", TOKEN, "--set", "orders", "--ca", authority]);
        let address = url.trim_end_matches("/ws");
        assert!(!ok && stderr.starts_with(&format!("error: {address}")), "{url}: {stdout}{stderr}");
        for expected in expected {
            assert!(stderr.contains(expected), "{url} should say {expected}: {stderr}");
        }
        assert!(!stderr.contains(TOKEN) && stderr.lines().count() == 1, "{stderr}");
    }
}

#[tokio::test]
async fn a_server_that_may_come_is_waited_for_by_its_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let away = taken.local_addr().unwrap().to_string();
    drop(taken);
    let busy = answers(
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 40\r\n\r\n{\"code\":\"OVERLOADED\",\"message\":\"later\"} ",
    );
    for (address, reason) in [(away, "refused"), (busy, "503 Service Unavailable (OVERLOADED: later)")] {
        let url = format!("ws://{address}/ws");
        let mut child = liveset(&["watch", &url, "--token", TOKEN, "--set", "orders"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let (first, second) = (said.next().unwrap().unwrap(), said.next().unwrap().unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        for line in [first, second] {
            assert!(line.starts_with(&format!("{url}: ")) && line.contains("; trying again in "), "{line}");
            assert!(line.contains(reason), "{line}");
        }
    }
}

#[tokio::test]
async fn a_bad_query_is_underlined() {
    let server = Server::start(CONFIG);
    let url = format!("ws://{}/ws", server.address);
    let watch = |more: &[&str]| {
        let (ok, stdout, stderr) = run(&[&["watch", &url, "--token", TOKEN], more].concat());
        assert!(!ok, "{stdout}");
        stderr
    };
    let error = watch(&["--set", "orders", "--filter", "status = 'open'"]);
    assert!(error.contains("INVALID_QUERY: filter, line 1, column 8"), "{error}");
    assert!(error.ends_with("  status = 'open'\n         ^\n"), "{error}");
    let error = watch(&["--set", "orders", "--order-by", "total upward"]);
    assert!(error.ends_with("  total upward\n        ^\n"), "{error}");
    let error = watch(&["--set", "order"]);
    assert!(error.contains("unknown edge 'order'"), "{error}");
    let (ok, _, stderr) = run(&["watch", &url, "--token", "nonsense", "--set", "orders"]);
    assert!(!ok && stderr.contains("AUTH_FAILED") && !stderr.contains("nonsense"), "{stderr}");
}

#[tokio::test]
async fn a_key_of_another_name_is_known() {
    let server = Server::start(CONFIG);
    let mut http = Http::connect(&server.address).await;
    assert_eq!(http.post("/batch", r#"[{"op":"upsert","set":"skus","node":{"sku":7}}]"#).await.status, 200);
    let watch = Watch::start(&server.address, &["--json", "--set", "skus"]);
    assert_eq!(watch.json()["key"], "sku");
    assert_eq!(watch.json()["data"], json!([{ "sku": 7 }]));
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let server = Server::start(CONFIG);
    let address = server.address.clone();
    let watch = Watch::start(&address, &["--json", "--set", "orders"]);
    assert_eq!(watch.json()["type"], "liveQueryCreated");
    assert_eq!(watch.json()["type"], "liveQueryData");
    drop(server);
    let server = Server::start_with(CONFIG, &[], &["--listen", &address]);
    let mut http = Http::connect(&server.address).await;
    upsert(&mut http, r#"{"id":"a"}"#).await;
    // A new server does not know the old one's versions, so it begins anew.
    assert_eq!(watch.json()["type"], "liveQueryCreated");
    loop {
        let message = watch.json();
        if message["data"] == json!([{ "id": "a" }]) || message["nodeId"] == "a" {
            break;
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn it_ends_when_asked() {
    let server = Server::start(CONFIG);
    for name in ["INT", "TERM"] {
        let mut watch = Watch::start(&server.address, &["--json", "--set", "orders"]);
        watch.json();
        support::signal(watch.child.id(), name);
        assert!(support::wait(&mut watch.child).success(), "{name}");
    }
}

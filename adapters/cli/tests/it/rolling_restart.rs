//! Two servers behind a balancer are replaced one after the other, while clients watch and a writer writes: nobody is told anything but
//! to go away and come back, nobody is sent a row again that they have, and everybody has the truth.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use crate::support::http::Http;
use crate::support::metrics::Metrics;
use crate::support::ws::{Came, Ws};
use crate::support::{Server, TOKEN};

const CLIENTS: usize = 30;
/// So many rows are never written again; their ids begin with an `s`.
const STILL: usize = 200;
const CONFIG: &str =
    "[[set]]\nname = \"orders\"\nload = \"orders.ndjson\"\n[limits.drain]\nwait = \"3s\"\nspread = \"1s\"\n";
/// As often the balancer asks who is ready.
const LOOKS: Duration = Duration::from_millis(50);

fn start(rows: &[u8]) -> Server {
    Server::start_with(CONFIG, &[("orders.ndjson", rows)], &[])
}

/// The status of an answer; nothing where there is none.
async fn status(address: &str, request: String) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8(answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

/// What a balancer does: sends each connection to the next server of those that said they were ready.
async fn balance(listener: TcpListener, servers: Arc<Mutex<Vec<String>>>) {
    let ready: Arc<Mutex<Vec<String>>> = Arc::default();
    tokio::spawn({
        let ready = Arc::clone(&ready);
        async move {
            loop {
                let mut found = Vec::new();
                let all = servers.lock().await.clone();
                for address in all {
                    let ask = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
                    if status(&address, ask).await == Some(200) {
                        found.push(address);
                    }
                }
                *ready.lock().await = found;
                tokio::time::sleep(LOOKS).await;
            }
        }
    });
    let mut turn = 0;
    loop {
        let (mut client, _) = listener.accept().await.expect("the balancer accepts");
        // One that has gone since it was asked is left out, as by any balancer.
        let mut server = loop {
            let ready = ready.lock().await.clone();
            turn += 1;
            if let Some(address) = ready.get(turn % ready.len().max(1))
                && let Ok(server) = TcpStream::connect(address).await
            {
                break server;
            }
            tokio::time::sleep(LOOKS).await;
        };
        tokio::spawn(async move {
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

/// The rows of a live query with their etags, by id, over any number of connections.
#[derive(Default)]
struct Held(BTreeMap<String, (Value, String)>);

impl Held {
    /// Asks for the live query on a connection of its own: for all rows the first time, then for what has changed.
    async fn open(&mut self, address: &str) -> Ws {
        let mut ws = Ws::open(address).await;
        let mut create = json!({ "type": "createLiveQuery", "id": "q", "query": { "edge": "orders" } });
        create["options"] = json!({ "resume": true });
        if self.0.is_empty() {
            assert_eq!(ws.ask(create).await["type"], "liveQueryCreated");
            return ws;
        }
        let (ids, etags): (Vec<_>, Vec<_>) = self.0.iter().map(|(id, (_, etag))| (id.clone(), etag)).unzip();
        create["have"] = json!(etags);
        let resumed = ws.ask(create).await;
        assert_eq!(resumed["type"], "liveQueryResumed", "{resumed}");
        for place in resumed["drop"].as_array().expect("places") {
            self.0.remove(&ids[place.as_u64().expect("a place") as usize]).expect("each is dropped once");
        }
        ws
    }

    /// Takes a message, which must tell something that is new.
    fn take(&mut self, message: &Value) {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (kind, id) = (message["type"].as_str().unwrap_or_default(), || text(&message["nodeId"]));
        let is_new = match kind {
            "liveQueryData" => {
                let rows = message["data"].as_array().expect("rows").iter();
                rows.zip(message["etags"].as_array().expect("etags")).all(|(row, etag)| {
                    let id = row["id"].as_str().map_or_else(|| row["id"].to_string(), str::to_owned);
                    self.0.insert(id, (row.clone(), text(etag))).is_none()
                })
            }
            "liveQueryRemovedNode" => self.0.remove(&id()).is_some(),
            "liveQueryAddedNode" | "liveQueryUpdatedNode" => {
                let etag = text(&message["etag"]);
                let before = self.0.insert(id(), (message["data"].clone(), etag.clone()));
                let is_known = before.is_some() == (kind == "liveQueryUpdatedNode");
                is_known && before.is_none_or(|(_, before)| before != etag) && !id().starts_with('s')
            }
            _ => panic!("{message}"),
        };
        assert!(is_new, "it has that already, or never had it: {message}");
    }
}

/// Watches until the last row comes, over as many connections as it takes.
async fn follow(address: String, moves: Arc<AtomicUsize>) -> BTreeMap<String, Value> {
    let mut held = Held::default();
    loop {
        let mut ws = held.open(&address).await;
        loop {
            if held.0.contains_key("last") {
                return held.0.into_iter().map(|(id, (row, _))| (id, row)).collect();
            }
            match ws.came().await {
                Came::Message(message) => held.take(&message),
                Came::Closed(code) => {
                    assert_eq!(code, 1001);
                    moves.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
        }
    }
}

/// Commits to every server, so that all have the same.
struct Writer {
    n: usize,
    rows: BTreeMap<String, Value>,
}

impl Writer {
    /// One more commit. Those that are `leaving` may be gone.
    async fn commit(&mut self, servers: &[String], leaving: Option<&str>) {
        self.n += 1;
        let (put, gone) = (self.n % 20, (self.n * 7) % 20);
        let mut ops = vec![json!({ "op": "upsert", "set": "orders", "node": { "id": put, "n": self.n } })];
        self.rows.insert(put.to_string(), json!({ "id": put, "n": self.n }));
        if gone != put {
            ops.push(json!({ "op": "remove", "set": "orders", "id": gone }));
            self.rows.remove(&gone.to_string());
        }
        self.send(servers, leaving, &json!(ops)).await;
    }

    async fn send(&self, servers: &[String], leaving: Option<&str>, ops: &Value) {
        let body = ops.to_string();
        for address in servers {
            let request = format!(
                "POST /batch HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            let status = status(address, request).await;
            assert!(status == Some(200) || leaving == Some(address), "{address}: {status:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_are_replaced_and_nobody_is_told_more_than_to_come_back() {
    let still = (0..STILL).map(|n| json!({ "id": format!("s{n}"), "n": n }));
    let rows: BTreeMap<_, _> = still.map(|row| (row["id"].as_str().unwrap().to_owned(), row)).collect();
    let lines: String = rows.values().map(|row| format!("{row}\n")).collect();
    let mut running = [start(lines.as_bytes()), start(lines.as_bytes())];
    let servers =
        Arc::new(Mutex::new(running.iter().map(|server| server.address.clone()).collect::<Vec<_>>()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let balancing = tokio::spawn(balance(listener, Arc::clone(&servers)));
    let moves = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> =
        (0..CLIENTS).map(|_| tokio::spawn(follow(address.clone(), Arc::clone(&moves)))).collect();

    let mut writer = Writer { n: 0, rows };
    let connected = async || {
        let mut open = 0;
        for address in servers.lock().await.iter() {
            open += Metrics::read(address).await.value("liveset_live_queries");
        }
        open as usize
    };
    while connected().await < CLIENTS {
        writer.commit(&servers.lock().await.clone(), None).await;
    }
    for place in 0..2 {
        let leaving = running[place].address.clone();
        running[place].signal("TERM");
        // It is written to as long as it takes it.
        while !running[place].has_ended() {
            writer.commit(&servers.lock().await.clone(), Some(&leaving)).await;
        }
        assert!(running[place].wait().success());
        // The new one begins with what the other has, before anything else is written.
        let other = &running[1 - place].address;
        let rows = Http::connect(other).await.get("/sets/orders", Some(TOKEN)).await;
        assert_eq!(rows.status, 200);
        running[place] = start(&rows.body);
        servers.lock().await[place] = running[place].address.clone();
        for _ in 0..20 {
            writer.commit(&servers.lock().await.clone(), None).await;
        }
    }
    let last = json!({ "id": "last" });
    writer.rows.insert("last".into(), last.clone());
    let ops = json!([{ "op": "upsert", "set": "orders", "node": last }]);
    writer.send(&servers.lock().await.clone(), None, &ops).await;
    for client in clients {
        assert_eq!(client.await.expect("it saw no error"), writer.rows);
    }
    balancing.abort();
    assert!(moves.load(Ordering::Relaxed) >= CLIENTS, "{moves:?}: each was sent away once at least");
}

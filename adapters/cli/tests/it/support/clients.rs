//! Clients in a process of their own, which can be killed, or run elsewhere: the test binary again, as one of its tests.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::ws::{Came, Ws};
use super::{PATIENCE, wait};

/// Tells the other process what to do, as JSON; without it there is nothing to do.
const ORDERS: &str = "TEST_CLIENTS";

/// What the process says when a client was sent a ping.
pub const PINGED: &str = "a client was pinged";
const READY: &str = "all clients are ready";

/// So many clients to the server at `address`, each with these live queries.
pub struct Clients {
    child: Child,
    said: Receiver<String>,
}

impl Clients {
    /// Starts the process and waits until all its clients have their first rows. The test `test` of this binary must
    /// call [`obey`]. `through` is a program and its first arguments that run the process, or nothing.
    pub fn start(test: &str, through: &[&str], address: &str, count: usize, queries: &[Value]) -> Clients {
        let binary = std::env::current_exe().expect("this program");
        let mut words = through.iter().map(std::ffi::OsStr::new).chain([binary.as_os_str()]);
        let mut child = Command::new(words.next().expect("a program"))
            .args(words)
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env(ORDERS, json!({ "address": address, "count": count, "queries": queries }).to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the clients start");
        let (say, said) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| say.send(line)));
        let clients = Clients { child, said };
        clients.wait_for(READY);
        clients
    }

    /// Waits until the process says this once more.
    pub fn wait_for(&self, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left) {
                Ok(said) if said == line => return,
                Ok(_) => {}
                Err(error) => panic!("the clients never said {line:?}: {error}"),
            }
        }
    }

    /// SIGKILL: nobody says goodbye.
    pub fn kill(&mut self) {
        self.child.kill().expect("the process can be killed");
        wait(&mut self.child);
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the other process does: connects, creates the live queries, says so, and then reads for as long as it lives.
pub async fn obey() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let orders: Value = serde_json::from_str(&orders).expect("JSON");
    let address = orders["address"].as_str().expect("an address");
    let queries = orders["queries"].as_array().expect("queries");
    let mut clients = Vec::new();
    for _ in 0..orders["count"].as_u64().expect("a count") {
        let mut ws = Ws::open(address).await;
        for (n, query) in queries.iter().enumerate() {
            ws.create(&format!("q{n}"), query).await;
        }
        clients.push(ws);
    }
    println!("{READY}");
    join_all(clients.into_iter().map(read_for_ever)).await;
}

async fn read_for_ever(mut ws: Ws) {
    loop {
        match ws.came_whenever().await {
            Came::Message(message) if message["type"] == "ping" => {
                ws.send(json!({ "type": "pong" })).await;
                println!("{PINGED}");
            }
            Came::Message(_) => {}
            Came::Closed(code) => panic!("closed with {code}"),
        }
    }
}

impl Ws {
    /// Creates a live query and gives its first rows. Pings are answered, diffs of other queries passed over.
    pub async fn create(&mut self, id: &str, query: &Value) -> Vec<Value> {
        self.send(json!({ "type": "createLiveQuery", "id": id, "query": query })).await;
        let mut rows = Vec::new();
        loop {
            let message = self.next().await;
            if message["type"] == "ping" {
                self.send(json!({ "type": "pong" })).await;
            }
            if message["id"] != id {
                continue;
            }
            rows.extend(message["data"].as_array().into_iter().flatten().cloned());
            match message["type"].as_str() {
                Some("liveQueryCreated") => {}
                Some("liveQueryData") if message["hasMore"] == true => {}
                Some("liveQueryData") => return rows,
                _ => panic!("{message}"),
            }
        }
    }
}

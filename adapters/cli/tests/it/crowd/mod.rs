//! One honest client among fifty hostile connections of all kinds, over real sockets, with all limits at their defaults.
//!
//! The service is a process of its own. What is asserted is counted: the inputs that are taken between a commit and the honest client's
//! diffs, the steps of work in that time, the memory of the service, and what the honest client shows in the end. How long it took is
//! printed.
//!
//! ```text
//! cargo test -p liveset-cli --test it crowd:: -- --nocapture
//! ```
#![cfg(target_os = "linux")]
#![allow(unreachable_pub, reason = "a test has no outside")]

mod data;
mod hostile;
mod service;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::PATIENCE;
use crate::support::http::Http;
use crate::support::metrics::Metrics;
use crate::support::raw::Raw;
use data::{Orders, shown};
use hostile::Kind;
use service::HOLD_STEPS;

/// Of the honest client and of each hostile one.
const HONEST: &str = "honest";
/// Commits, before the others come and among them.
const COMMITS: usize = 25;
/// Hostile connections of each kind.
const OF_EACH: usize = 4;
const MOST_MEMORY: u64 = 512 * 1024 * 1024;

/// What lay between one commit and the honest client's diffs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Delay {
    steps: u64,
    holds: u64,
    time: Duration,
}

#[derive(Debug)]
struct Measured(Vec<Delay>);

impl Measured {
    fn most_holds(&self) -> u64 {
        self.0.iter().map(|delay| delay.holds).max().expect("delays")
    }

    fn at<T: Ord + Copy>(&self, percent: usize, of: impl Fn(&Delay) -> T) -> T {
        let mut all: Vec<T> = self.0.iter().map(of).collect();
        all.sort_unstable();
        all[(all.len() * percent).div_ceil(100).max(1) - 1]
    }

    fn print(&self, when: &str) {
        let steps = |percent| self.at(percent, |delay| delay.steps);
        let time = |percent| self.at(percent, |delay| delay.time);
        eprintln!(
            "{when}: at most {} inputs between; steps {} (p50) {} (p99); {:?} (p50) {:?} (p99)",
            self.most_holds(),
            steps(50),
            steps(99),
            time(50),
            time(99)
        );
    }
}

/// The honest client, and the writer.
struct Honest {
    raw: Raw,
    query: Value,
    rows: Vec<Value>,
    address: String,
}

impl Honest {
    async fn connect(address: &str, query: Value) -> Honest {
        let mut raw = Raw::connect(address).await;
        raw.authenticate(HONEST).await;
        raw.send_json(&json!({ "type": "createLiveQuery", "id": "q", "query": query })).await;
        let mut rows = Vec::new();
        loop {
            let message = raw.receive_json().await;
            match message["type"].as_str() {
                Some("liveQueryCreated") => {}
                Some("liveQueryData") => {
                    rows.extend(message["data"].as_array().expect("rows").iter().cloned());
                    if message["hasMore"] == false {
                        break;
                    }
                }
                _ => panic!("{message}"),
            }
        }
        Honest { raw, query, rows, address: address.to_owned() }
    }

    /// Takes the next message.
    async fn take(&mut self) {
        let message = self.raw.receive_json().await;
        let node = message["nodeId"].as_str().and_then(|id| id.parse::<u64>().ok());
        let is = |row: &Value| row["id"].as_u64() == node;
        match message["type"].as_str() {
            Some("liveQueryRemovedNode") => self.rows.retain(|row| !is(row)),
            Some("liveQueryAddedNode" | "liveQueryUpdatedNode") => {
                self.rows.retain(|row| !is(row));
                self.rows.push(message["data"].clone());
            }
            Some("ping") => self.raw.send_json(&json!({ "type": "pong" })).await,
            _ => panic!("{message}"),
        }
    }

    /// Takes messages until something else is done: a ping is answered however long an answer over HTTP takes.
    async fn reads_during<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        let mut first = [0];
        loop {
            tokio::select! {
                done = &mut other => return done,
                arrived = self.raw.stream.peek(&mut first) => {
                    assert!(arrived.is_ok_and(|bytes| bytes > 0), "it was cut off");
                    self.take().await;
                }
            }
        }
    }

    /// Commits, and waits for the diff of one order that is the newest in the query's result.
    async fn commit(&mut self, orders: &mut Orders) -> Delay {
        let (ops, newest) = orders.next_commit();
        let began = Instant::now();
        let (address, ops) = (self.address.clone(), ops.to_string());
        // A connection that rests for long is closed.
        let answer =
            self.reads_during(async { Http::connect(&address).await.post("/batch", &ops).await }).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        while !self.rows.contains(&newest) {
            self.take().await;
        }
        let time = began.elapsed();
        let asked = format!("/delay/{HONEST}");
        let ask = async {
            loop {
                let answer = Http::connect(&address).await.get(&asked, None).await;
                // Hostile connections may have taken all room for handshakes.
                if answer.status != 503 {
                    return answer;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let delay = self.reads_during(ask).await.json();
        let number = |name: &str| delay[name].as_u64().unwrap_or_else(|| panic!("no {name} in {delay}"));
        Delay { holds: number("holds"), steps: number("steps"), time }
    }

    async fn commits(&mut self, orders: &mut Orders) -> Measured {
        let mut all = Vec::new();
        for _ in 0..COMMITS {
            all.push(self.commit(orders).await);
            // Nothing waits for this: others have time to act.
            sleep(Duration::from_millis(30)).await;
        }
        Measured(all)
    }

    /// What it shows is what the orders say, once everything has come.
    async fn shows(&mut self, orders: &Orders) {
        let expected = shown(orders, &self.query);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut rows = self.rows.clone();
            rows.sort_by_key(|row| row["id"].as_u64());
            if rows == expected {
                return;
            }
            assert!(Instant::now() < deadline, "it shows {} rows, not {}", rows.len(), expected.len());
            self.take().await;
        }
    }
}

/// A client whose query an index finds, and one whose query is tried on every change.
async fn among_hostile(query: Value) {
    let server = service::start();
    let mut orders = Orders::default();
    let mut writer = Http::connect(&server.address).await;
    for ops in orders.load() {
        let answer = writer.post("/batch", &ops.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let mut honest = Honest::connect(&server.address, query).await;
    let quiet = honest.commits(&mut orders).await;
    quiet.print("quiet");

    let over = Arc::new(AtomicBool::new(false));
    let crowd: Vec<_> = Kind::ALL
        .into_iter()
        .flat_map(|kind| (0..OF_EACH).map(move |number| (kind, number)))
        .map(|(kind, number)| {
            let (address, over) = (server.address.clone(), over.clone());
            (kind, tokio::spawn(async move { kind.attack(&address, number, &over).await }))
        })
        .collect();
    assert!(crowd.len() >= 50, "{}", crowd.len());
    // What they keep is there before it is measured.
    sleep(Duration::from_secs(3)).await;
    let hostile = honest.commits(&mut orders).await;
    hostile.print("among hostile connections");
    let memory = hardest_memory(server.pid());
    let metrics = Metrics::read(&server.address).await;
    over.store(true, Ordering::Relaxed);
    for (kind, attack) in crowd {
        let acted = attack.await.expect("an attack");
        eprintln!("{kind:?}: {acted}");
        assert!(acted > 0, "{kind:?} did something");
    }
    honest.shows(&orders).await;
    let is_told = |line: &&str| {
        let names = ["liveset_hold_steps_max", "liveset_limit_refusals_total", "liveset_diff_delay"];
        names.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0")
    };
    metrics.text().lines().filter(is_told).for_each(|line| eprintln!("{line}"));

    assert!(hostile.most_holds() <= 10, "{} inputs of others between", hostile.most_holds());
    // Before its diffs leave, a commit spends half of what it takes by itself on queries of others that no index finds, and leaves the
    // rest of them in one step.
    for percent in [50, 99] {
        let [quiet, among] = [&quiet, &hostile].map(|measured| measured.at(percent, |delay| delay.steps));
        // What was taken before it has a hold each.
        let most = 2 * quiet + hostile.most_holds() * HOLD_STEPS;
        assert!(among <= most, "p{percent}: {among} steps between, where {most} are promised");
    }
    eprintln!("memory: {} MiB", memory / 1024 / 1024);
    assert!(memory < MOST_MEMORY, "{memory} bytes");
}

/// The most memory that a process ever had.
fn hardest_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_query_that_an_index_finds() {
    let query =
        json!({ "edge": "orders", "filter": "status == 'open'", "orderBy": "total desc", "limit": 50 });
    among_hostile(query).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_query_that_every_change_is_tried_on() {
    let query =
        json!({ "edge": "orders", "filter": "status != 'closed'", "orderBy": "total desc", "limit": 50 });
    among_hostile(query).await;
}

/// Not a test: the service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the server of the tests"]
async fn host() {
    service::serve().await;
}

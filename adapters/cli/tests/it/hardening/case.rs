//! One row: a server under attack, and a bystander who must not notice.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};

use super::table::{Line, Row};
use crate::support::metrics::Metrics;
use crate::support::ws::{Came, Ws};
use crate::support::{PATIENCE, Server, TOKEN, liveset};

/// Stands in every token, filter and node of an attack that is nobody's business: never in the log.
pub const SECRET: &str = "s3cret";

/// How far resident memory may grow over the repetitions after the first: what an allocator keeps for itself that was told to keep
/// little.
pub const SLACK: u64 = 2 << 20;

/// Has a server give back what it does not hold: by itself glibc keeps an arena for each thread, and raises what it keeps with the
/// largest block that was ever freed, so that resident memory would say more about the threads' luck than about the server.
pub fn lean(mut command: Command) -> Command {
    command
        .env("MALLOC_ARENA_MAX", "1")
        .env("MALLOC_TRIM_THRESHOLD_", "0")
        .env("MALLOC_MMAP_THRESHOLD_", "65536");
    command
}

fn serve() -> Command {
    lean(liveset(&["serve", "--config"]))
}

/// What the server holds for its connections: the same after an attack as before.
const HELD: [&str; 14] = [
    "liveset_connections",
    "liveset_subscriptions",
    "liveset_live_queries",
    "liveset_feeds",
    "liveset_waiting",
    "liveset_engine_views",
    "liveset_engine_feeds",
    "liveset_engine_deadlines",
    "liveset_answers_waiting",
    "liveset_events_waiting",
    "liveset_changes_waiting_bytes",
    "liveset_initial_bytes_waiting",
    "liveset_stalled_connections",
    "liveset_http_handshakes",
];

/// Those who may be connected when nobody attacks: the bystander, its writer, and who reads the metrics.
const GUESTS: u64 = 3;

/// Everything that happens is logged, and the bystander has a set of its own.
fn config(config: &str) -> String {
    format!(
        "log = \"info,liveset=debug,liveset_server=debug\"\n{config}\n[[set]]\nname = \"bystander\"\n[[set]]\nname = \"orders\"\n"
    )
}

/// A server under attack.
pub struct Case {
    row: Row,
    pub server: Server,
    pub address: String,
    bystander: Bystander,
    /// Before the attack.
    held: [u64; HELD.len()],
    /// How long the log was.
    logged_before: usize,
    counted: Metrics,
    served: u32,
    may_panic: bool,
    metrics: Vec<String>,
    logs: Vec<String>,
    memory: Vec<String>,
}

impl Case {
    /// A server with this configuration, and the sets `orders` and `bystander`.
    pub async fn start(row: Row, more: &str) -> Case {
        Case::start_as(row, serve(), more).await
    }

    /// The same, with files beside the configuration.
    pub async fn start_with(row: Row, more: &str, files: &[(&str, &[u8])], args: &[&str]) -> Case {
        Case::over(row, Server::start_as(serve(), &config(more), files, args)).await
    }

    /// The same, with no more than so many descriptors from then on.
    pub async fn start_within(row: Row, descriptors: u64, more: &str) -> Case {
        let case = Case::start_as(row, lean(serve()), more).await;
        case.server.limit_files(descriptors);
        case
    }

    /// The same, by a command that ends where the name of the configuration's file belongs.
    pub async fn start_as(row: Row, command: Command, more: &str) -> Case {
        Case::over(row, Server::start_as(command, &config(more), &[], &[])).await
    }

    /// The same, with a bystander who is a page of this origin.
    pub async fn start_from(row: Row, more: &str, origin: &str) -> Case {
        let server = Server::start_as(serve(), &config(more), &[], &[]);
        let ws = Ws::connect_from(&server.address, origin).await;
        Case::beside(row, server, ws).await
    }

    /// Over a server that runs.
    pub async fn over(row: Row, server: Server) -> Case {
        let ws = Ws::connect(&server.address).await;
        Case::beside(row, server, ws).await
    }

    async fn beside(row: Row, server: Server, bystander: Ws) -> Case {
        let address = server.address.clone();
        let mut bystander = Bystander::join(&address, bystander).await;
        bystander.serve().await;
        // What it has caused is logged by then, most likely.
        let counted = Metrics::read(&address).await;
        let logged_before = server.log().len();
        Case {
            row,
            logged_before,
            server,
            address,
            bystander,
            held: counted.values(HELD),
            counted,
            served: 0,
            may_panic: false,
            metrics: Vec::new(),
            logs: Vec::new(),
            memory: Vec::new(),
        }
    }

    /// A commit is made, and the bystander is told of it and of nothing else. To be called in the middle of the attack.
    pub async fn served(&mut self) {
        self.bystander.serve().await;
        self.served += 1;
    }

    /// Attacks until nothing is new to the server any more, and then so many times again, over which resident memory must not grow by
    /// more than `slack`. After both, what is held is what was held before.
    pub async fn rounds(&mut self, rounds: u32, slack: u64, mut attack: impl AsyncFnMut(&mut Case)) {
        for _ in 0..rounds.div_ceil(2) {
            attack(self).await;
        }
        self.recovered().await;
        let mut grown = u64::MAX;
        // What leaks grows each time, what an allocator takes it has the next time.
        for _ in 0..3 {
            let before = self.resident();
            for _ in 0..rounds {
                attack(self).await;
            }
            self.recovered().await;
            grown = self.resident().saturating_sub(before);
            if grown <= slack {
                break;
            }
        }
        assert!(grown <= slack, "{} grew by {grown} bytes over {rounds} attacks", self.row.0);
        self.memory.push(format!("+{:.1} MB over {rounds} more", grown as f64 / 1e6));
    }

    /// Waits until the server holds what it held before the attack.
    pub async fn recovered(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metrics = Metrics::read(&self.address).await;
            let held = metrics.values(HELD);
            let guests = metrics.value("liveset_http_connections");
            if held == self.held && guests <= GUESTS {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{HELD:?} are {held:?}, not {:?}; {guests} connections",
                self.held
            );
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Resident memory of the server, in bytes.
    pub fn resident(&self) -> u64 {
        resident(self.server.pid())
    }

    /// By how much a metric has grown since the attack began; it has.
    pub async fn moved(&mut self, name: &str) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let by = Metrics::read(&self.address).await.value(name).saturating_sub(self.counted.value(name));
            if by > 0 {
                self.metrics.push(format!("`{name}` +{by}"));
                return by;
            }
            assert!(Instant::now() < deadline, "{name} stays as it was");
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// The attack was logged in these words, which the bystander does not cause.
    pub fn logged(&mut self, words: &str) {
        self.server.wait_for_log_after(self.logged_before, words);
        self.logs.push(words.to_owned());
    }

    /// The attack is one on code that panics.
    pub fn may_panic(&mut self) {
        self.may_panic = true;
    }

    /// Something about memory that the row has checked itself.
    pub fn memory(&mut self, what: String) {
        self.memory.push(what);
    }

    /// Something about metrics that the row has checked itself.
    pub fn metric(&mut self, what: String) {
        self.metrics.push(what);
    }

    /// What every row ends with: the bystander is served, all is freed, and log and metrics are quiet about what is secret.
    pub async fn finish(mut self, done: &str, came_back: &str) -> Line {
        self.bystander.serve().await;
        self.recovered().await;
        let metrics = Metrics::read(&self.address).await;
        for secret in [SECRET, TOKEN] {
            assert!(!metrics.text().contains(secret), "{secret} is in the metrics:\n{}", metrics.text());
        }
        self.closed(done, came_back)
    }

    /// The same, for a server that is gone.
    pub fn closed(self, done: &str, came_back: &str) -> Line {
        assert!(self.served > 0, "the bystander was not looked at in the middle");
        let log = self.server.log();
        for secret in [SECRET, TOKEN] {
            assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
        }
        assert!(self.may_panic || !log.contains("panicked at"), "a panic:\n{log}");
        assert!(!self.metrics.is_empty() && !self.logs.is_empty() && !self.memory.is_empty());
        let mut logs = String::new();
        for log in &self.logs {
            let _ = write!(logs, "{}“{log}”", if logs.is_empty() { "" } else { ", " });
        }
        Line {
            row: self.row,
            done: done.to_owned(),
            came_back: came_back.to_owned(),
            metric: self.metrics.join(", "),
            log: logs,
            bystander: format!("{} commits during it, each seen once and in order", self.served),
            memory: self.memory.join("; "),
        }
    }

    /// The bystander is gone with the server: the code that it was closed with.
    pub async fn bystander_closed(&mut self) -> u16 {
        match self.bystander.next().await {
            Some(Came::Closed(code)) => code,
            other => panic!("the bystander was not closed: {other:?}"),
        }
    }
}

/// A connection with a live query, which whatever others do must not disturb.
struct Bystander {
    came: UnboundedReceiver<Came>,
    writer: Writer,
    commits: u64,
}

impl Bystander {
    async fn join(address: &str, mut ws: Ws) -> Bystander {
        ws.authenticate().await;
        ws.create("bystander", &json!({ "edge": "bystander" })).await;
        let (say, came) = unbounded_channel();
        // It reads at all times, and answers pings.
        tokio::spawn(async move {
            loop {
                let came = ws.came_whenever().await;
                match &came {
                    Came::Message(message) if message["type"] == "ping" => {
                        ws.send(json!({ "type": "pong" })).await;
                        continue;
                    }
                    _ => {}
                }
                let ended = matches!(came, Came::Closed(_));
                if say.send(came).is_err() || ended {
                    return;
                }
            }
        });
        Bystander { came, writer: Writer { address: address.to_owned(), stream: None }, commits: 0 }
    }

    async fn next(&mut self) -> Option<Came> {
        timeout(PATIENCE, self.came.recv()).await.expect("the bystander is served in time")
    }

    async fn serve(&mut self) {
        assert!(
            self.came.is_empty(),
            "the bystander is told what it did not ask for: {:?}",
            self.next().await
        );
        self.commits += 1;
        let node = json!({ "id": "b", "n": self.commits });
        self.writer.commit(&json!([{ "op": "upsert", "set": "bystander", "node": node }])).await;
        let kind = if self.commits == 1 { "liveQueryAddedNode" } else { "liveQueryUpdatedNode" };
        let expected = json!({ "type": kind, "id": "bystander", "nodeId": "b", "data": node });
        match self.next().await {
            Some(Came::Message(message)) => assert_eq!(message, expected),
            other => panic!("the bystander was not served: {other:?}"),
        }
    }
}

/// Posts commits over a connection that is kept where the server lets it be.
pub struct Writer {
    address: String,
    stream: Option<TcpStream>,
}

impl Writer {
    pub fn new(address: &str) -> Writer {
        Writer { address: address.to_owned(), stream: None }
    }

    /// Commits; tries again over another connection where the one from before has ended, or the server is full.
    pub async fn commit(&mut self, ops: &Value) {
        let deadline = Instant::now() + PATIENCE;
        while timeout(PATIENCE, self.try_commit(&ops.to_string())).await.expect("an answer in time").is_none()
        {
            assert!(Instant::now() < deadline, "nothing can be committed");
            self.stream = None;
            sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    async fn try_commit(&mut self, body: &str) -> Option<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(TcpStream::connect(&self.address).await.ok()?),
        };
        let request = format!(
            "POST /batch HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        // The body of the answer is an object without objects in it.
        while answer.last() != Some(&b'}') {
            if stream.read_buf(&mut answer).await.ok()? == 0 {
                return None;
            }
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 503 "), "{answer}");
        answer.starts_with("HTTP/1.1 200 ").then_some(())
    }
}

/// Resident memory of a process, in bytes.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
}

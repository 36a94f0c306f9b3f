//! The hostile connections: whatever a client with a read-only token can do to make others wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use liveset_fuzz::frames::{TEXT, frame};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::{sleep, timeout};

use crate::support::TOKEN;
use crate::support::raw::upgrade;

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Long filters over lists, made and destroyed.
    SlowFilters,
    /// As many live queries as may be that every change has to be tried on.
    StandingQueries,
    /// Filters whose moments come soon, for all rows at once.
    FlipsSoon,
    /// Fields that nobody has named before.
    NewFields,
    /// Live queries that may be resumed, and then the connection is lost.
    ResumeStorm,
    /// Says who it is again and again, with many long live queries.
    Reauthentication,
    /// Dear queries over HTTP, given up at once.
    AbandonedQueries,
    /// Reads the metrics as fast as it can.
    Metrics,
    /// As many subscriptions as may be, with ids that are long when they are written.
    Subscriptions,
    /// Live queries over hundreds of fields.
    Columns,
    /// Long lists of texts, and the same ones in another order.
    Lists,
    /// The same over and over: objects that are compared, calendars that are stepped.
    Repetition,
    /// Prefixes and branches that begin alike.
    WideOr,
}

/// A connection that throws away what it is told.
struct Conn {
    writer: OwnedWriteHalf,
    acted: usize,
}

impl Conn {
    async fn open(address: &str, token: &str) -> Option<Conn> {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(upgrade(address, "").as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(timeout(Duration::from_secs(20), stream.read_u8()).await.ok()?.ok()?);
        }
        if !answer.starts_with(b"HTTP/1.1 101 ") {
            return None;
        }
        let (mut reader, writer) = stream.into_split();
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while reader.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        });
        let mut conn = Conn { writer, acted: 0 };
        conn.send(&json!({ "type": "auth", "token": token })).await?;
        Some(conn)
    }

    /// Nothing where the server has closed.
    async fn send(&mut self, message: &Value) -> Option<()> {
        let text = frame(true, TEXT, message.to_string().as_bytes());
        timeout(Duration::from_secs(20), self.writer.write_all(&text)).await.ok()?.ok()?;
        self.acted += 1;
        Some(())
    }

    async fn create(&mut self, id: &str, query: Value) -> Option<()> {
        self.send(&json!({ "type": "createLiveQuery", "id": id, "query": query })).await
    }

    async fn destroy(&mut self, id: &str) -> Option<()> {
        self.send(&json!({ "type": "destroyLiveQuery", "id": id })).await
    }
}

fn orders(filter: String) -> Value {
    json!({ "edge": "orders", "filter": filter, "limit": 1 })
}

fn numbers(from: i64, count: i64) -> String {
    (0..count).map(|n| (-from - n).to_string()).collect::<Vec<_>>().join(",")
}

/// About as fast as one connection may send for long.
const PACE: Duration = Duration::from_millis(12);

impl Kind {
    pub const ALL: [Kind; 13] = [
        Kind::SlowFilters,
        Kind::StandingQueries,
        Kind::FlipsSoon,
        Kind::NewFields,
        Kind::ResumeStorm,
        Kind::Reauthentication,
        Kind::AbandonedQueries,
        Kind::Metrics,
        Kind::Subscriptions,
        Kind::Columns,
        Kind::Lists,
        Kind::Repetition,
        Kind::WideOr,
    ];

    /// Goes on until it is over, anew where the server has closed. Tells what was done.
    pub async fn attack(self, address: &str, number: usize, over: &AtomicBool) -> usize {
        let mut acted = 0;
        let mut round = 0;
        while !over.load(Ordering::Relaxed) {
            round += 1;
            // Two subjects of each kind.
            let token = format!("hostile-{self:?}-{}", number % 2);
            acted += match self {
                Kind::AbandonedQueries => abandon(address, &token, round).await,
                Kind::Metrics => read_metrics(address, &token, over).await,
                _ => match Conn::open(address, &token).await {
                    Some(mut conn) => {
                        let _ = self.act(&mut conn, &token, number, round, over).await;
                        conn.acted
                    }
                    None => 0,
                },
            };
            sleep(PACE).await;
        }
        acted
    }

    async fn act(
        self,
        conn: &mut Conn,
        token: &str,
        number: usize,
        round: usize,
        over: &AtomicBool,
    ) -> Option<()> {
        // Nobody shares what it asks for.
        let own = 1_000_000 * number as i64 + 10_000 * round as i64;
        let is_over = || over.load(Ordering::Relaxed);
        match self {
            Kind::SlowFilters => {
                for n in 0.. {
                    let not =
                        |k: i64| format!("not (nums anyof [{}])", numbers(own + 10 * n + 1_000 * k, 900));
                    let query = orders(format!("{} and {}", not(1), not(2)));
                    conn.create("q", query).await?;
                    conn.destroy("q").await?;
                    sleep(2 * PACE).await;
                    if is_over() {
                        break;
                    }
                }
            }
            Kind::StandingQueries => {
                for n in 0..250 {
                    conn.create(&format!("q{n}"), orders(format!("total != {}", own + n))).await?;
                    sleep(PACE).await;
                }
                while !is_over() {
                    sleep(PACE).await;
                }
            }
            Kind::FlipsSoon => {
                for n in 0.. {
                    let born = 1_767_225_600_000_i64;
                    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
                    let ahead = now.as_millis() as i64 + 300 - born;
                    let soon: Vec<String> = (0..20)
                        .map(|k| format!("born + {} milliseconds <= now", ahead + 20 * k + own % 17))
                        .collect();
                    let filter = format!("nums anyof [{}] or {}", numbers(own + n, 900), soon.join(" or "));
                    conn.create(&format!("q{}", n % 20), orders(filter)).await?;
                    sleep(4 * PACE).await;
                    conn.destroy(&format!("q{}", (n + 1) % 20)).await?;
                    if is_over() {
                        break;
                    }
                }
            }
            Kind::NewFields => {
                for n in 0.. {
                    conn.create("q", orders(format!("never{} == 1 or total != 3", own + n))).await?;
                    conn.destroy("q").await?;
                    sleep(2 * PACE).await;
                    if is_over() {
                        break;
                    }
                }
            }
            Kind::ResumeStorm => {
                for n in 0..240 {
                    conn.send(&json!({
                        "type": "createLiveQuery",
                        "id": format!("q{n}"),
                        "query": orders(format!("total != {}", own + n)),
                        "options": { "resume": true },
                    }))
                    .await?;
                    if n % 60 == 0 {
                        sleep(20 * PACE).await;
                    }
                }
                sleep(20 * PACE).await;
            }
            Kind::Reauthentication => {
                for n in 0..240 {
                    let filter =
                        format!("customer == 'c{n}' and not (nums anyof [{}])", numbers(own + n, 60));
                    conn.create(&format!("q{n}"), orders(filter)).await?;
                    sleep(PACE).await;
                }
                while !is_over() {
                    conn.send(&json!({ "type": "auth", "token": token })).await?;
                    sleep(PACE).await;
                }
            }
            Kind::Subscriptions => {
                for n in 0..16 {
                    let subscriptions: Vec<Value> = (0..16)
                        .map(|k| {
                            let id = format!("{:04}{}", 16 * n + k, "\u{1}".repeat(124));
                            json!({ "id": id, "path": "jobs", "events": ["jobFailed"] })
                        })
                        .collect();
                    conn.send(&json!({ "type": "subscribeEvents", "subscriptions": subscriptions })).await?;
                    sleep(PACE).await;
                }
                let mut publisher = TcpStream::connect(conn.writer.peer_addr().ok()?).await.ok()?;
                let body = r#"{"path":"jobs/7","eventType":"jobFailed","data":1}"#;
                let event = format!(
                    "POST /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let mut answers = vec![0; 4096];
                while !is_over() {
                    publisher.write_all(event.as_bytes()).await.ok()?;
                    if publisher.read(&mut answers).await.ok()? == 0 {
                        return None;
                    }
                    sleep(PACE).await;
                }
            }
            Kind::Columns => {
                for n in 0.. {
                    let fields: Vec<String> = (0..254).map(|k| format!("f{}.{k} == 1", own + n)).collect();
                    conn.create("q", orders(fields.join(" or "))).await?;
                    sleep(4 * PACE).await;
                    conn.destroy("q").await?;
                    if is_over() {
                        break;
                    }
                }
            }
            Kind::Lists => {
                for n in 0.. {
                    let texts: Vec<String> = (0..385).map(|k| format!("'{:016}{}'", k, own + n)).collect();
                    conn.create(
                        &format!("q{}", n % 160),
                        orders(format!("customer in [{}]", texts.join(","))),
                    )
                    .await?;
                    sleep(2 * PACE).await;
                    conn.destroy(&format!("q{}", (n + 1) % 160)).await?;
                    if is_over() {
                        break;
                    }
                }
            }
            Kind::Repetition => {
                for n in 0.. {
                    let same = vec!["o == o"; 300].join(" and ");
                    let months: Vec<String> =
                        (0..300).map(|k| format!("born + {} months > now", 1 + (k + n) % 900)).collect();
                    let filter = match n % 2 {
                        0 => format!("{same} and total != {}", own + n),
                        _ => format!("total != {} and ({})", own + n, months.join(" or ")),
                    };
                    conn.create("q", orders(filter)).await?;
                    sleep(4 * PACE).await;
                    conn.destroy("q").await?;
                    if is_over() {
                        break;
                    }
                }
            }
            Kind::WideOr => {
                for n in 0.. {
                    let branches: Vec<String> = (0..300)
                        .map(|k| format!("note startswith 'nnnnnnnnnnnnnnnn{}'", own + n + k))
                        .collect();
                    conn.create("q", orders(branches.join(" or "))).await?;
                    sleep(4 * PACE).await;
                    conn.destroy("q").await?;
                    if is_over() {
                        break;
                    }
                }
            }
            Kind::AbandonedQueries | Kind::Metrics => {}
        }
        Some(())
    }
}

async fn abandon(address: &str, token: &str, round: usize) -> usize {
    let from = 1_000 * round as i64;
    let not = |k: i64| format!("not (nums anyof [{}])", numbers(from + 10_000 * k, 1_000));
    let body = orders(format!("{} and {}", not(1), not(2))).to_string();
    let request = format!(
        "POST /query HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let Ok(mut stream) = TcpStream::connect(address).await else { return 0 };
    let sent = stream.write_all(request.as_bytes()).await.is_ok();
    sleep(PACE).await;
    usize::from(sent)
}

async fn read_metrics(address: &str, token: &str, over: &AtomicBool) -> usize {
    let Ok(mut stream) = TcpStream::connect(address).await else { return 0 };
    let request = format!("GET /metrics HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    let (mut acted, mut buffer) = (0, vec![0; 256 * 1024]);
    while !over.load(Ordering::Relaxed) && stream.write_all(request.as_bytes()).await.is_ok() {
        match timeout(Duration::from_secs(20), stream.read(&mut buffer)).await {
            Ok(Ok(read)) if read > 0 => acted += 1,
            _ => break,
        }
    }
    acted
}

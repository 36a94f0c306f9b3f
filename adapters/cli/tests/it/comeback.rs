//! All clients come back at once to a server that was killed and started again: what they are sent, and what it costs, with the rows that
//! they have and without.
//!
//! In the check 200 clients do so; `LIVESET_COMEBACK=10000 cargo test -p liveset-cli --test it comeback -- --nocapture` prints the same for
//! ten thousand.
#![cfg(target_os = "linux")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use liveset_core::Etag;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::Server;
use crate::support::raw::Raw;

const ROWS: u64 = 1_000;
const SUBJECTS: usize = 100;
/// So many open their connection at once: the kernel has a queue for those that are to be accepted.
const AT_ONCE: usize = 256;

fn config() -> String {
    let tokens = (0..SUBJECTS).map(|n| format!("{{ token = \"token-{n}\", subject = \"s{n}\" }},"));
    let tokens: String = tokens.collect();
    format!(
        "[auth]\ntokens = [{tokens}]\n[[set]]\nname = \"orders\"\nload = \"orders.ndjson\"\n\
         [limits.http]\nmax_connections = 20000\nmax_connections_per_address = 20000\n"
    )
}

fn row(id: u64) -> String {
    format!(r#"{{"id":{id},"status":"open","total":{},"note":"{}"}}"#, id * 7 % 1_000, "x".repeat(40))
}

/// User and system time of a process, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("its fields").split_whitespace().collect();
    [11, 12].iter().map(|place| fields[*place].parse::<u64>().expect("a number")).sum()
}

/// What all clients together got, and what it took.
#[derive(Debug)]
struct Herd {
    bytes: u64,
    rows: u64,
    refused: u64,
    server: Duration,
    whole: Duration,
}

/// So many clients ask for all rows, each again while it is told to come later, until all have them.
async fn come(server: &Server, count: usize, have: Option<Arc<[String]>>) -> Herd {
    let (began, ticks_before) = (Instant::now(), ticks(server.pid()));
    let counts: Arc<[AtomicU64; 3]> = Arc::default();
    let opening = Arc::new(Semaphore::new(AT_ONCE));
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..count {
        let (address, have, counts, opening) =
            (server.address.clone(), have.clone(), counts.clone(), opening.clone());
        clients.spawn(async move {
            let mut raw = {
                let _turn = opening.acquire().await.expect("a turn");
                let source = format!("127.0.0.{}", 1 + n % 200);
                let mut raw = Raw::connect_from(&source, &address).await;
                raw.authenticate(&format!("token-{}", n % SUBJECTS)).await;
                raw
            };
            let mut asked = json!({ "type": "createLiveQuery", "id": "q", "options": { "resume": true },
                "query": { "edge": "orders", "orderBy": "total" } });
            if let Some(have) = &have {
                asked["have"] = json!(&**have);
            }
            let asked = asked.to_string();
            let [bytes, rows, refused] = &*counts;
            'again: loop {
                raw.send_text(&asked).await;
                loop {
                    let (_, payload) = raw.receive().await.expect("a message");
                    bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
                    let told: Value = serde_json::from_slice(&payload).expect("JSON");
                    match told["type"].as_str().expect("a type") {
                        "error" => {
                            assert_eq!(told["code"], "OVERLOADED", "{told}");
                            refused.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(500 + n as u64 % 500)).await;
                            continue 'again;
                        }
                        "liveQueryResumed" => break 'again,
                        "liveQueryData" => {
                            let came = told["data"].as_array().map_or(0, Vec::len) as u64;
                            rows.fetch_add(came, Ordering::Relaxed);
                            if told["hasMore"] == false {
                                break 'again;
                            }
                        }
                        _ => {}
                    }
                }
            }
            raw
        });
    }
    // Nobody leaves before all are there.
    let all = clients.join_all().await;
    let whole = began.elapsed();
    let server = Duration::from_millis(10 * (ticks(server.pid()) - ticks_before));
    drop(all);
    let [bytes, rows, refused] = [0, 1, 2].map(|n| counts[n].load(Ordering::Relaxed));
    Herd { bytes, rows, refused, server, whole }
}

#[tokio::test]
async fn whoever_has_the_rows_is_sent_none() {
    let count = std::env::var("LIVESET_COMEBACK").map_or(200, |text| text.parse().expect("a number"));
    let rows: String = (0..ROWS).map(|id| row(id) + "\n").collect();
    let start = || Server::start_with(&config(), &[("orders.ndjson", rows.as_bytes())], &[]);
    let have: Arc<[String]> =
        (0..ROWS).map(|id| Etag::of(&id.to_string(), row(id).as_bytes()).to_string()).collect();
    println!(
        "| {count} clients, {ROWS} rows each | MB sent to them | rows sent | told to come later | server CPU ms | whole ms |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut herds = Vec::new();
    for (name, have) in [("without `have`", None), ("with `have`", Some(have))] {
        // Killed and started: nothing is left of the server before.
        let server = start();
        server.signal("KILL");
        let server = start();
        let herd = come(&server, count, have).await;
        println!(
            "| {name} | {:.2} | {} | {} | {} | {} |",
            herd.bytes as f64 / 1e6,
            herd.rows,
            herd.refused,
            herd.server.as_millis(),
            herd.whole.as_millis()
        );
        herds.push(herd);
    }
    let [without, with] = &herds[..] else { panic!("two herds") };
    assert_eq!((without.rows, with.rows), (count as u64 * ROWS, 0));
    assert!(with.bytes * 100 < without.bytes, "{herds:?}");
}

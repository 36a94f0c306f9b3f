//! Clients that hold one live query each, fold it, and can be asked what they hold.
//!
//! Commands are lines: `open`, `states`, `time`, `counts`, `read-on`, `leave`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hdrhistogram::Histogram;
use liveset_cli::load::{histogram, lock};
use liveset_core::{ClientEvent, LiveQueryRequest, NodeChange, Token};
use tokio::{
    runtime::Runtime,
    sync::{Semaphore, watch},
};

use super::{
    Outcome,
    child::{obey, say},
    client::{Client, End, Held, way},
    plan::{Digest, Plan, customer, spec},
    server,
};

/// How many connect at once.
const CONNECTING: usize = 128;
const ID: &str = "q";

static READY: AtomicUsize = AtomicUsize::new(0);
static DIFFS: AtomicU64 = AtomicU64::new(0);
/// Whether the clock of latencies runs.
static TIMED: AtomicBool = AtomicBool::new(false);
static LATENCIES: LazyLock<Mutex<Histogram<u64>>> = LazyLock::new(|| Mutex::new(histogram()));

/// What the clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Those that stall do not read.
    Stalled,
    /// Everyone reads.
    Reading,
    /// Everyone goes.
    Left,
}

/// The clients, once opened.
struct Clients {
    plan: Plan,
    phase: watch::Sender<Phase>,
    held: Arc<Mutex<BTreeMap<usize, Arc<Mutex<Held>>>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

pub(super) fn run() -> Outcome {
    let runtime = server::runtime(1)?;
    let mut clients: Option<Clients> = None;
    obey(|command, rest| {
        match (command, &mut clients) {
            ("open", None) => clients = Some(Clients::open(&runtime, rest)?),
            ("states", Some(clients)) => clients.states(),
            ("counts", Some(clients)) => clients.counts(),
            ("time", Some(_)) => TIMED.store(true, Ordering::Relaxed),
            ("read-on", Some(clients)) => drop(clients.phase.send(Phase::Reading)),
            ("leave", Some(clients)) => {
                let _ = clients.phase.send(Phase::Left);
                for task in clients.tasks.drain(..) {
                    let _ = runtime.block_on(task);
                }
                say(["left"]);
            }
            _ => return Err(format!("clients cannot do that now: {command} {rest}").into()),
        }
        Ok(())
    })
}

impl Clients {
    /// `open PORT HTTP CONNECTIONS QUERIES STALLED`
    fn open(runtime: &Runtime, numbers: &str) -> Outcome<Self> {
        let numbers: Vec<usize> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [port, http, connections, queries, stalled] = *numbers else {
            return Err("open wants five numbers".into());
        };
        let plan = Plan { connections, queries, stalled };
        let (phase, _) = watch::channel(Phase::Stalled);
        let clients = Self { plan, phase, held: Arc::default(), tasks: Vec::new() };
        let connecting = Arc::new(Semaphore::new(CONNECTING));
        let open = |number| {
            let (connecting, phase, all) =
                (connecting.clone(), clients.phase.subscribe(), clients.held.clone());
            let way = way(port as u16, http == 1, plan.stalls(number));
            runtime.spawn(async move {
                let permit = connecting.acquire().await;
                match Client::connect(way).await {
                    Ok(client) => {
                        lock(&all).insert(number, client.shared());
                        converse(client, number, plan, phase, permit).await;
                    }
                    Err(error) => say([format!("connection {number}: {error}")]),
                }
            })
        };
        let tasks = (0..connections).map(open).collect();
        Ok(Self { tasks, ..clients })
    }

    fn each(&self, mut see: impl FnMut(usize, &Held)) {
        for (number, held) in &*lock(&self.held) {
            see(*number, &lock(held));
        }
    }

    /// For each of those that read: the connection, its query, rows and sum; or how it ended, as `fault`.
    fn states(&self) {
        let mut lines = Vec::new();
        self.each(|number, held| {
            if self.plan.stalls(number) {
                return;
            }
            let (query, digest) = (self.plan.query(number), held.session.live_query(ID).map(Digest::folded));
            lines.push(match (&held.end, digest) {
                (None, Some(Digest { rows, sum })) => format!("{number} {query} {rows} {sum}"),
                (end, _) => format!("fault {number} {query} ended {end:?}"),
            });
        });
        lines.push("end".to_owned());
        say(lines);
    }

    /// Names and numbers.
    fn counts(&self) {
        let (mut messages, mut bytes, mut ends) = (0, 0, BTreeMap::<String, u64>::new());
        self.each(|_, held| {
            messages += held.messages;
            bytes += held.bytes;
            if let Some(end) = &held.end {
                *ends.entry(format!("{end:?}")).or_default() += 1;
            }
        });
        let latencies = lock(&LATENCIES);
        let mut lines = vec![
            format!("messages {messages}"),
            format!("bytes {bytes}"),
            format!("diffs {}", DIFFS.load(Ordering::Relaxed)),
        ];
        let percentile = |part: u32| latencies.value_at_quantile(f64::from(part) / 1e3);
        lines.extend([500, 900, 990, 999].map(|part| format!("p{part} {}", percentile(part))));
        lines.extend(ends.iter().map(|(end, count)| format!("{end} {count}")));
        lines.push("end".to_owned());
        say(lines);
    }
}

async fn converse(
    mut client: Client,
    number: usize,
    plan: Plan,
    mut phase: watch::Receiver<Phase>,
    permit: impl Sized,
) {
    {
        let mut held = client.held();
        held.session.authenticate(&Token::new("t"));
        held.session.create_live_query(LiveQueryRequest::new(ID, spec(&customer(plan.query(number)), false)));
    }
    client.flush().await;
    let mut loaded = false;
    while !loaded {
        let read = client.read(|_, event| {
            loaded |= matches!(event, ClientEvent::LiveQueryRows { loaded: true, .. });
        });
        if !read.await {
            return say([format!("connection {number} ended: {:?}", client.held().end)]);
        }
    }
    drop(permit);
    if READY.fetch_add(1, Ordering::Relaxed) + 1 == plan.connections {
        say(["ready"]);
    }
    let stalls = plan.stalls(number);
    if stalls {
        reached(&mut phase, Phase::Reading).await;
    }
    let mut faulty = None;
    loop {
        tokio::select! {
            reads = client.read(|session, event| match event {
                ClientEvent::LiveQueryChanged { node_id, change, .. } if !stalls => {
                    DIFFS.fetch_add(1, Ordering::Relaxed);
                    // What enters a window may have been written long ago.
                    if let NodeChange::Updated { .. } = change {
                        let data = session.live_query(ID).and_then(|result| result.row(&node_id));
                        if let Some(stamp) = data.and_then(|data| stamp(data)) {
                            record(stamp);
                        }
                    }
                }
                ClientEvent::Error { code_text, message, .. } if !stalls => {
                    faulty = Some(End::Fault(format!("{code_text}: {message}")));
                }
                _ => {}
            }) => {
                if let Some(fault) = faulty.take() {
                    client.end(fault);
                }
                if !reads {
                    break;
                }
            }
            () = reached(&mut phase, Phase::Left) => {
                client.leave(number.is_multiple_of(2)).await;
                break;
            }
        }
    }
}

async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

// --- latency ---

/// The moment so long ago: microseconds since 1970, in as many digits always.
pub(super) fn stamp_before(late: Duration) -> String {
    format!("{:016}", micros_now().saturating_sub(late.as_micros() as u64))
}

fn micros_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// When an order was written: its note begins with that, and ends the order.
fn stamp(data: &[u8]) -> Option<u64> {
    let note = data.len().checked_sub(crate::NOTE + 2)?;
    std::str::from_utf8(data.get(note..note + 16)?).ok()?.parse().ok()
}

fn record(stamp: u64) {
    if TIMED.load(Ordering::Relaxed) {
        lock(&LATENCIES).saturating_record(micros_now().saturating_sub(stamp));
    }
}

//! Clients that come and go, ask and unask, read slowly or not at all; and that can be asked what they hold.
//!
//! Commands are lines: `open`, `quiet`, `states`, `counts`, `leave`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use liveset_cli::load::lock;
use liveset_core::{ClientEvent, LiveQueryOptions, LiveQueryRequest, LiveResult, SubscriptionSpec, Token};
use serde::Deserialize;
use tokio::{runtime::Runtime, sync::watch};

use super::{
    Outcome,
    child::{obey, say},
    client::{Client, End, Held, way},
    plan::{Digest, mixed, spec},
    server,
};
use crate::{BenchQuery, Random};

/// Live queries, and subscriptions, that a client has at most.
const MOST: usize = 6;
/// Different paths of events: `jobs/0` and so on.
pub(super) const PATHS: u32 = 4;
/// The one event type.
pub(super) const EVENT: &str = "jobCompleted";
/// One client in so many stops reading for good, some time.
const STALLING: usize = 10;

/// What the clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Busy,
    /// Nothing is asked any more; what comes is read.
    Quiet,
    Left,
}

static QUIET: AtomicUsize = AtomicUsize::new(0);
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
static RESUMED: AtomicU64 = AtomicU64::new(0);
static DIFFS: AtomicU64 = AtomicU64::new(0);
static EVENTS: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);
static GIVEN_UP: AtomicU64 = AtomicU64::new(0);
/// This process got no CPU for so long that the server may have taken any client for stalled.
static STARVED: AtomicBool = AtomicBool::new(false);
/// What must not be.
static FAULTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A live query as it was asked.
#[derive(Clone, Debug)]
struct Wish {
    query: usize,
    fields: bool,
    options: LiveQueryOptions,
}

/// What can be seen of a client from outside.
#[derive(Debug, Default)]
struct Slot {
    /// The connection that it has now.
    held: Option<Arc<Mutex<Held>>>,
    wishes: BTreeMap<Arc<str>, Wish>,
    stalled: bool,
}

struct Clients {
    phase: watch::Sender<Phase>,
    slots: Vec<Arc<Mutex<Slot>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

pub(super) fn run() -> Outcome {
    let runtime = server::runtime(1)?;
    runtime.spawn(notice_starvation());
    let mut clients: Option<Clients> = None;
    obey(|command, rest| {
        match (command, &mut clients) {
            ("open", None) => clients = Some(Clients::open(&runtime, rest)?),
            ("quiet", Some(clients)) => clients.quiet(),
            ("states", Some(clients)) => say(clients.states()),
            ("counts", _) => say(counts()),
            ("leave", Some(open)) => {
                let _ = open.phase.send(Phase::Left);
                for task in open.tasks.drain(..) {
                    let _ = runtime.block_on(task);
                }
                QUIET.store(0, Ordering::Relaxed);
                clients = None;
                say(["left"]);
            }
            _ => return Err(format!("clients cannot do that now: {command} {rest}").into()),
        }
        Ok(())
    })
}

fn fault(what: String) {
    let mut faults = lock(&FAULTS);
    if faults.len() < 100 {
        faults.push(what);
    }
}

async fn notice_starvation() {
    loop {
        let before = Instant::now();
        tokio::time::sleep(Duration::from_millis(100)).await;
        STARVED.fetch_or(before.elapsed() > Duration::from_millis(600), Ordering::Relaxed);
    }
}

fn counts() -> Vec<String> {
    let count = |name: &str, count: &AtomicU64| format!("{name} {}", count.load(Ordering::Relaxed));
    vec![
        count("connections", &CONNECTIONS),
        count("resumed", &RESUMED),
        count("diffs", &DIFFS),
        count("events", &EVENTS),
        count("dropped", &DROPPED),
        count("given-up", &GIVEN_UP),
        "end".to_owned(),
    ]
}

impl Clients {
    /// `open PORT NODES CONNECTIONS SEED`
    fn open(runtime: &Runtime, numbers: &str) -> Outcome<Self> {
        let numbers: Vec<u64> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [port, nodes, connections, seed] = *numbers else { return Err("open wants four numbers".into()) };
        let queries = Arc::new(mixed(nodes as u32));
        let (phase, _) = watch::channel(Phase::Busy);
        let (mut slots, mut tasks) = (Vec::new(), Vec::new());
        for number in 0..connections as usize {
            let slot = Arc::new(Mutex::new(Slot::default()));
            let wanderer = Wanderer {
                number,
                port: port as u16,
                random: Random::new(seed.wrapping_mul(1_000_003) + number as u64),
                queries: queries.clone(),
                slot: slot.clone(),
                phase: phase.subscribe(),
                asked: 0,
                kept: Vec::new(),
            };
            slots.push(slot);
            tasks.push(runtime.spawn(wanderer.wander()));
        }
        Ok(Self { phase, slots, tasks })
    }

    /// Says `quiet` once no client will ask for anything more.
    fn quiet(&self) {
        let _ = self.phase.send(Phase::Quiet);
        while QUIET.load(Ordering::Relaxed) < self.slots.len() {
            std::thread::sleep(Duration::from_millis(2));
        }
        say(["quiet"]);
    }

    /// For each live query of those that read: query, fields, positions, counts, total, capped, rows, sum. Or `waiting`, where
    /// something is unanswered. Then what must not be, as `fault`.
    fn states(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for slot in &self.slots {
            let slot = lock(slot);
            let Some(held) = slot.held.as_ref().filter(|_| !slot.stalled) else { continue };
            let held = lock(held);
            if held.end.is_some() {
                continue;
            }
            if held.session.unanswered() > 0 {
                lines.push("waiting".to_owned());
            }
            for (id, result) in held.session.live_queries() {
                let Some(Wish { query, fields, options }) = slot.wishes.get(id) else { continue };
                if !result.is_loaded() {
                    lines.push("waiting".to_owned());
                    continue;
                }
                let Digest { rows, sum } = Digest::folded(result);
                let flags = [*fields, options.positions, options.counts].map(u8::from);
                let [fields, positions, counts] = flags;
                let (total, capped) = (result.total_count(), u8::from(result.capped()));
                lines.push(format!(
                    "state {query} {fields} {positions} {counts} {total} {capped} {rows} {sum}"
                ));
            }
        }
        lines.extend(lock(&FAULTS).iter().map(|fault| format!("fault {fault}")));
        lines.push("end".to_owned());
        lines
    }
}

/// A client, through all of its connections.
struct Wanderer {
    number: usize,
    port: u16,
    random: Random,
    queries: Arc<Vec<BenchQuery>>,
    slot: Arc<Mutex<Slot>>,
    phase: watch::Receiver<Phase>,
    /// How many ids it has given.
    asked: u32,
    /// What it can resume, from a connection before.
    kept: Vec<(Wish, LiveResult)>,
}

/// How one connection went on.
enum Next {
    Reconnect,
    Quiet,
    Stall,
}

impl Wanderer {
    async fn wander(mut self) {
        let mut next = Next::Reconnect;
        while let Next::Reconnect = next {
            // All at once is not what is looked at here.
            self.pause(200).await;
            if *self.phase.borrow() > Phase::Busy {
                break;
            }
            let narrow = self.random.below(3) == 0 || self.stalls();
            match Client::connect(way(self.port, false, narrow)).await {
                Ok(mut client) => next = self.converse(&mut client).await,
                Err(error) => {
                    fault(format!("a connection is refused: {error}"));
                    break;
                }
            }
        }
        if let Next::Reconnect = next {
            // It had no connection when all became quiet.
            QUIET.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn stalls(&self) -> bool {
        self.number % STALLING == STALLING - 1
    }

    async fn converse(&mut self, client: &mut Client) -> Next {
        CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        {
            let mut slot = lock(&self.slot);
            slot.held = Some(client.shared());
            slot.wishes.clear();
        }
        client.held().session.authenticate(&Token::new("t"));
        for (wish, result) in std::mem::take(&mut self.kept) {
            self.ask(client, wish, Some(result));
        }
        client.flush().await;
        let mut reader = Reader::default();
        let next = self.act(client, &mut reader).await;
        match next {
            Next::Reconnect => lock(&self.slot).held = None,
            Next::Stall => {
                lock(&self.slot).stalled = true;
                QUIET.fetch_add(1, Ordering::Relaxed);
                left(&mut self.phase).await;
                client.leave(false).await;
            }
            Next::Quiet => {
                QUIET.fetch_add(1, Ordering::Relaxed);
                loop {
                    tokio::select! {
                        reads = reader.read(client) => if !reads {
                            reader.judge(client);
                            break;
                        },
                        () = left(&mut self.phase) => {
                            client.leave(self.random.below(2) == 0).await;
                            break;
                        }
                    }
                }
            }
        }
        next
    }

    /// Does this and that, until it is time for something else.
    async fn act(&mut self, client: &mut Client, reader: &mut Reader) -> Next {
        loop {
            let wait = Duration::from_millis(20 + self.random.below(100_u64));
            tokio::select! {
                reads = reader.read(client) => {
                    if !reads {
                        reader.judge(client);
                        return Next::Reconnect;
                    }
                    continue;
                }
                () = quiet(&mut self.phase) => return Next::Quiet,
                () = tokio::time::sleep(wait) => {}
            }
            match self.random.below(100) {
                0..40 => self.create(client),
                40..55 => self.destroy(client),
                55..67 => self.subscribe(client),
                67..72 => self.unsubscribe(client, reader),
                72..75 => drop(client.held().session.ping()),
                75..79 => {
                    reader.slept = true;
                    self.pause(3_000).await;
                }
                79..82 => {
                    self.leave(client).await;
                    return Next::Reconnect;
                }
                82..86 if self.stalls() => return Next::Stall,
                _ => {}
            }
            client.flush().await;
        }
    }

    /// Not reading, up to so many milliseconds; less where all is to be quiet.
    async fn pause(&mut self, most: u32) {
        let wait = Duration::from_millis(u64::from(self.random.below(most)));
        tokio::select! {
            () = quiet(&mut self.phase) => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    fn name(&mut self) -> String {
        self.asked += 1;
        format!("{}-{}", self.number, self.asked)
    }

    fn create(&mut self, client: &Client) {
        let bits = self.random.below(32);
        let wish = Wish {
            query: self.random.below(self.queries.len() as u32) as usize,
            fields: bits & 1 > 0,
            options: LiveQueryOptions {
                positions: bits & 2 > 0,
                counts: bits & 4 > 0,
                reasons: bits & 8 > 0,
                resume: bits & 16 > 0,
                ..LiveQueryOptions::default()
            },
        };
        if lock(&self.slot).wishes.len() < MOST {
            self.ask(client, wish, None);
        }
    }

    fn ask(&mut self, client: &Client, wish: Wish, resume_from: Option<LiveResult>) {
        let id = self.name();
        let query = spec(&self.queries[wish.query], wish.fields);
        let request =
            LiveQueryRequest { options: wish.options, resume_from, ..LiveQueryRequest::new(&*id, query) };
        lock(&self.slot).wishes.insert(Arc::from(&*id), wish);
        client.held().session.create_live_query(request);
    }

    /// Also while the first rows are on their way.
    fn destroy(&mut self, client: &Client) {
        let mut held = client.held();
        let ids: Vec<Arc<str>> = held.session.live_queries().map(|(id, _)| id.clone()).collect();
        let mut slot = lock(&self.slot);
        let ids: Vec<Arc<str>> = ids.into_iter().filter(|id| slot.wishes.contains_key(id)).collect();
        if let Some(id) = ids.get(self.random.below(ids.len() as u32) as usize) {
            slot.wishes.remove(id);
            held.session.destroy_live_query(id);
        }
    }

    fn subscribe(&mut self, client: &Client) {
        if client.held().session.subscriptions().count() >= MOST {
            return;
        }
        let path = match self.random.below(PATHS + 1) {
            PATHS => "jobs".to_owned(),
            job => format!("jobs/{job}"),
        };
        let id = Arc::from(self.name());
        let subscription = SubscriptionSpec { id, path: path.into(), events: vec![EVENT.into()] };
        client.held().session.subscribe(vec![subscription]);
    }

    fn unsubscribe(&mut self, client: &Client, reader: &mut Reader) {
        let mut held = client.held();
        let one = held.session.subscriptions().next().map(|subscription| subscription.id.clone());
        if let Some(id) = one.filter(|id| reader.unsubscribed.insert(id.clone(), ()).is_none()) {
            held.session.unsubscribe([&*id]);
        }
    }

    /// Goes, and remembers what it can go on from.
    async fn leave(&mut self, client: &mut Client) {
        let slot = self.slot.clone();
        {
            let (held, slot) = (client.held(), lock(&slot));
            for (id, result) in held.session.live_queries() {
                if let Some(wish) = slot.wishes.get(id).filter(|wish| wish.options.resume) {
                    self.kept.push((wish.clone(), result.clone()));
                }
            }
        }
        client.leave(self.random.below(2) == 0).await;
    }
}

async fn quiet(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase >= Phase::Quiet).await;
}

async fn left(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase >= Phase::Left).await;
}

/// Checks one connection's messages beyond what the session does: events come without a gap that was not told of.
#[derive(Debug, Default)]
struct Reader {
    /// It did not read for a while, so that the server may have given it up.
    slept: bool,
    subscriptions: BTreeMap<Arc<str>, Numbers>,
    unsubscribed: BTreeMap<Arc<str>, ()>,
}

/// What a subscription has got.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    last: Option<u64>,
    /// Dropped since then, as the server says.
    dropped: u64,
}

/// An event's data: its number at its own path, and of all.
#[derive(Debug, Deserialize)]
struct Published {
    n: u64,
    all: u64,
}

impl Reader {
    async fn read(&mut self, client: &mut Client) -> bool {
        client.read(|_, event| self.see(event)).await
    }

    fn see(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::LiveQueryChanged { .. } => drop(DIFFS.fetch_add(1, Ordering::Relaxed)),
            ClientEvent::LiveQueryResumed { .. } => drop(RESUMED.fetch_add(1, Ordering::Relaxed)),
            ClientEvent::Warning { message, subscription_id, .. } => {
                let dropped = message.split(' ').next().and_then(|count| count.parse().ok());
                let Some(dropped) = dropped else {
                    return fault(format!("a warning without a count: {message}"));
                };
                DROPPED.fetch_add(dropped, Ordering::Relaxed);
                self.subscriptions.entry(subscription_id).or_default().dropped += dropped;
            }
            ClientEvent::Event { subscription_ids, path, event } => {
                EVENTS.fetch_add(1, Ordering::Relaxed);
                let Ok(published) = serde_json::from_slice::<Published>(&event.data) else {
                    return fault("an event is not what was published".into());
                };
                let number = if &*path == "jobs" { published.all } else { published.n };
                for id in subscription_ids {
                    let seen = self.subscriptions.entry(id.clone()).or_default();
                    let dropped = std::mem::take(&mut seen.dropped);
                    let before = seen.last.replace(number);
                    if let Some(before) = before
                        && before + dropped + 1 != number
                    {
                        fault(format!("{id} at {path}: event {number} behind {before}, {dropped} dropped"));
                    }
                }
            }
            // Is followed by the end, which is judged.
            ClientEvent::Error { code_text, .. } if code_text == "OVERLOADED" => {}
            ClientEvent::Error { code_text, message, .. } => fault(format!("{code_text}: {message}")),
            _ => {}
        }
    }

    /// The server may give up who does not read, and no one else.
    fn judge(&self, client: &Client) {
        match client.held().end.clone() {
            Some(End::Closed(1013) | End::Cut) if self.slept || STARVED.load(Ordering::Relaxed) => {
                GIVEN_UP.fetch_add(1, Ordering::Relaxed);
            }
            Some(End::Left) | None => {}
            Some(end) => fault(format!("a connection that was read ended: {end:?}")),
        }
    }
}

//! `socket`: messages a second through the whole server, beside the least that could send them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use liveset::{Limits, Liveset};
use liveset_engine::Op;
use tokio::{runtime::Runtime, sync::broadcast};

use super::{Defaults, Options, Outcome, child::Helper, process, server, skim};
use crate::{OrderRow, Step, Workload, instant, json_op};

pub(super) const OPTIONS: Defaults = &[("connections", 0), ("seconds", 2), ("turns", 3), ("workers", 1)];

/// Rounds on their way at once, so that the server need not wait for the clients' word.
const IN_FLIGHT: usize = 2;
/// Rounds before the clock runs.
const WARM_UP: usize = 4;
/// What Liveset gathers for one write, for the other too.
const BATCH_BYTES: usize = 32 * 1_024;
/// Orders in the shared window.
const WINDOW: u64 = 10;
/// Of the first id.
const FIRST_ID: u64 = 10_000_000;

/// What is sent.
#[derive(Clone, Copy, Debug)]
struct Load {
    name: &'static str,
    /// Every connection asks a query of its own; else all ask the same.
    own: bool,
    /// Messages that each connection is due at once.
    burst: usize,
}

const LOADS: [Load; 3] = [
    Load { name: "one query, one by one", own: false, burst: 1 },
    Load { name: "one query, bursts of 16", own: false, burst: 16 },
    Load { name: "a query each", own: true, burst: 1 },
];

/// What one run came to.
#[derive(Clone, Copy, Debug)]
struct Speed {
    per_second: f64,
    /// CPU time of the server's process for a message.
    cpu: Duration,
}

pub(super) fn run(options: &Options) -> Outcome {
    let sizes = match options.count("connections") {
        0 => vec![100, 1_000, 10_000],
        one => vec![one],
    };
    println!(
        "Messages of about 400 bytes over loopback, from a server of {} threads.",
        options.get("workers")
    );
    println!(
        "bare: fastwebsockets alone, which writes prepared messages. cpu: of the server's process, for a message.\n"
    );
    println!(
        "| load | connections | liveset/s | bare/s | bare : liveset | liveset cpu | bare cpu | cpu ratio |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for load in LOADS {
        for connections in &sizes {
            let (mut liveset, mut bare) = (Vec::new(), Vec::new());
            for _ in 0..options.get("turns").max(1) {
                liveset.push(measure_liveset(load, *connections, options)?);
                bare.push(measure_bare(load, *connections, options)?);
            }
            let (liveset, bare) = (median(liveset), median(bare));
            println!(
                "| {} | {connections} | {:.0} | {:.0} | {:.2} | {:.2} µs | {:.2} µs | {:.2} |",
                load.name,
                liveset.per_second,
                bare.per_second,
                bare.per_second / liveset.per_second,
                micros(liveset.cpu),
                micros(bare.cpu),
                micros(liveset.cpu) / micros(bare.cpu),
            );
        }
    }
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Of each number by itself.
fn median(mut speeds: Vec<Speed>) -> Speed {
    let middle = speeds.len() / 2;
    speeds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    let per_second = speeds[middle].per_second;
    speeds.sort_by_key(|speed| speed.cpu);
    Speed { per_second, cpu: speeds[middle].cpu }
}

fn measure_liveset(load: Load, connections: usize, options: &Options) -> Outcome<Speed> {
    let mut limits = Limits::default();
    // Nobody answers pings here.
    limits.session.ping_interval = Duration::from_secs(3_600);
    let liveset = server::liveset(limits)?;
    let mut orders = Orders::new(load, connections);
    orders.commit(&liveset, 0..orders.rows())?;
    let runtime = server::runtime(options.count("workers"))?;
    let address = server::serve(&runtime, &liveset, None)?;
    let asks = if load.own { skim::ASKS_ITS_OWN } else { skim::ASKS_THE_SAME };
    let clients = clients(address.port(), connections, load, asks)?;
    let mut next = 0;
    let publish = || {
        for _ in 0..load.burst {
            let rows = if load.own { 0..orders.rows() } else { next % WINDOW..next % WINDOW + 1 };
            next += 1;
            orders.commit(&liveset, rows)?;
        }
        Ok(())
    };
    finish(runtime, measure(clients, load, connections, options, publish))
}

fn measure_bare(load: Load, connections: usize, options: &Options) -> Outcome<Speed> {
    let (sender, receiver) = broadcast::channel(64 * IN_FLIGHT);
    drop(receiver);
    let mut orders = Orders::new(load, connections);
    let runtime = server::runtime(options.count("workers"))?;
    let address = server::serve_bare(&runtime, &sender, BATCH_BYTES)?;
    let clients = clients(address.port(), connections, load, skim::ASKS_NOTHING)?;
    while sender.receiver_count() < connections {
        std::thread::sleep(Duration::from_millis(5));
    }
    // As Liveset's, to the byte; made before, and shared.
    let mut message = |number: u64| {
        let row = orders.row(number % WINDOW);
        let (id, node, data) = (skim::id(0), row.id, String::from_utf8_lossy(&row.json()).into_owned());
        format!(r#"{{"type":"liveQueryUpdatedNode","id":"{id}","nodeId":"{node}","data":{data}}}"#)
    };
    let messages: Vec<Bytes> = (0..64).map(|number| Bytes::from(message(number))).collect();
    let mut ring = messages.iter().cycle();
    let publish = || {
        for message in ring.by_ref().take(load.burst) {
            sender.send(message.clone()).map_err(|_| "nobody is connected")?;
        }
        Ok(())
    };
    finish(runtime, measure(clients, load, connections, options, publish))
}

/// Lets go of the server before the next is made.
fn finish(runtime: Runtime, speed: Outcome<Speed>) -> Outcome<Speed> {
    runtime.shutdown_timeout(Duration::from_secs(10));
    speed
}

fn clients(port: u16, connections: usize, load: Load, asks: u64) -> Outcome<Helper> {
    let step = (connections * load.burst) as u64;
    let options =
        [("port", u64::from(port)), ("connections", connections as u64), ("asks", asks), ("step", step)];
    let mut clients = Helper::start("skim-clients", &options)?;
    clients.expect("ready")?;
    Ok(clients)
}

/// Rounds of one burst each, until the time is up. All that was published has been received at the end.
fn measure(
    mut clients: Helper,
    load: Load,
    connections: usize,
    options: &Options,
    mut publish: impl FnMut() -> Outcome,
) -> Outcome<Speed> {
    for _ in 0..WARM_UP {
        publish()?;
        clients.expect("mark")?;
    }
    let (started, cpu) = (Instant::now(), process::cpu_time());
    let (mut sent, mut received) = (0, 0);
    while started.elapsed() < Duration::from_secs(options.get("seconds")) {
        while sent < received + IN_FLIGHT {
            publish()?;
            sent += 1;
        }
        clients.expect("mark")?;
        received += 1;
    }
    while received < sent {
        clients.expect("mark")?;
        received += 1;
    }
    let messages = (received * load.burst * connections) as f64;
    let cpu = (process::cpu_time() - cpu).as_secs_f64() / messages;
    Ok(Speed { per_second: messages / started.elapsed().as_secs_f64(), cpu: Duration::from_secs_f64(cpu) })
}

/// Orders whose totals change.
#[derive(Debug)]
struct Orders {
    template: OrderRow,
    rows: u64,
    own: bool,
    version: u32,
}

impl Orders {
    fn new(load: Load, connections: usize) -> Self {
        let template = OrderRow::clone(&Workload::new(1, 1).orders()[0]);
        let rows = if load.own { connections as u64 } else { WINDOW };
        Self { template, rows, own: load.own, version: 0 }
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    /// Another version of an order.
    fn row(&mut self, number: u64) -> OrderRow {
        self.version += 1;
        OrderRow {
            id: FIRST_ID + number,
            customer: if self.own { number as u32 } else { 0 },
            total: 100_000 + self.version % 100_000,
            ..self.template.clone()
        }
    }

    fn commit(&mut self, liveset: &Liveset, rows: std::ops::Range<u64>) -> Outcome {
        let mut ops: Vec<Op> = rows.map(|row| json_op(&Step::Put(self.row(row).into()))).collect();
        liveset.at(instant(self.template.created)).commit(|tx| tx.extend(std::mem::take(&mut ops)))?;
        Ok(())
    }
}

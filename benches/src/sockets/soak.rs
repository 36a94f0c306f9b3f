//! `soak`: clients that come, go, stall and are killed, for long; nothing is lost, and memory does not grow.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use liveset::{Limits, Liveset};

use super::{
    Defaults, Options, Outcome,
    child::{Helper, PATIENCE},
    overload::wait_empty,
    plan::{Digest, Writer, mixed},
    process::{self, mb},
    server,
    wander::{EVENT, PATHS},
};
use crate::{BenchQuery, Class, Random, Workload};

pub(super) const OPTIONS: Defaults =
    &[("seconds", 1_800), ("connections", 200), ("nodes", 2_000), ("cycle", 4), ("seed", 1), ("workers", 0)];

/// So that who does not read is given up within a cycle.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
const SEND_BUFFER: u32 = 16 * 1_024;
/// Memory at rest may exceed the most of the warm-up by a tenth and this.
const SLACK: u64 = 8_000_000;

pub(super) fn run(options: &Options) -> Outcome {
    let mut limits = Limits::default();
    limits.transport.write_timeout = WRITE_TIMEOUT;
    // On a busy machine clients may take their time.
    limits.session.auth_timeout = PATIENCE;
    limits.hub.resume_linger = Duration::from_secs(1);
    let liveset = server::liveset(limits)?;
    let mut load = Load::new(liveset.clone(), options.get("nodes") as u32, options.get("seed"))?;
    let runtime = server::runtime(options.count("workers"))?;
    let port = server::serve(&runtime, &liveset, Some(SEND_BUFFER))?.port();
    let mut steady = Helper::start("wander-clients", &[])?;

    let total = Duration::from_secs(options.get("seconds"));
    let (started, mut rests, mut warm) = (Instant::now(), Vec::new(), 0);
    let mut checked = 0;
    while started.elapsed() < total || rests.len() < 3 {
        let cycle = rests.len() as u64;
        let seed = options.get("seed") + 2 * cycle;
        let open = |clients: &mut Helper, connections: u64, seed: u64| {
            clients.say(&format!("open {port} {} {connections} {seed}", options.get("nodes")))
        };
        open(&mut steady, options.get("connections"), seed)?;
        let mut victims = Helper::start("wander-clients", &[])?;
        open(&mut victims, options.get("connections").div_ceil(4), seed + 1)?;

        let half = Duration::from_secs(options.get("cycle").max(1)) / 2;
        load.write(half)?;
        victims.kill()?;
        load.write(half)?;
        steady.say("quiet")?;
        steady.expect("quiet")?;
        checked += steady.settle(Duration::from_millis(500), |state| load.agrees(state))?;
        let most = liveset.stats().connections;
        steady.say("leave")?;
        steady.expect("left")?;
        wait_empty(&liveset)?;

        let rest = process::resident();
        // Allocators and tables find their size first.
        if rests.len() < 2 || started.elapsed() < total / 4 {
            warm = warm.max(rest);
        }
        rests.push(rest);
        println!(
            "{:>5.0} s: cycle {cycle}, {most} connections at its end, {:.1} MB at rest",
            started.elapsed().as_secs_f64(),
            mb(rest)
        );
        if rest > warm + warm / 10 + SLACK {
            return Err(
                format!("{:.1} MB are held at rest, {:.1} MB after the warm-up", mb(rest), mb(warm)).into()
            );
        }
    }
    steady.say("counts")?;
    println!("{} changes and {} events in {} cycles", load.writer.changes, load.published, rests.len());
    println!("of the clients that were not killed: {}", steady.list()?.join(", "));
    let (first, last) = (rests.first().copied().unwrap_or(0), rests.last().copied().unwrap_or(0));
    println!(
        "{checked} live queries agreed with a recomputation; {:.1} MB at rest first, {:.1} MB last: passed",
        mb(first),
        mb(last)
    );
    Ok(())
}

/// Writes changes and events.
struct Load {
    writer: Writer,
    queries: Vec<BenchQuery>,
    random: Random,
    /// Events published at each path.
    numbers: [u64; PATHS as usize],
    published: u64,
}

impl Load {
    fn new(liveset: Liveset, nodes: u32, seed: u64) -> Outcome<Self> {
        Ok(Self {
            writer: Writer::new(liveset, Workload::of_class(Class::G, nodes, seed))?,
            queries: mixed(nodes),
            random: Random::new(seed),
            numbers: [0; PATHS as usize],
            published: 0,
        })
    }

    /// Commits of a few changes and of many, events one by one and more than a queue holds.
    fn write(&mut self, time: Duration) -> Outcome {
        let until = Instant::now() + time;
        while Instant::now() < until {
            let rare = self.random.below(100) == 0;
            let count = if rare { 500 } else { 1 + self.random.below(15) as usize };
            let steps = self.writer.workload.steps(count);
            self.writer.commit(&steps)?;
            for _ in 0..if rare { 400 } else { self.random.below(3) } {
                self.publish()?;
            }
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn publish(&mut self) -> Outcome {
        let job = self.random.below(PATHS);
        let n = &mut self.numbers[job as usize];
        *n += 1;
        self.published += 1;
        let data = serde_json::json!({ "n": *n, "all": self.published });
        self.writer.liveset.publish(&format!("jobs/{job}"), EVENT, &data)?;
        Ok(())
    }

    /// Whether what a client says of a live query is so.
    fn agrees(&self, state: &str) -> bool {
        let words: Option<Vec<u64>> = state
            .strip_prefix("state ")
            .and_then(|words| words.split(' ').map(|word| word.parse().ok()).collect());
        let Some([query, fields, positions, counts, total, capped, rows, sum]) = words.as_deref() else {
            return false;
        };
        let Some(query) = self.queries.get(*query as usize) else { return false };
        let (digest, matching) = self.writer.recomputed(query, *fields == 1, *positions == 1);
        let counted = (matching as u64, u64::from(matching > query.cap));
        digest == Digest { rows: *rows as usize, sum: *sum } && (*counts == 0 || counted == (*total, *capped))
    }
}

//! A run, from the first node to the last number.
//!
//! ```text
//! nodes ─► connect ─► warm up ─► measure ─┬────────────────────────────┬─► quiet ─► verify ─► stalled read ─► end
//!                                         └─► stall ─► warm up ─► measure (--compare-stalled)
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};
use liveset_core::Token;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::args::BenchArgs;
use super::meter::{Counts, Meter, Side, Stamped};
use super::own::OwnServer;
use super::plan::Plan;
use super::receiver::{self, Sample, Shared, Stage};
use super::report::{self, Latency, Measured, MeterUse, Received, Report, ServerUse, Setup};
use super::scan::Stamps;
use super::schedule::{RunClock, Schedule, Windows, nanos};
use super::writer::{self, Writes};
use super::{BenchError, scrape, verify, warn};
use crate::load::process::{self, Machine, Usage};
use crate::load::random::Random;
use crate::load::{histogram, lock};
use crate::url::ServerUrl;

/// How long all connections may take beyond what their rate needs.
const CONNECT_PATIENCE: Duration = Duration::from_secs(60);
/// Connections that are begun and not ready: more would only wait for each other in the server's queue.
const CONNECTING: u64 = 512;
/// Between the last connection and the first write.
const REST: Duration = Duration::from_millis(200);
/// It is quiet when nothing came for that long.
const SILENCE: Duration = Duration::from_millis(300);
/// And is waited for no longer than this.
const QUIET_PATIENCE: Duration = Duration::from_secs(15);
/// How long the end of the connections may take.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// How often the meter looks how late it is itself.
const LAG_EVERY: Duration = Duration::from_millis(10);

/// What is needed from the beginning to the end.
#[derive(Debug)]
pub(super) struct Run<'a> {
    args: &'a BenchArgs,
    shared: Arc<Shared>,
    writes: Arc<Writes>,
    server: Option<u32>,
    is_own: bool,
    /// The server has nodes of this run.
    is_loaded: AtomicBool,
    stage: watch::Sender<Stage>,
    tasks: Mutex<JoinSet<()>>,
    samples: BTreeMap<u32, Sample>,
    bar: ProgressBar,
}

/// The moment at which a window begins or ends.
struct Mark {
    counts: [Counts; 2],
    server: Option<Usage>,
    meter: Option<Usage>,
    machine: Option<Machine>,
}

impl<'a> Run<'a> {
    /// # Errors
    ///
    /// The address cannot be resolved.
    pub(super) async fn new(
        args: &'a BenchArgs,
        plan: Plan,
        own: Option<&OwnServer>,
    ) -> Result<Run<'a>, BenchError> {
        let (url, token): (ServerUrl, Token) = match (own, &args.url) {
            (Some(own), _) => (own.url.clone(), own.token.clone()),
            (None, Some(url)) => (url.clone(), args.token.clone()),
            (None, None) => return Err(BenchError::Failed("there is no server".into())),
        };
        let address = resolve(&url).await?;
        let server = own.map(OwnServer::pid).or(args.pid).or_else(|| process::listener(address));
        let bar = ProgressBar::new_spinner();
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        bar.enable_steady_tick(Duration::from_millis(100));
        let samples = samples(args);
        let first = if args.compare_stalled { Stage::Run } else { Stage::Stall };
        Ok(Run {
            args,
            writes: Arc::new(Writes::new(plan.watchers(args))),
            shared: Arc::new(Shared {
                url,
                address,
                token,
                stamps: Stamps::new(&plan.run),
                plan,
                meter: Meter::new(RunClock::start()),
                events: (args.events > 0.0).then(|| (args.event_path.clone(), args.event_type.clone())),
            }),
            server,
            is_own: own.is_some(),
            is_loaded: AtomicBool::new(false),
            stage: watch::Sender::new(first),
            tasks: Mutex::default(),
            samples,
            bar,
        })
    }

    /// All of it, and what was measured.
    pub(super) async fn all(&self) -> Result<Report, BenchError> {
        let shared = &self.shared;
        let plan = &shared.plan;
        self.bar.set_message(format!("writing {} nodes", plan.nodes));
        let mut workloads: Vec<_> = (0..plan.writers).map(|writer| plan.workload(writer)).collect();
        writer::load(shared, &mut workloads).await?;
        self.is_loaded.store(true, Ordering::Relaxed);
        let counters = scrape::counters(shared).await;
        let rss_idle = self.server.and_then(Usage::of).map(|usage| usage.rss);

        let connect = self.connect().await?;
        tokio::time::sleep(REST).await;
        let rss_connected = self.server.and_then(Usage::of).map(|usage| usage.rss);

        let clock = shared.meter.clock;
        let count = if self.args.compare_stalled { 2 } else { 1 };
        let begin = clock.now() + nanos(Duration::from_millis(50));
        let windows = Windows::new(begin, self.args.warm_up, self.args.duration, count);
        shared.meter.measure(windows.clone());
        let commits = Schedule::new(begin, windows.end(), self.args.commits);
        let events = shared.events.is_some().then(|| Schedule::new(begin, windows.end(), self.args.events));
        let writing =
            tokio::spawn(writer::run(shared.clone(), self.writes.clone(), workloads, commits, events));
        let lag = Arc::new(Mutex::new(histogram()));
        let lagging = tokio::spawn(measure_lag(lag.clone()));
        let mut marks = Vec::new();
        for index in 0..windows.len() {
            self.bar.set_message("warming up");
            let (from, to) = windows.get(index);
            tokio::time::sleep(clock.until(from)).await;
            let before = self.mark();
            self.bar.set_message(match self.stalling_in(index) {
                true => "measuring, while some do not read",
                false => "measuring",
            });
            tokio::time::sleep(clock.until(to)).await;
            marks.push((before, self.mark()));
            self.stage.send_if_modified(|stage| {
                let is_next = *stage < Stage::Stall;
                *stage = Stage::Stall.max(*stage);
                is_next
            });
        }
        lagging.abort();
        self.bar.set_message("waiting for quiet");
        writing.await.map_err(|error| format!("the writers failed: {error}"))??;
        let is_quiet = shared.meter.quiet(Side::Live, SILENCE, QUIET_PATIENCE).await;
        let verified = match self.samples.is_empty() {
            true => None,
            false => {
                self.bar.set_message("verifying");
                Some(verify::run(shared, &self.samples).await?)
            }
        };
        if self.args.stalled_connections() > 0 {
            self.bar.set_message("letting the stalled connections read");
            self.stage.send_replace(Stage::Thaw);
            shared.meter.quiet(Side::Stalled, SILENCE, QUIET_PATIENCE).await;
        }
        // All that the connections did not ask for themselves.
        let received = shared.meter.counts();
        let ended = scrape::counters(shared).await;
        let counted = counters
            .zip(ended)
            .map(|(before, after)| (after.keys().cloned().collect(), scrape::between(&before, &after)));
        let rss_end = self.server.and_then(Usage::of);
        self.bar.finish_and_clear();

        let due = self.writes.due();
        let mut report = Report {
            setup: Setup::new(self.args, shared, self.is_own),
            connect,
            writes: report::Writes::new(&self.writes.written(), &commits, self.args.duration * count as u32),
            received: report::Sides {
                live: Received::new(&received[0], due.map(|due| due[0])),
                stalled: (self.args.stalled_connections() > 0)
                    .then(|| Received::new(&received[1], due.map(|due| due[1]))),
            },
            windows: marks
                .iter()
                .enumerate()
                .map(|(index, (before, after))| self.measured(index, before, after))
                .collect(),
            compare: None,
            server: self.server.and_then(|pid| {
                let (first, last) = (marks.first()?, marks.last()?);
                Some(ServerUse {
                    pid,
                    rss_idle: rss_idle?,
                    rss_connected: rss_connected?,
                    rss_end: rss_end?.rss,
                    rss_peak: rss_end?.peak,
                    cores: last.1.server?.cores_since(&first.0.server?),
                })
            }),
            counted: counted.map(report::Counted::new),
            meter: MeterUse::new(&marks, &lock(&lag)),
            verify: verified,
            warnings: Vec::new(),
        };
        report.conclude(is_quiet, shared.meter.first_trouble());
        Ok(report)
    }

    /// Ends the connections, and takes the nodes away from a server that goes on.
    pub(super) async fn end(&self) {
        self.bar.finish_and_clear();
        self.writes.stop();
        self.stage.send_replace(Stage::End);
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        let all = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(END_PATIENCE, all).await;
        if !self.is_own
            && self.is_loaded.load(Ordering::Relaxed)
            && let Err(error) = writer::unload(&self.shared).await
        {
            warn(&format!("the nodes of this run are still in {:?}: {error}", self.args.set));
        }
    }

    fn stalling_in(&self, window: usize) -> bool {
        self.args.stalled_connections() > 0 && (!self.args.compare_stalled || window == 1)
    }

    /// Makes all connections, and waits until each has its first results.
    async fn connect(&self) -> Result<report::Connect, BenchError> {
        let Run { args, shared, .. } = self;
        let meter = &shared.meter;
        let begun = meter.clock.now();
        let per_second = if args.connect_rate == 0 { f64::INFINITY } else { f64::from(args.connect_rate) };
        let patience =
            CONNECT_PATIENCE + Duration::from_secs_f64(f64::from(args.connections) / per_second.min(1e9));
        let deadline = begun + nanos(patience);
        let done = || meter.ready.load(Ordering::Relaxed) + meter.failed.load(Ordering::Relaxed);
        for connection in 0..args.connections {
            let due = begun + (f64::from(connection) / per_second * 1e9) as u64;
            while u64::from(connection) >= done() + CONNECTING && meter.clock.now() < deadline {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let left = meter.clock.until(due);
            if !left.is_zero() {
                tokio::time::sleep(left).await;
            }
            let side = if args.is_stalled(connection) { Side::Stalled } else { Side::Live };
            let sample = self.samples.get(&connection).cloned();
            let task = receiver::run(shared.clone(), connection, side, sample, self.stage.subscribe());
            lock(&self.tasks).spawn(task);
            if connection % 256 == 0 {
                self.bar.set_message(format!("connecting, {} of {}", done(), args.connections));
            }
        }
        while done() < u64::from(args.connections) && meter.clock.now() < deadline {
            self.bar.set_message(format!("connecting, {} of {}", done(), args.connections));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let seconds = Duration::from_nanos(meter.clock.now() - begun).as_secs_f64();
        let ready = meter.ready.load(Ordering::Relaxed);
        if ready == 0 {
            let trouble = meter.first_trouble().unwrap_or_else(|| "no connection was ready in time".into());
            return Err(BenchError::Failed(trouble));
        }
        let [connecting, loading] = meter.connecting();
        Ok(report::Connect {
            connections: ready,
            failed: u64::from(args.connections) - ready,
            seconds,
            per_second: ready as f64 / seconds.max(0.000_001),
            authenticated: Latency::of(&connecting),
            first_results: Latency::of(&loading),
        })
    }

    fn mark(&self) -> Mark {
        Mark {
            counts: self.shared.meter.counts(),
            server: self.server.and_then(Usage::of),
            meter: Usage::of(std::process::id()),
            machine: Machine::now(),
        }
    }

    fn measured(&self, window: usize, before: &Mark, after: &Mark) -> Measured {
        let meter = &self.shared.meter;
        let rate = |count: fn(&Counts) -> u64| {
            let grown = |side: usize| count(&after.counts[side]) - count(&before.counts[side]);
            (grown(0) + grown(1)) as f64 / self.args.duration.as_secs_f64()
        };
        let latency = |side, what| Latency::of(&meter.latencies(window, side, what));
        let has_stalled = self.args.stalled_connections() > 0;
        let has_events = self.shared.events.is_some();
        Measured {
            stalling: self.stalling_in(window),
            messages_per_second: rate(|counts| counts.messages),
            bytes_per_second: rate(|counts| counts.bytes),
            diffs_per_second: rate(Counts::diffs),
            diffs: latency(Side::Live, Stamped::Diff),
            diffs_stalled: has_stalled.then(|| latency(Side::Stalled, Stamped::Diff)),
            events: has_events.then(|| latency(Side::Live, Stamped::Event)),
            events_stalled: (has_events && has_stalled).then(|| latency(Side::Stalled, Stamped::Event)),
        }
    }
}

impl MeterUse {
    fn new(marks: &[(Mark, Mark)], lag: &hdrhistogram::Histogram<u64>) -> Option<MeterUse> {
        let (first, last) = (&marks.first()?.0, &marks.last()?.1);
        Some(MeterUse {
            cores: last.meter?.cores_since(&first.meter?),
            rss: last.meter?.rss,
            machine_busy: last.machine?.busy_since(&first.machine?),
            machine_cores: std::thread::available_parallelism().map_or(1, usize::from),
            lag: Latency::of(lag),
        })
    }
}

/// The connections that are verified, drawn from those that read: even steps could keep step with the groups.
fn samples(args: &BenchArgs) -> BTreeMap<u32, Sample> {
    let mut random = Random::new(args.seed);
    let mut live: Vec<u32> =
        (0..args.connections).filter(|connection| !args.is_stalled(*connection)).collect();
    let wanted = (args.verify as usize).min(live.len());
    (0..wanted).map(|_| (live.swap_remove(random.below(live.len())), receiver::sample())).collect()
}

async fn resolve(url: &ServerUrl) -> Result<SocketAddr, String> {
    let address = url.address();
    let mut found = tokio::net::lookup_host(&address).await.map_err(|error| format!("{address}: {error}"))?;
    found.next().ok_or_else(|| format!("{address}: no such host"))
}

/// How much later than asked for this process wakes up. Never ends.
async fn measure_lag(lag: Arc<Mutex<hdrhistogram::Histogram<u64>>>) {
    loop {
        let begun = std::time::Instant::now();
        tokio::time::sleep(LAG_EVERY).await;
        let late = begun.elapsed().saturating_sub(LAG_EVERY);
        lock(&lag).saturating_record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
    }
}

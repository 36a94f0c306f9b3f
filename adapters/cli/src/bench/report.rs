//! What was measured, as it is printed as JSON. Times are in milliseconds, sizes in bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::args::BenchArgs;
use super::meter::Counts;
use super::receiver::Shared;
use super::schedule::Schedule;
use super::scrape;
use super::verify::Verified;
use super::writer;

/// A machine this busy has nothing left to measure with.
const FULL: f64 = 0.95;
/// A meter that wakes up this late adds it to what it measures; in milliseconds.
const LATE: f64 = 10.0;
/// Writes that are sent this late are so because those before them were not answered; in milliseconds.
const BEHIND: f64 = 100.0;
/// Mismatches that are named.
const NAMED: usize = 3;

/// The results of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) setup: Setup,
    pub(super) connect: Connect,
    pub(super) writes: Writes,
    /// From the first connection to the end.
    pub(super) received: Sides,
    /// One, or with --compare-stalled two.
    pub(super) windows: Vec<Measured>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) compare: Option<Compare>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<ServerUse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) counted: Option<Counted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) meter: Option<MeterUse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verify: Option<Verified>,
    pub(super) warnings: Vec<String>,
}

/// What was asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Setup {
    pub(super) url: String,
    pub(super) own_server: bool,
    pub(super) connections: u32,
    pub(super) stalled: u32,
    pub(super) queries: u32,
    pub(super) shape: String,
    pub(super) nodes: u32,
    pub(super) groups: u32,
    pub(super) commits_per_second: f64,
    pub(super) changes: u32,
    pub(super) events_per_second: f64,
    pub(super) duration_seconds: f64,
    pub(super) warm_up_seconds: f64,
    pub(super) seed: u64,
}

impl Setup {
    pub(super) fn new(args: &BenchArgs, shared: &Shared, own_server: bool) -> Setup {
        let is_custom = !args.templates.is_empty() || args.query_file.is_some();
        let shape = match is_custom {
            true => "custom".into(),
            false => {
                args.shape.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
            }
        };
        Setup {
            url: shared.url.to_string(),
            own_server,
            connections: args.connections,
            stalled: args.stalled_connections(),
            queries: args.queries,
            shape,
            nodes: shared.plan.nodes,
            groups: shared.plan.groups,
            commits_per_second: args.commits,
            changes: args.changes,
            events_per_second: args.events,
            duration_seconds: args.duration.as_secs_f64(),
            warm_up_seconds: args.warm_up.as_secs_f64(),
            seed: args.seed,
        }
    }
}

/// How the connections were made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connect {
    pub(super) connections: u64,
    pub(super) failed: u64,
    /// Until the last had its first results.
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    /// From the first byte to `authenticated`.
    pub(super) authenticated: Latency,
    /// From there to the last of the first results.
    pub(super) first_results: Latency,
}

/// What was written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Writes {
    pub(super) scheduled: u64,
    #[serde(flatten)]
    pub(super) counts: writer::Counts,
    /// While it was measured.
    pub(super) commits_per_second: f64,
    /// From the moment a commit was due to its answer.
    pub(super) answered: Latency,
    /// From the moment a commit or an event was due to its sending: how far writing fell behind.
    pub(super) sent_late: Latency,
}

impl Writes {
    pub(super) fn new(written: &writer::Written, schedule: &Schedule, measured: Duration) -> Writes {
        Writes {
            scheduled: schedule.len(),
            counts: written.counts,
            commits_per_second: written.in_windows as f64 / measured.as_secs_f64(),
            answered: Latency::of(&written.answered),
            sent_late: Latency::of(&written.sent_late),
        }
    }
}

/// What came, by side.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sides {
    pub(super) live: Received,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stalled: Option<Received>,
}

/// What came.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Received {
    #[serde(flatten)]
    pub(super) counts: Counts,
    pub(super) diffs: u64,
    /// What would have come had nothing been folded or lost; where the queries tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) diffs_due: Option<u64>,
}

impl Received {
    pub(super) fn new(counts: &Counts, diffs_due: Option<u64>) -> Received {
        Received { counts: counts.clone(), diffs: counts.diffs(), diffs_due }
    }
}

/// What was measured in one window. Latencies are from the moment a write was due to the receipt of what it led to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Measured {
    /// Whether the stalled connections did not read.
    pub(super) stalling: bool,
    pub(super) messages_per_second: f64,
    pub(super) bytes_per_second: f64,
    pub(super) diffs_per_second: f64,
    /// On the connections that read.
    pub(super) diffs: Latency,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) diffs_stalled: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) events: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) events_stalled: Option<Latency>,
}

/// The latencies of those that read, while the others stall divided by while all read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Compare {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// The server's process.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerUse {
    pub(super) pid: u32,
    /// Before the connections.
    pub(super) rss_idle: u64,
    /// With all connections and their queries, before the first write.
    pub(super) rss_connected: u64,
    pub(super) rss_end: u64,
    pub(super) rss_peak: u64,
    /// CPU while it was measured.
    pub(super) cores: f64,
}

/// What the server counted from before the connections to the end.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counted {
    /// Nothing where the server does not count it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) diffs_folded: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) events_dropped: Option<u64>,
    /// Every counter of `/metrics` that grew.
    pub(super) all: BTreeMap<String, u64>,
}

impl Counted {
    pub(super) fn new((names, all): (Vec<String>, BTreeMap<String, u64>)) -> Counted {
        let of = |words: &[&str]| {
            let is_there = names.iter().any(|name| words.iter().all(|word| name.contains(word)));
            is_there.then(|| scrape::named(&all, words))
        };
        Counted { diffs_folded: of(&["folded"]), events_dropped: of(&["event", "dropped"]), all }
    }
}

/// The meter's own process, and the machine that it runs on.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MeterUse {
    pub(super) cores: f64,
    pub(super) rss: u64,
    /// The part of the machine that was busy, with everything on it, from 0 to 1.
    pub(super) machine_busy: f64,
    pub(super) machine_cores: usize,
    /// How late it woke up itself: part of every latency.
    pub(super) lag: Latency,
}

/// Quantiles, in milliseconds; all 0 where there is no sample.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Latency {
    pub(super) count: u64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    #[serde(rename = "p99.9")]
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl Latency {
    pub(super) fn of(histogram: &Histogram<u64>) -> Latency {
        let millis = |micros: u64| if histogram.is_empty() { 0.0 } else { micros as f64 / 1e3 };
        let at = |quantile| millis(histogram.value_at_quantile(quantile).min(histogram.max()));
        Latency {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: millis(histogram.max()),
        }
    }
}

impl Report {
    pub(super) fn mismatches(&self) -> usize {
        self.verify.as_ref().map_or(0, |verified| verified.mismatches.len())
    }

    /// Compares, and says what makes the numbers doubtful.
    pub(super) fn conclude(&mut self, is_quiet: bool, trouble: Option<String>) {
        if let [without, with] = &self.windows[..] {
            let ratio = |with: f64, without: f64| if without > 0.0 { with / without } else { 0.0 };
            self.compare = Some(Compare {
                p50: ratio(with.diffs.p50, without.diffs.p50),
                p99: ratio(with.diffs.p99, without.diffs.p99),
            });
        }
        let mut warn = |text: String| self.warnings.push(text);
        if let Some(trouble) = trouble {
            warn(format!("first trouble: {trouble}"));
        }
        if self.connect.failed > 0 {
            warn(format!("{} connections were never ready", self.connect.failed));
        }
        if self.writes.sent_late.p99 > BEHIND {
            warn(format!(
                "writes were sent up to {:.1} s after they were due, because those before them took so long: the \
                 latencies are those of a server that cannot keep up",
                self.writes.sent_late.max / 1e3
            ));
        }
        let unsent =
            self.writes.scheduled.saturating_sub(self.writes.counts.commits + self.writes.counts.failed);
        if unsent > 0 {
            warn(format!("{unsent} commits were due and never answered"));
        }
        if !is_quiet {
            warn(
                "diffs were still coming when nothing had been written for a while: the server was behind"
                    .into(),
            );
        }
        if let Some(meter) = &self.meter {
            if meter.machine_busy > FULL {
                warn(format!(
                    "the machine was {:.0} % busy: server and meter waited for each other, and latencies hold that",
                    meter.machine_busy * 100.0
                ));
            }
            if meter.lag.p99 > LATE || meter.cores > 0.9 * meter.machine_cores as f64 {
                warn(format!(
                    "the meter itself was saturated ({:.2} cores, woke up {:.1} ms late at p99): run it on another \
                     machine, or with fewer messages",
                    meter.cores, meter.lag.p99
                ));
            }
        }
        let found = self.verify.as_ref().map_or(&[][..], |verified| &verified.mismatches);
        for mismatch in found.iter().take(NAMED) {
            self.warnings.push(format!("mismatch: {mismatch}"));
        }
    }
}

//! Clocks, and what they say.

use std::time::Instant;

use liveset_cli::load::process::Usage;

/// Measures commits one by one. What the clocks cost is known beforehand.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    /// Nanoseconds between two readings with nothing between them.
    reading: f64,
    /// CPU time of measuring nothing once.
    turn: f64,
}

/// Commits measured in a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    /// Nanoseconds of CPU time per change.
    pub(crate) per_change: f64,
    /// Nanoseconds of each commit.
    pub(crate) samples: Vec<f64>,
    pub(crate) diffs: usize,
}

/// What several rounds come to. Nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    pub(crate) per_change: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Meter {
    pub(crate) fn new() -> Self {
        let mut meter = Self { reading: 0.0, turn: 0.0 };
        let nothing = meter.round(10_000, vec![(); 10_000], |()| 0);
        let mut samples = nothing.samples;
        meter.reading = percentile(&mut samples, 0.5);
        meter.turn = nothing.per_change;
        meter
    }

    /// Applies each commit; together they have so many changes.
    pub(crate) fn round<T>(
        &self,
        changes: usize,
        commits: Vec<T>,
        mut apply: impl FnMut(T) -> usize,
    ) -> Round {
        let (count, mut diffs) = (commits.len(), 0);
        let mut samples = Vec::with_capacity(count);
        let begin = thread_time();
        for commit in commits {
            let start = Instant::now();
            diffs += apply(commit);
            samples.push(start.elapsed().as_secs_f64() * 1e9);
        }
        let spent = thread_time() - begin - self.turn * count as f64;
        samples.iter_mut().for_each(|sample| *sample = (*sample - self.reading).max(0.0));
        Round { per_change: spent.max(0.0) / changes.max(1) as f64, samples, diffs }
    }
}

impl Timing {
    pub(crate) fn of(rounds: &[Round]) -> Self {
        let mut samples: Vec<f64> = rounds.iter().flat_map(|round| round.samples.iter().copied()).collect();
        let mut means: Vec<f64> = rounds.iter().map(|round| round.per_change).collect();
        Self {
            per_change: percentile(&mut means, 0.5),
            p50: percentile(&mut samples, 0.5),
            p99: percentile(&mut samples, 0.99),
        }
    }
}

fn percentile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get((samples.len() as f64 * part) as usize).copied().unwrap_or(0.0)
}

/// Nanoseconds that this thread has run, for differences.
#[cfg(unix)]
pub(crate) fn thread_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Nanoseconds that have passed, for differences.
#[cfg(not(unix))]
pub(crate) fn thread_time() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e9
}

/// Bytes of memory that this process holds, where the system says so.
pub(crate) fn resident() -> Option<u64> {
    Usage::of(std::process::id()).map(|usage| usage.rss)
}

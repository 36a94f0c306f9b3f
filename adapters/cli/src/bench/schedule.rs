//! When a write is due, and which measurement it belongs to.
//!
//! Writes are an open loop: the n-th is due at a moment that is known before the run begins. A server that is slow
//! delays when a write is sent, not when it was due, and latency counts from there. So a stall of one second is
//! seen by every write that was due in it, as its users would see it, and not only by the one that was on its way
//! (coordinated omission).

use std::time::{Duration, Instant};

/// Nanoseconds from the beginning of the run; the stamp of what is written.
pub(super) type Nanos = u64;

/// The time of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunClock(Instant);

impl RunClock {
    pub(super) fn start() -> RunClock {
        RunClock(Instant::now())
    }

    pub(super) fn now(self) -> Nanos {
        nanos(self.0.elapsed())
    }

    /// How long it is until then; zero where it is past.
    pub(super) fn until(self, due: Nanos) -> Duration {
        Duration::from_nanos(due.saturating_sub(self.now()))
    }
}

pub(super) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Evenly spaced moments in `[begin, end)`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) begin: Nanos,
    pub(super) end: Nanos,
    per_second: f64,
}

impl Schedule {
    pub(super) fn new(begin: Nanos, end: Nanos, per_second: f64) -> Schedule {
        Schedule { begin, end, per_second }
    }

    /// When the n-th is due, from 0; nothing after the end. Each is computed from the beginning, so that no
    /// rounding adds up.
    pub(super) fn due(&self, n: u64) -> Option<Nanos> {
        let after = n as f64 / self.per_second * 1e9;
        let due = self.begin.checked_add(after as u64)?;
        (after.is_finite() && due < self.end).then_some(due)
    }

    /// How many are due in all.
    pub(super) fn len(&self) -> u64 {
        // Found by halving, so that it says exactly what `due` does.
        let (mut low, mut high) =
            (0, (self.end.saturating_sub(self.begin) as f64 / 1e9 * self.per_second) as u64 + 2);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.due(middle) {
                Some(_) => low = middle + 1,
                None => high = middle,
            }
        }
        low
    }
}

/// The stretches of a run that are measured, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Windows(Vec<(Nanos, Nanos)>);

impl Windows {
    /// Writing begins at `begin`: warm-up, measured, and once more for each further window.
    pub(super) fn new(begin: Nanos, warm_up: Duration, measured: Duration, count: usize) -> Windows {
        let (warm_up, measured) = (nanos(warm_up), nanos(measured));
        let window = |index: usize| {
            let from = begin + (warm_up + measured) * index as u64 + warm_up;
            (from, from + measured)
        };
        Windows((0..count).map(window).collect())
    }

    /// The window in which something was due.
    pub(super) fn of(&self, due: Nanos) -> Option<usize> {
        self.0.iter().position(|(from, to)| (*from..*to).contains(&due))
    }

    pub(super) fn get(&self, index: usize) -> (Nanos, Nanos) {
        self.0[index]
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// When the last one ends.
    pub(super) fn end(&self) -> Nanos {
        self.0.last().map_or(0, |(_, to)| *to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn moments_are_evenly_spaced_and_do_not_drift() {
        let schedule = Schedule::new(5 * SECOND, 15 * SECOND, 3.0);
        assert_eq!(schedule.due(0), Some(5 * SECOND));
        assert_eq!(schedule.due(1), Some(5 * SECOND + 333_333_333));
        assert_eq!(schedule.due(29), Some(14 * SECOND + 666_666_666), "nothing has added up");
        assert_eq!(schedule.due(30), None);
        assert_eq!(schedule.len(), 30);
        for (rate, count) in [(0.0, 0), (0.1, 1), (0.2, 2), (1_000.0, 10_000)] {
            assert_eq!(Schedule::new(0, 10 * SECOND, rate).len(), count, "{rate}");
        }
    }

    #[test]
    fn what_is_due_belongs_to_one_window_or_to_none() {
        let windows = Windows::new(SECOND, Duration::from_secs(2), Duration::from_secs(10), 2);
        assert_eq!((windows.get(0), windows.get(1)), ((3 * SECOND, 13 * SECOND), (15 * SECOND, 25 * SECOND)));
        assert_eq!((windows.len(), windows.end()), (2, 25 * SECOND));
        for (due, window) in
            [(0, None), (3, Some(0)), (12, Some(0)), (13, None), (15, Some(1)), (24, Some(1)), (25, None)]
        {
            assert_eq!(windows.of(due * SECOND), window, "{due}");
        }
    }

    /// One writer, ten writes a second, each answered after 1 ms, but for one that takes 2 s.
    #[test]
    fn a_stall_is_seen_by_every_write_that_was_due_in_it() {
        let schedule = Schedule::new(0, 10 * SECOND, 10.0);
        let (mut free, mut from_due, mut from_sent) = (0, Vec::new(), Vec::new());
        for n in 0.. {
            let Some(due) = schedule.due(n) else { break };
            let sent = due.max(free);
            free = sent + if n == 50 { 2 * SECOND } else { 1_000_000 };
            from_due.push(free - due);
            from_sent.push(free - sent);
        }
        let slow = |latencies: &[Nanos]| latencies.iter().filter(|latency| **latency > SECOND / 2).count();
        assert_eq!(slow(&from_sent), 1, "what a closed loop would tell");
        assert!(slow(&from_due) >= 15, "the writes that waited have waited: {}", slow(&from_due));
        let longest = from_due.iter().max();
        assert_eq!(longest, Some(&(2 * SECOND)));
    }
}

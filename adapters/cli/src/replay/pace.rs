//! When a commit is due.

use std::time::{Duration, Instant as Clock};

use liveset_engine::Timestamp;

use super::Speed;

/// Maps moments of the stream to moments of the replay. The first commit is due at once.
#[derive(Debug)]
pub(super) struct Pace {
    speed: Speed,
    start: Option<(Timestamp, Clock)>,
    paused: Option<Clock>,
}

impl Pace {
    pub(super) fn new(speed: Speed) -> Pace {
        Pace { speed, start: None, paused: None }
    }

    /// How many times faster than it happened; nothing where it is as fast as it goes.
    pub(super) fn times(&self) -> Option<f64> {
        match self.speed {
            Speed::Max => None,
            Speed::Times(times) => Some(times),
        }
    }

    /// How long it is until `at`; nothing where it is due.
    pub(super) fn left(&mut self, at: Timestamp) -> Option<Duration> {
        let Speed::Times(times) = self.speed else { return None };
        let (first, began) = *self.start.get_or_insert_with(|| (at, Clock::now()));
        let nanos = at.unix_nanos().saturating_sub(first.unix_nanos()).max(0) as f64 / times;
        let due = Duration::try_from_secs_f64(nanos / 1e9).unwrap_or(Duration::MAX);
        due.checked_sub(began.elapsed()).filter(|left| !left.is_zero())
    }

    /// Stops the time of the replay.
    pub(super) fn pause(&mut self) {
        self.paused.get_or_insert_with(Clock::now);
    }

    /// Goes on where it was stopped.
    pub(super) fn go_on(&mut self) {
        if let (Some(paused), Some((_, began))) = (self.paused.take(), &mut self.start) {
            *began += paused.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn commits_are_due_in_the_time_of_the_stream() {
        let mut pace = Pace::new(Speed::Times(60.0));
        assert_eq!(pace.left(at("2013-01-01T00:00:00Z")), None);
        let left = pace.left(at("2013-01-01T01:00:00Z")).unwrap();
        assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(50), "{left:?}");
        assert_eq!(pace.left(at("2012-12-31T00:00:00Z")), None, "earlier than the first: at once");
        assert!(pace.left(at("9999-01-01T00:00:00Z")).is_some());
        assert_eq!(Pace::new(Speed::Max).left(at("9999-01-01T00:00:00Z")), None);
    }

    #[test]
    fn a_pause_does_not_count() {
        let mut pace = Pace::new(Speed::Times(1.0));
        pace.left(at("2013-01-01T00:00:00Z"));
        pace.start =
            pace.start.map(|(first, began)| (first, began.checked_sub(Duration::from_secs(5)).unwrap()));
        pace.paused = Clock::now().checked_sub(Duration::from_secs(5));
        pace.go_on();
        let left = pace.left(at("2013-01-01T00:00:10Z")).unwrap();
        assert!(left > Duration::from_secs(9), "{left:?}");
    }
}

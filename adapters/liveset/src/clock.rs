//! Which `now` the queries see.

use std::time::{Duration, SystemTime};

use liveset_engine::Timestamp;

/// Where the `now` of queries comes from. Deadlines of connections go by a monotonic clock of their own, always.
///
/// ```
/// use liveset::{Clock, Timestamp, Liveset, Query, SetDef};
///
/// let liveset = Liveset::builder().set(SetDef::new("flights")).clock(Clock::Commits).build()?;
/// let at = Timestamp::parse_rfc3339("2013-01-01T05:15:00Z");
/// liveset.at(at.unwrap()).commit(|tx| tx.upsert("flights", &serde_json::json!({ "id": "UA1545" })))?;
/// assert_eq!(liveset.query(Query::new("flights").filter("now == 2013-01-01T05:15:00Z"))?.count.total, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The wall clock of the machine.
    #[default]
    System,
    /// The data: `now` is the latest moment that a commit (or
    /// [`set_now`](crate::Liveset::set_now)) named, and stands still in between. For replays and tests that live in
    /// the time of their data. Before the first it is 1970-01-01T00:00:00Z.
    Commits,
}

/// How far the wall clock is trusted: it may be set, forward too, while we sleep.
const WALL_CHECK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) enum WallClock {
    System,
    Commits { latest: Timestamp },
}

impl WallClock {
    pub(crate) fn new(clock: Clock) -> Self {
        match clock {
            Clock::System => Self::System,
            Clock::Commits => Self::Commits { latest: Timestamp::UNIX_EPOCH },
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::from(SystemTime::now()),
            Self::Commits { latest } => *latest,
        }
    }

    /// The `now` of an input for which the data names a moment. The system's clock is not moved by it; a moment before
    /// the latest moves nothing.
    pub(crate) fn now_with(&self, at: Option<Timestamp>) -> Timestamp {
        let now = self.now();
        match (self, at) {
            (Self::Commits { .. }, Some(at)) => at.max(now),
            _ => now,
        }
    }

    /// The input was taken, and its `now` counts.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        if let Self::Commits { latest } = self {
            *latest = now;
        }
    }

    /// How long to sleep before looking whether `at` has come; `None` where sleeping does not help.
    pub(crate) fn until(&self, at: Timestamp) -> Option<Duration> {
        match self {
            Self::Commits { .. } => None,
            Self::System => {
                let left = at.saturating_duration_since(Timestamp::from(SystemTime::now()));
                Some(left.min(WALL_CHECK))
            }
        }
    }
}

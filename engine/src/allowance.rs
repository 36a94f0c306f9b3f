//! What a live query costs while it is kept, and what whoever asks for one may still take.

use liveset_core::model::{Limit, limit};

use crate::EngineLimits;

/// What a live query costs while it is kept. A result that several share costs each of them all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keeping {
    /// The number of its set.
    pub set: usize,
    /// Steps that each changed row of the set costs for it, about: next to nothing where an index finds it and few rows are its own.
    pub standing_steps: u64,
    /// Bytes of its compiled filter and of the most that its window may hold.
    pub bytes: u64,
    /// Fields of the set that no other query read when it was made.
    pub columns: u64,
    /// Whether every change is tried on it, because no index finds it.
    pub is_unindexed: bool,
}

/// What may still be taken by whoever asks for a live query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Steps for each changed row of the set; see [`Keeping::standing_steps`].
    pub standing_steps: Share,
    /// Bytes; see [`Keeping::bytes`].
    pub bytes: Share,
    /// Fields; see [`Keeping::columns`].
    pub columns: Share,
    /// Live queries that no index finds.
    pub unindexed: Share,
    /// Whether the budget of the set counts, which all share.
    pub is_bounded: bool,
    /// Steps that may be spent on the first result at once, one hold of the lock at most; the rest is left to
    /// [`Engine::handle_timeout`](crate::Engine::handle_timeout).
    pub steps_at_once: u64,
}

/// A part of something that is shared: how much it is, and how much of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// All of it.
    pub of: u64,
    /// What is left of it.
    pub left: u64,
    /// The limit that says how much it is.
    pub limit: &'static Limit,
}

impl Share {
    /// A share of which something is taken.
    pub const fn after(limit: &'static Limit, of: u64, taken: u64) -> Self {
        Self { of, left: of.saturating_sub(taken), limit }
    }

    /// The smaller of two, by what is left.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        if other.left < self.left { other } else { self }
    }
}

impl Allowance {
    /// Whatever the engine's own limits let: for the host itself.
    pub const UNLIMITED: Allowance = Allowance {
        standing_steps: Share::after(limit!(EngineLimits.standing_steps), u64::MAX, 0),
        bytes: Share::after(limit!(EngineLimits.max_window_bytes), u64::MAX, 0),
        columns: Share::after(limit!(EngineLimits.max_columns), u64::MAX, 0),
        unindexed: Share::after(limit!(EngineLimits.max_unindexed_views), u64::MAX, 0),
        is_bounded: false,
        steps_at_once: u64::MAX,
    };
}

/// A live query that was opened; see [`Engine::begin_open`](crate::Engine::begin_open).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What its updates name.
    pub feed: crate::FeedId,
    /// Whether its first result is there.
    pub is_there: bool,
    /// What it costs to keep.
    pub keeping: Keeping,
}

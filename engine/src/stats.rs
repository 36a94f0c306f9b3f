//! Counts of the engine's work, for metrics and for tests that assert on work instead of time.

use crate::{update::Reason, window::WindowChange};

/// What the engine holds now and what it has done since it was made. Counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Nodes held now, in all sets.
    pub nodes: u64,
    /// Distinct maintained results (filter, order, cap) now.
    pub views: u64,
    /// Distinct results times projection now.
    pub feeds: u64,
    /// Moments of time waited for now: one for each node and view whose filter time will flip.
    pub deadlines: u64,
    /// Commits applied.
    pub commits: u64,
    /// Nodes whose value changed, over all commits.
    pub nodes_changed: u64,
    /// Filters evaluated against a node, apart from those evaluated to find the next moment at which time flips it.
    pub predicates_evaluated: u64,
    /// Pairs of a changed node and a view that the predicate index found.
    pub candidates_found: u64,
    /// Pairs of a changed node and a view that no index could find, and that were tried.
    pub candidates_scanned: u64,
    /// Nodes visited to build a view, to answer a one-shot query, or to re-evaluate after the clock was set back.
    pub rows_visited: u64,
    /// Flips of filters by time alone.
    pub flips: u64,
    /// Nodes that entered a window because there was room for them.
    pub refilled: u64,
    /// Nodes that left a window because others went before them.
    pub displaced: u64,
    /// Changes sent out, over all feeds.
    pub changes_out: u64,
    /// Times that the wall clock was found set back.
    pub clock_set_back: u64,
}

impl Stats {
    pub(crate) fn count_window_changes(&mut self, changes: &[WindowChange]) {
        for change in changes {
            match change.reason {
                Some(Reason::Refilled) => self.refilled += 1,
                Some(Reason::Displaced) => self.displaced += 1,
                _ => {}
            }
        }
    }
}

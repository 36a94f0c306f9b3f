//! Counts of the engine's work, for metrics and for tests that assert on work instead of time.

use std::ops::{Deref, DerefMut};

use crate::store::set::index::Wish;

/// What the engine holds now and what it has done since it was made ([`Work`], to which it dereferences).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Nodes held now, in all sets.
    pub nodes: u64,
    /// Distinct maintained results (filter, order, cap) now.
    pub views: u64,
    /// Filters of those that every change is tried on now; apart from the one that all nodes pass.
    pub unindexed_views: u64,
    /// Distinct results times projection now.
    pub feeds: u64,
    /// Indexes over nodes now.
    pub indexes: u64,
    /// Moments of time waited for now: one for each test over `now` that an order of values serves, else one for each node
    /// whose filter time will flip.
    pub deadlines: u64,
    /// Commits applied.
    pub commits: u64,
    /// Nodes whose value changed, over all commits.
    pub nodes_changed: u64,
    /// Times that the wall clock was found set back.
    pub clock_set_back: u64,
    /// Times that a moment was reached at which time alone may change a result.
    pub deadlines_fired: u64,
    /// Filters that are behind their set now; see [`EngineLimits::hold_steps`](crate::EngineLimits::hold_steps).
    pub behind: u64,
    /// Row versions kept for them now.
    pub behind_rows: u64,
    /// Bytes of these, about.
    pub behind_bytes: u64,
    /// Bytes held by nodes now, about: their JSON, decoded fields and ids.
    pub row_bytes: u64,
    /// Bytes held by indexes now, about: those that find nodes and those that find queries.
    pub index_bytes: u64,
    /// Bytes held by windows now, about: 32 for each node in them or in their reserve; the nodes themselves are not theirs. One that
    /// waits for its first result counts with the most that it may take.
    pub window_bytes: u64,
    /// What was done.
    pub work: Work,
}

impl Deref for Stats {
    type Target = Work;

    fn deref(&self) -> &Work {
        &self.work
    }
}

/// What the engine has done for queries since it was made. Counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Steps of work: comparisons of two scalars, moves of a row in a window, and reading of 16 bytes of JSON each count as one or
    /// a few.
    pub steps: u64,
    /// Filters that fell behind their set, because a commit or a moment of time cost more than one hold allows.
    pub fell_behind: u64,
    /// Results that were computed again as a whole, because to keep them up to date would have cost more.
    pub made_again: u64,
    /// Filters, or what an index has left to check of them, evaluated against a node; apart from those evaluated to find the
    /// next moment at which time flips it.
    pub predicates_evaluated: u64,
    /// Pairs of a changed node and a query that an index found.
    pub candidates_found: u64,
    /// Queries that a value of a changed node led to; a pair that is found in two ways counts twice here.
    pub candidates_by_value: u64,
    /// Queries that an item of a list of a changed node led to, counted alike.
    pub candidates_by_item: u64,
    /// Queries whose range, prefix or span of time holds a value of a changed node, counted alike.
    pub candidates_by_range: u64,
    /// Queries that are stretches of a shared order, up to whose end a changed node stands, counted alike.
    pub candidates_by_stretch: u64,
    /// Pairs of a changed node and a query that no index could find, and that were tried.
    pub candidates_scanned: u64,
    /// Nodes visited to build a view, to refill a window, to answer a one-shot query, or to re-evaluate after the clock was
    /// set back.
    pub rows_visited: u64,
    /// Of those, the nodes visited to refill windows.
    pub rows_visited_refilling: u64,
    /// Windows refilled, out of an order or out of what their filters find.
    pub refills: u64,
    /// Times that a query was found in vain so often that it was filed under another part of its filter, or anew where its range
    /// moves with time.
    pub rechosen: u64,
    /// Windows that a change was applied to.
    pub windows_touched: u64,
    /// Flips of filters by time alone.
    pub flips: u64,
    /// Nodes that entered a window because there was room for them.
    pub refilled: u64,
    /// Nodes that left a window because others went before them.
    pub displaced: u64,
    /// Changes sent out, over all feeds.
    pub changes_out: u64,
}

/// What a shard has done, and what it would have needed.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) work: Work,
    /// Indexes that would have been of use, each with the number of its set.
    pub(crate) wishes: Vec<(usize, Wish)>,
}

impl Deref for Account {
    type Target = Work;

    fn deref(&self) -> &Work {
        &self.work
    }
}

impl DerefMut for Account {
    fn deref_mut(&mut self) -> &mut Work {
        &mut self.work
    }
}

/// Lists the counters once, for what is done with each of them.
macro_rules! counters {
    ($each:ident) => {
        $each!(
            steps,
            fell_behind,
            made_again,
            predicates_evaluated,
            candidates_found,
            candidates_by_value,
            candidates_by_item,
            candidates_by_range,
            candidates_by_stretch,
            candidates_scanned,
            rows_visited,
            rows_visited_refilling,
            refills,
            rechosen,
            windows_touched,
            flips,
            refilled,
            displaced,
            changes_out
        )
    };
}

impl Work {
    /// What was done since an earlier count.
    #[must_use]
    pub fn since(&self, earlier: &Work) -> Work {
        macro_rules! subtract {
            ($($counter:ident),*) => {
                Work { $($counter: self.$counter - earlier.$counter,)* }
            };
        }
        counters!(subtract)
    }

    pub(crate) fn add(&mut self, other: &Work) {
        macro_rules! add {
            ($($counter:ident),*) => {{ $(self.$counter += other.$counter;)* }};
        }
        counters!(add);
    }
}

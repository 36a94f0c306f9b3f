//! The outputs of the engine: snapshots and net changes.

use std::sync::Arc;

use bytes::Bytes;
use liveset_core::model::{self, Batch, Change, Count, Reason};

use crate::{
    projection::Projection,
    store::{row::Row, sorting::Sorting},
};

/// The net change of one feed by one commit, or by one moment of time. Its rows are rendered when they are asked for.
#[derive(Clone, Debug)]
pub struct Update {
    /// Whose result changed.
    pub feed: FeedId,
    /// Strictly increasing over commits and steps of time.
    pub version: u64,
    /// The count as of now. Always there if the query [follows its count](crate::Plan::without_counts); else it may
    /// be unknown, because to know it would be work of its own.
    pub count: Option<Count>,
    pub(crate) changes: Vec<WindowChange>,
    pub(crate) shown: Arc<Shown>,
}

impl Update {
    /// The number of rows that changed; 0 if only the count did.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether only the count changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes as the feed shows them: removals first, then additions and updates in the order of the result. Renders each row as
    /// it is asked for: shared where the query shows all of it, else a copy of what it shows; and the order key.
    pub fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        self.changes.iter().filter_map(|WindowChange { before, after, reason }| {
            let [before, after] = [before, after].map(|row| row.as_ref().map(|row| self.shown.row(row)));
            Change::between(before, after, *reason)
        })
    }

    /// All of it, rendered.
    pub fn batch(&self) -> Batch {
        Batch { version: self.version, count: self.count, changes: self.changes().collect() }
    }
}

/// How far the result of a feed is complete; see [`Engine::poll_lag`](crate::Engine::poll_lag).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Whose result it is.
    pub feed: FeedId,
    /// Updates of later versions are still to come; `None` where that is so of none.
    pub complete: Option<u64>,
    /// There where what versions have changed was told as one net change, if they have changed anything: those behind the first version
    /// up to the second, which is that of the change. Of none in between is it known what the result was.
    pub net: Option<(u64, u64)>,
}

impl Lag {
    pub(crate) fn new(feed: FeedId, complete: Option<u64>) -> Lag {
        Lag { feed, complete, net: None }
    }
}

/// A node's net change in the window. At least one side is there.
#[derive(Clone, Debug)]
pub(crate) struct WindowChange {
    pub(crate) before: Option<Row>,
    pub(crate) after: Option<Row>,
    pub(crate) reason: Option<Reason>,
}

/// The renderer for the rows of a feed.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) sorting: Arc<Sorting>,
    pub(crate) projection: Projection,
}

impl Shown {
    pub(crate) fn row(&self, row: &Row) -> model::Row {
        self.row_at(row, self.sorting.order_key(row))
    }

    /// The row with its order key, where that is known.
    pub(crate) fn row_at(&self, row: &Row, order_key: Bytes) -> model::Row {
        match self.projection.is_whole() {
            true => model::Row::of(Arc::new(row.clone()), order_key),
            false => model::Row::new(row.id(), self.projection.project(row.json()), order_key),
        }
    }
}

/// A result that the engine keeps true: one query with one projection, however many watch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedId(pub(crate) u64);

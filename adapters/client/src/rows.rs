//! Rows and their changes, as the host's own type.

use std::sync::Arc;

use liveset_core::model::{Count, Reason};

use crate::error::Error;

/// The rows of a live query at one moment, in the order of the query.
#[derive(Debug, Clone)]
pub struct Rows<T> {
    pub(crate) rows: Vec<(Arc<str>, Arc<T>)>,
    pub(crate) errors: Vec<Error>,
    pub(crate) count: Count,
}

impl<T> Rows<T> {
    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<T>> + DoubleEndedIterator {
        self.rows.iter().map(|(_, row)| row)
    }

    /// The rows in order, with their ids.
    pub fn with_ids(&self) -> impl ExactSizeIterator<Item = (&str, &Arc<T>)> + DoubleEndedIterator {
        self.rows.iter().map(|(id, row)| (&**id, row))
    }

    /// The row of that id: O(rows).
    pub fn find(&self, id: &str) -> Option<&Arc<T>> {
        self.rows.iter().find(|(other, _)| **other == *id).map(|(_, row)| row)
    }

    /// How many rows there are, without those that cannot be read.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows that are no `T`, each an [`Error::Row`]. They are left out of the others.
    pub fn errors(&self) -> &[Error] {
        &self.errors
    }

    /// How many rows match, whatever the limit.
    pub fn total_count(&self) -> u64 {
        self.count.total
    }

    /// Whether more rows match than there are here.
    pub fn capped(&self) -> bool {
        self.count.capped
    }
}

impl<T> IntoIterator for Rows<T> {
    type Item = Arc<T>;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter(self.rows.into_iter())
    }
}

/// The rows of [`Rows`] by value.
#[derive(Debug)]
pub struct IntoIter<T>(std::vec::IntoIter<(Arc<str>, Arc<T>)>);

impl<T> Iterator for IntoIter<T> {
    type Item = Arc<T>;

    fn next(&mut self) -> Option<Arc<T>> {
        self.0.next().map(|(_, row)| row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T> ExactSizeIterator for IntoIter<T> {}

/// What one commit has changed in a live query, net.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Batch<T> {
    /// Removals first. Empty where only the count has changed, or the order.
    pub changes: Vec<Change<T>>,
    /// How many rows match after it, whatever the limit.
    pub total_count: u64,
    /// Whether more rows match than the result has.
    pub capped: bool,
}

/// What happened to one row.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Change<T> {
    /// It is in the result now.
    Added {
        /// The row's id.
        id: Arc<str>,
        /// The row.
        row: Arc<T>,
        /// Why it came; `None` for rows that were there when the stream began, or that came while there was no connection.
        reason: Option<Reason>,
    },
    /// It was in the result, and has changed.
    Updated {
        /// The row's id.
        id: Arc<str>,
        /// The row as it is now.
        row: Arc<T>,
    },
    /// It is no longer in the result.
    Removed {
        /// The row's id.
        id: Arc<str>,
        /// Why it went, as in [`Added`](Change::Added).
        reason: Option<Reason>,
    },
}

impl<T> Change<T> {
    /// The row's id.
    pub fn id(&self) -> &str {
        match self {
            Change::Added { id, .. } | Change::Updated { id, .. } | Change::Removed { id, .. } => id,
        }
    }

    /// The row as it is now; `None` where it is gone.
    pub fn row(&self) -> Option<&Arc<T>> {
        match self {
            Change::Added { row, .. } | Change::Updated { row, .. } => Some(row),
            Change::Removed { .. } => None,
        }
    }
}

//! The changes of a result.

use std::sync::Arc;

use serde::Serialize;

use super::{Count, Row};
use crate::message::text_len;

/// Why a row entered or left a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Entered: the row is new in its set.
    Created,
    /// Entered or left: a change of the row made the filter true or false.
    Filter,
    /// Entered: it matched already, and there is room for it now.
    Refilled,
    /// Left: it still matches, but others go before it.
    Displaced,
    /// Entered or left: time passed.
    Time,
    /// Left: the row was removed from its set.
    Deleted,
    /// Left: the principal may no longer see it.
    Forbidden,
}

impl Reason {
    /// The reason as it stands in the message about a row that has `entered`, or left.
    pub const fn as_str(self, entered: bool) -> &'static str {
        match self {
            Reason::Created => "created",
            Reason::Filter => "filter",
            Reason::Refilled => "refilled",
            Reason::Displaced => "displaced",
            Reason::Time if entered => "time",
            Reason::Time => "expired",
            Reason::Deleted => "deleted",
            Reason::Forbidden => "forbidden",
        }
    }

    /// The reasons for which a row can have entered, or left.
    pub(crate) fn all(entered: bool) -> &'static [Reason] {
        use Reason::{Created, Deleted, Displaced, Filter, Forbidden, Refilled, Time};
        if entered {
            &[Created, Filter, Refilled, Time]
        } else {
            &[Filter, Displaced, Time, Deleted, Forbidden]
        }
    }

    pub(crate) fn from_wire(text: &str, entered: bool) -> Option<Reason> {
        Reason::all(entered).iter().copied().find(|reason| reason.as_str(entered) == text)
    }
}

/// The net change of one row: the window before against the window after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "change")]
pub enum Change {
    /// The row is in the window now.
    Added {
        /// The row as it stands in the window.
        row: Row,
        /// Why it entered; `None` where several changes were folded that leave no one reason.
        reason: Option<Reason>,
    },
    /// The row was and is in the window; its JSON or its place changed.
    Updated {
        /// The row as it stood in the window before.
        before: Row,
        /// The row as it stands in the window now.
        row: Row,
    },
    /// The row is no longer in the window.
    Removed {
        /// The row as it stood in the window before.
        row: Row,
        /// Why it left, as in [`Added`](Change::Added).
        reason: Option<Reason>,
    },
}

impl Change {
    /// The change between two states of one row; `None` where it was not there and is not.
    pub fn between(before: Option<Row>, after: Option<Row>, reason: Option<Reason>) -> Option<Change> {
        match (before, after) {
            (None, None) => None,
            (None, Some(row)) => Some(Change::Added { row, reason }),
            (Some(before), Some(row)) => Some(Change::Updated { before, row }),
            (Some(row), None) => Some(Change::Removed { row, reason }),
        }
    }

    /// The row's id.
    pub fn id(&self) -> &str {
        match self {
            Change::Added { row, .. } | Change::Updated { row, .. } | Change::Removed { row, .. } => row.id(),
        }
    }

    /// The row as it stood in the window before.
    pub fn before(&self) -> Option<&Row> {
        match self {
            Change::Added { .. } => None,
            Change::Updated { before: row, .. } | Change::Removed { row, .. } => Some(row),
        }
    }

    /// The row as it stands in the window now.
    pub fn after(&self) -> Option<&Row> {
        match self {
            Change::Added { row, .. } | Change::Updated { row, .. } => Some(row),
            Change::Removed { .. } => None,
        }
    }

    /// Why the row entered or left; `None` for an update.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Change::Added { reason, .. } | Change::Removed { reason, .. } => *reason,
            Change::Updated { .. } => None,
        }
    }

    /// The net of this change and a later one of the same row; `None` where they leave the row as it was.
    pub(crate) fn then(self, next: &Change) -> Option<Change> {
        let reason = match (&self, next) {
            // An update of what nobody has seen yet is still the addition that it was.
            (Change::Added { reason, .. }, Change::Updated { .. }) => *reason,
            _ => next.reason(),
        };
        let before = match self {
            Change::Added { .. } => None,
            Change::Updated { before: row, .. } | Change::Removed { row, .. } => Some(row),
        };
        let after = next.after().cloned();
        if before == after {
            return None;
        }
        Change::between(before, after, reason)
    }

    /// The bytes that it counts for in a backlog.
    pub(crate) fn bytes(&self) -> usize {
        text_len(self.id()) + self.before().map_or(0, Row::bytes) + self.after().map_or(0, Row::bytes)
    }
}

/// The net changes of one commit, or of one step of time, to one result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// The number of the commit or step, strictly increasing from batch to batch of one result.
    pub version: u64,
    /// The count after the batch. `None` is allowed where no receiver of the batch follows the count.
    pub count: Option<Count>,
    /// Removals first, then additions and updates in the order of the result. Empty where only the count changed.
    pub changes: Vec<Change>,
}

impl Batch {
    /// Bytes of the changes: ids as they are written, and rows and order keys as they were and as they are. O(changes).
    pub fn bytes(&self) -> usize {
        self.changes.iter().map(Change::bytes).sum()
    }
}

/// An update of a live query: one snapshot, then batches. Applying the batches to the rows of the snapshot gives
/// the query's result of the batch's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveUpdate {
    /// The whole result. The first update, and only that.
    Snapshot(Arc<super::Snapshot>),
    /// The changes since the last update, by one or several commits or moments of time.
    Batch(Arc<Batch>),
}

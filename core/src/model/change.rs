//! Rows as the conversation sees them: opaque JSON with a rank, and how a result changes.

use std::sync::Arc;

use bytes::Bytes;

use crate::message::text_len;
use crate::version::VersionCode;

/// One projected node: its JSON and its place in the order of its query. Cloning shares both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doc {
    /// The node as one JSON object, projected, as it goes on the wire. Never parsed here.
    pub data: Bytes,
    /// Order-preserving bytes, unique per node: comparing them as bytes is comparing in the query's order.
    pub rank: Bytes,
}

impl Doc {
    /// What it weighs where it waits.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len() + self.rank.len()
    }
}

/// Why a row entered or left a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

    pub(crate) fn from_wire(text: &str, entered: bool) -> Option<Reason> {
        use Reason::{Created, Deleted, Displaced, Filter, Forbidden, Refilled, Time};
        let all: &[Reason] = if entered {
            &[Created, Filter, Refilled, Time]
        } else {
            &[Filter, Displaced, Time, Deleted, Forbidden]
        };
        all.iter().copied().find(|reason| reason.as_str(entered) == text)
    }
}

/// The net change of one node: the window before against the window after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The node's id, as text.
    pub id: Arc<str>,
    /// The node as it stood in the window before; `None`: it was not in it.
    pub before: Option<Doc>,
    /// The node as it stands in the window after; `None`: it is not in it.
    pub after: Option<Doc>,
    /// Why it entered or left; `None` for updates.
    pub reason: Option<Reason>,
}

/// The net changes of one commit, or of one step of time, to one result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeBatch {
    /// The number of the commit or step, strictly increasing from batch to batch of one result.
    pub version: u64,
    /// How many nodes match after it. Read only for live queries with `counts`; where nobody who gets the batch follows the
    /// count it may be unknown, and is 0 then.
    pub total_count: u64,
    /// Whether `total_count` exceeds the cap after it; `false` where that is unknown.
    pub capped: bool,
    /// Removals first, then additions and updates in the order of the result.
    pub changes: Vec<Change>,
}

impl ChangeBatch {
    /// Bytes of the changes: ids as they are written, and nodes and ranks as they were and as they are. O(changes).
    pub fn bytes(&self) -> usize {
        let of_change =
            |change: &Change| change_bytes(&change.id, change.before.as_ref(), change.after.as_ref());
        self.changes.iter().map(of_change).sum()
    }
}

/// What a change weighs where it waits.
pub(crate) fn change_bytes(id: &str, before: Option<&Doc>, after: Option<&Doc>) -> usize {
    text_len(id) + before.map_or(0, Doc::bytes) + after.map_or(0, Doc::bytes)
}

/// A whole result at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of the last commit or step that it includes.
    pub version: u64,
    /// How the versions are written that a client of this query is given.
    pub mark: VersionCode,
    /// How many nodes match.
    pub total_count: u64,
    /// Whether `total_count` exceeds the cap.
    pub capped: bool,
    /// The window, in order: node id and node.
    pub rows: Vec<(Arc<str>, Doc)>,
}

impl Snapshot {
    /// Bytes of the rows as JSON. O(rows).
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(|(_, doc)| doc.data.len()).sum()
    }

    /// The version as a client is given it.
    pub(crate) fn version_text(&self, positions: bool) -> Box<str> {
        self.mark.text(self.version, positions)
    }
}

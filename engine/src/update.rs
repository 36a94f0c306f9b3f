//! What comes out of the engine: documents, snapshots and net diffs.

use std::sync::Arc;

use bytes::Bytes;

/// A node's id: the text of its key field (an integer key in decimal form).
pub type NodeId = Arc<str>;

/// A node as one feed shows it. Cloning copies two reference-counted pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doc {
    /// The JSON object as the host wrote it, cut down to the query's fields where it named some.
    pub data: Bytes,
    /// The place of the node in the query's order: bytes that compare (`memcmp`) as the order does. Unique per node.
    pub rank: Bytes,
}

/// The result of a query at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The engine's version of this result; an [`Update`] of a higher version comes after it.
    pub version: u64,
    /// How many nodes match, whatever the cap.
    pub total_count: u64,
    /// Whether more nodes match than `rows` may hold.
    pub capped: bool,
    /// The first nodes of the result, in its order, at most the cap.
    pub rows: Vec<(NodeId, Doc)>,
}

/// The net change of one feed by one commit, or by one moment of time.
#[derive(Clone, Debug)]
pub struct Update {
    /// Whose result changed.
    pub feed: FeedId,
    /// Strictly increasing over commits and steps of time.
    pub version: u64,
    /// How many nodes match now.
    pub total_count: u64,
    /// Whether more nodes match now than the window holds.
    pub capped: bool,
    /// Removals first, then additions and updates in the order of the result. Empty where only the count changed.
    pub changes: Vec<Change>,
}

/// One node's net change: in the window before, in the window after, or both.
#[derive(Clone, Debug)]
pub struct Change {
    /// The node.
    pub id: NodeId,
    /// What the window held before; `None` for an addition.
    pub before: Option<Doc>,
    /// What the window holds after; `None` for a removal.
    pub after: Option<Doc>,
    /// Why the node came or went; `None` for an update.
    pub reason: Option<Reason>,
}

/// Why a node entered or left a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Entered: the node is new in its set.
    Created,
    /// Entered or left: a change of the node made the filter true or false.
    Filter,
    /// Entered: it matched already, and there is room for it now.
    Refilled,
    /// Left: it still matches, but others go before it.
    Displaced,
    /// Entered or left: time passed.
    Time,
    /// Left: the node was removed from its set.
    Deleted,
}

/// A result that the engine keeps true: one query with one projection, however many watch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedId(pub(crate) u64);

//! What comes out of the engine: documents, snapshots and net diffs.

use std::sync::Arc;

use bytes::Bytes;
use liveset_core::model::{Change, Doc, Reason};

use crate::{
    projection::Projection,
    store::{row::Row, sorting::Sorting},
};

/// A node's id: the text of its key field (an integer key in decimal form).
pub type NodeId = Arc<str>;

/// A node that was read and checked ahead of the commit that brings it, on whatever thread; see
/// [`Engine::decode`](crate::Engine::decode). Cloning copies a reference-counted pointer.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) set: usize,
    pub(crate) row: Arc<Row>,
}

impl Node {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.row.id
    }

    /// Its JSON, without insignificant white space.
    pub fn json(&self) -> &Bytes {
        &self.row.raw
    }
}

/// The same node of the same set, written alike.
impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.set == other.set && self.row.raw == other.row.raw
    }
}

impl Eq for Node {}

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

/// How many nodes match, and whether that is more than the window holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Nodes that match.
    pub total: u64,
    /// Whether they are more than the cap.
    pub capped: bool,
}

impl Count {
    pub(crate) fn new(total: u64, cap: usize) -> Self {
        Self { total, capped: total > cap as u64 }
    }
}

/// The net change of one feed by one commit, or by one moment of time. Its nodes are rendered when they are asked for.
#[derive(Clone, Debug)]
pub struct Update {
    /// Whose result changed.
    pub feed: FeedId,
    /// Strictly increasing over commits and steps of time.
    pub version: u64,
    /// How many nodes match now. Always there where the query [follows its count](crate::Plan::without_counts); else it may
    /// be unknown, because to know it would be work of its own.
    pub count: Option<Count>,
    changes: Vec<NodeChange>,
    shown: Arc<Shown>,
}

impl Update {
    pub(crate) fn new(
        feed: FeedId,
        version: u64,
        count: Option<Count>,
        changes: Vec<NodeChange>,
        shown: Arc<Shown>,
    ) -> Self {
        Self { feed, version, count, changes, shown }
    }

    /// The changes as the feed shows them: removals first, then additions and updates in the order of the result. None where
    /// only the count changed. Renders each node as it is asked for: a copy of what the query shows of it, or no copy at
    /// all where that is the whole node, and its rank.
    pub fn changes(&self) -> impl ExactSizeIterator<Item = Change> + '_ {
        self.changes.iter().map(|change| Change {
            id: NodeId::from(change.id()),
            before: change.before.as_ref().map(|row| self.shown.doc(row)),
            after: change.after.as_ref().map(|row| self.shown.doc(row)),
            reason: change.reason,
        })
    }

    /// The changes as they are in the data, in the same order, without rendering them.
    pub fn nodes(&self) -> &[NodeChange] {
        &self.changes
    }
}

/// One node's net change in the data: in the window before, in the window after, or both.
#[derive(Clone, Debug)]
pub struct NodeChange {
    before: Option<Arc<Row>>,
    after: Option<Arc<Row>>,
    reason: Option<Reason>,
}

impl NodeChange {
    /// `None` where the node is on neither side.
    pub(crate) fn new(
        before: &Option<Arc<Row>>,
        after: &Option<Arc<Row>>,
        reason: Option<Reason>,
    ) -> Option<Self> {
        let is_there = before.is_some() || after.is_some();
        is_there.then(|| Self { before: before.clone(), after: after.clone(), reason })
    }

    /// The node's id.
    pub fn id(&self) -> &str {
        self.after.as_ref().or(self.before.as_ref()).map_or("", |row| &row.id)
    }

    /// The whole node as the window held it; `None` for an addition.
    pub fn before(&self) -> Option<&Bytes> {
        self.before.as_ref().map(|row| &row.raw)
    }

    /// The whole node as the window holds it; `None` for a removal.
    pub fn after(&self) -> Option<&Bytes> {
        self.after.as_ref().map(|row| &row.raw)
    }

    /// Why the node came or went; `None` for an update.
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }
}

/// What the nodes of a feed are rendered with.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) sorting: Arc<Sorting>,
    pub(crate) projection: Projection,
}

impl Shown {
    pub(crate) fn doc(&self, row: &Row) -> Doc {
        Doc { data: self.projection.project(&row.raw), rank: self.sorting.rank(row) }
    }
}

/// A result that the engine keeps true: one query with one projection, however many watch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedId(pub(crate) u64);

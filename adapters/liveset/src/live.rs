//! Live queries inside the process.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use liveset_core::{ChangeBatch, Reason};
use liveset_hub::{WatchEvent, WatchId};

use crate::query::{QueryResult, Row};
use crate::shared::Shared;

/// A query whose result is kept true: a stream of one [`LiveUpdate::Snapshot`] and then [`LiveUpdate::Diff`]s, without
/// an end. Made by [`Liveset::live`](crate::Liveset::live); dropping it frees everything that was kept for it.
///
/// Each diff is atomic: the net change of one commit or of one moment of time. While nobody reads the stream, what
/// waits is folded per node once it is more than a few hundred changes, so that a reader who comes late finds at most
/// twice the window, and is at the present after it.
///
/// ```
/// use liveset::{Change, LiveUpdate, Liveset, Query, Set};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let liveset = Liveset::builder().set(Set::new("orders")).build()?;
/// let mut large = liveset.live(Query::new("orders").filter("total > 100"))?;
/// assert!(matches!(large.next().await, LiveUpdate::Snapshot(result) if result.rows.is_empty()));
///
/// liveset.commit(|tx| tx.upsert("orders", &serde_json::json!({ "id": 1, "total": 250 })))?;
/// let LiveUpdate::Diff(diff) = large.next().await else { panic!("a snapshot comes only first") };
/// assert!(matches!(&diff.changes[..], [Change::Added { row, .. }] if &*row.id == "1"));
/// # Ok(())
/// # }
/// ```
pub struct LiveQuery {
    shared: Arc<Shared>,
    watch: WatchId,
}

impl LiveQuery {
    pub(crate) fn new(shared: Arc<Shared>, watch: WatchId) -> Self {
        Self { shared, watch }
    }

    /// The next update, as soon as there is one. Cancel-safe.
    pub async fn next(&mut self) -> LiveUpdate {
        poll_fn(|cx| self.poll_update(cx)).await
    }

    /// The next update, if there is one already. Outside of a runtime, where nobody else may do it, this does a slice of the
    /// work that is left for a first result.
    pub fn try_next(&mut self) -> Option<LiveUpdate> {
        let event = self.shared.poll_watch(self.watch, None).or_else(|| {
            self.shared.work_here();
            self.shared.poll_watch(self.watch, None)
        });
        event.map(LiveUpdate::from)
    }

    fn poll_update(&mut self, cx: &mut Context<'_>) -> Poll<LiveUpdate> {
        // Time must be able to change the result while nothing else happens.
        self.shared.ensure_timer();
        match self.shared.poll_watch(self.watch, Some(cx.waker())) {
            Some(event) => Poll::Ready(event.into()),
            None => Poll::Pending,
        }
    }
}

impl Stream for LiveQuery {
    type Item = LiveUpdate;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LiveUpdate>> {
        self.poll_update(cx).map(Some)
    }
}

impl Drop for LiveQuery {
    fn drop(&mut self) {
        self.shared.unwatch(self.watch);
    }
}

impl fmt::Debug for LiveQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveQuery").field("watch", &self.watch).finish_non_exhaustive()
    }
}

/// What a [`LiveQuery`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveUpdate {
    /// The whole result; always and only first. Over many nodes it may take a moment.
    Snapshot(QueryResult),
    /// What changed since the update before.
    Diff(Diff),
}

/// The net change of a result. Applying its changes in order leads from one true result to another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diff {
    /// Removals first, then additions and updates in the order of the result. Empty where only the count changed.
    pub changes: Vec<Change>,
    /// How many nodes match now.
    pub total_count: u64,
    /// Whether more match than the window holds.
    pub capped: bool,
    /// The state of the data that this leads to.
    pub version: u64,
}

/// What happened to one node of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is in the result now.
    Added {
        /// The node.
        row: Row,
        /// Why, where the engine said so.
        reason: Option<Reason>,
    },
    /// It was and is in the result; its data or its place changed.
    Updated {
        /// The node as it is now.
        row: Row,
        /// Its place before.
        old_order_key: Bytes,
    },
    /// It is no more in the result.
    Removed {
        /// The node as it was last.
        row: Row,
        /// Why, where the engine said so.
        reason: Option<Reason>,
    },
}

impl Change {
    /// The node's id.
    pub fn id(&self) -> &Arc<str> {
        match self {
            Self::Added { row, .. } | Self::Updated { row, .. } | Self::Removed { row, .. } => &row.id,
        }
    }
}

impl From<WatchEvent> for LiveUpdate {
    fn from(event: WatchEvent) -> Self {
        match event {
            WatchEvent::Snapshot(snapshot) => Self::Snapshot(Arc::unwrap_or_clone(snapshot).into()),
            WatchEvent::Changes(batch) => Self::Diff(Arc::unwrap_or_clone(batch).into()),
        }
    }
}

impl From<ChangeBatch> for Diff {
    fn from(batch: ChangeBatch) -> Self {
        let ChangeBatch { version, total_count, capped, changes } = batch;
        Self { changes: changes.into_iter().filter_map(change).collect(), total_count, capped, version }
    }
}

fn change(change: liveset_core::Change) -> Option<Change> {
    let liveset_core::Change { id, before, after, reason } = change;
    match (before, after) {
        (None, None) => None,
        (None, Some(after)) => Some(Change::Added { row: Row::new(id, after), reason }),
        (Some(before), Some(after)) => {
            Some(Change::Updated { row: Row::new(id, after), old_order_key: before.rank })
        }
        (Some(before), None) => Some(Change::Removed { row: Row::new(id, before), reason }),
    }
}

/// The rows of a live query, kept up with its updates, in the query's order.
///
/// ```no_run
/// # async fn f(mut orders: liveset::LiveQuery) {
/// let mut rows = liveset::LiveRows::default();
/// loop {
///     rows.apply(orders.next().await);
///     println!("{} of {}", rows.len(), rows.total_count());
/// }
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct LiveRows {
    rows: BTreeMap<Bytes, Row>,
    total_count: u64,
    capped: bool,
    version: u64,
}

impl LiveRows {
    /// Takes the next update of the stream: O(changes × log rows).
    pub fn apply(&mut self, update: LiveUpdate) {
        match update {
            LiveUpdate::Snapshot(result) => {
                let QueryResult { rows, total_count, capped, version } = result;
                self.rows = rows.into_iter().map(|row| (row.order_key.clone(), row)).collect();
                (self.total_count, self.capped, self.version) = (total_count, capped, version);
            }
            LiveUpdate::Diff(diff) => {
                // Every place is given up before any is taken: a row may move to where another was.
                for change in &diff.changes {
                    match change {
                        Change::Added { .. } => {}
                        Change::Updated { old_order_key, .. } => drop(self.rows.remove(old_order_key)),
                        Change::Removed { row, .. } => drop(self.rows.remove(&row.order_key)),
                    }
                }
                for change in diff.changes {
                    if let Change::Added { row, .. } | Change::Updated { row, .. } = change {
                        self.rows.insert(row.order_key.clone(), row);
                    }
                }
                (self.total_count, self.capped, self.version) = (diff.total_count, diff.capped, diff.version);
            }
        }
    }

    /// The rows, in the query's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Row> {
        self.rows.values()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many nodes match; more than there are rows where the result is [`capped`](Self::is_capped).
    pub fn total_count(&self) -> u64 {
        self.total_count
    }

    /// Whether more nodes match than there are rows.
    pub fn is_capped(&self) -> bool {
        self.capped
    }

    /// The state of the data that the rows show.
    pub fn version(&self) -> u64 {
        self.version
    }
}

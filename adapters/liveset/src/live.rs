//! Live queries inside the process.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use liveset_core::model::{Change, Count, LiveUpdate, Row};
use liveset_hub::WatchId;

use crate::shared::Shared;

/// A query whose result is kept true: a stream of one [`LiveUpdate::Snapshot`] and then [`LiveUpdate::Batch`]es. It ends
/// when the last [`Liveset`](crate::Liveset) is dropped. Made by [`Liveset::live`](crate::Liveset::live); dropping it frees everything that was kept for it.
///
/// Each batch is atomic: the net change of one commit or of one moment of time. While nobody reads the stream, what
/// waits is folded per row once it is more than a few hundred changes, so that a reader who comes late finds at most
/// twice the window, and is at the present after it.
///
/// ```
/// use liveset::{Change, LiveUpdate, Liveset, Query, SetDef};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let liveset = Liveset::builder().set(SetDef::new("orders")).build()?;
/// let mut large = liveset.live(Query::new("orders").filter("total > 100"))?;
/// assert!(matches!(large.next().await, Some(LiveUpdate::Snapshot(result)) if result.rows.is_empty()));
///
/// liveset.commit(|tx| tx.upsert("orders", &serde_json::json!({ "id": 1, "total": 250 })))?;
/// let Some(LiveUpdate::Batch(batch)) = large.next().await else { panic!("a snapshot comes only first") };
/// assert!(matches!(&batch.changes[..], [Change::Added { row, .. }] if row.id() == "1"));
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

    /// The next update, as soon as there is one; `None` when no handle is left that could change anything. Cancel-safe.
    pub async fn next(&mut self) -> Option<LiveUpdate> {
        poll_fn(|cx| self.poll_update(cx)).await
    }

    /// The next update, if there is one already. Outside of a runtime, where nobody else may do it, this does a slice of the
    /// work that is left for a first result.
    pub fn try_next(&mut self) -> Option<LiveUpdate> {
        self.shared.poll_watch(self.watch).or_else(|| {
            self.shared.work_here();
            self.shared.poll_watch(self.watch)
        })
    }

    fn poll_update(&mut self, cx: &mut Context<'_>) -> Poll<Option<LiveUpdate>> {
        // Time must be able to change the result while nothing else happens.
        self.shared.ensure_timer();
        self.shared.poll_stream(self.watch, cx.waker())
    }
}

impl Stream for LiveQuery {
    type Item = LiveUpdate;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LiveUpdate>> {
        self.poll_update(cx)
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

/// The rows of a live query, kept up with its updates, in the query's order.
///
/// ```no_run
/// # async fn f(mut orders: liveset::LiveQuery) {
/// let mut rows = liveset::LiveRows::default();
/// while let Some(update) = orders.next().await {
///     rows.apply(update);
///     println!("{} of {}", rows.len(), rows.count().total);
/// }
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct LiveRows {
    rows: BTreeMap<Bytes, Row>,
    count: Count,
    version: u64,
}

impl LiveRows {
    /// Takes the next update of the stream: O(changes × log rows).
    pub fn apply(&mut self, update: LiveUpdate) {
        match update {
            LiveUpdate::Snapshot(snapshot) => {
                let place = |row: &Row| (row.order_key().clone(), row.clone());
                self.rows = snapshot.rows.iter().map(place).collect();
                (self.count, self.version) = (snapshot.count, snapshot.version);
            }
            LiveUpdate::Batch(batch) => {
                // Every place is given up before any is taken: a row may move to where another was.
                for row in batch.changes.iter().filter_map(Change::before) {
                    self.rows.remove(row.order_key());
                }
                for row in batch.changes.iter().filter_map(Change::after) {
                    self.rows.insert(row.order_key().clone(), row.clone());
                }
                self.count = batch.count.unwrap_or(self.count);
                self.version = batch.version;
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

    /// The number of rows that match, and whether the result is capped.
    pub fn count(&self) -> Count {
        self.count
    }

    /// The state of the data that the rows show.
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// Takes some updates: also the one, or none, that the stream gives next.
impl Extend<LiveUpdate> for LiveRows {
    fn extend<I: IntoIterator<Item = LiveUpdate>>(&mut self, updates: I) {
        updates.into_iter().for_each(|update| self.apply(update));
    }
}

//! Live queries: what they ask for, and their rows.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use liveset_core::{Param, Query};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::handle::{Command, Handle, Key};
use crate::rows::{Batch, Change, Rows};
use crate::shown::Shown;
use crate::status::Status;
use crate::step::Step;

/// A live query that is being described. Made by [`Client::live`](crate::Client::live).
#[must_use = "nothing is asked for until it is subscribed"]
pub struct LiveBuilder<T> {
    handle: Handle,
    query: Query,
    rows: PhantomData<fn() -> T>,
}

impl<T> LiveBuilder<T> {
    pub(crate) fn new(handle: Handle, query: Query) -> LiveBuilder<T> {
        LiveBuilder { handle, query, rows: PhantomData }
    }

    fn map(self, change: impl FnOnce(Query) -> Query) -> Self {
        Self { query: change(self.query), ..self }
    }

    /// Takes only rows for which the expression is true. Values belong into [`bind`](LiveBuilder::bind).
    pub fn filter(self, filter: impl Into<String>) -> Self {
        self.map(|query| query.filter(filter))
    }

    /// Gives a value to `$name` in the filter. It is never read as language.
    pub fn bind(self, name: impl Into<String>, value: impl Into<Param>) -> Self {
        self.map(|query| query.bind(name, value))
    }

    /// Orders by `keys`, such as `total desc, createdAt`; ties go by id.
    pub fn order_by(self, keys: impl Into<String>) -> Self {
        self.map(|query| query.order_by(keys))
    }

    /// Takes at most `limit` rows. More than the server's cap (1,000 by default) is the cap; 0 asks for the count alone.
    pub fn limit(self, limit: u64) -> Self {
        self.map(|query| query.limit(limit))
    }

    /// Cuts rows down to `fields`, as paths, and the key.
    pub fn fields<S: Into<String>>(self, fields: impl IntoIterator<Item = S>) -> Self {
        self.map(|query| query.fields(fields))
    }

    /// Begins the live query, without waiting for anything.
    pub fn open(self) -> LiveQuery<T> {
        let (key, shown) = self.handle.watch(self.query);
        LiveQuery {
            shown,
            key,
            handle: self.handle,
            seen: 0,
            items: VecDeque::new(),
            has_ended: false,
            read: Mutex::default(),
        }
    }

    /// Begins the live query, and waits for its first rows: for ever, if no server is there.
    ///
    /// Cancel-safe: dropped before, nothing of it is left.
    ///
    /// # Errors
    ///
    /// [`Error::Server`], the server refuses it; [`Error::NeedsAuth`], the token was refused twice; [`Error::Closed`].
    pub async fn subscribe(self) -> Result<LiveQuery<T>, Error> {
        let mut live = self.open();
        live.ready().await?;
        Ok(live)
    }
}

impl<T> Clone for LiveBuilder<T> {
    fn clone(&self) -> Self {
        LiveBuilder::new(self.handle.clone(), self.query.clone())
    }
}

impl<T> fmt::Debug for LiveBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LiveBuilder").field(&self.query).finish()
    }
}

/// A query whose rows are kept up to date, over all connections. Made by [`LiveBuilder`].
///
/// It is a **stream of batches**, one for each commit that has changed its result; the first has the rows that are there. While nobody
/// reads, up to about a thousand changes wait one commit at a time, and what comes later is folded per row into the last batch. A row
/// that is no `T` is an item of its own, an [`Error::Row`] before the batch that would have it, and not the end. Any other error is the
/// last item: the server has ended the query. The stream ends without one where the client is closed.
///
/// [`rows`](LiveQuery::rows) has **the rows**, in order, with or without reading the stream. They are shown a commit at a time, and stay
/// while there is no connection; [`status`](LiveQuery::status) says how far they can be trusted.
///
/// It keeps its client alive. Dropping it ends the live query at the server.
///
/// ```no_run
/// use liveset_client::{Change, Client};
///
/// #[derive(serde::Deserialize)]
/// struct Order {
///     total: f64,
/// }
///
/// # async fn f(client: Client) -> Result<(), liveset_client::Error> {
/// let mut orders = client.live::<Order>("orders").filter("status == $s").bind("s", "new").subscribe().await?;
/// while let Some(batch) = orders.next().await {
///     match batch {
///         Ok(batch) => println!("{} changes, {} rows", batch.changes.len(), orders.rows().len()),
///         Err(error) => eprintln!("{error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct LiveQuery<T> {
    shown: Arc<Shown>,
    key: Key,
    handle: Handle,
    /// What `changed` has told.
    seen: u64,
    /// What the stream has still to give of the step that it took last.
    items: VecDeque<Result<Batch<T>, Error>>,
    has_ended: bool,
    read: Mutex<Read<T>>,
}

/// The rows that were read as `T`, with the JSON that they were read from.
type Read<T> = HashMap<Arc<str>, (Bytes, Arc<T>)>;

impl<T> LiveQuery<T> {
    /// How far the rows can be trusted.
    pub fn status(&self) -> Status {
        self.shown.status()
    }

    /// The field that identifies the rows; `None` before there are rows.
    pub fn key(&self) -> Option<Arc<str>> {
        self.shown.key()
    }

    /// Waits for the first rows; returns at once where there are rows already.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`LiveBuilder::subscribe`]. After [`Error::NeedsAuth`] it can be called again.
    pub async fn ready(&mut self) -> Result<(), Error> {
        poll_fn(|context| self.shown.poll_ready(context)).await
    }

    /// Waits until the rows or the status have changed since this was last called. False: they will not change any more.
    ///
    /// Cancel-safe.
    ///
    /// ```no_run
    /// # async fn f(mut orders: liveset_client::LiveQuery<serde_json::Value>) {
    /// while orders.changed().await {
    ///     println!("{:?}, {} rows", orders.status(), orders.rows().len());
    /// }
    /// # }
    /// ```
    pub async fn changed(&mut self) -> bool {
        poll_fn(|context| self.shown.poll_changed(&mut self.seen, context)).await
    }
}

impl<T: DeserializeOwned> LiveQuery<T> {
    /// The rows of this moment, in the order of the query. A row that has not changed is the same `Arc` as before: O(rows) references,
    /// and only what has changed is read from JSON.
    pub fn rows(&self) -> Rows<T> {
        let (entries, count) = self.shown.rows();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = Rows { rows: Vec::with_capacity(entries.len()), errors: Vec::new(), count };
        let before = std::mem::take(&mut *read);
        for entry in entries {
            match row(before.get(&entry.id), &entry.id, &entry.json) {
                Ok(row) => {
                    read.insert(entry.id.clone(), (entry.json, row.clone()));
                    rows.rows.push((entry.id, row));
                }
                Err(error) => rows.errors.push(error),
            }
        }
        rows
    }

    /// The next batch, as soon as there is one; `None` at the end.
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Batch<T>, Error>> {
        poll_fn(|context| self.poll_item(context)).await
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Batch<T>, Error>>> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Poll::Ready(Some(item));
            }
            if self.has_ended {
                return Poll::Ready(None);
            }
            match ready!(self.shown.poll_step(context)) {
                Some(Ok(step)) => self.take(step),
                Some(Err(error)) => {
                    self.has_ended = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => self.has_ended = true,
            }
        }
    }

    /// Reads the rows of a step: an item for each that is no `T`, then the batch.
    fn take(&mut self, step: Step) {
        let read = self.read.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut batch =
            Batch { changes: Vec::new(), total_count: step.count.total, capped: step.count.capped };
        for change in step.into_changes() {
            let (id, reason) = (change.id, change.reason);
            let Some(json) = change.after else {
                read.remove(&id);
                batch.changes.push(Change::Removed { id, reason });
                continue;
            };
            match row(read.get(&id), &id, &json) {
                Ok(row) => {
                    read.insert(id.clone(), (json, row.clone()));
                    batch.changes.push(match change.was_there {
                        true => Change::Updated { id, row },
                        false => Change::Added { id, row, reason },
                    });
                }
                Err(error) => self.items.push_back(Err(error)),
            }
        }
        self.items.push_back(Ok(batch));
    }
}

/// The row as `T`: the one that was read before where its JSON is the same.
fn row<T: DeserializeOwned>(
    before: Option<&(Bytes, Arc<T>)>,
    id: &Arc<str>,
    json: &Bytes,
) -> Result<Arc<T>, Error> {
    match before {
        Some((read, row)) if read.as_ptr() == json.as_ptr() && read.len() == json.len() => Ok(row.clone()),
        _ => {
            let read = serde_json::from_slice(json);
            read.map(Arc::new).map_err(|problem| Error::Row { id: id.clone(), problem: Arc::new(problem) })
        }
    }
}

impl<T: DeserializeOwned> Stream for LiveQuery<T> {
    type Item = Result<Batch<T>, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(context)
    }
}

impl<T> Drop for LiveQuery<T> {
    fn drop(&mut self) {
        self.handle.send(Command::Unwatch(self.key));
    }
}

impl<T> fmt::Debug for LiveQuery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LiveQuery").field(&self.shown).finish()
    }
}

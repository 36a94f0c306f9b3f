//! What is shown of one live query: the driver writes it, one handle reads it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use bytes::Bytes;
use liveset_core::model::{Count, Reason};
use liveset_core::{LiveResult, NodeChange};

use crate::error::{Error, ServerError};
use crate::status::{Cause, Status};
use crate::step::{Step, Unread};

/// A row as it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: Arc<str>,
    pub(crate) json: Bytes,
}

/// One message about a row. `json` is empty where the row is removed.
#[derive(Debug)]
pub(crate) struct Diff {
    pub(crate) id: Arc<str>,
    pub(crate) change: NodeChange,
    pub(crate) json: Bytes,
}

/// What is shown of one live query. It changes a commit at a time, and keeps what it has while there is no connection.
pub(crate) struct Shown(Mutex<Inner>);

struct Inner {
    rows: Vec<Entry>,
    /// The key field of the set, once there are rows.
    key: Option<Arc<str>>,
    count: Count,
    /// Whether `rows` is what a server has said.
    has_rows: bool,
    status: Status,
    /// Counts what a reader may want to look at.
    changes: u64,
    /// What the stream has still to give; `None` until it is read for the first time.
    unread: Option<Unread>,
    waker: Option<Waker>,
}

impl Shown {
    pub(crate) fn new(status: Status) -> Shown {
        Shown(Mutex::new(Inner {
            rows: Vec::new(),
            key: None,
            count: Count::default(),
            has_rows: false,
            status,
            changes: 0,
            unread: None,
            waker: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked has left it whole: nothing in here calls foreign code.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it, and wakes whoever reads, unless the change says that nothing is new. What has ended stays as it is.
    fn change(&self, change: impl FnOnce(&mut Inner) -> bool) {
        let mut inner = self.lock();
        if matches!(inner.status, Status::Ended(_) | Status::Closed) || !change(&mut inner) {
            return;
        }
        inner.changes += 1;
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    // ---- the driver's side ----

    /// Shows a whole result in place of what was there: O(rows).
    pub(crate) fn replace(&self, result: &LiveResult, status: Status) {
        self.change(|inner| {
            let is_news = inner.replace(result);
            inner.set(status) || is_news
        });
    }

    /// Shows one commit more.
    pub(crate) fn apply(&self, diffs: Vec<Diff>, count: Count) {
        self.change(|inner| {
            inner.apply(diffs, count);
            true
        });
    }

    /// How far the server says that it is.
    pub(crate) fn set_status(&self, status: Status) {
        self.change(|inner| inner.set(status));
    }

    /// The server does not keep it up to date now.
    pub(crate) fn doubt(&self, cause: Option<Cause>) {
        self.change(|inner| {
            let status = match (&inner.status, cause) {
                (_, cause) if !inner.has_rows => Status::Loading { cause },
                (Status::Stale { since, .. }, Some(cause)) => Status::Stale { cause, since: *since },
                (_, Some(cause)) => Status::Stale { cause, since: SystemTime::now() },
                // That first rows are on their way is no news for who has rows.
                (_, None) => return false,
            };
            inner.set(status)
        });
    }

    /// The server refuses it, or ends it. What may not be seen any more is not shown any more.
    pub(crate) fn end(&self, error: ServerError, forget: bool) {
        self.change(|inner| {
            if forget {
                (inner.rows, inner.count) = (Vec::new(), Count::default());
                inner.unread = inner.unread.as_ref().map(|_| Unread::default());
            }
            inner.set(Status::Ended(error))
        });
    }

    /// The client is gone.
    pub(crate) fn close(&self) {
        self.change(|inner| inner.set(Status::Closed));
    }

    // ---- the reader's side ----

    pub(crate) fn status(&self) -> Status {
        self.lock().status.clone()
    }

    pub(crate) fn key(&self) -> Option<Arc<str>> {
        self.lock().key.clone()
    }

    pub(crate) fn rows(&self) -> (Vec<Entry>, Count) {
        let inner = self.lock();
        (inner.rows.clone(), inner.count)
    }

    /// The next step; an error where the server has ended the query, then nothing.
    pub(crate) fn poll_step(&self, context: &mut Context<'_>) -> Poll<Option<Result<Step, ServerError>>> {
        let mut inner = self.lock();
        if let Some(step) = inner.next_step() {
            return Poll::Ready(Some(Ok(step)));
        }
        match &inner.status {
            Status::Ended(error) => Poll::Ready(Some(Err(error.clone()))),
            Status::Closed => Poll::Ready(None),
            _ => inner.wait(context),
        }
    }

    /// Whether there is something that `seen` has not seen; false where there never will be.
    pub(crate) fn poll_changed(&self, seen: &mut u64, context: &mut Context<'_>) -> Poll<bool> {
        let mut inner = self.lock();
        if *seen != inner.changes {
            *seen = inner.changes;
            return Poll::Ready(true);
        }
        match inner.status {
            Status::Ended(_) | Status::Closed => Poll::Ready(false),
            _ => inner.wait(context),
        }
    }

    /// Waits for rows, or for the reason why there will be none.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut inner = self.lock();
        match &inner.status {
            Status::Ended(error) => Poll::Ready(Err(error.clone().into())),
            Status::Closed => Poll::Ready(Err(Error::Closed)),
            _ if inner.has_rows => Poll::Ready(Ok(())),
            Status::Loading { cause: Some(Cause::NeedsAuth) } => Poll::Ready(Err(Error::NeedsAuth)),
            _ => inner.wait(context),
        }
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("Shown").field("rows", &inner.rows.len()).field("status", &inner.status).finish()
    }
}

impl Inner {
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<T> {
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn set(&mut self, status: Status) -> bool {
        let is_news = self.status != status;
        self.status = status;
        is_news
    }

    fn next_step(&mut self) -> Option<Step> {
        match &mut self.unread {
            Some(unread) => unread.pop(),
            None if !self.has_rows => None,
            // The first that is read has the rows that are there.
            None => {
                self.unread = Some(Unread::default());
                Some(Step::of_rows(self.rows.iter().map(|entry| (&entry.id, &entry.json)), self.count))
            }
        }
    }

    /// Whether anything has changed.
    fn replace(&mut self, result: &LiveResult) -> bool {
        let count = Count { total: result.total_count(), capped: result.capped() };
        if self.key.as_deref() != Some(result.key()) {
            self.key = Some(result.key().into());
        }
        let before = std::mem::take(&mut self.rows);
        let places: HashMap<Arc<str>, usize> =
            before.iter().enumerate().map(|(place, entry)| (entry.id.clone(), place)).collect();
        let mut gone: Vec<_> = before.into_iter().map(Some).collect();
        let (mut step, mut is_moved) = (Step::new(count), false);
        for (id, json) in result.ordered().into_iter().flatten() {
            let place = places.get(id).copied();
            is_moved |= place != Some(self.rows.len());
            let old = place.and_then(|place| gone.get_mut(place)?.take());
            match old {
                // Rows that are the same stay the same: who has read them need not do so again.
                Some(old) if old.json == *json => self.rows.push(old),
                old => {
                    step.note(id.clone(), old.map(|old| old.json), Some(json.clone()), None);
                    self.rows.push(Entry { id: id.clone(), json: json.clone() });
                }
            }
        }
        for Entry { id, json } in gone.into_iter().flatten() {
            step.note(id, Some(json), None, None);
        }
        let is_news = !self.has_rows || !step.is_empty() || is_moved || self.count != count;
        (self.count, self.has_rows) = (count, true);
        if is_news && let Some(unread) = &mut self.unread {
            unread.push(step);
        }
        is_news
    }

    fn apply(&mut self, diffs: Vec<Diff>, count: Count) {
        let mut step = self.unread.is_some().then(|| Step::new(count));
        for diff in diffs {
            let (before, reason) = self.put(&diff);
            if let Some(step) = &mut step {
                let after = (!matches!(diff.change, NodeChange::Removed { .. })).then_some(diff.json);
                step.note(diff.id, before, after, reason);
            }
        }
        self.count = count;
        if let (Some(unread), Some(step)) = (&mut self.unread, step) {
            unread.push(step);
        }
    }

    /// Takes one message over: how the row was before, and why it has come or gone.
    fn put(&mut self, diff: &Diff) -> (Option<Bytes>, Option<Reason>) {
        let place = self.rows.iter().position(|entry| entry.id == diff.id);
        let before = place.map(|place| self.rows.remove(place).json);
        let (index, reason) = match diff.change {
            NodeChange::Added { index, reason } => (index, reason),
            NodeChange::Updated { index } => (index, None),
            NodeChange::Removed { reason } => return (before, reason),
        };
        // Without an index within the window the session would have refused the message.
        let index = index.and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX);
        let index = index.min(self.rows.len());
        self.rows.insert(index, Entry { id: diff.id.clone(), json: diff.json.clone() });
        (before, reason)
    }
}

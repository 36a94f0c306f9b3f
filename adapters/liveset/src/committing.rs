//! Changes to the data: closures that gather them, and what becomes of these.

use std::sync::Arc;

use liveset_engine::{Op, OpProblem, Timestamp};
use liveset_hub::{Hub, Now};

use crate::commit::{CommitError, Committed, Outcome, PublishError, Tx};
use crate::contain::contain;
use crate::handle::Liveset;
use crate::json::IntoJson;
use crate::reads::Reads;
use crate::shared::{Chain, Done, NotDone, Origin, Seen, Shared};
use crate::storage::Storage;
use crate::telemetry;

impl Liveset {
    /// Changes data: the operations that the closure gathers are applied as one, all of them or none, and every live
    /// query that they change gets one batch of net changes.
    ///
    /// The closure may return a result: an error of its own gives the commit up, and its value is in [`Committed::value`]. It runs
    /// before the lock is taken. Where it reads rows by [`Tx::get`] and others change them meanwhile, it runs again.
    ///
    /// Cost: that of what changes, times the queries that it concerns; nothing is looked at twice for the same query. Queries
    /// that no index finds are each tried on each change; [`explain`](Self::explain) tells which those are.
    ///
    /// A commit that takes more than half of [`EngineLimits::hold_steps`](crate::EngineLimits::hold_steps) by itself (some 2,000 rows of
    /// 300 bytes) is applied in slices. Others have their turn between two of them: queries see the rows as they were before it, live
    /// queries that are new begin when all of it is there, and further commits wait. Whoever watches sees it whole.
    ///
    /// ```
    /// # use liveset::{Liveset, Query, SetDef};
    /// let liveset = Liveset::builder().set(SetDef::new("orders")).build()?;
    /// liveset.commit(|tx| {
    ///     tx.upsert("orders", &serde_json::json!({ "id": 7, "status": "processing" }));
    ///     tx.remove("orders", 6);
    /// })?;
    /// assert_eq!(liveset.query(Query::new("orders").filter("status == 'processing'"))?.count.total, 1);
    ///
    /// let result = liveset.commit(|tx| {
    ///     let total: f64 = "12,5".parse()?;
    ///     tx.upsert("orders", &serde_json::json!({ "id": 8, "total": total }));
    ///     Ok::<_, std::num::ParseFloatError>(total)
    /// });
    /// assert_eq!(result.unwrap_err().to_string(), "invalid float literal");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where the closure errs, a row cannot be written as JSON, or an operation is refused. Nothing was applied then.
    pub fn commit<R: Outcome>(
        &self,
        gather: impl FnMut(&mut Tx) -> R,
    ) -> Result<Committed<R::Value>, CommitError<R::Error>> {
        self.commit_as_of(None, gather)
    }

    /// Changes data, as [`commit`](Self::commit) does, and waits for its [storage](crate::Storage) without blocking the thread. What the
    /// closure gathered is handed over at once, also if the future is dropped then. Without a storage it is applied at once too, one of a
    /// thousand operations or more by a thread for what blocks.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub async fn commit_async<R: Outcome>(
        &self,
        gather: impl FnMut(&mut Tx) -> R,
    ) -> Result<Committed<R::Value>, CommitError<R::Error>> {
        self.commit_async_as_of(None, gather).await
    }

    /// The handle for changes that were made at a known moment; without one it is now.
    pub fn at(&self, moment: impl Into<Option<Timestamp>>) -> At<'_> {
        At { liveset: self, moment: moment.into() }
    }

    fn commit_as_of<R: Outcome>(
        &self,
        at: Option<Timestamp>,
        mut gather: impl FnMut(&mut Tx) -> R,
    ) -> Result<Committed<R::Value>, CommitError<R::Error>> {
        let mut runs = 1;
        loop {
            let (value, ops, seen) = gathered(&self.shared, &mut gather)?;
            match self.commit_ops(at, ops, &seen) {
                Err(NotDone::Changed { .. }) if runs < MOST_RUNS => runs += 1,
                done => return Ok(Committed::new(done?, value)),
            }
            // What has changed may wait to be stored, and cannot be read before.
            self.shared.wait_for_those_before();
        }
    }

    async fn commit_async_as_of<R: Outcome>(
        &self,
        at: Option<Timestamp>,
        mut gather: impl FnMut(&mut Tx) -> R,
    ) -> Result<Committed<R::Value>, CommitError<R::Error>> {
        let mut runs = 1;
        loop {
            let (value, ops, seen) = gathered(&self.shared, &mut gather)?;
            let done = match self.shared.storage.get() {
                None if ops.len() >= LARGE && tokio::runtime::Handle::try_current().is_ok() => {
                    let liveset = self.clone();
                    let commit = move || liveset.commit_at_once(at, ops, &seen, Origin::Host);
                    tokio::task::spawn_blocking(commit).await.unwrap_or(Err(NotDone::Panicked))
                }
                None => self.commit_at_once(at, ops, &seen, Origin::Host),
                Some(storage) => {
                    let (sender, done) = tokio::sync::oneshot::channel();
                    let tell = move |result| drop(sender.send(result));
                    self.commit_kept(&**storage, at, ops, &seen, None, tell);
                    done.await.unwrap_or(Err(NotDone::Panicked))
                }
            };
            match done {
                Err(NotDone::Changed { .. }) if runs < MOST_RUNS => runs += 1,
                done => return Ok(Committed::new(done?, value)),
            }
            let (wake, woken) = tokio::sync::oneshot::channel();
            self.shared.when_nothing_waits(move || {
                let _ = wake.send(());
            });
            let _ = woken.await;
        }
    }

    /// Reads the rows of a commit before the lock is taken for it.
    fn read_ahead(&self, ops: &mut [Op]) {
        let mut sets: Vec<Arc<str>> = Vec::new();
        for op in ops.iter() {
            if let Op::Upsert { .. } | Op::If { .. } = op
                && sets.len() < SETS_READ_AHEAD
                && !sets.contains(op.set())
            {
                sets.push(op.set().clone());
            }
        }
        if !sets.is_empty() {
            let reader = self.shared.look(|hub| hub.row_reader(sets.iter().map(|set| &**set)));
            // Where the reader panics, so does the commit, and says so.
            let _ = contain(|| reader.read(ops));
        }
    }

    pub(crate) fn commit_ops(
        &self,
        at: Option<Timestamp>,
        ops: Vec<Op>,
        seen: &Seen,
    ) -> Result<Done, NotDone> {
        match self.shared.storage.get() {
            None => self.commit_at_once(at, ops, seen, Origin::Host),
            Some(storage) => {
                let (sender, done) = std::sync::mpsc::sync_channel(1);
                self.commit_kept(&**storage, at, ops, seen, None, move |result| drop(sender.send(result)));
                done.recv().unwrap_or(Err(NotDone::Panicked))
            }
        }
    }

    pub(crate) fn commit_at_once(
        &self,
        at: Option<Timestamp>,
        mut ops: Vec<Op>,
        seen: &Seen,
        origin: Origin,
    ) -> Result<Done, NotDone> {
        let (started, count) = (std::time::Instant::now(), ops.len());
        let span = span_of(count).entered();
        let shards = &self.shared.shards;
        let allowed = self.shared.sources.check(origin, &ops);
        self.read_ahead(&mut ops);
        let sources = &self.shared.sources;
        let commit = |hub: &mut Hub, now: Now| {
            // With the lock held: of two that deliver one commit, one is the first.
            if !sources.is_new(origin, seen.replacement.is_some()) {
                return Err(NotDone::Skipped);
            }
            sources.check_replaced(&ops, seen.replacement)?;
            seen.check(hub)?;
            let applied = hub.commit_in_slices(now, ops, |parts| shards.run(count, parts));
            let applied = applied.map_err(|refused| NotDone::Refused(Box::new(refused)))?;
            Ok(self.shared.applied(hub, now, origin, applied))
        };
        let in_one_piece = self.shared.commits.lock();
        let mut result =
            allowed.and_then(|()| self.shared.run_at(at, commit).unwrap_or(Err(NotDone::Panicked)));
        let result = loop {
            match result {
                Ok(Some(done)) => break Ok(done),
                Ok(None) => result = self.shared.next_slice(at, origin, count),
                Err(reason) => break Err(reason),
            }
        };
        drop(in_one_piece);
        if let Err(reason) = &result {
            sources.failed(origin, self.shared.monotonic(), reason);
        }
        note_commit(&span, &result, count, started);
        result
    }

    /// Makes a commit of a series, without waiting for a storage.
    pub(crate) fn commit_linked(
        &self,
        at: Option<Timestamp>,
        ops: Vec<Op>,
        seen: &Seen,
        chain: Arc<Chain>,
        tell: impl FnOnce(Result<Done, NotDone>) + Send + 'static,
    ) {
        let link = chain.clone();
        let tell = move |result: Result<_, _>| {
            link.end(result.is_ok());
            tell(result);
        };
        match self.shared.storage.get() {
            None => tell(chain.begin(0).and_then(|()| self.commit_at_once(at, ops, seen, Origin::Host))),
            Some(storage) => self.commit_kept(&**storage, at, ops, seen, Some(&chain), tell),
        }
    }

    /// Returns when the storage has the commit; `tell` is called when it was applied.
    fn commit_kept(
        &self,
        storage: &dyn Storage,
        at: Option<Timestamp>,
        mut ops: Vec<Op>,
        seen: &Seen,
        chain: Option<&Chain>,
        tell: impl FnOnce(Result<Done, NotDone>) + Send + 'static,
    ) {
        let (started, count) = (std::time::Instant::now(), ops.len());
        let span = span_of(count);
        if let Err(reason) = self.shared.sources.check(Origin::Host, &ops) {
            let result = Err(reason);
            note_commit(&span, &result, count, started);
            return tell(result);
        }
        self.read_ahead(&mut ops);
        self.shared.commit_kept(storage, at, ops, seen, chain, move |result| {
            note_commit(&span, &result, count, started);
            drop(span);
            tell(result);
        });
    }
}

/// Changes at a known moment; made by [`Liveset::at`].
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    liveset: &'a Liveset,
    moment: Option<Timestamp>,
}

impl At<'_> {
    /// Changes data, as [`Liveset::commit`] does: with [`Clock::Commits`](crate::Clock::Commits), `now` becomes this moment first, if it
    /// is later (and the commit is not refused). With the machine's clock the moment changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Liveset::commit`].
    pub fn commit<R: Outcome>(
        &self,
        gather: impl FnMut(&mut Tx) -> R,
    ) -> Result<Committed<R::Value>, CommitError<R::Error>> {
        self.liveset.commit_as_of(self.moment, gather)
    }

    /// Changes data, as [`Liveset::commit_async`] does, at this moment.
    ///
    /// # Errors
    ///
    /// As [`Liveset::commit`].
    pub async fn commit_async<R: Outcome>(
        &self,
        gather: impl FnMut(&mut Tx) -> R,
    ) -> Result<Committed<R::Value>, CommitError<R::Error>> {
        self.liveset.commit_async_as_of(self.moment, gather).await
    }

    /// Publishes an event, as [`Liveset::publish`] does, stamped with this moment.
    ///
    /// # Errors
    ///
    /// As [`Liveset::publish`].
    pub fn publish(&self, path: &str, event_type: &str, data: impl IntoJson) -> Result<usize, PublishError> {
        self.liveset.publish_as_of(self.moment, path, event_type, data)
    }
}

/// How often the closure of a commit runs at most, where rows that it reads are changed by others.
pub(crate) const MOST_RUNS: usize = 6;

/// Runs the closure of a commit. Before the lock is taken: the closure is the host's and may take its time.
pub(crate) fn gathered<T, E, R: Outcome<Value = T, Error = E>>(
    shared: &Arc<Shared>,
    gather: impl FnOnce(&mut Tx) -> R,
) -> Result<(T, Vec<Op>, Seen), CommitError<E>> {
    let mut tx = Tx::new(Reads::of(shared));
    let value = gather(&mut tx).into_result().map_err(CommitError::Aborted)?;
    let (ops, seen) = tx.into_parts().map_err(CommitError::Json)?;
    Ok((value, ops, seen))
}

/// For whoever traces: a commit until it is applied, and kept where there is a storage.
fn span_of(operations: usize) -> tracing::Span {
    let empty = tracing::field::Empty;
    tracing::debug_span!(target: "liveset::trace", "commit", operations, outcome = empty, commit = empty)
}

fn note_commit(
    span: &tracing::Span,
    result: &Result<Done, NotDone>,
    count: usize,
    started: std::time::Instant,
) {
    let outcome = match result {
        Ok(_) => "applied",
        // It was counted when it was applied.
        Err(NotDone::Skipped) => return,
        Err(NotDone::Changed { .. } | NotDone::Replaced { .. }) => "conflict",
        Err(NotDone::ReadOnly { .. }) => "refused",
        Err(NotDone::Refused(error)) if matches!(*error.problem, OpProblem::Conflict { .. }) => "conflict",
        Err(NotDone::Refused(_)) => "refused",
        Err(NotDone::NotKept(_)) => "not_kept",
        Err(NotDone::Panicked) => {
            tracing::error!("a commit made the engine panic; how much of it was applied is unknown");
            "failed"
        }
    };
    span.record("outcome", outcome);
    if let Ok(done) = result {
        span.record("commit", done.committed.commit);
    }
    telemetry::committed(outcome, count, started.elapsed());
}

/// A commit of so many operations takes a thread for as long as others wait for a turn.
const LARGE: usize = 1_000;
/// A commit to more sets has the rest of its rows read while the lock is held.
const SETS_READ_AHEAD: usize = 16;

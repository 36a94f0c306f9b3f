//! Commits: what the host changed, in one piece.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use liveset_core::{Position, Row};
use liveset_engine::{Condition, Op, OpProblem};
use serde::Serialize;
use thiserror::Error;

use crate::json::IntoJson;
use crate::reads::Reads;
use crate::set::Target;
use crate::shared::{Done, NotDone, Seen};
use crate::storage::StorageError;

/// The operations of one commit, gathered by the closure of [`Liveset::commit`](crate::Liveset::commit).
///
/// Nothing is applied unless all of it can be. [`get`](Self::get) sees the operations so far; all other reads in the closure see the data
/// as it was, and a commit that is made in the closure comes first.
///
/// ```
/// use liveset::{Json, Liveset, SetDef};
///
/// let liveset = Liveset::builder().set(SetDef::new("orders")).build()?;
/// let done = liveset.commit(|tx| {
///     tx.upsert("orders", &serde_json::json!({ "id": 1, "total": 12.5 }));
///     tx.upsert("orders", Json::new(r#"{"id":2,"total":3}"#));
///     tx.remove("orders", 7);
/// })?;
/// assert_eq!(done.changed, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Tx {
    ops: Vec<Op>,
    reads: Reads,
    /// The first row that could not be written as JSON.
    unwritten: Option<serde_json::Error>,
}

impl Tx {
    pub(crate) fn new(reads: Reads) -> Self {
        Self { ops: Vec::new(), reads, unwritten: None }
    }

    /// A row as the operations of this commit so far leave it; else the newest that was applied. No lock is held while the closure
    /// works with it. Instead the row, absence too, is compared with what is there when the commit is applied: if it has changed,
    /// nothing is applied and the closure runs again, from the start, at most five times more. Then the commit fails, with
    /// [`CommitError::Conflict`].
    ///
    /// Only what was read by this is compared, not what [`Liveset::query`](crate::Liveset::query) says.
    ///
    /// Cost: a look-up, and what the operations since the last call cost to read.
    ///
    /// ```
    /// use liveset::{Liveset, SetDef};
    /// use serde_json::{Value, json};
    ///
    /// let liveset = Liveset::builder().set(SetDef::new("accounts")).build()?;
    /// liveset.commit(|tx| {
    ///     tx.upsert("accounts", &json!({ "id": "a", "balance": 10 }));
    ///     tx.upsert("accounts", &json!({ "id": "b", "balance": 0 }));
    /// })?;
    /// let pay = |from: &str, to: &str, amount: i64| {
    ///     liveset.commit(|tx| {
    ///         for (id, change) in [(from, -amount), (to, amount)] {
    ///             let row = tx.get("accounts", id).ok_or("no such account")?;
    ///             let row: Value = serde_json::from_slice(row.json()).map_err(|_| "no account")?;
    ///             let balance = row["balance"].as_i64().unwrap_or(0) + change;
    ///             if balance < 0 {
    ///                 return Err("not enough");
    ///             }
    ///             tx.patch("accounts", id, &json!({ "balance": balance }));
    ///         }
    ///         Ok(())
    ///     })
    /// };
    /// assert!(pay("a", "b", 7).is_ok());
    /// assert_eq!(pay("a", "b", 7).unwrap_err().to_string(), "not enough");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&mut self, set: impl Into<Arc<str>>, id: impl ToString) -> Option<Row> {
        self.reads.row(&self.ops, set.into(), id.to_string())
    }

    /// Puts a row into a set, in place of the one with the same key if there is one. The set is a name, or a
    /// [`Set`](crate::Set), which knows what its rows are; the row is a reference to something serializable, or [`Json`](crate::Json).
    ///
    /// JSON has no word for `NaN` and the infinities, and `null` would be another value: the commit of a row with such a float is
    /// refused, as is one that fails to serialize.
    pub fn upsert<R: IntoJson>(&mut self, set: impl Target<R>, row: R) {
        match row.into_json() {
            Ok(node) => self.ops.push(Op::Upsert { set: set.into_name(), node }),
            Err(error) => drop(self.unwritten.get_or_insert(error)),
        }
    }

    /// Takes a row out of a set. It is no error if there is none of that id.
    pub fn remove(&mut self, set: impl Into<Arc<str>>, id: impl ToString) {
        self.ops.push(Op::Remove { set: set.into(), id: id.to_string() });
    }

    /// Changes a row as the operations before it leave it, by JSON Merge Patch (RFC 7396): the patch's fields replace those of the same
    /// name, objects are merged, `null` takes a field out. The key may not change. Where there is no such row the commit is refused.
    ///
    /// ```
    /// # use liveset::{Liveset, SetDef};
    /// # let liveset = Liveset::builder().set(SetDef::new("orders")).build()?;
    /// # use serde_json::json;
    /// liveset.commit(|tx| {
    ///     tx.upsert("orders", &json!({ "id": 1, "status": "new", "note": "fragile", "to": { "city": "Oslo" } }));
    ///     tx.patch("orders", 1, &json!({ "status": "sent", "note": null, "to": { "zip": "0150" } }));
    /// })?;
    /// let row = liveset.row("orders", "1").unwrap();
    /// assert_eq!(row.json(), br#"{"id":1,"status":"sent","to":{"city":"Oslo","zip":"0150"}}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn patch(&mut self, set: impl Into<Arc<str>>, id: impl ToString, patch: impl IntoJson) {
        self.add_patch(None, set.into(), id.to_string(), patch, false);
    }

    /// Like [`patch`](Self::patch), but makes the row where there is none: of the patch alone, which needs the key for that.
    pub fn patch_or_insert(&mut self, set: impl Into<Arc<str>>, id: impl ToString, patch: impl IntoJson) {
        self.add_patch(None, set.into(), id.to_string(), patch, true);
    }

    /// Takes all rows of a set out. Costs as much as taking each of them out.
    pub fn clear(&mut self, set: impl Into<Arc<str>>) {
        self.ops.push(Op::Clear { set: set.into() });
    }

    /// The next operation is done only if its row, as the operations before it leave it, passes a filter of the query language, with
    /// `now` the clock of the commit; `"nothing"`: only if there is no such row. Else the whole commit is refused, with
    /// [`CommitError::Conflict`].
    ///
    /// ```
    /// # use liveset::{CommitError, Condition, Liveset, SetDef};
    /// # let liveset = Liveset::builder().set(SetDef::new("jobs")).build()?;
    /// # use serde_json::json;
    /// liveset.commit(|tx| tx.only_if("nothing").upsert("jobs", &json!({ "id": 1, "state": "new" })))?;
    /// let is_new = Condition::filter("state == $state").bind("state", "new");
    /// let take = || {
    ///     liveset.commit(|tx| tx.only_if(is_new.clone()).patch("jobs", 1, &json!({ "state": "taken" })))
    /// };
    /// assert!(take().is_ok());
    /// assert!(matches!(take(), Err(CommitError::Conflict(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn only_if(&mut self, condition: impl Into<Condition>) -> OnlyIf<'_> {
        OnlyIf { tx: self, condition: condition.into() }
    }

    fn add_patch(
        &mut self,
        condition: Option<Condition>,
        set: Arc<str>,
        id: String,
        patch: impl IntoJson,
        upsert: bool,
    ) {
        match patch.into_json() {
            Ok(patch) => self.add(condition, Op::Patch { set, id, patch, upsert }),
            Err(error) => drop(self.unwritten.get_or_insert(error)),
        }
    }

    fn add(&mut self, condition: Option<Condition>, op: Op) {
        self.ops.push(match condition {
            Some(condition) => Op::If { condition, op: Box::new(op) },
            None => op,
        });
    }

    /// Adds an operation in the engine's form.
    pub fn push(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    pub(crate) fn into_parts(self) -> Result<(Vec<Op>, Seen), serde_json::Error> {
        self.unwritten.map_or(Ok((self.ops, self.reads.into_seen())), Err)
    }
}

/// The operations.
impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("ops", &self.ops).finish_non_exhaustive()
    }
}

/// Adds an operation that is done only under a condition; made by [`Tx::only_if`].
#[derive(Debug)]
#[must_use = "a condition without an operation does nothing"]
pub struct OnlyIf<'t> {
    tx: &'t mut Tx,
    condition: Condition,
}

impl OnlyIf<'_> {
    /// As [`Tx::upsert`].
    pub fn upsert<R: IntoJson>(self, set: impl Target<R>, row: R) {
        match row.into_json() {
            Ok(node) => self.tx.add(Some(self.condition), Op::Upsert { set: set.into_name(), node }),
            Err(error) => drop(self.tx.unwritten.get_or_insert(error)),
        }
    }

    /// As [`Tx::patch`].
    pub fn patch(self, set: impl Into<Arc<str>>, id: impl ToString, patch: impl IntoJson) {
        self.tx.add_patch(Some(self.condition), set.into(), id.to_string(), patch, false);
    }

    /// As [`Tx::remove`].
    pub fn remove(self, set: impl Into<Arc<str>>, id: impl ToString) {
        self.tx.add(Some(self.condition), Op::Remove { set: set.into(), id: id.to_string() });
    }
}

impl Extend<Op> for Tx {
    fn extend<I: IntoIterator<Item = Op>>(&mut self, ops: I) {
        self.ops.extend(ops);
    }
}

/// The return type of a commit's closure: nothing, or a result, whose error gives the commit up.
pub trait Outcome {
    /// The value in [`Committed`].
    type Value;
    /// The error in [`CommitError::Aborted`].
    type Error;

    /// The closure's result.
    fn into_result(self) -> Result<Self::Value, Self::Error>;
}

impl Outcome for () {
    type Value = ();
    type Error = Infallible;

    fn into_result(self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<T, E> Outcome for Result<T, E> {
    type Value = T;
    type Error = E;

    fn into_result(self) -> Self {
        self
    }
}

/// The outcome of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Committed<T = ()> {
    /// The number of this commit: 1 for the first, one more for each that was accepted.
    pub commit: u64,
    /// The number of rows that came, went, or have another value than before.
    pub changed: u64,
    /// The version of the results that include it.
    pub version: u64,
    /// Its place in the history of its sets. A client can wait until its live queries show it (`awaitPosition`).
    pub position: Position,
    /// The value that the closure returned.
    pub value: T,
}

impl<T> Committed<T> {
    pub(crate) fn new(done: Done, value: T) -> Self {
        let liveset_engine::Committed { commit, changed, version, .. } = done.committed;
        Self { commit, changed, version, position: done.position, value }
    }
}

/// Says how many rows changed, in which commit.
impl<T> fmt::Display for Committed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = if self.changed == 1 { "row" } else { "rows" };
        write!(f, "commit {}: {} {rows} changed", self.commit, self.changed)
    }
}

/// A commit was not made. Nothing of it was applied, but for [`CommitError::Internal`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitError<E = Infallible> {
    /// A row could not be written as JSON.
    #[error("a row cannot be written as JSON: {0}")]
    Json(serde_json::Error),
    /// A set belongs to a source, and only that commits to it.
    #[error(
        "set '{set}' is read only: its commits come from {}",
        .owner.as_ref().map_or("the host".to_owned(), |it| format!("the source '{it}'"))
    )]
    ReadOnly {
        /// The name of the set.
        set: Arc<str>,
        /// The source that it belongs to; `None` where that is the host.
        owner: Option<Arc<str>>,
    },
    /// An operation was refused: an unknown set, a row without its key, a field of another type than declared, …
    #[error(transparent)]
    Refused(Box<liveset_engine::CommitError>),
    /// A row is not as the commit needs it. Reading again may help.
    #[error(transparent)]
    Conflict(Conflict),
    /// The closure gave up, with an error of its own.
    #[error("{0}")]
    Aborted(E),
    /// The [storage](crate::Storage) does not keep it now: a later try may go well.
    #[error("the commit cannot be kept: {0}")]
    NotKept(StorageError),
    /// A fault of ours, already logged. How much was applied is unknown.
    #[error("internal fault")]
    Internal,
}

/// A row or a set is not as a commit needs it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conflict {
    /// An operation's [condition](Tx::only_if) does not hold; the error says of which.
    #[error(transparent)]
    Condition(Box<liveset_engine::CommitError>),
    /// A row that the closure had [read](Tx::get) was changed before the commit was applied, each time that the closure ran.
    #[error("set '{set}', node '{id}' was changed by others, each time that the commit had read it")]
    Changed {
        /// The name of the row's set.
        set: Arc<str>,
        /// Its id.
        id: String,
    },
    /// The content of a set is being [replaced](crate::Liveset::replace): until that is finished or dropped nobody else commits to it.
    #[error("set '{set}': its content is being replaced")]
    Replaced {
        /// The name of the set.
        set: Arc<str>,
    },
}

impl<E> From<NotDone> for CommitError<E> {
    fn from(reason: NotDone) -> Self {
        match reason {
            NotDone::Refused(refused) if matches!(*refused.problem, OpProblem::Conflict { .. }) => {
                Self::Conflict(Conflict::Condition(refused))
            }
            NotDone::Refused(refused) => Self::Refused(refused),
            NotDone::Changed { set, id } => Self::Conflict(Conflict::Changed { set, id }),
            NotDone::Replaced { set } => Self::Conflict(Conflict::Replaced { set }),
            NotDone::ReadOnly { set, source } => Self::ReadOnly { set, owner: source },
            NotDone::NotKept(error) => Self::NotKept(error),
            // Only commits of a source are skipped, and it is told of it.
            NotDone::Skipped | NotDone::Panicked => Self::Internal,
        }
    }
}

/// An event was not published.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The data could not be written as JSON.
    #[error("an event cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The path or the event type is not declared, or the data is too large or not JSON.
    #[error(transparent)]
    Refused(#[from] liveset_hub::PublishError),
    /// A fault of ours, already logged.
    #[error("internal fault")]
    Internal,
}

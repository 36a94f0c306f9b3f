//! Commits: what the host changed, in one piece.

use std::error::Error as StdError;
use std::sync::Arc;

use bytes::Bytes;
use liveset_engine::Op;
use serde::Serialize;
use thiserror::Error;

use crate::finite;

/// The operations of one commit, gathered by the closure of [`Liveset::commit`](crate::Liveset::commit).
///
/// Nothing is looked at before the closure is done, and nothing is applied unless all of it can be.
///
/// ```
/// use liveset::{CommitError, Liveset, Set};
///
/// let liveset = Liveset::builder().set(Set::new("orders")).build()?;
/// let done = liveset.commit(|tx| {
///     tx.upsert("orders", &serde_json::json!({ "id": 1, "total": 12.5 }))?;
///     tx.upsert_json("orders", r#"{"id":2,"total":3}"#);
///     tx.remove("orders", 7)?;
///     Ok::<(), CommitError>(())
/// })?;
/// assert_eq!(done.changed, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Tx {
    ops: Vec<Op>,
}

impl Tx {
    /// Puts `node` into `set`, in place of the node with the same key if there is one.
    ///
    /// # Errors
    ///
    /// Where `node` cannot be written as JSON. A float that is no number (`NaN`, an infinity) cannot: JSON has no
    /// word for it, and `null` would be another value. Whether the set takes the node is seen at the commit.
    pub fn upsert<T: Serialize + ?Sized>(
        &mut self,
        set: impl Into<Arc<str>>,
        node: &T,
    ) -> Result<(), CommitError> {
        let text = finite::to_json(node)?;
        self.upsert_json(set, text);
        Ok(())
    }

    /// Puts a node that is JSON text already into `set`. Its tokens are kept as they are.
    pub fn upsert_json(&mut self, set: impl Into<Arc<str>>, node: impl Into<Bytes>) {
        self.ops.push(Op::Upsert { set: set.into(), node: node.into() });
    }

    /// Takes a node out of `set`. It is no error if there is none of that id.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn remove(&mut self, set: impl Into<Arc<str>>, id: impl ToString) -> Result<(), CommitError> {
        self.ops.push(Op::Remove { set: set.into(), id: id.to_string() });
        Ok(())
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

    pub(crate) fn into_ops(self) -> Vec<Op> {
        self.ops
    }
}

/// A commit was not made. Nothing of it was applied, but for [`CommitError::Internal`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A node could not be written as JSON.
    #[error("a node cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// An operation was refused: an unknown set, a node without its key, a field of another type than declared, …
    #[error(transparent)]
    Refused(Box<liveset_engine::CommitError>),
    /// The closure gave up, with an error of its own.
    #[error(transparent)]
    Aborted(Box<dyn StdError + Send + Sync>),
    /// A fault of ours, already logged. How much was applied is unknown.
    #[error("internal fault")]
    Internal,
}

impl From<liveset_engine::CommitError> for CommitError {
    fn from(error: liveset_engine::CommitError) -> Self {
        Self::Refused(Box::new(error))
    }
}

impl CommitError {
    /// Gives up a commit from within its closure.
    ///
    /// ```
    /// # let liveset = liveset::Liveset::builder().build()?;
    /// use liveset::CommitError;
    ///
    /// let result = liveset.commit(|_| Err(CommitError::abort("no stock left")));
    /// assert_eq!(result.unwrap_err().to_string(), "no stock left");
    /// # Ok::<(), liveset::BuildError>(())
    /// ```
    pub fn abort(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Aborted(error.into())
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

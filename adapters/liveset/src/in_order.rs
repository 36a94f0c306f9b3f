//! Commits that are made one behind the other, none of which waits for the one before it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use liveset_engine::Timestamp;
use tokio::sync::oneshot;

use crate::commit::{CommitError, Committed, Outcome, Tx};
use crate::committing::gathered;
use crate::handle::Liveset;
use crate::shared::{Chain, Done, NotDone};

/// Commits that are made one behind the other; made by [`Liveset::in_order`].
///
/// With a [storage](crate::Storage), each is handed over without waiting until the one before it is kept, so that many share a write.
/// Once one of them is not made, none that follows is.
#[derive(Debug)]
pub struct InOrder {
    liveset: Liveset,
    chain: Arc<Chain>,
}

impl Liveset {
    /// Begins a series of commits, each of which is made only if all before it are. It has no bound on how many wait: its owner waits
    /// for the oldest where there are too many.
    ///
    /// ```
    /// # use liveset::{Liveset, Query, SetDef};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let liveset = Liveset::builder().set(SetDef::new("orders")).build()?;
    /// let mut series = liveset.in_order();
    /// let first = series.commit(None, |tx| tx.upsert("orders", &serde_json::json!({ "id": 1 })))?;
    /// let wrong = series.commit(None, |tx| tx.upsert("orders", &serde_json::json!({ "no": "id" })))?;
    /// let after = series.commit(None, |tx| tx.upsert("orders", &serde_json::json!({ "id": 2 })))?;
    /// assert_eq!(first.await?.commit, 1);
    /// assert!(wrong.await.is_err() && after.await.is_err());
    /// assert_eq!(liveset.query(Query::new("orders"))?.count.total, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_order(&self) -> InOrder {
        InOrder { liveset: self.clone(), chain: Arc::default() }
    }
}

impl InOrder {
    /// Hands a commit over, as of a moment if one is given (see [`Liveset::at`]). It is made whether or not anybody waits for it. The closure
    /// runs once: if a row that it [gets](Tx::get) is changed by others or by a commit that waits, the commit fails.
    ///
    /// # Errors
    ///
    /// The closure errs, or a row cannot be written as JSON. The returned future has all other errors.
    pub fn commit<R: Outcome>(
        &mut self,
        at: impl Into<Option<Timestamp>>,
        gather: impl FnOnce(&mut Tx) -> R,
    ) -> Result<PendingCommit<R::Value>, CommitError<R::Error>> {
        let (value, ops, seen) =
            gathered(&self.liveset.shared, gather).inspect_err(|_| self.chain.end(false))?;
        let (sender, done) = oneshot::channel();
        self.liveset.commit_linked(at.into(), ops, &seen, self.chain.clone(), move |result| {
            drop(sender.send(result));
        });
        Ok(PendingCommit { done, value: Some(value) })
    }
}

/// A commit of a series, which is done when it was applied; made by [`InOrder::commit`].
pub struct PendingCommit<T> {
    done: oneshot::Receiver<Result<Done, NotDone>>,
    /// Until it is done.
    value: Option<T>,
}

impl<T> Unpin for PendingCommit<T> {}

impl<T> Future for PendingCommit<T> {
    type Output = Result<Committed<T>, CommitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let done = std::task::ready!(Pin::new(&mut self.done).poll(context));
        let done = done.unwrap_or(Err(NotDone::Panicked));
        Poll::Ready(match (done, self.value.take()) {
            (Ok(done), Some(value)) => Ok(Committed::new(done, value)),
            // It was done before.
            (Ok(_), None) => Err(CommitError::Internal),
            (Err(reason), _) => Err(reason.into()),
        })
    }
}

impl<T> fmt::Debug for PendingCommit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCommit").finish_non_exhaustive()
    }
}

//! Sources: where commits come from, if not from the host.

use std::fmt;
use std::sync::Arc;

use liveset_engine::Timestamp;

use crate::commit::{CommitError, Committed, Outcome, Tx};
use crate::committing::{MOST_RUNS, gathered};
use crate::handle::Liveset;
use crate::shared::{Known, NotDone, Origin};

/// The one writer of the sets that were declared with [`Builder::set_from`](crate::Builder::set_from): what follows a database, a log or a
/// queue, and commits what comes; made by [`Liveset::source`]. Cloning gives another handle on the same.
///
/// Every commit has a **position**: a number that grows from commit to commit, with gaps if need be. A commit whose position is not
/// greater than that of the last one is skipped and counted, so a source may deliver again what it is not sure of. Positions belong to
/// a history, which has an **identity**: [`begin`](Self::begin) says when another one begins, and positions count from 0 again.
///
/// Its rows live in memory alone, also where the endpoint has a [storage](crate::Storage), which keeps what the host commits.
///
/// ```
/// use liveset::{CommitError, Delivered, Liveset, SetDef};
/// use serde_json::json;
///
/// let liveset = Liveset::builder().set_from("market", SetDef::new("prices")).build()?;
/// let market = liveset.source("market").ok_or("no such source")?;
/// market.begin("2025-12-07");
/// let put = |price| move |tx: &mut liveset::Tx| tx.upsert("prices", &json!({ "id": "a", "price": price }));
/// assert!(matches!(market.commit(7, put(3))?, Delivered::Applied(done) if done.changed == 1));
/// assert!(matches!(market.commit(7, put(4))?, Delivered::Skipped));
/// market.advance(9);
/// assert_eq!((market.position(), market.skipped()), (9, 1));
/// // Nobody else writes to its sets.
/// assert!(matches!(liveset.commit(put(5)), Err(CommitError::ReadOnly { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Source {
    liveset: Liveset,
    index: usize,
}

/// What became of a commit of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered<T = ()> {
    /// It was applied.
    Applied(Committed<T>),
    /// Its position is not greater than that of the last one: it was applied before. Or another history has
    /// [begun](Source::begin) while it was made.
    Skipped,
}

impl Liveset {
    /// A source that was declared with [`Builder::set_from`](crate::Builder::set_from); `None` where there is none of that name.
    pub fn source(&self, name: &str) -> Option<Source> {
        let index = self.shared.sources.all.iter().position(|known| *known.name == *name)?;
        Some(Source { liveset: self.clone(), index })
    }
}

impl Source {
    fn known(&self) -> &Known {
        &self.liveset.shared.sources.all[self.index]
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.known().name
    }

    /// The identity of its history: what [`begin`](Self::begin) was told last, at first a random text.
    pub fn identity(&self) -> Arc<str> {
        self.known().progress.lock().identity.clone()
    }

    /// The position of the last commit, or that of [`advance`](Self::advance) where it is greater; 0 where there is none yet.
    pub fn position(&self) -> u64 {
        self.known().progress.lock().position
    }

    /// How many commits were skipped.
    pub fn skipped(&self) -> u64 {
        self.known().progress.lock().skipped
    }

    /// Names the history that the positions belong to. True where it is another one than before: then the position is 0 again, and a
    /// commit that is still being made of the one before is skipped. The rows stay, for the source to replace.
    pub fn begin(&self, identity: impl Into<Arc<str>>) -> bool {
        let identity = identity.into();
        let mut progress = self.known().progress.lock();
        let is_other = progress.identity != identity;
        if is_other {
            progress.identity = identity;
            progress.history += 1;
            progress.position = 0;
        }
        is_other
    }

    /// Says that nothing has changed up to a position. One that is not greater than the last means nothing.
    pub fn advance(&self, position: u64) {
        let now = self.liveset.shared.monotonic();
        let mut progress = self.known().progress.lock();
        progress.position = progress.position.max(position);
        progress.news.heard = Some(now);
    }

    /// Commits what has happened at a position, as [`Liveset::commit`] does, unless it was committed before: then the closure is not run,
    /// or what it gathered is dropped.
    ///
    /// # Errors
    ///
    /// As [`Liveset::commit`]; [`CommitError::ReadOnly`] where a set is not of this source. The position stays.
    pub fn commit<R: Outcome>(
        &self,
        position: u64,
        gather: impl FnMut(&mut Tx) -> R,
    ) -> Result<Delivered<R::Value>, CommitError<R::Error>> {
        self.commit_at(position, None, gather)
    }

    /// The same for what happened at a known moment; see [`Liveset::at`].
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn commit_at<R: Outcome>(
        &self,
        position: u64,
        at: impl Into<Option<Timestamp>>,
        mut gather: impl FnMut(&mut Tx) -> R,
    ) -> Result<Delivered<R::Value>, CommitError<R::Error>> {
        let history = self.known().progress.lock().history;
        let (origin, at) = (Origin::Source { index: self.index, history, position }, at.into());
        let shared = &self.liveset.shared;
        let mut runs = 1;
        loop {
            if !shared.sources.is_new(origin) {
                return Ok(Delivered::Skipped);
            }
            let (value, ops, seen) = gathered(shared, &mut gather)?;
            match self.liveset.commit_at_once(at, ops, &seen, origin) {
                Err(NotDone::Changed { .. }) if runs < MOST_RUNS => runs += 1,
                Err(NotDone::Skipped) => return Ok(Delivered::Skipped),
                done => return Ok(Delivered::Applied(Committed::new(done?, &shared.positions, value))),
            }
            // Rows of other sets may wait to be stored.
            shared.wait_for_those_before();
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.known().name).finish()
    }
}

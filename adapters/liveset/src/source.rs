//! Sources: where commits come from, if not from the host.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use liveset_engine::Timestamp;

use crate::commit::{CommitError, Committed, Outcome, Tx};
use crate::committing::{MOST_RUNS, gathered};
use crate::handle::Liveset;
use crate::shared::{Known, NotDone, Origin, history};

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

    pub(crate) fn liveset(&self) -> &Liveset {
        &self.liveset
    }

    /// Where a commit of it comes from.
    pub(crate) fn origin(&self, position: u64) -> Origin {
        let history = self.known().progress.lock().history;
        Origin::Source { index: self.index, history, position }
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
    /// Clients that wait for a position of the history before are told that it is none.
    pub fn begin(&self, identity: impl Into<Arc<str>>) -> bool {
        let (known, identity) = (self.known(), identity.into());
        let begun = self.liveset.shared.run(|hub, now| {
            let is_other = known.progress.lock().begin(&identity);
            if is_other {
                hub.begin_history(now, known.id, &history(&known.name, &identity), 0);
            }
            is_other
        });
        begun.unwrap_or(false)
    }

    /// Says that nothing has changed up to a position. One that is not greater than the last means nothing.
    pub fn advance(&self, position: u64) {
        let known = self.known();
        // A panic was logged, and the next one says the same.
        let _ = self.liveset.shared.run(|hub, now| {
            known.progress.lock().advance(now.monotonic, position);
            hub.reach(now, known.id, position);
        });
    }

    /// Says that there is a commit at a position, made so long ago, which is still to be delivered. Where its delivery takes longer than
    /// `HubLimits::source_lag`, 5 s by default, the sets are `stale`, until all is delivered that was there when they became so. To be
    /// called as often as the source learns how far its database is.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use liveset::{Liveset, SetDef, SetStatus};
    /// let liveset = Liveset::builder().set_from("market", SetDef::new("prices")).build()?;
    /// let market = liveset.source("market").ok_or("no such source")?;
    /// market.notice(7, Duration::from_secs(6));
    /// assert!(market.lag() >= Duration::from_secs(6));
    /// assert!(matches!(liveset.sets()[0].status, SetStatus::Stale { .. }));
    /// market.commit(7, |tx| tx.upsert("prices", &serde_json::json!({ "id": "a", "price": 3 })))?;
    /// assert_eq!((market.lag(), &liveset.sets()[0].status), (Duration::ZERO, &SetStatus::Live));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn notice(&self, position: u64, ago: Duration) {
        let id = self.known().id;
        let _ = self.liveset.shared.run(|hub, now| hub.notice(now, id, position, ago));
    }

    /// Promises to be heard of again and again, from now on: by commits, by [`advance`](Self::advance) where nothing changes, or by
    /// [`notice`](Self::notice). Where nothing is heard for `HubLimits::source_silence`, 10 s by default, the sets are `stale` until
    /// something is.
    pub fn expect_heartbeats(&self) {
        let id = self.known().id;
        let _ = self.liveset.shared.run(|hub, now| hub.expect_heartbeats(now, id));
    }

    /// For how long the oldest commit that was [noticed](Self::notice) waits to be delivered; zero where none does.
    pub fn lag(&self) -> Duration {
        let shared = &self.liveset.shared;
        shared.look(|hub| hub.source_lag(shared.monotonic(), self.known().id))
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
        let (origin, at) = (self.origin(position), at.into());
        let shared = &self.liveset.shared;
        let mut runs = 1;
        loop {
            if !shared.sources.is_new(origin, false) {
                return Ok(Delivered::Skipped);
            }
            let (value, ops, seen) = gathered(shared, &mut gather)?;
            match self.liveset.commit_at_once(at, ops, &seen, origin) {
                Err(NotDone::Changed { .. }) if runs < MOST_RUNS => runs += 1,
                Err(NotDone::Skipped) => return Ok(Delivered::Skipped),
                done => return Ok(Delivered::Applied(Committed::new(done?, value))),
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

//! Commits of the host: made at once, or checked, stored by the owner, and applied.

use liveset_core::Row;
use liveset_engine::{Applied, CommitError, Committed, Engine, Op, Part, RowReader, StagedWrite};

use crate::{Hub, Now, holds::Input};

impl Hub {
    /// Applies `ops` as one: all of them, or none. Every live query that they change gets one batch of net changes.
    ///
    /// # Errors
    ///
    /// The first operation that is wrong; nothing was applied then.
    pub fn commit(&mut self, now: Now, ops: Vec<Op>) -> Result<Committed, CommitError> {
        self.commit_with(now, ops, |_| ())
    }

    /// The same, with the work on the queries in parts, one for each shard (`EngineLimits::shards`): `spread` may
    /// [run](Part::run) them in whatever order and on whatever threads. What it leaves undone is done here.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn commit_with(
        &mut self,
        now: Now,
        ops: Vec<Op>,
        spread: impl FnOnce(&mut [Part<'_>]),
    ) -> Result<Committed, CommitError> {
        self.committing(now, |engine| engine.commit_with(now.wall, ops, spread))
    }

    /// Checks a commit for a caller who stores it before it is applied; see [`Engine::stage`]. Nobody sees anything of it.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn stage(
        &mut self,
        now: Now,
        ops: Vec<Op>,
    ) -> Result<impl Iterator<Item = StagedWrite<'_>>, CommitError> {
        self.engine.stage(now.wall, ops)
    }

    /// Whether a row is as the staged commits leave it; see [`Engine::is_current`].
    pub fn is_current(&self, set: &str, id: &str, row: Option<&Row>) -> bool {
        self.engine.is_current(set, id, row)
    }

    /// How many commits are staged.
    pub fn staged(&self) -> usize {
        self.engine.staged()
    }

    /// Applies the commit that was staged first, as [`commit_with`](Self::commit_with) does; `None` where there is none.
    pub fn apply_staged(&mut self, now: Now, spread: impl FnOnce(&mut [Part<'_>])) -> Option<Committed> {
        self.committing(now, |engine| engine.apply_staged(now.wall, spread).ok_or(())).ok()
    }

    /// Forgets the staged commits but for the first `kept`; see [`Engine::abandon_staged`].
    pub fn abandon_staged(&mut self, kept: usize) {
        self.engine.abandon_staged(kept);
    }

    /// Applies `ops` as [`commit`](Self::commit) does, a large commit in slices: [`apply_slice`](Self::apply_slice) goes on with the rest,
    /// which nothing can refuse any more. Between two slices all other inputs have their turn, and see the rows as they were before the
    /// commit: queries that are asked once are answered from these, and live queries that are new have their first result when all of it
    /// is there. Whoever watches sees it whole. Another commit applies the rest first.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit): nothing was applied then.
    pub fn commit_in_slices(
        &mut self,
        now: Now,
        ops: Vec<Op>,
        spread: impl FnOnce(&mut [Part<'_>]),
    ) -> Result<Applied, CommitError> {
        self.apply_rest(now);
        self.slicing(now, |engine| engine.commit_in_slices(now.wall, ops, spread))
    }

    /// Goes on with the commit that is being applied in slices, else begins with the one that was staged first; `None` where there is
    /// neither.
    pub fn apply_slice(&mut self, now: Now, spread: impl FnOnce(&mut [Part<'_>])) -> Option<Applied> {
        self.slicing(now, |engine| engine.apply_slice(now.wall, spread).ok_or(())).ok()
    }

    /// Whether a part of a commit was applied, and not yet all of it.
    pub fn is_applying(&self) -> bool {
        self.engine.is_applying()
    }

    fn apply_rest(&mut self, now: Now) {
        while self.engine.is_applying() {
            self.apply_slice(now, |_| ());
        }
    }

    fn slicing<E>(
        &mut self,
        now: Now,
        apply: impl FnOnce(&mut Engine) -> Result<Applied, E>,
    ) -> Result<Applied, E> {
        self.begin_hold(now);
        let before = self.engine.version();
        let first = *self.whole.before.get_or_insert(before);
        let applied = apply(&mut self.engine);
        let own_steps = match &applied {
            Ok(Applied::Whole(committed)) => {
                self.note_commit(first, committed);
                if first < before {
                    self.whole.done(first + 1, committed.version);
                }
                committed.own_steps
            }
            Ok(Applied::Partly) | Err(_) => 0,
        };
        if !self.engine.is_applying() {
            self.whole.before = None;
        }
        self.give_up_faded();
        self.note_versions(before, own_steps);
        self.distribute(now);
        self.note_hold(Input::Commit);
        applied
    }

    fn committing<E>(
        &mut self,
        now: Now,
        commit: impl FnOnce(&mut Engine) -> Result<Committed, E>,
    ) -> Result<Committed, E> {
        self.apply_rest(now);
        self.begin_hold(now);
        let before = self.engine.version();
        let committed = commit(&mut self.engine);
        if let Ok(committed) = &committed {
            self.note_commit(before, committed);
        }
        self.give_up_faded();
        self.note_versions(before, committed.as_ref().map_or(0, |committed| committed.own_steps));
        self.distribute(now);
        self.note_hold(Input::Commit);
        committed
    }

    /// A reader that reads rows of these sets ahead of their commit, without the hub. O(sets named).
    pub fn row_reader<'a>(&self, sets: impl IntoIterator<Item = &'a str>) -> RowReader {
        self.engine.row_reader(sets)
    }
}

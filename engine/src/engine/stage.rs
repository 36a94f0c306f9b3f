//! A commit in two steps: it is checked, and later applied or abandoned.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Committed, Engine, Part};
use crate::error::{CommitError, OpProblem};
use crate::limits::MAX_NODES;
use crate::store::reader::{Op, ReadRow, RowLimits, Shape, check_id};
use crate::store::set::Write;
use crate::time::Timestamp;

/// The writes of a commit, by set, each with the place of its operation.
pub(super) type Staged = SmallVec<[(usize, OfSet); 1]>;
type OfSet = SmallVec<[(usize, Write); 1]>;

/// What a staged commit writes to one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagedRow<'a> {
    /// The name of its set.
    pub set: &'a Arc<str>,
    /// Its id.
    pub id: &'a str,
    /// Its JSON text, which is UTF-8; `None` where it is taken out.
    pub json: Option<&'a [u8]>,
}

impl Engine {
    /// Checks a commit against the rows as those that were staged before it leave them, for a caller who stores it before it is
    /// applied: all of `ops` or, on an error, none. Nobody sees it before [`apply_staged`](Self::apply_staged).
    ///
    /// Costs the reading of the rows. What is staged is held until it is applied or [abandoned](Self::abandon_staged).
    pub fn stage(&mut self, ops: Vec<Op>) -> Result<impl Iterator<Item = StagedRow<'_>>, CommitError> {
        let staged = self.check(ops)?;
        self.staged.push_back(staged);
        let sets = &self.sets;
        let rows = self.staged.back().into_iter().flatten().flat_map(move |(number, writes)| {
            let set = sets.get_index(*number).map(|(_, set)| &set.name);
            set.into_iter()
                .flat_map(move |set| writes.iter().map(move |(_, write)| StagedRow::of(set, write)))
        });
        Ok(rows)
    }

    /// How many commits are staged.
    pub fn staged(&self) -> usize {
        self.staged.len()
    }

    /// Applies the commit that was staged first, as [`commit_with`](Self::commit_with) does; `None` where there is none.
    pub fn apply_staged(
        &mut self,
        now: Timestamp,
        spread: impl FnOnce(&mut [Part<'_>]),
    ) -> Option<Committed> {
        let staged = self.staged.pop_front()?;
        Some(self.apply(now, staged, spread))
    }

    /// Forgets the staged commits but for the first `kept`. Those behind one that is forgotten go too: they were checked against its rows.
    pub fn abandon_staged(&mut self, kept: usize) {
        self.staged.truncate(kept);
    }

    /// Reads and checks every operation, against the rows as the staged commits leave them; changes nothing.
    pub(super) fn check(&self, ops: Vec<Op>) -> Result<Staged, CommitError> {
        let max = self.limits.max_ops_per_commit;
        if ops.len() > max {
            let problem = OpProblem::TooMany { what: "operations in a commit", max };
            return Err(CommitError { index: max, problem: Box::new(problem) });
        }
        let count = ops.len();
        let limits = RowLimits::of(&self.limits);
        let mut shape: Option<(usize, Shape)> = None;
        let mut staged = Staged::new();
        for (index, op) in ops.into_iter().enumerate() {
            let refused = |problem| CommitError { index, problem: Box::new(problem) };
            let (number, write) = match op {
                Op::Put(ReadRow { set, schema, row }) => match self.sets.get_index(set) {
                    Some((_, known)) if Arc::ptr_eq(&known.schema, &schema) => (set, Write::Put(row)),
                    _ => return Err(refused(OpProblem::Foreign)),
                },
                Op::Upsert { set, node } => {
                    let (number, set) = self.set(&set).map_err(refused)?;
                    let (_, shape) = match &mut shape {
                        Some(known) if known.0 == number => known,
                        other => other.insert((number, set.shape())),
                    };
                    (number, Write::Put(shape.admit(&node, &limits).map_err(refused)?))
                }
                Op::Remove { set, id } => {
                    let (number, set) = self.set(&set).map_err(refused)?;
                    check_id(&set.name, &id, &limits).map_err(refused)?;
                    (number, Write::Remove(id.into()))
                }
            };
            let place = staged.iter().position(|(other, _)| *other == number).unwrap_or_else(|| {
                staged.push((number, OfSet::with_capacity(count - index)));
                staged.len() - 1
            });
            staged[place].1.push((index, write));
        }
        for (number, writes) in &staged {
            let Some((_, set)) = self.sets.get_index(*number) else { continue };
            let max = self.limits.max_nodes_per_set.min(MAX_NODES);
            let before = self.staged.iter().flatten().filter(|(other, _)| other == number);
            let before = || before.clone().flat_map(|(_, writes)| writes);
            let staged_before = before().count();
            // Counting them takes a table of its own: only where there may be too many.
            if set.len() + staged_before + writes.len() <= max {
                continue;
            }
            let (growth, grown_by) = set.growth(before().chain(writes).map(|(_, write)| write));
            if growth > 0 && set.len().saturating_add_signed(growth) > max {
                let problem = OpProblem::TooMany { what: "nodes in a set", max };
                let index = grown_by
                    .checked_sub(staged_before)
                    .and_then(|at| writes.get(at))
                    .map_or(0, |(index, _)| *index);
                return Err(CommitError { index, problem: Box::new(problem) });
            }
        }
        Ok(staged)
    }
}

impl<'a> StagedRow<'a> {
    fn of(set: &'a Arc<str>, write: &'a Write) -> Self {
        match write {
            Write::Put(row) => Self { set, id: row.id(), json: Some(row.json()) },
            Write::Remove(id) => Self { set, id, json: None },
        }
    }
}

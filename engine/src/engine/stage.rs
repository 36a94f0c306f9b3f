//! A commit in two steps: it is checked, and later applied or abandoned.

use std::sync::Arc;

use compact_str::{CompactString, ToCompactString};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::{Committed, Engine, Part};
use crate::error::{CommitError, OpProblem};
use crate::limits::MAX_NODES;
use crate::seed::Keyed;
use crate::steps::blocks;
use crate::store::condition::{Asked, Condition};
use crate::store::reader::{Op, ReadRow, RowLimits, Shape, check_id};
use crate::store::row::Row;
use crate::store::set::{Set, Write};
use crate::syntax::shortened;
use crate::time::Timestamp;

/// The writes of a commit, by set, each with the place of its operation.
pub(super) type Staged = SmallVec<[(usize, OfSet); 1]>;
pub(super) type OfSet = SmallVec<[(usize, Write); 1]>;

/// A write of a staged commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StagedWrite<'a> {
    /// Puts a row in place of the one with the same id.
    Put {
        /// The name of its set.
        set: &'a Arc<str>,
        /// Its id.
        id: &'a str,
        /// Its JSON text, which is UTF-8.
        json: &'a [u8],
    },
    /// Takes a row out, if it is there.
    Remove {
        /// The name of its set.
        set: &'a Arc<str>,
        /// Its id.
        id: &'a str,
    },
    /// Takes all rows of a set out.
    Clear {
        /// The name of the set.
        set: &'a Arc<str>,
    },
}

impl Engine {
    /// Checks a commit against the rows as those that were staged before it leave them, for a caller who stores it before it is
    /// applied: all of `ops` or, on an error, none. Nobody sees it before [`apply_staged`](Self::apply_staged).
    ///
    /// Conditions see `now`. Costs the reading of the rows. What is staged is held until it is applied or [abandoned](Self::abandon_staged).
    pub fn stage(
        &mut self,
        now: Timestamp,
        ops: Vec<Op>,
    ) -> Result<impl Iterator<Item = StagedWrite<'_>>, CommitError> {
        let staged = self.check(now, ops)?;
        self.staged.push(staged);
        let sets = &self.sets;
        let writes = self.staged.newest().into_iter().flatten().flat_map(move |(number, writes)| {
            let set = sets.get_index(*number).map(|(_, set)| &set.name);
            set.into_iter()
                .flat_map(move |set| writes.iter().map(move |(_, write)| StagedWrite::of(set, write)))
        });
        Ok(writes)
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
        self.apply_rest(now);
        let staged = self.staged.pop()?;
        Some(self.apply_whole(now, staged, spread))
    }

    /// Forgets the staged commits but for the first `kept`. Those behind one that is forgotten go too: they were checked against its rows.
    ///
    /// One that is being [applied in slices](Self::apply_slice) stays.
    pub fn abandon_staged(&mut self, kept: usize) {
        let is_applying = self.sliced.is_some() && self.staged.len() > 0;
        self.staged.truncate(kept.max(usize::from(is_applying)));
    }

    /// Whether a row, `None` where there is none, has the same text as the staged commits leave it: in O(1) where it is the same
    /// version, else by a look at all of it.
    pub fn is_current(&self, set: &str, id: &str, row: Option<&liveset_core::model::Row>) -> bool {
        let Some((number, _, set)) = self.sets.get_full(set) else { return row.is_none() };
        let current = self.staged.row(number, id).unwrap_or_else(|| set.row_by_id(id));
        match (current.map(Row::json), row.map(|row| row.json())) {
            (Some(current), Some(row)) => std::ptr::eq(current, row) || current == row,
            (current, row) => current.is_none() && row.is_none(),
        }
    }

    /// Reads and checks every operation, against the rows as the staged commits leave them; changes nothing.
    pub(super) fn check(&mut self, now: Timestamp, ops: Vec<Op>) -> Result<Staged, CommitError> {
        let max = self.limits.max_ops_per_commit;
        if ops.len() > max {
            let problem = OpProblem::TooMany { what: "operations in a commit", max };
            return Err(CommitError { index: max, problem: Box::new(problem) });
        }
        let mut draft = Draft::new(self, now, &ops);
        let checked = ops.into_iter().enumerate().try_for_each(|(index, op)| {
            draft.add(index, op).map_err(|problem| CommitError { index, problem: Box::new(problem) })
        });
        let Draft { staged, steps, .. } = draft;
        self.stats.work.steps += steps;
        checked?;
        for (number, writes) in &staged {
            let Some((_, set)) = self.sets.get_index(*number) else { continue };
            let max = self.limits.max_nodes_per_set.min(MAX_NODES);
            let before = || self.staged.writes(*number);
            let staged_before = before().count();
            // Counting them takes a table of its own: only where there may be too many.
            if set.len() + staged_before + writes.len() <= max {
                continue;
            }
            let (growth, grown_by) = set.growth(before().chain(writes.iter().map(|(_, write)| write)));
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

/// A commit that is being checked.
struct Draft<'e> {
    engine: &'e Engine,
    now: Timestamp,
    limits: RowLimits,
    operations: usize,
    shape: Option<(usize, Shape)>,
    staged: Staged,
    /// Where the newest write of each row stands, by set; only where operations look at rows.
    newest: Option<HashMap<usize, HashMap<CompactString, usize, Keyed>, FixedState>>,
    /// What looking at rows took.
    steps: u64,
}

impl<'e> Draft<'e> {
    fn new(engine: &'e Engine, now: Timestamp, ops: &[Op]) -> Self {
        // A large one is applied in slices, each row in one of them.
        let looks = ops.iter().any(|op| matches!(op, Op::Patch { .. } | Op::If { .. }))
            || ops.iter().map(|op| engine.storing_steps(op)).sum::<u64>() > engine.large_steps();
        Self {
            engine,
            now,
            limits: RowLimits::of(&engine.limits),
            operations: ops.len(),
            shape: None,
            staged: Staged::new(),
            newest: looks.then(HashMap::default),
            steps: 0,
        }
    }

    fn add(&mut self, index: usize, mut op: Op) -> Result<(), OpProblem> {
        let mut conditions: SmallVec<[Condition; 1]> = SmallVec::new();
        while let Op::If { condition, op: inner } = op {
            conditions.push(condition);
            op = *inner;
        }
        let conditions = &conditions[..];
        match op {
            Op::Put(ReadRow { set, schema, row }) => match self.engine.sets.get_index(set) {
                Some((_, known)) if Arc::ptr_eq(&known.schema, &schema) => {
                    self.require(set, row.id(), conditions)?;
                    self.write(index, set, Write::Put(row));
                }
                _ => return Err(OpProblem::Foreign),
            },
            Op::Upsert { set, node } => {
                let (number, set) = self.engine.set(&set)?;
                let row = shape(&mut self.shape, number, set).admit(&node, &self.limits)?;
                self.require(number, row.id(), conditions)?;
                self.write(index, number, Write::Put(row));
            }
            Op::Patch { set, id, patch, upsert } => {
                let (number, set) = self.engine.set(&set)?;
                check_id(&set.name, &id, &self.limits)?;
                self.require(number, &id, conditions)?;
                let before = self.row(number, &id).cloned();
                if before.is_none() && !upsert {
                    return Err(OpProblem::NotFound { set: set.name.to_string(), node: shortened(&id) });
                }
                self.work(blocks(before.as_ref().map_or(0, Row::json_len) + patch.len()))?;
                let shape = shape(&mut self.shape, number, set);
                let row = shape.patched(&id, before.as_ref().map(Row::json), &patch, &self.limits)?;
                self.write(index, number, Write::Put(row));
            }
            Op::Remove { set, id } => {
                let (number, set) = self.engine.set(&set)?;
                check_id(&set.name, &id, &self.limits)?;
                self.require(number, &id, conditions)?;
                self.write(index, number, Write::Remove(id.into()));
            }
            Op::Clear { set } => {
                let (number, set) = self.engine.set(&set)?;
                if !conditions.is_empty() {
                    return Err(OpProblem::NoNode { set: set.name.to_string() });
                }
                self.write(index, number, Write::Clear);
            }
            // All of them were taken off.
            Op::If { .. } => {}
        }
        Ok(())
    }

    /// Counts a look at a row, and refuses one too many.
    fn work(&mut self, steps: u64) -> Result<(), OpProblem> {
        let max = self.engine.limits.max_commit_steps;
        self.steps = self.steps.saturating_add(1).saturating_add(steps);
        if self.steps > max { Err(OpProblem::TooMuchWork { max }) } else { Ok(()) }
    }

    /// Refuses an operation whose row is not as it should be.
    fn require(&mut self, number: usize, id: &str, conditions: &[Condition]) -> Result<(), OpProblem> {
        if conditions.is_empty() {
            return Ok(());
        }
        let Some((_, set)) = self.engine.sets.get_index(number) else { return Ok(()) };
        for condition in conditions {
            let mut steps = 0;
            let row = self.row(number, id);
            let largest = set.largest_row_bytes().max(row.map_or(0, Row::json_len));
            let (limits, now) = (&self.engine.limits, self.now);
            let asked = Asked { set: &set.name, id, schema: &set.schema, largest, limits, now };
            let checked = condition.check(&asked, row, &mut steps);
            // What a refusal took counts too.
            self.work(steps)?;
            checked?;
        }
        Ok(())
    }

    /// A row as the operations so far leave it.
    fn row(&self, number: usize, id: &str) -> Option<&Row> {
        let writes = self.staged.iter().find(|(other, _)| *other == number).map(|(_, writes)| writes);
        if let Some(writes) = writes {
            let place = self.newest.as_ref().and_then(|newest| newest.get(&number)?.get(id));
            let newest = place.and_then(|place| writes.get(*place)).map(|(_, write)| write);
            match (newest, writes.first()) {
                (Some(Write::Put(row)), _) => return Some(row),
                (Some(_), _) | (None, Some((_, Write::Clear))) => return None,
                (None, _) => {}
            }
        }
        match self.engine.staged.row(number, id) {
            Some(row) => row,
            None => self.engine.sets.get_index(number)?.1.row_by_id(id),
        }
    }

    fn write(&mut self, index: usize, number: usize, write: Write) {
        let staged = &mut self.staged;
        let place = staged.iter().position(|(other, _)| *other == number).unwrap_or_else(|| {
            staged.push((number, OfSet::with_capacity(self.operations - index)));
            staged.len() - 1
        });
        let writes = &mut staged[place].1;
        let mut newest = self.newest.as_mut().map(|newest| {
            let keyed = self.engine.keyed;
            newest.entry(number).or_insert_with(|| HashMap::with_hasher(keyed))
        });
        let id = match &write {
            Write::Put(row) => row.id(),
            Write::Remove(id) => id,
            Write::Clear => {
                // What was written to the set before is gone.
                writes.clear();
                newest.iter_mut().for_each(|newest| newest.clear());
                writes.push((index, write));
                return;
            }
        };
        if let Some(newest) = newest {
            // One write for each row: a row that is patched a thousand times is held once.
            match newest.get(id).and_then(|place| writes.get_mut(*place)) {
                Some(before) => {
                    *before = (index, write);
                    return;
                }
                None => drop(newest.insert(id.to_compact_string(), writes.len())),
            }
        }
        writes.push((index, write));
    }
}

/// How rows of a set are read, kept for the next operation.
fn shape<'s>(kept: &'s mut Option<(usize, Shape)>, number: usize, set: &Set) -> &'s Shape {
    if kept.as_ref().is_some_and(|(known, _)| *known != number) {
        *kept = None;
    }
    &kept.get_or_insert_with(|| (number, set.shape())).1
}

impl<'a> StagedWrite<'a> {
    fn of(set: &'a Arc<str>, write: &'a Write) -> Self {
        match write {
            Write::Put(row) => Self::Put { set, id: row.id(), json: row.json() },
            Write::Remove(id) => Self::Remove { set, id },
            Write::Clear => Self::Clear { set },
        }
    }
}

//! Large commits, applied in slices between which others have their turn.

use smallvec::SmallVec;

use super::stage::{OfSet, Staged};
use super::{Committed, Engine, Part, STORING_STEPS};
use crate::error::CommitError;
use crate::store::reader::{Op, ReadRow};
use crate::store::row::Row;
use crate::store::set::{Set, Write};
use crate::store::slots::Slots;
use crate::time::Timestamp;

/// How far a commit was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// All of it is there.
    Whole(Committed),
    /// [`Engine::apply_slice`] goes on with it.
    Partly,
}

/// A commit of which a part was applied.
#[derive(Debug)]
pub(super) struct Sliced {
    /// Its writes; `None` where it is the oldest of those that are staged.
    own: Option<Staged>,
    /// Which of its sets is written now, and how far.
    set: usize,
    written: usize,
    swept: u32,
    /// One bit for each handle: the rows that a set which is cleared gets.
    kept: Vec<u64>,
    /// The rows of its sets as they were before it.
    before: SmallVec<[(usize, Slots); 1]>,
    version: u64,
    changed: u64,
    own_steps: u64,
    /// Steps of storing rows in the next slice: fewer where what they bring to queries takes much.
    storing: u64,
}

impl Sliced {
    /// The rows of a set as they were before the commit, where it writes to that.
    pub(super) fn before(&self, set: usize) -> Option<&Slots> {
        self.before.iter().find(|(number, _)| *number == set).map(|(_, slots)| slots)
    }

    /// The version of the results that do not include it.
    pub(super) fn version(&self) -> u64 {
        self.version
    }
}

impl Engine {
    /// Applies `ops` as [`commit`](Self::commit) does, but no more of them at once than a fraction of a [hold](Self::hold_steps) takes:
    /// [`apply_slice`](Self::apply_slice) goes on with the rest, which nothing can refuse any more.
    ///
    /// Until all of it is there, [`one_shot`](Self::one_shot) and [`scan`](Self::scan) see the rows as they were before, each slice has
    /// versions of its own, and [`poll_update`](Self::poll_update) tells of them: it is for the owner to hold them back. Another commit
    /// applies the rest first.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit): nothing was applied then.
    pub fn commit_in_slices(
        &mut self,
        now: Timestamp,
        ops: Vec<Op>,
        spread: impl FnOnce(&mut [Part<'_>]),
    ) -> Result<Applied, CommitError> {
        self.apply_rest(now);
        let staged = self.check(now, ops)?;
        if !self.is_large(&staged) {
            return Ok(Applied::Whole(self.apply_whole(now, staged, spread)));
        }
        self.sliced = Some(self.begin_slices(&staged));
        if let Some(sliced) = &mut self.sliced {
            sliced.own = Some(staged);
        }
        Ok(self.go_on(now, spread).unwrap_or(Applied::Partly))
    }

    /// Goes on with the commit that is being applied in slices, else begins with the one that was staged first. `None` where there is
    /// neither.
    pub fn apply_slice(&mut self, now: Timestamp, spread: impl FnOnce(&mut [Part<'_>])) -> Option<Applied> {
        if self.sliced.is_none() {
            let staged = self.staged.oldest()?;
            if !self.is_large(staged) {
                return self.apply_staged(now, spread).map(Applied::Whole);
            }
            self.sliced = Some(self.begin_slices(staged));
        }
        self.go_on(now, spread)
    }

    /// Whether a part of a commit was applied, and not yet all of it.
    pub fn is_applying(&self) -> bool {
        self.sliced.is_some()
    }

    /// Applies all that is left of the commit that is being applied.
    pub(super) fn apply_rest(&mut self, now: Timestamp) {
        while self.is_applying() {
            self.go_on(now, |_| ());
        }
    }

    fn is_large(&self, staged: &Staged) -> bool {
        self.own_steps(staged) > self.large_steps()
    }

    /// A commit that takes more steps is applied in slices.
    pub(super) fn large_steps(&self) -> u64 {
        self.limits.enforced_hold() / OF_HOLD_WHOLE
    }

    /// The steps of storing what an operation writes, about.
    pub(super) fn storing_steps(&self, mut op: &Op) -> u64 {
        while let Op::If { op: inner, .. } = op {
            op = inner;
        }
        match op {
            Op::Upsert { node, .. } => STORING_STEPS + node.len() as u64 / 16,
            Op::Put(ReadRow { row, .. }) => STORING_STEPS + row.json_len() as u64 / 16,
            Op::Patch { patch, .. } => STORING_STEPS + patch.len() as u64 / 16,
            Op::Clear { set } => STORING_STEPS * self.sets.get(&**set).map_or(0, |set| set.len() as u64),
            Op::Remove { .. } | Op::If { .. } => STORING_STEPS,
        }
    }

    fn begin_slices(&self, staged: &Staged) -> Sliced {
        let rows = |(number, _): &(usize, OfSet)| {
            self.sets.get_index(*number).map(|(_, set)| (*number, set.slots().clone()))
        };
        Sliced {
            own: None,
            set: 0,
            written: 0,
            swept: 0,
            kept: Vec::new(),
            before: staged.iter().filter_map(rows).collect(),
            version: self.version,
            changed: 0,
            own_steps: self.own_steps(staged),
            storing: (self.limits.enforced_hold() / OF_HOLD_AT_FIRST).max(1),
        }
    }

    fn go_on(&mut self, now: Timestamp, spread: impl FnOnce(&mut [Part<'_>])) -> Option<Applied> {
        let mut sliced = self.sliced.take()?;
        let (slice, put) = self.next_slice(&mut sliced);
        let staged = sliced.own.as_ref().or_else(|| self.staged.oldest());
        let is_last = staged.is_none_or(|staged| sliced.set >= staged.len());
        // Before it is applied: should that panic, the next call goes on behind it.
        self.sliced = Some(sliced);
        self.stats.commits += u64::from(is_last);
        let before = self.steps();
        let done = self.apply(now, slice, spread);
        let (taken, hold) = (self.steps() - before, self.limits.enforced_hold());
        let sliced = self.sliced.as_mut()?;
        sliced.changed += done.changed;
        sliced.storing = match taken {
            _ if taken > hold / 2 => (sliced.storing / 2).max(1),
            _ if taken < hold / 4 => (sliced.storing * 2).min((hold / OF_HOLD_IN_SLICE).max(1)),
            _ => sliced.storing,
        };
        if let Some((number, rows)) = put
            && let Some((_, set)) = self.sets.get_index(number)
        {
            rows.iter()
                .filter_map(|row| set.handle(row.id()))
                .for_each(|handle| keep(&mut sliced.kept, handle));
        }
        if !is_last {
            return Some(Applied::Partly);
        }
        let Sliced { own, changed, own_steps, .. } = self.sliced.take()?;
        if own.is_none() {
            self.staged.pop();
        }
        Some(Applied::Whole(Committed { changed, own_steps, ..done }))
    }

    /// What is to be applied next; and the rows that are put by it, where their set is cleared.
    fn next_slice(&self, sliced: &mut Sliced) -> (Staged, Option<(usize, Vec<Row>)>) {
        let Sliced { own, set: place, written, swept, kept, storing, .. } = sliced;
        let Some((number, writes)) =
            own.as_ref().or_else(|| self.staged.oldest()).and_then(|staged| staged.get(*place))
        else {
            return (Staged::new(), None);
        };
        let most = *storing;
        let is_cleared = matches!(writes.first(), Some((_, Write::Clear)));
        let (mut slice, mut steps) = (OfSet::new(), 0);
        while steps < most
            && let Some((index, write)) = writes.get(*written)
        {
            *written += 1;
            // What it takes out is swept behind the others, so that a row which comes again is one change.
            if !matches!(write, Write::Clear) {
                steps += STORING_STEPS + write.json_bytes() as u64 / 16;
                slice.push((*index, write.clone()));
            }
        }
        let put = is_cleared.then(|| {
            let rows = slice.iter().filter_map(|(_, write)| match write {
                Write::Put(row) => Some(row.clone()),
                Write::Remove(_) | Write::Clear => None,
            });
            (*number, rows.collect())
        });
        if *written < writes.len() {
            return (Staged::from_iter([(*number, slice)]), put);
        }
        let rest =
            self.sets.get_index(*number).map(|(_, set)| set).filter(|_| is_cleared && slice.is_empty());
        let is_swept = match rest {
            Some(set) => sweep(set, swept, kept, most, &mut slice),
            None => !is_cleared,
        };
        if is_swept {
            (*place, *written, *swept) = (*place + 1, 0, 0);
            kept.clear();
        }
        (Staged::from_iter([(*number, slice)]), put)
    }
}

/// Takes rows out that are not kept, for about `most` steps. Tells whether those were all.
fn sweep(set: &Set, swept: &mut u32, kept: &[u64], most: u64, slice: &mut OfSet) -> bool {
    let mut steps = 0;
    for (handle, row) in set.rows_from(*swept) {
        if steps >= most {
            return false;
        }
        *swept = handle + 1;
        steps += 1;
        if !is_kept(kept, handle) {
            steps += STORING_STEPS;
            slice.push((0, Write::Remove(row.id().into())));
        }
    }
    true
}

fn keep(kept: &mut Vec<u64>, handle: u32) {
    let place = handle as usize / 64;
    if kept.len() <= place {
        kept.resize(place + 1, 0);
    }
    kept[place] |= 1 << (handle % 64);
}

fn is_kept(kept: &[u64], handle: u32) -> bool {
    kept.get(handle as usize / 64).is_some_and(|bits| bits & (1 << (handle % 64)) != 0)
}

/// Which part of a hold a commit may take by itself and be applied whole.
const OF_HOLD_WHOLE: u64 = 2;
/// Which part of a hold a slice of a larger one takes by itself at most; what it brings to queries takes the rest.
const OF_HOLD_IN_SLICE: u64 = 8;
/// The same for the first slice, of which nobody knows what it brings to queries.
const OF_HOLD_AT_FIRST: u64 = 64;

//! The commits that were checked and not applied, and the rows as they leave them.

use std::collections::VecDeque;

use compact_str::{CompactString, ToCompactString};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::stage::Staged;
use crate::seed::Keyed;
use crate::store::row::Row;
use crate::store::set::Write;

/// The staged commits, in their order.
#[derive(Debug)]
pub(super) struct Pending {
    commits: VecDeque<Staged>,
    /// By the number of their sets.
    sets: HashMap<usize, OfSet, FixedState>,
    /// Writes that were staged so far.
    written: u64,
    keyed: Keyed,
}

/// The rows of a set that staged commits write.
#[derive(Debug)]
struct OfSet {
    rows: HashMap<CompactString, Newest, Keyed>,
    /// The number of the newest write that clears the set; 0 where there is none.
    cleared_at: u64,
    /// How many staged commits clear it.
    clears: usize,
}

/// What becomes of a row.
#[derive(Debug)]
struct Newest {
    row: Option<Row>,
    /// The number of the write that makes it so.
    written_at: u64,
    /// How many staged writes are on it.
    writes: usize,
}

impl Pending {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self { commits: VecDeque::new(), sets: HashMap::default(), written: 0, keyed }
    }

    pub(super) fn len(&self) -> usize {
        self.commits.len()
    }

    pub(super) fn newest(&self) -> Option<&Staged> {
        self.commits.back()
    }

    pub(super) fn oldest(&self) -> Option<&Staged> {
        self.commits.front()
    }

    /// What is written to a set, in order.
    pub(super) fn writes(&self, set: usize) -> impl Iterator<Item = &Write> + Clone {
        let of_set = self.commits.iter().flatten().filter(move |(other, _)| *other == set);
        of_set.flat_map(|(_, writes)| writes).map(|(_, write)| write)
    }

    /// A row as the staged commits leave it; `None` where they leave it as it is.
    pub(super) fn row(&self, set: usize, id: &str) -> Option<Option<&Row>> {
        let of_set = self.sets.get(&set)?;
        match of_set.rows.get(id) {
            Some(newest) if newest.written_at > of_set.cleared_at => Some(newest.row.as_ref()),
            _ => (of_set.clears > 0).then_some(None),
        }
    }

    pub(super) fn push(&mut self, staged: Staged) {
        for (set, writes) in &staged {
            let keyed = self.keyed;
            let of_set = self.sets.entry(*set).or_insert_with(|| OfSet {
                rows: HashMap::with_hasher(keyed),
                cleared_at: 0,
                clears: 0,
            });
            for (_, write) in writes {
                self.written += 1;
                of_set.push(write, self.written);
            }
        }
        self.commits.push_back(staged);
    }

    /// Takes out the oldest.
    pub(super) fn pop(&mut self) -> Option<Staged> {
        let staged = self.commits.pop_front()?;
        for (set, writes) in &staged {
            let Some(of_set) = self.sets.get_mut(set) else { continue };
            writes.iter().for_each(|(_, write)| of_set.pop(write));
            if of_set.rows.is_empty() && of_set.clears == 0 {
                self.sets.remove(set);
            }
        }
        Some(staged)
    }

    /// Keeps the oldest alone. O(what those write).
    pub(super) fn truncate(&mut self, kept: usize) {
        if kept >= self.commits.len() {
            return;
        }
        let mut commits = std::mem::take(&mut self.commits);
        commits.truncate(kept);
        self.sets.clear();
        commits.into_iter().for_each(|staged| self.push(staged));
    }
}

impl OfSet {
    fn push(&mut self, write: &Write, written_at: u64) {
        let (id, row) = match write {
            Write::Put(row) => (row.id(), Some(row.clone())),
            Write::Remove(id) => (&**id, None),
            Write::Clear => {
                self.cleared_at = written_at;
                self.clears += 1;
                return;
            }
        };
        match self.rows.get_mut(id) {
            Some(newest) => *newest = Newest { row, written_at, writes: newest.writes + 1 },
            None => drop(self.rows.insert(id.to_compact_string(), Newest { row, written_at, writes: 1 })),
        }
    }

    fn pop(&mut self, write: &Write) {
        let id = match write {
            Write::Put(row) => row.id(),
            Write::Remove(id) => id,
            Write::Clear => {
                self.clears -= 1;
                return;
            }
        };
        if let Some(newest) = self.rows.get_mut(id) {
            newest.writes -= 1;
            if newest.writes == 0 {
                self.rows.remove(id);
            }
        }
    }
}

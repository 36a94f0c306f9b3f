//! Row versions kept for queries that are behind their set.
//!
//! A commit or a moment of time that costs more than one hold of the lock is applied to the rows at once, and to the queries in
//! slices. Until the last of them has taken it, the set keeps what it did: its **entries**, in order. A query that is behind
//! stands before one of them, and reads the rows as they were there: the first entry from there on that changed a row has its
//! old version, and a row that none of them changed is as it is now.

use std::{collections::VecDeque, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::{
    store::{row::Row, set::RowChange},
    time::Timestamp,
};

/// One commit, or one passing of time, as one set saw it.
#[derive(Debug)]
pub(crate) struct HistoryEntry {
    /// The version of results that have taken it.
    pub(crate) version: u64,
    /// The moment up to which time has passed with it.
    pub(crate) now: Timestamp,
    /// The number of the set's last commit before it.
    pub(crate) before: u64,
    /// Each of a different row.
    pub(crate) changes: Vec<RowChange>,
    /// Rows for which a test over time may come out otherwise, sorted.
    pub(crate) turned: Vec<Turned>,
    /// What it holds; counted when it is pushed.
    pub(crate) weight: Weight,
}

impl HistoryEntry {
    /// What a set did, or what time did to it, after its commit of number `before`.
    pub(crate) fn new(version: u64, now: Timestamp, before: u64) -> Self {
        Self { version, now, before, changes: Vec::new(), turned: Vec::new(), weight: Weight::default() }
    }
}

/// Where a change of a row is: the number of an entry, and the place among its changes.
type Spot = (u64, u32);

/// The entries that some query has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct History {
    entries: VecDeque<Arc<HistoryEntry>>,
    /// The number of the first entry. Numbers count up and are never used again.
    first: u64,
    by_row: HashMap<u32, SmallVec<[Spot; 1]>, FixedState>,
    /// Handles of removed rows, each with the entry after which it may be used again.
    held: VecDeque<(u64, u32)>,
    /// Entries that nobody needs any more, and that are still there.
    old: VecDeque<Old>,
    /// What queries wait for.
    live: Weight,
    /// The same with what is old.
    all: Weight,
}

#[derive(Debug)]
struct Old {
    number: u64,
    entry: Arc<HistoryEntry>,
}

/// What entries hold, about: row versions that nobody else may hold, turned rows, and the bytes of these.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Weight {
    fn more(self, other: Weight) -> Weight {
        Weight { rows: self.rows + other.rows, bytes: self.bytes + other.bytes }
    }

    fn less(self, other: Weight) -> Weight {
        Weight { rows: self.rows - other.rows, bytes: self.bytes - other.bytes }
    }
}

impl History {
    /// The number that the next entry will have: where a query stands that is up to date.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What queries wait for.
    pub(crate) fn live(&self) -> Weight {
        self.live
    }

    /// The first entry from which on so much is held at most.
    pub(crate) fn cut(&self, most: Weight) -> u64 {
        let mut weight = Weight::default();
        let fits = |entry: &&Arc<HistoryEntry>| {
            weight = weight.more(entry.weight);
            weight.rows <= most.rows && weight.bytes <= most.bytes
        };
        self.end() - self.entries.iter().rev().take_while(fits).count() as u64
    }

    /// What is held.
    pub(crate) fn all(&self) -> Weight {
        self.all
    }

    pub(crate) fn entry(&self, number: u64) -> Option<&Arc<HistoryEntry>> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    pub(crate) fn push(&mut self, mut entry: HistoryEntry) -> Arc<HistoryEntry> {
        let number = self.end();
        for (place, change) in (0..).zip(&entry.changes) {
            self.by_row.entry(change.handle).or_default().push((number, place));
        }
        entry.weight = weight(&entry);
        self.live = self.live.more(entry.weight);
        self.all = self.all.more(entry.weight);
        let entry = Arc::new(entry);
        self.entries.push_back(entry.clone());
        entry
    }

    /// The change that an entry made to a row.
    pub(crate) fn change(&self, number: u64, handle: u32) -> Option<&RowChange> {
        let spots = self.by_row.get(&handle)?;
        let (_, place) = spots.iter().find(|(at, _)| *at == number)?;
        self.entry(number)?.changes.get(*place as usize)
    }

    /// The version of a row before an entry, where that or a later one changed it: `Some(None)` where there was none.
    pub(crate) fn before(&self, number: u64, handle: u32) -> Option<Option<&Row>> {
        let spots = self.by_row.get(&handle)?;
        let (at, place) = spots.iter().find(|(at, _)| *at >= number)?;
        Some(self.entry(*at)?.changes.get(*place as usize)?.before.as_ref())
    }

    /// A row is gone; its handle may be used again when no query can read what it was. Tells whether that is later.
    pub(crate) fn hold(&mut self, handle: u32) -> bool {
        let is_later = !self.is_empty();
        if is_later {
            self.held.push_back((self.end(), handle));
        }
        is_later
    }

    /// Nobody needs the entries before `number` any more: [`sweep`](Self::sweep) lets go of their rows.
    pub(crate) fn trim(&mut self, number: u64) {
        while self.first < number
            && let Some(entry) = self.entries.pop_front()
        {
            let number = self.first;
            self.first += 1;
            self.live = self.live.less(entry.weight);
            self.old.push_back(Old { number, entry });
        }
    }

    /// Whether there is something to [`sweep`](Self::sweep).
    pub(crate) fn has_old(&self) -> bool {
        !self.old.is_empty() || self.entries.is_empty() && !self.held.is_empty()
    }

    /// Lets go of what nobody needs any more, for about `left` steps. Appends the handles that may be used again to `free`.
    pub(crate) fn sweep(&mut self, left: &mut u64, free: &mut Vec<u32>) {
        while *left > 0
            && let Some(Old { number, mut entry }) = self.old.pop_front()
        {
            // Nobody else has it: a slice of work has ended when the next one begins.
            if let Some(entry) = Arc::get_mut(&mut entry) {
                while *left > 0
                    && let Some(change) = entry.changes.pop()
                {
                    *left = left.saturating_sub(SWEEP_STEPS);
                    let weight = weight_of(&change);
                    self.all = self.all.less(weight);
                    entry.weight = entry.weight.less(weight);
                    if let Some(spots) = self.by_row.get_mut(&change.handle) {
                        spots.retain(|(at, _)| *at != number);
                        if spots.is_empty() {
                            self.by_row.remove(&change.handle);
                        }
                    }
                }
            }
            if !entry.changes.is_empty() {
                self.old.push_front(Old { number, entry });
                return;
            }
            self.all = self.all.less(entry.weight);
        }
        let first = if self.entries.is_empty() { u64::MAX } else { self.first };
        while *left > 0
            && let Some((until, handle)) = self.held.front().copied()
            && until <= first
        {
            *left -= 1;
            self.held.pop_front();
            free.push(handle);
        }
        if self.entries.is_empty() && self.old.is_empty() {
            self.by_row = HashMap::default();
        }
    }
}

/// The steps of letting go of a row version.
const SWEEP_STEPS: u64 = 4;

fn weight(entry: &HistoryEntry) -> Weight {
    let turned = entry.turned.len();
    let turned = Weight { rows: turned, bytes: turned * size_of::<Turned>() };
    entry.changes.iter().map(weight_of).fold(turned, Weight::more)
}

/// What a change holds of that.
fn weight_of(change: &RowChange) -> Weight {
    let before = change.before.as_ref().map_or(0, |row| row.bytes());
    let spot = size_of::<RowChange>() + size_of::<(u32, SmallVec<[Spot; 1]>)>();
    Weight { rows: 1, bytes: before + spot }
}

/// A row for which a test comes out otherwise than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turned {
    pub(crate) row: u32,
    pub(crate) test: u32,
}

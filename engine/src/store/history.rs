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
    moments::Turned,
    store::{row::Row, set::RowChange},
    time::Instant,
};

/// One commit, or one passing of time, as one set saw it.
#[derive(Debug)]
pub(crate) struct HistoryEntry {
    /// The version of results that have taken it.
    pub(crate) version: u64,
    /// The moment up to which time has passed with it.
    pub(crate) now: Instant,
    /// Each of a different row.
    pub(crate) changes: Vec<RowChange>,
    /// Rows for which a test over time may come out otherwise, sorted.
    pub(crate) turned: Vec<Turned>,
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
    rows: usize,
    bytes: usize,
}

impl History {
    /// The number that the next entry will have: where a query stands that is up to date.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Row versions held, and turned rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes held by them, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn entry(&self, number: u64) -> Option<&Arc<HistoryEntry>> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    pub(crate) fn push(&mut self, entry: HistoryEntry) -> Arc<HistoryEntry> {
        let number = self.end();
        for (place, change) in (0..).zip(&entry.changes) {
            self.by_row.entry(change.handle).or_default().push((number, place));
        }
        let (rows, bytes) = weight(&entry);
        self.rows += rows;
        self.bytes += bytes;
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
    pub(crate) fn before(&self, number: u64, handle: u32) -> Option<Option<&Arc<Row>>> {
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

    /// Lets go of the entries before `number`. Appends the handles that may be used again to `free`.
    pub(crate) fn trim(&mut self, number: u64, free: &mut Vec<u32>) {
        while self.first < number
            && let Some(entry) = self.entries.pop_front()
        {
            let at = self.first;
            self.first += 1;
            for change in &entry.changes {
                if let Some(spots) = self.by_row.get_mut(&change.handle) {
                    spots.retain(|(number, _)| *number != at);
                    if spots.is_empty() {
                        self.by_row.remove(&change.handle);
                    }
                }
            }
            let (rows, bytes) = weight(&entry);
            self.rows -= rows;
            self.bytes -= bytes;
        }
        let first = if self.entries.is_empty() { u64::MAX } else { self.first };
        while let Some((until, handle)) = self.held.front().copied()
            && until <= first
        {
            self.held.pop_front();
            free.push(handle);
        }
        if self.entries.is_empty() {
            self.by_row = HashMap::default();
        }
    }
}

/// What an entry holds, about: row versions that nobody else may hold, and their bytes.
fn weight(entry: &HistoryEntry) -> (usize, usize) {
    let rows = entry.changes.len() + entry.turned.len();
    let before = entry.changes.iter().filter_map(|change| change.before.as_ref());
    let bytes: usize = before.map(|row| row.bytes()).sum();
    let spots = entry.changes.len() * (size_of::<RowChange>() + size_of::<(u32, SmallVec<[Spot; 1]>)>());
    (rows, bytes + spots + entry.turned.len() * size_of::<Turned>())
}

//! The etags of a result while they are computed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use liveset_core::{Batch, Change, Etag, Row, Snapshot};

use crate::resume::ResumeLog;

/// The etags of a result that are being computed, row by row.
#[derive(Debug)]
pub(crate) struct Hashing {
    pub(crate) snapshot: Arc<Snapshot>,
    /// Of the first rows.
    pub(crate) etags: Vec<Etag>,
    /// Of all rows, where they are known.
    known: Vec<Option<Etag>>,
}

impl Hashing {
    /// Begins with the etags that are remembered of rows that have not changed since.
    pub(crate) fn new(snapshot: Arc<Snapshot>, log: &ResumeLog) -> Self {
        let known = log.etags().and_then(|(etags, mut since)| known(&snapshot, etags, &since.drain()));
        let known = known.unwrap_or_else(|| vec![None; snapshot.rows.len()]);
        Self { etags: Vec::with_capacity(known.len()), known, snapshot }
    }

    /// Goes on with what the result is now: of rows that are as they were the etags are known.
    pub(crate) fn again(self, snapshot: Arc<Snapshot>) -> Self {
        // Ordered, not hashed: writers choose the ids.
        let before: BTreeMap<&str, _> = self
            .snapshot
            .rows
            .iter()
            .zip(&self.etags)
            .map(|(row, etag)| (row.id(), (row.json(), *etag)))
            .collect();
        let known =
            |row: &Row| before.get(row.id()).filter(|(json, _)| *json == row.json()).map(|(_, etag)| *etag);
        let known: Vec<_> = snapshot.rows.iter().map(known).collect();
        Self { etags: Vec::with_capacity(known.len()), known, snapshot }
    }

    /// Computes the next etag. Returns the steps that it took; `None` where all are there.
    pub(crate) fn step(&mut self) -> Option<u64> {
        let row = self.snapshot.rows.get(self.etags.len())?;
        let known = self.known[self.etags.len()];
        self.etags.push(known.unwrap_or_else(|| row.etag()));
        Some(if known.is_some() { 1 } else { Etag::steps(row.json().len()) })
    }

    /// The rows, which keep their etags from now on.
    pub(crate) fn done(&self) -> Arc<Snapshot> {
        let Snapshot { version, count, rows } = &*self.snapshot;
        let rows = rows.iter().zip(&self.etags).map(|(row, etag)| row.clone().keeping_etag(Some(*etag)));
        Arc::new(Snapshot { version: *version, count: *count, rows: rows.collect() })
    }
}

/// The etags of the rows of a result, as far as they are among those that the rows had before some changes. Both are in the order of
/// the result, so that it is enough to know which rows came and which went. O(rows), and O(n log n) in the changes.
fn known(snapshot: &Snapshot, etags: &[Etag], since: &Batch) -> Option<Vec<Option<Etag>>> {
    let is_changed: BTreeSet<&str> = since.changes.iter().filter_map(Change::after).map(Row::id).collect();
    let mut gone: Vec<_> = since.changes.iter().filter_map(Change::before).map(Row::order_key).collect();
    gone.sort_unstable();
    let (mut gone, mut etags) = (gone.into_iter().peekable(), etags.iter());
    let mut known = Vec::with_capacity(snapshot.rows.len());
    for row in &snapshot.rows {
        if is_changed.contains(row.id()) {
            known.push(None);
            continue;
        }
        while gone.next_if(|gone| *gone < row.order_key()).is_some() {
            etags.next()?;
        }
        known.push(Some(*etags.next()?));
    }
    // What is left went from the end.
    (gone.count() == etags.count()).then_some(known)
}

/// Lets the rows of a batch as they are now keep their etags, which are computed when the first of them is written. Returns the steps
/// that this takes.
pub(crate) fn keep_etags(batch: &mut Batch) -> u64 {
    let mut steps = 0;
    for change in &mut batch.changes {
        if let Change::Added { row, .. } | Change::Updated { row, .. } = change {
            steps += Etag::steps(row.json().len());
            *row = row.clone().keeping_etag(None);
        }
    }
    steps
}

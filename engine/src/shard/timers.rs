//! A timer for each node that time will flip: for filters whose moments no order of values can tell.

use std::collections::BTreeSet;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::time::Timestamp;

/// When each node's match will flip by time alone; nodes that never flip are not in it.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Timestamp, u32)>,
    by_row: HashMap<u32, Timestamp, FixedState>,
}

impl Timers {
    pub(crate) fn set(&mut self, row: u32, at: Option<Timestamp>) {
        let old = match at {
            Some(at) => self.by_row.insert(row, at),
            None => self.by_row.remove(&row),
        };
        if old == at {
            return;
        }
        old.map(|old| self.by_time.remove(&(old, row)));
        at.map(|at| self.by_time.insert((at, row)));
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The rows whose time has come.
    pub(crate) fn due(&self, now: Timestamp) -> impl Iterator<Item = u32> + '_ {
        self.by_time.iter().take_while(move |(at, _)| *at <= now).map(|(_, row)| *row)
    }

    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<u32> {
        self.by_time.first().filter(|(at, _)| *at <= now)?;
        let (_, row) = self.by_time.pop_first()?;
        self.by_row.remove(&row);
        Some(row)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn len(&self) -> usize {
        self.by_time.len()
    }
}

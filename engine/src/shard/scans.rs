//! Filters that every change of their set is tried on.
//!
//! Whoever an index finds is told of a commit first. A commit tries the cheapest of these filters as far as its share allows, and
//! leaves the rest in one step, however many they are: they are brought up to it before anything else is done with the queries.

use crate::{
    limits::Tuning,
    shard::{AsOf, Shard, Spare, Tried, predicates::Rank, touches::Touch, view::SharedFilter},
    store::set::{RowChange, Sets},
};

/// What a commit of a set has left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    set: usize,
    /// What the commit is in the history of the set.
    entry: u64,
    /// The first filter that was not tried; all that come behind it were not tried either.
    from: Rank,
}

impl SharedFilter {
    pub(super) fn rank(&self, id: u32) -> Rank {
        (self.cost.of(USUAL_ROW_BYTES), id)
    }
}

impl Shard {
    /// Tries a commit on the filters of a set that every change is tried on, the cheapest first, as far as `spare` allows; the rest of
    /// them wait for [`finish`](Self::finish).
    pub(super) fn scan(&mut self, set: usize, moment: AsOf<'_>, spare: &mut Spare) {
        let changes = moment.rows.changes;
        let tried = Tried::of_changes(changes.iter());
        let mut from = (0, 0);
        loop {
            let next = self.predicates[set].abreast(from).next();
            let Some(rank @ (cost, id)) = next else { return };
            if spare.steps == 0 || self.most_steps(id, tried) > spare.most {
                self.rest.push(Rest { set, entry: moment.rows.set.history.end(), from: rank });
                self.work.steps += 1;
                return;
            }
            self.try_within(id, changes, moment, spare);
            from = (cost, id + 1);
        }
    }

    fn try_within(&mut self, id: u32, changes: &[RowChange], moment: AsOf<'_>, spare: &mut Spare) {
        self.work.candidates_scanned += changes.len() as u64;
        let touches = (0..).zip(changes).map(|(place, change)| (change, Touch::of_row(place)));
        let mut most = spare.most;
        self.apply_to_filter(id, touches, moment, &mut most);
        spare.take(spare.most - most);
    }

    /// Whether a commit has left filters untried.
    pub(crate) fn is_unfinished(&self) -> bool {
        !self.rest.is_empty()
    }

    /// The entries that those are to take: each the last one of its set.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.rest.iter().map(|rest| (rest.set, rest.entry))
    }

    pub(super) fn untried_count(&self) -> usize {
        let of_set = |rest: &Rest| self.predicates[rest.set].abreast(rest.from).count();
        self.rest.iter().map(of_set).sum()
    }

    /// The commit that a filter was not tried on, in the history of its set. O(sets of that commit).
    pub(crate) fn owes(&self, id: u32) -> Option<u64> {
        if self.rest.is_empty() {
            return None;
        }
        let filter = self.filters.get(id as usize)?;
        let rest = self.rest.iter().find(|rest| rest.set == filter.set)?;
        let is_left = filter.is_scanned() && filter.is_current() && filter.rank(id) >= rest.from;
        is_left.then_some(rest.entry)
    }

    /// Tries what a commit has left as far as `spare` allows; the other filters fall behind.
    pub(crate) fn finish(&mut self, sets: &Sets, tuning: Tuning, spare: &mut Spare) {
        while let Some(rest) = self.rest.pop() {
            let Some((_, set)) = sets.get_index(rest.set) else { continue };
            let Some(entry) = set.history.entry(rest.entry).cloned() else { continue };
            let tried = Tried::of_changes(entry.changes.iter());
            let moment =
                AsOf { rows: set.taking(rest.entry), now: entry.now, version: entry.version, tuning };
            let ids: Vec<u32> = self.predicates[rest.set].abreast(rest.from).map(|(_, id)| id).collect();
            self.keys.turn();
            for id in ids {
                if spare.steps == 0 || self.most_steps(id, tried) > spare.most {
                    self.fall_behind(id, entry.now, (rest.entry, entry.version));
                    spare.take(1);
                } else {
                    self.try_within(id, &entry.changes, moment, spare);
                }
            }
            let mut most = spare.most;
            self.replenish(rest.set, moment, &mut most);
            spare.take(spare.most - most);
        }
    }

    /// A filter is up to date from now on.
    pub(super) fn come_abreast(&mut self, id: u32) {
        if let Some(filter) = self.filters.get(id as usize)
            && filter.is_scanned()
            && filter.is_current()
        {
            self.predicates[filter.set].insert_abreast(filter.rank(id));
        }
    }

    /// A filter is not up to date any more, or not tried on every change.
    pub(super) fn leave_abreast(&mut self, id: u32) {
        if let Some(filter) = self.filters.get(id as usize) {
            self.predicates[filter.set].remove_abreast(filter.rank(id));
        }
    }
}

/// Of which filters are compared by what they cost.
const USUAL_ROW_BYTES: usize = 256;

//! When time alone next changes a result, as far as an order of values tells.
//!
//! All filters that ask the same of one column (`createdAt > now - 7 days`) wait for one moment: that at which the next value
//! flips. Which one that is, an order over the column tells; so a million nodes that will flip hold one deadline.

use std::{collections::BTreeSet, sync::Arc};

use hashbrown::HashMap;

use crate::{
    analysis::TimeTest,
    filter::Fields as _,
    intervals::Intervals,
    order::rank,
    seed::Keyed,
    store::set::Sets,
    store::set::history::Turned,
    store::{
        columns::Column,
        set::index::{OrderIndex, Wish},
        set::{RowChange, Set},
        sorting::Sorting,
    },
    time::Timestamp,
    value::ValueRef,
};

/// The tests over time that some filter asks, each with the moment at which it next comes out otherwise for some row.
#[derive(Debug)]
pub(crate) struct Moments {
    tests: slab::Slab<Waiting>,
    by_test: HashMap<(usize, u32, TimeTest), usize, Keyed>,
    by_time: BTreeSet<(Timestamp, usize)>,
    /// By set and column: few, however many tests there are.
    heeded: Vec<Heeded>,
    /// How many tests each set has.
    counts: Vec<usize>,
}

/// What a test takes, about: itself, its name, its moment, and the values that it heeds; and half as much that its tables leave free.
pub(crate) const MOMENT_BYTES: usize = 480;
/// The steps that each test adds to what a changed row costs: it may be the one that all of them wait for.
pub(crate) const MOMENT_STEPS: u64 = 128;
/// The steps of finding out when a test next comes out otherwise.
const REARM_STEPS: u64 = 64;

/// The values of a column that matter to the tests of it: from what each compares with to the value that flips next.
#[derive(Debug)]
struct Heeded {
    set: usize,
    column: Column,
    values: Intervals<u32>,
}

/// The number of a set, and its rows that turned.
pub(crate) type TurnedRows = (usize, Vec<Turned>);

#[derive(Debug)]
struct Waiting {
    set: usize,
    column: Column,
    test: TimeTest,
    /// The order over the column, which is kept for this.
    order: Arc<Sorting>,
    /// How many filters ask it.
    users: usize,
    next: Option<Timestamp>,
    /// The keys of the values that may move the next moment by coming or going.
    heeds: (u128, u128),
}

impl Moments {
    pub(crate) fn new(keyed: Keyed) -> Self {
        Self {
            tests: slab::Slab::new(),
            by_test: HashMap::with_hasher(keyed),
            by_time: BTreeSet::new(),
            heeded: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// A filter asks a test, which is known by the number that is returned. An order over its column is begun where there
    /// is none.
    pub(crate) fn add(
        &mut self,
        number: usize,
        set: &mut Set,
        column: &Column,
        test: &TimeTest,
        now: Timestamp,
    ) -> u32 {
        let name = (number, column.id(), test.clone());
        if let Some(id) = self.by_test.get(&name) {
            self.tests[*id].users += 1;
            return *id as u32;
        }
        let order = match set.indexes.ordered_by(column) {
            Some(order) => order.sorting.clone(),
            None => set.sorting_by(column),
        };
        set.indexes.begin(&Wish::Order(order.clone()));
        set.indexes.pin(&order);
        let (column, test) = (column.clone(), test.clone());
        let waiting = Waiting { set: number, column, test, order, users: 1, next: None, heeds: NONE };
        if self.counts.len() <= number {
            self.counts.resize(number + 1, 0);
        }
        self.counts[number] += 1;
        let id = self.tests.insert(waiting);
        self.by_test.insert(name, id);
        self.rearm(id, set, now);
        id as u32
    }

    /// A filter asks a test no more.
    pub(crate) fn remove(&mut self, test: u32, set: &mut Set) {
        let id = test as usize;
        let Some(waiting) = self.tests.get_mut(id) else { return };
        waiting.users -= 1;
        if waiting.users > 0 {
            return;
        }
        self.forget(id);
        let waiting = self.tests.remove(id);
        self.counts[waiting.set] -= 1;
        self.by_test.remove(&(waiting.set, waiting.column.id(), waiting.test));
        waiting.next.map(|at| self.by_time.remove(&(at, id)));
        set.indexes.unpin(&waiting.order);
        if self.tests.is_empty() {
            *self = Self::new(*self.by_test.hasher());
        }
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_time.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// The rows of each set for which a test may come out otherwise at `now` than it did at `then`, and arms the tests anew.
    /// With a clock that was set back all tests are asked, else those that are due.
    /// Of tests that turn for more rows than there are steps `left` only the numbers are told, sorted, in the second list.
    pub(crate) fn turn(
        &mut self,
        then: Timestamp,
        now: Timestamp,
        sets: &Sets,
        left: &mut u64,
    ) -> (Vec<TurnedRows>, Vec<(usize, u32)>) {
        let ids: Vec<usize> = match now < then {
            true => self.tests.iter().map(|(id, _)| id).collect(),
            false => self.by_time.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect(),
        };
        let mut turned: Vec<(usize, Vec<Turned>)> = Vec::new();
        let mut flooded = Vec::new();
        for id in ids {
            let Waiting { set: number, test, order, .. } = &self.tests[id];
            let Some((_, set)) = sets.get_index(*number) else { continue };
            *left = left.saturating_sub(REARM_STEPS);
            if let Some(order) = set.indexes.order(order) {
                let (lo, hi) = test.turned(then, now);
                let (start, end) = order.range(set, lo, hi);
                let rows = (end - start) as u64;
                if rows > *left {
                    flooded.push((*number, id as u32));
                } else if rows > 0 {
                    *left -= rows;
                    let entries = order.tree.iter_from(start).take(end - start);
                    let rows = entries.map(|entry| Turned { row: entry.row, test: id as u32 });
                    match turned.iter_mut().find(|(other, _)| other == number) {
                        Some((_, all)) => all.extend(rows),
                        None => turned.push((*number, rows.collect())),
                    }
                }
            }
            self.rearm(id, set, now);
        }
        turned.iter_mut().for_each(|(_, rows)| rows.sort_unstable());
        flooded.sort_unstable();
        (turned, flooded)
    }

    /// A commit may have brought a value that flips earlier, or taken the next one away. Costs a look-up for each change and each
    /// column that tests are of; and to arm the tests anew that may wait for another one then. Returns the steps of it.
    pub(crate) fn note(&mut self, number: usize, set: &Set, changes: &[RowChange], now: Timestamp) -> u64 {
        let mut moved: Vec<u32> = Vec::new();
        let mut steps = 0;
        for Heeded { column, values, .. } in self.heeded.iter().filter(|heeded| heeded.set == number) {
            steps += changes.len() as u64;
            for RowChange { before, after, .. } in changes {
                let (before, after) = (before.as_ref(), after.as_ref());
                let (before, after) = (before.map(|row| row.at(column)), after.map(|row| row.at(column)));
                if before != after {
                    let sides = before.into_iter().chain(after);
                    sides.for_each(|value| values.stab(rank::key(value), |id| moved.push(id)));
                }
            }
        }
        moved.sort_unstable();
        moved.dedup();
        steps += REARM_STEPS * moved.len() as u64;
        moved.into_iter().for_each(|id| self.rearm(id as usize, set, now));
        steps
    }

    /// How many tests of a set there are.
    pub(crate) fn count(&self, number: usize) -> usize {
        self.counts.get(number).copied().unwrap_or(0)
    }

    /// Whether some filter asks a test.
    pub(crate) fn has(&self, number: usize, column: &Column, test: &TimeTest) -> bool {
        self.by_test.contains_key(&(number, column.id(), test.clone()))
    }

    /// An order that tests wait for may be there now.
    pub(crate) fn rearm_all(&mut self, number: usize, set: &Set, now: Timestamp) {
        let ids: Vec<usize> =
            self.tests.iter().filter(|(_, it)| it.set == number).map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.rearm(id, set, now));
    }

    fn rearm(&mut self, id: usize, set: &Set, now: Timestamp) {
        let waiting = &mut self.tests[id];
        let order = set.indexes.order(&waiting.order);
        let (next, heeds) = order.map_or((None, NONE), |order| next_flip(waiting, order, set, now));
        let old = std::mem::replace(&mut waiting.next, next);
        if old != next {
            old.map(|at| self.by_time.remove(&(at, id)));
            next.map(|at| self.by_time.insert((at, id)));
        }
        if waiting.heeds != heeds {
            self.forget(id);
            let Waiting { set: number, column, .. } = &self.tests[id];
            let is = |heeded: &Heeded| heeded.set == *number && heeded.column == *column;
            let place = self.heeded.iter().position(is).unwrap_or_else(|| {
                let (set, column) = (*number, column.clone());
                self.heeded.push(Heeded { set, column, values: Intervals::default() });
                self.heeded.len() - 1
            });
            self.heeded[place].values.insert(heeds.0, heeds.1, id as u32);
            self.tests[id].heeds = heeds;
        }
    }

    /// A test heeds no values any more.
    fn forget(&mut self, id: usize) {
        let Waiting { set, column, heeds, .. } = &self.tests[id];
        let is = |heeded: &Heeded| heeded.set == *set && heeded.column == *column;
        if let Some(place) = self.heeded.iter().position(is) {
            self.heeded[place].values.remove(heeds.0, id as u32);
            if self.heeded[place].values.is_empty() {
                self.heeded.swap_remove(place);
            }
        }
    }
}

/// No values.
const NONE: (u128, u128) = (u128::MAX, 0);

/// The first moment after `now` at which the test changes for some row; and the keys of the values that, should they come or
/// go before then, may make it another one.
fn next_flip(
    waiting: &Waiting,
    order: &OrderIndex,
    set: &Set,
    now: Timestamp,
) -> (Option<Timestamp>, (u128, u128)) {
    let edge = waiting.test.next_edge(now);
    let (first, hi) = waiting.test.upcoming(now);
    let mut lo = first;
    loop {
        // Values flip in their order: the first that does at all is the first to do so.
        let (start, end) = order.range(set, lo, hi);
        let descending = order.sorting.keys.first().is_some_and(|(_, descending)| *descending);
        let entry =
            if start == end { None } else { order.tree.nth(if descending { end - 1 } else { start }) };
        let Some(row) = entry.and_then(|entry| set.row(entry.row)) else { return (edge, (first, hi)) };
        let value = row.at(&waiting.column);
        let key = rank::key(value);
        if let ValueRef::Instant(instant, _) = value
            && let Some(at) = waiting.test.next_flip(instant, now)
        {
            return (Some(edge.map_or(at, |edge| edge.min(at))), (first, key));
        }
        lo = key.saturating_add(1);
    }
}

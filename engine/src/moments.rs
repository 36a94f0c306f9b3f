//! When time alone next changes a result, as far as an order of values tells.
//!
//! All filters that ask the same of one column (`createdAt > now - 7 days`) wait for one moment: that at which the next value
//! flips. Which one that is, an order over the column tells; so a million nodes that will flip hold one deadline.

use std::{collections::BTreeSet, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{
    analysis::TimeTest,
    filter::Fields as _,
    order::rank,
    shard::Sets,
    store::{
        columns::Column,
        index::{OrderIndex, Wish},
        set::{RowChange, Set},
        sorting::Sorting,
    },
    time::Instant,
    value::Value,
};

/// The tests over time that some filter asks, each with the moment at which it next comes out otherwise for some row.
#[derive(Debug, Default)]
pub(crate) struct Moments {
    tests: slab::Slab<Waiting>,
    by_test: HashMap<(usize, u32, TimeTest), usize, FixedState>,
    by_time: BTreeSet<(Instant, usize)>,
}

/// A row for which a test comes out otherwise than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turned {
    pub(crate) row: u32,
    pub(crate) test: u32,
}

#[derive(Debug)]
struct Waiting {
    set: usize,
    column: Column,
    test: TimeTest,
    /// The order over the column, which is kept for this.
    order: Arc<Sorting>,
    /// How many filters ask it.
    users: usize,
    next: Option<Instant>,
}

impl Moments {
    /// A filter asks a test, which is known by the number that is returned. An order over its column is begun where there
    /// is none.
    pub(crate) fn add(
        &mut self,
        number: usize,
        set: &mut Set,
        column: &Column,
        test: &TimeTest,
        now: Instant,
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
        let id = self.tests.insert(Waiting { set: number, column, test, order, users: 1, next: None });
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
        let waiting = self.tests.remove(id);
        self.by_test.remove(&(waiting.set, waiting.column.id(), waiting.test));
        waiting.next.map(|at| self.by_time.remove(&(at, id)));
        set.indexes.unpin(&waiting.order);
        if self.tests.is_empty() {
            *self = Self::default();
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
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
    pub(crate) fn turn(&mut self, then: Instant, now: Instant, sets: &Sets) -> Vec<(usize, Vec<Turned>)> {
        let ids: Vec<usize> = match now < then {
            true => self.tests.iter().map(|(id, _)| id).collect(),
            false => self.by_time.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect(),
        };
        let mut turned: Vec<(usize, Vec<Turned>)> = Vec::new();
        for id in ids {
            let Waiting { set: number, test, order, .. } = &self.tests[id];
            let Some((_, set)) = sets.get_index(*number) else { continue };
            if let Some(order) = set.indexes.order(order) {
                let (lo, hi) = test.turned(then, now);
                let (start, end) = order.range(set, lo, hi);
                let entries = order.tree.iter_from(start).take(end - start);
                let rows = entries.map(|entry| Turned { row: entry.row, test: id as u32 });
                match turned.iter_mut().find(|(other, _)| other == number) {
                    Some((_, all)) => all.extend(rows),
                    None => turned.push((*number, rows.collect())),
                }
            }
            self.rearm(id, set, now);
        }
        turned.iter_mut().for_each(|(_, rows)| rows.sort_unstable());
        turned
    }

    /// A commit may have brought a value that flips earlier, or taken the next one away.
    pub(crate) fn note(&mut self, number: usize, set: &Set, changes: &[RowChange], now: Instant) {
        let ids: Vec<usize> =
            self.tests.iter().filter(|(_, it)| it.set == number).map(|(id, _)| id).collect();
        for id in ids {
            let Waiting { column, test, next, .. } = &self.tests[id];
            let flip = |value: &Value| match value {
                Value::Instant(timed) => test.next_flip(timed.at(), now),
                _ => None,
            };
            let moved = changes.iter().any(|change| {
                let (before, after) = (change.before.as_ref(), change.after.as_ref());
                let value = |row: Option<&Arc<crate::store::row::Row>>| row.map(|row| flip(row.at(column)));
                match (before, after) {
                    (Some(before), Some(after)) if before.at(column) == after.at(column) => false,
                    _ => {
                        let gone = next.is_some() && value(before).flatten() == *next;
                        let earlier =
                            value(after).flatten().is_some_and(|at| next.is_none_or(|next| at < next));
                        gone || earlier
                    }
                }
            });
            if moved {
                self.rearm(id, set, now);
            }
        }
    }

    /// An order that tests wait for may be there now.
    pub(crate) fn rearm_all(&mut self, number: usize, set: &Set, now: Instant) {
        let ids: Vec<usize> =
            self.tests.iter().filter(|(_, it)| it.set == number).map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.rearm(id, set, now));
    }

    fn rearm(&mut self, id: usize, set: &Set, now: Instant) {
        let waiting = &mut self.tests[id];
        let next = set.indexes.order(&waiting.order).and_then(|order| next_flip(waiting, order, set, now));
        let old = std::mem::replace(&mut waiting.next, next);
        if old != next {
            old.map(|at| self.by_time.remove(&(at, id)));
            next.map(|at| self.by_time.insert((at, id)));
        }
    }
}

/// The first moment after `now` at which the test changes for some row.
fn next_flip(waiting: &Waiting, order: &OrderIndex, set: &Set, now: Instant) -> Option<Instant> {
    let edge = waiting.test.next_edge(now);
    let (mut lo, hi) = waiting.test.upcoming(now);
    loop {
        // Values flip in their order: the first that does at all is the first to do so.
        let (start, end) = order.range(set, lo, hi);
        if start == end {
            return edge;
        }
        let descending = order.sorting.keys.first().is_some_and(|(_, descending)| *descending);
        let entry = order.tree.nth(if descending { end - 1 } else { start })?;
        let value = set.row(entry.row)?.at(&waiting.column);
        if let Value::Instant(timed) = value
            && let Some(at) = waiting.test.next_flip(timed.at(), now)
        {
            return Some(edge.map_or(at, |edge| edge.min(at)));
        }
        lo = rank::key(value).checked_add(1)?;
    }
}

//! Conditions that an index can look up.

use std::fmt;

use super::{ColumnInfo, Key, KeyRef, TimeTest};
use crate::filter::Fields;
use crate::order::rank;
use crate::steps::halves;
use crate::time::Timestamp;
use crate::value::ValueRef;

/// A condition that an index can look up. A filter that is found by probes holds only of rows that hit one of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Probe<C> {
    /// The value at the column equals.
    Value {
        /// Where.
        column: C,
        /// What.
        key: Key,
    },
    /// The list at the column has the item.
    Item {
        /// Where.
        column: C,
        /// What.
        key: Key,
    },
    /// The text at the column begins with another, one that is too long for a range of keys to say it.
    Beginning {
        /// Where.
        column: C,
        /// With what.
        text: Box<str>,
    },
    /// The [`rank::key`] of the value at the column lies in `lo..=hi`.
    Range {
        /// Where.
        column: C,
        /// The lowest.
        lo: u128,
        /// The highest.
        hi: u128,
    },
    /// A range that moves with time: [`TimeTest::range`].
    ///
    /// A hit is only known at the moment for which the range was computed: an index that looks up by
    /// [`TimeTest::lasting_range`], or by a range of an earlier moment, has candidates whose hit is to be checked.
    Time {
        /// Where.
        column: C,
        /// What.
        test: TimeTest,
    },
}

/// The probes of one way, sorted, so that a row is held against all of them at once.
#[derive(Debug)]
pub(crate) struct Sieve<'a, C> {
    values: Vec<(&'a C, KeyRef<'a>)>,
    items: Vec<(&'a C, KeyRef<'a>)>,
    /// Those of one column overlap nowhere.
    ranges: Vec<(&'a C, u128, u128)>,
    times: Vec<(&'a C, &'a TimeTest)>,
    /// None of one column begins with another.
    beginnings: Vec<(&'a C, &'a str)>,
    /// The columns of each kind, each once.
    columns: [Vec<&'a C>; 4],
}

impl<'a, C: ColumnInfo> Sieve<'a, C> {
    /// O(probes · log probes).
    pub(crate) fn new(probes: &'a [Probe<C>]) -> Self {
        let (mut values, mut items, mut ranges, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut beginnings: Vec<(&C, &str)> = Vec::new();
        for probe in probes {
            match probe {
                Probe::Beginning { column, text } => beginnings.push((column, text)),
                Probe::Value { column, key } => values.push((column, key.as_ref())),
                Probe::Item { column, key } => items.push((column, key.as_ref())),
                Probe::Range { column, lo, hi } => ranges.push((column, *lo, *hi)),
                Probe::Time { column, test } => times.push((column, test)),
            }
        }
        values.sort_unstable();
        items.sort_unstable();
        ranges.sort_unstable();
        beginnings.sort_unstable();
        beginnings.dedup_by(|next, before| next.0 == before.0 && next.1.starts_with(before.1));
        let once = |mut columns: Vec<&'a C>| {
            columns.dedup();
            columns
        };
        let columns = [
            once(values.iter().map(|(column, _)| *column).collect()),
            once(items.iter().map(|(column, _)| *column).collect()),
            once(ranges.iter().map(|(column, ..)| *column).collect()),
            once(beginnings.iter().map(|(column, _)| *column).collect()),
        ];
        Sieve { values, items, ranges, times, beginnings, columns }
    }

    /// Whether a row hits one of the probes at the moment `now`. Costs a search by halves for each column, and one for each item of
    /// a list there; adds the steps of that, about.
    pub(crate) fn hits(&self, row: &impl Fields<C>, now: Timestamp, steps: &mut u64) -> bool {
        let [of_values, of_items, of_ranges, of_beginnings] = &self.columns;
        *steps += of_values.len() as u64 * halves(self.values.len())
            + of_ranges.len() as u64 * halves(self.ranges.len())
            + of_beginnings.len() as u64 * halves(self.beginnings.len())
            + 2 * self.times.len() as u64
            + 1;
        let mut items_looked_up = 0;
        let is = |among: &[(&C, KeyRef<'_>)], column: &C, value: ValueRef<'_>| {
            KeyRef::of(value).is_some_and(|key| {
                among
                    .binary_search_by(|(other, held)| (*other).cmp(column).then_with(|| held.cmp(&key)))
                    .is_ok()
            })
        };
        let within = |column: &C| {
            let key = rank::key(row.at(column));
            let before = self
                .ranges
                .partition_point(|(other, lo, _)| (*other).cmp(column).then_with(|| lo.cmp(&key)).is_le());
            before.checked_sub(1).is_some_and(|last| {
                let (other, _, hi) = self.ranges[last];
                other == column && key <= hi
            })
        };
        let begins = |column: &C, text: &[u8]| {
            let before = self.beginnings.partition_point(|(other, held)| {
                (*other).cmp(column).then_with(|| held.as_bytes().cmp(text)).is_le()
            });
            before.checked_sub(1).is_some_and(|last| {
                let (other, held) = self.beginnings[last];
                other == column && text.starts_with(held.as_bytes())
            })
        };
        let hits = of_values.iter().any(|column| is(&self.values, column, row.at(column)))
            || of_ranges.iter().any(|column| within(column))
            || self.times.iter().any(|(column, test)| {
                let (lo, hi) = test.range(now);
                (lo..=hi).contains(&rank::key(row.at(column)))
            })
            || of_beginnings.iter().any(|column| match row.at(column) {
                ValueRef::Text(text) => begins(column, text),
                _ => false,
            })
            || of_items.iter().any(|column| match row.at(column) {
                ValueRef::List(items) => items.iter().any(|item| {
                    items_looked_up += 1;
                    is(&self.items, column, item.into())
                }),
                _ => false,
            });
        *steps += items_looked_up * halves(self.items.len());
        hits
    }
}

/// What is looked up where, for people.
impl<C: fmt::Display> fmt::Display for Probe<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Probe::Value { column, key } => write!(f, "{column} is {key}"),
            Probe::Item { column, key } => write!(f, "{column} has {key}"),
            Probe::Beginning { column, text } => {
                write!(f, "{column} begins with {}", Key::Text(text.clone()))
            }
            Probe::Range { column, lo, hi } => write!(f, "{column} {}", rank::shown(*lo, *hi)),
            Probe::Time { column, test } => write!(f, "{test} {column}"),
        }
    }
}

impl<C: ColumnInfo> Probe<C> {
    /// The less, the fewer rows are expected to hit.
    pub(super) fn breadth(&self) -> u8 {
        match self {
            Probe::Value { .. } => 0,
            Probe::Range { lo, hi, .. } if lo == hi => 0,
            Probe::Item { .. } => 1,
            Probe::Range { lo, hi, .. } => {
                let kinds = [
                    rank::range_of_booleans(),
                    rank::range_of_numbers(),
                    rank::range_of_instants(),
                    rank::range_of_texts(),
                ];
                if kinds.iter().any(|(lowest, highest)| lo == lowest || hi == highest) { 3 } else { 2 }
            }
            Probe::Beginning { .. } => 2,
            Probe::Time { .. } => 4,
        }
    }
}

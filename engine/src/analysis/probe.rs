//! Conditions that an index can look up.

use std::fmt;

use super::{ColumnInfo, Key, KeyRef, TimeTest};
use crate::filter::Fields;
use crate::order::rank;
use crate::time::Instant;
use crate::value::Value;

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

impl<C> Probe<C> {
    /// Whether a row hits at the moment `now`. Costs a look at the column, and one at each item of a list there.
    pub(crate) fn hits(&self, row: &impl Fields<C>, now: Instant) -> bool {
        let is = |value: &Value, key: &Key| KeyRef::of(value) == Some(key.as_ref());
        let within = |value: &Value, (lo, hi): (u128, u128)| (lo..=hi).contains(&rank::key(value));
        match self {
            Probe::Value { column, key } => is(row.at(column), key),
            Probe::Item { column, key } => match row.at(column) {
                Value::List(items) => items.iter().any(|item| is(item, key)),
                _ => false,
            },
            Probe::Range { column, lo, hi } => within(row.at(column), (*lo, *hi)),
            Probe::Time { column, test } => within(row.at(column), test.range(now)),
        }
    }
}

/// What is looked up where, for people.
impl<C: fmt::Display> fmt::Display for Probe<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Probe::Value { column, key } => write!(f, "{column} is {key}"),
            Probe::Item { column, key } => write!(f, "{column} has {key}"),
            Probe::Range { column, lo, hi } => write!(f, "{column} from key {lo:032x} to {hi:032x}"),
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
            Probe::Time { .. } => 4,
        }
    }
}

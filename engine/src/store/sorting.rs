//! An order over the rows of a set.

use std::{cmp::Ordering, sync::Arc};

use bytes::Bytes;

use crate::{
    filter::Fields,
    order::rank,
    steps::{blocks, halves},
    store::{columns::Column, row::Row},
    tree::Entry,
    value::ValueRef,
};

/// Bytes of keys that take no longer than others to compare.
const LONG_KEYS: usize = 64;

/// Order keys over columns; ties are broken by id. Of two rows one always stands before the other.
#[derive(Debug)]
pub(crate) struct Sorting {
    pub(crate) keys: Box<[(Column, bool)]>,
    /// The order's canonical spelling, by which it is known.
    pub(crate) canonical: Arc<str>,
}

impl Sorting {
    /// The first 16 bytes of the rank.
    pub(crate) fn prefix(&self, row: &Row) -> u128 {
        self.prefix_of(row, row.id_bytes())
    }

    /// Like [`prefix`](Self::prefix), of a row that is read in another way.
    pub(crate) fn prefix_of(&self, fields: &impl Fields<Column>, id: &[u8]) -> u128 {
        rank::prefix(self.keys.iter().map(|(column, descending)| (fields.at(column), *descending)), id)
    }

    /// The steps of finding the place of a row among so many where keys or ids are long, besides those that any row takes.
    pub(crate) fn steps(&self, fields: &impl Fields<Column>, id: &[u8], among: usize) -> u64 {
        self.comparison_steps(fields, id) * halves(among.max(1))
    }

    /// The part of one comparison in that.
    pub(crate) fn comparison_steps(&self, fields: &impl Fields<Column>, id: &[u8]) -> u64 {
        let keys = self.keys.iter().map(|(column, _)| match fields.at(column) {
            ValueRef::Text(text) => text.len(),
            _ => 0,
        });
        match keys.sum::<usize>() + id.len() {
            0..=LONG_KEYS => 0,
            long => 2 * blocks(long),
        }
    }

    pub(crate) fn entry(&self, row: &Row, handle: u32) -> Entry {
        Entry::new(self.prefix(row), handle)
    }

    /// The order key: bytes that compare as the rows do.
    pub(crate) fn order_key(&self, row: &Row) -> Bytes {
        let mut out = Vec::with_capacity(32);
        self.write(row, &mut out);
        Bytes::from(out.into_boxed_slice())
    }

    /// Appends the order key.
    pub(crate) fn write(&self, row: &Row, out: &mut Vec<u8>) {
        let keys = self.keys.iter().map(|(column, descending)| (row.at(column), *descending));
        rank::write(keys, row.id_bytes(), out);
    }

    /// Which of two rows stands first; for where prefixes do not tell.
    #[cold]
    pub(crate) fn compare(&self, a: &Row, b: &Row) -> Ordering {
        let (mut rank_a, mut rank_b) = (Vec::with_capacity(64), Vec::with_capacity(64));
        self.write(a, &mut rank_a);
        self.write(b, &mut rank_b);
        rank_a.cmp(&rank_b)
    }

    /// Whether two versions of one row stand at the same place. Values that differ may tie, as all objects do.
    pub(crate) fn same(&self, a: &Row, b: &Row) -> bool {
        self.keys.iter().all(|(column, _)| a.at(column) == b.at(column)) || self.compare(a, b).is_eq()
    }
}

/// A place in an order that stays, whatever becomes of the row that stood there.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) prefix: u128,
    order_key: Bytes,
}

impl Place {
    pub(crate) fn of(sorting: &Sorting, row: &Row) -> Self {
        Self { prefix: sorting.prefix(row), order_key: sorting.order_key(row) }
    }

    /// How a row with this prefix stands to the place.
    pub(crate) fn compare(&self, prefix: u128, row: &Row, sorting: &Sorting) -> Ordering {
        prefix.cmp(&self.prefix).then_with(|| sorting.order_key(row).cmp(&self.order_key))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.order_key.len()
    }
}

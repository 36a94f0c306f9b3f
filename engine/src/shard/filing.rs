//! Filters by the value that a row must have for them to hold, in little more than the value takes.
//!
//! | value | is held in |
//! | --- | --- |
//! | nothing, `false`, `true` | a place of its own |
//! | an integer of 32 bits, a text of up to 3 bytes | 9 bytes |
//! | another number, a text of up to 7 bytes | 14 bytes |
//! | a text of up to 15 bytes | 21 bytes |
//! | a longer text | 25 bytes and its own |
//!
//! times what a hash table leaves empty. A value by which several filters are found holds a [`Bucket`] besides.

use std::hash::Hash;

use hashbrown::HashMap;
use slab::Slab;

use crate::{analysis::KeyRef, seed::Keyed, store::bucket::Bucket, value::Number};

type Table<K> = HashMap<K, Slot, Keyed>;

/// Filters by a value.
#[derive(Debug)]
pub(super) struct Filing {
    /// By nothing, `false` and `true`.
    plain: [Option<Slot>; 3],
    small: Table<i32>,
    /// Texts of up to three bytes, with their length in front.
    tiny: Table<[u8; 4]>,
    /// Numbers by their kind and bits, and texts by their length and bytes.
    medium: Table<[u8; 9]>,
    /// Texts, with their length in front.
    texts: Table<[u8; 16]>,
    long: Table<Box<[u8]>>,
    /// Bytes of long texts.
    long_bytes: usize,
    buckets: Slab<Bucket>,
}

/// One filter, or the place of a bucket of filters. Four bytes that need no alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot([u8; 4]);

/// Set where a slot is the place of a bucket.
const IS_BUCKET: u32 = 1 << 31;

impl Slot {
    fn new(number: u32) -> Slot {
        Slot(number.to_ne_bytes())
    }

    fn filter(self) -> Result<u32, usize> {
        match u32::from_ne_bytes(self.0) {
            bucket if bucket & IS_BUCKET != 0 => Err((bucket & !IS_BUCKET) as usize),
            filter => Ok(filter),
        }
    }
}

/// A value by the table that holds it.
enum Place<'a> {
    Plain(usize),
    Small(i32),
    Tiny([u8; 4]),
    Medium([u8; 9]),
    Text([u8; 16]),
    Long(&'a [u8]),
}

impl<'a> Place<'a> {
    fn of(key: KeyRef<'a>) -> Place<'a> {
        match key {
            KeyRef::Nothing => Place::Plain(0),
            KeyRef::Bool(value) => Place::Plain(1 + usize::from(value)),
            KeyRef::Number(number) => {
                // Kinds beyond the lengths of texts.
                let (kind, bits) = match number.exact() {
                    Number::Int(int) => match i32::try_from(int) {
                        Ok(small) => return Place::Small(small),
                        Err(_) => (0xfd, int as u64),
                    },
                    Number::UInt(int) => (0xfe, int),
                    Number::Float(float) => (0xff, float.to_bits()),
                };
                let mut bytes = [kind; 9];
                bytes[1..].copy_from_slice(&bits.to_ne_bytes());
                Place::Medium(bytes)
            }
            KeyRef::Text(text) => match text.len() {
                0..=3 => Place::Tiny(with_length(text)),
                4..=7 => Place::Medium(with_length(text)),
                8..=15 => Place::Text(with_length(text)),
                _ => Place::Long(text),
            },
        }
    }
}

fn with_length<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[0] = text.len() as u8;
    bytes[1..=text.len()].copy_from_slice(text);
    bytes
}

impl Filing {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self {
            plain: [None; 3],
            small: Table::with_hasher(keyed),
            tiny: Table::with_hasher(keyed),
            medium: Table::with_hasher(keyed),
            texts: Table::with_hasher(keyed),
            long: Table::with_hasher(keyed),
            long_bytes: 0,
            buckets: Slab::new(),
        }
    }

    /// What its tables hash with.
    pub(super) fn keyed(&self) -> Keyed {
        *self.small.hasher()
    }

    /// Files a filter, if it is not filed there yet.
    pub(super) fn insert(&mut self, key: KeyRef<'_>, filter: u32) {
        let Self { plain, small, tiny, medium, texts, long, long_bytes, buckets } = self;
        match Place::of(key) {
            Place::Plain(place) => match &mut plain[place] {
                Some(slot) => add(slot, filter, buckets),
                empty => *empty = Some(Slot::new(filter)),
            },
            Place::Small(key) => file(small, key, filter, buckets),
            Place::Tiny(key) => file(tiny, key, filter, buckets),
            Place::Medium(key) => file(medium, key, filter, buckets),
            Place::Text(key) => file(texts, key, filter, buckets),
            Place::Long(key) => match long.get_mut(key) {
                Some(slot) => add(slot, filter, buckets),
                None => {
                    *long_bytes += key.len();
                    long.insert(key.into(), Slot::new(filter));
                }
            },
        }
    }

    /// Takes a filter out, if it is filed there.
    pub(super) fn remove(&mut self, key: KeyRef<'_>, filter: u32) {
        let Self { plain, small, tiny, medium, texts, long, long_bytes, buckets } = self;
        match Place::of(key) {
            Place::Plain(place) => {
                if plain[place].as_mut().is_some_and(|slot| take(slot, filter, buckets)) {
                    plain[place] = None;
                }
            }
            Place::Small(key) => drop(unfile(small, &key, filter, buckets)),
            Place::Tiny(key) => drop(unfile(tiny, &key, filter, buckets)),
            Place::Medium(key) => drop(unfile(medium, &key, filter, buckets)),
            Place::Text(key) => drop(unfile(texts, &key, filter, buckets)),
            Place::Long(key) => {
                if unfile(long, key, filter, buckets) {
                    *long_bytes -= key.len();
                }
            }
        }
        if buckets.is_empty() {
            *buckets = Slab::new();
        }
    }

    fn slot(&self, key: KeyRef<'_>) -> Option<Slot> {
        match Place::of(key) {
            Place::Plain(place) => self.plain[place],
            Place::Small(key) => self.small.get(&key).copied(),
            Place::Tiny(key) => self.tiny.get(&key).copied(),
            Place::Medium(key) => self.medium.get(&key).copied(),
            Place::Text(key) => self.texts.get(&key).copied(),
            Place::Long(key) => self.long.get(key).copied(),
        }
    }

    /// Calls `found` for each filter that is filed under a value. Costs one look-up.
    pub(super) fn find(&self, key: KeyRef<'_>, found: impl FnMut(u32)) {
        match self.slot(key).map(Slot::filter) {
            Some(Ok(filter)) => std::iter::once(filter).for_each(found),
            Some(Err(bucket)) => self.buckets[bucket].iter().for_each(found),
            None => {}
        }
    }

    /// How many filters are filed under a value.
    pub(super) fn count(&self, key: KeyRef<'_>) -> usize {
        match self.slot(key).map(Slot::filter) {
            Some(Ok(_)) => 1,
            Some(Err(bucket)) => self.buckets[bucket].len(),
            None => 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.iter().all(Option::is_none)
            && self.small.is_empty()
            && self.tiny.is_empty()
            && self.medium.is_empty()
            && self.texts.is_empty()
            && self.long.is_empty()
    }

    /// Bytes on the heap, about.
    pub(super) fn heap_bytes(&self) -> usize {
        fn of<K: Hash + Eq>(table: &Table<K>) -> usize {
            table.allocation_size()
        }
        of(&self.small)
            + of(&self.tiny)
            + of(&self.medium)
            + of(&self.texts)
            + of(&self.long)
            + self.long_bytes
            + self.buckets.capacity() * (size_of::<Bucket>() + size_of::<usize>())
    }
}

fn file<K: Hash + Eq>(table: &mut Table<K>, key: K, filter: u32, buckets: &mut Slab<Bucket>) {
    match table.get_mut(&key) {
        Some(slot) => add(slot, filter, buckets),
        None => drop(table.insert(key, Slot::new(filter))),
    }
}

/// Tells whether nothing is filed there any more.
fn unfile<K, Q>(table: &mut Table<K>, key: &Q, filter: u32, buckets: &mut Slab<Bucket>) -> bool
where
    K: Hash + Eq + std::borrow::Borrow<Q>,
    Q: Hash + Eq + ?Sized,
{
    let empty = table.get_mut(key).is_some_and(|slot| take(slot, filter, buckets));
    if empty {
        table.remove(key);
        if table.len() * 8 < table.capacity() {
            table.shrink_to(table.len() * 2);
        }
    }
    empty
}

fn add(slot: &mut Slot, filter: u32, buckets: &mut Slab<Bucket>) {
    match slot.filter() {
        Ok(held) if held == filter => {}
        Ok(held) => {
            let mut bucket = Bucket::default();
            bucket.insert(held);
            bucket.insert(filter);
            *slot = Slot::new(buckets.insert(bucket) as u32 | IS_BUCKET);
        }
        // A filter is filed all at once, so it is the last one if it is there.
        Err(bucket) if buckets[bucket].last() != Some(filter) => buckets[bucket].insert(filter),
        Err(_) => {}
    }
}

/// Tells whether nothing is left in the slot.
fn take(slot: &mut Slot, filter: u32, buckets: &mut Slab<Bucket>) -> bool {
    match slot.filter() {
        Ok(held) => held == filter,
        Err(place) => {
            buckets[place].remove(filter);
            if let (1, Some(last)) = (buckets[place].len(), buckets[place].last()) {
                buckets.remove(place);
                *slot = Slot::new(last);
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use fastrand::Rng;

    use super::*;
    use crate::seed::HashSeed;

    const TEXTS: [&str; 7] = ["", "a", "abc", "abcd", "abcdefg", "abcdefghijklmno", "abcdefghijklmnop"];

    fn key(number: usize) -> (String, KeyRef<'static>) {
        let numbers = [
            Number::Int(7),
            Number::Int(-1),
            Number::Int(1 << 40),
            Number::UInt(u64::MAX),
            Number::Float(0.5),
            Number::Float(-0.5),
            Number::Float(1e300),
        ];
        let key = match number {
            0 => KeyRef::Nothing,
            1 | 2 => KeyRef::Bool(number == 2),
            3..10 => KeyRef::Number(numbers[number - 3]),
            _ => KeyRef::Text(TEXTS[number - 10].as_bytes()),
        };
        (format!("{key:?}"), key)
    }

    #[test]
    fn what_is_filed_is_found_and_what_is_taken_out_leaves_nothing() {
        let random = &mut Rng::with_seed(1);
        let mut filing = Filing::new(HashSeed::FIXED.keyed());
        let mut model: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for round in 0..20_000 {
            let ((name, key), filter) = (key(random.usize(..17)), random.usize(..40) as u32);
            // First there are more and more, then less and less.
            if random.usize(..20_000) > round {
                if model.entry(name.clone()).or_default().insert(filter) {
                    filing.insert(key, filter);
                }
            } else {
                model.entry(name.clone()).or_default().remove(&filter);
                filing.remove(key, filter);
            }
            let mut found = BTreeSet::new();
            filing.find(key, |filter| assert!(found.insert(filter)));
            assert_eq!(found, model[&name]);
            assert_eq!(filing.count(key), found.len());
        }
        for (name, key) in (0..17).map(key) {
            (0..40).for_each(|filter| filing.remove(key, filter));
            assert_eq!(filing.count(key), 0, "{name}");
        }
        assert!(filing.is_empty() && filing.heap_bytes() < 1_000, "{}", filing.heap_bytes());
    }

    #[test]
    fn equal_numbers_are_filed_as_one() {
        let mut filing = Filing::new(HashSeed::FIXED.keyed());
        for (filed, sought) in [
            (Number::Int(3), Number::Float(3.0)),
            (Number::Float(-0.0), Number::Int(0)),
            (Number::Int(1 << 40), Number::Float((1_u64 << 40) as f64)),
            (Number::Float(9_223_372_036_854_775_808.0), Number::UInt(1 << 63)),
        ] {
            filing.insert(KeyRef::Number(filed), 5);
            // Filed twice it is there once.
            filing.insert(KeyRef::Number(sought), 5);
            assert_eq!(filing.count(KeyRef::Number(sought)), 1, "{filed}");
            filing.remove(KeyRef::Number(sought), 5);
            assert!(filing.is_empty(), "{filed}");
        }
    }
}

//! What the indexes of filters hold: postings, each a filter with what is left to ask of a row that has led to it.
//!
//! A row that one guard excludes is done with before anything of the filter is looked at. What guards ask for is computed once for each
//! version of a changed row: the key of a column's value, or a mark for each item of a list. Of 64 marks two items may share one, so a
//! mark that is there proves nothing; where it is not, no item is. Marks are by keyed hashes: nobody can choose items that share one.

use std::{collections::BTreeMap, hash::BuildHasher};

use slab::Slab;

use crate::{
    analysis::{Asks, Branch, Guard, KeyRef, TimeTest},
    filter::{Fields, Ref},
    order::rank,
    seed::Keyed,
    shard::sides::Sides,
    store::{
        columns::Column,
        row::Row,
        set::index::{Spot, keys},
    },
    time::Timestamp,
};

/// The postings of one set's filters.
#[derive(Debug)]
pub(super) struct Postings {
    keyed: Keyed,
    postings: Slab<Posting>,
    values: Slab<Asked>,
    /// Those by column and by what is made of it.
    by_column: BTreeMap<(u32, Made), u32>,
    spans: Slab<Span>,
    by_test: BTreeMap<TimeTest, u32>,
    /// The number of the changed row whose values are known.
    change: u64,
}

#[derive(Debug)]
struct Posting {
    guards: Box<[Filed]>,
    filter: u32,
    operand: Option<Ref>,
    is_proof: bool,
    /// How often guards have excluded a change, since that was told.
    vain: u8,
}

/// A guard with what it asks by its place.
#[derive(Debug)]
struct Filed {
    test: Test,
    value: u32,
    negated: bool,
}

#[derive(Debug)]
enum Test {
    Key { lo: u128, hi: u128, is_whole: bool },
    Span(u32),
    Marks(u64),
}

/// What is made of the value of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Made {
    Key,
    Mark,
    MarksOfItems,
}

/// A value that guards ask for.
#[derive(Debug)]
struct Asked {
    column: Column,
    made: Made,
    guards: usize,
    /// Before and after, each with the number of the change that it is of.
    known: [(u64, u128); 2],
}

/// A test over time that guards ask.
#[derive(Debug)]
struct Span {
    test: TimeTest,
    guards: usize,
    /// The range at a moment.
    known: Option<(Timestamp, (u128, u128))>,
}

/// What a look-up has found out about a filter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) filter: u32,
    /// The sides of which the filter may hold, and those of them of which it is known to.
    pub(crate) sides: Sides,
    pub(crate) holds: Sides,
    pub(crate) operand: Option<Ref>,
    /// How many versions of the row were held against guards.
    pub(crate) asked: u32,
    /// Of changes that guards have excluded, those to be counted as found in vain.
    pub(crate) vain: u32,
}

/// Exclusions are told when there are so many, as that needs a look at the filter.
const TOLD: u8 = 64;

impl Postings {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self {
            keyed,
            postings: Slab::new(),
            values: Slab::new(),
            by_column: BTreeMap::new(),
            spans: Slab::new(),
            by_test: BTreeMap::new(),
            change: 0,
        }
    }

    /// The filter of a posting.
    pub(super) fn filter(&self, posting: u32) -> u32 {
        self.postings[posting as usize].filter
    }

    /// Makes the posting of a filter's branch.
    pub(super) fn insert(&mut self, filter: u32, branch: &Branch<Column>) -> u32 {
        let guards = branch.guards.iter().map(|guard| self.file(guard)).collect();
        let Branch { is_proof, operand, .. } = *branch;
        self.postings.insert(Posting { guards, filter, operand, is_proof, vain: 0 }) as u32
    }

    /// Lets a posting go that nothing leads to any more, and with the last one everything.
    pub(super) fn remove(&mut self, posting: u32) {
        for Filed { test, value, .. } in self.postings.remove(posting as usize).guards {
            let asked = &mut self.values[value as usize];
            asked.guards -= 1;
            if asked.guards == 0 {
                let asked = self.values.remove(value as usize);
                self.by_column.remove(&(asked.column.id(), asked.made));
            }
            if let Test::Span(span) = test {
                self.spans[span as usize].guards -= 1;
                if self.spans[span as usize].guards == 0 {
                    self.by_test.remove(&self.spans.remove(span as usize).test);
                }
            }
        }
        if self.postings.is_empty() {
            *self = Self { change: self.change, ..Self::new(self.keyed) };
        }
    }

    fn file(&mut self, guard: &Guard<Column>) -> Filed {
        let Self { keyed, values, by_column, spans, by_test, .. } = self;
        let made = match &guard.asks {
            Asks::Key { .. } | Asks::Time(_) => Made::Key,
            Asks::Any { items: false, .. } => Made::Mark,
            Asks::Any { items: true, .. } => Made::MarksOfItems,
        };
        let value = *by_column.entry((guard.column.id(), made)).or_insert_with(|| {
            values.insert(Asked { column: guard.column.clone(), made, guards: 0, known: [(0, 0); 2] }) as u32
        });
        values[value as usize].guards += 1;
        let test = match &guard.asks {
            Asks::Key { lo, hi, is_whole } => Test::Key { lo: *lo, hi: *hi, is_whole: *is_whole },
            Asks::Any { keys, .. } => {
                Test::Marks(keys.iter().fold(0, |marks, key| marks | mark(*keyed, key.as_ref())))
            }
            Asks::Time(test) => {
                let span = by_test.get(test).copied().unwrap_or_else(|| {
                    let span = spans.insert(Span { test: test.clone(), guards: 0, known: None }) as u32;
                    by_test.insert(test.clone(), span);
                    span
                });
                spans[span as usize].guards += 1;
                Test::Span(span)
            }
        };
        Filed { test, value, negated: guard.negated }
    }

    /// Another changed row is looked up.
    pub(super) fn begin(&mut self) {
        self.change += 1;
    }

    /// What the guards of a posting say of a change that has led to it.
    pub(super) fn judge(
        &mut self,
        posting: u32,
        (before, after): (Option<&Row>, Option<&Row>),
        found: Sides,
        now: Timestamp,
    ) -> Verdict {
        let Self { keyed, postings, values, spans, change, .. } = self;
        let Posting { guards, filter, operand, is_proof, vain } = &mut postings[posting as usize];
        let mut verdict = Verdict {
            filter: *filter,
            sides: found,
            holds: if *is_proof { found } else { Sides::default() },
            operand: *operand,
            asked: 0,
            vain: 0,
        };
        if guards.is_empty() {
            return verdict;
        }
        let of_rows = [
            (before, &mut verdict.sides.before, &mut verdict.holds.before),
            (after, &mut verdict.sides.after, &mut verdict.holds.after),
        ];
        for (side, (row, may, does)) in of_rows.into_iter().enumerate() {
            let Some(row) = row.filter(|_| *may) else { continue };
            verdict.asked += 1;
            for Filed { test, value, negated } in guards.iter() {
                let asked = &mut values[*value as usize];
                if asked.known[side].0 != *change {
                    asked.known[side] = (*change, made(row, asked, *keyed));
                }
                let value = asked.known[side].1;
                let is = match test {
                    Test::Key { lo, hi, is_whole } => match (*lo..=*hi).contains(&value) {
                        true if !*is_whole => None,
                        is => Some(is),
                    },
                    Test::Marks(marks) => (value as u64 & marks == 0).then_some(false),
                    Test::Span(span) => {
                        let Span { test, known, .. } = &mut spans[*span as usize];
                        let (lo, hi) = match *known {
                            Some((at, range)) if at == now => range,
                            _ => known.insert((now, test.range(now))).1,
                        };
                        Some((lo..=hi).contains(&value))
                    }
                };
                match is {
                    None => *does = false,
                    Some(is) if is == *negated => {
                        (*may, *does) = (false, false);
                        break;
                    }
                    Some(_) => {}
                }
            }
        }
        if verdict.sides == Sides::default() {
            *vain += 1;
            if *vain == TOLD {
                (*vain, verdict.vain) = (0, TOLD.into());
            }
        }
        verdict
    }

    /// Bytes on the heap, about.
    pub(super) fn heap_bytes(&self) -> usize {
        // What guards take is said by those that there are few of; of many it would take too long.
        let guards = |(_, posting): (usize, &Posting)| size_of_val(&*posting.guards);
        let guards = match self.postings.len() {
            few @ 0..=1_000 => self.postings.iter().take(few).map(guards).sum(),
            many => many * size_of::<Filed>(),
        };
        self.postings.capacity() * size_of::<Posting>()
            + guards
            + self.values.capacity() * size_of::<Asked>()
            + self.spans.capacity() * size_of::<Span>()
    }
}

/// The value that guards ask for, of a row.
fn made(row: &Row, asked: &Asked, keyed: Keyed) -> u128 {
    let value = row.at(&asked.column);
    let marks = |spot| keys(value, spot, keyed).into_iter().fold(0, |marks, key| marks | mark(keyed, key));
    match asked.made {
        Made::Key => rank::key(value),
        Made::Mark => marks(Spot::Whole).into(),
        Made::MarksOfItems => marks(Spot::Item).into(),
    }
}

/// One of 64 bits, the same for equal values.
fn mark(keyed: Keyed, key: KeyRef<'_>) -> u64 {
    1 << (keyed.hash_one(key) >> 58)
}

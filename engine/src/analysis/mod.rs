//! How the filters that a change may touch are found without trying them all.
//!
//! A filter is taken apart once into the ways in which it can be found ([`alternatives`]): by values, list items or ranges that a
//! row must hit for the filter to hold. Which of them an index uses is its own choice; the last is always to try the filter on
//! every row.
//!
//! | filter | found by |
//! | --- | --- |
//! | `path == literal`, a boolean path | the value at the path |
//! | `path in [..]` | the value at the path, once for each item |
//! | `path anyof [..]`, `path allof [..]` | the items of the list at the path |
//! | `path startswith text` | a range of keys; a long text by its bytes |
//! | `path < literal` and the like, equality with an instant | a range of keys, one for all that `and` joins over a path |
//! | `path < now - 7 days` and the like | a range of keys that moves with time |
//! | `and` | any of its operands that can be found, the rest is checked afterwards |
//! | `or` | all of its operands, if each can be found |
//! | `not`, `!=`, other text operators and the rest | every change |
//!
//! Where a hit proves a part of the filter, that part is not checked again. What [`rank::key`](crate::order::rank::key) says of
//! numbers, instants, booleans and short texts is all of them, so a range of keys whose ends are such holds exactly what the
//! comparison holds of: kinds do not mix, as an order exists only within one. The end of a longer text may share its key with
//! others, so there the range is closed, and the comparison stays to be checked.

use std::collections::BTreeMap;
use std::fmt;

use crate::filter::{Compiled, Fields, Reading, Ref, Rest, View};
use crate::time::Timestamp;

mod guard;
mod key;
mod probe;
mod single;
mod time;

pub(crate) use guard::{Asks, Branch, Guard};
pub(crate) use key::{Key, KeyRef};
pub(crate) use probe::{Probe, Sieve};
pub(crate) use time::TimeTest;
pub(crate) use time::time_tests;

/// Of the ways to find a filter that joins many parts so many are weighed: as many as make about so many parts.
const PARTS: usize = 256;

/// What a column is, as far as it matters here.
pub(crate) trait ColumnInfo: Clone + Ord {
    /// Whether the set declares the field as an instant: then it holds one, or nothing.
    fn is_declared_instant(&self) -> bool;

    /// How the column reads its path.
    fn reading(&self) -> Reading;
}

/// Whether text that reads as an instant is one in this column.
fn reads_instants(column: &impl ColumnInfo) -> bool {
    column.is_declared_instant() || column.reading() == Reading::Instant
}

/// One way of finding a filter. It refers to the program, and holds neither keys nor tests of its own.
#[derive(Clone, Debug)]
pub(crate) struct Alternative<C> {
    /// What kind of look-up it is.
    pub(crate) class: Class,
    /// What is left to check of a row that hits at the moment of the check; `None` where the hit proves the filter.
    pub(crate) residue: Option<Rest>,
    /// How many probes there are.
    pub(crate) count: usize,
    /// Whether there is a probe that moves with time.
    pub(crate) moves: bool,
    filter: Compiled<C>,
    by: By<C>,
}

/// What a filter is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
enum By<C> {
    /// One of its conjuncts.
    Conjunct(Ref),
    /// All conjuncts that are ranges over a column.
    Ranges(C),
    /// Nothing: of no row, or by trying it on all.
    Nothing,
}

impl<C: ColumnInfo> Alternative<C> {
    /// The filter holds only of rows that hit one of these. Without any it holds of no row, unless it is a scan. Costs O(what it is
    /// found by); always the same ones.
    pub(crate) fn probes(&self) -> Vec<Probe<C>> {
        match &self.by {
            By::Conjunct(test) => find(&self.filter, *test).map_or(Vec::new(), |found| found.probes),
            By::Ranges(column) => {
                let mut merged = Merged::EVERYTHING;
                for test in self.filter.conjuncts() {
                    if let Some(found) = find(&self.filter, *test)
                        && let Some((other, lo, hi)) = found.range()
                        && other == column
                    {
                        merged.narrow(lo, hi);
                    }
                }
                vec![Probe::Range { column: column.clone(), lo: merged.lo, hi: merged.hi }]
            }
            By::Nothing => Vec::new(),
        }
    }

    /// Whether a row that was found passes, by an operand of the `or` that it was found by where that is known. Adds the steps that it took.
    pub(crate) fn holds<R: Fields<C> + ?Sized>(
        &self,
        operand: Option<Ref>,
        row: &R,
        now: Timestamp,
        steps: &mut u64,
    ) -> bool {
        match (operand, &self.by, &self.residue) {
            (Some(operand), By::Conjunct(or), _) => self.filter.test_operand(*or, operand, row, now, steps),
            // A range that moves with time is filed wider than it is.
            _ if self.moves => self.filter.test(row, now, steps),
            (_, _, Some(rest)) => self.filter.test_rest(rest, row, now, steps),
            (_, _, None) => true,
        }
    }

    /// Whether the filter holds of every row that is found.
    pub(crate) fn is_proof(&self) -> bool {
        self.residue.is_none() && !self.moves
    }

    /// Whether two ways of finding one filter are the same.
    pub(crate) fn is(&self, other: &Alternative<C>) -> bool {
        self.filter.is(&other.filter) && self.class == other.class && self.by == other.by
    }

    /// Bytes on the heap, besides the program.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.residue.as_ref().map_or(0, Rest::heap_bytes)
    }
}

/// What kind of look-up finds a filter. Prints as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Class {
    /// The filter holds of no row.
    Never,
    /// By one value.
    Equality,
    /// By one of several values.
    In,
    /// By an item of a list.
    Items,
    /// By how a text begins.
    Prefix,
    /// By a range of values.
    Range,
    /// By a range that moves with time.
    Time,
    /// By one of several look-ups.
    Union,
    /// By trying it on every row.
    Scan,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Never => "never",
            Class::Equality => "equality",
            Class::In => "in",
            Class::Items => "items",
            Class::Prefix => "prefix",
            Class::Range => "range",
            Class::Time => "time",
            Class::Union => "union",
            Class::Scan => "scan",
        })
    }
}

/// The ways of finding a filter, the one that looks narrowest first, and always the scan last.
///
/// Costs O(filter).
pub(crate) fn alternatives<C: ColumnInfo>(filter: &Compiled<C>) -> Vec<Alternative<C>> {
    let conjuncts = filter.conjuncts();
    let mut ways = ways(filter, conjuncts);
    ways.sort_by_key(|way| way.found.breadth());
    ways.truncate((PARTS / conjuncts.len().max(1)).max(1));
    let mut alternatives: Vec<_> = ways.into_iter().map(|way| way.alternative(filter, conjuncts)).collect();
    let residue = (!conjuncts.is_empty()).then(Rest::whole);
    let (class, filter) = (Class::Scan, filter.clone());
    alternatives.push(Alternative { class, residue, count: 0, moves: false, filter, by: By::Nothing });
    alternatives
}

/// The items, each once, in the order in which they first come. O(n log n).
///
/// By sorting: clients choose what is in them, and nobody gives a seed here.
fn each_once<T: Ord>(items: Vec<T>) -> Vec<T> {
    let mut firsts: Vec<usize> = (0..items.len()).collect();
    // Stable, so that of equal items the first is kept.
    firsts.sort_by(|a, b| items[*a].cmp(&items[*b]));
    firsts.dedup_by(|later, kept| items[*later] == items[*kept]);
    if firsts.len() == items.len() {
        return items;
    }
    firsts.sort_unstable();
    let mut firsts = firsts.into_iter().peekable();
    (0..).zip(items).filter(|(place, _)| firsts.next_if_eq(place).is_some()).map(|(_, item)| item).collect()
}

/// How a part of a filter is found.
struct Found<C> {
    class: Class,
    probes: Vec<Probe<C>>,
    /// Whether a hit proves the part.
    exact: bool,
}

impl<C: ColumnInfo> Found<C> {
    fn never() -> Found<C> {
        Found { class: Class::Never, probes: Vec::new(), exact: true }
    }

    /// By any of these, each once; by none of them where there is none. Ranges of one column that overlap become one.
    fn any_of(class: Class, probes: impl IntoIterator<Item = Probe<C>>, exact: bool) -> Found<C> {
        let mut ranges: Vec<(C, u128, u128)> = Vec::new();
        let mut others: Vec<Probe<C>> = Vec::new();
        for probe in probes {
            match probe {
                Probe::Range { column, lo, hi } => ranges.push((column, lo, hi)),
                other => others.push(other),
            }
        }
        ranges.sort_unstable();
        ranges.dedup_by(|next, before| {
            let overlap = next.0 == before.0 && next.1 <= before.2;
            if overlap {
                before.2 = before.2.max(next.2);
            }
            overlap
        });
        let mut others = each_once(others);
        others.extend(ranges.into_iter().map(|(column, lo, hi)| Probe::Range { column, lo, hi }));
        match others.is_empty() {
            true => Found::never(),
            false => Found { class, probes: others, exact },
        }
    }

    /// Whether a probe of it moves with time.
    fn moves(&self) -> bool {
        self.probes.iter().any(|probe| matches!(probe, Probe::Time { .. }))
    }

    /// The range that it is, if it is one that others over the column may narrow.
    fn range(&self) -> Option<(&C, u128, u128)> {
        match (self.class, self.probes.as_slice()) {
            (Class::Prefix | Class::Range, [Probe::Range { column, lo, hi }]) => Some((column, *lo, *hi)),
            _ => None,
        }
    }

    /// The less, the fewer rows are expected to hit: how wide the widest probe is, and how many there are.
    fn breadth(&self) -> (u8, usize) {
        (self.probes.iter().map(Probe::breadth).max().unwrap_or(0), self.probes.len())
    }
}

/// How a conjunction is found by some of its operands, and which of them are proven by a hit.
struct Way<C> {
    found: Found<C>,
    by: By<C>,
    proven: Vec<Ref>,
}

impl<C: ColumnInfo> Way<C> {
    fn alternative(self, filter: &Compiled<C>, conjuncts: &[Ref]) -> Alternative<C> {
        let moves = self.found.moves();
        Alternative {
            class: self.found.class,
            residue: (self.proven.len() < conjuncts.len()).then(|| Rest::without(self.proven)),
            count: self.found.probes.len(),
            moves,
            filter: filter.clone(),
            by: self.by,
        }
    }
}

/// Every way in which a conjunction is found.
fn ways<C: ColumnInfo>(filter: &Compiled<C>, conjuncts: &[Ref]) -> Vec<Way<C>> {
    let never = || vec![Way { found: Found::never(), by: By::Nothing, proven: conjuncts.to_vec() }];
    let mut ways = Vec::new();
    // The ranges over one column are one range.
    let mut ranges: BTreeMap<C, Merged> = BTreeMap::new();
    for test in conjuncts {
        let Some(found) = find(filter, *test) else { continue };
        match found.range() {
            _ if found.class == Class::Never => return never(),
            Some((column, lo, hi)) => {
                let merged = ranges.entry(column.clone()).or_insert(Merged::EVERYTHING);
                merged.class = merged.class.max(found.class);
                merged.narrow(lo, hi);
                merged.proven.extend(found.exact.then_some(*test));
                if merged.lo > merged.hi {
                    return never();
                }
            }
            None => {
                let proven = found.exact.then_some(*test).into_iter().collect();
                ways.push(Way { found, by: By::Conjunct(*test), proven });
            }
        }
    }
    for (column, Merged { class, lo, hi, proven }) in ranges {
        let probes = vec![Probe::Range { column: column.clone(), lo, hi }];
        let found = Found { class, probes, exact: proven.len() == conjuncts.len() };
        ways.push(Way { found, by: By::Ranges(column), proven });
    }
    ways
}

/// Ranges of one column that must all be hit.
struct Merged {
    class: Class,
    lo: u128,
    hi: u128,
    proven: Vec<Ref>,
}

impl Merged {
    const EVERYTHING: Merged = Merged { class: Class::Prefix, lo: 0, hi: u128::MAX, proven: Vec::new() };

    fn narrow(&mut self, lo: u128, hi: u128) {
        self.lo = self.lo.max(lo);
        self.hi = self.hi.min(hi);
    }
}

/// The narrowest way of finding one operand of an `or`.
fn best<C: ColumnInfo>(filter: &Compiled<C>, test: Ref) -> Option<Found<C>> {
    let conjuncts = filter.conjuncts_of(&test);
    let best = guard::narrowest(filter, conjuncts)?;
    Some(Found { exact: best.proven.len() == conjuncts.len(), ..best.found })
}

/// How a part of a filter that is no `and` is found.
fn find<C: ColumnInfo>(filter: &Compiled<C>, test: Ref) -> Option<Found<C>> {
    let (View::Any(operands), false) = filter.view(test) else { return single::find(filter, test) };
    let mut exact = true;
    let mut probes = Vec::new();
    for operand in operands {
        let found = best(filter, *operand)?;
        exact &= found.exact;
        probes.extend(found.probes);
    }
    Some(Found::any_of(Class::Union, probes, exact))
}

#[cfg(test)]
mod tests;

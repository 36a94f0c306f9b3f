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
//! | `path startswith text` | a range of keys |
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

use std::fmt;
use std::hash::Hash;

use foldhash::fast::FixedState;
use indexmap::IndexMap;

use crate::filter::{Expr, Reading};

mod key;
mod probe;
mod single;
mod time;

pub(crate) use key::{Key, KeyRef};
pub(crate) use probe::Probe;
pub(crate) use time::TimeTest;
pub(crate) use time::time_tests;

/// Each way holds a copy of what is left to check, so a filter that joins many parts is given fewer ways: as many as make about so
/// many parts.
const PARTS: usize = 256;

/// What a column is, as far as it matters here.
pub(crate) trait ColumnInfo: Clone + Ord + Hash {
    /// Whether the set declares the field as an instant: then it holds one, or nothing.
    fn is_declared_instant(&self) -> bool;

    /// How the column reads its path.
    fn reading(&self) -> Reading;
}

/// Whether text that reads as an instant is one in this column.
fn reads_instants(column: &impl ColumnInfo) -> bool {
    column.is_declared_instant() || column.reading() == Reading::Instant
}

/// One way of finding a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alternative<C> {
    /// What kind of look-up it is.
    pub(crate) class: Class,
    /// The filter holds only of rows that hit one of these, each once. Without any it holds of no row, unless it is a scan.
    pub(crate) probes: Vec<Probe<C>>,
    /// What is left to check of a row that hits at the moment of the check; `None` where the hit proves the filter.
    pub(crate) residue: Option<Expr<C>>,
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
/// Costs O(filter), its time chiefly that of copying what each way leaves to check.
pub(crate) fn alternatives<C: ColumnInfo>(filter: &Expr<C>) -> Vec<Alternative<C>> {
    let conjuncts = conjuncts(filter);
    let mut ways = ways(&conjuncts);
    ways.sort_by_key(|way| way.found.breadth());
    ways.truncate((PARTS / conjuncts.len().max(1)).max(1));
    let mut alternatives: Vec<_> = ways.into_iter().map(|way| way.alternative(&conjuncts)).collect();
    let residue = (!conjuncts.is_empty()).then(|| filter.clone());
    alternatives.push(Alternative { class: Class::Scan, probes: Vec::new(), residue });
    alternatives
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

    /// By any of these, each once; by none of them where there is none.
    fn any_of(class: Class, probes: impl IntoIterator<Item = Probe<C>>, exact: bool) -> Found<C> {
        let probes = each_once(probes.into_iter().collect());
        match probes.is_empty() {
            true => Found::never(),
            false => Found { class, probes, exact },
        }
    }

    /// The less, the fewer rows are expected to hit: how wide the widest probe is, and how many there are.
    fn breadth(&self) -> (u8, usize) {
        (self.probes.iter().map(Probe::breadth).max().unwrap_or(0), self.probes.len())
    }
}

/// How a conjunction is found by some of its operands, and which of them are proven by a hit, in ascending order.
struct Way<C> {
    found: Found<C>,
    proven: Vec<usize>,
}

impl<C: ColumnInfo> Way<C> {
    fn alternative(self, conjuncts: &[&Expr<C>]) -> Alternative<C> {
        let left = (0..).zip(conjuncts).filter(|(place, _)| self.proven.binary_search(place).is_err());
        let mut left: Vec<Expr<C>> = left.map(|(_, conjunct)| (*conjunct).clone()).collect();
        let residue = match left.pop() {
            Some(only) if left.is_empty() => Some(only),
            Some(last) => {
                left.push(last);
                Some(Expr::And(left))
            }
            None => None,
        };
        Alternative { class: self.found.class, probes: self.found.probes, residue }
    }
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

/// What must hold all together, with no `and` among it.
fn conjuncts<C>(filter: &Expr<C>) -> Vec<&Expr<C>> {
    fn collect<'a, C>(filter: &'a Expr<C>, into: &mut Vec<&'a Expr<C>>) {
        match filter {
            Expr::And(operands) => operands.iter().for_each(|operand| collect(operand, into)),
            Expr::Constant(true) => {}
            other => into.push(other),
        }
    }
    let mut conjuncts = Vec::new();
    collect(filter, &mut conjuncts);
    conjuncts
}

/// Every way in which a conjunction is found.
fn ways<C: ColumnInfo>(conjuncts: &[&Expr<C>]) -> Vec<Way<C>> {
    let never = || vec![Way { found: Found::never(), proven: (0..conjuncts.len()).collect() }];
    let mut ways = Vec::new();
    // The ranges over one column are one range.
    let mut ranges: IndexMap<C, Merged, FixedState> = IndexMap::default();
    for (place, conjunct) in conjuncts.iter().enumerate() {
        let Some(found) = find(conjunct) else { continue };
        match (found.class, found.probes.as_slice()) {
            (Class::Never, _) => return never(),
            (Class::Prefix | Class::Range, [Probe::Range { column, lo, hi }]) => {
                let merged = ranges.entry(column.clone()).or_insert(Merged::EVERYTHING);
                merged.class = merged.class.max(found.class);
                merged.lo = merged.lo.max(*lo);
                merged.hi = merged.hi.min(*hi);
                merged.proven.extend(found.exact.then_some(place));
                if merged.lo > merged.hi {
                    return never();
                }
            }
            _ => ways.push(Way { proven: found.exact.then_some(place).into_iter().collect(), found }),
        }
    }
    for (column, Merged { class, lo, hi, proven }) in ranges {
        let probes = vec![Probe::Range { column, lo, hi }];
        ways.push(Way { found: Found { class, probes, exact: proven.len() == conjuncts.len() }, proven });
    }
    ways
}

/// Ranges of one column that must all be hit.
struct Merged {
    class: Class,
    lo: u128,
    hi: u128,
    proven: Vec<usize>,
}

impl Merged {
    const EVERYTHING: Merged = Merged { class: Class::Prefix, lo: 0, hi: u128::MAX, proven: Vec::new() };
}

/// The narrowest way of finding a filter.
fn best<C: ColumnInfo>(filter: &Expr<C>) -> Option<Found<C>> {
    let conjuncts = conjuncts(filter);
    let best = ways(&conjuncts).into_iter().min_by_key(|way| way.found.breadth())?;
    Some(Found { exact: best.proven.len() == conjuncts.len(), ..best.found })
}

/// How a part of a filter that is no `and` is found.
fn find<C: ColumnInfo>(filter: &Expr<C>) -> Option<Found<C>> {
    let Expr::Or(operands) = filter else { return single::find(filter) };
    let mut exact = true;
    let mut probes = Vec::new();
    for operand in operands {
        let found = best(operand)?;
        exact &= found.exact;
        probes.extend(found.probes);
    }
    Some(Found::any_of(Class::Union, probes, exact))
}

#[cfg(test)]
mod tests;

//! Where the rows of a filter are found when a view is made or a window is refilled: the cheapest way that is there.

use crate::{
    analysis::{Alternative, Class, Probe, Sieve, TimeTest},
    filter::Fields,
    order::rank,
    store::{
        columns::Column,
        row::Reader,
        set::Set,
        set::index::{Spot, Wish},
        sorting::Sorting,
    },
    time::Timestamp,
};

/// Which rows an access over time is to find.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Span {
    /// Those that match at a moment.
    At(Timestamp),
    /// Those that match at a moment or later.
    From(Timestamp),
}

impl Span {
    fn range(self, test: &TimeTest) -> (u128, u128) {
        match self {
            Span::At(now) => test.range(now),
            Span::From(now) => test.lasting_range(now),
        }
    }
}

/// Rows among which all matches of a filter are, as an index has them.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    /// Rows found by what the filter asks for: so many at most.
    Candidates { set: &'a Set, access: &'a Alternative<Column>, moment: Span, count: usize },
    /// All rows.
    All { set: &'a Set },
}

impl<'a> Source<'a> {
    pub(crate) fn of(set: &'a Set, access: &'a Alternative<Column>, moment: Span) -> Self {
        match candidate_count(set, access, moment) {
            Some(count) if count < set.len() => Source::Candidates { set, access, moment, count },
            _ => Source::All { set },
        }
    }

    /// The same where taking down what an index finds takes at most `steps` steps, else all rows.
    pub(crate) fn within(self, steps: u64) -> Self {
        match self {
            Source::Candidates { set, count, .. } if handle_steps(count) > steps => Source::All { set },
            other => other,
        }
    }

    /// How many rows there are to be looked at, at most.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Source::Candidates { count, .. } => *count,
            Source::All { set } => set.len(),
        }
    }

    /// The handles of the rows, each once.
    pub(crate) fn handles(&self) -> Vec<u32> {
        let Source::Candidates { set, access, moment, count } = self else {
            let Source::All { set } = self else { return Vec::new() };
            return set.rows().map(|(handle, _)| handle).collect();
        };
        let mut handles = Vec::with_capacity(*count);
        let probes = access.probes();
        for probe in &probes {
            match probe {
                Probe::Value { column, key } => {
                    let rows = set.indexes.values(column, Spot::Whole).and_then(|index| index.rows(key));
                    handles.extend(rows.into_iter().flat_map(|rows| rows.iter()));
                }
                Probe::Item { column, key } => {
                    let rows = set.indexes.values(column, Spot::Item).and_then(|index| index.rows(key));
                    handles.extend(rows.into_iter().flat_map(|rows| rows.iter()));
                }
                Probe::Range { .. } | Probe::Beginning { .. } | Probe::Time { .. } => {
                    let (column, (lo, hi)) = match probe {
                        Probe::Range { column, lo, hi } => (column, (*lo, *hi)),
                        // An order of the column has all that begin with the first bytes side by side.
                        Probe::Beginning { column, text } => (column, rank::prefix_range(text)),
                        Probe::Time { column, test } => (column, moment.range(test)),
                        Probe::Value { .. } | Probe::Item { .. } => continue,
                    };
                    let Some(order) = set.indexes.ordered_by(column) else { continue };
                    let (start, end) = order.range(set, lo, hi);
                    handles.extend(order.tree.iter_from(start).take(end - start).map(|entry| entry.row));
                }
            }
        }
        if probes.len() > 1 {
            handles.sort_unstable();
            handles.dedup();
        }
        handles
    }
}

/// The steps of taking down and sorting so many handles.
pub(crate) fn handle_steps(count: usize) -> u64 {
    count as u64 / 2
}

/// How many rows the indexes find for an access; `None` where one of them is missing.
fn candidate_count(set: &Set, access: &Alternative<Column>, moment: Span) -> Option<usize> {
    if access.class == Class::Scan {
        return None;
    }
    let of = |probe: &Probe<Column>| {
        let bucket = |column, key, spot| {
            let index = set.indexes.values(column, spot)?;
            Some(index.rows(key).map_or(0, |rows| rows.len()))
        };
        let stretch = |column, (lo, hi)| {
            let (start, end) = set.indexes.ordered_by(column)?.range(set, lo, hi);
            Some(end - start)
        };
        match probe {
            Probe::Value { column, key } => bucket(column, key, Spot::Whole),
            Probe::Item { column, key } => bucket(column, key, Spot::Item),
            Probe::Range { column, lo, hi } => stretch(column, (*lo, *hi)),
            Probe::Beginning { column, text } => stretch(column, rank::prefix_range(text)),
            Probe::Time { column, test } => stretch(column, moment.range(test)),
        }
    };
    access.probes().iter().map(of).try_fold(0, |sum, count| Some(sum + count?))
}

/// The indexes that would find the rows of an access.
pub(crate) fn wishes(set: &mut Set, access: &Alternative<Column>) -> Vec<Wish> {
    let wish = |probe: &Probe<Column>| match probe {
        Probe::Value { column, .. } => Wish::Values(column.clone(), Spot::Whole),
        Probe::Item { column, .. } => Wish::Values(column.clone(), Spot::Item),
        Probe::Range { column, .. } | Probe::Beginning { column, .. } | Probe::Time { column, .. } => {
            Wish::Order(set.sorting_by(column))
        }
    };
    access.probes().iter().take(16).map(wish).collect()
}

/// The stretch of an order that a filter is, if it is one.
pub(crate) fn extent(
    access: &Alternative<Column>,
    is_all: bool,
    sorting: &Sorting,
) -> Option<(Column, bool, u128, u128)> {
    let (first, descending) = sorting.keys.first()?;
    if is_all {
        return Some((first.clone(), *descending, u128::MIN, u128::MAX));
    }
    if access.residue.is_some() || access.count != 1 {
        return None;
    }
    match &*access.probes() {
        [Probe::Range { column, lo, hi }] if column == first => Some((first.clone(), *descending, *lo, *hi)),
        _ => None,
    }
}

/// The most steps that are spent on looking at some rows, and on holding them against what finds filters.
const SAMPLE_STEPS: u64 = 8_192;

/// How many of some rows each access finds, and how many rows those were. Rows are read as they are, which leaves nothing in them.
/// Adds the steps that it took.
pub(crate) fn sample(
    set: &Set,
    accesses: &[Alternative<Column>],
    columns: &[Column],
    now: Timestamp,
    steps: &mut u64,
) -> (Vec<usize>, usize) {
    let mut hits = vec![0; accesses.len()];
    let probes: Vec<Vec<Probe<Column>>> = accesses.iter().map(Alternative::probes).collect();
    let sieves: Vec<Sieve<'_, Column>> = probes.iter().map(|probes| Sieve::new(probes)).collect();
    *steps += probes.iter().map(|probes| PROBE_STEPS * probes.len() as u64).sum::<u64>();
    let mut reader = Reader::new(columns);
    let (mut rows, mut spent) = (0, 0);
    for row in sampled(set).filter_map(|handle| set.row(handle)) {
        if spent >= SAMPLE_STEPS {
            break;
        }
        rows += 1;
        let row = reader.read(row, &mut spent);
        for (hits, sieve) in hits.iter_mut().zip(&sieves) {
            *hits += usize::from(sieve.hits(&row, now, &mut spent));
        }
    }
    *steps += spent;
    (hits, rows)
}

/// The steps of making, sorting or filing one value by which a filter is found, about.
pub(crate) const PROBE_STEPS: u64 = 4;

/// The handles of the rows that a sample looks at, as far as there are rows: as far apart as they can be, the same on every run.
fn sampled(set: &Set) -> impl Iterator<Item = u32> + use<> {
    const SAMPLE: u32 = 48;
    let stride = (set.end() / SAMPLE).max(1);
    (0..set.end()).step_by(stride as usize).take(SAMPLE as usize)
}

/// Makes the rows of a sample hold what is read now, so that they need not be read for each query that looks at them. Returns the steps
/// that it took.
pub(crate) fn lay_out_sample(set: &mut Set) -> u64 {
    let mut spent = 0;
    for handle in sampled(set) {
        if spent >= SAMPLE_STEPS {
            break;
        }
        spent += set.lay_out(handle);
    }
    spent
}

/// Whether a value lies in a stretch.
pub(crate) fn lies_in(row: &crate::store::row::Row, column: &Column, lo: u128, hi: u128) -> bool {
    (lo..=hi).contains(&rank::key(row.at(column)))
}

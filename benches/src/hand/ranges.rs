//! Class D: ranges of one tree of all orders.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included},
    sync::Arc,
};

use super::{Baseline, Rows};
use crate::{BenchQuery, Diff, OrderRow, Place, Shape, Sort, Step, queries::dearest, window::consolidate};

const SPAN: u32 = 1_000;

/// Of ranges of one width, the one that begins higher has more rows before a given one: so the queries that show an order are the
/// first of those whose range it is in, and the others need not be looked at.
pub(super) struct Ranges {
    rows: Rows,
    tree: BTreeMap<Place, Arc<OrderRow>>,
    /// Where the queries begin, sorted, in hundredths.
    begins: Vec<u32>,
    /// In the order of `begins`.
    queries: Vec<Range>,
    /// The place among `queries` of each query by number.
    places: Vec<usize>,
}

struct Range {
    query: u32,
    cap: u32,
    shown: u32,
    /// Of the last row shown; means nothing while there is room for more.
    last: Place,
}

impl Range {
    fn shows(&self, place: Place) -> bool {
        self.shown < self.cap || place <= self.last
    }
}

/// The places of a range that begins here.
fn bounds(begin: u32) -> (Place, Place) {
    ((dearest(begin + SPAN - 1), 0), (dearest(begin), u64::MAX))
}

impl Ranges {
    pub(super) fn new(rows: Rows, queries: &[BenchQuery]) -> Self {
        let tree: BTreeMap<_, _> = rows.values().map(|row| (Sort::Dearest.place(row), row.clone())).collect();
        let begin = |(number, query): (u32, &BenchQuery)| match query.shape {
            Shape::Total(from) => Some((from, number, query.cap)),
            _ => None,
        };
        let mut sorted: Vec<_> = (0..).zip(queries).filter_map(begin).collect();
        sorted.sort_unstable();
        let mut places = vec![0; queries.len()];
        let range = |(place, (begin, query, cap)): (usize, &(u32, u32, usize))| {
            places[*query as usize] = place;
            let (first, end) = bounds(*begin);
            let mut shown = 0;
            let of_range = tree.range(first..=end).take(*cap).inspect(|_| shown += 1);
            let last = of_range.last().map_or(end, |(place, _)| *place);
            Range { query: *query, cap: *cap as u32, shown, last }
        };
        let queries = sorted.iter().enumerate().map(range).collect();
        Self { rows, tree, begins: sorted.iter().map(|(begin, ..)| *begin).collect(), queries, places }
    }

    /// The queries whose range holds a total.
    fn run(&self, total: u32) -> std::ops::Range<usize> {
        let first = self.begins.partition_point(|begin| begin + SPAN <= total);
        let more = self.begins[first..].partition_point(|begin| *begin <= total);
        first..first + more
    }

    fn update(&mut self, place: Place, before: &Arc<OrderRow>, row: Arc<OrderRow>, out: &mut Vec<Diff>) {
        for at in self.run(row.total) {
            let Some(range) = self.queries.get(at).filter(|range| range.shows(place)) else { break };
            out.push(Diff { query: range.query, before: Some(before.clone()), after: Some(row.clone()) });
        }
        self.tree.insert(place, row);
    }

    fn remove(&mut self, row: &Arc<OrderRow>, out: &mut Vec<Diff>) {
        let place = Sort::Dearest.place(row);
        self.tree.remove(&place);
        for at in self.run(row.total) {
            let range = &mut self.queries[at];
            if !range.shows(place) {
                break;
            }
            out.push(Diff { query: range.query, before: Some(row.clone()), after: None });
            let (_, end) = bounds(self.begins[at]);
            let mut beyond = (range.shown == range.cap && range.last < end)
                .then(|| self.tree.range((Excluded(range.last), Included(end))))
                .into_iter()
                .flatten();
            match beyond.next() {
                Some((next, row)) => {
                    range.last = *next;
                    out.push(Diff { query: range.query, before: None, after: Some(row.clone()) });
                }
                None => range.shown -= 1,
            }
        }
    }

    fn insert(&mut self, row: Arc<OrderRow>, out: &mut Vec<Diff>) {
        let place = Sort::Dearest.place(&row);
        self.tree.insert(place, row.clone());
        for at in self.run(row.total) {
            let range = &mut self.queries[at];
            if !range.shows(place) {
                break;
            }
            out.push(Diff { query: range.query, before: None, after: Some(row.clone()) });
            let (first, end) = bounds(self.begins[at]);
            if range.shown < range.cap {
                range.shown += 1;
                if range.shown == range.cap {
                    range.last = self.tree.range(first..=end).next_back().map_or(end, |(place, _)| *place);
                }
                continue;
            }
            let mut back = self.tree.range(first..=range.last).rev();
            if let (Some((_, last)), Some((place, _))) = (back.next(), back.next()) {
                out.push(Diff { query: range.query, before: Some(last.clone()), after: None });
                range.last = *place;
            }
        }
    }

    fn step(&mut self, step: Step, out: &mut Vec<Diff>) {
        match step {
            Step::Remove(id) => {
                if let Some(row) = self.rows.remove(&id) {
                    self.remove(&row, out);
                }
            }
            Step::Put(row) => match self.rows.insert(row.id, row.clone()) {
                Some(before) if before.total == row.total => {
                    self.update(Sort::Dearest.place(&row), &before, row, out);
                }
                Some(before) => {
                    let (mark, near) = (out.len(), before.total.abs_diff(row.total) < SPAN);
                    self.remove(&before, out);
                    self.insert(row, out);
                    // Some ranges may have lost the order and got it back.
                    if near {
                        consolidate(out, mark);
                    }
                }
                None => self.insert(row, out),
            },
        }
    }
}

impl Baseline for Ranges {
    fn commit(&mut self, _now: i64, steps: Vec<Step>, out: &mut Vec<Diff>) {
        let (mark, many) = (out.len(), steps.len() > 1);
        for step in steps {
            self.step(step, out);
        }
        if many {
            consolidate(out, mark);
        }
    }

    fn window(&self, query: usize) -> Vec<u64> {
        let at = self.places[query];
        let (first, end) = bounds(self.begins[at]);
        let shown = self.queries[at].shown as usize;
        self.tree.range(first..=end).take(shown).map(|(_, row)| row.id).collect()
    }

    fn bytes(&self) -> usize {
        self.queries.len() * (size_of::<Range>() + size_of::<u32>() + size_of::<usize>())
    }

    fn refills(&self) -> u64 {
        0
    }
}

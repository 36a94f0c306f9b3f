//! The best that typed Rust does for each class, written for it: no parser, no JSON, no query that is not known beforehand.
//!
//! | class | how a change finds the queries | what a query keeps |
//! | --- | --- | --- |
//! | A1, A2, F | there is one | a window of twice the cap |
//! | B, C | a hash of the customer, in C after a look at the status | a window of twice the cap |
//! | D | the queries sorted by `a`: those that hold a total are a run, those that show it a prefix of the run | the place of its last row in one tree of all orders |
//! | E | a table of the regions, the queries of each by priority | a window of twice the cap; refills look at the region's orders |
//! | G | hashes of the customer, of the region, and of the first three letters of the note; orders whose time is up by a tree of all orders by creation | a window of twice the cap |
//! | P, W | a hash of the letters behind the common beginning, a hash of customer and priority | a window of twice the cap |
//!
//! Refills look at all orders where nothing else is said. A commit of several changes applies one after the other and then makes one
//! net change of what it did to each row of each window, as the engine does.

mod index;
mod ranges;

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use self::{
    index::{Everything, Index, Mixed, OfCustomer, OfRegion, OfTotal, Processing, of_letters, of_pairs},
    ranges::Ranges,
};
use crate::{
    BenchQuery, Class, Diff, OrderRow, Place, Sort, Step,
    timeline::Timeline,
    window::{Filling, Held, Window, consolidate},
};

/// All orders by id.
pub type Rows = HashMap<u64, Arc<OrderRow>, FixedState>;

/// What the engine is measured beside.
pub trait Baseline {
    /// Lets the time pass, applies the changes as one, and pushes what it does to the windows, for the time and for the changes
    /// one diff for each query and order.
    fn commit(&mut self, now: i64, steps: Vec<Step>, out: &mut Vec<Diff>);

    /// The ids in the window of a query.
    fn window(&self, query: usize) -> Vec<u64>;

    /// What the windows of all queries take, the orders themselves not counted.
    fn bytes(&self) -> usize;

    /// How many windows had to be filled again from all orders.
    fn refills(&self) -> u64;
}

/// All orders of a workload.
pub fn rows<'a>(orders: impl IntoIterator<Item = &'a Arc<OrderRow>>) -> Rows {
    orders.into_iter().map(|order| (order.id, order.clone())).collect()
}

/// The best by hand for these queries of a class.
pub fn hand(class: Class, rows: Rows, queries: Vec<BenchQuery>, now: i64) -> Box<dyn Baseline> {
    match class {
        Class::A1 | Class::F => Box::new(Hand::new(Processing, rows, queries, now)),
        Class::A2 => Box::new(Hand::new(Everything, rows, queries, now)),
        Class::B => Box::new(Hand::new(OfCustomer::<false>::new(&queries), rows, queries, now)),
        Class::C => Box::new(Hand::new(OfCustomer::<true>::new(&queries), rows, queries, now)),
        Class::D => Box::new(Ranges::new(rows, &queries)),
        Class::E => Box::new(Hand::new(OfRegion::new(&queries), rows, queries, now)),
        Class::G => Box::new(Hand::new(Mixed::new(&queries), rows, queries, now)),
        Class::P => Box::new(Hand::new(of_letters(&queries), rows, queries, now)),
        Class::W => Box::new(Hand::new(of_pairs(&queries), rows, queries, now)),
    }
}

/// The first windows of these queries.
pub(crate) fn windows(class: Class, rows: &Rows, queries: &[BenchQuery], now: i64) -> Vec<Window> {
    match class {
        Class::A1 | Class::F => fill(&Processing, rows, queries, now),
        Class::A2 => fill(&Everything, rows, queries, now),
        Class::B => fill(&OfCustomer::<false>::new(queries), rows, queries, now),
        Class::C => fill(&OfCustomer::<true>::new(queries), rows, queries, now),
        Class::D => fill(&OfTotal::new(queries), rows, queries, now),
        Class::E => fill(&OfRegion::new(queries), rows, queries, now),
        Class::G => fill(&Mixed::new(queries), rows, queries, now),
        Class::P => fill(&of_letters(queries), rows, queries, now),
        Class::W => fill(&of_pairs(queries), rows, queries, now),
    }
}

/// One pass over the rows.
fn fill<I: Index>(index: &I, rows: &Rows, queries: &[BenchQuery], now: i64) -> Vec<Window> {
    let mut fillings: Vec<Filling> = queries.iter().map(|query| Filling::new(2 * query.cap)).collect();
    for row in rows.values() {
        index.touched(None, Some(row), now, |query, _, _| {
            fillings[query as usize].push(queries[query as usize].sort.place(row), row);
        });
    }
    (0..).zip(fillings).map(|(query, filling)| filling.into_window(query)).collect()
}

/// The next matches after a place among these rows, in order, at most `wanted`.
pub(crate) fn refill<'a>(
    rows: impl Iterator<Item = &'a Arc<OrderRow>>,
    query: &BenchQuery,
    now: i64,
    after: Option<Place>,
    wanted: usize,
) -> Vec<Held> {
    let mut filling = Filling::new(wanted);
    for row in rows.filter(|row| query.shape.matches(row, now)) {
        let place = query.sort.place(row);
        if after.is_none_or(|after| place > after) {
            filling.push(place, row);
        }
    }
    filling.into_sorted()
}

/// Windows that an index finds.
struct Hand<I> {
    index: I,
    rows: Rows,
    queries: Vec<BenchQuery>,
    windows: Vec<Window>,
    /// What tells of most changes that they change nothing, without a look at the window.
    edges: Vec<Edge>,
    timeline: Option<Timeline>,
    now: i64,
    refills: u64,
}

struct Edge {
    sort: Sort,
    place: Place,
}

impl<I: Index> Hand<I> {
    fn new(mut index: I, rows: Rows, queries: Vec<BenchQuery>, now: i64) -> Self {
        let windows = fill(&index, &rows, &queries, now);
        let timeline = Timeline::new(&queries, rows.values(), now);
        rows.values().for_each(|row| index.moved(None, Some(row)));
        let edge = |(query, window): (&BenchQuery, &Window)| Edge { sort: query.sort, place: window.edge() };
        let edges = queries.iter().zip(&windows).map(edge).collect();
        Self { index, rows, queries, windows, edges, timeline, now, refills: 0 }
    }

    fn step(&mut self, step: Step, out: &mut Vec<Diff>) {
        let (before, after) = match step {
            Step::Put(row) => (self.rows.insert(row.id, row.clone()), Some(row)),
            Step::Remove(id) => (self.rows.remove(&id), None),
        };
        let (before, after) = (before.as_ref(), after.as_ref());
        let now = self.now;
        self.index.moved(before.map(Arc::as_ref), after.map(Arc::as_ref));
        if let Some(timeline) = &mut self.timeline {
            timeline.step(before.map(Arc::as_ref), after.map(Arc::as_ref));
        }
        let (index, rows, queries, refills) = (&self.index, &self.rows, &self.queries, &mut self.refills);
        let (windows, edges) = (&mut self.windows, &mut self.edges);
        index.touched(before.map(Arc::as_ref), after.map(Arc::as_ref), now, |number, was, is| {
            let Edge { sort, place: edge } = &mut edges[number as usize];
            let before = before.filter(|_| was).map(|row| sort.place(row));
            let after = after.filter(|_| is).map(|row| (sort.place(row), row));
            if before.is_none_or(|place| place > *edge) && after.is_none_or(|(place, _)| place > *edge) {
                return;
            }
            let window = &mut windows[number as usize];
            window.step(before, after, out, |from, wanted| {
                let query = &queries[number as usize];
                *refills += 1;
                match index.narrow(query) {
                    Some(ids) => refill(ids.iter().filter_map(|id| rows.get(id)), query, now, from, wanted),
                    None => refill(rows.values(), query, now, from, wanted),
                }
            });
            *edge = window.edge();
        });
    }

    fn advance(&mut self, now: i64, out: &mut Vec<Diff>) {
        self.now = now;
        let Some(timeline) = &mut self.timeline else { return };
        let (since, up) = timeline.advance(now);
        let (index, rows, queries, refills) = (&self.index, &self.rows, &self.queries, &mut self.refills);
        let (windows, edges, mark) = (&mut self.windows, &mut self.edges, out.len());
        for row in up.iter().filter_map(|id| rows.get(id)) {
            index.timed(row, |number| {
                let query = &queries[number as usize];
                if query.shape.matches(row, since) && !query.shape.matches(row, now) {
                    let place = query.sort.place(row);
                    let window = &mut windows[number as usize];
                    window.step(Some(place), None, out, |from, wanted| {
                        *refills += 1;
                        refill(rows.values(), query, now, from, wanted)
                    });
                    edges[number as usize].place = window.edge();
                }
            });
        }
        consolidate(out, mark);
    }
}

impl<I: Index> Baseline for Hand<I> {
    fn commit(&mut self, now: i64, steps: Vec<Step>, out: &mut Vec<Diff>) {
        self.advance(now, out);
        let (mark, many) = (out.len(), steps.len() > 1);
        for step in steps {
            self.step(step, out);
        }
        if many {
            consolidate(out, mark);
        }
    }

    fn window(&self, query: usize) -> Vec<u64> {
        self.windows[query].ids()
    }

    fn bytes(&self) -> usize {
        self.windows.iter().map(Window::bytes).sum()
    }

    fn refills(&self) -> u64 {
        self.refills
    }
}

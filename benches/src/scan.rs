//! The baseline that knows no index: every change is tried against every query.

use std::{fmt, sync::Arc};

use crate::{
    BenchQuery, Class, Diff, OrderRow, Step, Test,
    hand::{Baseline, Rows, refill, windows},
    timeline::Timeline,
    window::{Window, consolidate},
};

/// Windows as in the work by hand, found by trying the compiled filter of every query on the order before and after.
pub struct Scan {
    rows: Rows,
    queries: Vec<BenchQuery>,
    tests: Vec<Test>,
    windows: Vec<Window>,
    timeline: Option<Timeline>,
    now: i64,
    refills: u64,
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("queries", &self.queries.len()).finish_non_exhaustive()
    }
}

impl Scan {
    /// The first windows are made with what is known of the class: only changes are to be measured.
    pub fn new(class: Class, rows: Rows, queries: Vec<BenchQuery>, now: i64) -> Self {
        let windows = windows(class, &rows, &queries, now);
        let timeline = Timeline::new(&queries, rows.values(), now);
        let tests = queries.iter().map(|query| query.shape.compiled()).collect();
        Self { rows, queries, tests, windows, timeline, now, refills: 0 }
    }

    fn step(&mut self, step: Step, out: &mut Vec<Diff>) {
        let (before, after) = match step {
            Step::Put(row) => (self.rows.insert(row.id, row.clone()), Some(row)),
            Step::Remove(id) => (self.rows.remove(&id), None),
        };
        if let Some(timeline) = &mut self.timeline {
            timeline.step(before.as_deref(), after.as_deref());
        }
        self.try_all(before.as_ref(), after.as_ref(), out);
    }

    fn try_all(
        &mut self,
        before: Option<&Arc<OrderRow>>,
        after: Option<&Arc<OrderRow>>,
        out: &mut Vec<Diff>,
    ) {
        let now = self.now;
        for (number, test) in self.tests.iter().enumerate() {
            let before = before.filter(|row| test(row, now));
            let after = after.filter(|row| test(row, now));
            if before.is_none() && after.is_none() {
                continue;
            }
            let query = &self.queries[number];
            let before = before.map(|row| query.sort.place(row));
            let after = after.map(|row| (query.sort.place(row), row));
            self.windows[number].step(before, after, out, |from, wanted| {
                self.refills += 1;
                refill(self.rows.values(), query, now, from, wanted)
            });
        }
    }

    /// An order has become too old for some.
    fn expire(&mut self, row: &OrderRow, since: i64, out: &mut Vec<Diff>) {
        let now = self.now;
        for (number, test) in self.tests.iter().enumerate() {
            if test(row, since) && !test(row, now) {
                let query = &self.queries[number];
                self.windows[number].step(Some(query.sort.place(row)), None, out, |from, wanted| {
                    self.refills += 1;
                    refill(self.rows.values(), query, now, from, wanted)
                });
            }
        }
    }
}

impl Baseline for Scan {
    fn commit(&mut self, now: i64, steps: Vec<Step>, out: &mut Vec<Diff>) {
        self.now = now;
        if let Some(timeline) = &mut self.timeline {
            let ((since, up), mark) = (timeline.advance(now), out.len());
            for id in up {
                if let Some(row) = self.rows.get(&id).cloned() {
                    self.expire(&row, since, out);
                }
            }
            consolidate(out, mark);
        }
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

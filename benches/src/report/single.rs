//! What is measured once at a time: moments, commits and results that are large in themselves.

use std::sync::Arc;

use crate::{
    BenchQuery, Class, Diff, Live, OrderRow, Scan, Shape, Sort, Step, Workload,
    hand::{Baseline, hand, refill, rows},
    json_op,
    measure::{Meter, Timing},
};

const SEED: u64 = 1;

/// One piece of work. Times are nanoseconds of all of it.
#[derive(Clone, Debug)]
pub(super) struct Single {
    pub(super) what: &'static str,
    pub(super) size: usize,
    pub(super) engine: f64,
    pub(super) hand: f64,
    pub(super) scan: f64,
}

/// The work of the engine, by hand, and by trying all, each of the same commits.
fn measure(
    meter: &Meter,
    (what, size): (&'static str, usize),
    (class, queries): (Class, Vec<BenchQuery>),
    orders: &[Arc<OrderRow>],
    since: i64,
    (now, steps): (i64, Vec<Step>),
) -> Single {
    let mut live = Live::new(orders, since);
    queries.iter().for_each(|query| _ = live.open(&query.query()));
    let ops = steps.iter().map(json_op).collect();
    let engine = meter.round(1, vec![ops], |ops| live.apply(now, ops));
    let by_hand = |mut baseline: Box<dyn Baseline>| {
        let mut diffs: Vec<Diff> = Vec::new();
        let round = meter.round(1, vec![steps.clone()], |steps| {
            baseline.commit(now, steps, &mut diffs);
            diffs.drain(..).count()
        });
        assert_eq!(round.diffs, engine.diffs, "all tell the same, {what}");
        round.per_change
    };
    let hand = by_hand(hand(class, rows(orders), queries.clone(), since));
    let scan = by_hand(Box::new(Scan::new(class, rows(orders), queries.clone(), since)));
    Single { what, size, engine: engine.per_change, hand, scan }
}

/// So many orders of one second, all of which become too old at once.
pub(super) fn flips(meter: &Meter, size: usize) -> Single {
    let workload = Workload::new(size as u32, SEED);
    let now = workload.now();
    let of_now = |row: &Arc<OrderRow>| Arc::new(OrderRow { created: now, ..OrderRow::clone(row) });
    let orders: Vec<Arc<OrderRow>> = workload.orders().iter().map(of_now).collect();
    let query = BenchQuery { shape: Shape::Minutes(10), sort: Sort::Dearest, cap: 50 };
    let later = (now + 600, Vec::new());
    measure(meter, ("orders that time turns at once", size), (Class::G, vec![query]), &orders, now, later)
}

/// A commit of so many changes, from JSON, over as many orders and a tenth of the customers' queries.
pub(super) fn commit(meter: &Meter, size: usize) -> Single {
    let mut workload = Workload::new(size as u32, SEED);
    let (orders, since) = (workload.orders().to_vec(), workload.now());
    let queries = Class::B.queries(size / 100, size as u32);
    let steps = workload.steps(size);
    let commit = (workload.now(), steps);
    measure(meter, ("changes of one commit", size), (Class::B, queries), &orders, since, commit)
}

/// The first result of a query that a sixth of so many orders match, once the engine has been asked a few of the kind; by hand and by
/// trying all it is one pass over the orders.
pub(super) fn first_result(meter: &Meter, size: usize) -> Single {
    let workload = Workload::new(size as u32, SEED);
    let mut live = Live::new(workload.orders(), workload.now());
    let query = BenchQuery { shape: Shape::Processing, sort: Sort::Newest, cap: 100 };
    let plan = live.prepare(&query.query());
    (0..4).for_each(|_| drop(live.once(&plan)));
    let engine = meter.round(1, vec![(); 5], |()| live.once(&plan).1.len());
    let all = rows(workload.orders());
    let hand =
        meter.round(1, vec![(); 5], |()| refill(all.values(), &query, workload.now(), None, query.cap).len());
    assert_eq!(engine.diffs, hand.diffs, "as many rows");
    let of = |round| Timing::of(&[round]).p50;
    let hand = of(hand);
    Single { what: "orders, for a first result of 100", size, engine: of(engine), hand, scan: hand }
}

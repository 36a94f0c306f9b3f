//! A changed node, from the commit to the diffs of all live queries, beside the work by hand.

use std::cell::RefCell;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use liveset_benches::{
    Class, Live, Workload,
    hand::{hand, rows},
    json_op,
};

fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(20);
    let nodes = 10_000;
    for (class, count) in [
        (Class::A1, 1),
        (Class::A2, 1),
        (Class::B, 100),
        (Class::B, 1_000),
        (Class::C, 1_000),
        (Class::D, 1_000),
        (Class::E, 250),
        (Class::G, 1_000),
    ] {
        let size = format!("{class}, {count} queries");
        let workload = Workload::of_class(class, nodes, 1);
        let queries = class.queries(count, nodes);

        let mut live = Live::new(workload.orders(), workload.now());
        for query in &queries {
            live.open(&query.query());
        }
        let live = RefCell::new(live);
        let apply = |(now, ops)| live.borrow_mut().apply(now, ops);
        let mut stream = workload.fresh();
        group.bench_function(BenchmarkId::new("engine", &size), |bench| {
            let next = || {
                let step = stream.step();
                (stream.now(), vec![live.borrow().node_op(&step)])
            };
            bench.iter_batched(next, apply, BatchSize::SmallInput);
        });
        group.bench_function(BenchmarkId::new("engine, JSON", &size), |bench| {
            let next = || {
                let step = stream.step();
                (stream.now(), vec![json_op(&step)])
            };
            bench.iter_batched(next, apply, BatchSize::SmallInput);
        });

        let mut by_hand = hand(class, rows(workload.orders()), queries, workload.now());
        let (mut stream, mut diffs) = (workload.fresh(), Vec::new());
        group.bench_function(BenchmarkId::new("hand", &size), |bench| {
            let next = || {
                let steps = stream.steps(1);
                (stream.now(), steps)
            };
            let apply = |(now, steps)| {
                by_hand.commit(now, steps, &mut diffs);
                diffs.clear();
            };
            bench.iter_batched(next, apply, BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, commit);
criterion_main!(benches);

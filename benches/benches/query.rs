//! A query's first result: live, live when others have it already, and once; and a window that runs dry.

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use liveset_benches::{BenchQuery, Live, Shape, Sort, Step, Workload, json_op};

fn query(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("query");
    group.sample_size(20);
    for nodes in [10_000, 100_000] {
        let workload = Workload::new(nodes, 1);
        let mut live = Live::new(workload.orders(), workload.now());
        for (kind, shape, sort, cap) in [
            ("status", Shape::Processing, Sort::Newest, 1_000),
            ("nothing", Shape::Every, Sort::Dearest, 1_000),
            ("customer", Shape::Customer(7), Sort::Newest, 100),
            ("total", Shape::Total(100_000), Sort::Dearest, 50),
            ("region and priority", Shape::Region(7, 3), Sort::Dearest, 100),
            ("prefix", Shape::Prefix(*b"abc"), Sort::Newest, 50),
            ("age", Shape::RegionWeek(7, 100_000), Sort::Dearest, 50),
        ] {
            let size = format!("{nodes} nodes, by {kind}");
            let query = BenchQuery { shape, sort, cap }.query();
            let plan = live.prepare(&query);
            group.bench_function(BenchmarkId::new("once", &size), |bench| bench.iter(|| live.once(&plan)));
            group.bench_function(BenchmarkId::new("create", &size), |bench| {
                bench.iter(|| {
                    let feed = live.open(&query);
                    live.close(feed);
                });
            });
            let held = live.open(&query);
            group.bench_function(BenchmarkId::new("create again", &size), |bench| {
                bench.iter(|| {
                    let feed = live.open(&query);
                    live.close(feed);
                });
            });
            live.close(held);
        }
    }
    group.finish();
}

/// Takes away every row of a window of 50 and gives them back, again and again.
fn refill(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("refill");
    group.sample_size(20);
    for nodes in [10_000, 100_000] {
        let workload = Workload::new(nodes, 1);
        let mut live = Live::new(workload.orders(), workload.now());
        let (shape, sort) = (Shape::Processing, Sort::Dearest);
        live.open(&BenchQuery { shape: shape.clone(), sort, cap: 50 }.query());
        let mut first: Vec<_> =
            workload.orders().iter().filter(|row| shape.matches(row, workload.now())).collect();
        first.sort_by_key(|row| sort.place(row));
        first.truncate(50);
        group.bench_function(BenchmarkId::from_parameter(nodes), |bench| {
            let ops = || {
                let gone = first.iter().map(|row| json_op(&Step::Remove(row.id))).collect();
                let back = first.iter().map(|row| json_op(&Step::Put((*row).clone()))).collect();
                (gone, back)
            };
            let both = |(gone, back)| live.apply(workload.now(), gone) + live.apply(workload.now(), back);
            bench.iter_batched(ops, both, BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, query, refill);
criterion_main!(benches);

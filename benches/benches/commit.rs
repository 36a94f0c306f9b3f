//! One changed node, from the commit to the diffs of all live queries, beside running them all from scratch.

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use liveset_benches::{Live, Recompute, Workload, queries};

fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(10);
    for nodes in [10_000, 100_000] {
        for count in [1, 10, 100] {
            let size = format!("{nodes} nodes, {count} queries");
            let workload = Workload::new(nodes, 1);
            let some = queries(count, nodes / 10);
            let mut live = Live::new(workload.orders(), some.iter().map(|query| &query.query));
            let mut stream = workload.clone();
            group.bench_function(BenchmarkId::new("liveset", &size), |bench| {
                let next = || vec![stream.change().upsert()];
                bench.iter_batched(next, |ops| live.apply(ops), BatchSize::SmallInput);
            });
            let mut recompute = Recompute::new(workload.orders(), some);
            let mut stream = workload;
            group.bench_function(BenchmarkId::new("recompute", &size), |bench| {
                bench.iter_batched(
                    || stream.change(),
                    |order| recompute.apply(&order),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, commit);
criterion_main!(benches);

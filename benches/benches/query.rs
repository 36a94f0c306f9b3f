//! A query's first result: live, live when others have it already, and once.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use liveset_benches::{KINDS, Live, NativeQuery, Recompute, Workload, queries};

fn query(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("query");
    group.sample_size(20);
    for nodes in [10_000, 100_000] {
        let workload = Workload::new(nodes, 1);
        let some = queries(5, nodes / 10);
        let mut live = Live::new(workload.orders(), []);
        for (kind, NativeQuery { query, .. }) in KINDS.into_iter().zip(&some) {
            let size = format!("{nodes} nodes, by {kind}");
            let plan = live.prepare(query);
            group.bench_function(BenchmarkId::new("once", &size), |bench| bench.iter(|| live.count(&plan)));
            group.bench_function(BenchmarkId::new("create", &size), |bench| {
                bench.iter(|| {
                    let feed = live.open(query);
                    live.close(feed);
                });
            });
            let held = live.open(query);
            group.bench_function(BenchmarkId::new("create again", &size), |bench| {
                bench.iter(|| {
                    let feed = live.open(query);
                    live.close(feed);
                });
            });
            live.close(held);
        }
        let recompute = Recompute::new(workload.orders(), some);
        for (place, kind) in KINDS.into_iter().enumerate() {
            let size = format!("{nodes} nodes, by {kind}");
            group.bench_function(BenchmarkId::new("recompute", size), |bench| {
                bench.iter(|| recompute.once(place));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, query);
criterion_main!(benches);

//! One changed node to many connections that watch the same query, to the last byte of their messages.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use liveset_benches::{FanOut, Workload};

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan out");
    for sessions in [1, 10, 100, 1_000] {
        let mut workload = Workload::new(FanOut::ORDERS, 1);
        let mut hub = FanOut::new(&workload, sessions);
        group.throughput(Throughput::Elements(sessions as u64));
        group.bench_function(BenchmarkId::from_parameter(sessions), |bench| {
            let next = || vec![workload.change().upsert()];
            bench.iter_batched(next, |ops| hub.apply(ops), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, fan_out);
criterion_main!(benches);

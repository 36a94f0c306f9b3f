//! One change, and the connections that watch: from the commit to the bytes of all their messages, beside copying those.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use liveset_benches::{Class, Copies, FanOut, Workload, json_op};

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan out");
    let query = Class::A2.queries(1, 1_000)[0].query();
    for sessions in [1, 10, 100, 1_000] {
        // Few enough orders for all of them to be shown: each change is one message to each connection.
        let mut workload = Workload::new(900, 1);
        let mut hub = FanOut::new(workload.orders(), workload.now(), &query, sessions);
        group.throughput(Throughput::Elements(sessions as u64));
        group.bench_function(BenchmarkId::new("hub", sessions), |bench| {
            let next = || {
                let step = workload.step();
                (workload.now(), vec![json_op(&step)])
            };
            bench.iter_batched(next, |(now, ops)| hub.apply(now, ops), BatchSize::SmallInput);
        });
        let mut copies = Copies::new(sessions);
        group.bench_function(BenchmarkId::new("copies", sessions), |bench| {
            bench.iter(|| copies.write(&[b'x'; 400]));
        });
    }
    group.finish();
}

criterion_group!(benches, fan_out);
criterion_main!(benches);

//! How long a step takes: the engine's unit of work, of which none may take over about 50 ns.
//!
//! Each line is one filter that makes one kind of step, over one node. Criterion shows steps a second: 20 million is 50 ns a step.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use liveset_benches::step_shapes;

fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("steps");
    for shape in step_shapes() {
        group.throughput(Throughput::Elements(shape.steps));
        group.bench_function(shape.name, |bench| {
            bench.iter(|| shape.filter.matches(black_box(&shape.node), shape.now));
        });
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);

//! What the engine's work is made of.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use liveset_benches::{BenchQuery, Live, OrderRow, Shape, Sort, Step, Workload, instant, json_op};
use liveset_engine::{Filter, JsonLimits, Order as OrderBy, Projection, QueryLimits, json};

fn parts(criterion: &mut Criterion) {
    let limits = QueryLimits::default();
    let workload = Workload::new(1_000, 1);
    let nodes: Vec<Bytes> = workload.orders().iter().map(|row| row.json()).collect();
    let values: Vec<_> =
        nodes.iter().map(|text| json::parse(text, &JsonLimits::default()).expect("JSON")).collect();

    let mut group = criterion.benchmark_group("parts");
    for (name, text) in [
        ("short", "status == 'open' and createdAt > now - 7 days"),
        (
            "long",
            "(status in ['new', 'paid', 'packed'] or tags anyof ['tag-1', 'tag-2']) and not (total + 10 < 100.5) and \
             (customer startswith 'customer-1' or region == 'region-7' and priority >= 3) and createdAt > now - 1 months",
        ),
    ] {
        group.bench_function(format!("parse a {name} filter"), |bench| {
            bench.iter(|| Filter::parse(black_box(text), &limits));
        });
    }
    for (kind, shape) in [
        ("status", Shape::Processing),
        ("customer", Shape::Customer(7)),
        ("total", Shape::Total(100_000)),
        ("tags and region", Shape::Tagged([3, 7], 7)),
        ("not", Shape::Without(7, 3, 7)),
        ("prefix", Shape::Prefix(*b"abc")),
        ("age", Shape::Minutes(20_000)),
    ] {
        let text = shape.filter().expect("a filter");
        let filter = Filter::parse(&text, &limits).expect("a filter");
        let now = instant(workload.now());
        let mut node = values.iter().cycle();
        group.bench_function(format!("match a node by {kind}"), |bench| {
            bench.iter(|| filter.matches(black_box(node.next().expect("endless")), now));
        });
    }
    let order = OrderBy::parse("priority desc, createdAt", &limits).expect("an order");
    let (mut node, mut rank) = (values.iter().cycle(), Vec::new());
    group.bench_function("rank a node by two keys", |bench| {
        bench.iter(|| {
            rank.clear();
            order.rank(black_box(node.next().expect("endless")), "10000001", &mut rank);
        });
    });
    let fields = Projection::parse(&["status".into(), "total".into()], "id", &limits).expect("fields");
    let (mut text, mut out) = (nodes.iter().cycle(), Vec::new());
    group.bench_function("project a node to three fields", |bench| {
        bench.iter(|| {
            out.clear();
            fields.write(black_box(text.next().expect("endless")), &mut out);
        });
    });
    group.throughput(Throughput::Bytes((nodes.iter().map(Bytes::len).sum::<usize>() / nodes.len()) as u64));
    let mut text = nodes.iter().cycle();
    group.bench_function("read a node", |bench| {
        bench.iter(|| json::parse(black_box(text.next().expect("endless")), &JsonLimits::default()));
    });
    let mut text = nodes.iter().cycle();
    group.bench_function("read a node into a struct", |bench| {
        bench.iter(|| OrderRow::parse(black_box(text.next().expect("endless"))));
    });
    group.finish();
}

/// One row that goes from the first to the last place of a window and back.
fn window(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("window");
    for cap in [10, 100, 1_000] {
        let workload = Workload::new(1_000, 1);
        let mut live = Live::new(workload.orders(), workload.now());
        live.open(&BenchQuery { shape: Shape::Every, sort: Sort::Dearest, cap }.query());
        let mut row = OrderRow::clone(&workload.orders()[0]);
        group.bench_function(format!("move a row through {cap}"), |bench| {
            let next = || {
                row.total = if row.total == 1 { 199_999 } else { 1 };
                vec![json_op(&Step::Put(row.clone().into()))]
            };
            bench.iter_batched(next, |ops| live.apply(workload.now(), ops), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, parts, window);
criterion_main!(benches);

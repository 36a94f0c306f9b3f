//! What the engine's work is made of.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use liveset_benches::{KINDS, Order, Workload, now, queries};
use liveset_engine::{Filter, JsonLimits, Order as OrderBy, Projection, QueryLimits, json};

fn parts(criterion: &mut Criterion) {
    let limits = QueryLimits::default();
    let workload = Workload::new(1_000, 1);
    let nodes: Vec<String> = workload.orders().iter().map(Order::json).collect();
    let values: Vec<_> = nodes
        .iter()
        .map(|text| json::parse(text.as_bytes(), &JsonLimits::default()).expect("JSON"))
        .collect();

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
    for (kind, query) in KINDS.into_iter().zip(queries(5, 100)) {
        let filter = Filter::parse(query.query.filter.as_deref().unwrap_or(""), &limits).expect("a filter");
        let mut node = values.iter().cycle();
        group.bench_function(format!("match a node by {kind}"), |bench| {
            bench.iter(|| filter.matches(black_box(node.next().expect("endless")), now()));
        });
    }
    let order = OrderBy::parse("priority desc, createdAt", &limits).expect("an order");
    let (mut node, mut rank) = (values.iter().cycle(), Vec::new());
    group.bench_function("rank a node by two keys", |bench| {
        bench.iter(|| {
            rank.clear();
            order.rank(black_box(node.next().expect("endless")), "order-0000001", &mut rank);
        });
    });
    let fields = Projection::parse(&["status".into(), "total".into()], "id", &limits).expect("fields");
    let (mut text, mut out) = (nodes.iter().cycle(), Vec::new());
    group.bench_function("project a node to three fields", |bench| {
        bench.iter(|| {
            out.clear();
            fields.write(black_box(text.next().expect("endless")).as_bytes(), &mut out);
        });
    });
    let mut text = nodes.iter().cycle();
    group.throughput(Throughput::Bytes((nodes.iter().map(String::len).sum::<usize>() / nodes.len()) as u64));
    group.bench_function("read a node", |bench| {
        bench.iter(|| {
            json::parse(black_box(text.next().expect("endless")).as_bytes(), &JsonLimits::default())
        });
    });
    group.finish();
}

criterion_group!(benches, parts);
criterion_main!(benches);

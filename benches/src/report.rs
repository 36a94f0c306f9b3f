//! The table: what a change costs, beside the baseline, and how that grows.

use std::{
    hint::black_box,
    io::{self, Write},
    time::Instant,
};

use liveset_engine::{Filter, JsonLimits, Op, Order as OrderBy, Query, QueryLimits, json};

use crate::{FanOut, KINDS, Live, NativeQuery, Order, Recompute, Workload, now, queries};

const SEED: u64 = 1;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Sizes of the set, each ten times the one before.
    pub nodes: Vec<u32>,
    /// Numbers of live queries, each ten times the one before.
    pub queries: Vec<usize>,
    /// Numbers of connections, each ten times the one before.
    pub sessions: Vec<usize>,
    /// Each number is the median of so many runs.
    pub runs: usize,
    /// Nodes that the baseline looks at in one run, over all its changes; it makes at least two.
    pub baseline_visits: usize,
    /// Changes of the engine in one run.
    pub changes: usize,
}

impl Scale {
    /// The sizes of the printed table; takes about a minute.
    pub fn full() -> Self {
        Self {
            nodes: vec![10_000, 100_000],
            queries: vec![1, 10, 100],
            sessions: vec![1, 10, 100, 1_000],
            runs: 7,
            baseline_visits: 10_000_000,
            changes: 1_000,
        }
    }

    /// The same table of small sizes, to try it.
    pub fn small() -> Self {
        Self {
            nodes: vec![20, 200],
            queries: vec![1, 10],
            sessions: vec![1, 10],
            runs: 1,
            baseline_visits: 1_000,
            changes: 20,
        }
    }

    /// Microseconds for one of `count`, the median of the runs. What `prepare` makes is not measured.
    fn median<T>(&self, count: usize, mut prepare: impl FnMut() -> T, mut run: impl FnMut(T)) -> f64 {
        let mut times: Vec<f64> = (0..self.runs.max(1))
            .map(|_| {
                let work = prepare();
                let start = Instant::now();
                run(work);
                start.elapsed().as_secs_f64() * 1e6 / count as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }
}

/// Writes all tables as Markdown, each as soon as it is measured.
///
/// # Errors
///
/// `out` cannot be written to.
pub fn write(scale: &Scale, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "Medians of {} runs, one thread. µs are this machine's; ratios and growth carry over.\n",
        scale.runs
    )?;
    commits(scale, out)?;
    results(scale, out)?;
    fan_out(scale, out)?;
    parts(scale, out)
}

/// One changed node in a commit, to the diffs of all queries.
fn commits(scale: &Scale, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "## A change, from the commit to the diffs of all live queries\n")?;
    writeln!(out, "One query is by status and region; more are of the five kinds in equal parts.\n")?;
    writeln!(
        out,
        "| nodes | queries | liveset µs/change | recompute µs/change | recompute ÷ liveset | liveset, queries ×10 | liveset, nodes ×10 | recompute, nodes ×10 |"
    )?;
    writeln!(out, "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    let mut fewer_nodes: Vec<(f64, f64)> = Vec::new();
    for nodes in &scale.nodes {
        let mut row: Vec<(f64, f64)> = Vec::new();
        for (place, count) in scale.queries.iter().enumerate() {
            let (live, recompute) = commit(scale, *nodes, *count);
            let growth = |before: Option<&(f64, f64)>| match before {
                Some((before_live, before_recompute)) => {
                    (ratio(live, *before_live), ratio(recompute, *before_recompute))
                }
                None => ("".into(), "".into()),
            };
            let (by_queries, _) = growth(row.last());
            let (by_nodes, recompute_by_nodes) = growth(fewer_nodes.get(place));
            writeln!(
                out,
                "| {nodes} | {count} | {live:.2} | {recompute:.1} | {} | {by_queries} | {by_nodes} | {recompute_by_nodes} |",
                ratio(recompute, live)
            )?;
            row.push((live, recompute));
        }
        fewer_nodes = row;
    }
    writeln!(out)
}

/// Microseconds a change, of the engine and of the baseline.
fn commit(scale: &Scale, nodes: u32, count: usize) -> (f64, f64) {
    let workload = Workload::new(nodes, SEED);
    let some = queries(count, nodes / 10);
    let mut live = Live::new(workload.orders(), some.iter().map(|query| &query.query));
    let mut stream = workload.clone();
    let prepare = || stream.changes(scale.changes).iter().map(Order::upsert).collect::<Vec<_>>();
    let live = scale.median(scale.changes, prepare, |ops| {
        for op in ops {
            black_box(live.apply(vec![op]));
        }
    });

    let mut recompute = Recompute::new(workload.orders(), some);
    let mut stream = workload;
    let changes = (scale.baseline_visits / (nodes as usize * count)).clamp(2, scale.changes);
    let recompute = scale.median(
        changes,
        || stream.changes(changes),
        |orders| {
            for order in &orders {
                black_box(recompute.apply(order));
            }
        },
    );
    (live, recompute)
}

/// A query's first result.
fn results(scale: &Scale, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "## A query's result (mean of the five kinds)\n")?;
    writeln!(
        out,
        "| nodes | create live query, µs | the same query again, µs | one-shot query, µs | recompute, µs | one-shot ÷ recompute |"
    )?;
    writeln!(out, "| ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for nodes in &scale.nodes {
        let workload = Workload::new(*nodes, SEED);
        let some = queries(5, nodes / 10);
        let mut live = Live::new(workload.orders(), []);
        let mut open = Vec::new();
        let mut create = 0.0;
        let mut again = 0.0;
        let mut once = 0.0;
        for NativeQuery { query, .. } in &some {
            let plan = live.prepare(query);
            once += scale.median(
                1,
                || (),
                |()| {
                    black_box(live.count(&plan));
                },
            );
            create += scale.median(
                1,
                || (),
                |()| {
                    let feed = live.open(query);
                    live.close(black_box(feed));
                },
            );
            open.push(live.open(query));
            again += scale.median(
                1,
                || (),
                |()| {
                    let feed = live.open(query);
                    live.close(black_box(feed));
                },
            );
        }
        let kinds = some.len() as f64;
        let recompute = Recompute::new(workload.orders(), some);
        let baseline: f64 = (0..5)
            .map(|query| {
                scale.median(
                    1,
                    || (),
                    |()| {
                        black_box(recompute.once(query));
                    },
                )
            })
            .sum();
        writeln!(
            out,
            "| {nodes} | {:.0} | {:.1} | {:.0} | {:.0} | {} |",
            create / kinds,
            again / kinds,
            once / kinds,
            baseline / kinds,
            ratio(once, baseline)
        )?;
    }
    writeln!(out)
}

/// One diff to many connections.
fn fan_out(scale: &Scale, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "## A change to many connections that watch the same query ({} nodes)\n", FanOut::ORDERS)?;
    writeln!(out, "| connections | µs/change | µs/message | growth, connections ×10 |")?;
    writeln!(out, "| ---: | ---: | ---: | ---: |")?;
    let mut before = None;
    for sessions in &scale.sessions {
        let mut workload = Workload::new(FanOut::ORDERS, SEED);
        let mut hub = FanOut::new(&workload, *sessions);
        let changes = (scale.changes / sessions).max(10);
        let prepare = || workload.changes(changes).iter().map(Order::upsert).collect::<Vec<_>>();
        let time = scale.median(changes, prepare, |ops| {
            for op in ops {
                black_box(hub.apply(vec![op]));
            }
        });
        let growth = before.map_or_else(String::new, |before| ratio(time, before));
        writeln!(out, "| {sessions} | {time:.2} | {:.3} | {growth} |", time / *sessions as f64)?;
        before = Some(time);
    }
    writeln!(out)
}

/// What the rest is made of.
fn parts(scale: &Scale, out: &mut impl Write) -> io::Result<()> {
    let workload = Workload::new(1_000.min(scale.nodes.iter().copied().max().unwrap_or(1)), SEED);
    let nodes: Vec<String> = workload.orders().iter().map(Order::json).collect();
    let values: Vec<_> = nodes
        .iter()
        .map(|text| json::parse(text.as_bytes(), &JsonLimits::default()).expect("JSON"))
        .collect();
    let limits = QueryLimits::default();
    let text = "status == 'open' and createdAt > now - 7 days";
    let filters: Vec<Filter> = queries(5, 100)
        .iter()
        .map(|query| Filter::parse(query.query.filter.as_deref().unwrap_or(""), &limits).expect("a filter"))
        .collect();
    let order = OrderBy::parse("priority desc, createdAt", &limits).expect("an order");
    let bytes = nodes.iter().map(String::len).sum::<usize>() / nodes.len();

    writeln!(out, "## Parts\n\n| part | ns |\n| --- | ---: |")?;
    let count = nodes.len();
    let mut part = |name: &str, run: &mut dyn FnMut()| {
        let time = scale.median(count, || (), |()| run());
        writeln!(out, "| {name} | {:.0} |", time * 1e3)
    };
    part(&format!("parse a filter of {} bytes", text.len()), &mut || {
        nodes.iter().for_each(|_| drop(black_box(Filter::parse(black_box(text), &limits))));
    })?;
    for (kind, filter) in KINDS.iter().zip(&filters) {
        part(&format!("match a node by {kind}"), &mut || {
            for value in &values {
                black_box(filter.matches(black_box(value), now()));
            }
        })?;
    }
    part(&format!("read a node of {bytes} bytes"), &mut || {
        nodes.iter().for_each(|text| drop(black_box(json::parse(text.as_bytes(), &JsonLimits::default()))));
    })?;
    let mut rank = Vec::new();
    part("rank a node by two keys", &mut || {
        for value in &values {
            rank.clear();
            order.rank(value, "order-0000001", &mut rank);
            black_box(&rank);
        }
    })?;
    let mut live = Live::new(workload.orders(), std::iter::empty::<&Query>());
    let ops: Vec<Op> = workload.orders().iter().map(Order::upsert).collect();
    part("commit a node as it was, no queries", &mut || {
        for op in &ops {
            black_box(live.apply(vec![op.clone()]));
        }
    })?;
    writeln!(out)
}

fn ratio(a: f64, b: f64) -> String {
    let ratio = a / b.max(f64::MIN_POSITIVE);
    if ratio < 100.0 { format!("×{ratio:.1}") } else { format!("×{ratio:.0}") }
}

//! Liveset beside other engines that keep query results alive, on one workload.
//!
//! ```text
//! cd benches/peers
//! cargo run --release --features differential,dbsp                        the table
//! cargo run --release --features differential -- --orders 10000 B:100     of it, these sizes and classes of queries
//! ```
//!
//! Each peer is a feature and can be built without the others. This package is a workspace of its own, for its
//! dependencies are many, and no part of Liveset.
//!
//! # The workload
//!
//! [`Workload`](workload::Workload) makes N orders from a seed (a status of 6, a customer of N/10, a region of 50, a total, a
//! moment of creation in the last 30 days, a priority of 6, up to 3 tags of 20, a note of 100 bytes), and changes: 80 % updates of a
//! status or a total, 10 % insertions, 10 % deletions. All queries are ordered by the moment of creation, newest first, and
//! capped at 1,000 orders:
//!
//! | class | queries | filter | matches |
//! | --- | --- | --- | --- |
//! | A1 | one | `status == 'processing'` | N/6 |
//! | B:Q | Q | `customer == X`, Q customers of N/10 | 10 |
//! | D:Q | Q | `total >= X and total < Y`, over a thousandth of all totals | N/1,000 |
//!
//! # What is measured
//!
//! Time is that of the processors, over all threads: it tells less of what else the machine does. *load*: the orders, before
//! there is a query. *create*: the queries, to their first results (for A1 the dataflows take the orders in only here). *1*
//! and *1,000*: a change in commits of so many, from the commit to the last difference of all results, read by its receiver;
//! the median of five runs of half a second at most. *×*: how many times what Liveset takes. *memory*: by how much the
//! process grew (RSS) from before the load to after the creation. Each row is a process of its own. At its end, and after the
//! creation, who is in which result is held against a result from scratch.
//!
//! Each peer is used as its documentation would have it and where in doubt in its favour; its module says what it does less
//! of. Liveset alone reads JSON within its time, is not told what an order was before, and keeps the count beyond the cap.
//! In a commit of 1,000 the dataflows work once for each result that it touches, where Liveset works once for each change.
//! Numbers are this machine's; what carries over is the growth from row to row, and roughly the ratio.
//!
//! # Who is not here
//!
//! SurrealDB's `LIVE SELECT`, embedded (`kv-mem`): half an hour of one shared core did not compile its 3.3.5 (some 500
//! packages on stable Rust, no error until then). It would be no like for like: by its source (`doc/lives.rs`) every change is held
//! against every live query of the table, a live query has no order, cap, count or first result, and an update after which
//! an order no longer matches is not told. It is under the Business Source License.

#[cfg(feature = "dbsp")]
mod dbsp;
#[cfg(feature = "differential")]
mod differential;
mod liveset;
mod workload;

use std::{
    env, fs,
    io::Read,
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use workload::{Change, Class, Order, Tally, Workload};

const SEED: u64 = 1;
const RUNS: usize = 5;
/// How many seconds a run takes, and how many changes it has, at most.
const RUN: f64 = 0.5;
const RUN_CHANGES: usize = 20_000;
/// What a row has not measured by then is left out.
const ROW: Duration = Duration::from_secs(300);

/// Something that keeps the results of queries alive.
pub trait Peer: Sized {
    /// Changes in the form that it takes them in.
    type Commit;

    /// One that is to hold so many orders and such queries.
    fn new(orders: u32, class: Class) -> Self;

    /// Takes in the orders, before there is a query.
    fn load(&mut self, orders: Self::Commit);

    /// Opens the queries and reads their first results.
    fn open(&mut self);

    /// Writes changes in the form that it takes them in; not measured.
    fn prepare(&self, changes: Vec<Change>) -> Self::Commit;

    /// Applies changes as one commit and reads every difference that comes of it.
    fn apply(&mut self, commit: Self::Commit);

    /// What it has told so far.
    fn tally(&self) -> Tally;
}

type Measure = fn(u32, Class);

const PEERS: &[(&str, Measure)] = &[
    ("liveset", measure::<liveset::Liveset>),
    #[cfg(feature = "differential")]
    ("differential-dataflow", measure::<differential::Differential>),
    #[cfg(feature = "dbsp")]
    ("dbsp", measure::<dbsp::Dbsp>),
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["--row", peer, orders, class] => row(peer, orders, class),
        [] => table(&[10_000, 100_000], &["A1", "B:100", "B:1000", "B:10000", "D:100", "D:1000", "D:10000"]),
        ["--orders", orders, classes @ ..] if !classes.is_empty() && orders.parse::<u32>().is_ok() => {
            table(&[orders.parse().expect("just tried")], classes)
        }
        _ => {
            eprintln!("usage: liveset-peers [--orders N CLASS…]     CLASS: A1, B:QUERIES, D:QUERIES");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Prints the table, each row as soon as it is measured.
fn table(sizes: &[u32], classes: &[&str]) {
    println!("| orders | queries | peer | load, ms | create, ms | 1, µs | × | 1,000, µs | × | memory, MB |");
    println!("| ---: | :--- | :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for orders in sizes {
        for name in classes {
            let class = class(name).unwrap_or_else(|| panic!("{name} is no class of queries"));
            if matches!(class, Class::B(queries) if queries > orders / 10) {
                continue; // There are not so many customers.
            }
            let mut of = Vec::new();
            for (peer, _) in PEERS {
                print!("| {orders} | {name} | {peer} |");
                let numbers = spawn(peer, *orders, name);
                if of.is_empty() {
                    of = numbers.clone();
                }
                let number = |at: usize| numbers.get(at).map_or("–".into(), |number| rounded(*number));
                let ratio = |at: usize| match (numbers.get(at), of.get(at)) {
                    (Some(number), Some(of)) => rounded(number / of),
                    _ => "–".into(),
                };
                let times = [number(0), number(1), number(3), ratio(3), number(4), ratio(4)].join(" | ");
                println!(" {times} | {} |", number(2));
            }
        }
    }
}

/// Measures a row in a process of its own: load, create, memory, 1 and 1,000. What fails or takes too long is not there; the
/// reason is on stderr.
fn spawn(peer: &str, orders: u32, class: &str) -> Vec<f64> {
    let mut child = Command::new(env::current_exe().expect("this program"))
        .args(["--row", peer, &orders.to_string(), class])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts");
    let end = Instant::now() + ROW;
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > end {
            eprintln!("{peer}, {orders} orders, {class}: more than {} s", ROW.as_secs());
            child.kill().expect("a child");
        }
        thread::sleep(Duration::from_millis(50));
    }
    let mut text = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("numbers");
    text.split_whitespace().map_while(|number| number.parse().ok()).collect()
}

/// Prints the numbers of a row, each as soon as it is known, for [`spawn`].
fn row(peer: &str, orders: &str, of: &str) {
    let (_, measure) = PEERS.iter().find(|(name, _)| *name == peer).expect("a peer");
    let class = class(of).expect("a class of queries");
    measure(orders.parse().expect("a number"), class);
}

fn class(name: &str) -> Option<Class> {
    match name.split_once(':') {
        None if name == "A1" => Some(Class::A1),
        Some(("B", queries)) => queries.parse().ok().filter(|queries| *queries > 0).map(Class::B),
        Some(("D", queries)) => queries.parse().ok().filter(|queries| *queries > 0).map(Class::D),
        _ => None,
    }
}

fn measure<P: Peer>(orders: u32, class: Class) {
    let mut workload = Workload::new(orders, SEED);
    let before = memory();
    let mut peer = P::new(orders, class);
    let copy = |order: &Arc<Order>| Some(Arc::new(Order::clone(order)));
    let all = workload.orders.iter().map(|order| Change { before: None, after: copy(order) }).collect();
    let all = peer.prepare(all);
    let start = seconds();
    peer.load(all);
    let loaded = seconds();
    peer.open();
    println!("{} {} {}", (loaded - start) * 1e3, (seconds() - loaded) * 1e3, memory() - before);
    check(&peer, &workload, orders, class);
    println!("{}", changes(&mut peer, &mut workload, 1));
    println!("{}", changes(&mut peer, &mut workload, 1_000));
    check(&peer, &workload, orders, class);
}

/// Microseconds a change in commits of `size`.
fn changes<P: Peer>(peer: &mut P, workload: &mut Workload, size: usize) -> f64 {
    let (mut runs, mut all) = (Vec::new(), 0.0);
    // A run that is too long for its commits are slow stands for several.
    while runs.len() < RUNS && all < RUN * RUNS as f64 {
        let (mut time, mut count) = (0.0, 0);
        while time < RUN && count < RUN_CHANGES {
            // So many at once that the clock costs nothing, and so few that they stay in the cache. One at first: it may
            // be slow.
            let some = (count / size).clamp(1, 100_usize.div_ceil(size));
            let commits: Vec<_> = (0..some).map(|_| peer.prepare(workload.changes(size))).collect();
            count += commits.len() * size;
            let start = seconds();
            commits.into_iter().for_each(|commit| peer.apply(commit));
            time += seconds() - start;
        }
        runs.push(time * 1e6 / count as f64);
        all += time;
    }
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

fn check<P: Peer>(peer: &P, workload: &Workload, of: u32, class: Class) {
    let expected = Tally::expected(&workload.orders, of, class);
    assert!(peer.tally().sum == expected, "the results are wrong");
}

/// Seconds that the processors spent on this process, all of its threads: what others do on the machine does not count.
fn seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Megabytes in use by this process.
fn memory() -> f64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok())
        .map_or(f64::NAN, |pages| pages * 4_096.0 / 1e6)
}

/// With three digits that say something.
fn rounded(number: f64) -> String {
    let digits = (2.0 - number.abs().max(0.01).log10().floor()).max(0.0) as usize;
    format!("{number:.digits$}")
}

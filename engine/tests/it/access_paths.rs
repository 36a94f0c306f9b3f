//! Whatever path leads from a change to a query, the query's result is the same, and so is every diff on the way there:
//! engines whose choices are forced, each another way, run side by side and are held against a plain recomputation.

use std::collections::BTreeMap;

use fastrand::Rng;
use liveset_engine::{
    Count, Engine, EngineLimits, FeedId, FieldKind, Filter, HashSeed, JsonLimits, Op, Order, Query,
    QueryLimits, Row, SetDef, Timestamp, Tuning, Value, json,
};

use crate::support::pick;

const START: i128 = 1_700_000_000_000_000_000;
const MINUTE: i128 = 60_000_000_000;

fn moment(minute: i128) -> Timestamp {
    Timestamp::from_unix_nanos(START + minute * MINUTE).expect("a moment of our time")
}

fn node(random: &mut Rng, id: u64, minute: i128) -> String {
    let mut fields = vec![format!("\"id\":\"n{id}\"")];
    let mut field = |random: &mut Rng, text: String| {
        if random.u64(..12) != 0 {
            fields.push(text);
        }
    };
    let status = pick(random, &["new", "open", "done"]);
    field(random, format!("\"status\":\"{status}\""));
    let customer = random.u64(..6);
    let customer = if random.u64(..10) == 0 { format!("{customer}.0") } else { customer.to_string() };
    field(random, format!("\"customer\":{customer}"));
    let total = random.u64(..40);
    let cents = pick(random, &["0", "25", "5"]);
    field(random, format!("\"total\":{total}.{cents}"));
    let at = moment(minute - 20 + random.u64(..40) as i128);
    field(random, format!("\"at\":\"{at}\""));
    let flag = random.u64(..2) == 0;
    field(random, format!("\"flag\":{flag}"));
    let tags: Vec<String> = (0..random.u64(..4)).map(|_| format!("\"t{}\"", random.u64(..4))).collect();
    field(random, format!("\"tags\":[{}]", tags.join(",")));
    let name = pick(random, &["ab", "abc", "b", "ba", "a rather long name", "a rather long one", ""]);
    field(random, format!("\"name\":\"{name}\""));
    format!("{{{}}}", fields.join(","))
}

fn simple_filter(random: &mut Rng) -> String {
    let (n, m) = (random.u64(..40), random.u64(..8));
    match random.u64(..16) {
        0 => format!("status == '{}'", pick(random, &["new", "open", "done"])),
        1 => format!("customer == {}", m % 6),
        2 => format!("customer in [{}, {}]", m % 6, n % 6),
        3 => format!("tags anyof ['t{}', 't{}']", m % 4, n % 4),
        4 => format!("tags allof ['t{}', 't{}']", m % 4, n % 4),
        5 => format!("total >= {n} and total < {}", n + m + 1),
        6 => format!("total {} {n}", pick(random, &["<", "<=", ">", ">="])),
        7 => format!("name startswith '{}'", pick(random, &["a", "ab", "a rather long n", "c"])),
        8 => format!("not (total < {n})"),
        9 => "flag".into(),
        10 => format!("at > now - {} minutes", m * 3),
        11 => format!("at <= now - {m} minutes"),
        12 => format!("at > now - {} minutes and at <= now + {m} minutes", m * 2),
        13 => format!("name contains '{}'", pick(random, &["a", "b", "long"])),
        14 => format!("at + {m} minutes > now"),
        _ => format!("at >= {}", moment(n as i128)),
    }
}

fn filter(random: &mut Rng) -> String {
    match random.u64(..8) {
        0 => String::new(),
        1..=3 => simple_filter(random),
        4 | 5 => format!("{} and {}", simple_filter(random), simple_filter(random)),
        6 => format!("({}) or ({})", simple_filter(random), simple_filter(random)),
        _ => {
            let (a, b, c) = (simple_filter(random), simple_filter(random), simple_filter(random));
            format!("({a}) and (({b}) or not ({c}))")
        }
    }
}

const ORDERS: [&str; 6] = ["", "total desc", "total", "at desc", "name, total desc", "customer desc, at"];

/// A query, and whether its count is followed.
fn query(random: &mut Rng) -> (Query, bool) {
    let limit = pick(random, &[1, 2, 3, 5, 8, 1_000]);
    let query = Query::new("nodes").filter(filter(random)).order_by(pick(random, &ORDERS)).limit(limit);
    let query = if random.u64(..4) == 0 { query.fields(["status", "at"]) } else { query };
    (query, random.u64(..3) != 0)
}

/// How one engine is made to differ.
struct Variant {
    name: &'static str,
    limits: EngineLimits,
    /// It builds its indexes at once. The others do when they have looked at enough rows.
    eager: bool,
}

/// Commits leave most queries untried.
const LEAVING: &str = "leaving scans";

fn variants() -> Vec<Variant> {
    // Results that are computed again as a whole tell other reasons: nothing here is too dear for a hold.
    let usual = EngineLimits::default().hold_steps(1_000_000);
    let tuned = |name, tuning: Tuning| Variant {
        name,
        limits: usual.clone().tuning(tuning),
        eager: tuning.eager_indexes,
    };
    let eager = Tuning { eager_indexes: true, ..Tuning::default() };
    let mut small = tuned("in small slices", Tuning { small_slices: true, ..eager });
    small.limits = small.limits.slice_rows(7);
    let mut three = tuned("in three shards", eager);
    three.limits = three.limits.shards(3);
    vec![
        tuned("by itself", Tuning::default()),
        tuned("by scan", Tuning { scan_only: true, ..Tuning::default() }),
        tuned("by the first", Tuning { alternative: Some(0), ..eager }),
        tuned("by the second", Tuning { alternative: Some(1), no_stretches: true, ..eager }),
        tuned("by the third", Tuning { alternative: Some(2), ..Tuning::default() }),
        tuned("as slices", Tuning { stretches: true, ..eager }),
        tuned("with node timers", Tuning { node_timers: true, ..eager }),
        tuned(LEAVING, Tuning { scan_only: true, ..Tuning::default() }),
        small,
        three,
    ]
}

/// The id and the data of each node, by its rank.
type ByRank = BTreeMap<Vec<u8>, (String, Vec<u8>)>;

fn shown(row: &Row) -> (String, Vec<u8>) {
    (row.id().to_owned(), row.json().to_vec())
}

/// A live query of one engine as its watcher knows it.
struct Watch {
    feed: FeedId,
    /// `None` until there is a result.
    rows: Option<ByRank>,
    count: Option<Count>,
}

struct Side {
    name: &'static str,
    eager: bool,
    engine: Engine,
    watches: Vec<Watch>,
}

type Diff = Vec<String>;

impl Side {
    fn new(Variant { name, limits, eager }: Variant, declared: bool) -> Self {
        let mut engine = Engine::new(limits, HashSeed::FIXED);
        if name == LEAVING {
            engine = engine.leaving_scans();
        }
        let mut set = SetDef::new("nodes");
        if declared {
            set = set.field("at", FieldKind::Instant);
        }
        engine.define_set(set).expect("a set");
        Self { name, eager, engine, watches: Vec::new() }
    }

    fn in_slices(&self) -> bool {
        self.name == "in small slices"
    }

    fn open(&mut self, now: Timestamp, query: &Query, follows_count: bool) {
        let plan = self.engine.prepare(query).expect("queries are sound");
        let plan = if follows_count { plan } else { plan.without_counts() };
        let (feed, snapshot) = match self.in_slices() {
            true => {
                let (feed, is_there) = self.engine.begin_open(now, &plan).expect("there is room");
                (feed, is_there.then(|| self.engine.snapshot(feed)).flatten())
            }
            false => {
                let (feed, snapshot) = self.engine.open(now, &plan).expect("there is room");
                (feed, Some(snapshot))
            }
        };
        let mut watch = Watch { feed, rows: None, count: None };
        snapshot.into_iter().for_each(|snapshot| watch.begin(snapshot));
        self.watches.push(watch);
        self.take_opened();
    }

    /// What each watch was told; `None` for those that have no result yet.
    fn drain(&mut self) -> Vec<Option<Diff>> {
        // Ways that cost a commit more put more off.
        while self.engine.is_behind() {
            self.engine.catch_up(100_000);
        }
        let told: Vec<bool> = self.watches.iter().map(|watch| watch.rows.is_some()).collect();
        let mut diffs = vec![Diff::new(); self.watches.len()];
        while let Some(update) = self.engine.poll_update() {
            for (place, watch) in self.watches.iter_mut().enumerate().filter(|(_, w)| w.feed == update.feed) {
                let Some(rows) = &mut watch.rows else { panic!("an update before the snapshot") };
                watch.count = update.count.or(watch.count);
                let mut last: Option<Vec<u8>> = None;
                for change in update.changes() {
                    if let Some(before) = change.before() {
                        let held = rows.remove(&**before.order_key());
                        assert_eq!(held, Some(shown(before)), "{}", self.name);
                    }
                    match change.after() {
                        None => assert_eq!(last, None, "removals come first"),
                        Some(after) => {
                            let key = after.order_key();
                            assert!(last.as_ref().is_none_or(|last| **last < **key), "in the result's order");
                            last = Some(key.to_vec());
                            assert_eq!(rows.insert(key.to_vec(), shown(after)), None, "{}", self.name);
                        }
                    }
                    diffs[place].push(format!("{change:?}"));
                }
            }
        }
        diffs.into_iter().zip(told).map(|(diff, told)| told.then_some(diff)).collect()
    }

    /// Does some work, and takes the results that are there.
    fn work(&mut self, rows: usize) {
        self.engine.slice(rows);
        self.take_opened();
    }

    fn take_opened(&mut self) {
        while let Some(feed) = self.engine.poll_opened() {
            let snapshot = self.engine.snapshot(feed).expect("it was said to be there");
            for watch in self.watches.iter_mut().filter(|watch| watch.feed == feed && watch.rows.is_none()) {
                watch.begin(snapshot.clone());
            }
        }
    }
}

impl Watch {
    fn begin(&mut self, snapshot: liveset_engine::Snapshot) {
        self.count = Some(snapshot.count);
        let rows = snapshot.rows.into_iter();
        self.rows = Some(rows.map(|row| (row.order_key().to_vec(), shown(&row))).collect());
    }
}

/// The ids of all nodes that match a query, in its order: by evaluating the filter on every node.
fn recompute(query: &Query, nodes: &BTreeMap<String, Value>, now: Timestamp) -> Vec<String> {
    let limits = QueryLimits::default();
    let filter = Filter::parse(query.filter.as_deref().unwrap_or(""), &limits).expect("a filter");
    let order = Order::parse(query.order_by.as_deref().unwrap_or(""), &limits).expect("an order");
    let mut matches: Vec<(Vec<u8>, &String)> = Vec::new();
    for (id, node) in nodes.iter().filter(|(_, node)| filter.matches(node, now)) {
        let mut rank = Vec::new();
        order.rank(node, id, &mut rank);
        matches.push((rank, id));
    }
    matches.sort();
    matches.into_iter().map(|(_, id)| id.clone()).collect()
}

fn run(seed: u64, declared: bool, steps: usize) -> (u64, u64) {
    let mut random = Rng::with_seed(seed);
    let mut sides: Vec<Side> = variants().into_iter().map(|variant| Side::new(variant, declared)).collect();
    let mut nodes: BTreeMap<String, Value> = BTreeMap::new();
    let mut queries: Vec<(Query, bool)> = Vec::new();
    let mut minute = 0;
    for step in 0..steps {
        let now = moment(minute);
        match random.u64(..12) {
            0 | 1 if queries.len() < 24 => {
                let (query, follows_count) = query(&mut random);
                sides.iter_mut().for_each(|side| side.open(now, &query, follows_count));
                queries.push((query, follows_count));
            }
            2 if !queries.is_empty() => {
                let place = random.u64(..queries.len() as u64) as usize;
                queries.swap_remove(place);
                for side in &mut sides {
                    let watch = side.watches.swap_remove(place);
                    side.engine.close(watch.feed);
                }
            }
            3 => {
                minute += random.u64(..6) as i128 - i128::from(random.u64(..6) == 0) * 8;
                sides.iter_mut().for_each(|side| side.engine.handle_timeout(moment(minute)));
            }
            4 => {
                // To the very moment at which something may happen, unless that is the end of time: `now + 7 minutes` ceases
                // to be an instant seven minutes before it.
                let next = sides[0].engine.next_flip().map(|at| (at.unix_nanos() - START) / MINUTE);
                if let Some(next) = next.filter(|next| *next < minute + 1_000) {
                    minute = next;
                    sides.iter_mut().for_each(|side| side.engine.handle_timeout(moment(minute)));
                }
            }
            _ => {
                let mut ops = Vec::new();
                for _ in 0..=pick(&mut random, &[0, 0, 0, 1, 3, 12]) {
                    let id = random.u64(..50);
                    if random.u64(..4) == 0 {
                        ops.push(Op::Remove { set: "nodes".into(), id: format!("n{id}") });
                        nodes.remove(&format!("n{id}"));
                    } else {
                        let text = node(&mut random, id, minute);
                        let value = json::parse(text.as_bytes(), &JsonLimits::default()).expect("JSON");
                        nodes.insert(format!("n{id}"), value);
                        ops.push(Op::Upsert { set: "nodes".into(), node: text.into() });
                    }
                }
                let mut said = None;
                for side in &mut sides {
                    let committed = side.engine.commit(now, ops.clone()).expect("nodes are sound");
                    // Versions count moments too, of which some ways have more than others.
                    let (commit, changed) = (committed.commit, committed.changed);
                    assert_eq!(*said.get_or_insert((commit, changed)), (commit, changed), "{}", side.name);
                }
            }
        }
        let now = moment(minute);
        let mut diffs: Vec<Vec<Option<Diff>>> = sides.iter_mut().map(Side::drain).collect();
        let first = diffs.remove(0);
        for (side, diffs) in sides[1..].iter().zip(&diffs) {
            for (place, (a, b)) in first.iter().zip(diffs).enumerate() {
                if let (Some(a), Some(b)) = (a, b) {
                    assert_eq!(
                        a, b,
                        "seed {seed}, step {step}: {} differs in {:?}",
                        side.name, queries[place].0
                    );
                }
            }
        }
        for (place, (query, follows_count)) in queries.iter().enumerate() {
            let all = recompute(query, &nodes, now);
            let total = all.len() as u64;
            let ids = &all[..all.len().min(query.limit.unwrap_or(1_000) as usize)];
            let some = format!("n{}", random.u64(..50));
            for side in &sides {
                let watch = &side.watches[place];
                let Some(rows) = &watch.rows else { continue };
                let held: Vec<&String> = rows.values().map(|(id, _)| id).collect();
                let at = || format!("seed {seed}, step {step}, {}: {query:?}", side.name);
                assert_eq!(held, ids.iter().collect::<Vec<_>>(), "{}", at());
                if let Some(id) = ids.get(step % ids.len().max(1)) {
                    assert_eq!(side.engine.position(watch.feed, id), Some(step % ids.len()), "{}", at());
                }
                assert_eq!(side.engine.position(watch.feed, "nobody"), None);
                assert_eq!(
                    side.engine.matches(watch.feed, &some, now),
                    all.contains(&some),
                    "{some}, {}",
                    at()
                );
                assert!(!side.engine.matches(watch.feed, "nobody", now));
                if *follows_count {
                    assert_eq!(
                        watch.count,
                        Some(Count { total, capped: total > query.limit.unwrap_or(1_000) }),
                        "{}",
                        at()
                    );
                }
            }
        }
        for side in sides.iter_mut().filter(|side| side.in_slices()) {
            side.work(1 + step % 9);
        }
        if step % 16 == 0
            && let Some((query, _)) = queries.first()
        {
            let all = recompute(query, &nodes, now);
            let total = all.len() as u64;
            let ids = &all[..all.len().min(query.limit.unwrap_or(1_000) as usize)];
            for side in &mut sides {
                let plan = side.engine.prepare(query).expect("queries are sound");
                let once = side.engine.evaluate(now, &plan).unwrap();
                let held: Vec<String> = once.rows.iter().map(|row| row.id().to_owned()).collect();
                assert_eq!((held, once.count.total), (ids.to_vec(), total), "once, {}: {query:?}", side.name);
            }
        }
    }
    let stats: Vec<_> = sides.iter().map(|side| side.engine.stats()).collect();
    for (side, stats) in sides.iter().zip(&stats).filter(|(side, _)| side.eager) {
        assert!(stats.indexes > 0, "{}: indexes are there", side.name);
    }
    for side in &mut sides {
        std::mem::take(&mut side.watches).into_iter().for_each(|watch| side.engine.close(watch.feed));
        let stats = side.engine.stats();
        assert_eq!((stats.views, stats.feeds, stats.deadlines), (0, 0, 0), "{}", side.name);
        assert_eq!(stats.window_bytes, 0, "{}", side.name);
        assert_eq!(side.engine.next_flip(), None, "{}", side.name);
    }
    (stats.iter().map(|stats| stats.refills).sum(), stats.iter().map(|stats| stats.flips).sum())
}

fn run_all(seeds: std::ops::Range<u64>, declared: bool) {
    let (mut refills, mut flips) = (0, 0);
    for seed in seeds {
        let (of_refills, of_flips) = run(seed, declared, 400);
        (refills, flips) = (refills + of_refills, flips + of_flips);
    }
    assert!(refills > 100 && flips > 1_000, "{refills} refills, {flips} flips: what is tested does happen");
}

#[test]
fn all_paths_give_the_same_diffs() {
    run_all(1..13, true);
}

#[test]
fn all_paths_give_the_same_diffs_where_nothing_is_declared() {
    run_all(101..113, false);
}

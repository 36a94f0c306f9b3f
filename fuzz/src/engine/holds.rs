//! Dear input in small holds: a list of operations drives an engine with all that costs much, and no call may take more steps than
//! a hold, nor may more wait than is allowed; and results are those of a plain recomputation.

use std::collections::BTreeMap;

use bytes::Bytes;
use liveset_engine::{
    Allowance, Change, Engine, EngineLimits, FeedId, FieldKind, HashSeed, JsonLimits, Op, Plan, Query,
    SetDef, Snapshot, Stats, Timestamp, Tuning, Value, json,
};

/// 2024-01-01T00:00:00Z.
const START: i128 = 1_704_067_200_000_000_000;
const MILLISECOND: i128 = 1_000_000;
const MAX_OPEN: usize = 12;
/// Operations of a run, four bytes each.
const MAX_OPS: usize = 64;
/// Ids are below it.
const NODES: u32 = 90;

fn instant(milliseconds: i64) -> Timestamp {
    Timestamp::from_unix_nanos(START + i128::from(milliseconds) * MILLISECOND).unwrap_or(Timestamp::MAX)
}

fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

fn joined(count: usize, word: &str, piece: impl Fn(usize) -> String) -> String {
    (0..count.max(1)).map(piece).collect::<Vec<_>>().join(word)
}

/// A row with something for each kind of query. Many share an instant, and names begin alike.
fn node(id: u32, variant: u8) -> String {
    let v = u32::from(variant);
    let at = instant(i64::from(v % 4) * 1_000);
    let nums = list((v % 21) as usize, |n| (n as u32 * 3 + id % 5).to_string());
    let object = |of: u32| list(8, |n| format!("\"m{n}\":[{of},\"member {n}\"]"));
    let text = if v.is_multiple_of(7) { "long ".repeat(200) } else { String::new() };
    format!(
        "{{\"id\":{id},\"n\":{},\"at\":\"{at}\",\"nums\":[{nums}],\"o\":{{{}}},\"p\":{{{}}},\
         \"name\":\"a name that begins as all others do {}\",\"text\":\"{text}\"}}",
        v % 10,
        object(v % 3),
        object(id % 3),
        v % 16,
    )
}

/// A query that costs much, by its kind and its size.
fn query(kind: u8, size: u8, how: u8, fresh: u32) -> Query {
    let size = usize::from(size);
    let filter = match kind % 14 {
        0 => format!("not (nums anyof [{}])", list((size * 4).min(1_000), |n| (n * 7 + 1).to_string())),
        1 => joined(size, " or ", |n| format!("not (o == p) and n != {}", n % 11)),
        2 => format!("at{} > 2024-02-01", joined(size, "", |n| format!(" + {} months - 1 days", n % 3))),
        3 => format!("not (at in [{}])", list(size + 1, |n| format!("2024-01-01T00:00:{:02}.{n}Z", n % 60))),
        4 => joined(size / 4, " or ", |n| {
            format!("name startswith 'a name that begins as all others do {}'", n % 20)
        }),
        5 => joined(size, " or ", |n| format!("n == {n} and p != o")),
        6 => joined(size / 8, " or ", |n| format!("at + {} ms <= now", 1_000 + n * 700)),
        7 => format!("at > now - {size} seconds and not (n == 3)"),
        8 => format!("never{fresh} != 1 and (other{fresh} == 2 or n < 7)"),
        9 => joined(size, " or ", |n| format!("n + {n} > {} or text contains 'g l{n}'", n * 2)),
        10 => format!("n >= 2 and n < {} and nums allof [3, 6]", size % 12),
        11 => "n in [1, 2, 3, 4, 5, 6, 7, 8]".into(),
        12 => joined(size / 16, " or ", |n| format!("at == now - {} seconds", n)),
        _ => String::new(),
    };
    let orders = ["", "n desc", "name, n", "text desc, at", "at, o"];
    let limits = [1, 3, 20, 1_000];
    let query = Query::new("s").filter(filter);
    let query = query.order_by(orders[usize::from(how) % 5]).limit(limits[usize::from(how) / 5 % 4]);
    match how / 20 % 3 {
        0 => query.fields(["n".to_owned(), format!("o.m{}", how % 8)]),
        _ => query,
    }
}

fn limits(first: u8) -> EngineLimits {
    let holds = [300, 2_000, 20_000];
    let tuning = match first / 3 % 5 {
        1 => Tuning { eager_indexes: true, ..Tuning::default() },
        2 => Tuning { scan_only: true, ..Tuning::default() },
        3 => Tuning { node_timers: true, ..Tuning::default() },
        4 => Tuning { no_stretches: true, eager_indexes: true, ..Tuning::default() },
        _ => Tuning::default(),
    };
    EngineLimits::default()
        .hold_steps(holds[usize::from(first % 3)])
        .max_behind_rows(if first & 64 == 0 { 200 } else { 40 })
        .max_behind_bytes(if first & 128 == 0 { 64 * 1024 } else { 1024 * 1024 })
        .tuning(tuning)
}

/// A live query as its watcher knows it.
struct Watch {
    feed: FeedId,
    plan: Plan,
    /// What is shown, by order key; nothing before there is a result.
    rows: Option<BTreeMap<Bytes, String>>,
    version: u64,
}

impl Watch {
    fn begin(&mut self, snapshot: &Snapshot) {
        self.version = snapshot.version;
        let rows = snapshot.rows.iter().map(|row| (row.order_key().clone(), row.id().to_owned()));
        self.rows = Some(rows.collect());
    }

    fn apply(&mut self, version: u64, changes: impl Iterator<Item = Change>) {
        let Some(rows) = &mut self.rows else { return };
        assert!(version > self.version, "versions rise");
        self.version = version;
        for change in changes {
            let id = change.id().to_owned();
            if let Some(before) = change.before() {
                assert_eq!(rows.remove(before.order_key()), Some(id.clone()), "what goes was there");
            }
            if let Some(after) = change.after() {
                assert_eq!(rows.insert(after.order_key().clone(), id), None, "what comes was not there");
            }
        }
    }
}

struct World {
    engine: Engine,
    limits: EngineLimits,
    nodes: BTreeMap<u32, Value>,
    watches: Vec<Watch>,
    now: i64,
    fresh: u32,
    largest: usize,
    /// What a row may take on top of a hold.
    row: u64,
}

impl World {
    fn new(first: u8) -> Self {
        let limits = limits(first);
        let mut engine = Engine::new(limits.clone(), HashSeed::FIXED);
        if first.count_ones() % 2 == 1 {
            engine = engine.leaving_scans();
        }
        let mut set = SetDef::new("s");
        if first & 32 != 0 {
            set = set.field("at", FieldKind::Instant);
        }
        engine.define_set(set).expect("a set");
        let (nodes, watches) = (BTreeMap::new(), Vec::new());
        Self { engine, limits, nodes, watches, now: 0, fresh: 0, largest: 0, row: 0 }
    }

    /// A call that may take a hold, a row, and so many steps more.
    fn call<T>(&mut self, what: &str, more: u64, call: impl FnOnce(&mut Engine, Timestamp) -> T) -> T {
        // What a commit has left is done before.
        let left = match self.engine.is_unfinished() {
            true => 2_000 + self.engine.hold_steps() / 4 + self.watches.len() as u64,
            false => 0,
        };
        let before = self.engine.steps();
        let result = call(&mut self.engine, instant(self.now));
        let taken = self.engine.steps() - before;
        let most = (self.engine.hold_steps() + self.row).saturating_add(left).saturating_add(more);
        assert!(taken <= most, "{what} took {taken} steps, and may take {most}");
        let stats = self.engine.stats();
        assert!(stats.behind_rows <= self.limits.max_behind_rows as u64, "{} rows wait", stats.behind_rows);
        assert!(
            stats.behind_bytes <= self.limits.max_behind_bytes as u64,
            "{} bytes wait",
            stats.behind_bytes
        );
        self.drain();
        result
    }

    fn drain(&mut self) {
        while let Some(update) = self.engine.poll_update() {
            for watch in self.watches.iter_mut().filter(|watch| watch.feed == update.feed) {
                watch.apply(update.version, update.changes());
            }
        }
        while let Some(feed) = self.engine.poll_opened() {
            let snapshot = self.engine.snapshot(feed).expect("it is there");
            for watch in self.watches.iter_mut().filter(|it| it.feed == feed && it.rows.is_none()) {
                watch.begin(&snapshot);
            }
        }
        while self.engine.poll_lag().is_some() {}
    }

    fn commit(&mut self, ids: impl Iterator<Item = u32>, write: impl Fn(u32) -> Option<String>) {
        let mut ops = Vec::new();
        for id in ids.map(|id| id % NODES) {
            match write(id) {
                Some(node) => {
                    self.largest = self.largest.max(node.len());
                    let value = json::parse(node.as_bytes(), &JsonLimits::default()).expect("JSON");
                    self.nodes.insert(id, value);
                    ops.push(Op::Upsert { set: "s".into(), node: node.into() });
                }
                None => {
                    self.nodes.remove(&id);
                    ops.push(Op::Remove { set: "s".into(), id: id.to_string() });
                }
            }
        }
        self.know_rows();
        let rows = ops.len() as u64;
        let fields = self.watches.iter().flat_map(|watch| watch.plan.filter().paths()).count() as u64;
        let found = self.watches.len() as u64 * rows;
        let more = rows * (64 + 2 * fields) + found;
        self.call("a commit", more, |engine, now| engine.commit(now, ops).expect("sound nodes"));
    }

    /// What the dearest row takes now.
    fn know_rows(&mut self) {
        let plans: Vec<Plan> = self.watches.iter().map(|watch| watch.plan.clone()).collect();
        plans.iter().for_each(|plan| self.know_row(plan));
    }

    /// A filter is asked twice or four times for a row, read from its text, and the row moved.
    fn know_row(&mut self, plan: &Plan) {
        let explain = self.engine.explain(instant(self.now), plan).expect("few fields");
        let asked = 4 * explain.cost.of(self.largest) + explain.flip_cost.of(self.largest);
        let moved = 4 * plan.order().cost().of(self.largest) + 4 * plan.projection().cost().of(self.largest);
        let reading = (plan.filter().paths().len() as u64 + 4) * (self.largest as u64 / 16 + 1);
        self.row = self.row.max(asked + moved + reading + 64);
    }

    fn planning(plan: &Plan) -> u64 {
        let tests = if plan.filter().uses_now() { 128 * 64 } else { 0 };
        5 * (plan.filter().canonical().len() + plan.order().canonical().len()) as u64 + 3 * 8_192 + tests
    }

    fn open(&mut self, kind: u8, size: u8, how: u8) {
        self.fresh += 1;
        let plan = self.engine.prepare(&query(kind, size, how, self.fresh % 40)).expect("a sound query");
        let plan = if how / 20 % 3 == 1 { plan.without_counts() } else { plan };
        if self.watches.len() == MAX_OPEN {
            let more = Self::planning(&plan);
            self.know_row(&plan);
            let once = self.call("one_shot", more, |engine, now| engine.one_shot(now, &plan));
            let answer = once.expect("few fields").run();
            let known = self.engine.feed_of(&plan).is_some();
            assert!(known || answer.count.total == self.expected(&plan).1);
            return;
        }
        self.know_row(&plan);
        let opened = self.call("begin_open", Self::planning(&plan), |engine, now| {
            engine.begin_open_within(now, &plan, &Allowance::UNLIMITED).expect("there is room")
        });
        let mut watch = Watch { feed: opened.feed, plan, rows: None, version: 0 };
        if opened.is_there {
            watch.begin(&self.engine.snapshot(opened.feed).expect("it is there"));
        }
        self.watches.push(watch);
    }

    fn close(&mut self, which: u8) {
        if !self.watches.is_empty() {
            let watch = self.watches.swap_remove(usize::from(which) % self.watches.len());
            let more = Self::planning(&watch.plan);
            self.call("close", more, |engine, _| engine.close(watch.feed));
        }
    }

    fn expected(&self, plan: &Plan) -> (Vec<String>, u64) {
        let now = instant(self.now);
        let passes = |(_, node): &(&u32, &Value)| plan.filter().matches(node, now);
        let mut rows: Vec<(Vec<u8>, String)> = self
            .nodes
            .iter()
            .filter(passes)
            .map(|(id, node)| {
                let (id, mut rank) = (id.to_string(), Vec::new());
                plan.order().rank(node, &id, &mut rank);
                (rank, id)
            })
            .collect();
        rows.sort();
        let total = rows.len() as u64;
        (rows.into_iter().take(plan.cap()).map(|(_, id)| id).collect(), total)
    }

    /// What is up to date shows what a recomputation does, and its watchers hold what is shown.
    fn check(&mut self) {
        for Watch { feed, plan, rows, .. } in &self.watches {
            let Some(rows) = rows else { continue };
            let shown = self.engine.snapshot(*feed).expect("it has a result");
            let ids: Vec<String> = shown.rows.iter().map(|row| row.id().to_owned()).collect();
            assert_eq!(rows.values().cloned().collect::<Vec<_>>(), ids, "{plan:?}");
            if self.engine.complete(*feed).is_none() {
                assert_eq!((ids, shown.count.total), self.expected(plan), "{plan:?}");
            }
        }
    }
}

/// Drives an engine by operations read from the bytes: the first byte chooses how large a hold is and how the engine works, and each
/// operation is four bytes: what, and three values. No call takes more steps than a hold and what
/// [`EngineLimits::hold_steps`] lets come on top.
///
/// | first byte mod 8 | operation |
/// | --- | --- |
/// | 0 | a commit of some rows |
/// | 1 | a commit of all rows |
/// | 2 | removes some rows |
/// | 3, 4 | opens a live query, by its kind, its size and how it is shown; with many open, asks one once |
/// | 5 | closes one |
/// | 6 | lets time pass, or sets the clock back |
/// | 7 | works on what was put off |
pub fn holds(data: &[u8]) {
    holds_stats(data);
}

/// Like [`holds`]; tells what the engine did.
pub fn holds_stats(data: &[u8]) -> Stats {
    let Some((first, ops)) = data.split_first() else { return Stats::default() };
    let mut world = World::new(*first);
    for (place, op) in ops.as_chunks::<4>().0.iter().take(MAX_OPS).enumerate() {
        let [what, a, b, c] = *op;
        match what % 8 {
            0 => {
                let ids = u32::from(a)..u32::from(a) + 1 + u32::from(b % 30);
                world.commit(ids, |id| Some(node(id, c.wrapping_add((id * 5) as u8))));
            }
            1 => world.commit(0..NODES, |id| Some(node(id, c.wrapping_mul(id as u8 | 1)))),
            2 => world.commit(u32::from(a)..u32::from(a) + u32::from(b % 40), |_| None),
            3 | 4 => world.open(a, b, c),
            5 => world.close(a),
            6 => {
                world.now += if a == 255 { -i64::from(b) * 100 } else { i64::from(b) * i64::from(c) };
                // A clock that was set back is the host's own doing.
                let more = if a == 255 { u64::MAX / 2 } else { 0 };
                world.call("handle_timeout", more, Engine::handle_timeout);
                if world.engine.now() != instant(world.now) {
                    // That was the turn of a slice.
                    world.call("handle_timeout", more, Engine::handle_timeout);
                }
            }
            _ => match a % 4 {
                0 => drop(world.call("work", 0, |engine, _| engine.slice(1 + usize::from(b)))),
                1 => drop(world.call("catch_up", 0, |engine, _| engine.catch_up(engine.hold_steps()))),
                2 => world.call("build", 0, |engine, _| engine.build(1 + u64::from(b))),
                _ => drop(world.call("work", 0, |engine, _| engine.slice(16_384))),
            },
        }
        if place % 4 == 3 {
            world.check();
        }
    }
    let mut rounds = 0;
    while world.call("work", 0, |engine, _| engine.slice(16_384)) {
        rounds += 1;
        assert!(rounds < 1_000_000, "work comes to an end");
    }
    world.check();
    assert!(world.watches.iter().all(|watch| watch.rows.is_some()), "what was asked for is there in the end");
    while !world.watches.is_empty() {
        world.close(0);
    }
    while world.call("work", 0, |engine, _| engine.slice(16_384)) {}
    let stats = world.engine.stats();
    assert_eq!((stats.views, stats.feeds, stats.deadlines), (0, 0, 0), "closed queries leave nothing behind");
    assert_eq!((stats.behind, stats.behind_rows, stats.behind_bytes), (0, 0, 0));
    stats
}

//! Windows against recomputation: a list of operations drives an engine, and a plain model tells what must be in every
//! result after each.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;
use liveset_engine::{
    Count, Engine, EngineLimits, FeedId, FieldKind, HashSeed, Op, Query, Row, SetDef, Snapshot, Stats,
    Timestamp, Tuning, Update,
};

/// 2024-01-01T00:00:00Z, hour 0 of the model.
const START: i128 = 1_704_067_200_000_000_000;
const HOUR: i128 = 3_600_000_000_000;
/// More live queries at once only repeat each other.
const MAX_OPEN: usize = 12;

/// A node as the model knows it: what filters and orders look at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    group: Option<u8>,
    value: Option<u8>,
    /// Hours since the start.
    at: Option<i64>,
}

impl Node {
    /// One of 60, most of them with a field missing.
    fn new(choice: u8) -> Self {
        let pick = |n: u8, of: u8| Some(n % of).filter(|n| *n > 0);
        Self {
            group: pick(choice, 3),
            value: pick(choice / 3, 4),
            at: pick(choice / 12, 5).map(|hour| i64::from(hour) * 2),
        }
    }

    fn json(&self, id: &str, whole: bool) -> String {
        let mut json = format!("{{\"id\":\"{id}\"");
        if let (Some(group), true) = (self.group, whole) {
            json += &format!(",\"group\":{group}");
        }
        if let Some(value) = self.value {
            json += &format!(",\"value\":{value}");
        }
        if let (Some(at), true) = (self.at, whole) {
            json += &format!(",\"at\":\"{}\"", instant(at));
        }
        json + "}"
    }
}

fn instant(hour: i64) -> Timestamp {
    Timestamp::from_unix_nanos(START + i128::from(hour) * HOUR).unwrap_or(Timestamp::MAX)
}

type Test = fn(&Node, i64) -> bool;
type Compare = fn(&Node, &Node) -> Ordering;

/// Filters in text and in Rust.
const FILTERS: [(&str, Test); 6] = [
    ("", |_, _| true),
    ("group == 1", |node, _| node.group == Some(1)),
    ("at > now - 2 hours", |node, now| node.at.is_some_and(|at| at > now - 2)),
    ("not (value < 2) or group == 2", |node, _| node.value.is_none_or(|v| v >= 2) || node.group == Some(2)),
    ("at <= now and value >= 1", |node, now| node.at.is_some_and(|at| at <= now) && node.value.is_some()),
    ("not (at > now) and not (at <= now - 3 hours)", |node, now| {
        node.at.is_none_or(|at| at <= now && at > now - 3)
    }),
];

/// Orders in text and in Rust, up to the id.
const ORDERS: [(&str, Compare); 3] = [
    ("", |_, _| Ordering::Equal),
    ("value desc", |a, b| b.value.cmp(&a.value)),
    ("at, group desc", |a, b| a.at.cmp(&b.at).then(b.group.cmp(&a.group))),
];

const LIMITS: [u64; 4] = [1, 2, 3, 1_000];

/// One of the queries.
#[derive(Clone, Copy, Debug)]
struct Choice {
    filter: usize,
    order: usize,
    limit: u64,
    whole: bool,
}

impl Choice {
    fn new(choice: u8) -> Self {
        let choice = usize::from(choice);
        Self {
            filter: choice % 6,
            order: choice / 6 % 3,
            limit: LIMITS[choice / 18 % 4],
            whole: choice / 72 % 2 == 0,
        }
    }

    fn query(self) -> Query {
        let query = Query::new("nodes")
            .filter(FILTERS[self.filter].0)
            .order_by(ORDERS[self.order].0)
            .limit(self.limit);
        if self.whole { query } else { query.fields(["value"]) }
    }
}

/// A live query as its watcher knows it: a snapshot, and the updates since.
#[derive(Debug)]
struct Watch {
    feed: FeedId,
    choice: Choice,
    /// Whether it has its result; else that is being made.
    is_there: bool,
    version: u64,
    count: Count,
    rows: BTreeMap<Bytes, (String, Bytes)>,
}

impl Watch {
    fn new(feed: FeedId, choice: Choice) -> Self {
        let rows = BTreeMap::new();
        Self { feed, choice, is_there: false, version: 0, count: Count::default(), rows }
    }

    fn begin(&mut self, snapshot: Snapshot) {
        self.is_there = true;
        (self.version, self.count) = (snapshot.version, snapshot.count);
        self.rows = snapshot.rows.iter().map(|row| (row.order_key().clone(), held(row))).collect();
    }

    fn apply(&mut self, update: &Update) {
        assert!(update.version > self.version, "versions rise");
        self.version = update.version;
        self.count = update.count.expect("the count is followed");
        let mut last = None;
        for change in update.changes() {
            assert_ne!(change.before(), change.after(), "a change changes something");
            if let Some(before) = change.before() {
                assert_eq!(self.rows.remove(before.order_key()), Some(held(before)), "what goes was there");
            }
            match change.after() {
                None => assert_eq!(last, None, "removals come first"),
                Some(after) => {
                    let key = after.order_key();
                    assert!(last.as_ref().is_none_or(|last| last < key), "in the result's order");
                    last = Some(key.clone());
                    let old = self.rows.insert(key.clone(), held(after));
                    assert_eq!(old, None, "what comes was not there");
                }
            }
        }
    }
}

fn held(row: &Row) -> (String, Bytes) {
    (row.id().to_owned(), Bytes::copy_from_slice(row.json()))
}

/// What an engine is, by the first byte: its lowest bit whether fields are declared, and the others how it works; of
/// a digit that is 0 or 1 as ever.
#[derive(Clone, Copy, Debug)]
struct Setup(u8);

impl Setup {
    fn declares(self) -> bool {
        self.0 & 1 != 0
    }

    fn in_slices(self) -> bool {
        self.0 & 2 != 0
    }

    fn limits(self) -> EngineLimits {
        let usual = EngineLimits::default();
        let tuning = match self.0 >> 4 {
            4 | 0 => Tuning { scan_only: true, ..Tuning::default() },
            5 | 1 => Tuning { alternative: Some(1), eager_indexes: true, ..Tuning::default() },
            6 => Tuning { stretches: true, ..Tuning::default() },
            7 => Tuning { no_stretches: true, ..Tuning::default() },
            8 | 2 => Tuning { node_timers: true, ..Tuning::default() },
            9 => Tuning { small_slices: true, eager_indexes: true, ..Tuning::default() },
            10 => Tuning { stretches: true, eager_indexes: true, node_timers: true, ..Tuning::default() },
            11 => Tuning { alternative: Some(0), small_slices: true, ..Tuning::default() },
            14 => Tuning { scan_only: true, ..Tuning::default() },
            15 => Tuning { node_timers: true, ..Tuning::default() },
            _ => Tuning::default(),
        };
        // Holds in which next to nothing can be done, so that queries are behind, and a history that is soon too long.
        let (hold_steps, max_behind_rows) = match self.0 >> 4 {
            12 => (1, 100),
            13 => (30, 3),
            14 => (40, 100),
            15 => (20, 10),
            _ => (usual.hold_steps, usual.max_behind_rows),
        };
        let limits = usual.clone();
        limits
            .hold_steps(hold_steps)
            .max_behind_rows(max_behind_rows)
            .shards(if self.0 & 4 != 0 { 3 } else { 1 })
            .slice_rows(if self.in_slices() { 1 } else { usual.slice_rows })
            .max_window(if self.0 & 8 != 0 { 2 } else { usual.max_window })
            .tuning(tuning)
    }
}

/// The nodes and the hour at some moment.
type Past = (BTreeMap<String, Node>, i64);

/// The engine, its watchers, and the plain model.
struct World {
    engine: Engine,
    setup: Setup,
    nodes: BTreeMap<String, Node>,
    staged: BTreeMap<String, Option<Node>>,
    watches: Vec<Watch>,
    hour: i64,
    /// The nodes and the hour as they were at each version of the engine.
    past: BTreeMap<u64, Vec<Past>>,
}

impl World {
    fn new(setup: Setup) -> Self {
        let mut engine = Engine::new(setup.limits(), HashSeed::FIXED);
        let mut set = SetDef::new("nodes");
        if setup.declares() {
            set = set.field("at", FieldKind::Instant).field("value", FieldKind::Number);
        }
        engine.define_set(set).expect("a set");
        let (nodes, staged, past) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { engine, setup, nodes, staged, watches: Vec::new(), hour: 0, past }
    }

    fn now(&self) -> Timestamp {
        instant(self.hour)
    }

    fn commit(&mut self) {
        let set = || "nodes".into();
        let mut changed = 0;
        let mut ops = Vec::new();
        for (id, node) in std::mem::take(&mut self.staged) {
            changed += u64::from(self.nodes.get(&id) != node.as_ref());
            ops.push(match &node {
                Some(node) => Op::Upsert { set: set(), node: node.json(&id, true).into() },
                None => Op::Remove { set: set(), id: id.clone() },
            });
            match node {
                Some(node) => self.nodes.insert(id, node),
                None => self.nodes.remove(&id),
            };
        }
        let committed = self.engine.commit(self.now(), ops).expect("nodes are sound");
        assert_eq!(committed.changed, changed);
    }

    fn open(&mut self, choice: Choice) {
        if self.watches.len() == MAX_OPEN {
            return;
        }
        let plan = self.engine.prepare(&choice.query()).expect("queries are sound");
        // By a run over all nodes, where no one has the query open.
        let once = self.engine.evaluate(self.now(), &plan).expect("few fields are read");
        let (feed, snapshot) = if self.setup.in_slices() {
            let (feed, is_there) = self.engine.begin_open(self.now(), &plan).expect("there is room");
            let snapshot = self.engine.snapshot(feed);
            assert_eq!(snapshot.is_some(), is_there, "{choice:?}");
            (feed, snapshot)
        } else {
            let (feed, snapshot) = self.engine.open(self.now(), &plan).expect("there is room");
            (feed, Some(snapshot))
        };
        let mut watch = Watch::new(feed, choice);
        if let Some(snapshot) = snapshot {
            if self.engine.complete(feed).is_none() {
                assert_eq!(once.rows, snapshot.rows, "{choice:?}: once and live are the same");
                assert_eq!(once.count, snapshot.count);
            }
            watch.begin(snapshot);
        }
        self.watches.push(watch);
    }

    /// Goes on with what was put off, over so many rows, and takes the results that are there then.
    fn work(&mut self, rows: usize) -> bool {
        self.engine.slice(rows)
    }

    /// Does all that was put off.
    fn finish(&mut self) {
        while self.work(100) {
            self.drain();
        }
        self.drain();
    }

    fn close(&mut self, which: u8) {
        if !self.watches.is_empty() {
            let watch = self.watches.swap_remove(usize::from(which) % self.watches.len());
            self.engine.close(watch.feed);
        }
    }

    fn pass(&mut self, hours: i64) {
        self.hour += hours;
        let now = self.now();
        self.engine.handle_timeout(now);
        let is_done = |engine: &Engine| engine.next_flip().is_none_or(|at| at > now);
        if !is_done(&self.engine) {
            // The first call was for work.
            self.engine.handle_timeout(now);
        }
        assert!(is_done(&self.engine), "all that is due is done");
    }

    fn drain(&mut self) {
        while let Some(update) = self.engine.poll_update() {
            let watches = self.watches.iter_mut().filter(|watch| watch.feed == update.feed && watch.is_there);
            watches.for_each(|watch| watch.apply(&update));
        }
        // What was queued before a result was there is in it.
        while let Some(feed) = self.engine.poll_opened() {
            for watch in self.watches.iter_mut().filter(|watch| watch.feed == feed && !watch.is_there) {
                watch.begin(self.engine.snapshot(feed).expect("it is there"));
            }
        }
    }

    /// Each live query shows the result as of the version up to which it is complete.
    fn check(&mut self) {
        let now = (self.nodes.clone(), self.hour);
        let first = self.past.last_key_value().map_or(0, |(version, _)| version + 1);
        for version in first.min(self.engine.version())..=self.engine.version() {
            self.past.entry(version).or_default().push(now.clone());
        }
        let cap = self.setup.limits().max_window as u64;
        for Watch { feed, version, choice, count, rows, .. } in
            self.watches.iter().filter(|watch| watch.is_there)
        {
            // One that is behind shows a moment between what it was told last and the version up to which it is complete: time may
            // have passed before it was known that a node flips.
            let then: Vec<_> = match self.engine.complete(*feed) {
                None => vec![&now],
                Some(complete) => self.past.range(version..=&complete).flat_map(|(_, then)| then).collect(),
            };
            let limit = choice.limit.min(cap);
            let (test, compare) = (FILTERS[choice.filter].1, ORDERS[choice.order].1);
            let results = then.iter().map(|(nodes, hour)| {
                let mut expected: Vec<_> = nodes.iter().filter(|(_, node)| test(node, *hour)).collect();
                expected.sort_by(|(id, a), (other, b)| compare(a, b).then(id.cmp(other)));
                let total = expected.len() as u64;
                expected.truncate(limit as usize);
                let json =
                    |(id, node): &(&String, &Node)| ((*id).clone(), Bytes::from(node.json(id, choice.whole)));
                (
                    expected.iter().map(json).collect::<Vec<(String, Bytes)>>(),
                    Count { total, capped: total > limit },
                )
            });
            let results: Vec<_> = results.collect();
            let shown = (rows.values().cloned().collect(), *count);
            assert!(results.contains(&shown), "{choice:?}: {shown:?}, expected one of {results:?}");
        }
    }
}

/// Drives an engine by operations read from the bytes: the first byte chooses whether fields are declared and how the engine
/// works (see `Setup`), and each operation is three bytes: what, which node, and a value. After each, every live query whose
/// result is there shows what a plain sort of the plain model shows. In the end nothing is left behind.
///
/// | first byte mod 8 | operation |
/// | --- | --- |
/// | 0, 1 | stages an upsert of the node by the second byte, with the fields by the third |
/// | 2 | stages the removal of the node |
/// | 3 | commits what is staged |
/// | 4 | opens the live query by the third byte |
/// | 5 | closes one |
/// | 6 | lets time pass |
/// | 7 | sets the clock back, or by a value of 128 and more works on results that are being made |
pub fn window(data: &[u8]) {
    window_stats(data);
}

/// Like [`window`]; tells what the engine did.
pub fn window_stats(data: &[u8]) -> Stats {
    let Some((first, ops)) = data.split_first() else { return Stats::default() };
    let mut world = World::new(Setup(*first));
    for op in ops.as_chunks::<3>().0.iter().take(500) {
        let [what, which, value] = *op;
        let id = char::from(b'a' + which % 8).to_string();
        match what % 8 {
            0 | 1 => drop(world.staged.insert(id, Some(Node::new(value)))),
            2 => drop(world.staged.insert(id, None)),
            3 => world.commit(),
            4 => world.open(Choice::new(value)),
            5 => world.close(value),
            6 => world.pass(i64::from(value % 6)),
            _ if value < 128 => world.pass(-i64::from(value % 4)),
            _ => drop(world.work(1 + usize::from(value % 4))),
        }
        world.drain();
        world.check();
    }
    world.finish();
    world.check();
    assert!(world.watches.iter().all(|watch| watch.is_there), "what was asked for is there in the end");
    while !world.watches.is_empty() {
        world.close(0);
    }
    // What nobody needs any more is taken apart in slices too.
    world.finish();
    let stats = world.engine.stats();
    assert_eq!((stats.views, stats.feeds, stats.deadlines), (0, 0, 0), "closed queries leave nothing behind");
    assert_eq!(world.engine.poll_timeout(), None);
    assert_eq!(stats.nodes, world.nodes.len() as u64);
    assert_eq!((stats.behind, stats.behind_rows, stats.behind_bytes), (0, 0, 0));
    stats
}

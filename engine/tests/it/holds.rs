//! No call of the engine takes more steps than one hold of the lock, however dear it is what was asked for: counted, for holds that
//! are small and for the one that is the default. What may come on top is what [`EngineLimits::hold_steps`] says.

use std::collections::BTreeMap;

use liveset_engine::{
    Allowance, Change, Cost, Engine, EngineLimits, FeedId, HashSeed, Keeping, Op, Plan, Query, Reason,
    SetDef, Snapshot, Timestamp, Tuning,
};

const HOLDS: [u64; 2] = [2_000, 100_000];
const SECOND: i128 = 1_000_000_000;

fn moment(seconds: i128) -> Timestamp {
    let start = Timestamp::parse_rfc3339("2025-01-01T00:00:00Z").expect("a moment").unix_nanos();
    Timestamp::from_unix_nanos(start + seconds * SECOND).expect("a moment")
}

fn put(node: String) -> Op {
    Op::Upsert { set: "s".into(), node: node.into() }
}

fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

fn joined(count: usize, word: &str, piece: impl Fn(usize) -> String) -> String {
    (0..count).map(piece).collect::<Vec<_>>().join(word)
}

/// An engine whose calls are counted, and what its queries cost.
struct Counted {
    engine: Engine,
    now: Timestamp,
    /// What the dearest row may take on top of a hold: a row is not cut into slices.
    row: u64,
    largest: usize,
    /// The most that a call took.
    longest: u64,
    held: BTreeMap<FeedId, Plan>,
}

impl Counted {
    fn new(limits: EngineLimits) -> Self {
        let mut engine = Engine::new(limits, HashSeed::FIXED);
        engine.define_set(SetDef::new("s")).expect("a set");
        Self { engine, now: moment(0), row: 0, largest: 0, longest: 0, held: BTreeMap::new() }
    }

    fn with_hold(hold_steps: u64) -> Self {
        Self::new(EngineLimits::default().hold_steps(hold_steps))
    }

    /// A call that may take so many steps besides a hold and the dearest row.
    fn call<T>(&mut self, what: &str, more: u64, call: impl FnOnce(&mut Engine, Timestamp) -> T) -> T {
        let before = self.engine.steps();
        let result = call(&mut self.engine, self.now);
        let taken = self.engine.steps() - before;
        let most = self.engine.hold_steps() + self.row + more;
        assert!(taken <= most, "{what} took {taken} steps, and may take {most}");
        self.longest = self.longest.max(taken);
        result
    }

    /// A commit may take more for each row that it changes, and for each query that a row is found by.
    fn commit(&mut self, ops: Vec<Op>) {
        let sizes = ops.iter().map(|op| if let Op::Upsert { node, .. } = op { node.len() } else { 0 });
        self.largest = self.largest.max(sizes.max().unwrap_or(0));
        let (rows, found) = (ops.len() as u64, self.engine.stats().candidates_found);
        let columns = 2 * self.held.values().map(|plan| plan.filter().paths().count() as u64).sum::<u64>();
        let before = self.engine.steps();
        self.engine.commit(self.now, ops).expect("good nodes");
        let taken = self.engine.steps() - before;
        let found = self.engine.stats().candidates_found - found;
        let most = self.engine.hold_steps() + self.row + rows * (64 + columns) + found;
        assert!(taken <= most, "a commit of {rows} took {taken} steps, and may take {most}");
    }

    /// Planning takes about a step for each byte of the query, a few for each value that it is found by, and a look at some rows.
    fn planning(query: &Query) -> u64 {
        let bytes =
            query.filter.as_ref().map_or(0, String::len) + query.order_by.as_ref().map_or(0, String::len);
        5 * bytes as u64 + 3 * 8_192
    }

    fn plan(&mut self, query: &Query) -> Plan {
        let plan = self.engine.prepare(query).expect("a query");
        let planning = Self::planning(query);
        let explain =
            self.call("explain", planning, |engine, now| engine.explain(now, &plan)).expect("a plan");
        let of = |cost: Cost| cost.of(self.largest.max(64));
        let reading = self.largest as u64 / 16 + 8;
        let compared = 8 * plan.cap() as u64;
        self.row = self.row.max(4 * of(explain.cost) + of(explain.flip_cost) + 2 * reading + compared);
        plan
    }

    fn open(&mut self, query: &Query) -> FeedId {
        let plan = self.plan(query);
        let opened = self.call("begin_open", Self::planning(query), |engine, now| {
            engine.begin_open_within(now, &plan, &Allowance::UNLIMITED).expect("room")
        });
        self.held.insert(opened.feed, plan);
        opened.feed
    }

    /// All that was put off.
    fn work(&mut self) {
        for round in 0.. {
            assert!(round < 500_000, "work comes to an end");
            if !self.call("work", 0, |engine, _| engine.slice(16_384)) {
                break;
            }
        }
        while self.engine.poll_opened().is_some() {}
        while self.engine.poll_update().is_some() {}
        while self.engine.poll_lag().is_some() {}
    }

    fn pass(&mut self, seconds: i128) {
        self.now = moment(seconds);
        self.call("handle_timeout", 0, Engine::handle_timeout);
    }

    fn ask(&mut self, query: &Query) -> Snapshot {
        let plan = self.plan(query);
        let asked = self.call("one_shot", Self::planning(query), |engine, now| engine.one_shot(now, &plan));
        asked.expect("few fields").run()
    }

    fn close(&mut self, feed: FeedId) {
        let plan = self.held.remove(&feed).expect("it is open");
        let bytes = plan.filter().to_string().len() as u64;
        self.call("close", 4 * bytes, |engine, _| engine.close(feed));
    }

    /// Each query that is kept shows what is found for it anew.
    fn check(&mut self) {
        self.work();
        for (feed, plan) in &self.held {
            let shown = self.engine.snapshot(*feed).expect("its result is there");
            let (filter, order) = (plan.filter().to_string(), plan.order().canonical().to_owned());
            // Another query of the same meaning, which nobody keeps.
            let cap = plan.cap() as u64;
            let other = if cap < 1_000 { cap + 1 } else { cap - 1 };
            let other = Query::new("s").filter(filter).order_by(order).limit(other);
            let other = self.engine.prepare(&other).expect("a query");
            let anew = self.engine.evaluate(self.now, &other).expect("few fields");
            let ids = |snapshot: &Snapshot| {
                let ids = snapshot.rows.iter().take(cap.min(999) as usize).map(|row| row.id().to_owned());
                ids.collect::<Vec<_>>()
            };
            assert_eq!((shown.count.total, ids(&shown)), (anew.count.total, ids(&anew)));
        }
    }

    /// All that may be done with some queries over some rows.
    fn drive(&mut self, rows: &dyn Fn(u64) -> String, count: u64, queries: &[Query]) {
        let all: Vec<Op> = (0..count).map(|id| put(rows(id))).collect();
        for ops in all.chunks(1_000) {
            self.commit(ops.to_vec());
        }
        for query in queries {
            self.open(query);
            self.call("work", 0, |engine, _| engine.slice(16_384));
        }
        self.check();
        for query in queries {
            let other = query.clone().limit(7);
            self.ask(&other);
        }
        // Some rows change, come and go; then all of them at once.
        for round in 0..3 {
            let changed = (0..50).map(|n| put(rows(count + (round * 31 + n) % 70))).collect();
            self.commit(changed);
            self.pass(100 + i128::from(round));
        }
        self.commit((0..count.min(1_000)).map(|id| put(rows(id).replacen('{', "{\"more\":1,", 1))).collect());
        self.pass(200);
        self.call("catch_up", 0, |engine, _| engine.catch_up(1_000));
        self.check();
        let remove = |id: u64| Op::Remove { set: "s".into(), id: id.to_string() };
        self.commit((0..count / 2).map(remove).collect());
        self.pass(100_000);
        self.check();
        for feed in self.held.keys().copied().collect::<Vec<_>>() {
            self.close(feed);
        }
        self.work();
        let stats = self.engine.stats();
        assert_eq!((stats.views, stats.deadlines, stats.behind, stats.behind_rows), (0, 0, 0, 0));
    }
}

/// Drives queries over rows with each size of holds.
fn drive(count: u64, rows: impl Fn(u64) -> String, queries: impl Fn() -> Vec<Query>) {
    for hold in HOLDS {
        let mut counted = Counted::with_hold(hold);
        counted.drive(&rows, count, &queries());
    }
}

fn over(filter: String) -> Query {
    Query::new("s").filter(filter)
}

// --- filters that are dear for each row ---

/// `not (nums anyof [1000 numbers]) and not (…)`, over rows with 20 numbers.
#[test]
fn long_lists_of_numbers() {
    let rows =
        |id: u64| format!(r#"{{"id":{id},"nums":[{}]}}"#, list(20, |n| (id * 7 + n as u64).to_string()));
    drive(2_000, rows, || {
        let of = |from: usize| format!("not (nums anyof [{}])", list(1_000, |n| (from + n * 31).to_string()));
        vec![over(format!("{} and {}", of(0), of(1))), over(format!("{} or nums allof [3, 4]", of(5)))]
    });
}

#[test]
fn calendar_sums() {
    let rows = |id: u64| format!(r#"{{"id":{id},"createdAt":"2024-01-{:02}T00:00:00Z"}}"#, 1 + id % 28);
    drive(1_000, rows, || {
        let months = |count: usize| joined(count, "", |n| format!(" + {} months", 1 + n % 3));
        let both = format!("createdAt{} > createdAt{}", months(500), months(499));
        vec![over(format!("createdAt{} > 2024-01-01", months(1_200))), over(both)]
    });
}

#[test]
fn repeated_comparison_of_objects() {
    let object = |id: u64| list(30, |n| format!(r#""f{n}":[{id},"text {n}",null]"#));
    let rows = |id: u64| format!(r#"{{"id":{id},"o":{{{}}},"p":{{{}}}}}"#, object(id), object(id % 3));
    drive(300, rows, || {
        let again = joined(500, " or ", |n| format!("not (o == p) and a{} != o", n % 7));
        vec![over("not (o == o) or not (p == o)".into()), over(again)]
    });
}

#[test]
fn texts_against_instants() {
    let rows = |id: u64| format!(r#"{{"id":{id},"at":"2024-01-01T00:00:{:02}.{id}Z","t":"{id}"}}"#, id % 60);
    drive(1_000, rows, || {
        let moments = list(600, |n| format!("2024-01-01T00:{:02}:{:02}Z", n / 60, n % 60));
        let texts = list(500, |n| format!("'2024-01-01T00:00:{:02}.{n}Z'", n % 60));
        vec![
            over(format!("not (at in [{moments}])")),
            over(format!("not (at in [{texts}]) and at > 2024-01-01")),
            over(joined(300, " or ", |n| format!("t < 2024-01-01T00:00:00.{n}Z"))),
        ]
    });
}

// --- queries that are many ---

#[test]
fn wide_or_of_what_indexes_find_and_do_not_find() {
    let rows = |id: u64| format!(r#"{{"id":{id},"a":{},"b":{},"name":"n{id}"}}"#, id % 97, id % 11);
    drive(2_000, rows, || {
        vec![
            over(joined(700, " or ", |n| format!("a == {n} and b != {}", n % 5))),
            over(joined(600, " or ", |n| format!("a > {} and a < {}", 3 * n, 3 * n + 2))),
            over(joined(300, " or ", |n| format!("name contains 'n{n}'"))),
            over(joined(300, " or ", |n| format!("a + b > {n}"))),
        ]
    });
}

#[test]
fn many_fields_and_orders() {
    let rows =
        |id: u64| format!(r#"{{"id":{id},{}}}"#, list(100, |n| format!(r#""f{n}":{}"#, id + n as u64)));
    drive(300, rows, || {
        let fields: Vec<Query> = (0..60)
            .map(|n| over(format!("f{n} != 5")).order_by(format!("f{} desc, f{}", n + 1, n + 2)).limit(10))
            .collect();
        let wide = over(joined(250, " or ", |n| format!("f{n} == {}", 100 + n)));
        fields.into_iter().chain([wide]).collect()
    });
}

#[test]
fn prefixes_that_begin_alike() {
    let rows = |id: u64| format!(r#"{{"id":{id},"name":"twenty bytes of text {:05} and more"}}"#, id % 50);
    drive(500, rows, || {
        let prefix = |n: usize| over(format!("name startswith 'twenty bytes of text {n:05}'"));
        let wide = joined(300, " or ", |n| format!("name startswith 'twenty bytes of text {n:05}'"));
        (0..200).map(prefix).chain([over(wide)]).collect()
    });
}

/// 250 queries that every change is tried on, commits of 50 rows and one of very many.
#[test]
fn very_many_scanning_queries() {
    for hold in HOLDS {
        let mut counted = Counted::with_hold(hold);
        let row = |id: u64| put(format!(r#"{{"id":{id},"n":{},"t":"some text {id}"}}"#, id % 300));
        counted.commit((0..1_000).map(row).collect());
        for n in 0..250 {
            counted.open(&over(format!("n != {n} and not (t contains 'x{n}')")).limit(10));
            counted.call("work", 0, |engine, _| engine.slice(16_384));
        }
        counted.work();
        for round in 0..6 {
            counted.commit((0..50).map(|n| row(round * 40 + n + 10_000)).collect());
        }
        counted.check();
        counted.commit((0..5_000).map(|id| row(id + 20_000)).collect());
        counted.check();
    }
}

/// Created, asked and destroyed in turn, each over a field that was never named before, over rows of 2.3 KB.
#[test]
fn a_storm_of_queries_over_fields_that_were_never_named() {
    for hold in HOLDS {
        let mut counted = Counted::with_hold(hold);
        let row = |id: u64| put(format!(r#"{{"id":{id},"text":"{}","n":{id}}}"#, "x".repeat(2_300)));
        counted.commit((0..1_500).map(row).collect());
        for round in 0..40 {
            let filter = format!("never{round} == 1 or other{round} > 2 and more{round} < 3");
            let feed = counted.open(&over(filter));
            match round % 3 {
                0 => counted.work(),
                1 => drop(counted.call("work", 0, |engine, _| engine.slice(16_384))),
                _ => drop(counted.ask(&over(format!("never{round} != 1")))),
            }
            counted.commit(vec![row(round)]);
            counted.close(feed);
        }
        counted.work();
        assert_eq!(counted.engine.stats().views, 0);
    }
}

// --- time ---

/// Rows that share an instant, and many moments soon.
#[test]
fn moments_that_come_for_all_rows_at_once() {
    let rows = |id: u64| format!(r#"{{"id":{id},"born":"2025-01-01T00:00:00Z","nums":[{id}]}}"#);
    drive(3_000, rows, || {
        let absent = list(900, |n| (100_000 + n).to_string());
        let soon = |count: usize| joined(count, " or ", |n| format!("born + {} ms <= now", 100_500 + n));
        let late = "not (born + 300 days <= now) and nums anyof [1, 2, 3, 4]";
        vec![
            over(format!("nums anyof [{absent}] or {}", soon(1))),
            over(format!("nums anyof [{absent}] or {}", soon(20))),
            over(format!("not (nums anyof [{absent}]) and born > now - 200 seconds")),
            over(late.into()),
        ]
    });
}

/// Tests that columns answer in order, very many of them due at once.
#[test]
fn many_tests_over_time_that_are_due_at_once() {
    let rows = |id: u64| format!(r#"{{"id":{id},"at":"2025-01-01T00:00:{:02}Z"}}"#, id % 60);
    drive(1_000, rows, || {
        let tests = |n: i64| over(format!("at > now - {} seconds", 20 + n));
        let wide = over(joined(20, " or ", |n| format!("at == now - {} seconds", 100 + n)));
        (0..8).map(tests).chain([wide]).collect()
    });
}

// --- indexes and windows that are large ---

/// An index that finds nearly all rows is no short cut; one that is dropped is taken apart little by little.
#[test]
fn large_indexes_are_used_built_and_dropped_in_slices() {
    for hold in HOLDS {
        let mut counted = Counted::new(
            EngineLimits::default()
                .hold_steps(hold)
                .tuning(Tuning { eager_indexes: true, ..Default::default() }),
        );
        let row = |id: u64| {
            put(format!(r#"{{"id":{id},"open":{},"n":{id},"t":["a",{id}]}}"#, !id.is_multiple_of(20)))
        };
        let all: Vec<Op> = (0..30_000).map(row).collect();
        for ops in all.chunks(5_000) {
            counted.commit(ops.to_vec());
        }
        let queries = ["open", "n >= 7", "t anyof ['a']", "n > 100 and open"];
        for round in 0..2 {
            for filter in queries {
                let feed = counted.open(&over(filter.into()).order_by("n desc").limit(500));
                counted.work();
                counted.ask(&over(format!("{filter} and id != {round}")));
                counted.close(feed);
                counted.work();
            }
        }
        assert!(counted.engine.stats().indexes >= 3);
        let kept = counted.open(&over("open".into()).order_by("n").limit(500));
        counted.check();
        // As many changes as there are rows, and nobody uses the indexes: they go.
        for round in 0..14 {
            let from = round % 6 * 5_000;
            counted.commit(
                (from..from + 5_000).map(|id| put(format!(r#"{{"id":{id},"n":{round}}}"#))).collect(),
            );
            counted.work();
        }
        counted.check();
        counted.close(kept);
        counted.work();
    }
}

/// Queries of others that an index finds and that cost much keep nobody waiting whose query costs little.
#[test]
fn what_an_index_finds_cheaply_is_told_before_what_it_finds_dearly() {
    let mut counted = Counted::new(EngineLimits::default());
    let row = |id: u64, n: u64| {
        put(format!(r#"{{"id":{id},"customer":"c{}","n":{n},"text":"{}"}}"#, id % 50, "t".repeat(2_000)))
    };
    counted.commit((0..500).map(|id| row(id, 1)).collect());
    for n in 0..600 {
        let parts = list(30, |part| format!("'x{n}y{part}'")).replace(',', " or text contains ");
        counted.open(&over(format!("customer == 'c7' and (n > 1 or text contains {parts})")).limit(50));
    }
    let cheap = counted.open(&over("customer == 'c7' and n > 1".into()).limit(50));
    counted.work();
    let before = counted.engine.steps();
    counted.commit(vec![row(7, 2)]);
    let taken = counted.engine.steps() - before;
    assert!(counted.engine.is_behind(), "the others cost more than their share");
    assert_eq!(counted.engine.complete(cheap), None, "it is not behind");
    // A quarter for these, and what is left of the quarter for scans on those that are behind.
    assert!(taken <= counted.engine.hold_steps() / 2 + 1_000, "{taken} steps");
    counted.check();
}

/// A window of very many rows that is computed again: why each of them came and went is told within a hold too.
#[test]
fn results_that_are_computed_again_tell_why_within_a_hold() {
    for hold in HOLDS {
        let mut counted = Counted::new(EngineLimits::default().hold_steps(hold).max_behind_rows(100));
        let row = |id: u64, n: u64| put(format!(r#"{{"id":{id},"n":{n},"nums":[{id},{n}]}}"#));
        counted.commit((0..3_000).map(|id| row(id, 1)).collect());
        let dear = format!("not (nums anyof [{}])", list(1_000, |n| (50_000 + n).to_string()));
        counted.open(
            &over(format!("{dear} and n < 5 or {dear} and n == 7")).order_by("n desc, id").limit(1_000),
        );
        counted.check();
        for round in 0..3 {
            let n = 2 + round % 2 * 4;
            counted.commit((0..3_000).map(|id| row(id * 2 % 3_001, n)).collect());
            counted.check();
        }
        assert!(counted.engine.stats().made_again > 0, "{hold}: {:?}", counted.engine.stats().work);
    }
}

/// Very many large windows that fall behind, because commits are too dear or because a test turns for all rows: they are given up one
/// after the other.
#[test]
fn very_many_large_windows_are_given_up_in_slices() {
    let limits = EngineLimits::default().hold_steps(2_000).max_behind_rows(600);
    let mut counted = Counted::new(limits);
    let row = |id: u64, n: u64| {
        put(format!(r#"{{"id":{id},"n":{n},"born":"2025-01-01T00:00:00Z","text":"{}"}}"#, "t".repeat(100)))
    };
    counted.commit((0..2_500).map(|id| row(id, 1)).collect());
    for n in 0..60 {
        let filter = match n % 2 {
            0 => format!("not (text contains 'x{n}') and n != 77"),
            _ => format!("born + 100 seconds <= now and not (n == {n}000)"),
        };
        counted.open(&over(filter));
    }
    counted.work();
    let again = counted.engine.stats().made_again;
    counted.pass(100);
    counted.call("work", 0, |engine, _| engine.slice(16_384));
    for round in 0..20 {
        counted.commit((0..50).map(|n| row(round * 50 + n, 2 + round % 3)).collect());
        for _ in 0..10 {
            counted.call("work", 0, |engine, _| engine.slice(16_384));
        }
        let waiting = counted.engine.stats().behind_rows;
        assert!(waiting <= 600, "{waiting} rows wait");
    }
    counted.check();
    assert!(counted.engine.stats().made_again > again + 60);
}

/// One result that is shown in very many ways.
#[test]
fn many_projections_of_one_result() {
    for hold in HOLDS {
        let mut counted = Counted::with_hold(hold);
        let fields = list(80, |n| format!(r#""field{n}":"some text of number {n}""#));
        let row = |id: u64, n: u64| put(format!(r#"{{"id":{id},{fields},"n":{n}}}"#));
        counted.commit((0..100).map(|id| row(id, 0)).collect());
        for n in 0..100 {
            counted.open(&over("not (n == 5)".into()).fields([format!("field{}", n % 80), format!("n{n}")]));
        }
        counted.work();
        for n in 1..4 {
            counted.commit((0..50).map(|id| row(id, n)).collect());
            counted.work();
        }
        counted.check();
    }
}

// --- what it costs to keep ---

fn keeping(engine: &mut Engine, query: &Query) -> Keeping {
    let plan = engine.prepare(query).expect("a query");
    engine.begin_open_within(moment(0), &plan, &Allowance::UNLIMITED).expect("room").keeping
}

/// A changed row may be the one that all tests over time wait for, and each projection is compared.
#[test]
fn tests_over_time_and_projections_count_as_long_as_they_are_kept() {
    let mut engine = Counted::with_hold(100_000).engine;
    let row = |id: u64| put(format!(r#"{{"id":{id},"text":"{}"}}"#, "x".repeat(2_300)));
    engine.commit(moment(0), (0..100).map(row).collect()).expect("good nodes");
    let wide = over(joined(50, " or ", |n| format!("at > now - {n} hours")));
    let (first, second) = (keeping(&mut engine, &wide), keeping(&mut engine, &wide.clone().limit(5)));
    assert!(first.standing_steps >= 50 * 128, "{first:?}");
    assert!(second.standing_steps < 100, "what others ask already costs no more: {second:?}");

    let whole = keeping(&mut engine, &over("n != 5".into()));
    let some = keeping(&mut engine, &over("n != 5".into()).fields(["text"]));
    // The text is read, before and after.
    assert!(some.standing_steps >= whole.standing_steps + 2 * 2_300 / 16, "{some:?} {whole:?}");
}

/// A row that came since a result was complete is said to be created, also where that is computed again as a whole.
#[test]
fn a_result_that_is_computed_again_says_what_was_created() {
    let limits = EngineLimits::default().hold_steps(500).max_behind_rows(10);
    let mut counted = Counted::new(limits);
    let row = |id: u64, n: u64| put(format!(r#"{{"id":{id},"n":{n}}}"#));
    counted.commit((0..300).map(|id| row(id, id % 10)).collect());
    counted.open(&over("n != 3".into()).limit(1_000));
    counted.work();
    let again = counted.engine.stats().made_again;
    // Rows of before that match now, new rows, and rows that go.
    let ops = (0..300).filter(|id| id % 10 == 3).map(|id| row(id, 4));
    let new = (1_000..1_200).map(|id| row(id, 4));
    let gone =
        (0..300).filter(|id| id % 10 == 5).map(|id| Op::Remove { set: "s".into(), id: id.to_string() });
    counted.commit(ops.chain(new).chain(gone).collect());
    while counted.engine.slice(10_000) {}
    assert!(counted.engine.stats().made_again > again);
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    while let Some(update) = counted.engine.poll_update() {
        for change in update.changes() {
            let created = change.id().parse::<u64>().expect("a number") >= 1_000;
            match change.reason().expect("they come and go") {
                Reason::Created if created => *reasons.entry("created").or_default() += 1,
                Reason::Filter if !created => *reasons.entry("filter").or_default() += 1,
                Reason::Deleted => *reasons.entry("deleted").or_default() += 1,
                other => panic!("{other:?} of {}", change.id()),
            }
        }
    }
    assert_eq!(reasons, BTreeMap::from([("created", 200), ("filter", 30), ("deleted", 30)]));
}

/// A timeout once set the time alone where a query was behind: what flipped was told together with the commit that came next.
#[test]
fn time_is_a_step_of_its_own_for_a_query_that_is_behind() {
    let tuning = Tuning { node_timers: true, ..Tuning::default() };
    let mut engine = Engine::new(EngineLimits::default().hold_steps(1_500).tuning(tuning), HashSeed::FIXED);
    engine.define_set(SetDef::new("s")).expect("a set");
    let row = |id: i128, n: i128| put(format!(r#"{{"id":{id},"n":{n},"at":"{}"}}"#, moment(id % 9)));
    engine.commit(moment(0), (0..40).map(|id| row(id, id)).collect()).expect("good nodes");
    let query = Query::new("s").filter("at > now - 3 seconds and n != 3").limit(1_000);
    let plan = engine.prepare(&query).expect("a query");
    engine.open(moment(0), &plan).expect("room for a view");

    engine.commit(moment(0), (0..40).map(|id| row(id, id + 1_000)).collect()).expect("good nodes");
    assert!(engine.is_behind());
    engine.handle_timeout(moment(6));
    let remove = |id: i128| Op::Remove { set: "s".into(), id: id.to_string() };
    let second = engine.commit(moment(6), (10..20).map(remove).collect()).expect("good nodes").version;
    while engine.poll_timeout().is_some_and(|at| at <= moment(6)) {
        engine.handle_timeout(moment(6));
    }

    let (mut expired, mut deleted) = (0, 0);
    while let Some(update) = engine.poll_update() {
        let of = |reason| {
            let left =
                |change: &Change| matches!(change, Change::Removed { reason: Some(is), .. } if *is == reason);
            update.changes().filter(left).count()
        };
        assert_eq!(of(Reason::Deleted) > 0, update.version == second);
        assert!(of(Reason::Time) == 0 || update.version < second, "time is no part of a commit");
        expired += of(Reason::Time);
        deleted += of(Reason::Deleted);
    }
    // Four of nine have expired; of the ten that were removed five had not.
    assert_eq!((expired, deleted), (20, 5));
}

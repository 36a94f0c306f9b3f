//! Commits that leave queries untried which no index finds.

use std::collections::BTreeMap;

use fastrand::Rng;
use liveset_engine::{Engine, EngineLimits, FeedId, HashSeed, Op, Query, SetDef, Timestamp};

fn moment(second: i128) -> Timestamp {
    let start = Timestamp::parse_rfc3339("2024-01-01").unwrap().unix_nanos();
    Timestamp::from_unix_nanos(start + second * 1_000_000_000).unwrap()
}

fn row(id: u64, n: u64, second: i128) -> Op {
    let json =
        format!(r#"{{"id":"r{id}","n":{n},"even":{},"at":"{}"}}"#, n.is_multiple_of(2), moment(second));
    Op::Upsert { set: "s".into(), node: json.into_bytes().into() }
}

fn engine(limits: EngineLimits) -> Engine {
    let mut engine = Engine::new(limits, HashSeed::FIXED);
    engine.define_set(SetDef::new("s")).unwrap();
    engine
}

fn open(engine: &mut Engine, filter: &str) -> FeedId {
    let plan = engine.prepare(&Query::new("s").filter(filter).order_by("n").limit(5)).unwrap();
    engine.open(moment(0), &plan).unwrap().0
}

fn ids(engine: &Engine, feed: FeedId) -> Vec<String> {
    engine.snapshot(feed).unwrap().rows.iter().map(|row| row.id().to_owned()).collect()
}

#[test]
fn who_is_found_is_told_before_queries_that_no_index_finds() {
    let mut taken = Vec::new();
    for scanned in [50, 500] {
        let mut engine = engine(EngineLimits::default()).leaving_scans();
        engine.commit(moment(0), (0..20).map(|id| row(id, id, 0)).collect()).unwrap();
        let found = open(&mut engine, "n == 100");
        let others: Vec<FeedId> =
            (0..scanned).map(|n| open(&mut engine, &format!("n != {}", 1_000 + n))).collect();
        let last = others[others.len() - 1];
        let before = (engine.steps(), engine.version(), ids(&engine, last));
        engine.commit(moment(0), vec![row(0, 100, 0)]).unwrap();
        taken.push(engine.steps() - before.0);

        assert!(engine.is_unfinished() && engine.is_behind());
        let told: Vec<FeedId> =
            std::iter::from_fn(|| engine.poll_update()).map(|update| update.feed).collect();
        assert!(told.contains(&found) && !told.contains(&last));
        assert!(engine.poll_lag().is_none(), "none of them was looked at");
        // Of others there is the result before the commit, and it says so.
        assert!(engine.owes(last) && !engine.owes(found));
        assert_eq!((engine.complete(last), engine.complete(found)), (Some(before.1), None));
        assert_eq!(ids(&engine, last), before.2);

        assert!(engine.finish_commit(u64::MAX) > 0 && !engine.is_behind() && !engine.owes(last));
        let more: Vec<FeedId> =
            std::iter::from_fn(|| engine.poll_update()).map(|update| update.feed).collect();
        assert_eq!(told.len() + more.len(), 1 + others.len(), "each once");
        assert_eq!(
            (engine.complete(last), ids(&engine, last)),
            (None, ["r1", "r2", "r3", "r4", "r5"].map(str::to_owned).to_vec())
        );
        assert_eq!(engine.finish_commit(u64::MAX), 0);
    }
    assert_eq!(taken[0], taken[1], "ten times as many cost the commit nothing");
}

#[test]
fn what_is_left_of_a_commit_falls_behind_where_there_are_no_steps_for_it() {
    let mut engine = engine(EngineLimits::default()).leaving_scans();
    let feeds: Vec<FeedId> = (0..200).map(|n| open(&mut engine, &format!("n != {}", 1_000 + n))).collect();
    engine.commit(moment(0), vec![row(1, 1, 0)]).unwrap();
    engine.finish_commit(0);
    assert!(!engine.is_unfinished() && engine.is_behind());
    let behind = std::iter::from_fn(|| engine.poll_lag()).filter(|lag| lag.complete.is_some()).count();
    assert!(behind > 100, "{behind}");
    while engine.is_behind() {
        engine.catch_up(500);
    }
    assert!(feeds.iter().all(|feed| ids(&engine, *feed) == ["r1"]));
}

/// One engine leaves scans and is asked at any moment; another, which has done all at once, says what the result was then.
struct Both {
    leaving: Engine,
    plain: Engine,
    feeds: Vec<(FeedId, FeedId, String)>,
    /// By the version of the one: the results of the other, by filter.
    past: BTreeMap<u64, BTreeMap<String, Vec<String>>>,
    second: i128,
}

impl Both {
    fn new(limits: &EngineLimits) -> Both {
        let (leaving, plain) = (engine(limits.clone()).leaving_scans(), engine(EngineLimits::default()));
        Both { leaving, plain, feeds: Vec::new(), past: BTreeMap::new(), second: 0 }
    }

    fn each(&mut self, mut input: impl FnMut(&mut Engine)) {
        input(&mut self.leaving);
        input(&mut self.plain);
        while self.plain.is_behind() {
            self.plain.catch_up(u64::MAX);
        }
        let results = self.feeds.iter().map(|(_, plain, filter)| (filter.clone(), ids(&self.plain, *plain)));
        self.past.insert(self.leaving.version(), results.collect());
    }

    fn check(&self) {
        for (feed, _, filter) in &self.feeds {
            let version = self.leaving.complete(*feed).unwrap_or(self.leaving.version());
            let (_, results) = self.past.range(..=version).next_back().expect("it was there then");
            let expected = results.get(filter).or_else(|| self.past.values().find_map(|all| all.get(filter)));
            assert_eq!(Some(&ids(&self.leaving, *feed)), expected, "{filter} at {version}");
        }
    }

    fn act(&mut self, random: &mut Rng) {
        let now = moment(self.second);
        match random.u8(..12) {
            0 if self.feeds.len() < 60 => {
                let k = random.u64(..40);
                let filter = match random.u8(..6) {
                    0 => format!("n == {k}"),
                    1 => format!("at + {k} seconds > now and n != {k}"),
                    2 => format!("at + {k} seconds > now"),
                    3 => format!("n != {k} and even or n < {k}"),
                    4 => format!("not (n in [{k}, {}, {}])", k + 1, k + 2),
                    _ => format!("n != {k}"),
                };
                if self.feeds.iter().all(|(.., known)| *known != filter) {
                    let plan = self.plain.prepare(&Query::new("s").filter(&*filter).order_by("n").limit(5));
                    let plan = plan.unwrap();
                    let mut opened = Vec::new();
                    self.each(|engine| opened.push(engine.open(now, &plan).unwrap().0));
                    self.feeds.push((opened[0], opened[1], filter));
                    self.each(|_| ());
                }
            }
            1 if !self.feeds.is_empty() => {
                let (leaving, plain, _) = self.feeds.swap_remove(random.usize(..self.feeds.len()));
                self.leaving.close(leaving);
                self.plain.close(plain);
            }
            2 => {
                self.second += i128::from(random.u8(..30));
                let now = moment(self.second);
                self.each(|engine| _ = engine.pass_time(now));
            }
            3 => _ = self.leaving.slice(1 + random.usize(..50)),
            4 => _ = self.leaving.catch_up(random.u64(..2_000)),
            5 => _ = self.leaving.finish_commit(random.u64(..500)),
            _ => {
                let rows = random.u64(..40) * u64::from(random.u8(..4) == 0);
                let second = self.second - i128::from(random.u8(..20));
                let mut ops: Vec<Op> =
                    (0..=rows).map(|_| row(random.u64(..60), random.u64(..50), second)).collect();
                if random.bool() {
                    ops.push(Op::Remove { set: "s".into(), id: format!("r{}", random.u64(..60)) });
                }
                self.each(|engine| _ = engine.commit(now, ops.clone()).unwrap());
            }
        }
        self.check();
    }
}

#[test]
fn at_any_moment_a_result_is_that_of_its_version() {
    for seed in 0..30 {
        let mut random = Rng::with_seed(seed);
        let mut limits = EngineLimits::default().hold_steps([1_000, 20_000, 100_000][seed as usize % 3]);
        if seed % 4 == 0 {
            // So little is kept that queries are computed again.
            limits = limits.max_behind_rows(30);
        }
        let mut both = Both::new(&limits);
        let mut folded: BTreeMap<FeedId, BTreeMap<Vec<u8>, String>> = BTreeMap::new();
        for _ in 0..300 {
            both.act(&mut random);
            for (feed, ..) in &both.feeds {
                let leaving = &both.leaving;
                folded.entry(*feed).or_insert_with(|| {
                    let rows = leaving.snapshot(*feed).unwrap().rows.into_iter();
                    rows.map(|row| (row.order_key().to_vec(), row.id().to_owned())).collect()
                });
            }
            if random.u8(..3) == 0 {
                // Told of everything, whoever watches has the result.
                while both.leaving.is_behind() {
                    both.leaving.catch_up(1 + random.u64(..5_000));
                }
            }
            while let Some(update) = both.leaving.poll_update() {
                let Some(rows) = folded.get_mut(&update.feed) else { continue };
                for change in update.changes() {
                    change.before().map(|before| rows.remove(&**before.order_key()));
                    change
                        .after()
                        .map(|after| rows.insert(after.order_key().to_vec(), after.id().to_owned()));
                }
            }
            while both.leaving.poll_lag().is_some() {}
            for (feed, ..) in both.feeds.iter() {
                let shown: Vec<String> = folded[feed].values().cloned().collect();
                assert_eq!(shown, ids(&both.leaving, *feed), "seed {seed}");
            }
        }
    }
}

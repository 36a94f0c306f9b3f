//! All contestants do the same work, and the workload is the same on every run.

use std::collections::BTreeMap;

use liveset_benches::{
    BenchQuery, Class, Diff, Live, Scan, Shape, Step, Workload,
    hand::{Baseline, hand, rows},
    report,
};
use liveset_engine::{FeedId, Op};

/// Which query, which order, and whether it was and is shown.
type Told = Vec<(u32, u64, bool, bool)>;

fn told(baseline: &mut dyn Baseline, now: i64, steps: Vec<Step>) -> Told {
    let mut diffs: Vec<Diff> = Vec::new();
    baseline.commit(now, steps, &mut diffs);
    let tell = |diff: &Diff| (diff.query, diff.id(), diff.before.is_some(), diff.after.is_some());
    let mut told: Told = diffs.iter().map(tell).collect();
    told.sort_unstable();
    told
}

fn told_live(live: &mut Live, feeds: &BTreeMap<FeedId, u32>, now: i64, ops: Vec<Op>) -> Told {
    let mut told = Vec::new();
    live.commit(now, ops, |update| {
        for change in update.changes() {
            let id = change.id().parse().expect("an id");
            told.push((feeds[&update.feed], id, change.before().is_some(), change.after().is_some()));
        }
    });
    told.sort_unstable();
    told
}

/// After every commit engine, hand and scan have told the same and show the same. `pause` seconds pass before each.
fn agree(class: Class, nodes: u32, queries: &[BenchQuery], commits: &[usize], pause: i64) -> usize {
    let base = Workload::of_class(class, nodes, 7);
    let mut workload = base.fresh();
    let now = base.now();
    let mut by_hand = hand(class, rows(base.orders()), queries.to_vec(), now);
    let mut scan = Scan::new(class, rows(base.orders()), queries.to_vec(), now);
    let mut live = Live::new(base.orders(), now);
    let mut feeds = BTreeMap::new();
    let mut plans = Vec::new();
    for (number, query) in (0..).zip(queries) {
        feeds.insert(live.open(&query.query()), number);
        plans.push(live.prepare(&query.query()));
    }
    assert_eq!(feeds.len(), queries.len(), "{class}: the queries are all different");

    let mut diffs = 0;
    let mut windows: Vec<Vec<u64>> = (0..queries.len()).map(|number| by_hand.window(number)).collect();
    for (round, size) in commits.iter().enumerate() {
        let steps = workload.steps(*size);
        let now = workload.now() + pause * round as i64;
        let what = format!("{class}, commit {round} of {size}");
        let ops = steps.iter().map(|step| live.node_op(step)).collect();
        let told = told(by_hand.as_mut(), now, steps.clone());
        assert_eq!(told, self::told(&mut scan, now, steps), "hand and scan, {what}");
        assert_eq!(told, told_live(&mut live, &feeds, now, ops), "hand and engine, {what}");
        diffs += told.len();
        // Only those who were told of something can have changed; all are looked at now and then.
        for (number, plan) in plans.iter().enumerate() {
            let is_told = told.iter().any(|(query, ..)| *query as usize == number);
            if is_told || round % 16 == 0 {
                windows[number] = live.once(plan).1.iter().map(|id| id.parse().expect("an id")).collect();
            }
            let query = &queries[number];
            assert_eq!(by_hand.window(number), windows[number], "hand and engine, {what}, {query:?}");
            assert_eq!(scan.window(number), windows[number], "scan and engine, {what}, {query:?}");
        }
    }
    diffs
}

/// Small caps, so that windows are full, displace and are refilled.
fn capped(class: Class, count: usize, nodes: u32, cap: usize) -> Vec<BenchQuery> {
    class.queries(count, nodes).into_iter().map(|query| BenchQuery { cap, ..query }).collect()
}

#[test]
fn the_baselines_and_the_engine_tell_and_show_the_same() {
    let mut commits = vec![1; 250];
    commits.extend([100, 1, 7, 300, 1, 1, 50]);
    for class in Class::ALL.into_iter().filter(|class| *class != Class::F) {
        let (nodes, count) = match class {
            Class::D => (1_500, 300),
            Class::G => (800, 300),
            Class::P => (800, 1_000),
            Class::A1 | Class::A2 => (40, 1),
            _ => (800, 80),
        };
        for cap in [1, 3, 20] {
            let diffs = agree(class, nodes, &capped(class, count, nodes, cap), &commits, 0);
            assert!(diffs > 10, "{class}, cap {cap}: {diffs} diffs");
        }
        agree(class, nodes, &class.queries(count, nodes), &commits[240..], 0);
    }
}

#[test]
fn they_agree_on_what_time_alone_does() {
    let only_timed = |query: &BenchQuery| query.shape.lasts().is_some();
    for cap in [1, 3, 50] {
        let queries: Vec<_> = capped(Class::G, 500, 800, cap).into_iter().filter(only_timed).collect();
        let changed = agree(Class::G, 800, &queries, &[[1, 0, 20], [0, 0, 1]].concat().repeat(20), 3_600);
        let still = agree(Class::G, 800, &queries, &[0; 200], 3_600);
        assert!(changed > 100 && still > 20, "cap {cap}: {changed} diffs, {still} by time alone");
    }
}

#[test]
fn windows_are_refilled_when_they_run_dry() {
    for class in [Class::A2, Class::E, Class::G] {
        let mut workload = Workload::new(400, 5);
        let queries = capped(class, 100, 400, 2);
        let mut by_hand = hand(class, rows(workload.orders()), queries, workload.now());
        for _ in 0..5_000 {
            let steps = workload.steps(1);
            by_hand.commit(workload.now(), steps, &mut Vec::new());
        }
        assert!(by_hand.refills() > 0, "{class}");
    }
}

#[test]
fn a_seed_gives_one_workload() {
    let run = |seed| {
        let mut workload = Workload::new(50, seed);
        let steps = workload.steps(50);
        (workload.orders().to_vec(), steps)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    // Numbers before and after a change of the workload do not compare: it must not go unseen.
    let of = |workload: Workload| String::from_utf8(workload.orders()[7].json().to_vec()).expect("text");
    let (even, zipf) = (of(Workload::new(50, 1)), of(Workload::of_class(Class::G, 50, 1)));
    assert_eq!(
        even.split(r#","note":"#).next(),
        Some(
            r#"{"id":10000007,"status":"cancelled","customer":"customer-3","region":"region-14","total":1240.12,"createdAt":"2024-02-05T00:49:43Z","priority":2,"tags":["tag-0"]"#
        )
    );
    assert!(zipf.starts_with(r#"{"id":10000007,"#), "{zipf}");
}

#[test]
fn changes_change_something_and_are_of_all_kinds() {
    let mut workload = Workload::new(500, 3);
    let mut held: BTreeMap<u64, _> = workload.orders().iter().map(|row| (row.id, row.clone())).collect();
    let (mut added, mut removed, mut status, mut total) = (0, 0, 0, 0);
    for _ in 0..2_000 {
        match workload.step() {
            Step::Remove(id) => {
                assert!(held.remove(&id).is_some());
                removed += 1;
            }
            Step::Put(row) => match held.insert(row.id, row.clone()) {
                None => added += 1,
                Some(before) if before.status != row.status => status += 1,
                Some(before) if before.total != row.total => total += 1,
                Some(_) => panic!("nothing changed: {row:?}"),
            },
        }
    }
    assert_eq!(held.len(), workload.orders().len());
    for (count, expected) in [(added, 200), (removed, 200), (status, 800), (total, 800)] {
        assert!((expected * 8 / 10..expected * 12 / 10).contains(&count), "{count}, not about {expected}");
    }
}

#[test]
fn the_mixed_queries_are_of_all_shapes() {
    let queries = Class::G.queries(10_000, 100_000);
    assert_eq!(queries.len(), 10_000);
    let mut shapes: BTreeMap<String, usize> = BTreeMap::new();
    for query in &queries {
        let name = format!("{:?}", query.shape);
        *shapes.entry(name.split('(').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    assert_eq!(shapes.len(), 9, "{shapes:?}");
    assert!(shapes.iter().all(|(name, count)| *count > 500 || name == "Minutes"), "{shapes:?}");
    assert!(queries.iter().any(|query| query.shape == Shape::Minutes(5)));
}

#[test]
fn the_tables_are_whole() {
    let mut text = Vec::new();
    report::write(&report::Scale::small(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("## ")).count(), 6, "{text}");
    for line in text.lines().filter(|line| line.starts_with('|')) {
        assert!(!line.contains("NaN") && !line.contains("inf"), "{line}");
    }
}

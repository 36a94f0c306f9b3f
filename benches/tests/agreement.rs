//! Both sides of the comparison do the same work, and the workload is the same on every run.

use liveset_benches::{Live, Recompute, Workload, queries, report};

#[test]
fn the_baseline_and_the_engine_have_the_same_results() {
    let mut workload = Workload::new(3_000, 7);
    let some = queries(100, 300);
    let texts: Vec<_> = some.iter().map(|query| query.query.clone()).collect();
    let mut live = Live::new(workload.orders(), &texts);
    let plans: Vec<_> = texts.iter().map(|query| live.prepare(query)).collect();
    let mut recompute = Recompute::new(workload.orders(), some);

    let mut changes = (0, 0);
    for round in 0..200 {
        let order = workload.change();
        let (engine, baseline) = (live.apply(vec![order.upsert()]), recompute.apply(&order));
        assert_eq!(engine, baseline, "change {round}");
        changes = (changes.0 + engine, changes.1 + baseline);
    }
    assert!(changes.0 > 200, "changes reach windows: {changes:?}");
    let mut full = 0;
    for (place, plan) in plans.iter().enumerate() {
        let (total, ids) = live.once(plan);
        assert_eq!((total, &ids), (recompute.total(place), &recompute.ids(place)), "{:?}", texts[place]);
        assert!(total > 0, "a query without a match measures nothing: {:?}", texts[place]);
        full += usize::from(total > ids.len());
    }
    assert!(full >= 20, "some windows are capped: {full}");
}

#[test]
fn a_seed_gives_one_workload() {
    let run = |seed| {
        let mut workload = Workload::new(50, seed);
        let changes = workload.changes(50);
        (workload.orders().to_vec(), changes)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    // Numbers before and after a change of the workload do not compare: it must not go unseen.
    let (orders, changes) = run(1);
    assert!(orders[0].json().starts_with(r#"{"id":"order-0000000","status":"sent","customer":"customer-3""#));
    assert!(changes[0].json().starts_with(r#"{"id":"order-0000007","status":"packed","#));
}

#[test]
fn changes_change_something() {
    let mut workload = Workload::new(50, 3);
    for _ in 0..1_000 {
        let before = workload.orders().to_vec();
        let order = workload.change();
        assert_ne!(order.json(), before[order.number as usize].json());
    }
}

#[test]
fn the_table_is_whole() {
    let mut text = Vec::new();
    report::write(&report::Scale::small(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("## ")).count(), 4, "{text}");
    for line in text.lines().filter(|line| line.starts_with('|')) {
        assert!(!line.contains("NaN") && !line.contains("inf"), "{line}");
    }
    // 4 + 2 + 2 + 9 rows under four heads of two lines.
    assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), 17 + 8, "{text}");
}

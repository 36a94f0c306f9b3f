//! Sources: positions, histories, and who may write to which set.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use liveset::{CommitError, Delivered, Liveset, Query, SetDef, Source, Tx};
use serde_json::json;

#[path = "../../examples/source.rs"]
mod example;

fn liveset() -> (Liveset, Source, Source) {
    let liveset = Liveset::builder()
        .set(SetDef::new("orders"))
        .set_from("market", SetDef::new("prices"))
        .set_from("market", SetDef::new("rates"))
        .set_from("depot", SetDef::new("stock"))
        .build()
        .unwrap();
    let (market, depot) = (liveset.source("market").unwrap(), liveset.source("depot").unwrap());
    (liveset, market, depot)
}

fn put(set: &'static str, id: u64, value: u64) -> impl FnMut(&mut Tx) {
    move |tx| tx.upsert(set, &json!({ "id": id, "value": value }))
}

#[test]
fn the_example_does_what_it_says() {
    example::main().unwrap();
}

#[test]
fn a_set_is_written_by_its_source_alone() {
    let (liveset, market, depot) = liveset();
    assert!(liveset.source("orders").is_none());
    let owner = |error: CommitError| match error {
        CommitError::ReadOnly { set, owner } => (set.to_string(), owner.map(|owner| owner.to_string())),
        error => panic!("{error}"),
    };
    let both = |tx: &mut Tx| {
        put("orders", 1, 1)(tx);
        tx.clear("prices");
    };
    assert_eq!(owner(liveset.commit(both).unwrap_err()), ("prices".into(), Some("market".into())));
    let guarded = liveset.commit(|tx| tx.only_if("nothing").upsert("stock", &json!({ "id": 1 })));
    assert_eq!(owner(guarded.unwrap_err()), ("stock".into(), Some("depot".into())));
    assert_eq!(owner(market.commit(1, put("orders", 1, 1)).unwrap_err()), ("orders".into(), None));
    assert_eq!(
        owner(depot.commit(1, put("rates", 1, 1)).unwrap_err()),
        ("rates".into(), Some("market".into()))
    );
    assert_eq!((market.position(), depot.position()), (0, 0));
    assert_eq!(liveset.query(Query::new("orders")).unwrap().count.total, 0);

    market.commit(1, put("prices", 1, 1)).unwrap();
    market.commit(2, put("rates", 1, 1)).unwrap();
    depot.commit(1, put("stock", 1, 1)).unwrap();
    liveset.commit(put("orders", 1, 1)).unwrap();
    let sources: Vec<_> = liveset.sets().iter().map(|set| set.source.as_str().to_owned()).collect();
    assert_eq!(sources, ["host", "market", "market", "depot"]);
}

#[test]
fn a_refused_commit_leaves_the_position_where_it_was() {
    let (_, market, _) = liveset();
    assert!(market.commit(5, |tx| tx.upsert("prices", &json!({ "no": "id" }))).is_err());
    assert_eq!((market.position(), market.skipped()), (0, 0));
    assert!(matches!(market.commit(5, put("prices", 1, 1)), Ok(Delivered::Applied(_))));
    assert!(matches!(market.commit(5, put("prices", 1, 2)), Ok(Delivered::Skipped)));
    market.advance(3);
    assert_eq!((market.position(), market.skipped()), (5, 1));
}

#[test]
fn another_history_counts_from_nothing() {
    let (liveset, market, depot) = liveset();
    assert_ne!(market.identity(), depot.identity());
    assert!(market.begin("a"));
    market.commit(9, put("prices", 1, 1)).unwrap();
    assert!(!market.begin("a"));
    assert_eq!(market.position(), 9);
    assert!(market.begin("b"));
    assert!(matches!(market.commit(1, put("prices", 1, 2)), Ok(Delivered::Applied(_))));
    let info = &liveset.sources()[1];
    let identity = info.identity.as_deref();
    assert_eq!((info.source.as_str(), identity, info.position, info.skipped), ("market", Some("b"), 1, 0));
}

#[test]
fn positions_are_of_a_history_whoever_follows_it() {
    let (here, market, depot) = liveset();
    let (there, same, _) = liveset();
    market.begin("a");
    same.begin("a");
    let first = |source: &Source| match source.commit(7, put("prices", 1, 1)) {
        Ok(Delivered::Applied(done)) => done.position,
        other => panic!("{other:?}"),
    };
    assert_eq!(first(&market), here.position("prices"));
    assert_eq!(first(&same), here.position("rates"), "of the same source");
    depot.begin("a");
    depot.advance(7);
    assert_ne!(here.position("stock"), here.position("prices"), "of another");
    same.begin("b");
    same.advance(7);
    assert_ne!(there.position("prices"), here.position("prices"), "of another history");
    assert_ne!(here.position("orders"), there.position("orders"));
}

#[test]
fn a_source_that_is_behind_is_named_and_counted() {
    let (liveset, market, depot) = liveset();
    let states =
        |liveset: &Liveset| liveset.sources().iter().map(|it| it.status().as_str()).collect::<Vec<_>>();
    market.notice(3, Duration::from_secs(4));
    depot.expect_heartbeats();
    assert_eq!(states(&liveset), ["live", "live", "live"]);
    market.notice(4, Duration::from_secs(6));
    assert_eq!(
        states(&liveset),
        ["live", "live", "live"],
        "the commits of a source are made one behind the other"
    );
    market.commit(3, put("prices", 1, 1)).unwrap();
    market.notice(9, Duration::from_secs(6));
    assert!(liveset.sources()[1].lag < Duration::from_secs(6));
    market.advance(4);
    assert!(liveset.sources()[1].lag > Duration::ZERO);
}

/// Redelivery from any earlier place, gaps, heartbeats and commits that are refused: what is there is what each position did once.
#[test]
fn random_deliveries_are_applied_once_and_in_order() {
    for seed in 0..200 {
        let mut random = Rng::with_seed(seed);
        let (liveset, market, _) = liveset();
        let mut position = 0;
        let log: Vec<(u64, u64)> = (0..40)
            .map(|_| {
                position += random.u64(1..5);
                (position, random.u64(0..6))
            })
            .collect();
        let (mut expected, mut last, mut skipped) = (BTreeMap::new(), 0, 0);
        let mut next = 0;
        while next < log.len() {
            if random.u32(..4) == 0 {
                next = random.usize(..=next);
            }
            let (position, id) = log[next];
            if random.u32(..10) == 0 {
                market.advance(position - 1);
                last = last.max(position - 1);
            }
            let delivered = market.commit(position, put("prices", id, position)).unwrap();
            match position > last {
                true => {
                    assert!(matches!(delivered, Delivered::Applied(_)), "seed {seed}");
                    expected.insert(id.to_string(), position);
                    last = position;
                }
                false => {
                    assert_eq!(delivered, Delivered::Skipped, "seed {seed}");
                    skipped += 1;
                }
            }
            next += 1;
        }
        assert_eq!((market.position(), market.skipped()), (last, skipped));
        let rows = liveset.query(Query::new("prices")).unwrap().rows;
        let value =
            |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap()["value"].as_u64();
        let rows: BTreeMap<_, _> =
            rows.iter().map(|row| (row.id().to_owned(), value(row.json()).unwrap())).collect();
        assert_eq!(rows, expected, "seed {seed}");
    }
}

/// Of two that deliver the same commits at once, each position is applied by one of them.
#[test]
fn two_deliver_the_same() {
    let (liveset, market, _) = liveset();
    let applied = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for position in 1..=200 {
                    let done = market.commit(position, put("prices", position, position)).unwrap();
                    let is_applied = matches!(done, Delivered::Applied(_));
                    applied.fetch_add(u64::from(is_applied), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!((applied.into_inner(), market.skipped(), market.position()), (200, 200, 200));
    assert_eq!(liveset.query(Query::new("prices")).unwrap().count.total, 200);
}

/// What was begun in one history says nothing of the next, which has positions of its own.
#[test]
fn a_commit_that_is_overtaken_by_another_history_is_skipped() {
    let (liveset, market, _) = liveset();
    market.begin("first");
    let overtaken = market.commit(100, |tx| {
        market.begin("second");
        put("prices", 1, 1)(tx);
    });
    assert!(matches!(overtaken.unwrap(), Delivered::Skipped));
    assert_eq!((market.position(), market.skipped()), (0, 1));
    assert_eq!(liveset.query(Query::new("prices")).unwrap().count.total, 0);
    assert!(matches!(market.commit(1, put("prices", 1, 2)).unwrap(), Delivered::Applied(_)));
    assert_eq!(market.position(), 1);
}

//! What windows hold is counted as they change, and bounded.

use fastrand::Rng;

use crate::{Engine, EngineLimits, FeedId, HashSeed, Op, OpenError, Query, SetDef, Timestamp};

const NOW: Timestamp = Timestamp::MIN;

fn engine(limits: EngineLimits) -> Engine {
    let mut engine = Engine::new(limits, HashSeed::FIXED);
    engine.define_set(SetDef::new("orders")).expect("a set");
    engine
}

fn put(id: u64, total: u64) -> Op {
    let node = format!(r#"{{"id":{id},"total":{total},"customer":{},"name":"{total:05}"}}"#, total % 7);
    Op::Upsert { set: "orders".into(), node: node.into() }
}

fn orders(count: u64) -> Vec<Op> {
    (0..count).map(|id| put(id, id)).collect()
}

#[test]
fn the_count_agrees_with_a_recount_whatever_happens() {
    for (seed, shards, slice_rows) in [(1, 1, 16_384), (2, 1, 7), (3, 4, 50), (4, 1, 50)] {
        let mut random = Rng::with_seed(seed);
        let mut engine = engine(EngineLimits::default().shards(shards).slice_rows(slice_rows));
        engine.commit(NOW, orders(300)).expect("good nodes");
        let mut open: Vec<FeedId> = Vec::new();
        let mut most = 0;
        for step in 0..1_500 {
            match random.u64(..10) {
                0..=2 => {
                    let (field, from) = (["customer", "total"][random.u64(..2) as usize], random.u64(..300));
                    let filter = match random.u64(..3) {
                        0 => String::new(),
                        1 => format!("{field} > {from}"),
                        _ => format!("customer == {} and total != {from}", random.u64(..7)),
                    };
                    let order = ["", "total", "name desc, total"][random.u64(..3) as usize];
                    let limit = [1, 3, 20, 200][random.u64(..4) as usize];
                    let query = Query::new("orders").filter(filter).order_by(order).limit(limit);
                    let plan = engine.prepare(&query).expect("a query");
                    open.push(engine.begin_open(NOW, &plan).expect("room").0);
                }
                3 if !open.is_empty() => {
                    let place = random.u64(..open.len() as u64) as usize;
                    engine.close(open.swap_remove(place));
                }
                4 => drop(engine.slice(1 + random.u64(..40) as usize)),
                _ => {
                    let ops = (0..=random.u64(..60)).map(|_| match random.u64(..3) {
                        0 => Op::Remove { set: "orders".into(), id: random.u64(..500).to_string() },
                        _ => put(random.u64(..500), random.u64(..300)),
                    });
                    let ops = ops.collect();
                    engine.commit(NOW, ops).expect("good ops");
                }
            }
            while engine.poll_update().is_some() {}
            let (recounted, _) = engine.recounted_window_bytes();
            assert_eq!(engine.stats().window_bytes, recounted, "seed {seed}, step {step}");
            most = most.max(recounted);
        }
        assert!(most > 50_000, "the windows held something: {most}");
        while engine.slice(1_000) {}
        let (counted, held) = engine.recounted_window_bytes();
        assert!(held <= counted * 3 && counted <= held * 3, "{counted} bytes stand for {held}");
        open.into_iter().for_each(|feed| engine.close(feed));
        assert_eq!(engine.stats().window_bytes, 0);
    }
}

#[test]
fn the_estimate_is_near_what_windows_hold() {
    let mut engine = engine(EngineLimits::default());
    engine.commit(NOW, orders(5_000)).expect("good nodes");
    for customer in 0..7 {
        let filter = format!("customer == {customer}");
        let plan = engine.prepare(&Query::new("orders").filter(filter).order_by("name")).expect("a query");
        engine.open(NOW, &plan).expect("room");
    }
    let mut random = Rng::with_seed(9);
    for _ in 0..200 {
        engine
            .commit(NOW, (0..100).map(|_| put(random.u64(..5_000), random.u64(..9_999))).collect())
            .expect("good");
        while engine.poll_update().is_some() {}
    }
    let (counted, held) = engine.recounted_window_bytes();
    assert!(counted * 2 > held && held * 2 > counted, "{counted} bytes stand for {held}");
}

/// What one window over a hundred nodes is counted as while it is made.
const ONE: usize = 100 * 32;

fn of_customer(engine: &mut Engine, customer: u64) -> Result<(FeedId, bool), OpenError> {
    let filter = format!("customer == {customer}");
    let plan = engine.prepare(&Query::new("orders").filter(filter).order_by("name")).expect("a query");
    engine.begin_open(NOW, &plan)
}

#[test]
fn a_new_window_that_might_be_too_much_is_refused() {
    for (max_window_bytes, is_let) in [(0, false), (1, false), (ONE - 1, false), (ONE, true)] {
        let mut engine = engine(EngineLimits::default().max_window_bytes(max_window_bytes));
        engine.commit(NOW, orders(100)).expect("good nodes");
        let opened = of_customer(&mut engine, 1);
        assert_eq!(opened.is_ok(), is_let, "{max_window_bytes}");
        if !is_let {
            assert_eq!(opened, Err(OpenError::TooMuchMemory { max: max_window_bytes }));
            let stats = engine.stats();
            assert_eq!((stats.views, stats.feeds, stats.window_bytes), (0, 0, 0), "nothing is left of it");
        }
    }
}

#[test]
fn windows_grow_beyond_the_limit_and_then_there_is_no_new_one() {
    let mut engine = engine(EngineLimits::default().max_window_bytes(2 * ONE));
    engine.commit(NOW, orders(100)).expect("good nodes");
    let (first, _) = of_customer(&mut engine, 1).expect("room");
    assert!(engine.stats().window_bytes < ONE as u64, "counted as what it holds once it is there");
    let more = (100..700).map(|id| put(id, 1)).collect();
    engine.commit(NOW, more).expect("a commit is never refused for this");
    assert!(engine.stats().window_bytes > 2 * ONE as u64);
    assert!(of_customer(&mut engine, 2).is_err());
    let (shared, is_there) = of_customer(&mut engine, 1).expect("what is shared costs nothing");
    assert!(is_there && shared == first);

    let gone = (100..700).map(|id| Op::Remove { set: "orders".into(), id: id.to_string() }).collect();
    engine.commit(NOW, gone).expect("good ops");
    assert!(of_customer(&mut engine, 2).is_ok(), "it has sunk");
}

#[test]
fn so_many_are_made_in_slices_at_once() {
    let limits = EngineLimits::default().max_filling(2).slice_rows(10);
    let mut engine = engine(limits);
    engine.commit(NOW, orders(100)).expect("good nodes");
    let opened: Vec<_> = (0..2).map(|customer| of_customer(&mut engine, customer)).collect();
    assert!(opened.iter().all(|opened| matches!(opened, Ok((_, false)))), "{opened:?}");
    let before = engine.stats();
    assert_eq!(of_customer(&mut engine, 2), Err(OpenError::TooManyFilling { max: 2 }));
    assert_eq!((engine.stats().views, engine.stats().window_bytes), (before.views, before.window_bytes));
    // Whoever asks the same waits along.
    assert!(matches!(of_customer(&mut engine, 1), Ok((_, false))));
    while engine.slice(1_000) {}
    assert!(of_customer(&mut engine, 2).is_ok());
}

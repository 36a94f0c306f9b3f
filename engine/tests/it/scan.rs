//! All rows that match a query, as they were when it was asked.

use std::collections::BTreeMap;

use fastrand::Rng;
use liveset_engine::{Engine, EngineLimits, HashSeed, Op, Query, SetDef, Timestamp};

fn upsert(id: u32, n: u32) -> Op {
    Op::Upsert { set: "a".into(), node: format!("{{\"id\":{id},\"n\":{n},\"m\":{id}}}").into_bytes().into() }
}

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2024-01-01T00:00:00Z").unwrap()
}

/// Whatever is committed between two steps, what is read is what one query saw when it was begun, each row once.
#[test]
fn what_is_read_is_of_the_moment_at_which_it_was_begun() {
    for seed in 0..30 {
        let mut random = Rng::with_seed(seed);
        let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
        engine.define_set(SetDef::new("a")).unwrap();
        let mut rows: BTreeMap<String, u32> = BTreeMap::new();
        let commit = |engine: &mut Engine, rows: &mut BTreeMap<String, u32>, random: &mut Rng, count: u32| {
            let mut ops = Vec::new();
            for _ in 0..count {
                let (id, n) = (random.u32(..600), random.u32(..10));
                if random.u32(..4) == 0 {
                    rows.remove(&id.to_string());
                    ops.push(Op::Remove { set: "a".into(), id: id.to_string() });
                } else {
                    rows.insert(id.to_string(), n);
                    ops.push(upsert(id, n));
                }
            }
            engine.commit(now(), ops).unwrap();
        };
        commit(&mut engine, &mut rows, &mut random, 1_000);
        let (filter, least) = [("", 0), ("n >= 5", 5), ("n == 9", 9)][random.usize(..3)];
        // The limit means nothing.
        let plan = engine.prepare(&Query::new("a").filter(filter).limit(3).fields(["n"])).unwrap();
        let mut scan = engine.scan(now(), &plan).unwrap().unwrap();
        let expected: Vec<String> =
            rows.iter().filter(|(_, n)| **n >= least).map(|(id, n)| format!("{id} {n}")).collect();
        let (version, before) = (engine.version(), engine.replaced_bytes("a"));
        let mut found = Vec::new();
        loop {
            let most = random.usize(..100);
            let (spent, may_go_on) = scan.step_within(most, random.u64(..1_000), |row| {
                let json = std::str::from_utf8(row.json()).unwrap();
                let n = json.rsplit_once("\"n\":").unwrap().1.trim_end_matches('}');
                assert_eq!(json, format!("{{\"id\":{},\"n\":{n}}}", row.id()), "as the query shows it");
                found.push(format!("{} {n}", row.id()));
            });
            assert!(spent > 0);
            if !may_go_on {
                break;
            }
            commit(&mut engine, &mut rows, &mut random, 20);
        }
        found.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(found, expected, "seed {seed}");
        assert_eq!(scan.version(), version);
        assert!(engine.replaced_bytes("a") >= before);
    }
}

#[test]
fn what_is_replaced_is_counted_and_what_comes_is_not() {
    let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
    engine.define_set(SetDef::new("a")).unwrap();
    engine.commit(now(), (0..10).map(|id| upsert(id, 1)).collect()).unwrap();
    assert_eq!(engine.replaced_bytes("a"), 0);
    // The same values again are no change.
    engine.commit(now(), vec![upsert(1, 1)]).unwrap();
    assert_eq!(engine.replaced_bytes("a"), 0);
    engine.commit(now(), vec![upsert(1, 2)]).unwrap();
    let one = engine.replaced_bytes("a");
    assert!(one > 20, "{one}");
    engine.commit(now(), vec![Op::Remove { set: "a".into(), id: "2".into() }]).unwrap();
    assert_eq!(engine.replaced_bytes("a"), 2 * one);
    assert_eq!(engine.replaced_bytes("b"), 0);
    let (set, rows) = engine.definition("a").unwrap();
    assert_eq!((set, rows), (SetDef::new("a"), 9));
    assert!(engine.definition("b").is_none());
}

//! The seed of the hash tables changes nothing that leaves an engine: the same operations under several seeds give the same bytes.

use std::fmt::Write;

use fastrand::Rng;
use liveset_engine::{
    Engine, EngineLimits, FeedId, FieldKind, HashSeed, Op, Query, SetDef, Stats, Timestamp, Tuning,
};

const START: i128 = 1_700_000_000_000_000_000;
const MINUTE: i128 = 60_000_000_000;

fn moment(minute: u64) -> Timestamp {
    Timestamp::from_unix_nanos(START + i128::from(minute) * MINUTE).expect("a moment of our time")
}

fn upsert(random: &mut Rng, minute: u64) -> Op {
    // Enough items that they are not compared one with another.
    let items: Vec<String> =
        (0..random.u64(..24)).map(|_| format!("\"item {}\"", random.u64(..12))).collect();
    let node = format!(
        r#"{{"id":"node {}","c":"customer {}","s":"{}","n":{},"at":"{}","items":[{}]}}"#,
        random.u64(..500),
        random.u64(..40),
        ["new", "open", "done"][random.u64(..3) as usize],
        random.u64(..20),
        moment(minute + random.u64(..60)),
        items.join(",")
    );
    Op::Upsert { set: "nodes".into(), node: node.into() }
}

fn query(random: &mut Rng) -> Query {
    let (a, b, c) = (random.u64(..40), random.u64(..40), random.u64(..12));
    let filter = match random.u64(..11) {
        0 => format!("c == 'customer {a}'"),
        1 => format!("c in ['customer {a}', 'customer {b}', 'customer {a}', 'customer {c}']"),
        2 => format!("items anyof ['item {c}', 'item {}', 'item {c}']", a % 12),
        3 => format!("items allof ['item {c}', 'item {}']", b % 12),
        4 => format!("c == 'customer {a}' or s == 'open' and n == {c} or c == 'customer {a}'"),
        5 => format!("at > now - {c} minutes and at <= now + {a} minutes"),
        6 => format!("at > now + {a} minutes or at < now - {b} minutes or at > now + {a} minutes"),
        7 => format!("at + {c} minutes > now"),
        8 => format!("n >= {c} and n < {}", c + 3),
        9 => format!("x{a} == null and s == 'done'"),
        _ => format!("not (n < {c})"),
    };
    let order = ["", "n desc", "c, n", "at desc", "s, c desc"][random.u64(..5) as usize];
    Query::new("nodes").filter(filter).order_by(order).limit([2, 5, 1_000][random.u64(..3) as usize])
}

/// Everything that an engine puts out in a run of random operations.
fn run(seed: HashSeed, limits: &EngineLimits) -> String {
    let mut random = Rng::with_seed(0x5eed);
    let mut engine = Engine::new(limits.clone(), seed);
    engine.define_set(SetDef::new("nodes").field("at", FieldKind::Instant)).expect("a set");
    let mut feeds: Vec<FeedId> = Vec::new();
    let (mut minute, mut out) = (0, String::new());
    for _ in 0..400 {
        match random.u64(..10) {
            0..=3 => {
                let mut ops: Vec<Op> =
                    (0..1 + random.u64(..40)).map(|_| upsert(&mut random, minute)).collect();
                let removed = (0..random.u64(..10)).map(|_| format!("node {}", random.u64(..500)));
                ops.extend(removed.map(|id| Op::Remove { set: "nodes".into(), id }));
                let committed = engine.commit(moment(minute), ops).expect("good nodes");
                writeln!(out, "{committed:?}").unwrap();
            }
            4 => minute += random.u64(..8),
            5 if feeds.len() > 20 => {
                let place = random.u64(..feeds.len() as u64) as usize;
                engine.close(feeds.swap_remove(place));
            }
            _ => {
                let plan = engine.prepare(&query(&mut random)).expect("a query");
                let plan = if random.u64(..3) == 0 { plan.without_counts() } else { plan };
                writeln!(out, "{}", engine.explain(moment(minute), &plan).expect("a view")).unwrap();
                let (feed, _) = engine.begin_open(moment(minute), &plan).expect("room for a view");
                writeln!(out, "{feed:?} {:?}", engine.snapshot(feed)).unwrap();
                feeds.push(feed);
            }
        }
        engine.handle_timeout(moment(minute));
        if random.u64(..2) == 0 {
            engine.slice(50);
        }
        while let Some(feed) = engine.poll_opened() {
            writeln!(out, "{feed:?} {:?}", engine.snapshot(feed)).unwrap();
        }
        while let Some(update) = engine.poll_update() {
            let changes: Vec<_> = update.changes().collect();
            writeln!(out, "{:?} {} {:?} {changes:?}", update.feed, update.version, update.count).unwrap();
        }
        // All that is counted; what tables take may differ.
        let stats = Stats { row_bytes: 0, index_bytes: 0, ..engine.stats() };
        writeln!(out, "{:?} {stats:?}", engine.poll_timeout()).unwrap();
    }
    out
}

#[test]
fn no_output_depends_on_the_seed() {
    let tuned = |tuning| EngineLimits::default().tuning(tuning);
    let eager = Tuning { eager_indexes: true, ..Tuning::default() };
    for limits in [
        EngineLimits::default(),
        tuned(Tuning { small_slices: true, ..eager }).slice_rows(7),
        tuned(eager).shards(3),
    ] {
        let fixed = run(HashSeed::FIXED, &limits);
        assert!(fixed.matches("before: ").count() > 1_000, "there is something to compare");
        for number in 1..4 {
            let other = run(HashSeed::new([number, !number]), &limits);
            let differs = fixed.lines().zip(other.lines()).find(|(a, b)| a != b);
            assert_eq!(differs, None, "under seed {number}");
            assert_eq!(fixed.len(), other.len());
        }
    }
}

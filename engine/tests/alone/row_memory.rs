//! What a row takes: its text, half as much again, and 100 bytes, with everything that finds it by its id.

use liveset_engine::{Engine, EngineLimits, FieldKind, HashSeed, Op, Query, SetDef, Timestamp};

use crate::{HEAP, alone};

const ROWS: usize = 20_000;

fn row(id: usize) -> String {
    let (customer, region, cents) = (id % 2_000, id % 50, id % 100);
    let note: String = (0..100).map(|place| char::from(b'a' + ((id * 7 + place * 11) % 26) as u8)).collect();
    format!(
        r#"{{"id":"{}","status":"processing","customer":"customer-{customer}","region":"region-{region}","total":{customer}.{cents:02},"createdAt":"2024-02-{:02}T10:11:12Z","priority":{},"tags":["tag-1","tag-2"],"note":"{note}"}}"#,
        10_000_000 + id,
        id % 28 + 1,
        id % 6,
    )
}

/// Six fields of them are read by queries, an instant among these.
#[test]
fn a_row_takes_little_more_than_its_text() {
    let _alone = alone();
    let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
    engine.define_set(SetDef::new("orders").required("createdAt", FieldKind::Instant)).expect("a set");
    for filter in ["status == 'a' and customer == 'b'", "region == 'c' and note startswith 'abc'"] {
        let query = Query::new("orders").filter(filter).order_by("createdAt desc, total").limit(10);
        let plan = engine.prepare(&query).expect("a query");
        engine.open(Timestamp::UNIX_EPOCH, &plan).expect("room for a view");
    }
    let rows: Vec<String> = (0..ROWS).map(row).collect();
    let text: usize = rows.iter().map(String::len).sum();
    let before = HEAP.current_usage();
    for some in rows.chunks(1_000) {
        let ops = some.iter().map(|row| Op::Upsert { set: "orders".into(), node: row.clone().into() });
        engine.commit(Timestamp::UNIX_EPOCH, ops.collect()).expect("good rows");
    }
    let each = |bytes: usize| bytes as f64 / ROWS as f64;
    let (held, most) = (each(HEAP.current_usage() - before), 1.5 * each(text) + 100.0);
    assert!(held <= most, "{held:.0} bytes a row of {:.0} bytes of JSON, at most {most:.0}", each(text));
    let said = each(engine.stats().row_bytes as usize);
    assert!(
        (0.8 * held..=1.2 * held).contains(&said),
        "said to hold {said:.0} bytes a row, in truth {held:.0}"
    );
}

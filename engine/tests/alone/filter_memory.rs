//! What a kept query holds for each byte of its filter: the program, what finds it, and its canonical text. Where a filter has
//! very many tests of columns over `now`, the engine's list of the moments that they wait for comes on top, and is counted as well.

use liveset_engine::{Engine, EngineLimits, HashSeed, Op, Query, SetDef, Timestamp};

use crate::{HEAP, alone};

/// About so many bytes are in each filter.
const BYTES: usize = 16_000;
/// So many filters of each shape are kept at once.
const FILTERS: usize = 24;

/// Pieces until the filter is long enough.
fn fill(word: &str, piece: impl Fn(usize) -> String) -> String {
    let mut text = piece(0);
    for n in 1.. {
        let next = piece(n);
        if text.len() + word.len() + next.len() > BYTES {
            break;
        }
        text.extend([word, &next]);
    }
    text
}

fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

/// Bytes held for each byte of filter at most, of filters that all differ, as they come to be more and more; and for each byte that
/// they are said to take.
fn held(shape: &dyn Fn(usize) -> String) -> (f64, f64) {
    let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
    engine.define_set(SetDef::new("orders")).expect("a set");
    let now = Timestamp::parse_rfc3339("2025-01-01").expect("a moment");
    let row = Op::Upsert { set: "orders".into(), node: r#"{"id":1,"a":1}"#.into() };
    engine.commit(now, vec![row]).expect("a node");
    let open = |engine: &mut Engine, filter: &str| {
        let plan = engine.prepare(&Query::new("orders").filter(filter).limit(1)).expect("a filter");
        let (feed, _) = engine.open(now, &plan).expect("room for a view");
        engine.keeping(feed).expect("it is kept").bytes
    };
    open(&mut engine, &shape(FILTERS));
    let (mut filters, mut said, before) = (0, 0, HEAP.current_usage());
    let (mut most, mut most_said) = (0.0_f64, 0.0_f64);
    for number in 0..FILTERS {
        let filter = shape(number);
        filters += filter.len();
        said += open(&mut engine, &filter);
        drop(filter);
        if number > FILTERS / 4 {
            let held = (HEAP.current_usage() - before) as f64;
            most = most.max(held / filters as f64);
            most_said = most_said.max(held / said as f64);
        }
    }
    (most, most_said)
}

type Shape = (&'static str, Box<dyn Fn(usize) -> String>);

#[test]
fn a_filter_is_kept_in_at_most_eight_bytes_a_byte() {
    let _alone = alone();
    let shapes: Vec<Shape> = vec![
        ("or of ==", Box::new(|q| fill(" or ", |n| format!("a=={}", n + q * 3_000)))),
        ("and of not", Box::new(|q| fill(" and ", |n| format!("not(a<{})", n + q)))),
        (
            "in",
            Box::new(|q| {
                let of = |field| format!("{field} in [{}]", list(900, |n| (q * 900 + n).to_string()));
                format!("{} or {}", of("a"), of("b"))
            }),
        ),
        ("and of ==", Box::new(|q| fill(" and ", |n| format!("f{}=={}", n % 200, n + q * 3_000)))),
        ("== of many fields", Box::new(|q| fill(" or ", |n| format!("f{}=={}", n % 200, n + q * 3_000)))),
        ("pairs of ==", Box::new(|q| fill(" or ", |n| format!("a=={} and b=={}", n + q * 3_000, n)))),
        ("short numbers", Box::new(|q| format!("a in [{}]", list(1_000, |n| (n + q * 1_000).to_string())))),
        (
            "short numbers of many fields",
            Box::new(|q| fill(" or ", |f| format!("f{f} in [{}]", list(90, |n| (n + q * 90).to_string())))),
        ),
        (
            "short texts",
            Box::new(|q| {
                let text = |n: usize| {
                    let letters = [n / 676, n / 26, n].map(|n| char::from(b'a' + (n % 26) as u8));
                    format!("'{}'", String::from_iter(letters))
                };
                fill(" or ", |f| format!("f{f} anyof [{}]", list(700, |n| text(n + q * 700))))
            }),
        ),
        (
            "texts of ten bytes",
            Box::new(|q| format!("a in [{}]", list(1_000, |n| format!("'{:010}'", n + q * 1_000)))),
        ),
        ("long texts", Box::new(|q| fill(" or ", |n| format!("a == '{:0200}'", n + q * 1_000)))),
        ("one long text", Box::new(|q| format!("a contains '{:015000}'", q))),
        ("prefixes", Box::new(|q| fill(" or ", |n| format!("a startswith '{:05}'", n + q * 1_000)))),
        (
            "long prefixes",
            Box::new(|q| fill(" or ", |n| format!("a startswith 'twenty bytes alike {:05}'", n + q * 1_000))),
        ),
        (
            "instants",
            Box::new(|q| {
                format!(
                    "a in [{}]",
                    list(700, |n| format!("20{:02}-01-01T{:02}:{:02}:00Z", q, n / 60, n % 60))
                )
            }),
        ),
        (
            "ranges",
            Box::new(|q| {
                fill(" or ", |n| format!("a>{} and a<{}", 2 * n + q * 3_000, 2 * n + 1 + q * 3_000))
            }),
        ),
        (
            "deep nesting",
            Box::new(|q| {
                let leaves = |level: usize| list(30, |n| (q * 10_000 + level * 30 + n).to_string());
                (0..60).fold(format!("x in [{q}]"), |inner, level| {
                    let word = if level % 2 == 0 { "and" } else { "or" };
                    format!("({inner} {word} not (f{level} in [{}]))", leaves(level))
                })
            }),
        ),
        ("sums", Box::new(|q| fill(" or ", |n| format!("a + {} > b - {n}", n + q * 1_000)))),
        (
            "calendar",
            Box::new(|q| format!("a{} > 2024-01-01", fill("", |n| format!(" + {} months", 1 + (n + q) % 7)))),
        ),
        (
            "one moment of many steps",
            Box::new(|q| format!("at < now{}", fill("", |n| format!(" + {} days - 1 hours", n + q * 1_000)))),
        ),
        ("moments of data", Box::new(|q| fill(" or ", |n| format!("at == 2024-01-01T00:00:{q:02}.{n:04}Z")))),
    ];
    let measured: Vec<(&str, f64)> = shapes.iter().map(|(name, shape)| (*name, held(shape).0)).collect();
    let shown: Vec<String> = measured.iter().map(|(name, held)| format!("{held:6.2} {name}")).collect();
    assert!(
        measured.iter().all(|(_, held)| *held <= 8.0),
        "bytes held for a byte of filter:\n{}",
        shown.join("\n")
    );
    // Each of very many moments is on the account of whoever asks for it.
    let moments = |q: usize| fill(" or ", |n| format!("at{}<now-{} days", n % 3, n + q * 1_000));
    let (_, said) = held(&moments);
    assert!(said <= 1.0, "{said:.2} bytes are held for each that is counted");
}

//! Every kind of value against every kind of literal and of value, by every operator: one-shot queries against the oracle.

use liveset_core::ErrorCode;
use liveset_engine::{FieldKind, SetDef};
use liveset_fuzz::oracle::build::names;
use liveset_fuzz::oracle::{self, Cmp, Direction, Expr, Lit, Op, Query, Store, Sum, TextOp, Unit};
use liveset_hub::test_kit::{World, upsert};
use liveset_hub::{HubConfig, OneShot};

const NUMBERS: [&str; 20] = [
    "0",
    "-0.0",
    "1",
    "1.0",
    "-1",
    "1.5",
    "1e2",
    "100",
    "5e-324",
    "-1e-7",
    "1e300",
    "-1e300",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "9007199254740993.0",
    "9223372036854775807",
    "9223372036854775808.0",
    "-9223372036854775808",
    "18446744073709551615",
];

const TEXTS: [&str; 16] = [
    "",
    "a",
    "ab",
    "b",
    "B",
    "é",
    "\u{ffff}",
    "𝄞",
    "it's \"so\"",
    "2024-02-29",
    "2024-02-29T00:00:00Z",
    "2024-02-29T01:00:00+01:00",
    "2024-02-30",
    "2024-02-29T24:00:00Z",
    "2024-02-29t00:00:00z",
    "2024-02-28T23:59:59.999999999Z",
];

const OTHERS: [&str; 14] = [
    "null",
    "true",
    "false",
    "[]",
    "[1]",
    "[1.0,2]",
    "[null]",
    "[\"2024-02-29\",\"a\"]",
    "[[1],{\"k\":1}]",
    "{}",
    "{\"k\":1}",
    "{\"k\":1.0,\"l\":[2]}",
    "{\"l\":[2],\"k\":1}",
    "{\"k\":null}",
];

const COMPARISONS: [Cmp; 6] = [Cmp::Eq, Cmp::Ne, Cmp::Lt, Cmp::Le, Cmp::Gt, Cmp::Ge];

fn values() -> Vec<String> {
    let texts = TEXTS.iter().map(|text| serde_json::Value::from(*text).to_string());
    NUMBERS.iter().chain(&OTHERS).map(|text| (*text).to_owned()).chain(texts).collect()
}

fn literals() -> Vec<Lit> {
    let numbers = NUMBERS.iter().map(|text| Lit::Num((*text).to_owned()));
    let texts = TEXTS.iter().map(|text| Lit::Text((*text).to_owned()));
    let instants = ["2024-02-29", "2024-02-28T23:00:00-01:00", "2024-02-28T23:59:59.999999999Z"];
    let instants = instants.iter().map(|text| Lit::Instant((*text).to_owned()));
    numbers.chain(texts).chain(instants).chain([Lit::Nothing, Lit::Bool(true), Lit::Bool(false)]).collect()
}

struct Pair {
    world: World,
    store: Store,
    checked: usize,
    refused: usize,
}

impl Pair {
    /// Nodes with each value as `a`, and each as `b`, in all combinations where `both`.
    fn new(both: bool) -> Self {
        let mut world = World::new(0, HubConfig::default());
        let mut store = Store::default();
        world.hub_mut().define_set(SetDef::new("values")).expect("a set");
        store.define("values", "id", &[]);
        let declared = SetDef::new("instants").field("at", FieldKind::Instant);
        world.hub_mut().define_set(declared).expect("a set");
        store.define("instants", "id", &["at"]);
        let mut pair = Self { world, store, checked: 0, refused: 0 };
        let values = values();
        for (i, a) in values.iter().enumerate() {
            pair.add("values", &format!("{{\"id\":\"{i}\",\"a\":{a}}}"));
            for (j, b) in values.iter().enumerate().filter(|_| both) {
                pair.add("values", &format!("{{\"id\":\"{i}-{j}\",\"a\":{a},\"b\":{b}}}"));
            }
        }
        let instants = TEXTS.iter().filter(|text| oracle::instant(text).is_some());
        for (i, at) in instants.enumerate() {
            for (j, b) in values.iter().enumerate() {
                pair.add("instants", &format!("{{\"id\":\"{i}-{j}\",\"at\":\"{at}\",\"b\":{b}}}"));
            }
        }
        pair
    }

    fn add(&mut self, set: &str, node: &str) {
        self.world.commit(vec![upsert(set, node)]).expect("a node");
        self.store.apply(&[Op::upsert(set, node)]).expect("a node");
    }

    /// The hub's result is the oracle's, in number, order and content.
    fn check(&mut self, query: &Query) {
        let json = query.json(&mut |_| 0).to_string();
        let spec = liveset_core::Query::parse(json.as_bytes()).expect("a query");
        let now = self.world.now();
        let got = self.world.hub_mut().query(now, None, &spec).map(OneShot::run);
        if self.store.refuses(query) {
            assert_eq!(got.expect_err(&json).code, ErrorCode::InvalidQuery, "{json}");
            self.refused += 1;
            return;
        }
        let got = got.unwrap_or_else(|e| panic!("{}, of {json}", e.message));
        let shown = self.store.result(query, now.wall.unix_nanos(), 1_000);
        assert_eq!(got.count.total, shown.total, "{json}");
        let got: Vec<&str> = got.rows.iter().map(|row| row.id()).collect();
        let expected: Vec<&str> = shown.rows.iter().map(|(id, _)| &**id).collect();
        assert_eq!(got, expected, "{json}");
        self.checked += 1;
    }
}

fn path(dotted: &str) -> Sum {
    Sum::Path(names(dotted))
}

#[test]
fn values_against_literals() {
    let mut pair = Pair::new(false);
    for literal in literals() {
        for cmp in COMPARISONS {
            let sum = || Sum::Lit(literal.clone());
            pair.check(&Query::new("values").filter(Expr::Compare(path("a"), cmp, sum())));
            pair.check(&Query::new("values").filter(Expr::Compare(sum(), cmp, path("a"))));
            pair.check(&Query::new("instants").filter(Expr::Compare(path("at"), cmp, sum())));
        }
        let list = vec![literal.clone(), Lit::Num("1".into())];
        for membership in [Expr::In, Expr::AnyOf, Expr::AllOf] {
            pair.check(&Query::new("values").filter(membership(path("a"), list.clone())));
            pair.check(&Query::new("values").filter(membership(path("a"), vec![literal.clone()])));
            pair.check(&Query::new("values").filter(membership(path("a"), Vec::new())));
        }
        if let Lit::Text(_) = literal {
            for op in [TextOp::StartsWith, TextOp::EndsWith, TextOp::Contains] {
                let sum = Sum::Lit(literal.clone());
                pair.check(&Query::new("values").filter(Expr::Text(path("a"), op, sum.clone())));
                pair.check(&Query::new("values").filter(Expr::Text(sum, op, path("a"))));
            }
        }
    }
    assert!(pair.checked > 1_000 && pair.refused > 100, "{} {}", pair.checked, pair.refused);
}

#[test]
fn values_against_values() {
    let mut pair = Pair::new(true);
    for cmp in COMPARISONS {
        pair.check(&Query::new("values").filter(Expr::Compare(path("a"), cmp, path("b"))));
        pair.check(&Query::new("instants").filter(Expr::Compare(path("at"), cmp, path("b"))));
        let not = Expr::Not(Box::new(Expr::Compare(path("b"), cmp, path("at"))));
        pair.check(&Query::new("instants").filter(not));
        for literal in ["1", "-1", "0.5", "9223372036854775807", "1e300"] {
            let literal = || Box::new(Sum::Lit(Lit::Num(literal.into())));
            for sum in [Sum::Add(Box::new(path("a")), literal()), Sum::Sub(literal(), Box::new(path("a")))] {
                pair.check(&Query::new("values").filter(Expr::Compare(sum, cmp, path("b"))));
            }
        }
    }
}

#[test]
fn orders_of_all_values() {
    let mut pair = Pair::new(true);
    for (a, b) in [
        (Direction::Asc, Direction::Asc),
        (Direction::Asc, Direction::Desc),
        (Direction::Desc, Direction::Asc),
    ] {
        for limit in [0, 1, 7, 1_000] {
            pair.check(&Query::new("values").order("a", a).order("b", b).limit(limit));
            pair.check(&Query::new("values").order("b", b).limit(limit));
            pair.check(&Query::new("instants").order("at", a).order("b", b).limit(limit));
            pair.check(&Query::new("instants").order("b", b).order("at", b).limit(limit));
        }
    }
}

#[test]
fn the_calendar() {
    let mut pair = Pair::new(false);
    let instants = [
        "2023-01-31T10:00:00Z",
        "2023-12-31",
        "2024-01-30T23:59:59.999999999Z",
        "2024-02-29T12:00:00Z",
        "1900-03-31",
        "9999-12-31",
        "0000-01-01",
    ];
    for (i, at) in instants.iter().enumerate() {
        pair.add("values", &format!("{{\"id\":\"t{i}\",\"a\":\"{at}\"}}"));
    }
    for unit in Unit::ALL {
        for count in [0, 1, 12, 13, 400, 9_999, u64::from(u32::MAX), u64::MAX] {
            for sum in [path("a").plus(count, unit), path("a").minus(count, unit)] {
                for at in ["2023-02-28T23:59:59.999999999Z", "2024-02-29T12:00:00Z", "2024-03-01"] {
                    let at = Sum::Lit(Lit::Instant(at.into()));
                    for cmp in [Cmp::Lt, Cmp::Eq, Cmp::Ne, Cmp::Ge] {
                        pair.check(&Query::new("values").filter(Expr::Compare(sum.clone(), cmp, at.clone())));
                    }
                }
                pair.check(&Query::new("values").filter(Expr::Compare(sum.clone(), Cmp::Lt, Sum::Now)));
            }
        }
    }
}

//! Parameters: values that a query gives to names in its filter.

use std::collections::BTreeMap;

use fastrand::Rng;
use liveset_core::model::Param;
use liveset_engine::{
    Engine, EngineLimits, FieldKind, HashSeed, Number, Plan, Query, SetDef, Span, Timestamp, Unit,
};

use crate::support::pick;

fn engine() -> Engine {
    let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
    let set = SetDef::new("orders").field("total", FieldKind::Number).field("at", FieldKind::Instant);
    engine.define_set(set).unwrap();
    engine.define_set(SetDef::new("things")).unwrap();
    engine
}

fn plan(engine: &Engine, query: &Query) -> Result<Plan, String> {
    engine.prepare(query).map_err(|error| error.to_string())
}

/// A value, and the literal that is the same.
fn value(random: &mut Rng) -> (Param, String) {
    match random.u32(..7) {
        0 => (Param::Nothing, "nothing".into()),
        1 => (true.into(), "true".into()),
        2 => {
            let text = pick(
                random,
                &["", "x", "it's", "\"", "$x", "' or true or '", "2024-01-01", "now", "a\nb", "é🦀"],
            );
            (text.into(), format!("'{}'", text.replace('\'', "''")))
        }
        3 => {
            let number = random.i64(..) >> random.u32(..64);
            (number.into(), number.to_string())
        }
        4 => {
            let number = f64::from_bits(random.u64(..));
            match Number::from_f64(number) {
                Some(exact) => (number.into(), exact.to_string()),
                None => (u64::MAX.into(), u64::MAX.to_string()),
            }
        }
        5 => {
            let text = pick(random, &["2024-02-29", "2024-02-29T12:00:00.5+01:00", "0000-01-01T00:00:00Z"]);
            (Param::Instant(text.into()), text.into())
        }
        _ => {
            let text = pick(random, &["0 ticks", "7 days", "1 month", "90 ms", "10000 years"]);
            (Param::Duration(text.into()), text.into())
        }
    }
}

/// Where a value of every type is right, and where it is wrong: a filter with `$x` and, in its place, a literal.
#[test]
fn a_bound_value_is_the_literal_in_its_place() {
    let mut engine = engine();
    let random = &mut Rng::with_seed(1);
    let places = [
        "a == $x",
        "$x != a",
        "not (a < $x)",
        "b and a >= $x",
        "a in [1, $x, 'y']",
        "tags anyof [$x]",
        "a startswith $x",
        "a contains $x or $x == a",
        "a > now - $x",
        "a + $x > 5",
        "a - $x < now",
        "$x",
        "total > $x",
        "at == $x",
        "at in [$x, $x]",
        "total + $x > 2 - $x",
        "a == (($x))",
        "$x < 5",
        "a == 'z' and $x == $x",
    ];
    let lists = ["a in $x", "tags anyof $x", "not (tags allof $x)", "total in $x", "at in $x or a == 1"];
    let (mut same, mut refused) = (0, 0);
    for round in 0..6_000 {
        let (place, param, literal) = if round % 4 == 0 {
            let values: Vec<_> = (0..random.u32(..5)).map(|_| value(random)).collect();
            let literals: Vec<_> = values.iter().map(|(_, literal)| literal.as_str()).collect();
            let literal = format!("[{}]", literals.join(", "));
            let params = values.into_iter().map(|(param, _)| param).collect();
            (pick(random, &lists), Param::List(params), literal)
        } else {
            let (param, literal) = value(random);
            (pick(random, &places), param, literal)
        };
        let set = pick(random, &["orders", "things"]);
        let bound = plan(&engine, &Query::new(set).filter(place).bind("x", param));
        let written = plan(&engine, &Query::new(set).filter(place.replace("$x", &literal)));
        match (bound, written) {
            (Ok(bound), Ok(written)) => {
                assert_eq!(bound.filter(), written.filter(), "{place} with {literal}");
                assert_eq!(bound.filter().expr(), written.filter().expr(), "{place} with {literal}");
                // One view for both.
                let (_, _) = engine.open(Timestamp::UNIX_EPOCH, &written).unwrap();
                let views = engine.stats().views;
                let (_, _) = engine.open(Timestamp::UNIX_EPOCH, &bound).unwrap();
                assert_eq!(engine.stats().views, views);
                same += 1;
            }
            (Err(_), Err(_)) => refused += 1,
            (bound, written) => panic!("{place} with {literal}: {bound:?} and {written:?}"),
        }
    }
    assert!(same > 2_000 && refused > 1_000, "{same} are the same, {refused} refused");
}

#[test]
fn a_name_and_its_value_go_together() {
    let engine = engine();
    type Given<'a> = &'a [(&'a str, Param)];
    let cases: &[(&str, Given<'_>, &str)] = &[
        (
            "a == $x",
            &[],
            "filter, line 1, column 6: found $x, expected a name that 'params' has a value for, as '$' stands before it",
        ),
        (
            "a == $custmer",
            &[("customer", Param::from(1))],
            "filter, line 1, column 6: found $custmer, expected a name that 'params' has a value for, as '$' stands before it; did you mean '$customer'?",
        ),
        ("a == 1", &[("x", Param::from(1))], "params.x: found a value, expected '$x' in the filter"),
        ("", &[("x", Param::from(1))], "params.x: found a value, expected '$x' in the filter"),
        ("a == '$x'", &[("x", Param::from(1))], "params.x: found a value, expected '$x' in the filter"),
        ("a == $x.y", &[("x", Param::from(1))], "filter, line 1, column 6: found $x.y, expected a name that"),
        (
            "a == $x",
            &[("x", Param::from(["y"]))],
            "filter, line 1, column 6: found the list $x, expected a value",
        ),
        (
            "a in $x",
            &[("x", Param::from("y"))],
            "filter, line 1, column 6: found the value $x, expected a list",
        ),
        (
            "a in [$x]",
            &[("x", Param::from(["y"]))],
            "filter, line 1, column 7: found the list $x, expected a literal",
        ),
        (
            "a ==\n $principal.tenant",
            &[],
            "filter, line 2, column 2: found $principal.tenant, expected a value of the query: '$' and 'principal' begin a claim",
        ),
        (
            "a == $principal",
            &[("principal", Param::from(1))],
            "params.principal: found a value, expected another name",
        ),
        (
            "a == $`p.q`",
            &[("p.q", Param::from(1))],
            "params.p.q: found a dot in the name, expected a name without dots",
        ),
        (
            "a == 1",
            &[("", Param::from(1))],
            "params.: found an empty name, expected a name of one character or more",
        ),
        (
            "a == $x",
            &[("x", Param::Instant("yesterday".into()))],
            "params.x: found 'yesterday', expected an instant such as",
        ),
        (
            "a == $x",
            &[("x", Param::Instant("2023-02-29".into()))],
            "params.x: found '2023-02-29', expected an instant",
        ),
        (
            "a > now - $x",
            &[("x", Param::Duration("7".into()))],
            "params.x: found '7', expected a whole number and a unit",
        ),
        ("a > now - $x", &[("x", Param::Duration("-7 days".into()))], "params.x: found '-7 days', expected"),
        (
            "a > now - $x",
            &[("x", Param::Duration("10001 years".into()))],
            "params.x: found '10001 years', expected",
        ),
        ("a in $x", &[("x", Param::List(vec![Param::List(vec![])]))], "params.x: found an array in an array"),
        (
            "a == $x",
            &[("x", Param::Number(Number::Float(f64::NAN)))],
            "params.x: found the number NaN, expected a finite number",
        ),
        (
            "total == $x",
            &[("x", Param::from("10"))],
            "filter, line 1, column 10: found '$x', expected a number, as 'total' is declared as a number",
        ),
        (
            "total in $x",
            &[("x", Param::from(["10"]))],
            "filter, line 1, column 10: found '$x', expected a number",
        ),
        (
            "a < $x",
            &[("x", Param::Duration("7 days".into()))],
            "filter, line 1, column 3: found a field < a duration",
        ),
    ];
    for (filter, params, expected) in cases {
        let params: BTreeMap<_, _> =
            params.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        let error = plan(&engine, &Query { params, ..Query::new("orders").filter(*filter) }).unwrap_err();
        assert!(error.starts_with(expected), "{filter}: {error}");
        assert!(expected.contains("did you mean") || !error.contains("did you mean"), "{filter}: {error}");
    }
    let order = Query { order_by: Some("$x".into()), ..Query::new("orders").filter("a == $x").bind("x", 1) };
    assert_eq!(plan(&engine, &order).unwrap_err(), "orderBy, line 1, column 1: found '$', expected a path");
}

#[test]
fn values_have_limits() {
    let engine = engine();
    let many = |count: usize| {
        let names = (0..count).map(|n| format!("a == $n{n:03}")).collect::<Vec<_>>().join(" or ");
        (0..count)
            .fold(Query::new("things").filter(names), |query, n| query.bind(format!("n{n:03}"), n as u64))
    };
    assert!(plan(&engine, &many(64)).is_ok());
    assert_eq!(plan(&engine, &many(65)).unwrap_err(), "params.n064: found 65 names, expected at most 64");
    let list = |items: u64| Query::new("things").filter("a in $x").bind("x", (0..items).collect::<Vec<_>>());
    assert!(plan(&engine, &list(1_000)).is_ok());
    let error = plan(&engine, &list(1_001)).unwrap_err();
    assert_eq!(
        error,
        "filter, line 1, column 6: found the list $x of 1001 items, expected at most 1000 items"
    );
    // A text takes its quotes and a byte to part it from the next.
    let text = |bytes: usize, filter: &str| Query::new("things").filter(filter).bind("x", "y".repeat(bytes));
    assert!(plan(&engine, &text(16 * 1024 - 3, "a == $x")).is_ok());
    let error = plan(&engine, &text(16 * 1024 - 2, "a == $x")).unwrap_err();
    let expected =
        "found $x, expected values of at most 16384 bytes, all together, each as often as it is used";
    assert_eq!(error, format!("filter, line 1, column 6: {expected}"));
    assert!(plan(&engine, &text(8 * 1024 - 3, "a == $x or b == $x")).is_ok());
    let error = plan(&engine, &text(8 * 1024 - 2, "a == $x or b == $x")).unwrap_err();
    assert_eq!(error, format!("filter, line 1, column 17: {expected}"));
    // Whoever uses a long value often gets no further than that.
    let often = vec!["a == $x"; 1_000].join(" or ");
    assert!(plan(&engine, &text(1_000, &often)).unwrap_err().contains(expected));
}

#[test]
fn values_of_the_engine_can_be_bound() {
    let at = Timestamp::parse_rfc3339("2024-02-29T12:00:00Z").unwrap();
    let week = Span { count: 7, unit: Unit::Days };
    let query = Query::new("orders").filter("at > $at - $week").bind("at", at).bind("week", week);
    assert_eq!(plan(&engine(), &query).unwrap().filter().to_string(), "at > 2024-02-29T12:00:00Z - 7 days");
}

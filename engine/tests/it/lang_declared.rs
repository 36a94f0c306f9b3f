//! What a set declares is minded by its queries and its commits, sentence by sentence.

use liveset_engine::{
    Engine, EngineLimits, FieldKind, HashSeed, Op, Query, QueryError, SetDef, Timestamp, Tuning,
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn orders() -> SetDef {
    SetDef::new("orders")
        .field("total", FieldKind::Number)
        .field("paid", FieldKind::Bool)
        .required("status", FieldKind::Text)
        .field("at", FieldKind::Instant)
        .field("tags", FieldKind::List)
        .field("customer", FieldKind::Object)
        .field("customer.name", FieldKind::Text)
}

fn engine(def: SetDef) -> Engine {
    let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
    engine.define_set(def).expect("a set");
    engine
}

fn refused(engine: &Engine, filter: &str) -> liveset_engine::ExprError {
    match engine.prepare(&Query::new("orders").filter(filter)) {
        Err(QueryError::Filter(error)) => error,
        other => panic!("{filter}: {other:?}"),
    }
}

#[test]
fn what_can_never_be_true_of_a_declared_field_is_an_error() {
    let engine = engine(orders());
    // The filter; the column; a part of what would be right; what was probably meant.
    let cases: &[(&str, usize, &str, Option<&str>)] = &[
        // "comparing a declared number, boolean, instant, text or list with a literal of another type"
        ("total == 'ten'", 10, "a number, as 'total' is declared as a number", None),
        ("total == '10'", 10, "a number", Some("10")),
        ("total != true", 10, "a number", None),
        ("total > 2024-01-01", 9, "a number", None),
        ("'ten' == total", 1, "a number", None),
        ("total > now", 9, "a number", None),
        ("paid == 1", 9, "'true' or 'false'", None),
        ("paid == 'true'", 9, "'true' or 'false'", Some("true")),
        ("paid > 5", 8, "'true' or 'false'", None),
        ("at == 5", 7, "an instant", None),
        ("at >= true", 7, "an instant", None),
        ("status == 5", 11, "text, as 'status' is declared as text", Some("'5'")),
        ("status != false", 11, "text", None),
        ("customer.name == 7", 18, "text", Some("'7'")),
        ("tags == 'x'", 9, "'anyof' or 'allof'", None),
        ("tags == 5", 9, "'anyof' or 'allof'", None),
        ("tags < tags", 6, "a list < a list", None),
        ("customer == 'x'", 13, "one of its own fields", None),
        ("total == status", 7, "a number == text", None),
        // "the items of lists"
        ("total in [1, 'x', 2]", 14, "a number", None),
        ("status in ['a', 5]", 17, "text", Some("'5'")),
        ("at in [2024-01-01, 'soon']", 20, "an instant", None),
        ("paid in [1]", 10, "'true' or 'false'", None),
        // "a declared non-boolean alone as a test"
        ("total", 1, "'total' alone, expected a test, as the field is declared as a number", None),
        ("paid and (status)", 10, "declared as text", None),
        ("not at", 5, "declared as an instant", None),
        ("tags or paid", 1, "declared as a list", None),
        // "a text operator on what is no text"
        ("total startswith 'x'", 1, "expected text", None),
        ("paid contains 'x'", 1, "expected text", None),
        ("status contains total", 17, "expected text", None),
        // "Text operators on a declared instant"
        ("at startswith '2024'", 1, "found an instant, expected text", None),
        ("at contains '2024'", 1, "expected text", None),
        // "`contains` on a list (say `anyof`)"
        ("tags contains 'x'", 6, "'anyof' and items in brackets", Some("anyof ['x']")),
        ("tags contains status", 6, "'anyof'", None),
        ("tags startswith 'x'", 6, "'anyof'", None),
        ("tags in ['x']", 6, "'anyof'", Some("anyof")),
        ("status anyof ['x']", 1, "a field that holds a list", None),
        ("total allof [1]", 1, "a field that holds a list", None),
        // "declared text against an instant or `now`"
        ("status > 2024-01-01", 10, "text", Some("'2024-01-01'")),
        ("status < now", 10, "text", None),
        ("now - 7 days < status", 1, "text", None),
        ("status + 7 days > now", 8, "instant ± duration", None),
        ("status == at", 8, "text == an instant", None),
        // "a text literal that is no RFC 3339 against a declared instant"
        ("at > 'yesterday'", 6, "an instant, such as 2023-01-31", None),
        ("at == '2016-12-31T23:59:60Z'", 7, "an instant", None),
        ("at == '2024-01-01 10:00:00'", 7, "an instant", None),
        // Sums.
        ("status + 1 == 2", 8, "number ± number", None),
        ("total + 5 days > now", 7, "instant ± duration", None),
        ("paid + 1 == 2", 6, "number ± number", None),
        ("at + 1 == 2", 4, "instant ± duration", None),
    ];
    for (filter, column, part, suggestion) in cases {
        let error = refused(&engine, filter);
        let shown = error.to_string();
        assert_eq!((error.line, error.column), (1, *column), "{filter}: {shown}");
        assert!(shown.contains(part), "{filter}: {shown}");
        assert_eq!(error.suggestion.as_deref(), *suggestion, "{filter}: {shown}");
    }
}

#[test]
fn what_may_be_true_of_a_declared_field_is_legal() {
    let engine = engine(orders());
    for filter in [
        // "`nothing` excepted: it asks whether the field is there"
        "total == nothing",
        "at != nothing and tags == nothing and customer != nothing and paid == null",
        "total in [1, nothing]",
        "total < nothing",
        "total + 1 > 5.0",
        "paid and not paid == false",
        "status > 'a' and status startswith 'x' and customer.name contains status",
        "at > '2024-01-01' and at <= '2024-01-01t10:00:00.5+01:00' and at < now - 7 days",
        "at in ['2024-01-01', 2024-01-02]",
        "at + 5 days > at",
        "tags anyof ['x', 5] and tags allof []",
        "tags == other and customer == other",
        "total == other and status == other",
        "other == 5 or other == 'x' or other",
        "id == 5 or id == 'x'",
    ] {
        if let Err(error) = engine.prepare(&Query::new("orders").filter(filter)) {
            panic!("{filter}: {error}");
        }
    }
}

#[test]
fn a_strict_set_has_declared_fields_only() {
    let mut engine = engine(orders().strict());
    // "filter, orderBy and fields may name declared fields only", "with the nearest name in the error".
    let ok = Query::new("orders")
        .filter("id == 1 and status == 'x' and customer.name == 'y' and customer != nothing")
        .order_by("total desc, customer.name, id")
        .fields(["status", "customer", "customer.name"]);
    engine.prepare(&ok).expect("only declared fields");
    let cases = [
        (
            Query::new("orders").filter("status == 'x' and\n statu == 'y'"),
            "filter, line 2, column 2",
            "'status'",
        ),
        (Query::new("orders").filter("customer.nme == 'y'"), "filter, line 1, column 1", "'customer.name'"),
        (Query::new("orders").filter("status == pending"), "column 11: found 'pending'", ""),
        (
            Query::new("orders").filter("customer.address.city == 'y'"),
            "which the set does not declare",
            "'customer'",
        ),
        (Query::new("orders").order_by("status, totl desc"), "orderBy, line 1, column 9", "'total'"),
        (Query::new("orders").fields(["status", "tag"]), "node.fields, field 'tag'", "'tags'"),
        (Query::new("orders").fields(["at.x"]), "which the set does not declare", "'at'"),
    ];
    for (query, place, near) in cases {
        let shown = engine.prepare(&query).expect_err("a field that is not declared").to_string();
        assert!(shown.contains(place), "{shown}");
        assert_eq!(near.is_empty(), !shown.contains("did you mean"), "{shown}");
        assert!(shown.contains(near), "{shown}");
    }
    // The parser that runs ahead of the engine minds it too.
    let parsed = engine.query_parser().parse(Query::new("orders").filter("statu == 'y'"));
    assert!(engine.plan(&parsed).is_err());

    // "a row with another field is refused at the commit", all or nothing, naming row and field.
    let upsert = |node: &'static str| Op::Upsert { set: "orders".into(), node: node.into() };
    let good = r#"{"id":1,"status":"new","customer":{"name":"a","anything":[1]}}"#;
    let error = engine
        .commit(NOW, vec![upsert(good), upsert(r#"{"id":2,"status":"new","totl":5}"#)])
        .expect_err("a field that is not declared");
    assert_eq!(
        error.to_string(),
        "operation 1: set 'orders', node '2': field 'totl' is not declared, and the set is strict \
         (did you mean 'total'?)"
    );
    let plan = engine.prepare(&Query::new("orders")).expect("a query");
    assert_eq!(engine.evaluate(NOW, &plan).expect("a result").count.total, 0);
    assert_eq!(engine.commit(NOW, vec![upsert(good)]).expect("it is as declared").changed, 1);
    // Reading ahead leaves to the commit what it refuses.
    let mut ops = vec![upsert(r#"{"id":3,"status":"new","x":null}"#)];
    engine.row_reader(["orders"]).read(&mut ops);
    assert!(matches!(ops[..], [Op::Upsert { .. }]) && engine.commit(NOW, ops).is_err());
}

#[test]
fn row_filters_mind_what_is_declared() {
    use liveset_engine::{Literal, Parameter};
    let engine = engine(orders().strict());
    let text = |_: &str| Some(Parameter::One(Literal::Text("x".into())));
    let many =
        |_: &str| Some(Parameter::Many(vec![Literal::Number(5_i64.into()), Literal::Text("x".into())]));
    let unknown = |_: &str| Some(Parameter::Unknown);
    assert!(engine.row_filter("orders", "status != $principal.a", &text).is_ok());
    for filter in
        ["total != $principal.a", "paid == $principal.a", "at > $principal.a", "other == $principal.a"]
    {
        assert!(engine.row_filter("orders", filter, &text).is_err(), "{filter}");
    }
    assert!(engine.row_filter("orders", "total in $principal.a", &many).is_err());
    assert!(engine.row_filter("orders", "tags anyof $principal.a", &many).is_ok());
    // What a claim holds is not known before.
    for filter in
        ["total != $principal.a", "total in $principal.a", "total in [1, $principal.a]", "at > $principal.a"]
    {
        assert!(engine.row_filter("orders", filter, &unknown).is_ok(), "{filter}");
    }
    assert!(engine.row_filter("orders", "total == 'x' or total == $principal.a", &unknown).is_err());
    // Of a set that there is not, nothing is declared.
    assert!(engine.row_filter("nowhere", "total == 'x'", &text).is_ok());
}

/// "`limit: 0` is a live count": no rows, the count, and capped as soon as one row matches.
#[test]
fn a_limit_of_nothing_is_a_live_count() {
    for eager in [false, true] {
        for (filter, order) in [("", ""), ("total > 5", ""), ("total > 5", "total"), ("", "total desc")] {
            let limits = EngineLimits::default().tuning(Tuning { stretches: eager, ..Tuning::default() });
            let mut engine = Engine::new(limits, HashSeed::FIXED);
            engine.define_set(SetDef::new("orders")).expect("a set");
            let query = Query::new("orders").filter(filter).order_by(order).limit(0);
            let plan = engine.prepare(&query).expect("a query");
            assert_eq!(plan.cap(), 0);
            let (_, snapshot) = engine.open(NOW, &plan).expect("there is room");
            assert_eq!((snapshot.count.total, snapshot.count.capped, snapshot.rows.len()), (0, false, 0));
            let mut counts = Vec::new();
            for n in 0..6 {
                let op = match n {
                    0..=2 => Op::Upsert {
                        set: "orders".into(),
                        node: format!(r#"{{"id":{n},"total":{}}}"#, 10 + n).into(),
                    },
                    // A change of a row that stays is no news.
                    3 => Op::Upsert { set: "orders".into(), node: r#"{"id":0,"total":99}"#.into() },
                    _ => Op::Remove { set: "orders".into(), id: (n - 4).to_string() },
                };
                engine.commit(NOW, vec![op]).expect("a commit");
                while let Some(update) = engine.poll_update() {
                    assert_eq!(update.len(), 0, "{filter} {order}");
                    counts.extend(update.count.map(|count| (count.total, count.capped)));
                }
                let once = engine.evaluate(NOW, &plan).expect("a result");
                assert_eq!((once.count.capped, once.rows.len()), (once.count.total > 0, 0));
            }
            assert_eq!(counts, [(1, true), (2, true), (3, true), (2, true), (1, true)], "{filter} {order}");
        }
    }
}

/// "A new spelling of an equal number, another order of keys, white space are no change and keep the old text."
#[test]
fn another_spelling_is_no_change() {
    let mut engine = engine(SetDef::new("orders"));
    let upsert = |node: &str| vec![Op::Upsert { set: "orders".into(), node: node.to_owned().into() }];
    let first = r#"{"id":"a","n":-2,"m":{"x":1}}"#;
    assert_eq!(engine.commit(NOW, upsert(first)).expect("a node").changed, 1);
    // A sum of integers is exact, and stays so: the old number is kept.
    let query = Query::new("orders").filter("n + 9007199254740995 == 9007199254740993");
    let plan = engine.prepare(&query).expect("a query");
    let (_, snapshot) = engine.open(NOW, &plan).expect("there is room");
    assert_eq!(snapshot.count.total, 1);
    for again in [
        r#"{"id":"a","n":-2.0,"m":{"x":1}}"#,
        r#"{"m":{"x":1e0},"id":"a","n":-2}"#,
        "{ \"id\" : \"a\",\n\"n\":-20e-1, \"m\":{\"x\":1} }",
    ] {
        assert_eq!(engine.commit(NOW, upsert(again)).expect("a node").changed, 0, "{again}");
        assert!(engine.poll_update().is_none(), "{again}");
        let held = engine.evaluate(NOW, &plan).expect("a result");
        assert_eq!(held.rows[0].json(), first.as_bytes(), "{again}");
    }
    assert_eq!(engine.commit(NOW, upsert(r#"{"id":"a","n":-2.5,"m":{"x":1}}"#)).expect("a node").changed, 1);
}

/// "An id that is the number `-0` is `0`."
#[test]
fn the_id_minus_zero_is_zero() {
    let mut engine = engine(SetDef::new("orders"));
    for node in [r#"{"id":0,"n":1}"#, r#"{"id":-0,"n":2}"#, r#"{"id":"0","n":3}"#] {
        let op = Op::Upsert { set: "orders".into(), node: node.into() };
        engine.commit(NOW, vec![op]).expect("a node");
    }
    let plan = engine.prepare(&Query::new("orders").fields(Vec::<String>::new())).expect("a query");
    let all = engine.evaluate(NOW, &plan).expect("a result");
    let rows: Vec<_> = all.rows.iter().map(|row| (row.id(), row.json())).collect();
    // "`fields: []` is the key alone."
    assert_eq!(rows, [("0", &br#"{"id":"0"}"#[..])]);
}

/// "`explain` prints values", not the bytes of keys.
#[test]
fn explain_prints_values() {
    let mut engine = engine(SetDef::new("orders").field("at", FieldKind::Instant));
    for (filter, expected) in [
        ("total >= 10 and total < 20.5", "total from 10 and below 20.5"),
        ("name startswith 'ab'", "name begins with 'ab'"),
        ("at == 2024-01-31", "at is 2024-01-31"),
        ("at > '2024-01-31T10:00:00Z'", "at above 2024-01-31T10:00:00Z"),
        ("name <= 'm'", "name up to 'm'"),
        ("total > 5", "total above 5"),
        ("customer == 7", "customer is 7"),
    ] {
        let plan = engine.prepare(&Query::new("orders").filter(filter)).expect("a query");
        let explain = engine.explain(NOW, &plan).expect("few fields are read");
        assert_eq!(explain.probes, [expected], "{filter}");
        assert!(explain.to_string().contains(expected));
    }
}

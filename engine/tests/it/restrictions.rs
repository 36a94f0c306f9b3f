//! Queries over what somebody may see: parameters, row filters, hidden fields.

use liveset_engine::{
    Engine, EngineLimits, Filter, HashSeed, Literal, Op, Parameter, Plan, Projection, Query, QueryLimits,
    SetDef, Timestamp,
};

const NOW: Timestamp = Timestamp::MIN;

fn text(text: &str) -> Parameter {
    Parameter::One(Literal::Text(text.into()))
}

fn given(name: &str) -> Option<Parameter> {
    match name {
        "principal.tenant" => Some(text("a 'quoted' tenant")),
        "principal.in" => Some(text("keywords are names here")),
        "principal.level" => Some(Parameter::One(Literal::Number(7_i64.into()))),
        "principal.regions" => {
            Some(Parameter::Many(["eu", "us"].map(|region| Literal::Text(region.into())).into()))
        }
        "later" => Some(Parameter::Unknown),
        _ => None,
    }
}

fn parse(filter: &str) -> Result<Filter, String> {
    Filter::parse_with(filter, &QueryLimits::default(), &given).map_err(|error| error.to_string())
}

#[test]
fn parameters_are_as_if_their_values_were_written() {
    for (with, without) in [
        ("tenant == $principal.tenant", "tenant == 'a ''quoted'' tenant'"),
        ("a == $principal.in", "a == 'keywords are names here'"),
        ("level <= $principal.level - 2", "level <= 7 - 2"),
        ("region in $principal.regions", "region in ['eu', 'us']"),
        (
            "tags anyof $principal.regions and not (x in [$principal.level, 3])",
            "tags anyof ['eu', 'us'] and not (x in [7, 3])",
        ),
    ] {
        assert_eq!(parse(with).unwrap(), Filter::parse(without, &QueryLimits::default()).unwrap(), "{with}");
    }
}

#[test]
fn wrong_parameters_are_errors_at_their_place() {
    for (filter, error) in [
        (
            "a == $principal.nobody",
            "line 1, column 6: found $principal.nobody, expected a parameter that there is",
        ),
        ("a == $principal.regions", "line 1, column 6: found the list $principal.regions, expected a value"),
        ("a in $principal.level", "line 1, column 6: found the value $principal.level, expected a list"),
        (
            "a in [$principal.regions]",
            "line 1, column 7: found the list $principal.regions, expected a literal",
        ),
        ("a == $", "line 1, column 7: found the end, expected a path"),
    ] {
        assert_eq!(parse(filter).unwrap_err(), error);
    }
    assert!(parse("a startswith $principal.level").is_err(), "kinds are checked");
    for filter in ["a == $later", "a in $later", "a in [$later]", "a < now - 1 days and $later < 3"] {
        assert!(parse(filter).is_ok(), "{filter}");
    }
}

#[test]
fn clients_have_no_parameters() {
    let error = Filter::parse("tenant == $principal.tenant", &QueryLimits::default()).unwrap_err();
    assert!(error.to_string().contains("'$'"), "{error}");
}

fn engine() -> Engine {
    let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
    engine.define_set(SetDef::new("orders")).unwrap();
    let node = |id: u32| {
        let tenant = ["acme", "umbrella"][id as usize % 2];
        let node = format!(
            r#"{{"id":{id},"tenant":"{tenant}","total":{id},"secret":{},"customer":{{"name":"c{id}","card":"4{id}"}}}}"#,
            100 - id
        );
        Op::Upsert { set: "orders".into(), node: node.into_bytes().into() }
    };
    engine.commit(NOW, (0..20).map(node).collect()).unwrap();
    engine
}

fn visible(fields: &[&str]) -> Projection {
    let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
    Projection::parse(&fields, "id", &QueryLimits::default()).unwrap()
}

fn rows(engine: &mut Engine, plan: &Plan) -> Vec<String> {
    let snapshot = engine.evaluate(NOW, plan).unwrap();
    snapshot.rows.iter().map(|row| row.to_string()).collect()
}

#[test]
fn a_row_filter_is_conjoined_and_a_part_of_the_identity() {
    let mut engine = engine();
    let tenant =
        |tenant: &str| Filter::parse(&format!("tenant == '{tenant}'"), &QueryLimits::default()).unwrap();
    let query = Query::new("orders").filter("total > 15 or total < 2").order_by("total desc");
    let plan =
        |tenant: Filter| engine.prepare(&query).unwrap().restricted(&tenant, &Projection::whole()).unwrap();
    let (acme, umbrella) = (plan(tenant("acme")), plan(tenant("umbrella")));
    assert_ne!(acme.filter().canonical(), umbrella.filter().canonical());
    let total = |row: &String| row.split("\"total\":").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let acme: Vec<String> = rows(&mut engine, &acme).iter().map(total).collect();
    let umbrella: Vec<String> = rows(&mut engine, &umbrella).iter().map(total).collect();
    assert_eq!(acme, ["18", "16", "0"]);
    assert_eq!(umbrella, ["19", "17", "1"]);
}

#[test]
fn what_is_hidden_is_not_sent_and_cannot_be_asked_about() {
    let mut engine = engine();
    let visible = visible(&["total", "customer.name"]);
    let restricted = |query: Query| engine.prepare(&query).unwrap().restricted(&Filter::all(), &visible);
    let hidden = |query: Query| restricted(query).unwrap_err().0;
    assert_eq!(hidden(Query::new("orders").filter("secret > 50")), "secret");
    assert_eq!(
        hidden(Query::new("orders").filter("total > 5 and not (customer.card startswith '4')")),
        "customer.card"
    );
    assert_eq!(hidden(Query::new("orders").filter("customer == nothing")), "customer");
    assert_eq!(hidden(Query::new("orders").order_by("total, secret desc")), "secret");
    assert_eq!(hidden(Query::new("orders").fields(["secret"])), "secret");
    assert_eq!(hidden(Query::new("orders").fields(["customer"])), "customer");
    assert_eq!(hidden(Query::new("orders").fields(["total", "customer.card"])), "customer.card");
    // What is below something visible is.
    restricted(Query::new("orders").filter("customer.name.first == 'x'")).unwrap();

    let plan = restricted(Query::new("orders").filter("total == 3")).unwrap();
    let narrow = restricted(Query::new("orders").filter("total == 3").fields(["customer.name"])).unwrap();
    assert_eq!(rows(&mut engine, &plan), [r#"{"id":3,"total":3,"customer":{"name":"c3"}}"#]);
    assert_eq!(rows(&mut engine, &narrow), [r#"{"id":3,"customer":{"name":"c3"}}"#]);
}

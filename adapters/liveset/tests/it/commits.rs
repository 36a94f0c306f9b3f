//! A commit is applied whole, or not at all.

use liveset::{CommitError, ErrorCode, FieldKind, Json, Liveset, Query, SetDef};
use serde_json::json;

fn liveset() -> Liveset {
    let orders = SetDef::new("orders").required("status", FieldKind::Text).field("total", FieldKind::Number);
    Liveset::builder().set(orders).set(SetDef::new("items").key("sku")).build().unwrap()
}

#[test]
fn nothing_is_applied_where_one_operation_is_refused() {
    let liveset = liveset();
    let error = liveset
        .commit(|tx| {
            tx.upsert("orders", &json!({ "id": 1, "status": "open" }));
            tx.upsert("orders", &json!({ "id": 2, "status": 5 }))
        })
        .unwrap_err();
    assert!(matches!(error, CommitError::Refused(_)));
    assert!(error.to_string().contains("status"), "{error}");
    assert_eq!(liveset.query(Query::new("orders")).unwrap().count.total, 0);
    assert_eq!(liveset.stats().hub.engine.commits, 0);
}

#[test]
fn nothing_is_applied_where_the_closure_gives_up() {
    let liveset = liveset();
    let error = liveset
        .commit(|tx| {
            tx.upsert("items", &json!({ "sku": "a" }));
            Err::<(), _>("changed my mind")
        })
        .unwrap_err();
    assert_eq!(error.to_string(), "changed my mind");
    assert_eq!(liveset.row("items", "a"), None);
}

#[test]
fn a_float_that_json_cannot_say_is_an_error() {
    let liveset = liveset();
    #[derive(serde::Serialize)]
    struct Item {
        sku: &'static str,
        price: f64,
    }
    let error = liveset.commit(|tx| tx.upsert("items", &Item { sku: "a", price: f64::NAN })).unwrap_err();
    assert!(matches!(error, CommitError::Json(_)));
    liveset.commit(|tx| tx.upsert("items", &Item { sku: "a", price: 0.1 })).unwrap();
    let row = liveset.row("items", "a").unwrap();
    assert_eq!((row.id(), row.to_string().as_str()), ("a", r#"{"sku":"a","price":0.1}"#));
}

#[test]
fn commits_count_what_changed() {
    let liveset = liveset();
    let first = liveset
        .commit(|tx| {
            tx.upsert("items", &json!({ "sku": 1 }));
            tx.upsert("items", Json::new(r#"{ "sku": 2 }"#));
        })
        .unwrap();
    assert_eq!(first.changed, 2);
    let second = liveset
        .commit(|tx| {
            tx.upsert("items", &json!({ "sku": 1 }));
            tx.remove("items", 2);
            tx.remove("items", "never there")
        })
        .unwrap();
    assert_eq!(second.changed, 1);
    assert!(second.commit > first.commit);
}

#[test]
fn queries_are_refused_with_the_protocols_code() {
    let liveset = liveset();
    let error = liveset.query(Query::new("orders").filter("status = 'open'")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidQuery);
    assert_eq!(liveset.live(Query::new("nowhere")).unwrap_err().code(), ErrorCode::InvalidQuery);
    let result = liveset.query(Query::new("items").fields(["sku"]).limit(1)).unwrap();
    assert_eq!((result.count.total, result.count.capped, result.rows.len()), (0, false, 0));
}

#[test]
fn declarations_are_checked_when_it_is_built() {
    assert!(Liveset::builder().set(SetDef::new("a")).set(SetDef::new("a")).build().is_err());
    assert!(Liveset::builder().set(SetDef::new("")).build().is_err());
    assert!(Liveset::builder().resource("jobs//x", ["e"]).build().is_err());
    let own = Liveset::builder().resource("invoices/{id}", ["paid"]).build().unwrap();
    assert!(own.publish("invoices/1", "paid", &json!(null)).is_ok());
    assert!(own.publish("jobs/1", "jobStarted", &json!(null)).is_err());
}

/// An error of a host, which says nothing of commits.
#[derive(Debug, PartialEq, Eq)]
enum Mine {
    NotANumber(std::num::ParseIntError),
}

impl From<std::num::ParseIntError> for Mine {
    fn from(error: std::num::ParseIntError) -> Self {
        Self::NotANumber(error)
    }
}

#[test]
fn a_closure_has_values_and_errors_of_its_own() {
    let liveset = liveset();
    let add = |text: &str| {
        liveset.commit(|tx| {
            let sku: u64 = text.parse()?;
            tx.upsert("items", &json!({ "sku": sku }));
            Ok::<_, Mine>(sku)
        })
    };
    let done = add("7").unwrap();
    assert_eq!((done.value, done.changed, done.to_string().as_str()), (7, 1, "commit 1: 1 row changed"));
    assert!(matches!(add("seven").unwrap_err(), CommitError::Aborted(Mine::NotANumber(_))));
    assert_eq!(liveset.query(Query::new("items")).unwrap().count.total, 1);
}

#[test]
fn a_typed_set_is_known_to_be_there() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Item {
        sku: u64,
    }
    let liveset = liveset();
    let items: liveset::Set<Item> = liveset.set("items").unwrap();
    liveset.commit(|tx| tx.upsert(&items, &Item { sku: 1 })).unwrap();
    liveset.commit(|tx| tx.upsert(&items, Json::new(r#"{"sku":2}"#))).unwrap();
    let result = liveset.query(Query::new(&items)).unwrap();
    assert_eq!(result.parse::<Item>().unwrap(), [Item { sku: 1 }, Item { sku: 2 }]);
    assert_eq!(serde_json::to_value(&result.rows).unwrap(), json!([{ "sku": 1 }, { "sku": 2 }]));
    liveset.commit(|tx| tx.remove(&items, 1)).unwrap();
    assert_eq!(liveset.row("items", "1"), None);
    assert_eq!(
        liveset.set::<Item>("item").unwrap_err().to_string(),
        "there is no set 'item'; the sets are: orders, items"
    );
}

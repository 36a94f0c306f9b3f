//! `PUT /sets/{name}`: what a set has from then on, and nothing where the body is wrong.

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use liveset::{Grant, Limits, LiveUpdate, Liveset, Query, SetDef, StaticTokens};
use liveset_server::http::{self, HttpOptions};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::TOKEN;

fn endpoint() -> (Liveset, axum::Router) {
    let mut limits = Limits::default();
    limits.hub.replace_bytes = 200_000;
    let tokens = [(TOKEN, Grant::new("writer")), ("reader", Grant::new("reader").read_only())];
    let liveset = Liveset::builder()
        .set(SetDef::new("orders"))
        .set_from("market", SetDef::new("prices"))
        .authenticator(StaticTokens::new(tokens))
        .limits(limits)
        .build()
        .unwrap();
    (liveset.clone(), http::router(liveset, HttpOptions::default(), axum::Router::new()))
}

async fn put(router: &axum::Router, set: &str, token: &str, body: impl Into<Body>) -> (u16, Value) {
    let request = Request::put(format!("/sets/{set}"))
        .header("authorization", format!("Bearer {token}"))
        .body(body.into())
        .unwrap();
    let answer = router.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap())
}

fn rows(ids: std::ops::Range<u64>) -> String {
    ids.map(|id| format!("{}\n", json!({ "id": id, "total": id % 7 }))).collect()
}

fn count(liveset: &Liveset) -> u64 {
    liveset.query(Query::new("orders")).unwrap().count.total
}

#[tokio::test]
async fn clients_get_what_differs() {
    let (liveset, router) = endpoint();
    let (status, answer) = put(&router, "orders", TOKEN, rows(0..100)).await;
    let position = liveset.position("orders").to_string();
    assert_eq!(
        (status, answer),
        (200, json!({ "rows": 100, "commit": 1, "changed": 100, "position": position }))
    );
    let mut live = liveset.live(Query::new("orders")).unwrap();
    assert!(matches!(live.next().await, Some(LiveUpdate::Snapshot(_))));
    let (status, answer) = put(&router, "orders", TOKEN, rows(2..101)).await;
    assert_eq!((status, &answer["rows"], &answer["changed"]), (200, &json!(99), &json!(3)));
    let Some(LiveUpdate::Batch(batch)) = live.next().await else { panic!("a batch") };
    assert_eq!(batch.changes.len(), 3);
    let (status, answer) = put(&router, "orders", TOKEN, "").await;
    assert_eq!((status, &answer["changed"]), (200, &json!(99)), "no rows are a content too");
}

#[tokio::test]
async fn a_body_that_is_wrong_changes_nothing() {
    let (liveset, router) = endpoint();
    put(&router, "orders", TOKEN, rows(0..3)).await;
    let broken = [Ok(Frame::data(Bytes::from(rows(5..9)))), Err(std::io::Error::other("gone"))];
    let large = format!("{}{}", rows(0..1), json!({ "id": 2, "text": "x".repeat(300_000) }));
    for (body, status, code, line) in [
        (Body::from(rows(5..7) + "{\"total\":1}\n"), 422, "INVALID_NODE", 3),
        (Body::from(rows(5..7) + "\n{\"id\":"), 422, "INVALID_NODE", 4),
        (Body::from(large), 413, "MESSAGE_TOO_LARGE", 2),
        (Body::new(StreamBody::new(futures_util::stream::iter(broken))), 400, "INVALID_MESSAGE", 5),
    ] {
        let (answered, error) = put(&router, "orders", TOKEN, body).await;
        assert_eq!(
            (answered, &error["code"], &error["line"]),
            (status, &json!(code), &json!(line)),
            "{error}"
        );
        assert_eq!(count(&liveset), 3);
    }
    // What was gathered is given back, and others may commit.
    assert_eq!(put(&router, "orders", TOKEN, rows(0..500)).await.0, 200);
    liveset.commit(|tx| tx.clear("orders")).unwrap();
}

#[tokio::test]
async fn who_may_not_write_may_not_replace() {
    let (liveset, router) = endpoint();
    for (set, token, status, code) in [
        ("orders", "reader", 403, "FORBIDDEN"),
        ("orders", "nobody", 401, "AUTH_FAILED"),
        ("prices", TOKEN, 403, "READ_ONLY_SET"),
        ("nothing", TOKEN, 404, "NOT_FOUND"),
    ] {
        let (answered, error) = put(&router, set, token, rows(0..3)).await;
        assert_eq!((answered, &error["code"]), (status, &json!(code)), "{error}");
    }
    assert_eq!(count(&liveset), 0);
    let gathered = liveset.replace("orders").unwrap();
    let batch = Request::post("/batch").header("authorization", format!("Bearer {TOKEN}"));
    let batch = batch.body(Body::from(r#"[{"op":"clear","set":"orders"}]"#)).unwrap();
    assert_eq!(router.clone().oneshot(batch).await.unwrap().status(), 409);
    drop(gathered);
}

//! `/readyz` goes by what the sources of sets say.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use liveset::{Grant, Liveset, SetDef, SetStatus, StaticTokens};
use liveset_server::http::{self, HttpOptions};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::TOKEN;

async fn ready(router: &Router, token: Option<&str>) -> (u16, Value) {
    let mut request = Request::get("/readyz");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_set_that_was_never_whole_counts_and_one_that_is_stale_is_named() {
    let tokens = StaticTokens::new([(TOKEN, Grant::new("shop"))]);
    let builder = Liveset::builder().set(SetDef::new("orders")).set(SetDef::new("stock"));
    let liveset = builder.authenticator(tokens).build().unwrap();
    let router = http::router(liveset.clone(), HttpOptions::default(), Router::new());
    assert_eq!(ready(&router, None).await, (200, json!({ "status": "ready" })));
    liveset.set_status("stock", SetStatus::Loading).unwrap();
    assert_eq!(ready(&router, None).await, (503, json!({ "status": "loading" })));
    let named = json!({ "status": "loading", "sets": ["stock"] });
    assert_eq!(ready(&router, Some(TOKEN)).await, (503, named));
    liveset.set_status("stock", SetStatus::Live).unwrap();
    liveset.set_status("orders", SetStatus::Stale { since: "2025-12-07T20:03:00Z".into() }).unwrap();
    assert_eq!(ready(&router, None).await, (200, json!({ "status": "ready" })));
    let named = json!({ "status": "ready", "stale": ["orders"] });
    assert_eq!(ready(&router, Some(TOKEN)).await, (200, named));
}

//! `/readyz` goes by what the sources of sets say.

use std::time::Duration;

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

#[tokio::test(start_paused = true)]
async fn a_set_that_is_stale_for_long_counts_where_it_is_told_so() {
    let tokens = StaticTokens::new([(TOKEN, Grant::new("shop"))]);
    let liveset = Liveset::builder().set(SetDef::new("orders")).authenticator(tokens).build().unwrap();
    let with = |limit: Option<Duration>| {
        let options = HttpOptions { ready_stale_limit: limit, ..HttpOptions::default() };
        http::router(liveset.clone(), options, Router::new())
    };
    let limit = Duration::from_secs(300);
    let (limited, at_once, unlimited) = (with(Some(limit)), with(Some(Duration::ZERO)), with(None));
    let stale = |since: &str| liveset.set_status("orders", SetStatus::Stale { since: since.into() }).unwrap();
    let statuses = async || {
        let mut found = Vec::new();
        for router in [&limited, &at_once, &unlimited] {
            let (status, body) = ready(router, None).await;
            assert_eq!(status == 200, body["status"] == "ready", "{body}");
            found.push(status);
        }
        found
    };
    assert_eq!(statuses().await, [200, 200, 200]);
    stale("2025-12-07T20:03:00Z");
    assert_eq!(statuses().await, [200, 503, 200]);
    tokio::time::advance(limit - Duration::from_secs(1)).await;
    assert_eq!(statuses().await, [200, 503, 200]);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(statuses().await, [503, 503, 200]);
    let named = json!({ "status": "stale", "stale": ["orders"] });
    assert_eq!(ready(&limited, Some(TOKEN)).await, (503, named));
    // Live for a moment: it begins again, also where nobody has looked meanwhile.
    liveset.set_status("orders", SetStatus::Live).unwrap();
    stale("2025-12-07T20:30:00Z");
    assert_eq!(statuses().await, [200, 503, 200]);
    liveset.set_status("orders", SetStatus::Live).unwrap();
    assert_eq!(statuses().await, [200, 200, 200]);
}

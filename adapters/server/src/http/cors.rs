//! Which web pages may call the endpoints: an exact allow-list of origins, empty by default.
//!
//! Tokens travel in a header that a page must set itself, never in a cookie, so nothing here allows
//! credentials. Which pages may open `/ws` is an option of its own.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, HeaderValue,
    ORIGIN, VARY,
};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt as _;
use tower_http::cors::CorsLayer;

use super::ApiError;

/// The time for which a browser may remember the answer.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Has the preflights of a router answered, and the answers marked that a page of an allowed origin may read; where no origin is
/// allowed, the router stays as it is. Origins are written as browsers send them. One that cannot be a header is never sent by a
/// browser, and so is left out.
pub(super) fn apply(router: Router, origins: &[String]) -> Router {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    if origins.is_empty() {
        return router;
    }
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .max_age(MAX_AGE)
        // A cache must not hand one origin's answer to another.
        .vary([ORIGIN]);
    let without = router.clone();
    router
        .layer(layer)
        .layer(middleware::from_fn(move |request, next| options(request, next, without.clone())))
}

/// The CORS layer answers every `OPTIONS` request with 200. Here a preflight of a foreign origin is refused with 403, and an `OPTIONS`
/// request that is no preflight goes to the routes.
async fn options(request: Request, next: Next, without: Router) -> Response {
    if request.method() != Method::OPTIONS {
        return next.run(request).await;
    }
    if !request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return without.oneshot(request).await.into_response();
    }
    let mut answer = next.run(request).await;
    if answer.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        *answer.status_mut() = StatusCode::NO_CONTENT;
        return answer;
    }
    let mut refused = ApiError::forbidden("this origin is not allowed").into_response();
    refused.headers_mut().insert(VARY, HeaderValue::from_static("origin"));
    refused
}

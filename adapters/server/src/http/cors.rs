//! Which web pages may call the endpoints: an exact allow-list of origins, empty by default.
//!
//! Tokens travel in a header that a page must set itself, never in a cookie, so nothing here allows
//! credentials. Which pages may open `/ws` is an option of its own.

use std::time::Duration;

use axum::http::Method;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, ORIGIN};
use tower_http::cors::CorsLayer;

/// How long a browser may remember what was allowed.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Answers preflights, and marks the answers that a page of an allowed origin may read; nothing where none is allowed. Origins are
/// written as browsers send them. One that cannot be a header is never sent by a browser, and so is left out.
pub(super) fn layer(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .max_age(MAX_AGE)
        // A cache must not hand one origin's answer to another.
        .vary([ORIGIN]);
    (!origins.is_empty()).then(|| layer.allow_origin(origins))
}

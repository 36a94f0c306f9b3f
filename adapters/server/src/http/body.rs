//! A body of JSON, whole, within its limit and in time.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;

use super::{ApiError, App};

/// Reads a body. One without a content type passes for JSON.
///
/// # Errors
///
/// 408, 413 or 415. A body that says how long it is, and is too long, is not read at all.
pub(super) async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    if let Some(content_type) = headers.get(CONTENT_TYPE) {
        let content_type = content_type.to_str().unwrap_or("something unreadable");
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let is_json = media_type.eq_ignore_ascii_case("application/json")
            || (media_type.len() > 5 && media_type.to_ascii_lowercase().ends_with("+json"));
        if !is_json {
            return Err(ApiError::not_json(media_type));
        }
    }
    let limit = app.options.max_body_bytes;
    if body.size_hint().lower() > limit as u64 {
        return Err(ApiError::too_large(limit));
    }
    let whole = tokio::time::timeout(app.options.body_timeout, Limited::new(body, limit).collect());
    match whole.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::too_large(limit)),
        // The client broke off; nobody will read this.
        Ok(Err(error)) => Err(ApiError::invalid_message(format!("the body broke off: {error}"))),
        Err(_) => Err(ApiError::too_slow()),
    }
}

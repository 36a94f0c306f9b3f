//! A body of JSON, whole, within its limit and in time.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;

use super::{ApiError, App};

/// Reads a body. It is taken for JSON whatever its content type says (`curl -d` says that it is a form): a page of another
/// origin cannot send one unasked, as every endpoint with a body wants an `Authorization` header.
///
/// # Errors
///
/// 408 or 413. A body that says how long it is, and is too long, is not read at all.
pub(super) async fn read(app: &App, body: Body) -> Result<Bytes, ApiError> {
    read_within(app, body, app.options.max_body_bytes).await
}

/// Reads a body that is a query: as large as a message over `/ws` may be.
///
/// # Errors
///
/// As [`read`].
pub(super) async fn read_query(app: &App, body: Body) -> Result<Bytes, ApiError> {
    read_within(app, body, app.options.max_query_bytes.min(app.options.max_body_bytes)).await
}

async fn read_within(app: &App, body: Body, limit: usize) -> Result<Bytes, ApiError> {
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

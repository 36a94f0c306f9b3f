//! `POST /query`: the result of a query, now.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use liveset::QueryError;
use liveset_core::{ErrorCode, QuerySpec};
use liveset_engine::{JsonLimits, json};

use super::auth::Caller;
use super::{ApiError, App, body, error};

pub(super) async fn run(State(app): State<App>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    let query = read(&app, body).await?;
    let result = app.liveset.query_as(&caller.0, &query).map_err(|error| refused(&error))?;
    let size: usize = result.rows.iter().map(|row| row.data.as_bytes().len() + 1).sum();
    let mut answer = Vec::with_capacity(size + 64);
    answer.extend_from_slice(b"{\"nodes\":[");
    for (index, row) in result.rows.iter().enumerate() {
        if index > 0 {
            answer.push(b',');
        }
        answer.extend_from_slice(row.data.as_bytes());
    }
    let end = format!(r#"],"totalCount":{},"capped":{}}}"#, result.total_count, result.capped);
    answer.extend_from_slice(end.as_bytes());
    Ok(error::json(StatusCode::OK, answer))
}

/// Reads a query.
pub(super) async fn read(app: &App, body: Body) -> Result<QuerySpec, ApiError> {
    let text = body::read_query(app, body).await?;
    // A body that is no JSON and a query that is wrong are different faults.
    json::check(&text, &JsonLimits::default())
        .map_err(|error| ApiError::invalid_message(error.to_string()))?;
    QuerySpec::parse(&text).map_err(|error| ApiError::refused("INVALID_QUERY", error.to_string()))
}

pub(super) fn refused(error: &QueryError) -> ApiError {
    match error.code() {
        ErrorCode::Forbidden => ApiError::forbidden(error.to_string()),
        ErrorCode::Internal => ApiError::internal(),
        // Another query would do.
        ErrorCode::LimitExceeded => ApiError::refused("LIMIT_EXCEEDED", error.to_string()),
        ErrorCode::Overloaded => ApiError::overloaded(error.to_string()),
        _ => ApiError::refused("INVALID_QUERY", error.to_string()),
    }
}

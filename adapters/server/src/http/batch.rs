//! `POST /batch`: one atomic commit.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use liveset::CommitError;

use super::auth::Caller;
use super::{ApiError, App, body, error};
use crate::changes::Changes;

pub(super) async fn commit(State(app): State<App>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    caller.may_write(&app)?;
    let text = body::read(&app, body).await?;
    caller.still(&app).await?.may_write(&app)?;
    let changes = Changes::parse(&text).map_err(|error| ApiError::invalid_message(error.to_string()))?;
    let committed = app.liveset.at(changes.at).commit_async(|tx| tx.extend(changes.ops)).await;
    let committed = committed.map_err(|error| match error {
        CommitError::Internal => ApiError::internal(),
        CommitError::NotKept(error) => ApiError::overloaded(error.to_string()),
        refused => ApiError::refused("INVALID_NODE", refused.to_string()),
    })?;
    let answer = format!(r#"{{"commit":{},"changed":{}}}"#, committed.commit, committed.changed);
    Ok(error::json(StatusCode::OK, answer))
}

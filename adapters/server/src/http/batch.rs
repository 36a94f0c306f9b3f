//! `POST /batch`: one atomic commit, or a stream of them.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::auth::Caller;
use super::{ApiError, App, body, commits, error};
use crate::changes::Changes;

pub(super) async fn commit(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    caller.may_write(&app)?;
    if commits::is_stream(&headers) {
        return commits::apply(&app, caller, body).await;
    }
    let text = body::read(&app, body).await?;
    caller.still(&app).await?.may_write(&app)?;
    let mut changes = Changes::parse(&text).map_err(|error| ApiError::invalid_message(error.to_string()))?;
    let committed =
        app.liveset.at(changes.at).commit_async(|tx| tx.extend(std::mem::take(&mut changes.ops))).await;
    let committed = committed.map_err(ApiError::not_committed)?;
    let liveset::Committed { commit, changed, position, .. } = committed;
    let answer = format!(r#"{{"commit":{commit},"changed":{changed},"position":"{position}"}}"#);
    Ok(error::json(StatusCode::OK, answer))
}

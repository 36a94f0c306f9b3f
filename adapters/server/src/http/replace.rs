//! `PUT /sets/{name}`: the whole new content of a set, a row a line.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use liveset::{Committed, Json, ReplaceError};

use super::auth::Caller;
use super::error::Stopped;
use super::lines::Lines;
use super::sets::{known, name_of};
use super::{ApiError, App, error};

/// Gathers the rows of a body, and shows them in place of what was there once the body has ended. A body that breaks off, or a row that is
/// none, changes nothing.
pub(super) async fn replace(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    mut caller: Caller,
    body: Body,
) -> Result<Response, ApiError> {
    let name = name_of(name)?;
    caller.may_write(&app)?;
    known(&app, &name)?;
    let mut new = app.liveset.replace(name).map_err(refused)?;
    let mut lines = Lines::new(body, app.options.max_body_bytes, app.options.body_timeout);
    loop {
        let line = lines.next().await;
        let at = Stopped { line: lines.number, applied: 0, changed: 0 };
        let Some(line) = line.map_err(|error| error.of_line(at))? else { break };
        caller = caller.still_writes(&app).await.map_err(|error| error.of_line(at))?;
        new.push(Json::new(line)).map_err(|error| refused(error).of_line(at))?;
        tokio::task::consume_budget().await;
    }
    let rows = new.len();
    // Both contents are compared, and a store is waited for.
    let done = tokio::task::spawn_blocking(move || new.finish()).await;
    let Committed { commit, changed, position, .. } =
        done.map_err(|_| ApiError::internal())?.map_err(refused)?;
    let answer =
        format!(r#"{{"rows":{rows},"commit":{commit},"changed":{changed},"position":"{position}"}}"#);
    Ok(error::json(StatusCode::OK, answer))
}

fn refused(error: ReplaceError) -> ApiError {
    match error {
        ReplaceError::Commit(error) => ApiError::not_committed(error),
        ReplaceError::Superseded(_) => ApiError::conflict(error.to_string()),
        ReplaceError::TooLarge { .. } => ApiError::too_large_together(error.to_string()),
        ReplaceError::Row(_) | ReplaceError::Json(_) => ApiError::refused("INVALID_NODE", error.to_string()),
        error => {
            tracing::error!(%error, "the content of a set was not replaced");
            ApiError::internal()
        }
    }
}

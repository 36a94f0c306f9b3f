//! `POST /query`: the result of a query, now.

use std::ops::ControlFlow;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use liveset::{Count, QueryError, Snapshot};
use liveset_core::{ErrorCode, Query, model::limit};
use liveset_engine::{JsonLimits, json};

use super::auth::Caller;
use super::queue::{Full, Request, Turn};
use super::{ApiError, App, body, error};
use crate::limits::{HttpLimits, count_refusal};

pub(super) async fn run(State(app): State<App>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    let query = read(&app, body).await?;
    let set = query.set.clone();
    let result = answer(&app, caller, query).await?.map_err(|error| refused(&error))?;
    let size: usize = result.rows.iter().map(|row| row.json().len() + 1).sum();
    let mut answer = Vec::with_capacity(size + 64);
    answer.extend_from_slice(b"{\"nodes\":[");
    for (index, row) in result.rows.iter().enumerate() {
        if index > 0 {
            answer.push(b',');
        }
        answer.extend_from_slice(row.json());
    }
    let Count { total, capped } = result.count;
    let position = app.liveset.position(&set);
    let end = format!(r#"],"totalCount":{total},"capped":{capped},"position":"{position}"}}"#);
    answer.extend_from_slice(end.as_bytes());
    Ok(error::json(StatusCode::OK, answer))
}

/// So many nodes are looked at in one turn.
pub(super) const NODES_A_TURN: usize = 512;

/// In turns, on threads that may take their time: a query that no index helps looks at every node. Where the client is gone, this is
/// dropped: a query that waits leaves the queue, and one that has a turn ends with it.
async fn answer(app: &App, caller: Caller, query: Query) -> Result<Result<Snapshot, QueryError>, ApiError> {
    let mut request = begin(app, &caller)?;
    let mut turn = request.turn().await;
    let Caller { who, .. } = caller.still(app).await?;
    let liveset = app.liveset.clone();
    // A turn is held until its part is done, also where nobody waits for the answer any more.
    let begun = in_turn(turn, move || match liveset.as_principal(&who).begin_query(&query) {
        Ok(run) => run.step(NODES_A_TURN),
        Err(error) => ControlFlow::Break(Err(error)),
    });
    let mut state = begun.await?;
    loop {
        let run = match state {
            ControlFlow::Break(result) => return Ok(result),
            ControlFlow::Continue(run) => run,
        };
        // Who has used up what they may spend waits without a turn.
        if !run.wait().is_zero() {
            tokio::time::sleep(run.wait()).await;
        }
        turn = request.turn().await;
        state = in_turn(turn, move || run.step(NODES_A_TURN)).await?;
    }
}

/// Enters the queue of those who ask.
///
/// # Errors
///
/// 503 where the subject asks for too much at once.
pub(super) fn begin(app: &App, caller: &Caller) -> Result<Request, ApiError> {
    app.queries.enter(&caller.who.subject).map_err(|Full(most)| {
        count_refusal(limit!(HttpLimits.queries_per_subject));
        ApiError::overloaded(format!("a subject may have at most {most} queries under way"))
    })
}

pub(super) async fn in_turn<T: Send + 'static>(
    turn: Turn,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let working = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    working.await.map_err(|_| ApiError::internal())
}

/// Reads a query.
pub(super) async fn read(app: &App, body: Body) -> Result<Query, ApiError> {
    let text = body::read_query(app, body).await?;
    // A body that is no JSON and a query that is wrong are different faults.
    json::check(&text, &JsonLimits::default())
        .map_err(|error| ApiError::invalid_message(error.to_string()))?;
    Query::parse(&text).map_err(|error| ApiError::refused("INVALID_QUERY", error.to_string()))
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

//! What an operator may do: `GET /admin/connections`, `GET /admin/queries`, `GET /admin/sources`, `DELETE /admin/connections/{id}`, `POST /admin/revoke`.
//!
//! All of it wants a token with `admin = true`, and is logged with its subject.

use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use liveset::{ConnectionInfo, Explain, LiveQueryInfo, SetInfo, SetStatus, SourceInfo};
use serde::{Deserialize, Serialize};

use super::auth::Caller;
use super::sets::parameters_of;
use super::{ApiError, App, body, error};
use crate::config::duration;

/// So many are listed where nothing is asked for, and at most.
const LISTED: usize = 100;
const MOST_LISTED: usize = 10_000;

/// Which of a list are asked for.
struct Wanted {
    limit: usize,
    subject: Option<String>,
}

impl Wanted {
    fn read(parameters: Option<&str>) -> Result<Wanted, ApiError> {
        let mut wanted = Wanted { limit: LISTED, subject: None };
        for (name, value) in parameters.into_iter().flat_map(parameters_of) {
            match &*name {
                "subject" => wanted.subject = Some(value),
                "limit" => {
                    wanted.limit =
                        value.parse().ok().filter(|most| *most <= MOST_LISTED).ok_or_else(|| {
                            ApiError::invalid_message(format!("`limit` is a number up to {MOST_LISTED}"))
                        })?;
                }
                other => return Err(ApiError::invalid_message(format!("there is no parameter {other:?}"))),
            }
        }
        Ok(wanted)
    }

    fn wants(&self, subject: Option<&str>) -> bool {
        self.subject.is_none() || self.subject.as_deref() == subject
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Connection<'a> {
    id: u64,
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    address: Option<String>,
    state: &'a str,
    seconds: u64,
    subscriptions: usize,
    live_queries: usize,
    query_bytes: u64,
    standing_steps: u64,
    waiting_bytes: usize,
}

impl<'a> Connection<'a> {
    fn of(info: &'a ConnectionInfo) -> Self {
        let waiting = &info.waiting;
        Connection {
            id: info.id,
            subject: info.subject.as_deref(),
            tenant: info.tenant.as_deref(),
            address: info.address.map(|address| address.0.to_string()),
            state: info.state,
            seconds: info.age.as_secs(),
            subscriptions: info.subscriptions,
            live_queries: info.live_queries,
            query_bytes: info.query_bytes,
            standing_steps: info.standing_steps,
            waiting_bytes: waiting.control_bytes
                + waiting.event_bytes
                + waiting.bytes
                + waiting.initial_bytes,
        }
    }
}

pub(super) async fn connections(
    State(app): State<App>,
    caller: Caller,
    RawQuery(parameters): RawQuery,
) -> Result<Response, ApiError> {
    caller.may_administer(&app).await?;
    let wanted = Wanted::read(parameters.as_deref())?;
    let liveset = app.liveset.clone();
    let all = blocking(move || liveset.connections()).await?;
    let asked: Vec<_> = all.iter().filter(|info| wanted.wants(info.subject.as_deref())).collect();
    let listed: Vec<_> = asked.iter().take(wanted.limit).map(|info| Connection::of(info)).collect();
    Ok(json(&serde_json::json!({ "count": asked.len(), "connections": listed })))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LiveQuery<'a> {
    edge: &'a str,
    filter: Option<&'a str>,
    order_by: Option<&'a str>,
    limit: Option<u64>,
    watchers: usize,
    connection: u64,
    subject: Option<&'a str>,
    standing_steps: u64,
    bytes: u64,
    is_indexed: bool,
    /// How changes find it, and rows that would be looked at to make it again.
    access: Option<String>,
    candidates: Option<usize>,
}

impl<'a> LiveQuery<'a> {
    fn of(info: &'a LiveQueryInfo, explained: Option<Explain>) -> Self {
        LiveQuery {
            edge: &info.query.set,
            filter: info.query.filter.as_deref(),
            order_by: info.query.order_by.as_deref(),
            limit: info.query.limit,
            watchers: info.watchers,
            connection: info.connection,
            subject: info.subject.as_deref(),
            standing_steps: info.standing_steps,
            bytes: info.bytes,
            is_indexed: info.is_indexed,
            candidates: explained.as_ref().map(|explained| explained.candidates),
            access: explained.map(|explained| explained.access),
        }
    }
}

pub(super) async fn queries(
    State(app): State<App>,
    caller: Caller,
    RawQuery(parameters): RawQuery,
) -> Result<Response, ApiError> {
    caller.may_administer(&app).await?;
    let wanted = Wanted::read(parameters.as_deref())?;
    let liveset = app.liveset.clone();
    blocking(move || {
        let all = liveset.live_queries();
        let asked: Vec<_> = all.iter().filter(|info| wanted.wants(info.subject.as_deref())).collect();
        let listed = asked.iter().take(wanted.limit);
        let listed: Vec<_> =
            listed.map(|info| LiveQuery::of(info, liveset.explain_live_query(info).ok())).collect();
        json(&serde_json::json!({ "count": asked.len(), "queries": listed }))
    })
    .await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Source<'a> {
    name: &'a str,
    status: &'a str,
    identity: Option<&'a str>,
    position: u64,
    /// For how long the oldest commit waits that it has and that is not applied.
    lag_seconds: f64,
    /// Commits that are being stored.
    waiting: u64,
    skipped: u64,
    quiet_seconds: Option<u64>,
    last_error: Option<LastError<'a>>,
    sets: Vec<SetOfSource<'a>>,
}

#[derive(Serialize)]
struct LastError<'a> {
    message: &'a str,
    /// How long ago.
    seconds: u64,
}

#[derive(Serialize)]
struct SetOfSource<'a> {
    name: &'a str,
    rows: usize,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<&'a str>,
}

impl<'a> Source<'a> {
    fn of(info: &'a SourceInfo) -> Self {
        let failure = info.failure.as_ref();
        Source {
            name: info.source.as_str(),
            status: info.status().as_str(),
            identity: info.identity.as_deref(),
            position: info.position,
            lag_seconds: info.lag.as_secs_f64(),
            waiting: info.waiting,
            skipped: info.skipped,
            quiet_seconds: info.quiet.map(|quiet| quiet.as_secs()),
            last_error: failure
                .map(|failure| LastError { message: &failure.message, seconds: failure.ago.as_secs() }),
            sets: info.sets.iter().map(SetOfSource::of).collect(),
        }
    }
}

impl<'a> SetOfSource<'a> {
    fn of(set: &'a SetInfo) -> Self {
        let since = match &set.status {
            SetStatus::Stale { since } => Some(&**since),
            _ => None,
        };
        SetOfSource { name: &set.definition.name, rows: set.rows, status: set.status.as_str(), since }
    }
}

pub(super) async fn sources(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    caller.may_administer(&app).await?;
    let all = app.liveset.sources();
    let listed: Vec<_> = all.iter().map(Source::of).collect();
    Ok(json(&serde_json::json!({ "count": listed.len(), "sources": listed })))
}

pub(super) async fn close(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<u64>, PathRejection>,
) -> Result<Response, ApiError> {
    caller.may_administer(&app).await?;
    let Path(id) = id.map_err(|_| ApiError::no_connection())?;
    if !app.liveset.close_connection(id) {
        return Err(ApiError::no_connection());
    }
    tracing::info!(by = &*caller.who.subject, connection = id, "a connection is closed by an administrator");
    Ok(json(&serde_json::json!({ "closed": id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    subject: String,
    #[serde(rename = "for")]
    time: Option<String>,
}

pub(super) async fn revoke(State(app): State<App>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    caller.may_administer(&app).await?;
    let text = body::read(&app, body).await?;
    let wrong = |error: &dyn std::fmt::Display| ApiError::invalid_message(error.to_string());
    let Revoke { subject, time } = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
    let time = time.map(|time| duration::parse(&time)).transpose().map_err(|error| wrong(&error))?;
    let time = time.unwrap_or(Duration::ZERO);
    // First: who is ended may come back at once.
    if !app.options.banned.ban(&subject, time) {
        return Err(ApiError::overloaded("too many subjects are kept out already"));
    }
    let ended = app.liveset.revoke(&subject);
    tracing::info!(
        by = &*caller.who.subject,
        subject,
        ended,
        ?time,
        "a subject is revoked by an administrator"
    );
    Ok(json(&serde_json::json!({ "ended": ended })))
}

/// Looks at everything, which may take a while, on a thread that may.
async fn blocking<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(look).await.map_err(|_| ApiError::internal())
}

fn json(value: &serde_json::Value) -> Response {
    error::json(StatusCode::OK, value.to_string())
}

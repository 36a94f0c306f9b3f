//! Whether the server lives, and whether clients should be sent to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::response::Response;
use liveset::SetStatus;
use serde::Serialize;
use tokio::time::Instant;

use super::auth::Caller;
use super::{ApiError, App, error};

/// When to ask again.
const RETRY: Duration = Duration::from_secs(1);

/// What `/readyz` says. A clone is the same. Ready by default.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Progress>>);

#[derive(Debug, Default)]
struct Progress {
    loading: Vec<String>,
    is_draining: bool,
    /// Of each set that is stale: since when it says so, and when that was first seen.
    stale: BTreeMap<Arc<str>, (Arc<str>, Instant)>,
}

/// The status of a server that clients should be sent to.
const READY: &str = "ready";

impl Health {
    /// Not ready before each of these sets is [loaded](Self::loaded).
    pub fn loading(sets: impl IntoIterator<Item = String>) -> Health {
        let loading = sets.into_iter().collect();
        Health(Arc::new(Mutex::new(Progress { loading, ..Progress::default() })))
    }

    /// A set is loaded.
    pub fn loaded(&self, set: &str) {
        self.lock().loading.retain(|loading| loading != set);
    }

    /// From now on clients should go elsewhere.
    pub fn drain(&self) {
        self.lock().is_draining = true;
    }

    /// With the sets whose sources have not given them their first content, or are behind.
    fn report(&self, app: &App) -> Report {
        let all = app.liveset.sets();
        let now = Instant::now();
        let mut progress = self.lock();
        let mut sets = progress.loading.clone();
        let mut before = std::mem::take(&mut progress.stale);
        for set in all {
            let name: Arc<str> = Arc::from(&*set.definition.name);
            match set.status {
                SetStatus::Loading if !sets.iter().any(|known| **known == *name) => {
                    sets.push(name.to_string())
                }
                SetStatus::Stale { since } => {
                    let known = before.remove(&name).filter(|(known, _)| *known == since);
                    progress.stale.insert(name, known.unwrap_or((since, now)));
                }
                _ => {}
            }
        }
        let is_late = |(_, seen): &(_, Instant)| {
            app.options.ready_stale_limit.is_some_and(|limit| now.saturating_duration_since(*seen) >= limit)
        };
        let status = if progress.is_draining {
            "draining"
        } else if !sets.is_empty() {
            "loading"
        } else if progress.stale.values().any(is_late) {
            "stale"
        } else {
            READY
        };
        let stale = progress.stale.keys().map(|name| name.to_string()).collect();
        Report { status, sets, stale }
    }

    /// Writes it into a gauge.
    pub(super) fn record(&self, app: &App) {
        let is_ready = self.report(app).status == READY;
        metrics::gauge!("liveset_ready").set(f64::from(u8::from(is_ready)));
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sets: Vec<String>,
    /// Sets that are served though their source has something newer. Up to `ready_stale_limit` that is no reason to send clients elsewhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stale: Vec<String>,
}

/// The process answers.
pub(super) async fn live() -> Response {
    error::json(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// Whether clients should come. Which sets are missing, or stale, is told to whoever has a token.
pub(super) async fn ready(State(app): State<App>, request: Request) -> Response {
    let mut report = app.options.health.report(&app);
    if !(report.sets.is_empty() && report.stale.is_empty()) {
        let (mut parts, _) = request.into_parts();
        if Caller::from_request_parts(&mut parts, &app).await.is_err() {
            (report.sets, report.stale) = Default::default();
        }
    }
    let is_ready = report.status == READY;
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Writing texts as JSON cannot fail.
    let mut answer = error::json(status, serde_json::to_vec(&report).unwrap_or_default());
    if !is_ready {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY.as_secs()));
    }
    answer
}

/// The answer of everything else until the sets are loaded.
pub(super) fn still_loading() -> ApiError {
    ApiError::unavailable("the server is still loading its sets", RETRY)
}

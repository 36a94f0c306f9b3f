//! Whether the server lives, and whether clients should be sent to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::response::Response;
use liveset::{Liveset, SetStatus};
use serde::Serialize;

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
}

/// The status of a server that clients should be sent to.
const READY: &str = "ready";

impl Health {
    /// Not ready before each of these sets is [loaded](Self::loaded).
    pub fn loading(sets: impl IntoIterator<Item = String>) -> Health {
        Health(Arc::new(Mutex::new(Progress { loading: sets.into_iter().collect(), is_draining: false })))
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
    fn report(&self, liveset: &Liveset) -> Report {
        let (mut sets, is_draining) = {
            let progress = self.lock();
            (progress.loading.clone(), progress.is_draining)
        };
        let mut stale = Vec::new();
        for set in liveset.sets() {
            match set.status {
                SetStatus::Loading if !sets.iter().any(|name| *name == *set.definition.name) => {
                    sets.push(set.definition.name.to_string());
                }
                SetStatus::Stale { .. } => stale.push(set.definition.name.to_string()),
                _ => {}
            }
        }
        let status = match (is_draining, sets.is_empty()) {
            (true, _) => "draining",
            (false, true) => READY,
            (false, false) => "loading",
        };
        Report { status, sets, stale }
    }

    /// Writes it into a gauge.
    pub(super) fn record(&self, liveset: &Liveset) {
        let is_ready = self.report(liveset).status == READY;
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
    /// Sets that are served though their source has something newer: no reason to send clients elsewhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stale: Vec<String>,
}

/// The process answers.
pub(super) async fn live() -> Response {
    error::json(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// Whether clients should come. Which sets are missing, or stale, is told to whoever has a token.
pub(super) async fn ready(State(app): State<App>, request: Request) -> Response {
    let mut report = app.options.health.report(&app.liveset);
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

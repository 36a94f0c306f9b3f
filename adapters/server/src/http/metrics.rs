//! `GET /metrics`: Prometheus text. The libraries only name their metrics; the recorder is the binary's.

use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use liveset_core::{Monotonic, Rate, TokenBucket};
use metrics::{describe_counter, describe_gauge};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::auth::Caller;
use super::{ApiError, App};

/// The text format that Prometheus asks for by default.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Installs the recorder of this process, once.
///
/// # Errors
///
/// There is a recorder already.
pub fn install_recorder() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    describe_counter!("liveset_http_requests_total", "Requests by path and status");
    describe_counter!(
        "liveset_http_failures_total",
        "Connections that failed before an upgrade, by what: no head in time, a bad one, answers that are not read, or gone in the middle"
    );
    describe_counter!("liveset_http_auth_failures_total", "Requests whose token was refused");
    describe_counter!("liveset_limit_refusals_total", "Refusals by a limit, by its name under [limits]");
    describe_gauge!("liveset_http_connections", "Connections that are open, WebSockets included");
    describe_gauge!("liveset_http_handshakes", "Connections that have not sent the head of a request yet");
    describe_counter!("liveset_connections_refused_total", "Connections over the caps, refused, by cap");
    describe_counter!("liveset_tls_failures_total", "Connections whose handshake of TLS failed");
    describe_counter!("liveset_stuck_threads_total", "Threads of the runtime found in one task for a second");
    describe_counter!("liveset_accept_errors_total", "Failures to accept a connection");
    Ok(handle)
}

/// Keeps the recorder small while nobody reads it. Never ends.
pub async fn upkeep(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

pub(super) async fn render(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    if !app.options.metrics_public {
        let (mut parts, _) = request.into_parts();
        Caller::from_request_parts(&mut parts, &app).await?;
    }
    let Some(handle) = &app.options.metrics else {
        return Err(ApiError::not_found("/metrics"));
    };
    let make = || {
        app.liveset.record_metrics();
        handle.render()
    };
    let text = app.rendered.text(make).await;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT))], text).into_response())
}

/// So many texts are made each second on the long run, and at once: each takes milliseconds.
const TEXTS: Rate = Rate::per_second(10);

/// The text that was made last. Requests that come faster than texts are made wait for the next, and all take that one: none is given a
/// text from before it came.
#[derive(Debug, Default)]
pub(super) struct Rendered(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    /// There from the first text on: when that was, and what may be made since.
    rate: Option<(Instant, TokenBucket)>,
    /// When the text was begun.
    at: Option<Instant>,
    text: Bytes,
}

impl Rendered {
    async fn text(&self, make: impl FnOnce() -> String) -> Bytes {
        let came = Instant::now();
        let mut last = self.0.lock().await;
        if last.at.is_some_and(|at| at >= came) {
            return last.text.clone();
        }
        loop {
            let now = Instant::now();
            let full = || (now, TokenBucket::full(TEXTS, Monotonic::ZERO));
            let (first, tokens) = last.rate.get_or_insert_with(full);
            let since = Monotonic::from_epoch(now - *first);
            if tokens.take(TEXTS, since) {
                last.at = Some(now);
                last.text = Bytes::from(make());
                return last.text.clone();
            }
            let wait = tokens.wait_for_token(TEXTS, since);
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn however_often_it_is_asked_for_a_text_is_made_ten_times_a_second() {
        let rendered = Rendered::default();
        let made = Cell::new(0);
        let make = || {
            made.set(made.get() + 1);
            made.get().to_string()
        };
        let start = Instant::now();
        for round in 0..20 {
            // All of them together, each at a later moment than the text before.
            tokio::time::advance(Duration::from_millis(1)).await;
            let before = made.get();
            let texts = join_all((0..1_000).map(|_| rendered.text(make))).await;
            assert!(texts.iter().all(|text| *text == made.get().to_string()), "the newest");
            assert_eq!(made.get() - before, 1, "round {round}");
        }
        let passed = start.elapsed();
        assert!((Duration::from_millis(950)..Duration::from_millis(1_100)).contains(&passed), "{passed:?}");
    }
}

//! `GET /metrics`: Prometheus text. The libraries only name their metrics; the recorder is the binary's.

use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use metrics::{describe_counter, describe_gauge};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

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
    app.liveset.record_metrics();
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT))], handle.render()).into_response())
}

//! `GET /metrics`: Prometheus text. The libraries only name their metrics; the recorder is the binary's.

use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use liveset_core::{Monotonic, Rate, TokenBucket};
use metrics::{counter, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::auth::Caller;
use super::{ApiError, App};
use crate::limits::Full;
use crate::process;

/// The text format that Prometheus asks for by default.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The upper bounds of histograms of time, in seconds.
const SECONDS: [f64; 17] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 60.0,
];
/// The upper bounds of histograms of counts.
const COUNTS: [f64; 12] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0, 100_000.0];

/// Where help texts stand besides the table of the library.
const TABLES: [&str; 2] = [include_str!("../../guide/operation.md"), include_str!("../../guide/store.md")];

/// Installs the recorder of this process, once.
///
/// # Errors
///
/// There is a recorder already.
pub fn install_recorder() -> Result<PrometheusHandle, BuildError> {
    let seconds = Matcher::Suffix("_seconds".into());
    let builder = PrometheusBuilder::new().set_buckets(&COUNTS)?.set_buckets_for_metric(seconds, &SECONDS)?;
    let handle = builder.install_recorder()?;
    describe();
    begin_at_zero();
    let features = [
        ("jwt", cfg!(feature = "jwt")),
        ("otel", cfg!(feature = "otel")),
        ("store", cfg!(feature = "store")),
    ];
    let features = features.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect::<Vec<_>>();
    let version = env!("CARGO_PKG_VERSION");
    gauge!("liveset_build_info", "version" => version, "features" => features.join(",")).set(1.0);
    Ok(handle)
}

/// Counters that alerts look at begin at 0: of one that appears with its first count, Prometheus sees no increase. So does a gauge that
/// the dashboard shows.
fn begin_at_zero() {
    let labelled: &[(&'static str, &'static str, &[&'static str])] = &[
        ("liveset_panics_total", "place", &["hub", "policy", "connection", "authenticator"]),
        ("liveset_commits_total", "outcome", &["applied", "refused", "conflict", "not_kept", "failed"]),
        (
            "liveset_authentications_total",
            "outcome",
            &["accepted", "refused", "unavailable", "late", "limited", "panicked"],
        ),
        #[cfg(feature = "store")]
        (
            "liveset_store_refusals_total",
            "reason",
            &["no_room", "busy", "failed", "overloaded", "out_of_order"],
        ),
    ];
    for (name, label, values) in labelled {
        for value in *values {
            counter!(*name, *label => *value).increment(0);
        }
    }
    for full in Full::ALL {
        counter!("liveset_connections_refused_total", "cap" => full.as_str()).increment(0);
    }
    counter!("liveset_stuck_threads_total").increment(0);
    counter!("liveset_log_lines_lost_total").increment(0);
    gauge!("liveset_stalled_connections").increment(0.0);
}

/// Gives the recorder the help text of every metric that a server has.
pub fn describe() {
    liveset::describe_metrics();
    TABLES.into_iter().for_each(liveset::describe_metrics_of);
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
        app.options.health.record(&app);
        handle.render() + &process::render()
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

//! Traces: the spans of requests and commits, sent to a collector by OTLP over HTTP.
//!
//! The environment says where and how, by the names of OpenTelemetry: `OTEL_EXPORTER_OTLP_ENDPOINT` and its like. Without an endpoint
//! nothing is sent.

use std::env;
use std::error::Error;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::HeaderMap;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use metrics::counter;
use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

use crate::tls;

/// The target of the spans that are sent, of this package and of `liveset`. Nothing else is: the log stays here.
const TARGET: &str = "liveset::trace";

/// Any of these says that there is a collector.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// In place of [`SERVICE`].
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const SERVICE: &str = "liveset";

/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes that it may answer.
const MAX_ANSWER: usize = 64 * 1024;
/// How long the end of the server waits for the last spans to be sent.
const FLUSH: Duration = Duration::from_secs(2);

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// What sends spans, where the environment names a collector, and whether it could be made. Needs a runtime.
pub(crate) fn layer<S>() -> (Option<impl Layer<S>>, Result<(), Box<dyn Error>>)
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    if !ENDPOINTS.iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty())) {
        return (None, Ok(()));
    }
    let provider = match provider() {
        Ok(provider) => PROVIDER.get_or_init(|| provider),
        Err(error) => return (None, Err(error)),
    };
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SERVICE))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false);
    let layer = layer.with_filter(Targets::new().with_target(TARGET, LevelFilter::DEBUG));
    (Some(layer), Ok(()))
}

fn provider() -> Result<SdkTracerProvider, Box<dyn Error>> {
    let exporter = SpanExporter::builder().with_http().with_http_client(Sender::new()?).build()?;
    let mut about = Resource::builder();
    if env::var_os(SERVICE_NAME).is_none() {
        about = about.with_service_name(SERVICE);
    }
    let about = about.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(about.build()).build())
}

/// A request goes on with the trace that its `traceparent` names, if it names one.
pub(crate) fn continue_from(span: &Span, headers: &HeaderMap) {
    if PROVIDER.get().is_some() {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Where nobody has the span, nobody needs to know whose child it is.
        let _ = span.set_parent(parent);
    }
}

/// Sends the spans that wait, and no more after them.
pub(crate) async fn end() {
    if let Some(provider) = PROVIDER.get() {
        // It waits with the thread.
        let ended = tokio::task::spawn_blocking(|| provider.shutdown_with_timeout(FLUSH)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("the last traces were not sent");
        }
    }
}

/// Sends requests to the collector, on the runtime of the server: the thread that gathers spans has none.
#[derive(Debug)]
struct Sender {
    runtime: Handle,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// The last one failed, which was said.
    has_failed: AtomicBool,
}

impl Sender {
    fn new() -> Result<Self, Box<dyn Error>> {
        let is_tls = ENDPOINTS.iter().any(|name| env::var(name).is_ok_and(|url| url.starts_with("https:")));
        let authorities = match is_tls {
            true => tls::authorities(None)?,
            false => tokio_rustls::rustls::RootCertStore::empty(),
        };
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls::client(authorities)?);
        let client =
            Client::builder(TokioExecutor::new()).build(connector.https_or_http().enable_http1().build());
        Ok(Self { runtime: Handle::try_current()?, client, has_failed: AtomicBool::new(false) })
    }

    fn note(&self, problem: Option<String>) {
        let had_failed = self.has_failed.swap(problem.is_some(), Ordering::Relaxed);
        let Some(problem) = problem else { return };
        counter!("liveset_trace_exports_failed_total").increment(1);
        if !had_failed {
            tracing::warn!("the collector does not take traces: {problem}");
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let asking = async move {
            let answer = client.request(request.map(Full::new)).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        // A timeout is made where there is a runtime.
        let asking = self.runtime.spawn(async { tokio::time::timeout(PATIENCE, asking).await });
        let answer = match asking.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(late)) => Err(late.into()),
            Err(ended) => Err(ended.into()),
        };
        self.note(match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status())),
            Err(error) => Some(error.to_string()),
        });
        answer
    }
}

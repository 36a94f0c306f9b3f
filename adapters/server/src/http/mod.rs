//! The HTTP endpoints beside `/ws`. All but those of health want `Authorization: Bearer <token>`.
//!
//! | endpoint | takes | answers |
//! | --- | --- | --- |
//! | `POST /batch` | a list of ops, or `{"at"?, "ops"}`: one atomic commit | `{"commit": n, "changed": nodes whose value changed, "position": where it stands}` once it is applied |
//! | `POST /batch`, `Content-Type: application/x-ndjson` | a stream of commits: a line each, as above | `{"applied": commits, "changed": nodes whose value changed, "commit": n, "position": where the last stands}` once all are applied. It stops at the first line that is refused: the error has `line`, `applied` and `changed` too |
//! | `POST /events` | `{"path", "eventType", "data", "timestamp"?}` | `{"delivered": subscribers}` |
//! | `POST /query` | a query, as in `createLiveQuery` | `{"nodes": […], "totalCount": n, "capped": b, "position": what it shows}` |
//! | `POST /explain` | a query | how changes find it and what it costs: `{"access": equality, range, …, scan, "probes": […], "hasResidue", "sharing", "isOpen", "candidates": nodes to look at, "isSlice", "hasOrderIndex", "cost": {"fixed", "perBlock"} steps to try the filter on a node, whatever its size and for each 16 bytes of it, "flipCost" to find when time changes it, "filterBytes" that the filter takes, "orderCost" to order it, "projectionCost" to write it, "text": the same for people}` |
//! | `GET /sets` | | `{"sets": [{"name", "key", "count", "source": host, store or a name, "status": live, loading or stale, "strict", "declared": [{"name", "type", "required"}], "seen": [{"name", "types", "nodes": those that have it} of the first 1,000 nodes]}]}` |
//! | `GET /sets/{name}` | | the whole set as it is at one moment, a node a line (`application/x-ndjson`), for who sees all of it; a body that is cut is not whole |
//! | `PUT /sets/{name}` | a node a line, of any number | `{"rows", "commit", "changed", "position"}`: the set has these and no others, by one commit. An error has the `line`, and changes nothing |
//! | `GET /sets/{name}/values?field=` | `limit=` up to 1,000, or 20 | the commonest values: `{"field", "nodes", "without", "different": values that were told apart, "others": values that were not, "values": [{"value", "count"}]}`; of a list, each item counts |
//! | `GET /schema` | | JSON Schema of each set, by its name: what it declares |
//! | `GET /livez`, `/healthz` | | `{"status": "ok"}`, open to all |
//! | `GET /readyz` | | `{"status": "ready"}`, open to all; 503 with `loading`, `draining` or `stale`; for a token also the `"sets"` that are loading, and those that are `"stale"` |
//! | `GET /metrics` | | Prometheus text |
//! | `GET /admin/connections`, `/admin/queries` | `limit=` up to 10,000, or 100; `subject=` | `{"count", "connections" or "queries": […]}`; the five want a token with `admin = true` |
//! | `GET /admin/sources` | | `{"count", "sources": […]}`: where commits come from, and how far each is |
//! | `DELETE /admin/connections/{id}` | | `{"closed": id}`: it is closed with 1001 |
//! | `POST /admin/revoke` | `{"subject", "for"?: "1h"}` | `{"ended": connections}`; for so long its tokens are refused |
//!
//! Ops are in [`changes`](crate::changes). Errors are `{"code", "message"}`:
//!
//! | status | code | when |
//! | --- | --- | --- |
//! | 400 | `INVALID_MESSAGE` | not JSON by the policy of [`liveset_engine::json`], or not of the form above; a bad op is named by its index |
//! | 401 | `NOT_AUTHENTICATED`, `AUTH_FAILED` | no token, a wrong token |
//! | 403 | `FORBIDDEN` | a write, by a read-only token or somebody from whom the policy hides a part of a set that it names; a query that the policy refuses |
//! | 403 | `READ_ONLY_SET` | the set belongs to a source, which alone commits to it |
//! | 404, 405 | `NOT_FOUND`, `METHOD_NOT_ALLOWED` | no such path, set or connection, no row to patch; no such method |
//! | 408 | `TIMEOUT` | the body did not arrive in time |
//! | 409 | `CONFLICT` | the `if` of an op does not hold, or the content of the set is being replaced; nothing was applied |
//! | 413 | `MESSAGE_TOO_LARGE` | the body is over the limit (8 MiB by default; for a query 64 KiB, as for a message over `/ws`); or new contents of sets are over 1 GiB together |
//! | 422 | `INVALID_NODE` (a node whose JSON the policy refuses, too), `INVALID_QUERY`, `INVALID_PATH`, `INVALID_EVENT` | read, and refused; of a batch nothing was applied |
//! | 422 | `LIMIT_EXCEEDED` | the rows of a query are too large (over 16 MiB by default), or it reads more fields than may be indexed: ask for fewer; or the data of an event is too large (over 1 MiB by default); or patches and conditions of a commit take too much work |
//! | 429 | `RATE_LIMITED` | too many requests of this subject; or too many tokens from this address were refused, and this one was not looked at. `Retry-After` says when to try again |
//! | 500 | `INTERNAL` | a fault of the server |
//! | 503 | `OVERLOADED` | not now: this subject has as many queries under way as it may (64 by default), among others |

mod admin;
mod auth;
mod batch;
mod body;
mod commits;
mod cors;
mod error;
mod events;
mod explain;
mod health;
mod lines;
mod linger;
mod metrics;
mod query;
mod queue;
mod rates;
mod replace;
mod sets;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post};
use liveset::http::Origins;
use liveset::{Liveset, StaticTokens};
use liveset_core::Rate;
use metrics_exporter_prometheus::PrometheusHandle;
use tracing::Instrument as _;

pub use self::error::{ApiError, Stopped};
pub use self::health::Health;
use self::metrics::Rendered;
pub use self::metrics::{describe, install_recorder, upkeep};
use self::queue::Queue;
use self::rates::Rates;
use self::sets::Exports;
use crate::access::Banned;
use crate::config::PolicyConfig;
use crate::policy::Rules;

/// What the endpoints need besides the handle.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// The largest body that is a query, in bytes: as large as a message over `/ws` may be.
    pub max_query_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// Commits of a stream that were read and wait to be stored; at least 1.
    pub lines_waiting: usize,
    /// Requests with a good token that one subject may send each second on the long run.
    pub requests_per_second: u32,
    /// How many of them may come at once.
    pub request_burst: u32,
    /// Queries that are answered at once; at least 1. Others wait; turns go round by subject.
    pub queries_at_once: usize,
    /// Sets that are read whole at once, one by each subject; at least 1.
    pub exports: usize,
    /// Queries of one subject that are answered or wait; at least 1. More are refused with 503.
    pub queries_per_subject: usize,
    /// The policy, where it is that of a configuration: whoever may not write is told what it would take.
    pub policies: Vec<PolicyConfig>,
    /// The origins whose pages may call.
    pub cors_origins: Vec<String>,
    /// Which pages may open `/ws`.
    pub websocket_origins: Origins,
    /// What `/readyz` says.
    pub health: Health,
    /// For how long a set may be stale before `/readyz` says 503, counted from the first look at health or metrics that found it so. `None`:
    /// for ever, so that a database that is down does not take all servers out of a balancer.
    pub ready_stale_limit: Option<Duration>,
    /// The tokens of administrators. None by default.
    pub admins: StaticTokens,
    /// Subjects that administrators keep out, for the authenticator to go by.
    pub banned: Banned,
    /// Where `/metrics` finds its text; without it there is no `/metrics`.
    pub metrics: Option<PrometheusHandle>,
    /// Whether `/metrics` answers without a token.
    pub metrics_public: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            max_body_bytes: 8 * 1024 * 1024,
            max_query_bytes: 64 * 1024,
            body_timeout: Duration::from_secs(30),
            lines_waiting: 256,
            requests_per_second: 10_000,
            request_burst: 20_000,
            queries_at_once: 4,
            queries_per_subject: 64,
            exports: 4,
            policies: Vec::new(),
            cors_origins: Vec::new(),
            websocket_origins: Origins::Any,
            health: Health::default(),
            ready_stale_limit: None,
            admins: StaticTokens::default(),
            banned: Banned::default(),
            metrics: None,
            metrics_public: false,
        }
    }
}

/// What each endpoint sees.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) liveset: Liveset,
    pub(crate) options: HttpOptions,
    exports: Arc<Exports>,
    rates: Arc<Rates>,
    /// Where its monotonic clock begins.
    start: Instant,
    queries: Arc<Queue>,
    rules: Arc<Rules>,
    rendered: Arc<Rendered>,
}

impl App {
    fn new(liveset: Liveset, options: HttpOptions) -> App {
        let rate =
            Rate { per_second: options.requests_per_second.into(), burst: options.request_burst.into() };
        App {
            liveset,
            exports: Arc::default(),
            rates: Arc::new(Rates::new(rate)),
            start: Instant::now(),
            queries: Arc::new(Queue::new(options.queries_at_once, options.queries_per_subject)),
            rules: Arc::new(Rules::new(&options.policies)),
            rendered: Arc::default(),
            options,
        }
    }
}

/// `/ws` and the endpoints. `more` is merged in below the common layers, so that its routes are counted and
/// its errors look the same.
pub fn router(liveset: Liveset, options: HttpOptions, more: Router) -> Router {
    Service::new(liveset, options).router(more)
}

/// The endpoints of one [`Liveset`], whose options can change while it is served.
#[derive(Debug, Clone)]
pub struct Service(App);

impl Service {
    /// The endpoints with these options.
    pub fn new(liveset: Liveset, options: HttpOptions) -> Service {
        Service(App::new(liveset, options))
    }

    /// Its options.
    pub fn options(&self) -> &HttpOptions {
        &self.0.options
    }

    /// The same with other options. What subjects have used up of their rates, and the requests that are under way, still count, unless
    /// the limit of it is another.
    #[must_use]
    pub fn with_options(&self, options: HttpOptions) -> Service {
        let (old, new) = (&self.0, App::new(self.0.liveset.clone(), options));
        let (was, is) = (&old.options, &new.options);
        let same_rates =
            (was.requests_per_second, was.request_burst) == (is.requests_per_second, is.request_burst);
        let same_queue =
            (was.queries_at_once, was.queries_per_subject) == (is.queries_at_once, is.queries_per_subject);
        Service(App {
            rates: if same_rates { Arc::clone(&old.rates) } else { new.rates },
            queries: if same_queue { Arc::clone(&old.queries) } else { new.queries },
            exports: Arc::clone(&old.exports),
            rendered: Arc::clone(&old.rendered),
            start: old.start,
            ..new
        })
    }

    /// `/ws` and the endpoints. `more` is merged in below the common layers, so that its routes are counted and its errors look the
    /// same.
    pub fn router(&self, more: Router) -> Router {
        let app = self.0.clone();
        let ws = liveset_axum::websocket_from(app.liveset.clone(), app.options.websocket_origins.clone());
        let cors_origins = app.options.cors_origins.clone();
        let routes = always(&app)
            .route("/batch", post(batch::commit))
            .route("/events", post(events::publish))
            .route("/query", post(query::run))
            .route("/explain", post(explain::run))
            .route("/sets", get(sets::list))
            .route("/sets/{name}", get(sets::export).put(replace::replace))
            .route("/sets/{name}/values", get(sets::values))
            .route("/schema", get(sets::schema))
            .route("/admin/connections", get(admin::connections))
            .route("/admin/connections/{id}", delete(admin::close))
            .route("/admin/queries", get(admin::queries))
            .route("/admin/sources", get(admin::sources))
            .route("/admin/revoke", post(admin::revoke));
        let router = Router::new()
            .merge(routes.with_state(app))
            .route("/ws", ws)
            .merge(more)
            .fallback(async |uri: Uri| ApiError::not_found(uri.path()));
        layered(router, &cors_origins)
    }
}

/// The endpoints of a server whose sets are not loaded yet: health and metrics. All else is answered by 503.
pub fn loading_router(liveset: Liveset, options: HttpOptions) -> Router {
    let cors_origins = options.cors_origins.clone();
    let app = App::new(liveset, options);
    let router = always(&app).with_state(app).fallback(async || health::still_loading());
    layered(router, &cors_origins)
}

/// The routes that there are from the start.
fn always(app: &App) -> Router<App> {
    let routes = Router::new()
        .route("/livez", get(health::live))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready));
    match app.options.metrics {
        Some(_) => routes.route("/metrics", get(metrics::render)),
        None => routes,
    }
}

/// What is around all routes.
fn layered(router: Router, cors_origins: &[String]) -> Router {
    let router = router.method_not_allowed_fallback(async || ApiError::method_not_allowed());
    cors::apply(router, cors_origins)
        .layer(middleware::from_fn(linger::apply))
        .layer(middleware::from_fn(count))
}

/// Counts requests by status, and logs those that are refused. Paths are the router's own, never the client's, so that there are few.
async fn count(request: Request, next: Next) -> Response {
    let path = match request.uri().path() {
        path @ ("/ws" | "/batch" | "/events" | "/query" | "/explain" | "/sets" | "/schema" | "/livez"
        | "/readyz" | "/healthz" | "/metrics" | "/admin/connections" | "/admin/queries"
        | "/admin/sources" | "/admin/revoke") => path.to_owned(),
        path if path.starts_with("/admin/connections/") => "/admin/connections/{id}".to_owned(),
        path => match path.strip_prefix("/sets/") {
            Some(rest) if rest.ends_with("/values") => "/sets/{name}/values".to_owned(),
            Some(_) => "/sets/{name}".to_owned(),
            None => "other".to_owned(),
        },
    };
    // What it asks for is done inside of it. Whoever traces sends it on; the log has it from `debug` on.
    let span = tracing::debug_span!(
        target: "liveset::trace",
        "request",
        otel.name = %format_args!("{} {path}", request.method()),
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = path,
        http.response.status_code = tracing::field::Empty,
    );
    #[cfg(feature = "otel")]
    crate::traces::continue_from(&span, request.headers());
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_client_error() || status.is_server_error() {
        tracing::debug!(path, status = status.as_u16(), "refused a request");
    }
    let status = status.as_u16().to_string();
    ::metrics::counter!("liveset_http_requests_total", "path" => path, "status" => status).increment(1);
    response
}

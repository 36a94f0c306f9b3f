//! What is counted has a name in the documentation; what is logged has no secrets in it.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use liveset::{Grant, Liveset, Query, SetDef, from_fn};
use liveset_fuzz::frames::{TEXT, frame};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span;

use crate::alone;
use crate::support::{self, Client, pipe};

/// Sums of everything that was recorded, by name and labels; and the kinds and help texts that were described.
#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<BTreeMap<String, f64>>>, Arc<Mutex<BTreeMap<String, (&'static str, String)>>>);

struct Cell(Recorded, String);

impl Cell {
    fn set(&self, value: impl FnOnce(f64) -> f64) {
        let mut recorded = self.0.0.lock().unwrap();
        let cell = recorded.entry(self.1.clone()).or_default();
        *cell = value(*cell);
    }
}

impl CounterFn for Cell {
    fn increment(&self, value: u64) {
        self.set(|cell| cell + value as f64);
    }

    fn absolute(&self, value: u64) {
        self.set(|_| value as f64);
    }
}

impl GaugeFn for Cell {
    fn increment(&self, value: f64) {
        self.set(|cell| cell + value);
    }

    fn decrement(&self, value: f64) {
        self.set(|cell| cell - value);
    }

    fn set(&self, value: f64) {
        self.set(|_| value);
    }
}

impl HistogramFn for Cell {
    fn record(&self, _: f64) {
        self.set(|cell| cell + 1.0);
    }
}

impl Recorded {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
        Arc::new(Cell(self.clone(), key.name().to_owned() + &labels.collect::<String>()))
    }

    fn describe(&self, kind: &'static str, name: &KeyName, help: &SharedString) {
        let before = self.1.lock().unwrap().insert(name.as_str().to_owned(), (kind, help.to_string()));
        assert_eq!(before, None, "{} is described twice", name.as_str());
    }

    fn value(&self, name: &str) -> f64 {
        self.0.lock().unwrap().get(name).copied().unwrap_or_default()
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe("counter", &name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe("gauge", &name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe("histogram", &name, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.cell(key))
    }
}

/// Everything that was logged, whatever its level.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<String>>);

impl Visit for Logged {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0.lock().unwrap(), " {field}={value:?}").unwrap();
    }
}

impl tracing::Subscriber for Logged {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        writeln!(self.0.lock().unwrap(), "span {}", span.metadata().name()).unwrap();
        span.record(&mut self.clone());
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        writeln!(self.0.lock().unwrap()).unwrap();
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

async fn serve(liveset: &Liveset) -> tokio::io::DuplexStream {
    let (client, _) = pipe(liveset, 64 * 1024);
    client
}

/// A conversation with everything in it, faults included.
async fn converse() {
    let authenticator = from_fn(|token| async move {
        assert_ne!(token.expose(), "s3cret bomb");
        Ok(Grant::new("alice"))
    });
    let liveset = Liveset::builder().set(SetDef::new("orders")).authenticator(authenticator).build().unwrap();
    let mut client = Client::over(serve(&liveset).await).await;
    client.send(json!({ "type": "auth", "token": "s3cret token" })).await;
    client.receive().await;
    client.create("q", json!({ "edge": "orders", "filter": "x == 's3cret filter'" })).await;
    client.send(json!({ "type": "s3cret type" })).await;
    assert_eq!(client.error().await, "UNKNOWN_TYPE");
    liveset.commit(|tx| tx.upsert("orders", &json!({ "id": 1, "x": "s3cret filter" }))).unwrap();
    client.receive().await;
    assert!(liveset.commit(|tx| tx.upsert("orders", &json!({ "s3cret": 1 }))).is_err());
    assert!(liveset.query(Query::new("s3cret edge")).is_err());
    liveset.query(Query::new("orders")).unwrap();
    liveset.publish("jobs/1", "jobStarted", &json!("s3cret event")).unwrap();
    client.close().await;

    let mut client = Client::over(serve(&liveset).await).await;
    client.send(json!({ "type": "auth", "token": "s3cret bomb" })).await;
    assert_eq!(client.error().await, "AUTH_FAILED");
    assert_eq!(client.close_code().await, 1008);

    let mut peer = support::Raw { stream: serve(&liveset).await };
    peer.send(&frame(true, TEXT, b"s3cret \xff")).await;
    assert_eq!(peer.close_code().await, Some(1007));
    while liveset.stats().connections > 0 {
        tokio::task::yield_now().await;
    }
    liveset.record_metrics();
}

fn run(what: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what);
}

// No thread without this subscriber may be the first at a place that logs: `tracing` would remember that nobody listens
// there.
#[test]
fn what_is_counted_is_documented_and_nothing_secret_is_logged() {
    let _turn = alone();
    let (recorded, logged) = (Recorded::default(), Logged::default());
    tracing::subscriber::with_default(logged.clone(), || {
        metrics::with_local_recorder(&recorded, || run(converse()));
    });
    check_counts(&recorded);
    let text = logged.0.lock().unwrap();
    assert!(text.contains("span connection"), "{text}");
    assert!(text.contains("the authenticator panicked"), "{text}");
    assert_eq!(text.matches("the client is told of an error").count(), 2, "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    // Whoever guesses tokens is told apart by address: that there is none is said once, for three connections.
    assert_eq!(text.matches(NAMELESS).count(), 1, "{text}");
    let logged = Logged::default();
    tracing::subscriber::with_default(logged.clone(), || run(connect_from_an_address()));
    let text = logged.0.lock().unwrap();
    assert!(text.contains("span connection") && !text.contains(NAMELESS), "{text}");
}

const NAMELESS: &str = "connections come without the address of their client";

async fn connect_from_an_address() {
    let liveset = Liveset::builder().set(SetDef::new("orders")).build().unwrap();
    let (server, client) = tokio::io::duplex(64 * 1024);
    let serving = {
        let liveset = liveset.clone();
        tokio::spawn(async move {
            let address = std::net::IpAddr::from([127, 0, 0, 1]);
            liveset.serve(server, Some(address.into())).await
        })
    };
    Client::over(client).await.close().await;
    serving.await.unwrap();
}

fn check_counts(recorded: &Recorded) {
    metrics::with_local_recorder(recorded, liveset::describe_metrics);
    let described = recorded.1.lock().unwrap();
    for name in recorded.0.lock().unwrap().keys() {
        let name = name.split(' ').next().unwrap();
        let (kind, help) = described.get(name).unwrap_or_else(|| panic!("{name} has no help text"));
        assert_eq!(*kind == "counter", name.ends_with("_total"), "{name}");
        let is_plain = !help.contains(['`', '[', '|', '\n']) && help.starts_with(char::is_uppercase);
        assert!(is_plain && help.len() > 3, "{name}: {help}");
    }
    for name in described.keys().filter(|name| name.starts_with("liveset_engine_")) {
        assert!(recorded.0.lock().unwrap().contains_key(name), "{name} is documented and not recorded");
    }
    let by_itself = |help: &str| {
        !["The same", "Of these", "Their", "How long they"].iter().any(|other| help.starts_with(other))
    };
    assert!(described.values().all(|(_, help)| by_itself(help)), "{described:?}");
    drop(described);
    for (name, value) in [
        ("liveset_connections_opened_total", 3.0),
        ("liveset_connections_closed_total by=peer", 1.0),
        ("liveset_connections_closed_total by=server", 2.0),
        ("liveset_transport_faults_total fault=utf8", 1.0),
        ("liveset_errors_total code=AUTH_FAILED", 1.0),
        ("liveset_errors_total code=UNKNOWN_TYPE", 1.0),
        ("liveset_authentications_total outcome=accepted", 1.0),
        ("liveset_authentications_total outcome=panicked", 1.0),
        ("liveset_panics_total place=authenticator", 1.0),
        ("liveset_commits_total outcome=applied", 1.0),
        ("liveset_commits_total outcome=refused", 1.0),
        ("liveset_queries_total outcome=answered", 1.0),
        ("liveset_queries_total outcome=refused", 1.0),
        ("liveset_events_published_total", 1.0),
        ("liveset_connections", 0.0),
        ("liveset_engine_nodes", 1.0),
        ("liveset_waiting", 0.0),
        ("liveset_engine_unindexed_views", 0.0),
        ("liveset_engine_windows_touched_total", 1.0),
        ("liveset_engine_nodes_changed_total", 1.0),
    ] {
        assert_eq!(recorded.value(name), value, "{name}");
    }
    assert!(recorded.value("liveset_engine_row_bytes") > 0.0);
    assert!(recorded.value("liveset_messages_received_total") >= 4.0);
    assert!(recorded.value("liveset_bytes_sent_total") > 100.0);
}

//! What `/metrics` says.

use std::time::{Duration, Instant};

use super::http::Http;
use super::{PATIENCE, TOKEN};

/// One reading of all metrics.
pub struct Metrics(String);

impl Metrics {
    /// Reads them, again and again where the server is full.
    pub async fn read(address: &str) -> Metrics {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = Http::connect(address).await.get("/metrics", Some(TOKEN)).await;
            if answer.status == 200 {
                return Metrics(answer.text().to_owned());
            }
            assert!(
                answer.status == 503 && Instant::now() < deadline,
                "{}: {}",
                answer.status,
                answer.text()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The value of a metric, named with its labels as Prometheus does. One that was never counted is 0.
    pub fn value(&self, name: &str) -> u64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse::<f64>().expect("a number") as u64)
    }

    pub fn values<const N: usize>(&self, names: [&str; N]) -> [u64; N] {
        names.map(|name| self.value(name))
    }
}

/// What the server holds for its WebSockets: connections, live queries, the feeds behind those, and the engine's windows.
pub const HELD: [&str; 4] =
    ["liveset_connections", "liveset_live_queries", "liveset_feeds", "liveset_engine_views"];

/// Waits until these metrics have these values, and gives the reading in which they do.
pub async fn wait_for<const N: usize>(address: &str, names: [&str; N], values: [u64; N]) -> Metrics {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = Metrics::read(address).await;
        let found = metrics.values(names);
        if found == values {
            return metrics;
        }
        assert!(Instant::now() < deadline, "{names:?} are {found:?}, not {values:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

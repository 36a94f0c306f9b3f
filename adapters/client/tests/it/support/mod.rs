//! What the tests share: an endpoint that can be killed, a network that can fail, and the truth.
#![allow(unreachable_pub, reason = "a test has no outside")]

pub mod network;
pub mod server;
pub mod text;
pub mod truth;

use std::time::Duration;

use liveset_client::{Client, ClientBuilder, LiveQuery};
use serde::{Deserialize, Serialize};
use text::Text;
use tokio::time::timeout;

/// Longer than anything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The token that the server takes.
pub const TOKEN: &str = "s3cret";

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    pub id: String,
    pub g: u64,
    pub n: u64,
    /// What makes some messages large.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub text: Text,
}

pub fn row(id: &str, g: u64, n: u64) -> Row {
    Row { id: id.into(), g, n, text: Text::default() }
}

/// A client that comes back soon.
pub fn builder(address: &str) -> ClientBuilder {
    Client::builder(address).token(TOKEN).timing(|timing| {
        timing.first_pause = Duration::from_millis(10);
        timing.longest_pause = Duration::from_millis(50);
    })
}

/// The ids of the rows, in order.
pub fn ids(live: &LiveQuery<Row>) -> Vec<String> {
    live.rows().iter().map(|row| row.id.clone()).collect()
}

/// Waits until it is so.
pub async fn until(what: &str, is_so: impl FnMut() -> bool) {
    assert!(becomes(is_so).await, "in time: {what}");
}

/// Whether it becomes so, in time.
pub async fn becomes(mut is_so: impl FnMut() -> bool) -> bool {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, waiting).await.is_ok()
}

/// What a future gives, in time.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("in time")
}

//! The connection beside the one that misbehaves.

use std::net::SocketAddr;

use liveset::Liveset;
use serde_json::json;
use tokio::net::TcpStream;

use super::{Client, authenticated, eventually};

/// A client with a live query, which whatever another connection does must not disturb.
pub struct Bystander {
    liveset: Liveset,
    client: Client<TcpStream>,
}

impl Bystander {
    /// Connects, and watches all orders.
    pub async fn join(liveset: &Liveset, address: SocketAddr) -> Self {
        let mut client = authenticated(address).await;
        client.create("bystander", json!({ "edge": "orders" })).await;
        Self { liveset: liveset.clone(), client }
    }

    /// Asserts that the client is served, and was sent nothing that it did not ask for.
    pub async fn assert_served(&mut self) {
        let id = "seen by the bystander";
        self.liveset.commit(|tx| tx.upsert("orders", &json!({ "id": id }))).unwrap();
        let added = self.client.receive().await;
        assert_eq!((&added["type"], &added["nodeId"]), (&json!("liveQueryAddedNode"), &json!(id)));
        self.liveset.commit(|tx| tx.remove("orders", id)).unwrap();
        assert_eq!(self.client.receive().await["type"], "liveQueryRemovedNode");
        self.client.assert_alive().await;
    }

    /// Asserts besides that nothing is held for any other connection, and nothing for this one once it has left.
    pub async fn assert_alone(mut self) {
        self.assert_served().await;
        eventually("the other connections are freed", || self.liveset.stats().connections == 1).await;
        let hub = self.liveset.stats().hub;
        assert_eq!((hub.connections, hub.live_queries, hub.feeds, hub.subscriptions), (1, 1, 1, 0));
        self.client.close().await;
        drop(self.client);
        eventually("the last connection is freed", || self.liveset.stats().connections == 0).await;
        let hub = self.liveset.stats().hub;
        assert_eq!((hub.connections, hub.live_queries, hub.feeds, hub.deadlines), (0, 0, 0, 0));
    }
}

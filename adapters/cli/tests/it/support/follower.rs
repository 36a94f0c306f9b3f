//! A client that keeps the rows of one live query.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ws::{Came, Ws};

/// A connection with one live query, and its rows by their id.
pub struct Follower {
    pub ws: Ws,
    pub rows: BTreeMap<String, Value>,
    /// Diffs that came.
    pub diffs: usize,
}

impl Follower {
    /// Connects, and creates the live query.
    pub async fn open(address: &str, query: &Value) -> Follower {
        let mut ws = Ws::open(address).await;
        let rows = ws.create("followed", query).await;
        let rows = rows.into_iter().map(|row| (key(&row), row)).collect();
        Follower { ws, rows, diffs: 0 }
    }

    /// Takes the next message; gives the code where it is a close frame. Pings are answered.
    pub async fn step(&mut self) -> Option<u16> {
        let message = match self.ws.came().await {
            Came::Message(message) => message,
            Came::Closed(code) => return Some(code),
        };
        let id = || message["nodeId"].as_str().expect("the id of a node").to_owned();
        let is_new = match message["type"].as_str() {
            Some("liveQueryAddedNode") => self.rows.insert(id(), message["data"].clone()).is_none(),
            Some("liveQueryUpdatedNode") => self.rows.insert(id(), message["data"].clone()).is_some(),
            Some("liveQueryRemovedNode") => self.rows.remove(&id()).is_some(),
            Some("ping") => {
                self.ws.send(json!({ "type": "pong" })).await;
                return None;
            }
            _ => panic!("{message}"),
        };
        assert!(is_new, "does not follow from the rows: {message}");
        self.diffs += 1;
        None
    }
}

fn key(row: &Value) -> String {
    match &row["id"] {
        Value::String(id) => id.clone(),
        id => id.to_string(),
    }
}

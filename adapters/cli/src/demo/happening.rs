//! What the simulated world says of itself: changes of nodes and events, in the order in which they happened.

use serde::Serialize;

/// Milliseconds since 1970 in UTC.
pub(super) type Millis = i64;

/// One thing that happened: its changes are one commit, its events follow the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Happening {
    /// When it happened.
    pub(super) at: Millis,
    /// Applied together.
    pub(super) changes: Vec<Change>,
    /// Published in this order.
    pub(super) events: Vec<Emitted>,
}

/// One changed node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// The whole node as JSON.
    Upsert { set: &'static str, node: Vec<u8> },
    /// The node is gone.
    Remove { set: &'static str, id: String },
}

/// One event, at its most specific path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Emitted {
    pub(super) path: String,
    pub(super) event_type: &'static str,
    /// JSON.
    pub(super) data: Vec<u8>,
}

impl Happening {
    pub(super) fn new(at: Millis) -> Self {
        Self { at, changes: Vec::new(), events: Vec::new() }
    }

    pub(super) fn upsert(&mut self, set: &'static str, node: &impl Serialize) {
        self.changes.push(Change::Upsert { set, node: json(node) });
    }

    pub(super) fn remove(&mut self, set: &'static str, id: String) {
        self.changes.push(Change::Remove { set, id });
    }

    pub(super) fn emit(&mut self, path: String, event_type: &'static str, data: &impl Serialize) {
        self.events.push(Emitted { path, event_type, data: json(data) });
    }
}

/// The demo's own types, with text keys and finite numbers, always serialise.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// `2025-12-07T21:45:05.000Z`.
pub(super) fn stamp(at: Millis) -> String {
    liveset_engine::Timestamp::from_unix_nanos(i128::from(at) * 1_000_000)
        .unwrap_or(liveset_engine::Timestamp::MAX)
        .to_millis_string()
}

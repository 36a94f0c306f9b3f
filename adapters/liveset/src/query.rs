//! The rows that answer a query.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use liveset_core::{Doc, ErrorCode, Refusal, Snapshot};
use liveset_hub::WatchError;
use serde::Deserialize;
use thiserror::Error;

/// One JSON value as text. Cloning shares it.
///
/// ```
/// use liveset::{Liveset, Query, Set};
///
/// #[derive(serde::Deserialize)]
/// struct Order {
///     total: f64,
/// }
///
/// let liveset = Liveset::builder().set(Set::new("orders")).build()?;
/// liveset.commit(|tx| tx.upsert("orders", &serde_json::json!({ "id": 1, "total": 12.5 })))?;
/// let result = liveset.query(Query::new("orders"))?;
/// let order: Order = result.rows[0].data.parse()?;
/// assert_eq!(order.total, 12.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Bytes);

impl Json {
    pub(crate) fn new(text: Bytes) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, shared.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Reads a `T` out of the text.
    ///
    /// # Errors
    ///
    /// Where the value does not have the form of a `T`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// One node of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The node's id: its key as text.
    pub id: Arc<str>,
    /// The node as the host wrote it, cut down to the query's fields where it named some.
    pub data: Json,
    /// The node's place in the query's order: rows compare as these bytes do. Unique in a result, and meaningless
    /// outside of its query.
    pub order_key: Bytes,
}

impl Row {
    pub(crate) fn new(id: Arc<str>, doc: Doc) -> Self {
        Self { id, data: Json::new(doc.data), order_key: doc.rank }
    }
}

/// The result of a query at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryResult {
    /// The first nodes, in the query's order, at most the cap.
    pub rows: Vec<Row>,
    /// How many nodes match.
    pub total_count: u64,
    /// Whether more match than `rows` may hold.
    pub capped: bool,
    /// The state of the data: grows with every commit, and with every moment that changes a result.
    pub version: u64,
}

impl From<Snapshot> for QueryResult {
    fn from(snapshot: Snapshot) -> Self {
        let Snapshot { version, total_count, capped, rows, .. } = snapshot;
        let rows = rows.into_iter().map(|(id, doc)| Row::new(id, doc)).collect();
        Self { rows, total_count, capped, version }
    }
}

/// A query was refused. The text says what is wrong, and where.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct QueryError {
    code: ErrorCode,
    message: String,
}

impl QueryError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The protocol's word for it: `INVALID_QUERY`, `FORBIDDEN`, `LIMIT_EXCEEDED`, …
    pub fn code(&self) -> ErrorCode {
        self.code
    }
}

impl From<Refusal> for QueryError {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code, message: refusal.message }
    }
}

impl From<WatchError> for QueryError {
    fn from(error: WatchError) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

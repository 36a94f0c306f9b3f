//! One row, and where a result has it.

use std::cmp::Ordering;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use super::Etag;

/// The shared part of a [`Row`]: an id and JSON. An implementation may hold more in the same allocation.
pub trait StoredRow: Send + Sync {
    /// The key field's value as text.
    fn id(&self) -> &str;
    /// One JSON object.
    fn json(&self) -> &[u8];

    /// What tells this version of the row apart. Computed each time where nothing keeps it.
    fn etag(&self) -> Etag {
        Etag::of(self.id(), self.json())
    }
}

/// One row as a result shows it: its id, its JSON, and its place in the order of the query. Cloning shares all three.
///
/// ```
/// use liveset_core::model::Row;
///
/// #[derive(serde::Deserialize)]
/// struct Order {
///     total: f64,
/// }
///
/// let row = Row::new("7", r#"{"id":7,"total":12.5}"#, "");
/// assert_eq!(row.id(), "7");
/// assert_eq!(row.parse::<Order>()?.total, 12.5);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct Row {
    stored: Arc<dyn StoredRow>,
    order_key: Bytes,
}

impl Row {
    /// A row with an allocation of its own.
    pub fn new(id: impl Into<Box<str>>, json: impl Into<Bytes>, order_key: impl Into<Bytes>) -> Row {
        Row::of(Arc::new(Plain { id: id.into(), json: json.into() }), order_key.into())
    }

    /// A row that shares what is stored.
    pub fn of(stored: Arc<dyn StoredRow>, order_key: Bytes) -> Row {
        Row { stored, order_key }
    }

    /// The row's id: its key as text, an integer in decimal form.
    pub fn id(&self) -> &str {
        self.stored.id()
    }

    /// The row as the host wrote it, without insignificant white space; cut down to the query's fields where it named some.
    pub fn json(&self) -> &[u8] {
        self.stored.json()
    }

    /// The row's place in the query's order: rows compare as these bytes do. Unique in a result, meaningless outside of its query,
    /// and empty for a row that was not asked for by a query.
    pub fn order_key(&self) -> &Bytes {
        &self.order_key
    }

    /// What tells this version of the row apart. [Computed](Etag::of) each time, except of a row that [keeps](Row::keeping_etag) it.
    pub fn etag(&self) -> Etag {
        self.stored.etag()
    }

    /// The same row, which together with its clones computes its etag once: when it is first asked for, or never where it is given.
    #[must_use]
    pub fn keeping_etag(self, known: Option<Etag>) -> Row {
        let etag = known.map_or_else(OnceLock::new, OnceLock::from);
        Row { stored: Arc::new(Keeping { stored: self.stored, etag }), order_key: self.order_key }
    }

    /// Reads a `T` out of the row's JSON.
    ///
    /// # Errors
    ///
    /// The JSON does not have the form of a `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.json())
    }

    /// The bytes that it counts for in a backlog.
    pub(crate) fn bytes(&self) -> usize {
        self.json().len() + self.order_key.len()
    }

    /// Compares places in a result.
    pub(crate) fn by_place(&self, other: &Row) -> Ordering {
        self.order_key.cmp(&other.order_key)
    }
}

/// Rows are equal with equal id, JSON and order key.
impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        self.order_key == other.order_key
            && (Arc::ptr_eq(&self.stored, &other.stored)
                || (self.json() == other.json() && self.id() == other.id()))
    }
}

impl Eq for Row {}

/// The row's JSON.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.json()))
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({:?} {self})", self.id())
    }
}

/// The row's JSON, as it is where that is written as JSON.
impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &serde_json::value::RawValue =
            serde_json::from_slice(self.json()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// A row with its etag.
struct Keeping {
    stored: Arc<dyn StoredRow>,
    etag: OnceLock<Etag>,
}

impl StoredRow for Keeping {
    fn id(&self) -> &str {
        self.stored.id()
    }

    fn json(&self) -> &[u8] {
        self.stored.json()
    }

    fn etag(&self) -> Etag {
        *self.etag.get_or_init(|| self.stored.etag())
    }
}

struct Plain {
    id: Box<str>,
    json: Bytes,
}

impl StoredRow for Plain {
    fn id(&self) -> &str {
        &self.id
    }

    fn json(&self) -> &[u8] {
        &self.json
    }
}

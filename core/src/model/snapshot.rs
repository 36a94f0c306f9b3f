//! A whole result.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Row;

/// The number of rows that match, and whether the window is capped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// Rows that match, whatever the cap.
    #[serde(rename = "totalCount")]
    pub total: u64,
    /// Whether the number is above the cap.
    pub capped: bool,
}

impl Count {
    /// Of so many rows that match, where a window holds `cap` of them.
    pub fn new(total: u64, cap: usize) -> Count {
        Count { total, capped: total > cap as u64 }
    }
}

/// A whole result at one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The number of the last commit or step of time that it includes.
    pub version: u64,
    /// The number of rows that match.
    #[serde(flatten)]
    pub count: Count,
    /// The window: the first rows, in the query's order, at most the cap.
    pub rows: Vec<Row>,
}

impl Snapshot {
    /// Bytes of the rows as JSON. O(rows).
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(|row| row.json().len()).sum()
    }

    /// Reads every row as a `T`.
    ///
    /// # Errors
    ///
    /// The JSON of some row does not have the form of a `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<Vec<T>, serde_json::Error> {
        self.rows.iter().map(Row::parse).collect()
    }
}

/// A row a line, and how many more match.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        write!(f, "{} of {} rows", self.rows.len(), self.count.total)
    }
}

//! Why a query was not answered.

use liveset_core::{ErrorCode, Refusal};
use liveset_hub::WatchError;
use thiserror::Error;

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

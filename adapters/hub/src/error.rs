//! Errors that are the caller's.

use liveset_core::ErrorCode;
use liveset_engine::{JsonError, OpenError, QueryError};
use thiserror::Error;

use crate::ResourceError;

/// Why an event was not published.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The path or the event type is not declared.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The data is not one JSON value by the rules that hold for nodes: each key once, numbers that nobody has to round, no
    /// deeper than `EngineLimits::json` allows (the readers of some clients would not survive it).
    #[error("the data of an event is refused: {0}")]
    Data(#[from] JsonError),
    /// The data is larger than `HubLimits::event_data_bytes`.
    #[error("the data of an event has {bytes} bytes and may have at most {max}")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// How many there may be.
        max: usize,
    },
}

/// Why a watch was not made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchError {
    /// The query is wrong.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The engine keeps as many different live queries as its limits allow.
    #[error(transparent)]
    TooMany(#[from] OpenError),
}

impl WatchError {
    /// The protocol's word for it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Query(_) => ErrorCode::InvalidQuery,
            Self::TooMany(error) => open_error_code(error),
        }
    }
}

/// What is refused for load may be asked again later; a count that is used up is the client's to mind.
pub(crate) fn open_error_code(error: &OpenError) -> ErrorCode {
    if error.may_pass_later() { ErrorCode::Overloaded } else { ErrorCode::LimitExceeded }
}

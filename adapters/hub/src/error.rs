//! Errors that are the caller's.

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

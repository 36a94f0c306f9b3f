//! Errors that are the caller's.

use liveset_engine::{OpenError, QueryError};
use thiserror::Error;

use crate::ResourceError;

/// Why an event was not published.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The path or the event type is not declared.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The data is not one JSON value.
    #[error("the data of an event is one JSON value: {0}")]
    Data(#[from] serde_json::Error),
    /// Lists and objects in the data are nested deeper than a node's may be: the readers of some clients would not
    /// survive it.
    #[error("the data of an event is nested deeper than {0}")]
    TooDeep(usize),
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

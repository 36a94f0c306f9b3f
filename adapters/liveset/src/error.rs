//! Why there is no endpoint.

use liveset_engine::DefineError;
use liveset_hub::DeclareError;
use thiserror::Error;

use crate::storage::StorageError;

/// An endpoint was declared wrongly.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A set.
    #[error(transparent)]
    Set(#[from] DefineError),
    /// A resource.
    #[error(transparent)]
    Resource(#[from] DeclareError),
    /// It is made inside a tokio runtime that has no timer.
    #[error(
        "the tokio runtime has no timer, without which no deadline would come: build it with `enable_time` or `enable_all`"
    )]
    NoTimer,
    /// A limit, named as `engine.max_window`, is 0 and has to be at least 1.
    #[error("the limit {0} has to be at least 1")]
    Limit(String),
    /// The threads for several shards could not be started.
    #[error("the threads of the shards could not be started: {0}")]
    Threads(String),
    /// The rows of the storage could not be brought back.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

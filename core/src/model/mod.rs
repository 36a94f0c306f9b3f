//! The vocabulary: what the conversation, the engine and the hub all speak of, defined once.

mod change;
mod hint;
mod query;
mod row;
mod snapshot;

pub use change::{Batch, Change, LiveUpdate, Reason};
pub use hint::Hint;
pub use query::Query;
pub use row::{Row, StoredRow};
pub use snapshot::{Count, Snapshot};

//! The vocabulary: what the conversation, the engine and the hub all speak of, defined once.

mod change;
mod hint;
mod query;

pub(crate) use change::change_bytes;
pub use change::{Change, ChangeBatch, Doc, Reason, Snapshot};
pub use hint::Hint;
pub use query::Query;

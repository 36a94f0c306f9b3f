//! The vocabulary: what the conversation, the engine and the hub all speak of, defined once.

mod hint;
mod query;

pub use hint::Hint;
pub use query::Query;

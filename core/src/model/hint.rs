//! A probable mistake in a query.

/// A probable mistake in a query that is otherwise right, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// What looks odd, and in which part of the query; for people.
    pub text: String,
    /// The line in that part, from 1.
    pub line: u64,
    /// The column in characters, from 1.
    pub column: u64,
}

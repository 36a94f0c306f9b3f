//! Commits and the writes in them.

use std::sync::Arc;

/// One commit: its position, and what it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The position of the commit on whose rows it was checked: that of the one before it.
    pub follows: u64,
    /// Its own position, higher than that.
    pub position: u64,
    /// What it writes, in order.
    pub writes: Vec<Write>,
}

/// One write to a set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Write {
    /// Puts a row in place of the one with the same id.
    Put {
        /// The name of its set.
        set: Arc<str>,
        /// Its id.
        id: String,
        /// Its JSON text.
        json: String,
    },
    /// Takes a row out. It is no error if there is none of that id.
    Remove {
        /// The name of its set.
        set: Arc<str>,
        /// Its id.
        id: String,
    },
    /// Takes all rows of a set out. Costs a look at each of them.
    Clear {
        /// The name of the set.
        set: Arc<str>,
    },
}

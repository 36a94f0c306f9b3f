//! What keeps the commits of an endpoint.

use std::sync::Arc;

use thiserror::Error;

/// What keeps the commits of an endpoint, so that they survive a restart: a file (`liveset-store`), or one of your own.
///
/// An endpoint with a storage checks each commit, hands it over, and applies it when it is told that it is kept: nobody sees it before.
/// Commits that are made meanwhile are checked against the rows as those before them leave them, and are handed over too.
pub trait Storage: Send + Sync + 'static {
    /// Gives all rows that are kept, each as the name of its set and its JSON text, and returns how far they are. Called once, before all
    /// else.
    ///
    /// # Errors
    ///
    /// What is kept cannot be read; or an error of the closure.
    fn load(
        &mut self,
        see: &mut dyn FnMut(&str, &str) -> Result<(), StorageError>,
    ) -> Result<Loaded, StorageError>;

    /// Takes a commit. Called with a lock held: it must not wait. `tell` is called once, on another thread, and in the order of the
    /// commits: when this one is kept, or with the reason why it is not. One that is not kept takes those with it that follow it: they
    /// were checked against its rows.
    ///
    /// # Errors
    ///
    /// It was not taken; `tell` is not called.
    fn submit(&self, commit: StorageCommit, tell: Tell) -> Result<(), StorageError>;

    /// Waits until what was handed over is kept, and lets go of what is held. Commits that come later are refused. Default: does nothing.
    ///
    /// # Errors
    ///
    /// Something was not kept, or the end could not be noted down.
    fn close(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

/// How far the rows of a storage are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The identity of the history that positions belong to: another one where positions may be used again for other commits. The
    /// positions that clients were given before a restart are good after it if this is the same.
    pub identity: String,
    /// The position of the newest commit; 0 before the first.
    pub position: u64,
}

/// Tells whether a commit is kept.
pub type Tell = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

/// A commit to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageCommit {
    /// The position of the commit before it.
    pub follows: u64,
    /// Its own position, which is higher.
    pub position: u64,
    /// What it writes, in order.
    pub writes: Vec<StorageWrite>,
}

/// One write of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageWrite {
    /// Puts a row in place of the one with the same id.
    Put {
        /// The name of its set.
        set: Arc<str>,
        /// Its id.
        id: String,
        /// Its JSON text.
        json: String,
    },
    /// Takes a row out, if it is there.
    Remove {
        /// The name of its set.
        set: Arc<str>,
        /// Its id.
        id: String,
    },
    /// Takes all rows of a set out.
    Clear {
        /// The name of the set.
        set: Arc<str>,
    },
}

/// A storage cannot do what it should, as a text for people.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct StorageError(String);

impl StorageError {
    /// The text says what is wrong and, where something can be done about it, what.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

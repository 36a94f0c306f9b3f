//! Commits of a series, none of which is made behind one that is not.

use parking_lot::Mutex;

use super::NotDone;
use crate::storage::StorageError;

/// How far the commits of a series are.
#[derive(Debug, Default)]
pub(crate) struct Chain(Mutex<Links>);

#[derive(Debug, Default)]
struct Links {
    /// Commits that were handed over and not told yet.
    waiting: usize,
    /// How often waiting commits had been given up when the oldest of them was handed over.
    given_up: u64,
    has_failed: bool,
}

impl Chain {
    /// Whether one more may be made, given how often waiting commits were given up so far: if that has happened since the oldest of
    /// ours was handed over, that one is not kept, though nobody was told yet.
    pub(crate) fn begin(&self, given_up: u64) -> Result<(), NotDone> {
        let mut links = self.0.lock();
        if links.waiting == 0 {
            links.given_up = given_up;
        }
        if links.has_failed || links.given_up != given_up {
            return Err(NotDone::NotKept(StorageError::new("a commit before it was not made")));
        }
        links.waiting += 1;
        Ok(())
    }

    /// One was told.
    pub(crate) fn end(&self, is_made: bool) {
        let mut links = self.0.lock();
        links.waiting = links.waiting.saturating_sub(1);
        links.has_failed |= !is_made;
    }
}

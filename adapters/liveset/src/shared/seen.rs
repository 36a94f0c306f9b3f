//! What must still be so when a commit is applied.

use std::collections::HashMap;
use std::sync::Arc;

use liveset_core::Row;
use liveset_hub::Hub;

use super::NotDone;

/// A set, and the id of a row.
pub(crate) type Key = (Arc<str>, String);

/// What a commit has read, and what it ends.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Rows as it has read them; `None` where there were none.
    pub(crate) rows: HashMap<Key, Option<Row>>,
    /// The replacement that it ends, by its number.
    pub(crate) replacement: Option<u64>,
}

impl Seen {
    /// Refuses a commit that has read rows which are other ones now, as the commits that wait leave them.
    pub(crate) fn check(&self, hub: &Hub) -> Result<(), NotDone> {
        let is_other = |((set, id), row): &(&Key, &Option<Row>)| !hub.is_current(set, id, row.as_ref());
        match self.rows.iter().find(is_other) {
            Some(((set, id), _)) => Err(NotDone::Changed { set: set.clone(), id: id.clone() }),
            None => Ok(()),
        }
    }
}

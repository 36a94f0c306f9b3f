//! Event routing: which connections have subscriptions of a path.

use std::{collections::BTreeMap, sync::Arc};

use foldhash::fast::FixedState;
use indexmap::IndexMap;

use crate::ConnectionId;

/// Path → connections, each with the number of its subscriptions of that path. Neither level keeps empty entries.
///
/// Clients choose the paths (what stands for a parameter is free text). They are ordered, not hashed, so that none can be chosen
/// that make others slow.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    paths: BTreeMap<Arc<str>, IndexMap<ConnectionId, usize, FixedState>>,
}

impl Routes {
    pub(crate) fn add(&mut self, path: &Arc<str>, conn: ConnectionId) {
        *self.paths.entry(path.clone()).or_default().entry(conn).or_insert(0) += 1;
    }

    pub(crate) fn remove(&mut self, path: &str, conn: ConnectionId) {
        let Some(connections) = self.paths.get_mut(path) else { return };
        if let Some(count) = connections.get_mut(&conn) {
            *count -= 1;
            if *count == 0 {
                connections.swap_remove(&conn);
            }
        }
        if connections.is_empty() {
            self.paths.remove(path);
        }
    }

    /// The connections with subscriptions of exactly this path, in an order that is a function of what was done.
    pub(crate) fn of(&self, path: &str) -> impl Iterator<Item = ConnectionId> {
        self.paths.get(path).into_iter().flat_map(|connections| connections.keys().copied())
    }

    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }
}

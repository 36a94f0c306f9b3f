//! Counts of an endpoint.

use std::sync::Arc;

/// Gauges and counters of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are being served, those that are closing included.
    pub connections: usize,
    /// The sources that sets were declared from, in the order of their declaration.
    pub sources: Vec<SourceStats>,
    /// The hub's counts, and in them the engine's.
    pub hub: liveset_hub::Stats,
}

/// A source as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceStats {
    /// Its name.
    pub name: Arc<str>,
    /// The identity of its history.
    pub identity: Arc<str>,
    /// The position of its last commit, or up to which it has none.
    pub position: u64,
    /// Commits that were skipped so far.
    pub skipped: u64,
}

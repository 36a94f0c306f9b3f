//! Counts of an endpoint.

use crate::source::SourceStats;

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

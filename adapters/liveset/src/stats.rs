//! Counts of an endpoint.

/// Gauges and counters of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are being served, those that are closing included.
    pub connections: usize,
    /// The hub's counts, and in them the engine's.
    pub hub: liveset_hub::Stats,
}

//! The Liveset query engine: parses filters and orders and incrementally maintains capped, sorted result sets.

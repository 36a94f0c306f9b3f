//! The Liveset protocol as a sans-IO state machine: one connection's conversation, from either end.

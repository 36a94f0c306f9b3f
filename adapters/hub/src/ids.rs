//! Handles that a hub gives out. None is ever used twice by one hub.

use std::fmt;

/// One connection, from [`Hub::connect`](crate::Hub::connect) to [`Hub::handle_disconnect`](crate::Hub::handle_disconnect).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    /// Counts up.
    pub(crate) made: u64,
    pub(crate) slot: u32,
}

impl ConnectionId {
    /// A small number that no other open connection has: for tables of the owner. It is used again when the connection is gone.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// A number that no other connection of the hub has or had.
impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.made.fmt(f)
    }
}

/// One live query inside the process, from [`Hub::watch`](crate::Hub::watch) to [`Hub::unwatch`](crate::Hub::unwatch).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub(crate) u64);

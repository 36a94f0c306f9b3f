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
    /// Stands for no connection.
    pub(crate) const NONE: Self = Self { made: 0, slot: u32::MAX };

    /// A number that no other connection of the hub has or had.
    pub fn number(self) -> u64 {
        self.made
    }

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

/// Where a connection comes from, as far as that matters for whose turn it is: connections with the same number share a turn among those
/// of their subject. The owner makes it of what it knows, for example of the network address; 0 where it knows nothing.
///
/// ```
/// use liveset_hub::Origin;
///
/// let address: std::net::Ipv6Addr = "2001:db8::7".parse()?;
/// assert_ne!(Origin(address.to_bits()), Origin::default());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(pub u128);

/// One live query inside the process, from [`Hub::watch`](crate::Hub::watch) to [`Hub::unwatch`](crate::Hub::unwatch).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub(crate) u64);

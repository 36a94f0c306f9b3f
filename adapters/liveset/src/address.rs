//! Where connections come from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use liveset_hub::Origin;

/// The address that a connection comes from, for limits that count by address; see
/// [`AuthLimits`](crate::AuthLimits).
///
/// With the module `http`, a host puts it into the extensions of a request, or the framework does. Behind a proxy it is what the
/// proxy says of its client, not the proxy's own address: only the host knows which proxies are to be believed.
///
/// ```
/// use liveset::ClientAddress;
///
/// let address: std::net::IpAddr = "2001:db8::7".parse()?;
/// // Of IPv6 the network of one customer counts.
/// assert_eq!(ClientAddress::from(address).counted(false), Some("2001:db8::".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// What counts as one address: of IPv6 the network that one customer has, its /64; of IPv4 the address, also where it is
    /// written as one of IPv6. `None` for loopback, unless that is to be counted: a proxy on this machine speaks for many.
    pub fn counted(self, count_loopback: bool) -> Option<IpAddr> {
        match self.0.to_canonical() {
            address if address.is_loopback() => count_loopback.then_some(address),
            IpAddr::V4(address) => Some(IpAddr::V4(address)),
            IpAddr::V6(address) => {
                Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))))
            }
        }
    }
}

/// Addresses that count as one have the same turns: those of loopback too.
pub(crate) fn origin(address: Option<ClientAddress>) -> Origin {
    Origin(match address.and_then(|address| address.counted(true)) {
        None => 0,
        Some(IpAddr::V4(address)) => address.to_ipv6_mapped().to_bits(),
        Some(IpAddr::V6(address)) => address.to_bits(),
    })
}

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self(address)
    }
}

impl From<SocketAddr> for ClientAddress {
    fn from(address: SocketAddr) -> Self {
        Self(address.ip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_one_address() {
        let counted = |text: &str, loopback| ClientAddress(text.parse().unwrap()).counted(loopback);
        let is = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        assert_eq!(counted("192.0.2.1", false), is("192.0.2.1"));
        assert_eq!(counted("::ffff:192.0.2.1", false), is("192.0.2.1"));
        assert_eq!(counted("2001:db8:0:1:2:3:4:5", false), is("2001:db8:0:1::"));
        for local in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(counted(local, false), None);
            assert!(counted(local, true).is_some());
        }
        assert_eq!(counted("127.0.0.2", true), is("127.0.0.2"));
    }

    #[test]
    fn what_has_the_same_turns() {
        let origin = |text: &str| origin(Some(ClientAddress(text.parse().unwrap())));
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
        assert_eq!(origin("2001:db8:0:1:2:3:4:5"), origin("2001:db8:0:1::9"));
        assert_ne!(origin("2001:db8:0:1::"), origin("2001:db8:0:2::"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
        assert_eq!(super::origin(None), Origin::default());
    }
}

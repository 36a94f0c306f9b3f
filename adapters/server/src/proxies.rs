//! Proxies that are believed when they say whom they speak for.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// Where each proxy adds the address that it was called from.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks of the proxies that are believed. None by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Networks as `10.0.0.0/8`, or single addresses.
    ///
    /// # Errors
    ///
    /// The place of the first that is neither, and what is wrong with it.
    pub fn new<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Result<Proxies, (usize, String)> {
        let read = |(place, text): (usize, T)| network(text.as_ref()).map_err(|error| (place, error));
        Ok(Proxies(networks.into_iter().enumerate().map(read).collect::<Result<_, _>>()?))
    }

    /// Whether this is the address of one.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whom a request comes from, where the connection comes from `peer`: of the addresses that `X-Forwarded-For` has, the last that is
    /// no proxy's. What stands before it may be anybody's invention. `None` where a proxy does not say.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.contains(peer) {
            return Some(peer);
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let hops = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
        // From the last on; whoever wrote what is no address is not known.
        hops.map(|hop| hop_address(hop.trim()))
            .find(|hop| !hop.is_some_and(|hop| self.contains(hop)))
            .flatten()
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address.to_canonical())),
        Err(_) => text.parse::<IpNet>().ok(),
    };
    match network {
        Some(network) if network.trunc() != network => Err(format!(
            "{text:?} is no network: its address goes on behind the prefix; {} is one",
            network.trunc()
        )),
        Some(network) => Ok(network),
        None => Err(format!("{text:?} is not an address or a network, as \"10.0.0.0/8\"")),
    }
}

/// An address, with a port or without: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(proxies: &Proxies, peer: &str, lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        proxies.client(ip(peer), &headers).map(|address| address.to_string())
    }

    #[test]
    fn nobody_is_believed_who_is_no_proxy() {
        let proxies = Proxies::new(["10.0.0.0/8", "::1"]).unwrap();
        for peer in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(client(&proxies, peer, &["198.51.100.7"]).as_deref(), Some(peer));
            assert_eq!(client(&Proxies::default(), peer, &["198.51.100.7"]).as_deref(), Some(peer));
        }
        assert_eq!(client(&Proxies::default(), "10.0.0.1", &["198.51.100.7"]).as_deref(), Some("10.0.0.1"));
    }

    #[test]
    fn the_last_that_is_no_proxy_is_the_client() {
        let proxies = Proxies::new(["10.0.0.0/8", "127.0.0.1", "2001:db8:1::/48"]).unwrap();
        let cases: [(&[&str], Option<&str>); 14] = [
            (&["198.51.100.7"], Some("198.51.100.7")),
            // What a client sends itself stands before what a proxy adds.
            (&["203.0.113.1, 198.51.100.7"], Some("198.51.100.7")),
            (&["203.0.113.1", "198.51.100.7"], Some("198.51.100.7")),
            (&["203.0.113.1", "198.51.100.7, 10.1.2.3"], Some("198.51.100.7")),
            (&["198.51.100.7,10.1.2.3 ,2001:db8:1::5"], Some("198.51.100.7")),
            (&["198.51.100.7:4711"], Some("198.51.100.7")),
            (&["[2001:db8::7]:4711"], Some("2001:db8::7")),
            (&["[2001:db8::7]"], Some("2001:db8::7")),
            (&["::ffff:198.51.100.7"], Some("198.51.100.7")),
            // Who is not said is not guessed.
            (&[], None),
            (&[""], None),
            (&["198.51.100.7, unknown"], None),
            (&["198.51.100.7, _hidden, 10.1.2.3"], None),
            (&["10.1.2.3"], None),
        ];
        for (lines, expected) in cases {
            for peer in ["10.0.0.1", "127.0.0.1", "::ffff:10.0.0.1"] {
                assert_eq!(client(&proxies, peer, lines).as_deref(), expected, "{lines:?}");
            }
        }
    }

    #[test]
    fn networks_are_read_or_refused_with_their_place() {
        assert!(Proxies::new(["::ffff:10.0.0.1"]).unwrap().contains(ip("10.0.0.1")));
        assert!(Proxies::new(["0.0.0.0/0"]).unwrap().contains(ip("::ffff:10.0.0.1")));
        for (wrong, says) in [
            ("10.0.0.0/33", "is not an address or a network"),
            ("proxy.example", "is not an address or a network"),
            ("", "is not an address or a network"),
            ("10.0.0.1/8", "10.0.0.0/8 is one"),
        ] {
            let (place, error) = Proxies::new(["127.0.0.1", wrong]).unwrap_err();
            assert!(place == 1 && error.contains(says), "{error}");
        }
    }
}

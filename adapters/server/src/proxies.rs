//! Proxies that are believed when they say whom they speak for.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

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
    /// no proxy's. What stands before it may be anybody's invention. A proxy that does not say, or not in such a way that it can be
    /// read, speaks for itself.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        // Of a line, what the client wrote may be no text; what stands behind it is the proxies'.
        let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let mut hops = hops.map(|hop| hop_address(std::str::from_utf8(hop).ok()?));
        let mut client = peer;
        while self.contains(client)
            && let Some(Some(before)) = hops.next()
        {
            client = before;
        }
        client
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse());
    match network.ok().map(canonical) {
        Some(network) if network.trunc() != network => Err(format!(
            "{text:?} is no network: its address goes on behind the prefix; {} is one",
            network.trunc()
        )),
        Some(network) => Ok(network),
        None => Err(format!("{text:?} is not an address or a network, as \"10.0.0.0/8\"")),
    }
}

/// Of addresses of IPv4 that are written as such of IPv6, those of IPv4: as these their peers are looked up.
fn canonical(network: IpNet) -> IpNet {
    let mapped = |network: Ipv6Net| {
        let address = network.addr().to_ipv4_mapped()?;
        Ipv4Net::new(address, network.prefix_len().checked_sub(96)?).ok()
    };
    match network {
        IpNet::V6(network) => mapped(network).map_or(network.into(), IpNet::from),
        IpNet::V4(_) => network,
    }
}

/// An address, with a port or without: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(proxies: &Proxies, peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        proxies.client(ip(peer), &headers).to_canonical().to_string()
    }

    #[test]
    fn nobody_is_believed_who_is_no_proxy() {
        let proxies = Proxies::new(["10.0.0.0/8", "::1"]).unwrap();
        for peer in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(client(&proxies, peer, &["198.51.100.7"]), peer);
            assert_eq!(client(&Proxies::default(), peer, &["198.51.100.7"]), peer);
        }
        assert_eq!(client(&Proxies::default(), "10.0.0.1", &["198.51.100.7"]), "10.0.0.1");
    }

    #[test]
    fn the_last_that_is_no_proxy_is_the_client() {
        let proxies = Proxies::new(["10.0.0.0/8", "127.0.0.1", "2001:db8:1::/48"]).unwrap();
        let cases: [(&[&str], &str); 18] = [
            (&["198.51.100.7"], "198.51.100.7"),
            // What a client sends itself stands before what a proxy adds.
            (&["203.0.113.1, 198.51.100.7"], "198.51.100.7"),
            (&["203.0.113.1", "198.51.100.7"], "198.51.100.7"),
            (&["\u{fffd}, 198.51.100.7"], "198.51.100.7"),
            (&["\u{fffd}", "198.51.100.7, 10.1.2.3"], "198.51.100.7"),
            (&["203.0.113.1", "198.51.100.7, 10.1.2.3"], "198.51.100.7"),
            (&["198.51.100.7,10.1.2.3 ,2001:db8:1::5"], "198.51.100.7"),
            (&["198.51.100.7:4711"], "198.51.100.7"),
            (&["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            (&["::ffff:198.51.100.7"], "198.51.100.7"),
            // Where all are proxies, the first; of what cannot be read, whoever wrote it.
            (&["10.1.2.4, 10.1.2.3"], "10.1.2.4"),
            (&["10.1.2.4", "10.1.2.3"], "10.1.2.4"),
            (&["198.51.100.7, _hidden, 10.1.2.3"], "10.1.2.3"),
            (&[], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&["198.51.100.7, unknown"], "10.0.0.1"),
            (&["198.51.100.7,"], "10.0.0.1"),
        ];
        for (lines, expected) in cases {
            for peer in ["10.0.0.1", "::ffff:10.0.0.1"] {
                assert_eq!(client(&proxies, peer, lines), expected, "{lines:?}");
            }
        }
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, HeaderValue::from_bytes(b"\xff, 198.51.100.7").unwrap());
        assert_eq!(
            proxies.client(ip("10.0.0.1"), &headers),
            ip("198.51.100.7"),
            "the client's own is no text"
        );
    }

    #[test]
    fn networks_are_read_or_refused_with_their_place() {
        for mapped in ["::ffff:10.0.0.1", "::ffff:10.0.0.0/104", "::ffff:0:0/96", "::/0", "0.0.0.0/0"] {
            let proxies = Proxies::new([mapped]).unwrap();
            assert_eq!(proxies.contains(ip("10.0.0.1")), mapped != "::/0", "{mapped}");
            assert_eq!(proxies.contains(ip("2001:db8::1")), mapped == "::/0", "{mapped}");
        }
        assert!(Proxies::new(["10.0.0.0/8"]).unwrap().contains(ip("::ffff:10.0.0.1")));
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

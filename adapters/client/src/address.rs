//! The address of an endpoint.

use std::str::FromStr;

use hyper::Uri;

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Name or number, without the brackets of IPv6.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Host and port, as the `Host` header has them.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) is_tls: bool,
}

impl FromStr for Address {
    type Err = ();

    fn from_str(text: &str) -> Result<Address, ()> {
        let uri: Uri = text.parse().map_err(|_| ())?;
        let is_tls = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(())?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || text.contains('#') {
            return Err(());
        }
        let path = match uri.path_and_query().map(|path| path.as_str()) {
            None | Some("" | "/") => "/ws",
            Some(path) => path,
        };
        Ok(Address {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            authority: authority.to_string(),
            path: path.to_owned(),
            is_tls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_websockets() {
        for (text, host, port, path) in [
            ("ws://127.0.0.1:8080/ws", "127.0.0.1", 8080, "/ws"),
            ("ws://host", "host", 80, "/ws"),
            ("wss://host/", "host", 443, "/ws"),
            ("wss://[::1]:7/live/ws?a=b", "::1", 7, "/live/ws?a=b"),
            ("https://host/x", "host", 443, "/x"),
        ] {
            let address: Address = text.parse().unwrap_or_else(|()| panic!("{text}"));
            assert_eq!((&*address.host, address.port, &*address.path), (host, port, path), "{text}");
            assert_eq!(address.is_tls, text.starts_with("wss:") || text.starts_with("https:"), "{text}");
        }
        for wrong in ["", "host", "host:80", "ftp://host", "ws://", "ws://a@host", "ws://host/#x", "ws:///ws"]
        {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}

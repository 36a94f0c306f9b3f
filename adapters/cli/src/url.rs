//! The address of a server, as the commands take it: `127.0.0.1:8080`, `http://host:8080`, `wss://host/ws`.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use hyper::http::uri::Authority;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    /// Host and port, as in the `Host` header.
    pub(crate) authority: Authority,
    /// What stands in front of `/ws` and the other paths, without a slash at the end.
    pub(crate) base: String,
    /// Whether it speaks TLS.
    pub(crate) is_tls: bool,
}

impl ServerUrl {
    /// The address of a path, as `/batch`.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// Its WebSocket endpoint, as a client writes it.
    pub(crate) fn websocket(&self) -> String {
        format!("{}://{}{}/ws", if self.is_tls { "wss" } else { "ws" }, self.authority, self.base)
    }

    /// What to connect to.
    pub(crate) fn address(&self) -> String {
        let port = self.authority.port_u16().unwrap_or(if self.is_tls { 443 } else { 80 });
        format!("{}:{port}", self.authority.host())
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.base)
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an address, as 127.0.0.1:8080 or ws://host/ws");
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = whole.parse().map_err(|_| wrong())?;
        let is_tls = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            scheme => {
                let scheme = scheme.unwrap_or_default();
                return Err(format!("unknown scheme {scheme:?}, write http://, https://, ws:// or wss://"));
            }
        };
        let authority =
            uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        if uri.query().is_some() || text.contains('#') {
            return Err(wrong());
        }
        let base = uri.path().trim_end_matches('/');
        let base = base.strip_suffix("/ws").unwrap_or(base).to_owned();
        Ok(ServerUrl { authority: authority.clone(), base, is_tls })
    }
}

/// As [`ServerUrl::from_str`], for commands that speak no TLS.
pub(crate) fn without_tls(text: &str) -> Result<ServerUrl, String> {
    match text.parse() {
        Ok(ServerUrl { is_tls: true, .. }) => {
            Err("this command speaks no TLS: use a plain http:// or ws:// address".into())
        }
        parsed => parsed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_spelling() {
        for (text, address, batch) in [
            ("127.0.0.1:8080", "127.0.0.1:8080", "/batch"),
            ("http://host", "host:80", "/batch"),
            ("ws://host:9/ws", "host:9", "/batch"),
            ("http://host/live/", "host:80", "/live/batch"),
            ("ws://[::1]:7/live/ws/", "[::1]:7", "/live/batch"),
            ("ws://[::1]", "[::1]:80", "/batch"),
            ("wss://host/ws", "host:443", "/batch"),
            ("https://[::1]", "[::1]:443", "/batch"),
            ("https://host:8443", "host:8443", "/batch"),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            let scheme = if url.is_tls { "https" } else { "http" };
            assert_eq!(url.address(), address, "{text}");
            assert_eq!(url.path("/batch"), format!("{scheme}://{}{batch}", url.authority), "{text}");
            assert_eq!(url.is_tls, text.starts_with("wss") || text.starts_with("https"), "{text}");
            assert!(["host", "127.0.0.1", "[::1]"].contains(&url.authority.host()), "{text}");
        }
        for (wrong, what) in [
            ("ftp://host", "scheme"),
            ("", "not an address"),
            ("http:///x", "not an address"),
            ("host name", "not an address"),
            ("user@host", "not an address"),
            ("host/ws?token=t", "not an address"),
            ("host#ws", "not an address"),
        ] {
            let error = wrong.parse::<ServerUrl>().unwrap_err();
            assert!(error.contains(what), "{wrong}: {error}");
        }
    }
}

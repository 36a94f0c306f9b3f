//! The address of a server, as the commands take it: `127.0.0.1:8080`, `http://host:8080`, `wss://host/ws`.

use std::fmt;
use std::str::FromStr;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    /// Host and port, as for a connection and the `Host` header.
    pub(crate) authority: String,
    /// What stands in front of `/ws` and the other paths, without a slash at the end.
    pub(crate) base: String,
    /// Whether it speaks TLS.
    pub(crate) is_tls: bool,
}

impl ServerUrl {
    /// A path of the server, as `/batch`.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Its WebSocket endpoint, as a client writes it.
    pub(crate) fn websocket(&self) -> String {
        let scheme = if self.is_tls { "wss" } else { "ws" };
        format!("{scheme}://{}{}", self.authority, self.path("/ws"))
    }

    /// What to connect to.
    pub(crate) fn address(&self) -> String {
        match self.port_at() {
            Some(_) => self.authority.clone(),
            None => format!("{}:{}", self.authority, if self.is_tls { 443 } else { 80 }),
        }
    }

    /// The host alone, as in its certificate.
    pub(crate) fn host(&self) -> &str {
        let host = &self.authority[..self.port_at().unwrap_or(self.authority.len())];
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// Where `:port` begins.
    fn port_at(&self) -> Option<usize> {
        // After the last `]`, so that the colons of IPv6 are not taken for a port.
        let after_host = self.authority.rfind(']').map_or(0, |at| at + 1);
        self.authority[after_host..].find(':').map(|at| after_host + at)
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
        let (is_tls, rest) = match text.split_once("://") {
            Some(("http" | "ws", rest)) => (false, rest),
            Some(("https" | "wss", rest)) => (true, rest),
            Some((scheme, _)) => {
                return Err(format!("unknown scheme {scheme:?}, write http://, https://, ws:// or wss://"));
            }
            None => (false, text),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let is_plain = !authority.is_empty()
            && authority.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\\".contains(&byte));
        if !is_plain || path.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'?' || byte == b'#') {
            return Err(format!("{text:?} is not an address, as 127.0.0.1:8080 or ws://host/ws"));
        }
        let base = path.trim_end_matches('/');
        let base = base.strip_suffix("/ws").unwrap_or(base);
        Ok(ServerUrl { authority: authority.into(), base: base.into(), is_tls })
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
            assert_eq!((url.address().as_str(), url.path("/batch").as_str()), (address, batch), "{text}");
            assert_eq!(url.is_tls, text.starts_with("wss") || text.starts_with("https"), "{text}");
            assert!(["host", "127.0.0.1", "::1"].contains(&url.host()), "{text}");
        }
        for (wrong, what) in [
            ("ftp://host", "scheme"),
            ("", "not an address"),
            ("http:///x", "not an address"),
            ("host name", "not an address"),
            ("user@host", "not an address"),
        ] {
            let error = wrong.parse::<ServerUrl>().unwrap_err();
            assert!(error.contains(what), "{wrong}: {error}");
        }
    }
}

//! The address of a server, as the commands take it: `127.0.0.1:8080`, `http://host:8080`, `ws://host/ws`.

use std::fmt;
use std::str::FromStr;

/// Where a server is. Plain TCP: TLS is for a proxy in front of either end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    /// Host and port, as for a connection and the `Host` header.
    pub(crate) authority: String,
    /// What stands in front of `/ws` and the other paths, without a slash at the end.
    pub(crate) base: String,
}

impl ServerUrl {
    /// A path of the server, as `/batch`.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// What to connect to.
    pub(crate) fn address(&self) -> String {
        // After the last `]`, so that the colons of IPv6 are not taken for a port.
        let after_host = self.authority.rfind(']').map_or(0, |at| at + 1);
        match self.authority[after_host..].contains(':') {
            true => self.authority.clone(),
            false => format!("{}:80", self.authority),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.authority, self.base)
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = match text.split_once("://") {
            Some(("http" | "ws", rest)) => rest,
            Some(("https" | "wss", _)) => {
                return Err(
                    "TLS is not spoken here: use a plain http:// or ws:// address, or a tunnel".into()
                );
            }
            Some((scheme, _)) => return Err(format!("unknown scheme {scheme:?}, write http:// or ws://")),
            None => text,
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let is_plain = !authority.is_empty()
            && authority.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\\".contains(&byte));
        if !is_plain || path.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'?' || byte == b'#') {
            return Err(format!("{text:?} is not an address, as 127.0.0.1:8080 or ws://host/ws"));
        }
        let base = path.trim_end_matches('/');
        let base = base.strip_suffix("/ws").unwrap_or(base);
        Ok(ServerUrl { authority: authority.into(), base: base.into() })
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
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!((url.address().as_str(), url.path("/batch").as_str()), (address, batch), "{text}");
        }
        for (wrong, what) in [
            ("wss://host", "TLS"),
            ("https://host", "TLS"),
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

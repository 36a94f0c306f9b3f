//! The opening handshake, over hyper's requests: for hyper itself, and for every framework on top of it.

use std::fmt;
use std::sync::Arc;

use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode, Version};
use tracing::Instrument;

use crate::address::ClientAddress;
use crate::handle::Liveset;
use crate::shared::timer::require_timer;

/// What a client may call the protocol, where it offers names for it. One that offers none is taken too.
const SUBPROTOCOL: &str = "liveset";

/// Which pages may open connections, by the `Origin` that browsers send with the handshake.
///
/// Clients authenticate with a token in their first message and never by cookie, so a page that has no token gets
/// nothing from a connection: taking [any](Origins::Any) origin is safe as far as data goes.
///
/// ```
/// use liveset::http::{Endpoint, Origins};
///
/// let liveset = liveset::Liveset::builder().build()?;
/// let endpoint = Endpoint::new(liveset).origins(Origins::list(["https://app.example.com"]));
/// # Ok::<(), liveset::BuildError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Origins {
    /// All.
    #[default]
    Any,
    /// Exactly these, such as `https://app.example.com`, or `capacitor://localhost` of an app; others get 403.
    Listed {
        /// The origins, compared as text, without regard to upper and lower case.
        origins: Arc<[Box<str>]>,
        /// Whether a handshake without an `Origin` is taken: what is no browser sends none.
        or_absent: bool,
    },
}

impl Origins {
    /// Exactly these, and whatever is no browser.
    pub fn list<S: Into<Box<str>>>(origins: impl IntoIterator<Item = S>) -> Self {
        Self::Listed { origins: origins.into_iter().map(Into::into).collect(), or_absent: true }
    }

    fn allow(&self, headers: &HeaderMap) -> bool {
        let Self::Listed { origins, or_absent } = self else {
            return true;
        };
        let mut given = headers.get_all(ORIGIN).iter();
        match (given.next(), given.next()) {
            (None, _) => *or_absent,
            (Some(origin), None) => {
                origins.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
            }
            (Some(_), Some(_)) => false,
        }
    }
}

/// The endpoint as an HTTP server has it: answers handshakes, and serves what comes of them.
///
/// ```
/// # use hyper::{Request, Response, body::Incoming};
/// async fn answer(endpoint: liveset::http::Endpoint, mut request: Request<Incoming>) -> Response<String> {
///     match request.uri().path() {
///         "/ws" => endpoint.upgrade(&mut request),
///         _ => Response::new("see /ws\n".to_owned()),
///     }
/// }
/// ```
///
/// The server must let connections be upgraded (`with_upgrades()` with hyper), and should bound how long and how large a
/// request's head may be: whoever has not finished a handshake is unknown here.
#[derive(Clone, Debug)]
pub struct Endpoint {
    liveset: Liveset,
    origins: Origins,
}

impl Endpoint {
    /// Takes connections from pages of any origin.
    pub fn new(liveset: Liveset) -> Self {
        Self { liveset, origins: Origins::Any }
    }

    /// Takes connections from pages of these origins only.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Answers a request for the endpoint. A right handshake is answered by 101, and the connection is served by a task
    /// of its own as soon as that was sent; anything else is answered by an error and what is wrong. Of the subprotocols that a client
    /// offers, `liveset` is chosen, and no other.
    ///
    /// A [`ClientAddress`] among the extensions of the request is where the connection comes from.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, and in one without a timer (`enable_time`, `enable_all`).
    pub fn upgrade<B>(&self, request: &mut Request<B>) -> Response<String> {
        require_timer();
        let checked = check(request, &self.origins).and_then(|()| {
            if self.liveset.shared.is_closing() { Err(Refused::ShuttingDown) } else { Ok(()) }
        });
        if let Err(refused) = checked {
            tracing::debug!(%refused, "refused a handshake");
            return refused.response();
        }
        let address = request.extensions().get::<ClientAddress>().copied();
        let is_named = lists_exactly(request.headers(), &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
        let Ok((response, upgraded)) = fastwebsockets::upgrade::upgrade(request) else {
            return Refused::Key.response();
        };
        let liveset = self.liveset.clone();
        let serving = async move {
            match upgraded.await {
                // Nothing was read through it yet; what came early is still in the upgraded stream.
                Ok(socket) => liveset.serve(socket.into_inner(), address).await,
                Err(error) => tracing::debug!(%error, "the connection was gone before it was upgraded"),
            }
        };
        tokio::spawn(serving.in_current_span());
        let mut response = response.map(|_| String::new());
        if is_named {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        }
        response
    }
}

/// Why a handshake was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Method,
    Http,
    NoUpgrade,
    Host,
    Key,
    NoVersion,
    Version,
    Origin,
    ShuttingDown,
}

/// Every rule of RFC 6455, 4.2.1, that concerns a server; the library checks two of them.
fn check<B>(request: &Request<B>, origins: &Origins) -> Result<(), Refused> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(Refused::Method);
    }
    if !lists(headers, &UPGRADE, "websocket") || !lists(headers, &CONNECTION, "upgrade") {
        return Err(Refused::NoUpgrade);
    }
    if request.version() != Version::HTTP_11 {
        return Err(Refused::Http);
    }
    if !only(headers, &HOST).is_some_and(|host| is_host(host.as_bytes())) {
        return Err(Refused::Host);
    }
    if !only(headers, &SEC_WEBSOCKET_KEY).is_some_and(|key| is_key(key.as_bytes())) {
        return Err(Refused::Key);
    }
    match only(headers, &SEC_WEBSOCKET_VERSION) {
        None => return Err(Refused::NoVersion),
        Some(version) if version != "13" => return Err(Refused::Version),
        Some(_) => {}
    }
    if !origins.allow(headers) {
        return Err(Refused::Origin);
    }
    Ok(())
}

/// The value of a header that must be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether a header that is a list, maybe in several lines, has `word`.
fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        let mut words = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        words.any(|given| given.eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// The same, where upper and lower case are not alike.
fn lists_exactly(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let words = headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    words.map(<[u8]>::trim_ascii).any(|given| given == word.as_bytes())
}

/// Whether it is a host, and maybe a port: RFC 9112, 3.2, wants others refused.
fn is_host(host: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(host) else {
        return false;
    };
    let port = authority.as_str().strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':'));
    // Who is to be asked, not as whom. An empty port is allowed.
    !authority.host().is_empty()
        && authority.host().len() + port.map_or(0, |port| port.len() + 1) == host.len()
        && port.is_none_or(|port| port.is_empty() || authority.port_u16().is_some())
}

/// Whether it is sixteen bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'+' || *byte == b'/';
    key.len() == 24 && key[..22].iter().all(is_digit) && key.ends_with(b"==")
}

impl Refused {
    fn response(self) -> Response<String> {
        let mut response =
            Response::new(format!("{{\"code\":\"{}\",\"message\":\"{self}\"}}\n", self.code()));
        *response.status_mut() = match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Http | Self::Host | Self::Key | Self::NoVersion => StatusCode::BAD_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::Method => drop(headers.insert(ALLOW, HeaderValue::from_static("GET"))),
            Self::NoUpgrade => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            }
            Self::Version => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            _ => {}
        }
        response
    }

    fn code(self) -> &'static str {
        match self {
            Self::Method => "METHOD_NOT_ALLOWED",
            Self::NoUpgrade | Self::Version => "UPGRADE_REQUIRED",
            Self::Http | Self::Host | Self::Key | Self::NoVersion => "BAD_HANDSHAKE",
            Self::Origin => "FORBIDDEN",
            Self::ShuttingDown => "OVERLOADED",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "a WebSocket handshake is a GET",
            Self::Http => "a WebSocket handshake needs HTTP/1.1",
            Self::NoUpgrade => {
                "this is a WebSocket endpoint: Upgrade: websocket and Connection: upgrade are needed"
            }
            Self::Host => "exactly one Host is needed, a name or an address and maybe a port",
            Self::Key => "exactly one Sec-WebSocket-Key of 16 bytes in base64 is needed",
            Self::NoVersion => "exactly one Sec-WebSocket-Version is needed",
            Self::Version => "Sec-WebSocket-Version must be 13",
            Self::Origin => "this origin may not connect",
            Self::ShuttingDown => "the server is shutting down",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> Request<()> {
        Request::get("/ws")
            .header(HOST, "localhost")
            .header(UPGRADE, "WebSocket")
            .header(CONNECTION, "keep-alive, Upgrade")
            .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .body(())
            .unwrap()
    }

    fn with(change: impl FnOnce(&mut Request<()>)) -> Result<(), Refused> {
        let mut request = handshake();
        change(&mut request);
        check(&request, &Origins::Any)
    }

    fn set(name: HeaderName, value: &'static str) -> impl FnOnce(&mut Request<()>) {
        move |request| drop(request.headers_mut().insert(name, HeaderValue::from_static(value)))
    }

    fn without(name: HeaderName) -> impl FnOnce(&mut Request<()>) {
        move |request| drop(request.headers_mut().remove(name))
    }

    fn twice(name: HeaderName, value: &'static str) -> impl FnOnce(&mut Request<()>) {
        move |request| assert!(request.headers_mut().append(name, HeaderValue::from_static(value)))
    }

    #[test]
    fn every_rule_of_the_handshake() {
        assert_eq!(with(|_| {}), Ok(()));
        assert_eq!(with(|request| *request.method_mut() = Method::POST), Err(Refused::Method));
        assert_eq!(with(|request| *request.method_mut() = Method::HEAD), Err(Refused::Method));
        assert_eq!(with(|request| *request.version_mut() = Version::HTTP_10), Err(Refused::Http));
        assert_eq!(with(without(UPGRADE)), Err(Refused::NoUpgrade));
        assert_eq!(with(set(UPGRADE, "h2c")), Err(Refused::NoUpgrade));
        assert_eq!(with(set(CONNECTION, "close")), Err(Refused::NoUpgrade));
        assert_eq!(with(without(HOST)), Err(Refused::Host));
        assert_eq!(with(twice(HOST, "elsewhere")), Err(Refused::Host));
        for host in ["localhost", "shop.example:8080", "127.0.0.1:80", "[::1]", "[::1]:8080", "a:"] {
            assert_eq!(with(set(HOST, host)), Ok(()), "{host}");
        }
        let bad = [
            "", " ", "a b", "a b/@c", "a/b", "a@b", "@b", ":80", "a:b", "a:80:80", "a:65536", "http://a",
            "[::1", "a,b?",
        ];
        for host in bad {
            assert_eq!(with(set(HOST, host)), Err(Refused::Host), "{host}");
        }
        assert_eq!(with(without(SEC_WEBSOCKET_KEY)), Err(Refused::Key));
        assert_eq!(with(set(SEC_WEBSOCKET_KEY, "")), Err(Refused::Key));
        assert_eq!(with(set(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ")), Err(Refused::Key));
        assert_eq!(with(set(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQAA")), Err(Refused::Key));
        assert_eq!(with(set(SEC_WEBSOCKET_KEY, "dGhl\tHNhbXBsZSBub25jZQ==")), Err(Refused::Key));
        assert_eq!(with(twice(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")), Err(Refused::Key));
        assert_eq!(with(without(SEC_WEBSOCKET_VERSION)), Err(Refused::NoVersion));
        assert_eq!(with(set(SEC_WEBSOCKET_VERSION, "8")), Err(Refused::Version));
    }

    #[test]
    fn statuses_and_what_to_do_instead() {
        let version = Refused::Version.response();
        assert_eq!(version.status(), 426);
        assert_eq!(version.headers()[SEC_WEBSOCKET_VERSION], "13");
        assert_eq!(Refused::NoUpgrade.response().headers()[UPGRADE], "websocket");
        let method = Refused::Method.response();
        assert_eq!(
            (method.status().as_u16(), &method.headers()[ALLOW]),
            (405, &HeaderValue::from_static("GET"))
        );
        assert_eq!(Refused::Key.response().status(), 400);
        assert_eq!(Refused::Origin.response().status(), 403);
        assert_eq!(Refused::ShuttingDown.response().status(), 503);
    }

    #[test]
    fn origins_are_listed_whole() {
        let listed = Origins::list(["https://app.example.com"]);
        let allow = |origin: Option<&'static str>, origins: &Origins| {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            origins.allow(&headers)
        };
        assert!(allow(Some("https://app.example.com"), &listed));
        assert!(allow(Some("https://APP.example.com"), &listed));
        assert!(allow(None, &listed));
        for other in
            ["https://app.example.com.evil.org", "http://app.example.com", "null", "", "https://example.com"]
        {
            assert!(!allow(Some(other), &listed), "{other}");
            assert!(allow(Some(other), &Origins::Any));
        }
        let strict = Origins::Listed { origins: Arc::new([]), or_absent: false };
        assert!(!allow(None, &strict));
    }
}

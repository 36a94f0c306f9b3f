//! The Liveset endpoint as a route of an axum service.
//!
//! ```no_run
#![doc = include_str!("../examples/axum.rs")]
//! ```
//!
//! **The data lives in memory, and only there. The host is the truth:** it fills the sets when it starts, and commits
//! what changes. See [`liveset`] for all that a handle can do.
//!
//! Where the router is served with `into_make_service_with_connect_info::<SocketAddr>()`, whoever sends too many bad tokens from one
//! address is slowed down there; behind a proxy, put a [`ClientAddress`] into the request's extensions instead.
//!
//! Set `TCP_NODELAY` on the sockets that you accept (`axum::serve::ListenerExt::tap_io`), and on Linux `TCP_NOTSENT_LOWAT` to some 16 KiB
//! (`socket2::SockRef::set_tcp_notsent_lowat`): what lies unsent in the kernel delays pings and closes, and makes a slow client look like one
//! that takes nothing.
//!
//! axum's own WebSocket support is not used, and need not be on. Serve the router over HTTP/1.1: an upgrade is a part of
//! that. A client that dawdles over its request is axum's, and your proxy's, to bound; what comes after the handshake is
//! bounded by [`liveset::Limits`].

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use liveset::http::{Endpoint, Origins};
use liveset::{ClientAddress, Liveset};

/// The endpoint, for pages of any origin.
///
/// A right handshake is answered by 101 and then served; anything else by 400, 405 or 426 with what is wrong as JSON. Another `get` for the
/// same path is a mistake of which axum panics when the router is made; handling a request panics in a runtime without a timer.
///
/// ```
/// use axum::Router;
/// use liveset::Liveset;
///
/// let liveset = Liveset::builder().build()?;
/// let app: Router = Router::new().route("/ws", liveset_axum::websocket(liveset));
/// # Ok::<(), liveset::BuildError>(())
/// ```
pub fn websocket<S>(liveset: Liveset) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    endpoint(Endpoint::new(liveset))
}

/// The endpoint, for pages of some origins only; others are answered by 403.
///
/// ```
/// # use axum::Router;
/// # let liveset = liveset::Liveset::builder().build()?;
/// use liveset::http::Origins;
///
/// let origins = Origins::list(["https://app.example.com"]);
/// let app: Router = Router::new().route("/ws", liveset_axum::websocket_from(liveset, origins));
/// # Ok::<(), liveset::BuildError>(())
/// ```
pub fn websocket_from<S>(liveset: Liveset, origins: Origins) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    endpoint(Endpoint::new(liveset).origins(origins))
}

/// The address that the connection comes from, where nobody has said otherwise.
fn name_client(request: &mut Request) {
    let extensions = request.extensions_mut();
    if extensions.get::<ClientAddress>().is_none()
        && let Some(ConnectInfo(address)) = extensions.get::<ConnectInfo<SocketAddr>>().copied()
    {
        extensions.insert(ClientAddress::from(address));
    }
}

fn endpoint<S>(endpoint: Endpoint) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let wrong = endpoint.clone();
    let answer = |endpoint: Endpoint| {
        move |mut request: Request| {
            name_client(&mut request);
            let response: Response = endpoint.upgrade(&mut request).map(Body::from);
            std::future::ready(response)
        }
    };
    // GET by name: axum then says so where somebody has a `get` of their own for the same path. Other methods come here too, so that a
    // wrong one gets the same kind of answer as a wrong header.
    get(answer(endpoint)).fallback(answer(wrong))
}

/// The pages whose blocks of Rust are run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[doc = include_str!("../../server/guide/embedding.md")]
#[doc = include_str!("../../server/guide/queries.md")]
#[doc = include_str!("../../server/guide/testing.md")]
struct Readme;

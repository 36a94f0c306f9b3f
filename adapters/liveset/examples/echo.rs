//! The transport of the endpoint with nothing of the protocol on it: each message comes back as it was sent. For suites
//! that test WebSockets; `.ci/autobahn` runs one against it.
//!
//! Listens on a free port of loopback, or on the address in its argument, and prints where.

use std::convert::Infallible;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use liveset::TransportLimits;
use liveset::testing::echo;
use tokio::net::TcpListener;

/// The suite sends messages of up to 16 MiB.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(upgrade))
                .with_upgrades();
            if let Err(error) = serving.await {
                eprintln!("{error}");
            }
        });
    }
}

async fn upgrade(mut request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let Ok((response, upgraded)) = fastwebsockets::upgrade::upgrade(&mut request) else {
        let mut refused = Response::new("WebSockets only\n".to_owned());
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(refused);
    };
    tokio::spawn(async move {
        match upgraded.await {
            Ok(socket) => echo(socket.into_inner(), MAX_MESSAGE_BYTES, limits()).await,
            Err(error) => eprintln!("{error}"),
        }
    });
    Ok(response.map(|_| String::new()))
}

/// The suite cuts 4 MiB into fragments of 64 bytes, and ends them by an empty one.
fn limits() -> TransportLimits {
    let mut limits = TransportLimits::default();
    limits.max_fragments = 4 * 1024 * 1024 / 64 + 1;
    limits
}

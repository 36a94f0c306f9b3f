//! The endpoint on hyper, without a framework: accept, bound the handshake, upgrade, serve.

use std::convert::Infallible;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use liveset::http::Endpoint;
use liveset::{ClientAddress, Grant, Liveset, SetDef, StaticTokens};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tokens = StaticTokens::new([("s3cret", Grant::new("alice"))]);
    let liveset = Liveset::builder().set(SetDef::new("orders").key("id")).authenticator(tokens).build()?;
    liveset.commit(|tx| tx.upsert("orders", &serde_json::json!({ "id": 1, "status": "processing" })))?;

    let endpoint = Endpoint::new(liveset);
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Out of file descriptors, for example: others are still served, and some will go.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let endpoint = endpoint.clone();
        tokio::spawn(async move {
            let service = service_fn(move |mut request: Request<Incoming>| {
                // Who guesses tokens is slowed down by address.
                request.extensions_mut().insert(ClientAddress::from(address));
                let response = answer(&endpoint, &mut request);
                async move { Ok::<_, Infallible>(response) }
            });
            // A client that does not finish its request, or sends a huge one, is closed here.
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(5))
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            let _ = served.await;
        });
    }
}

fn answer(endpoint: &Endpoint, request: &mut Request<Incoming>) -> Response<String> {
    if request.uri().path() == "/ws" {
        return endpoint.upgrade(request);
    }
    let mut response = Response::new("the endpoint is at /ws\n".to_owned());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

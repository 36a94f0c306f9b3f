//! A service with a live endpoint at `ws://127.0.0.1:8080/ws`.

use std::net::SocketAddr;

use axum::Router;
use liveset::{Grant, Liveset, SetDef, StaticTokens};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tokens = StaticTokens::new([("s3cret", Grant::new("alice"))]);
    let liveset = Liveset::builder().set(SetDef::new("orders").key("id")).authenticator(tokens).build()?;

    // The data lives in memory: fill it from where it is kept, then commit what changes.
    liveset.commit(|tx| tx.upsert("orders", &serde_json::json!({ "id": 1, "status": "processing" })))?;

    let app = Router::new().route("/ws", liveset_axum::websocket(liveset));
    // With the address of each client, so that whoever guesses tokens is slowed down. Behind a proxy that would be the proxy's: leave
    // it out there, or put a `liveset::ClientAddress` into the extensions of each request.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    Ok(axum::serve(listener, app).await?)
}

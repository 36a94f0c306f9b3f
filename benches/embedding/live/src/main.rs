//! axum with a Liveset endpoint.

use axum::{Router, routing::get};
use liveset::{Grant, Liveset, SetDef, StaticTokens};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tokens = StaticTokens::new([("s3cret", Grant::new("alice"))]);
    let liveset = Liveset::builder().set(SetDef::new("orders")).authenticator(tokens).build()?;
    let app = Router::new().route("/", get(async || "hello")).route("/ws", liveset_axum::websocket(liveset));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    Ok(axum::serve(listener, app).await?)
}

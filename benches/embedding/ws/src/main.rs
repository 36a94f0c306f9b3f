//! axum with its own WebSockets, which sends back what comes.

use axum::{
    Router,
    extract::ws::{WebSocket, WebSocketUpgrade},
    routing::get,
};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let ws = get(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo));
    let app = Router::new().route("/", get(async || "hello")).route("/ws", ws);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, app).await
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

//! The Liveset WebSocket endpoint as an axum handler.

//! The opening handshake through axum, and the README's example.

mod handshake;
mod readme;

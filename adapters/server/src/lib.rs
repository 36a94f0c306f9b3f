//! The Liveset service as a library: configuration, listener, TLS, HTTP, operations.
//!
//! [`serve::run`] is what `liveset serve` does. [`http::router`] and [`accept::serve`] are for those who build a server
//! of their own around a [`Liveset`](liveset::Liveset). None of it has a promise of stability.
//!
//! **What is kept where:** the data lives in the memory of the server, and nowhere else. Whoever writes it
//! (over `POST /batch`, or from the files that a set loads) is the truth; after a restart it is written again.

pub mod accept;
pub mod access;
pub mod changes;
pub mod config;
mod error;
pub mod files;
pub mod http;
pub mod limits;
pub mod load;
pub mod log;
pub mod ndjson;
mod policy;
mod process;
pub mod proxies;
mod reload;
pub mod serve;
mod setup;
pub mod signals;
pub mod store;
pub mod terminal;
pub mod tls;
#[cfg(feature = "otel")]
mod traces;
mod watchdog;

//! A client of [Liveset](https://docs.rs/liveset): live queries and events as streams, over a connection that comes back.
//!
//! ```no_run
#![doc = include_str!("../examples/orders.rs")]
//! ```
//!
//! [`Client::live`] describes a live query. [`LiveBuilder::subscribe`] waits for its first rows; [`LiveBuilder::open`] does not.
//! [`LiveQuery`] is a stream of batches, one for each commit, and has the rows, sorted, at any moment. [`Client::query`] asks once,
//! [`Client::events`] is a stream of events.
//!
//! **Rows do not flash, and no change is missed.** A connection that is lost is made again, for ever. What is shown stays meanwhile, and
//! its [`Status`] says since when it may be behind. The server then sends what has changed, also after a restart. A connection that died
//! silently is noticed within 15 s.
//!
//! **Between two clients nothing is shared**: equal queries are each asked for. A server takes 256 live queries of one connection by
//! default.
//!
//! Dropping a future of this package at any point loses nothing (each says so).

mod address;
mod builder;
mod client;
mod driver;
mod error;
mod events;
mod handle;
mod heard_events;
mod live;
mod rows;
mod shown;
mod status;
mod step;
mod timing;
mod tls;

pub use builder::{ClientBuilder, TokenRequest};
pub use client::Client;
pub use error::{BuildError, Error, Missed, ServerError, WrongServer};
pub use events::Events;
pub use heard_events::Event;
pub use live::{LiveBuilder, LiveQuery};
#[doc(no_inline)]
pub use liveset_core::{ErrorCode, Param, Query, Reason, Token};
pub use rows::{Batch, Change, IntoIter, Rows};
pub use status::{Cause, Connection, ConnectionStatus, Status};
pub use timing::Timing;
#[doc(no_inline)]
pub use tokio_rustls::rustls;

/// The page whose blocks of Rust are run.
#[cfg(doctest)]
#[doc = include_str!("../../server/guide/clients.md")]
struct Guide;

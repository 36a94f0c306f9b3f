//! The Liveset server: live queries and events over WebSocket and HTTP, from one binary.
//!
//! ```text
//! liveset serve --config liveset.toml      a server
//! liveset replay FILE --url URL            a change stream into a server
//! liveset watch URL --edge E --filter F    a live query in the terminal
//! liveset demo                             a server with a small simulated shop and a page
//! liveset bench                            many connections to a server, and how long its diffs take
//! ```
//!
//! **What is kept where:** the data lives in the memory of the server, and nowhere else. Whoever writes it
//! (over `POST /batch`, or from the files that a set loads) is the truth; after a restart it is written again.
//!
//! The library of this package is the program's own: [`accept`] and [`http`] may be useful to others who
//! build a server, but come without a promise of stability.

pub mod accept;
mod access;
mod backoff;
pub mod bench;
pub mod changes;
pub mod cli;
mod client;
pub mod config;
mod connect;
pub mod demo;
mod files;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod load;
pub mod log;
pub mod ndjson;
mod policy;
pub mod proxies;
mod rate;
pub mod replay;
mod rng;
pub mod secret;
pub mod serve;
pub mod signals;
mod slots;
mod terminal;
pub mod tls;
mod url;
pub mod watch;
mod watchdog;

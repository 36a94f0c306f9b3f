//! The program `liveset`, as a library.
//!
//! ```text
//! liveset serve --config liveset.toml      a server
//! liveset replay FILE --url URL            a change stream into a server
//! liveset watch URL --set E --filter F    a live query in the terminal
//! liveset demo                             a server with a small simulated shop and a page
//! liveset backup STORE COPY                a copy of a store, while a server has it open
//! liveset types                            the sets of a server as types of TypeScript
//! liveset bench                            many connections to a server, and how long its diffs take
//! liveset completions SHELL                what a shell completes
//! ```
//!
//! The service behind `serve` and `demo` is the package `liveset-server`. The load generator behind `bench` is [`load`],
//! which the project's own benchmarks use too. Nothing here has a promise of stability.

mod backoff;
pub mod backup;
pub mod bench;
pub mod cli;
mod client;
pub mod demo;
pub mod load;
pub mod replay;
pub mod types;
mod url;
pub mod watch;

//! Live queries and events over WebSocket, inside your own service.
//!
//! ```text
//!                 ┌──────────────────── Liveset ────────────────────┐
//!  commit ───────►│ sets of nodes ─► live queries ─► net diffs ──┐  │      serve(io)
//!  publish ──────►│ events ─► subscriptions ─────────────────────┼──┼──► WebSocket ──► client
//!  query ◄────────│                                              │  │
//!  live ◄─────────│◄─────────────────────────────────────────────┘  │
//!                 └─────────────────────────────────────────────────┘
//! ```
//!
//! A [`Liveset`] holds sets of JSON nodes. Whoever asks a query over a set, over a WebSocket or [inside the
//! process](Liveset::live), gets its result, and from then on what every [commit](Liveset::commit) changes of it: net,
//! in order, without loss. [Events](Liveset::publish) go the same way, to whoever subscribed to their path.
//!
//! **The data lives in memory. The host is the truth:** it fills the sets when it starts, from wherever its data is kept, and
//! commits what changes. With a [`Storage`], such as that of `liveset-store`, commits are kept and survive the process.
//!
//! ```
//! use liveset::{FieldKind, Grant, LiveUpdate, Liveset, Query, SetDef, StaticTokens};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let liveset = Liveset::builder()
//!     .set(SetDef::new("orders").key("id").required("status", FieldKind::Text))
//!     .authenticator(StaticTokens::new([("s3cret", Grant::new("alice"))]))
//!     .build()?;
//!
//! // All of a commit is applied, or nothing.
//! liveset.commit(|tx| {
//!     tx.upsert("orders", &json!({ "id": 1, "status": "processing", "total": 12.5 }));
//!     tx.upsert("orders", &json!({ "id": 2, "status": "done", "total": 3 }));
//!     tx.remove("orders", 0);
//! })?;
//!
//! let mut open = liveset.live(Query::new("orders").filter("status == 'processing'").order_by("total desc"))?;
//! assert!(matches!(open.next().await, Some(LiveUpdate::Snapshot(result)) if result.rows.len() == 1));
//!
//! // Clients: give every upgraded connection to `serve`.
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let serving = liveset.clone();
//! tokio::spawn(async move {
//!     while let Ok((stream, _)) = listener.accept().await {
//!         let liveset = serving.clone();
//!         // The opening handshake belongs here: see `liveset-axum`, and the module `http`.
//!         tokio::spawn(async move { liveset.serve(stream, None).await });
//!     }
//! });
//!
//! liveset.shutdown(liveset::Drain::default()).await;
//! # Ok(())
//! # }
//! ```
//!
//! With axum the endpoint is a route, `liveset_axum::websocket(liveset)`; with hyper it is `http::Endpoint::upgrade`
//! (feature `hyper`, with an example to run: `cargo run -p liveset --features hyper --example hyper`).
//!
//! # What holds
//!
//! - A commit is atomic: its diffs are net, and all of them are queued before those of the next.
//! - Applying what a client is sent to what it was sent first gives exactly the query's result, after every commit, or,
//!   where it reads slowly, at the moments when it has caught up: what waits for it is folded.
//! - Queries over `now` stay true as time passes, without a commit.
//! - What is asked twice is kept once: cost follows what changes, not who watches.
//! - A panic while a connection is served (in the host's policy or authenticator, too) closes that connection with 1011
//!   and no other. Everything that a connection held is freed when it ends, however it ends.
//!
//! # Runtime
//!
//! Connections need a tokio runtime with its timer (`enable_time`, `enable_all`): inside one without, [`Builder::build`] is an error, and
//! [`Liveset::serve`] and `http::Endpoint::upgrade` panic. Each is one task, in which reading and writing take turns; the handle
//! itself can be used from any thread. One more task per endpoint keeps time, and makes the first results of queries over many
//! nodes, in slices; it starts with the first use inside a runtime and ends with the last handle. Without a runtime, time
//! moves with commits and queries only, and each use of the handle does a slice.
//!
//! With `Limits::engine.shards` above 1 the live queries are spread over as many shards, and a commit of 64 operations or more
//! is brought to them by as many threads of its own: the feature `shards`, without which that is a [`BuildError`]. With one shard,
//! the default, there is no such thread.
//!
//! # Sockets
//!
//! What a socket has taken is gone as far as can be known here. Keep little in the kernel's buffers: megabytes in them delay pings and closes,
//! and a slow client whose buffer is full looks like one that takes nothing ([`TransportLimits::write_timeout`]). On Linux set
//! `TCP_NOTSENT_LOWAT` to some 16 KiB (`socket2::SockRef::set_tcp_notsent_lowat`), elsewhere a small send buffer; and `TCP_NODELAY`, as
//! diffs are small and each is waited for.
//!
//! # Limits
//!
//! Everything that a client could make grow has a limit, and all of them are in [`Limits`], with one table: what each is of, its
//! default, and what happens beyond it. A connection is bounded in what it sends, what it holds and what waits for it; a subject in
//! what all of its connections hold ([`HubLimits`]); an address in how often its tokens are refused ([`AuthLimits`], where the host
//! says where connections come from: [`Liveset::serve`], `http`); the endpoint in its live queries and the memory of their windows
//! ([`EngineLimits`]). How many connections there may be, and how long a handshake may take, is for whoever accepts them.
//!
//! A live query that is refused says why by its `id`, and the connection stays: `LIMIT_EXCEEDED` where the client has asked for
//! too much, `OVERLOADED` where there is no room now and may be later. Live queries that are there are never given up for the memory of
//! windows: those grow with the sets, up to their caps, and as long as they are over the limit there is no new one. A client that does
//! not take the first rows of its live queries is given those of the next when it has.
//!
//! # Metrics
//!
//! Counted through the `metrics` facade, with the feature `metrics`; no recorder is installed. [Their names and what they mean](mod@crate::metrics) have a page of
//! their own.
//!
//! # Logs
//!
//! Through `tracing`; no subscriber is installed. What concerns a connection is inside the span `connection` with its
//! `id`, and what concerns one of its live queries inside the span `live_query` with the id that the client chose, escaped.
//! Neither tokens nor data, filters or other texts of clients and hosts are logged. For traces, each commit is a span `commit` of the
//! target `liveset::trace`, at the level `debug`, with its number of `operations`, its `outcome` and its number.
//!
//! # Features
//!
//! - `hyper`: the module `http`, which answers the opening handshake of requests of hyper and of what is built on it.
//! - `metrics`: counts, through the facade `metrics`.
//! - `shards`: threads for `Limits::engine.shards` above 1.

mod address;
mod auth;
mod builder;
mod clock;
mod commit;
mod committing;
mod connection;
mod contain;
mod door;
mod error;
mod failures;
mod finite;
/// The reader of frames, for its fuzz target. Not a part of the public interface.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::transport::reader::{READ_BYTES, ServerReader};
    pub use crate::transport::{Fault, Receive, Received};
}
mod handle;
#[cfg(feature = "hyper")]
pub mod http;
mod in_order;
mod inspect;
mod json;
mod limits;
mod live;
#[cfg(doc)]
#[doc = include_str!("metrics.md")]
pub mod metrics {}
mod outbox;
mod peer;
mod progress;
mod query;
mod reads;
mod replace;
mod scan;
mod set;
mod shards;
mod shared;
mod source;
mod stats;
mod storage;
mod telemetry;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
mod transport;

pub use address::ClientAddress;
pub use auth::{
    AnyToken, AuthError, Authenticator, BoxFuture, Denied, FromFn, Grant, NoToken, Renewal, StaticTokens,
    from_fn,
};
pub use builder::Builder;
pub use clock::Clock;
pub use commit::{CommitError, Committed, Conflict, OnlyIf, Outcome, PublishError, Tx};
pub use committing::At;
pub use error::BuildError;
pub use handle::{AsPrincipal, Liveset, QueryRun};
pub use in_order::{InOrder, PendingCommit};
pub use inspect::{ConnectionInfo, LiveQueryInfo};
pub use json::{IntoJson, Json};
pub use limits::{AuthLimits, Limits, TransportLimits};
pub use live::{LiveQuery, LiveRows};
pub use progress::{SourceFailure, SourceInfo};
pub use query::QueryError;
pub use replace::{ReplaceError, Replacement};
pub use scan::{Scan, SetInfo, SetSource};
pub use set::{Set, Target, UnknownSet};
pub use shared::Drain;
pub use source::{Delivered, Source};
pub use stats::Stats;
pub use storage::{Loaded, Storage, StorageCommit, StorageError, StorageWrite, Tell};

#[doc(inline)]
pub use liveset_core::model::{
    Batch, Change, Count, LiveUpdate, Param, Query, Reason, Row, SetStatus, Snapshot,
};
#[doc(inline)]
pub use liveset_core::{ErrorCode, InvalidQuery, Position, SessionLimits, Token};
#[doc(inline)]
pub use liveset_engine::{
    Condition, Cost, DefineError, EngineLimits, Explain, FieldDef, FieldKind, Op, QueryLimits, SetDef,
    Timestamp,
};
#[doc(inline)]
pub use liveset_hub::{
    Access, AllowAll, DeclareError, Delay, HubLimits, Policy, Principal, Resources, Restriction, StatusError,
    SubjectUse, TenantUse,
};

/// Gives the recorder that is installed a help text for each of [the metrics](mod@crate::metrics). Once, after it was installed.
#[cfg(feature = "metrics")]
pub fn describe_metrics() {
    describe_metrics_of(include_str!("metrics.md"));
}

/// The same for other tables of that form, of the packages around this one.
#[cfg(feature = "metrics")]
#[doc(hidden)]
pub fn describe_metrics_of(table: &'static str) {
    telemetry::describe(table);
}

/// The packages below this one, for what is not named here.
pub mod parts {
    pub use liveset_core as core;
    pub use liveset_engine as engine;
    pub use liveset_hub as hub;
}

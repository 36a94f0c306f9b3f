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
//! **The data lives in memory, and only there. Nothing is written to disk, and nothing survives the process. The host
//! is the truth:** it fills the sets when it starts, from wherever its data is kept, and commits what changes.
//!
//! ```
//! use liveset::{FieldKind, Grant, LiveUpdate, Liveset, Query, Set, StaticTokens};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let liveset = Liveset::builder()
//!     .set(Set::new("orders").key("id").required("status", FieldKind::Text))
//!     .authenticator(StaticTokens::new([("s3cret", Grant::new("alice"))]))
//!     .build()?;
//!
//! // All of a commit is applied, or nothing.
//! liveset.commit(|tx| {
//!     tx.upsert("orders", &json!({ "id": 1, "status": "processing", "total": 12.5 }))?;
//!     tx.upsert("orders", &json!({ "id": 2, "status": "done", "total": 3 }))?;
//!     tx.remove("orders", 0)?;
//!     Ok(())
//! })?;
//!
//! let mut open = liveset.live(Query::new("orders").filter("status == 'processing'").order_by("total desc"))?;
//! assert!(matches!(open.next().await, LiveUpdate::Snapshot(result) if result.rows.len() == 1));
//!
//! // Clients: give every upgraded connection to `serve`.
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let serving = liveset.clone();
//! tokio::spawn(async move {
//!     while let Ok((stream, _)) = listener.accept().await {
//!         let liveset = serving.clone();
//!         // The opening handshake belongs here: see `liveset-axum`, and the module `http`.
//!         tokio::spawn(async move { liveset.serve(stream).await });
//!     }
//! });
//!
//! liveset.shutdown(std::time::Duration::from_secs(5)).await;
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
//! Connections need a tokio runtime with its timer. Each is one task, in which reading and writing take turns; the handle
//! itself can be used from any thread. One more task per endpoint keeps time, and makes the first results of queries over many
//! nodes, in slices; it starts with the first use inside a runtime and ends with the last handle. Without a runtime, time
//! moves with commits and queries only, and each use of the handle does a slice.
//!
//! With `Limits::engine.shards` above 1 the live queries are spread over as many shards, and a commit of 64 operations or more
//! is brought to them by as many threads of its own. With one shard, the default, there is no such thread.
//!
//! # Limits
//!
//! Everything that a client could make grow has a limit, and all of them are in [`Limits`], with one table: what each is of, its
//! default, and what happens beyond it. A connection is bounded in what it sends, what it holds and what waits for it; a subject in
//! what all of its connections hold ([`HubLimits`]); an address in how often its tokens are refused ([`AuthLimits`], where the host
//! says where connections come from: [`Liveset::serve_from`], `http`); the endpoint in its live queries and the memory of their windows
//! ([`EngineLimits`]). How many connections there may be, and how long a handshake may take, is for whoever accepts them.
//!
//! A live query that is refused says why by its `id`, and the connection stays: `LIMIT_EXCEEDED` where the client has asked for
//! too much, `OVERLOADED` where there is no room now and may be later. Live queries that are there are never given up for the memory of
//! windows: those grow with the sets, up to their caps, and as long as they are over the limit there is no new one. A client that does
//! not take the first rows of its live queries is given those of the next when it has.
//!
//! # Metrics
//!
//! Counted through the `metrics` facade; no recorder is installed. What is held now is recorded by
//! [`Liveset::record_metrics`], to be called before metrics are read.
//!
//! | name | kind | labels |
//! | --- | --- | --- |
//! | `liveset_connections_opened_total` | counter | |
//! | `liveset_connections_closed_total` | counter | `by`: `peer`, `server`, `gone`, `stuck`, `aborted`, `dropped`, `panicked` |
//! | `liveset_messages_received_total`, `liveset_bytes_received_total` | counter | |
//! | `liveset_messages_sent_total`, `liveset_bytes_sent_total`, `liveset_writes_total` | counter | |
//! | `liveset_transport_faults_total` | counter | `fault`: `protocol`, `utf8`, `too_large`, `binary`, `flood` |
//! | `liveset_write_timeouts_total` | counter | |
//! | `liveset_close_frames_sent_total` | counter | `code`: the close code, or `none` |
//! | `liveset_delivery_seconds` | histogram | |
//! | `liveset_fan_out_seconds` | histogram | |
//! | `liveset_write_stall_seconds` | histogram | |
//! | `liveset_stalled_connections` | gauge | |
//! | `liveset_connections_by_state` | gauge | `state`: `authenticating`, `active`, `closing` |
//! | `liveset_answers_waiting`, `liveset_events_waiting`, `liveset_changes_waiting`, `liveset_changes_waiting_bytes`, `liveset_initial_bytes_waiting` | gauge | |
//! | `liveset_changes_folded_total`, `liveset_events_dropped_total` | counter | |
//! | `liveset_messages_rate_limited_total`, `liveset_messages_invalid_total` | counter | |
//! | `liveset_errors_total` | counter | `code`: of the errors that clients are told of, as the protocol has them |
//! | `liveset_diffs_written_once_total` | counter | |
//! | `liveset_restrictions_broken_total` | counter | |
//! | `liveset_authentications_total` | counter | `outcome`: `accepted`, `refused`, `unavailable`, `late` (over HTTP; over `/ws` an `AUTH_TIMEOUT` in `liveset_errors_total`), `limited`, `panicked` |
//! | `liveset_authentication_seconds` | histogram | |
//! | `liveset_limit_refusals_total` | counter | `limit`: the name of a limit, see [`Limits`] |
//! | `liveset_commits_total` | counter | `outcome`: `applied`, `refused`, `failed` |
//! | `liveset_commit_seconds`, `liveset_commit_ops` | histogram | |
//! | `liveset_queries_total` | counter | `outcome`: `answered`, `refused` |
//! | `liveset_query_seconds` | histogram | |
//! | `liveset_events_published_total`, `liveset_event_deliveries_total` | counter | |
//! | `liveset_panics_total` | counter | `place`: `hub`, `policy`, `parser`, `connection`, `authenticator` |
//! | `liveset_connections`, `liveset_subjects`, `liveset_subscriptions`, `liveset_live_queries`, `liveset_watches`, `liveset_waiting`, `liveset_deferred`, `liveset_feeds`, `liveset_resume_log_changes`, `liveset_resume_log_bytes`, `liveset_lingering_feeds` | gauge | |
//! | `liveset_lingering_feeds_given_up_total`, `liveset_queries_planned_total`, `liveset_filters_parsed_locked_total` | counter | |
//! | `liveset_engine_nodes`, `liveset_engine_views`, `liveset_engine_unindexed_views`, `liveset_engine_feeds`, `liveset_engine_indexes`, `liveset_engine_deadlines` | gauge | |
//! | `liveset_engine_row_bytes`, `liveset_engine_index_bytes`, `liveset_engine_window_bytes` | gauge | |
//! | `liveset_holds_total`, `liveset_hold_steps_total`, `liveset_hold_steps_max` | counter, counter, gauge | `input`: `message`, `verdict`, `commit`, `timeout`, `work`, `query`, `event`, `disconnect`; `steps` (of the first): at most so many |
//! | `liveset_diff_delays_total` | counter | `holds`: at most so many inputs between a commit and its diffs |
//! | `liveset_diff_delay_holds_max`, `liveset_diff_delay_steps_max` | gauge | |
//! | `liveset_query_bytes` | gauge | |
//! | `liveset_engine_behind`, `liveset_engine_behind_rows`, `liveset_engine_behind_bytes` | gauge | |
//! | `liveset_engine_steps_total`, `liveset_engine_fell_behind_total`, `liveset_engine_made_again_total` | counter | |
//! | `liveset_engine_nodes_changed_total`, `liveset_engine_changes_out_total`, `liveset_engine_flips_total`, `liveset_engine_deadlines_fired_total` | counter | |
//! | `liveset_engine_predicates_evaluated_total`, `liveset_engine_rows_visited_total`, `liveset_engine_rows_visited_refilling_total` | counter | |
//! | `liveset_engine_candidates_found_total`, `liveset_engine_candidates_scanned_total` | counter | |
//! | `liveset_engine_candidates_by_value_total`, `liveset_engine_candidates_by_item_total` | counter | |
//! | `liveset_engine_candidates_by_range_total`, `liveset_engine_candidates_by_slice_total` | counter | |
//! | `liveset_engine_windows_touched_total`, `liveset_engine_refills_total`, `liveset_engine_rechosen_total` | counter | |
//! | `liveset_engine_refilled_total`, `liveset_engine_displaced_total`, `liveset_engine_clock_set_back_total` | counter | |
//!
//! `liveset_delivery_seconds` is from the moment when something is there for a connection until its socket has taken it;
//! `liveset_fan_out_seconds` is how long the diffs of one commit take to be written and copied for everyone who keeps up
//! (`liveset_diffs_written_once_total` counts those messages). A connection whose socket takes nothing is stalled: what waits for it
//! is in `liveset_changes_waiting`, what it will never be told of in `liveset_changes_folded_total`.
//!
//! `liveset_lingering_feeds` are results kept for clients that may resume; `liveset_lingering_feeds_given_up_total` counts those that cost
//! as much to keep as to make again. `liveset_filters_parsed_locked_total` counts the filters that were parsed while others waited: row
//! filters of the policy, and those of queries that had to be planned again.
//!
//! `liveset_waiting` are live queries that wait for their first result; `liveset_engine_unindexed_views` those that every change is
//! tried on. `liveset_engine_deadlines` counts the moments that are waited for: one for each test over `now` that an order of
//! values serves, however many nodes and queries it concerns. Nodes that enter windows as others leave
//! (`liveset_engine_refilled_total`) come from the few that each window has in reserve; `liveset_engine_refills_total` counts how
//! often such a reserve was filled up, and `liveset_engine_rows_visited_refilling_total` what was looked at for that.
//!
//! # Logs
//!
//! Through `tracing`; no subscriber is installed. What concerns a connection is inside the span `connection` with its
//! `id`, and what concerns one of its live queries inside the span `live_query` with the id that the client chose, escaped.
//! Neither tokens nor data, filters or other texts of clients and hosts are logged.
//!
//! # Features
//!
//! - `hyper`: the module `http`, which answers the opening handshake of requests of hyper and of what is built on it.

mod address;
mod auth;
mod builder;
mod clock;
mod commit;
mod connection;
mod contain;
mod failures;
mod finite;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handle;
#[cfg(feature = "hyper")]
pub mod http;
mod limits;
mod live;
mod outbox;
mod peer;
mod query;
mod shards;
mod shared;
mod telemetry;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
mod timer;
mod transport;

pub use address::ClientAddress;
pub use auth::{
    AnyToken, AuthError, Authenticator, BoxFuture, Denied, FromFn, Grant, NoToken, Renewal, StaticTokens,
    from_fn,
};
pub use builder::{BuildError, Builder, Set};
pub use clock::Clock;
pub use commit::{CommitError, PublishError, Tx};
pub use handle::{Liveset, QueryRun, Stats};
pub use limits::{AuthLimits, Limits, TransportLimits};
pub use live::{Change, Diff, LiveQuery, LiveRows, LiveUpdate};
pub use query::{Json, Query, QueryError, QueryResult, Row};

#[doc(no_inline)]
pub use liveset_core::{
    AddedReason, ErrorCode, QuerySpec, QuerySpecError, RemovedReason, SessionLimits, Token,
};
#[doc(no_inline)]
pub use liveset_engine::{
    Committed, Cost, EngineLimits, Explain, FieldDef, FieldKind, Instant, Op, QueryLimits, SetDef,
};
#[doc(no_inline)]
pub use liveset_hub::{
    Access, AllowAll, DeclareError, Delay, HubLimits, Policy, Principal, Resources, Restriction, SubjectUse,
};

/// The packages below this one, for what is not named here.
pub mod parts {
    pub use liveset_core as core;
    pub use liveset_engine as engine;
    pub use liveset_hub as hub;
}

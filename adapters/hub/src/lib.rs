//! Sessions times engine, without IO: who watches what in a Liveset endpoint.
//!
//! ```text
//!  commits, events ──────────────┐
//!                                ▼
//!              ┌───────────────── Hub ─────────────────┐
//!  text ──────►│ Session ─ requests ─►  routes: path → connections
//!  verdicts ──►│    ▲                   feeds: query → watchers ◄── diffs ── Engine
//!  time ──────►│    └── events, batches ◄──────────────┘           (sets, windows)
//!              └──────────────┬────────────────────────┘
//!                             ▼
//!        poll_output: verify this token · this connection has something to send · this watch has something
//! ```
//!
//! A [`Hub`] holds any number of connections and one engine. It knows no sockets, no runtime, no clock and no
//! randomness: the owner brings bytes, commits and the time, and carries out what comes back. The same inputs give the
//! same outputs, byte for byte. The data lives in memory only; the host is the truth.
//!
//! - A live query is maintained once however many watch it, in connections ([`createLiveQuery`]) or inside the process
//!   ([`Hub::watch`]); each of its batches is converted once and shared.
//! - Events are routed by declared [`Resources`] to subscribers of their path and of its declared ancestors.
//! - Tokens are verified by the owner ([`Output::Verify`]); what a [`Principal`] may do is asked of a [`Policy`].
//! - A client that lost its connection can resume its live queries: feeds remember a bounded number of changes.
//!
//! [`createLiveQuery`]: liveset_core::Request::CreateLiveQuery
//!
//! # The run loop
//!
//! ```
//! use std::{collections::BTreeMap, time::Duration};
//!
//! use liveset_core::{Monotonic, Transmit};
//! use liveset_engine::{Timestamp, Op, SetDef};
//! use liveset_hub::{ConnectionId, Hub, HubConfig, Now, Output, Principal};
//!
//! /// Carries out what the hub asks for. `sockets` stands for what the network took.
//! fn drain(hub: &mut Hub, now: Now, sockets: &mut BTreeMap<ConnectionId, Vec<String>>) {
//!     while let Some(output) = hub.poll_output() {
//!         match output {
//!             // A real owner asks its authenticator, and answers when that has answered.
//!             Output::Verify { conn, attempt, token: _ } => {
//!                 hub.handle_verdict(now, conn, attempt, Ok(Principal::new("someone")));
//!             }
//!             // A real owner goes on with this only while the socket takes more.
//!             Output::Transmit { conn } => {
//!                 let mut text = Vec::new();
//!                 while let Some(transmit) = hub.poll_transmit(now, conn, &mut text) {
//!                     match transmit {
//!                         Transmit::Text => {
//!                             let text = String::from_utf8(std::mem::take(&mut text)).expect("JSON is UTF-8");
//!                             sockets.entry(conn).or_default().push(text);
//!                         }
//!                         Transmit::Close(_code) => {
//!                             hub.handle_disconnect(now, conn);
//!                             break;
//!                         }
//!                     }
//!                 }
//!             }
//!             Output::Watch { watch } => while hub.poll_watch(watch).is_some() {},
//!             _ => {}
//!         }
//!     }
//! }
//!
//! /// After an input: what the hub asks for, and what is due already. A real owner takes the inputs that wait between two slices.
//! fn settle(hub: &mut Hub, now: Now, sockets: &mut BTreeMap<ConnectionId, Vec<String>>) {
//!     drain(hub, now, sockets);
//!     while hub.poll_timeout().is_due_already {
//!         hub.handle_timeout(now);
//!         drain(hub, now, sockets);
//!     }
//! }
//!
//! let mut hub = Hub::new(HubConfig::default());
//! hub.define_set(SetDef::new("orders"))?;
//! let order = |node: String| Op::Upsert { set: "orders".into(), node: node.into_bytes().into() };
//! let mut sockets = BTreeMap::new();
//! let start = Monotonic::default();
//! let wall = Timestamp::parse_rfc3339("2025-12-07T21:45:05Z").expect("a time");
//! let mut now = Now { monotonic: start, wall };
//!
//! // More rows than a slice of work has.
//! hub.commit(now, (0..20_000).map(|id| order(format!(r#"{{"id":{id}}}"#))).collect())?;
//!
//! let conn = hub.connect(now);
//! hub.handle_text(now, conn, br#"{"type":"auth","token":"t"}"#);
//! settle(&mut hub, now, &mut sockets);
//! hub.handle_text(now, conn, br#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders","filter":"id != 7 and open"}}"#);
//! settle(&mut hub, now, &mut sockets);
//! hub.commit(now, vec![order(r#"{"id":8,"open":true}"#.to_owned())])?;
//! settle(&mut hub, now, &mut sockets);
//!
//! // A real owner sleeps until the next input, or until the earlier one of the two clocks' deadlines.
//! let deadline = hub.poll_timeout().monotonic.expect("the next ping");
//! assert_eq!(deadline, start.saturating_add(Duration::from_secs(30)));
//! now.monotonic = deadline;
//! hub.handle_timeout(now);
//! settle(&mut hub, now, &mut sockets);
//!
//! assert_eq!(sockets[&conn], [
//!     r#"{"type":"authenticated"}"#,
//!     r#"{"type":"liveQueryCreated","id":"q","totalCount":0,"capped":false}"#,
//!     r#"{"type":"liveQueryData","id":"q","data":[],"hasMore":false,"capped":false}"#,
//!     r#"{"type":"liveQueryAddedNode","id":"q","nodeId":"8","data":{"id":8,"open":true}}"#,
//!     r#"{"type":"ping"}"#,
//! ]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//!
//! [`HubLimits`] for the hub, `liveset_core::SessionLimits` for each connection, `liveset_engine::EngineLimits` for sets
//! and expressions.
//!
//! # Features
//!
//! - `test-kit`: the module `test_kit`, a world on virtual time with clients, latency, stalled readers and cut
//!   connections, to test what is built on a hub.

mod accounts;
mod budgets;
mod committing;
mod connections;
#[doc(hidden)]
pub mod contain;
mod delays;
mod direct;
mod error;
mod etags;
mod feeds;
mod hashing;
mod holds;
mod hub;
mod ids;
mod inspect;
mod limits;
mod one_shot;
mod output;
mod paced;
mod parser;
mod plans;
mod policy;
mod rechecks;
mod refusals;
mod requests;
mod resources;
mod resume;
mod routes;
mod sources;
mod stats;
mod subjects;
mod tenants;
#[cfg(feature = "test-kit")]
pub mod test_kit;
mod timers;
pub mod turns;
mod updates;
mod watches;
mod whole;
mod work;

pub use delays::{Delay, Delays};
pub use error::{PublishError, WatchError};
pub use holds::{Hold, Holds, Input};
pub use hub::{Hub, HubConfig, Now};
pub use ids::{ConnectionId, Origin, WatchId};
pub use inspect::{ConnectionUse, HeldQueryUse};
pub use limits::{HubLimits, MAX_EVENT_TYPES, MAX_PATH_SEGMENTS, MAX_TEMPLATES};
#[doc(inline)]
pub use liveset_core::model::LiveUpdate;
#[doc(no_inline)]
pub use liveset_engine::HashSeed;
pub use one_shot::{OneShot, Scan};
pub use output::{LiveQueryStage, Output, Timeouts};
pub use parser::{Parser, PreparedQuery};
pub use policy::{Access, AllowAll, AuthRefused, Policy, Principal, Restriction};
pub use requests::status::StatusError;
pub use resources::{DeclareError, ResourceError, Resources};
pub use sources::SourceId;
pub use stats::Stats;
pub use subjects::SubjectUse;
pub use tenants::{Payer, TenantUse};

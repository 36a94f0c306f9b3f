//! The Liveset query engine: parses filters and orders and incrementally maintains capped, sorted result sets.
//!
//! ```text
//!   Op ──► Engine::commit ──► sets ──► views (filter + order + cap) ──► feeds (+ projection) ──► Engine::poll_update
//!               ▲                        ▲                                 ▲
//!              now                 handle_timeout(now)              open / close (shared)
//! ```
//!
//! Sans-IO: no clock, no task, no socket. `now` is an argument, and the same inputs give the same outputs. **The data lives
//! in memory only; the host is the truth.**
//!
//! ```
//! use liveset_engine::{Engine, EngineLimits, Instant, Op, Query, SetDef};
//!
//! let mut now = Instant::parse_rfc3339("2025-12-07T21:45:00Z").unwrap();
//! let mut engine = Engine::new(EngineLimits::default());
//! engine.define_set(SetDef::new("orders", "id"))?;
//!
//! let query = Query::new("orders").filter("createdAt > now - 7 days").order_by("createdAt desc").limit(50);
//! let plan = engine.prepare(&query)?;
//! let (feed, snapshot) = engine.open(now, &plan)?;
//! assert_eq!(snapshot.total_count, 0);
//!
//! let node = br#"{"id":"a","createdAt":"2025-12-01T00:00:00Z"}"#;
//! engine.commit(now, vec![Op::Upsert { set: "orders".into(), node: node[..].into() }])?;
//!
//! // The run loop: drain the updates, then wait for the next commit or for the next deadline, whichever comes first.
//! let mut totals = Vec::new();
//! loop {
//!     while let Some(update) = engine.poll_update() {
//!         assert_eq!(update.feed, feed);
//!         totals.push(update.count.map(|count| count.total));
//!     }
//!     let Some(deadline) = engine.poll_timeout() else { break };
//!     now = deadline; // a host would sleep until then
//!     engine.handle_timeout(now);
//! }
//! assert_eq!(totals, [Some(1), Some(0)]); // added by the commit, gone seven days after its creation
//! assert_eq!(now.to_string(), "2025-12-08T00:00:00Z");
//! engine.close(feed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The language
//!
//! A [`Filter`] says which nodes a query wants, an [`Order`] in which order, a [`Projection`] which of their fields. All three are
//! parsed from text under [`QueryLimits`], refuse what is wrong with an [`ExprError`] that points at the place, print back, and have
//! a canonical form by which two spellings of one query are known to be one. Nodes are JSON, read by [`json::parse`] into a
//! [`Value`] with exact numbers. Time is an argument: a filter over `now` can be asked for the next moment at which a node enters
//! or leaves it ([`Filter::next_flip`]).

mod analysis;
mod engine;
mod error;
mod explain;
pub mod filter;
#[cfg(any(fuzzing, test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod intervals;
pub mod json;
mod limits;
mod moments;
mod order;
mod path;
mod projection;
mod query;
mod schema;
mod shard;
mod stats;
mod store;
mod suggest;
mod syntax;
mod time;
mod tree;
mod update;
mod value;

pub use engine::{Committed, Engine, Op, Part};
pub use error::{CommitError, DefineError, OpProblem, OpenError, QueryError};
pub use explain::Explain;
pub use filter::Filter;
pub use json::JsonError;
#[doc(hidden)]
pub use limits::Tuning;
pub use limits::{EngineLimits, JsonLimits, QueryLimits};
pub use order::Order;
pub use path::Path;
pub use projection::Projection;
pub use query::{Plan, Query};
pub use schema::{FieldDef, FieldKind, SetDef};
pub use stats::{Stats, Work};
pub use suggest::{hint, nearest};
pub use syntax::ExprError;
pub use time::{Instant, Span, Unit};
pub use update::{Change, Count, Doc, FeedId, Node, NodeChange, NodeId, Reason, Snapshot, Update};
pub use value::{DuplicateKey, Number, Object, Timed, Value};

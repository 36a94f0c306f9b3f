//! The Liveset query engine: parses filters and orders and incrementally maintains capped, sorted result sets.
//!
//! ```text
//!   Op ──► Engine::commit ──► sets ──► views (filter + order + cap) ──► feeds (+ projection) ──► Engine::poll_update
//!               ▲                        ▲                                 ▲
//!              now                 handle_timeout(now)              open / close (shared)
//! ```
//!
//! Sans-IO: no clock, no task, no socket, no randomness. `now` and the [`HashSeed`] are arguments, and the same inputs give the same
//! outputs, whatever the seed. **The data lives
//! in memory only; the host is the truth.**
//!
//! ```
//! use liveset_engine::{Engine, EngineLimits, HashSeed, Timestamp, Op, Query, SetDef};
//!
//! let mut now = Timestamp::parse_rfc3339("2025-12-07T21:45:00Z").unwrap();
//! let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
//! engine.define_set(SetDef::new("orders"))?;
//!
//! let query = Query::new("orders").filter("createdAt > now - 7 days").order_by("createdAt desc").limit(50);
//! let plan = engine.prepare(&query)?;
//! let (feed, snapshot) = engine.open(now, &plan)?;
//! assert_eq!(snapshot.count.total, 0);
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
//! # What a change costs
//!
//! A change pays for the queries that it may touch, not for the queries that there are. How it finds them is the query's class,
//! which [`Engine::explain`] tells:
//!
//! | a test that all nodes of the query pass | class | a change finds the query by |
//! | --- | --- | --- |
//! | `customer == 7`, `open` | `equality` | its value, before and after |
//! | `status in ['new', 'open']` | `in` | its value |
//! | `tags anyof [..]`, `tags allof [..]` | `items` | each item of its list |
//! | `name startswith 'A'` | `prefix` | how its text begins |
//! | `total >= 10 and total < 20` | `range` | the ranges that hold its value |
//! | `createdAt > now - 7 days` | `time` | the ranges that do so now |
//! | `a == 1 or b == 2` | `union` | any of these |
//! | none of these: `not`, `!=`, `contains`, sums | `scan` | being tried, each change on each such query |
//!
//! Of several tests joined by `and` the query is found by the one that few nodes pass, by another one when that turns out wrong,
//! and the rest is evaluated. [`EngineLimits::max_unindexed_views`] bounds the queries that are scanned.
//!
//! - **A window** holds twice as many nodes as it shows. What changes behind those costs a comparison, and what leaves is made
//!   good out of them, O(log window). When they run out the window is refilled from an order of all nodes.
//! - **Indexes and orders** of nodes are built when queries have scanned for want of them about as much as they cost to build, and
//!   dropped when they are not used; all queries share them.
//! - **A slice**: a query that is a stretch of such an order (all nodes by one field, or a range of it) holds no nodes of its own.
//!   If it was asked [without counts](Plan::without_counts), changes behind its window cost it nothing.
//! - **Time**: all queries with one test over `now` wait for one moment, and when it comes look at the nodes that flip and no others.
//!   Where no order tells the moment (`at + 1 hours > now`) each node has a timer.
//! - **Shards** spread the queries over threads; see [`Engine::commit_with`].
//!
//! What was done is counted in [`Stats`]: where `candidates_scanned` or `rows_visited_refilling` is high, ask `explain`. It also says
//! what a node costs at most, in steps ([`Cost`]).
//!
//! ```
//! # use liveset_engine::{Engine, EngineLimits, HashSeed, Timestamp, Query, SetDef};
//! # let now = Timestamp::parse_rfc3339("2025-12-07T21:45:00Z").unwrap();
//! # let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
//! # engine.define_set(SetDef::new("orders"))?;
//! let query = Query::new("orders").filter("customer == 7 and total != 0").order_by("createdAt desc").limit(50);
//! let plan = engine.prepare(&query)?;
//! engine.open(now, &plan)?;
//! let explain = engine.explain(now, &plan)?;
//! assert_eq!((explain.access.as_str(), explain.has_residue), ("equality", true));
//! assert!(explain.to_string().starts_with(
//!     "found by: equality\n  customer is 7\n  and then by the rest of the filter\nfilters found there: 1\n\
//!      window: rows of its own\nrefilled from: the nodes that it is found by\nnodes to look at to answer it now: 0\n\
//!      to try the filter on a node: 9 steps\nto order a node: 11 steps and 9 for each 16 bytes of a row\n"
//! ));
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

mod allowance;
mod analysis;
mod engine;
mod error;
mod explain;
pub mod filter;
#[cfg(any(test, feature = "fuzzing"))]
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
mod seed;
mod shard;
mod stats;
mod steps;
mod store;
mod suggest;
mod syntax;
mod time;
mod tree;
mod update;
mod value;
#[cfg(test)]
mod window_memory;

pub use allowance::{Allowance, Keeping, Opened, Share};
pub use engine::{Applied, Committed, Engine, Hints, OneShot, Part, Scan, StagedWrite};
pub use error::{CommitError, DefineError, OpProblem, OpenError, QueryError};
pub use explain::Explain;
#[doc(inline)]
pub use filter::{Filter, Literal, Parameter};
#[doc(inline)]
pub use json::JsonError;
#[doc(hidden)]
pub use limits::Tuning;
pub use limits::{EngineLimits, JsonLimits, QueryLimits};
#[doc(no_inline)]
pub use liveset_core::model::{Batch, Change, Count, Hint, Param, Query, Reason, Row, Snapshot};
pub use order::Order;
pub use path::Path;
pub use projection::Projection;
pub use query::{HiddenField, ParsedQuery, Plan, QueryParser};
pub use schema::{FieldDef, FieldKind, SetDef};
pub use seed::{HashSeed, Keyed};
pub use stats::{Stats, Work};
pub use steps::Cost;
pub use store::condition::Condition;
pub use store::reader::{Op, ReadRow, RowReader};
pub use suggest::{hint, nearest};
pub use syntax::ExprError;
pub use time::{Span, Timestamp, Unit};
pub use update::{FeedId, Lag, Update};
pub use value::{DuplicateKey, Number, Object, Timed, Value};

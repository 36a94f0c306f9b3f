//! The Liveset query engine: parses filters and orders and incrementally maintains capped, sorted result sets.
//!
//! # The language
//!
//! A [`Filter`] says which nodes a query wants, an [`Order`] in which order, a [`Projection`] which of their fields. All three are
//! parsed from text under [`QueryLimits`], refuse what is wrong with an [`ExprError`] that points at the place, print back, and have
//! a canonical form by which two spellings of one query are known to be one. Nodes are JSON, read by [`json::parse`] into a
//! [`Value`] with exact numbers. Time is an argument: a filter over `now` can be asked for the next moment at which a node enters
//! or leaves it ([`Filter::next_flip`]).

pub mod filter;
pub mod json;
mod limits;
mod order;
mod path;
mod projection;
mod suggest;
mod syntax;
mod time;
mod value;

pub use filter::Filter;
pub use json::JsonError;
pub use limits::{EngineLimits, JsonLimits, QueryLimits};
pub use order::Order;
pub use path::Path;
pub use projection::Projection;
pub use suggest::{hint, nearest};
pub use syntax::ExprError;
pub use time::{Instant, Span, Unit};
pub use value::{DuplicateKey, Number, Object, Timed, Value};

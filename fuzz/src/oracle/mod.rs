//! An oracle for live queries: what a query's result is, computed from scratch.
//!
//! It shares no code with the engine: own values and exact numbers, own expression trees with their own evaluator, own
//! calendar, own order; a result is filter, sort, truncate over all nodes. Trees are printed as text only to be given to
//! the engine.
//!
//! ```
//! use liveset_fuzz::oracle::{self, Direction, Query, build::{num, path}};
//!
//! let mut store = oracle::Store::default();
//! store.define("orders", "id", &["createdAt"]);
//! store.apply(&[oracle::Op::upsert("orders", r#"{"id":"1","total":5,"createdAt":"2024-02-29"}"#)]).unwrap();
//! let query = Query::new("orders").filter(path("total").ge(num("3"))).order("createdAt", Direction::Desc).limit(50);
//! let result = store.result(&query, oracle::instant("2024-03-01T00:00:00Z").unwrap(), 1_000);
//! assert_eq!(result.rows[0].0, "1");
//! ```
#![allow(missing_docs, missing_debug_implementations)]

mod calendar;
mod expr;
mod print;
mod store;
mod value;

pub use calendar::{Nanos, Unit, format_instant, instant, step};
pub use expr::{Cmp, Expr, Lit, Path, Sum, TextOp, build};
pub use print::{Choice, plain, print_bound, print_expr, print_path};
pub use store::{Direction, Fault, Op, Query, Shown, Store};
pub use value::{Num, Val, order, same};

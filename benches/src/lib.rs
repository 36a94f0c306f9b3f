//! Benchmarks of Liveset against named baselines.
//!
//! ```text
//! cargo run --release -p liveset-benches    the table: time per change, ratio to the baseline, growth for ×10
//! cargo bench -p liveset-benches            the same parts under criterion, for people who change them
//! cargo test -p liveset-benches             counts of work instead of time: these can fail
//! ```
//!
//! # The workload
//!
//! [`Workload`] makes a set of orders from a seed, and changes to them: an order has an id, one of 6 statuses, one of N/10
//! customers, one of 50 regions, a total, a moment of creation in the last 30 days, a priority from 0 to 5, 0 to 3 of 20 tags, and
//! a note of 100 bytes. A change gives one order a new status, total, priority or set of tags. [`queries`] are of five kinds
//! in turn: by status and region, by customer, by total and priority, by tags, and by age (over `now`).
//!
//! # The baseline
//!
//! [`Recompute`] is what a service does without Liveset, done well: after every change each query is run from scratch, by
//! compiled closures over decoded structs that lie in one vector, and the result is compared with the one before. It is given
//! the change as a struct, while the engine is given JSON and its time includes reading that. Tests hold the two results
//! against each other.
//!
//! # What the numbers are, and are not
//!
//! The workload is the same on every run; times are not. Each number is the median of several runs on one thread, without
//! sockets. Ratios and growth carry over to other machines, microseconds do not.

mod fan_out;
mod live;
mod orders;
mod queries;
mod random;
mod recompute;
pub mod report;

pub use fan_out::FanOut;
pub use live::Live;
pub use orders::{Order, STATUSES, Workload, now, orders_set};
pub use queries::{KINDS, NativeQuery, queries};
pub use random::Random;
pub use recompute::Recompute;

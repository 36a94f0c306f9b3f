//! Benchmarks of Liveset against named baselines.
//!
//! ```text
//! cargo run --release -p liveset-benches    the tables: time per change, ratios to the baselines, growth for ×10
//!                                           --small, --class B, --nodes 100000, --queries 1000 (no more than)
//!                                           -- instructions: of a change of one class, counted by valgrind;
//!                                           --class G, --nodes 100000, --queries 1000, --changes 500, --commit 1;
//!                                           -- alone engine: the same work and nothing else, for a profiler
//! cargo bench -p liveset-benches            the parts under criterion, for people who change them
//! cargo test -p liveset-benches             counts of work instead of time: these can fail
//! ```
//!
//! And the whole server over real sockets (`cargo run --release -p liveset-benches -- COMMAND`, see [`sockets`]):
//!
//! ```text
//! socket     messages a second beside a bare fastwebsockets server      --connections 1000 --seconds 2 --turns 3 --workers 1
//! idle       memory and turns of connections to which nothing happens   --connections 10000 --seconds 60
//! overload   10,000 connections, a fifth stalled, 50,000 diffs a second --connections, --seconds 120, --stalled 20,
//!            due: the survivors hold what a recomputation gives         --changes 5000, --commit 1, --alike 10
//! soak       clients that come, go, stall and are killed; memory at     --seconds 1800 --connections 200 --nodes 2000
//!            rest does not grow. A minute of it is part of the tests    --cycle 4 --seed 1
//! ```
//!
//! # The workload
//!
//! [`Workload`] makes a set of N orders from a seed, and changes to them. An [order](OrderRow) has an id, one of 6 statuses, one of
//! N/10 customers, one of 50 regions, a total, a moment of creation in the last 30 days, a priority from 0 to 5, 0 to 3 of 20 tags,
//! and a note of 100 bytes. Of ten changes four give an order another status, four another total, one adds an order made just now,
//! one removes an order. A second passes with each.
//!
//! | class | queries | order, cap |
//! | --- | --- | --- |
//! | A1 | one: `status == 'processing'` | `createdAt desc`, 1,000 |
//! | A2 | one without a filter | `total desc`, 1,000 |
//! | B | many × `customer == X` | `createdAt desc`, 100 |
//! | C | many × `customer == X and status == 'processing'` | `createdAt desc`, 100 |
//! | D | many × `total >= a and total < a + 10`, of totals up to 2,000 | `total desc`, 50 |
//! | E | 250 × `region == r and priority >= p` | `total desc`, 100 |
//! | F | A1, watched by many connections, each under its own id | `createdAt desc`, 1,000 |
//! | G | `and`, `or`, `in`, `anyof`, `not`, prefixes, `now - 7 days` in equal parts, and one in 500 over `now - m minutes` alone; the customers of orders and queries go by Zipf's law | mixed, 50 |
//! | P | many × `note startswith 'aaa…abc'`, of notes that all begin with the same 30 letters | `createdAt desc`, 50 |
//! | W | many × 100 alternatives `customer == X and priority == p` | `createdAt desc`, 50 |
//!
//! Moments at which many orders become too old, large commits and first results are measured once at a time.
//!
//! The queries of a class are all different. Those of B and C are spread evenly over all customers, so that of N orders with N/10
//! customers, Q queries see 10 Q / N of all changes: their diffs grow with Q, and with them whatever has to be done.
//!
//! # The contestants
//!
//! - **engine**: Liveset, from nodes read ahead and from JSON, to the diffs.
//! - **hand**: the best typed Rust for each class, see [`hand`]. The practical limit.
//! - **scan**: windows as in `hand`, but found by trying every query's filter, each a closure that was compiled for it, on the order
//!   before and after each change.
//! - **typed parse**: `serde_json` into the struct. What `hand` needs before it can begin with JSON.
//!
//! All of them push diffs that hold the order before and after by reference, and drop them. Tests hold the diffs and windows of all
//! three against each other after every commit; the run itself compares the number of diffs of engine and hand.
//!
//! # What the numbers are, and are not
//!
//! The work is the same on every run; times are not. Times per change are the CPU time of the one thread, the median of several
//! rounds in which the contestants take turns; p50 and p99 are of commits of one change, measured singly by the wall clock. What the
//! clocks themselves cost is measured and taken off. Ratios and growth carry over to other machines, microseconds do not.

mod fan_out;
pub mod hand;
mod instructions;
mod live;
mod measure;
mod queries;
mod random;
pub mod report;
mod row;
mod scan;
pub mod sockets;
mod steps;
mod timeline;
mod window;
mod workload;

pub use fan_out::{Copies, FanOut};
pub use instructions::Count;
pub use live::{Live, instant, json_op, orders_set};
pub use liveset_cli::load::random::Random;
pub use queries::{BenchQuery, Class, Place, Shape, Sort, Test};
pub use random::Zipf;
pub use row::{NOTE, OrderRow, PROCESSING, STATUSES, Tags};
pub use scan::Scan;
pub use steps::{StepShape, step_shapes};
pub use window::Diff;
pub use workload::{Step, Workload, customers};

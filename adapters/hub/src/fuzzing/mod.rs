//! The bodies of the fuzz targets: arbitrary bytes in, no panic out, and what must hold holds.
//!
//! Every function panics where the package breaks a promise, and only there.

mod evaluate;
mod policy;

pub use evaluate::{evaluate, evaluate_tally};
pub use policy::{Tally, policy, policy_tally};

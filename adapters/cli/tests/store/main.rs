//! `[store]`, `demo --data` and `backup`: sets that survive the process, through the binary. A binary of its own, because it needs a
//! feature.
#![cfg(unix)]

#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod support;

mod damage;
mod kills;
mod page;
mod restarts;

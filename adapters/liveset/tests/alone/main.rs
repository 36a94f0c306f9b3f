//! Tests that need the process to themselves: they measure its heap, count its panics, or are its only subscriber of traces.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peak_alloc::PeakAlloc;

mod garbage;
mod idle_memory;
mod network;
mod network_faults;
mod network_resets;
mod network_stalls;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod support;
mod telemetry;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Held by the one test that runs.
struct Turn {
    _held: MutexGuard<'static, ()>,
}

/// Waits until no other test runs: each begins with this.
fn alone() -> Turn {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = Turn { _held: TURN.lock().unwrap_or_else(PoisonError::into_inner) };
    // The harness tells how the last test went and starts the thread of the next: that is on the heap too.
    std::thread::sleep(Duration::from_millis(50));
    turn
}

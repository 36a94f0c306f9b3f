//! What the engine leaves on the heap. Apart from the other tests: the allocator counts for the whole process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use peak_alloc::PeakAlloc;

mod churn;
mod filter_memory;
mod many_fields;
mod row_memory;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// One test at a time: each begins with this.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

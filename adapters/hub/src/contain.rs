//! Panics of a host's code that stay where they happened.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Something panicked; the panic hook has already said what and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// Runs `f`, and gives an error where it panics.
///
/// Whatever `f` left half done must be dealt with by the caller: a connection is closed, a commit is reported as failed.
///
/// # Errors
///
/// `f` panicked.
pub fn contain<T>(f: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(f)).map_err(forget)
}

/// The payload may be any value, and dropping it may panic once more: that one is leaked instead.
fn forget(payload: Box<dyn Any + Send>) -> Panicked {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    Panicked
}

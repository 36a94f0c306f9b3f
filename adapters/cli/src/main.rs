//! The `liveset` program. Everything it does is in the library of this package.

use std::process::ExitCode;

/// Rows and diffs are many small things that come and go, which costs less here than with the system's allocator.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    liveset_cli::cli::main()
}

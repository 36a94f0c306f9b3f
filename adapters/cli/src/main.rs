//! The `liveset` program. Everything it does is in the library of this package.

use std::process::ExitCode;

fn main() -> ExitCode {
    liveset_cli::cli::main()
}

//! Prints the table.

use std::io;

use liveset_benches::report::{Scale, write};

fn main() -> io::Result<()> {
    let scale = if std::env::args().any(|arg| arg == "--small") { Scale::small() } else { Scale::full() };
    write(&scale, &mut io::stdout())
}

//! The log: lines on standard error, chosen by a filter as that of `RUST_LOG`. Tokens are never logged.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts the log of this process, once. A filter that is wrong was refused when the configuration was read;
/// should one come here, `info` takes its place.
pub fn start(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if let Err(error) = started {
        tracing::warn!(%error, "a log was started already");
    }
}

//! `liveset bench`: many connections to a server, and how long its diffs take to reach them.
//!
//! ```text
//!  schedule ──► writers ──POST /batch──► server ──/ws──► connections ──► meter ──► report
//!      │                                                                   ▲
//!      └─────────── the moment a write was due, inside the node ───────────┘
//! ```
//!
//! Latency is counted from the moment a commit was due (not when it was sent, see `schedule.rs`) to the moment its diff
//! was read from the socket. Some connections can be made to stall: they stop reading, as a client does that hangs,
//! and are told apart from the others in everything.

mod args;
mod meter;
mod own;
mod plan;
mod receiver;
mod report;
mod run;
mod scan;
mod schedule;
mod scrape;
mod table;
mod verify;
mod writer;

use std::io::Write;

use liveset_server::signals::Stop;
use liveset_server::terminal;

pub use self::args::{BenchArgs, Extension, Shape};
use self::own::OwnServer;
use self::plan::Plan;
use self::run::Run;
use crate::load::process;

/// Files that are open beside the connections.
const OTHER_FILES: usize = 128;

/// Why there are no numbers, or why they are not to be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The options are wrong, or the run could not be made.
    #[error("{0}")]
    Failed(String),
    /// It was stopped.
    #[error("stopped before the end")]
    Stopped,
    /// What connections hold is not what the server answers.
    #[error("{0} live queries do not hold what the server answers")]
    Mismatch(usize),
    /// Signals cannot be listened to.
    #[error("cannot listen to signals: {0}")]
    Signals(#[from] std::io::Error),
}

impl From<String> for BenchError {
    fn from(message: String) -> BenchError {
        BenchError::Failed(message)
    }
}

/// Loads a server, and prints what was measured.
///
/// # Errors
///
/// The options do not fit, the server cannot be used, or `--verify` found a difference (which is printed with the
/// rest).
pub async fn run(args: BenchArgs) -> Result<(), BenchError> {
    args.check()?;
    let plan = Plan::new(&args, templates(&args)?)?;
    if let Some(limit) = process::raise_open_files() {
        check_open_files(args.connections, limit)?;
    }
    let stop = Stop::on_signals()?;
    let own = match &args.url {
        Some(_) => None,
        None => Some(OwnServer::start(&args)?),
    };
    let run = Run::new(&args, plan, own.as_ref()).await?;
    let report = tokio::select! {
        report = run.all() => report,
        () = stop.wait() => Err(BenchError::Stopped),
    };
    run.end().await;
    let report = report?;
    let text = match args.json {
        true => serde_json::to_string_pretty(&report).map_err(|error| error.to_string())? + "\n",
        false => table::render(&report),
    };
    // Whoever closed our output does not want it.
    let _ = std::io::stdout().write_all(text.as_bytes());
    match report.mismatches() {
        0 => Ok(()),
        count => Err(BenchError::Mismatch(count)),
    }
}

/// The queries of `--query-file`.
fn templates(args: &BenchArgs) -> Result<Vec<String>, String> {
    let Some(file) = &args.query_file else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let lines: Vec<_> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    match lines.is_empty() {
        true => Err(format!("{}: there is no query in it", file.display())),
        false => Ok(lines),
    }
}

/// Each connection is an open file, here and in the server.
fn check_open_files(connections: u32, limit: usize) -> Result<(), String> {
    let needed = connections as usize + OTHER_FILES;
    if needed <= limit {
        return Ok(());
    }
    Err(format!(
        "{connections} connections need {needed} open files, and this shell allows {limit}: more takes root \
         (`prlimit --nofile={needed} --pid $$`, or `nofile` in /etc/security/limits.conf); or choose fewer --connections"
    ))
}

/// Standard error, for what is no result.
fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", terminal::message(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_open_files_are_told_with_the_way_out() {
        assert_eq!(check_open_files(896, 1_024), Ok(()));
        let error = check_open_files(1_000, 1_024).unwrap_err();
        assert!(error.contains("allows 1024") && error.contains("--nofile=1128"), "{error}");
    }
}

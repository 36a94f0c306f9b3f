//! The command line.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bench::{self, BenchArgs};
use crate::demo::{self, DemoArgs};
use crate::log;
use crate::replay::{self, ReplayArgs};
use crate::serve::{self, ServeArgs};
use crate::watch::{self, WatchArgs};

/// Live queries and events over WebSocket.
#[derive(Debug, Parser)]
#[command(name = "liveset", version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a server
    Serve(Box<ServeArgs>),
    /// Feed a change stream into a server
    Replay(ReplayArgs),
    /// Show a live query in the terminal
    Watch(WatchArgs),
    /// Run a server with a small simulated shop and a page; takes any token
    Demo(DemoArgs),
    /// Load a server with many connections, and measure how long its diffs take
    Bench(Box<BenchArgs>),
}

/// Why a command failed, as it is printed.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Reads the command line, does what it says, and prints why not.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let _flush = log::Flush;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::from(format!("cannot start: {error}"))),
    };
    let result = runtime.block_on(run(cli.command));
    // What still waits for standard input or a file must not keep the program.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve::run(*args).await?,
        Command::Replay(args) => replay::run(args).await?,
        Command::Watch(args) => watch::run(args).await?,
        Command::Demo(args) => demo::run(args).await?,
        Command::Bench(args) => bench::run(*args).await?,
    }
    Ok(())
}

fn fail(error: &Failure) -> ExitCode {
    let (on, off) = if std::io::stderr().is_terminal() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    log::print_error(&format!("{on}error:{off} {error}\n"));
    ExitCode::FAILURE
}

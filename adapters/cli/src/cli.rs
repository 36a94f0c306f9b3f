//! The command line.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use liveset_server::log;
use liveset_server::serve::{self, ServeArgs};

use crate::backup::{self, BackupArgs};
use crate::bench::{self, BenchArgs};
use crate::demo::{self, DemoArgs};
use crate::replay::{self, ReplayArgs};
use crate::types::{self, TypesArgs};
use crate::watch::{self, WatchArgs};

/// Live queries and events over WebSocket.
#[derive(Debug, Parser)]
#[command(name = "liveset", version, about, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a server
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Box<ServeArgs>),
    /// Feed a change stream into a server
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
    /// Show a live query in the terminal
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(WatchArgs),
    /// Run a server with a small simulated shop and a page; takes any token
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Copy a store, also while a server has it open
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup(BackupArgs),
    /// Print the sets of a server and their fields as types of TypeScript
    #[command(after_help = TYPES_EXAMPLES)]
    Types(TypesArgs),
    /// Load a server with many connections, and measure how long its diffs take
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(Box<BenchArgs>),
    /// Print what a shell completes
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
}

const EXAMPLES: &str = "\
Examples:
  liveset demo
  liveset serve --config liveset.toml
  liveset watch ws://127.0.0.1:8080/ws --token change-me --set orders";

const SERVE_EXAMPLES: &str = "\
Examples:
  liveset serve --config liveset.toml
  liveset serve --config liveset.toml --listen 0.0.0.0:8080 --limit session.auth_timeout=5s
  liveset serve --config liveset.toml --print-config
  liveset serve --token shop=change-me --set orders=orders.ndjson";

const REPLAY_EXAMPLES: &str = "\
Examples:
  liveset replay changes.ndjson.gz --token change-me --speed 60
  liveset replay changes.ndjson --url https://live.example --token change-me --from 2025-12-07T21:45:00Z
  liveset replay - --token change-me --speed max < changes.ndjson";

const WATCH_EXAMPLES: &str = "\
Examples:
  liveset watch ws://127.0.0.1:8080/ws --token change-me --set orders
  liveset watch wss://live.example --token change-me --set orders --filter \"status == 'open'\" --order-by 'total desc'
  liveset watch 127.0.0.1:8080 --token change-me --set orders --json | jq .type";

const DEMO_EXAMPLES: &str = "\
Examples:
  liveset demo
  liveset demo --listen 127.0.0.1:8081 --rate 20
  liveset demo --data demo.db
  liveset watch 127.0.0.1:8080 --token any --set orders --order-by 'createdAt desc' --limit 20";

const BENCH_EXAMPLES: &str = "\
Examples:
  liveset bench
  liveset bench ws://127.0.0.1:8080/ws --token change-me --connections 2000 --verify
  liveset bench --connections 5000 --queries 1 --stalled 20 --compare-stalled --json";

const BACKUP_EXAMPLES: &str = "\
Examples:
  liveset backup liveset.db copy.db
  liveset backup data/liveset.db /backups/monday.db
  liveset serve --config liveset.toml --store copy.db";

const TYPES_EXAMPLES: &str = "\
Examples:
  liveset types --token change-me > liveset.d.ts
  liveset types --url https://live.example --token change-me > src/liveset.d.ts
  liveset types --url https://live.example --ca authority.pem --token change-me > liveset.d.ts";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  liveset completions bash > /etc/bash_completion.d/liveset
  liveset completions zsh > ~/.zfunc/_liveset
  liveset completions fish > ~/.config/fish/completions/liveset.fish";

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
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

/// What a shell is told of a command that ctrl-c has stopped before its end: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(args) => serve::run(*args).await?,
        Command::Replay(args) => {
            if replay::run(args).await? == replay::End::Interrupted {
                return Ok(ExitCode::from(INTERRUPTED));
            }
        }
        Command::Watch(args) => watch::run(args).await?,
        Command::Demo(args) => demo::run(args).await?,
        Command::Backup(args) => backup::run(args).await?,
        Command::Types(args) => types::run(args).await?,
        Command::Bench(args) => bench::run(*args).await?,
        Command::Completions { shell } => complete(shell, &mut std::io::stdout()),
    }
    Ok(ExitCode::SUCCESS)
}

fn complete(shell: Shell, out: &mut impl std::io::Write) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "liveset", &mut script);
    // Whoever closed our output does not want it.
    let _ = out.write_all(&script);
}

fn fail(error: &Failure) -> ExitCode {
    let (on, off) = if std::io::stderr().is_terminal() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    log::print_error(&format!("{on}error:{off} {error}\n"));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a command, as a shell reads them, up to what is for the shell.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut quote, mut word) = (Vec::new(), None, String::new());
        for c in line.chars() {
            match (c, quote) {
                (c, Some(open)) if c == open => quote = None,
                ('\'' | '"', None) => quote = Some(c),
                (' ', None) => words.push(std::mem::take(&mut word)),
                ('|' | '<' | '>', None) => return words,
                (c, _) => word.push(c),
            }
        }
        words.push(word);
        words
    }

    #[test]
    fn every_shell_is_told_of_all_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let mut script = Vec::new();
            complete(shell, &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in [
                "serve",
                "replay",
                "watch",
                "demo",
                "backup",
                "types",
                "bench",
                "print-config",
                "compare-stalled",
            ] {
                assert!(script.contains(command), "{shell}: {command}");
            }
        }
    }

    #[test]
    fn every_help_has_examples_that_are_right() {
        let command = Cli::command();
        let all = std::iter::once(&command).chain(command.get_subcommands());
        for command in all {
            let help = command.clone().render_long_help().to_string();
            let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("none: {help}"));
            let lines: Vec<_> = examples.lines().map(str::trim).collect();
            assert!(lines.len() >= 3, "{help}");
            for line in lines {
                let parsed = Cli::try_parse_from(words(line));
                assert!(parsed.is_ok(), "{line}\n{}", parsed.unwrap_err());
            }
        }
    }
}

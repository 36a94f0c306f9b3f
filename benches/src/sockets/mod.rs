//! The whole server over real sockets: how fast, how small, and whether it holds under overload and for long.
//!
//! Every command starts its clients in a process of their own: descriptors are counted per process, and so are memory and
//! CPU time, which are to be the server's alone.

mod child;
mod client;
mod fold;
mod idle;
mod overload;
mod plan;
mod process;
mod server;
mod skim;
mod soak;
mod throughput;
mod wander;

use std::{collections::BTreeMap, error::Error};

/// What goes wrong ends the process with its text.
type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs a command with its arguments.
///
/// # Errors
///
/// Where the command or an option is not known, where the machine does not give what is needed (descriptors, ports), and
/// where a proof fails.
pub fn run(command: &str, args: impl Iterator<Item = String>) -> Outcome {
    // Where that is refused, connections will fail and say so.
    let _ = liveset_cli::load::process::raise_open_files();
    match command {
        "socket" => throughput::run(&Options::read(args, throughput::OPTIONS)?),
        "idle" => idle::run(&Options::read(args, idle::OPTIONS)?),
        "overload" => overload::run(&Options::read(args, overload::OPTIONS)?),
        "soak" => soak::run(&Options::read(args, soak::OPTIONS)?),
        // What the commands start.
        "idle-server" => idle::serve(&Options::read(args, idle::OPTIONS)?),
        "skim-clients" => skim::run(&Options::read(args, skim::OPTIONS)?),
        "fold-clients" => fold::run(),
        "wander-clients" => wander::run(),
        other => Err(format!("{other}: there is only socket, idle, overload and soak").into()),
    }
}

/// Whole numbers by name, each with its default.
type Defaults = &'static [(&'static str, u64)];

/// The options of a command: `--name number`.
#[derive(Debug)]
struct Options(BTreeMap<&'static str, u64>);

impl Options {
    fn read(mut args: impl Iterator<Item = String>, defaults: Defaults) -> Outcome<Self> {
        let mut options: BTreeMap<&'static str, u64> = defaults.iter().copied().collect();
        while let Some(option) = args.next() {
            let known = defaults.iter().find(|(name, _)| option.strip_prefix("--") == Some(name));
            let Some((name, _)) = known else {
                let names: Vec<String> =
                    defaults.iter().map(|(name, value)| format!("--{name} {value}")).collect();
                return Err(format!("{option}: there is only {}", names.join(" ")).into());
            };
            let value = args.next().ok_or_else(|| format!("{option} wants a number"))?;
            options.insert(name, value.parse().map_err(|_| format!("{option} {value}: not a number"))?);
        }
        Ok(Self(options))
    }

    fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    fn count(&self, name: &str) -> usize {
        self.get(name) as usize
    }
}

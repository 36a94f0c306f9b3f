//! The options of `liveset bench`, and what is wrong with them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use liveset_core::LiveQueryOptions;
use liveset_core::Token;
use liveset_server::config::{self, duration};

use crate::url::{self, ServerUrl};

/// Arguments of `liveset bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// The server, as ws://127.0.0.1:8080/ws; without it, one is started for the run
    #[arg(value_name = "URL", env = "LIVESET_URL", value_parser = url::without_tls)]
    pub(super) url: Option<ServerUrl>,

    /// A token that may write; only with a URL
    #[arg(long, env = "LIVESET_TOKEN", value_name = "TOKEN", value_parser = config::token, default_value = "", hide_env_values = true)]
    pub token: Token,

    /// The set that is written and watched. Its nodes need an `id`, and the run's own are removed at its end
    #[arg(long, value_name = "SET", default_value = "bench", help_heading = "Connections")]
    pub set: String,

    /// How many connections
    #[arg(short, long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Connections")]
    pub connections: u32,

    /// Live queries of each connection
    #[arg(short, long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=256), help_heading = "Connections")]
    pub queries: u32,

    /// What they ask for
    #[arg(long, value_enum, default_value_t = Shape::Mixed, help_heading = "Connections")]
    pub shape: Shape,

    /// A query instead, as {"edge":"bench","filter":"group == {group}"}; can be repeated, and queries take turns.
    /// {connection}, {query} and {group} are replaced by numbers
    #[arg(long = "query", value_name = "JSON", help_heading = "Connections")]
    pub templates: Vec<String>,

    /// A file of such queries, one a line
    #[arg(long, value_name = "FILE", help_heading = "Connections")]
    pub query_file: Option<PathBuf>,

    /// Extensions that every live query asks for
    #[arg(long, value_name = "OPTION,…", value_enum, value_delimiter = ',', help_heading = "Connections")]
    pub options: Vec<Extension>,

    /// Connections that stop reading after their first results
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent, help_heading = "Connections")]
    pub stalled: f64,

    /// Connections that are begun a second; 0 is all at once
    #[arg(long, value_name = "N", default_value_t = 2_000, help_heading = "Connections")]
    pub connect_rate: u32,

    /// Commits a second; they keep to their times, however slow the server is
    #[arg(long, value_name = "N", default_value_t = 100.0, value_parser = rate, help_heading = "Writes")]
    pub commits: f64,

    /// Changes of a commit
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Writes")]
    pub changes: u32,

    /// Nodes that there are [default: 1000, or twice the groups]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000), help_heading = "Writes")]
    pub nodes: Option<u32>,

    /// Groups that nodes are in, which queries ask for [default: one a query with --shape own, otherwise 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000), help_heading = "Writes")]
    pub groups: Option<u32>,

    /// Changes that bring a node into another group
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0, value_parser = percent, help_heading = "Writes")]
    pub moves: f64,

    /// About how large a node is
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=1_000_000), help_heading = "Writes")]
    pub node_bytes: u32,

    /// HTTP connections that commits are sent on
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64), help_heading = "Writes")]
    pub writers: u32,

    /// Events a second, to which every connection subscribes
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = rate, help_heading = "Writes")]
    pub events: f64,

    /// The path of these events
    #[arg(long, value_name = "PATH", default_value = "jobs", help_heading = "Writes")]
    pub event_path: String,

    /// The type of these events
    #[arg(long, value_name = "TYPE", default_value = "jobCompleted", help_heading = "Writes")]
    pub event_type: String,

    /// How long is measured
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = duration::parse, help_heading = "Run")]
    pub duration: Duration,

    /// How long is written before that
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::parse, help_heading = "Run")]
    pub warm_up: Duration,

    /// Measure twice in the one run: while all read, and while the stalled connections do not
    #[arg(long, help_heading = "Run")]
    pub compare_stalled: bool,

    /// Compare what so many of the reading connections hold at the end with the server's own answer
    #[arg(long, value_name = "N", default_value_t = 0, num_args = 0..=1, default_missing_value = "20", help_heading = "Run")]
    pub verify: u32,

    /// Another number makes other changes
    #[arg(long, default_value_t = 1, help_heading = "Run")]
    pub seed: u64,

    /// The server's process, for its memory and CPU [default: whoever listens on the address, if on this machine]
    #[arg(long, value_name = "PID", help_heading = "Run")]
    pub pid: Option<u32>,

    /// Print the results as JSON
    #[arg(long, help_heading = "Run")]
    pub json: bool,

    /// More arguments for the server that is started, after --
    #[arg(last = true, value_name = "SERVE ARGS")]
    pub serve: Vec<OsString>,
}

/// Queries that are built in. The bench's nodes are `{"id", "group", "value", "sent", "pad"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// All ask for the same: `group == 0`
    Shared,
    /// Each asks for a group of its own: `group == {group}`
    Own,
    /// All ask for the same 20 of all nodes, in an order that changes: `value desc`
    Top,
    /// Shared, own and top, by turns
    Mixed,
}

/// An extension of a live query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Extension {
    /// Places of nodes
    Positions,
    /// Counts as they change
    Counts,
    /// Why nodes come and go
    Reasons,
    /// Versions to resume from
    Resume,
}

impl BenchArgs {
    /// The extensions that every live query asks for.
    pub(super) fn options(&self) -> LiveQueryOptions {
        let has = |extension| self.options.contains(&extension);
        LiveQueryOptions {
            positions: has(Extension::Positions),
            counts: has(Extension::Counts),
            reasons: has(Extension::Reasons),
            resume: has(Extension::Resume),
            ..LiveQueryOptions::default()
        }
    }

    /// Options that do not go together.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.compare_stalled && self.stalled_connections() == 0 {
            return Err(
                "--compare-stalled compares with and without stalled connections: say how many of them, as \
                        --stalled 20"
                    .into(),
            );
        }
        if self.stalled_connections() == self.connections {
            return Err(
                "with every connection stalled nobody is left to measure: choose a smaller --stalled".into(),
            );
        }
        if self.duration.is_zero() {
            return Err("--duration 0 measures nothing".into());
        }
        if self.queries == 0 && self.events == 0.0 {
            return Err("--queries 0 needs --events: there would be nothing to receive".into());
        }
        if self.url.is_some() && !self.serve.is_empty() {
            return Err("what follows -- is for the server that is started where there is no URL".into());
        }
        if self.url.is_some() && self.token.expose().is_empty() {
            return Err("a server wants a token: --token, or LIVESET_TOKEN".into());
        }
        Ok(())
    }

    /// Whether a connection, from 0, is one of those that stall. They are spread evenly.
    pub(super) fn is_stalled(&self, connection: u32) -> bool {
        self.stalled_before(connection + 1) > self.stalled_before(connection)
    }

    pub(super) fn stalled_connections(&self) -> u32 {
        self.stalled_before(self.connections)
    }

    /// How many of the first connections stall.
    fn stalled_before(&self, connections: u32) -> u32 {
        (f64::from(connections) * self.stalled / 100.0).floor() as u32
    }
}

const FASTEST: f64 = 100_000.0;

fn rate(text: &str) -> Result<f64, String> {
    match text.replace('_', "").parse::<f64>() {
        Ok(rate) if (0.0..=FASTEST).contains(&rate) => Ok(rate),
        _ => Err(format!("choose a rate from 0 to {FASTEST} a second")),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("choose a percentage from 0 to 100".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn parse(line: &str) -> BenchArgs {
        Only::parse_from(["bench"].into_iter().chain(line.split_whitespace())).args
    }

    #[test]
    fn stalled_connections_are_spread_evenly() {
        for (connections, stalled) in [(20, "25"), (20, "0"), (7, "50%"), (1_000, "0.5")] {
            let args = parse(&format!("-c {connections} --stalled {stalled}"));
            let which: Vec<_> = (0..connections).filter(|each| args.is_stalled(*each)).collect();
            assert_eq!(which.len(), args.stalled_connections() as usize);
            let half = which.iter().filter(|each| **each < connections / 2).count();
            assert!(half.abs_diff(which.len() / 2) <= 1, "{which:?}");
        }
        assert_eq!(parse("-c 1000 --stalled 0.5").stalled_connections(), 5);
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        for (line, what) in [
            ("--compare-stalled", "--stalled"),
            ("--stalled 100", "nobody is left"),
            ("-d 0s", "--duration 0"),
            ("-q 0", "--events"),
            ("ws://h/ws --token t -- --limit x=1", "where there is no URL"),
            ("ws://h/ws", "--token"),
        ] {
            let error = parse(line).check().unwrap_err();
            assert!(error.contains(what), "{line}: {error}");
        }
        assert_eq!(parse("").check(), Ok(()));
        assert_eq!(parse("-- --limit engine.shards=2").check(), Ok(()));
        assert_eq!(parse("-q 0 --events 5 --stalled 10 --compare-stalled").check(), Ok(()));
        for wrong in ["101", "-1", "NaN", "x", ""] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
        for wrong in ["-1", "NaN", "inf", "1e9", ""] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}

//! A server of our own, so that there are numbers with one command.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use liveset_core::Token;

use super::args::BenchArgs;
use crate::url::ServerUrl;

/// Connections that a server needs beside those that are measured: writers, and those that end while others begin.
const SPARE_CONNECTIONS: u32 = 256;

/// A child process that serves on loopback.
#[derive(Debug)]
pub(super) struct OwnServer {
    child: Killed,
    pub(super) url: ServerUrl,
    pub(super) token: Token,
}

impl OwnServer {
    pub(super) fn start(args: &BenchArgs) -> Result<OwnServer, String> {
        let token = format!("bench-{}", fastwebsockets::handshake::generate_key());
        let program =
            std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LIVESET_") {
                command.env_remove(name);
            }
        }
        let connections = args.connections + SPARE_CONNECTIONS;
        let views = u64::from(args.connections) * u64::from(args.queries) + 1_000;
        let limits = [
            format!("http.max_connections={}", connections.max(10_000)),
            // Those of this program alone, which opens them as fast as it can.
            "http.connection_burst=1000000".to_owned(),
            format!("engine.max_views={}", views.max(100_000)),
            // All of them act for one subject.
            format!("hub.connections_per_subject={connections}"),
            format!("hub.live_queries_per_subject={views}"),
            "http.requests_per_second=1000000".to_owned(),
            "http.request_burst=1000000".to_owned(),
        ];
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--set", &args.set])
            .args(limits.iter().flat_map(|limit| ["--limit", limit]).map(OsString::from))
            .args(&args.serve)
            // Out of sight of others on this machine.
            .env("LIVESET_TOKENS", format!("bench={token}"))
            .env("LIVESET_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start a server: {error}"))?;
        let stdout = child.stdout.take();
        let child = Killed(child);
        let mut stdout = BufReader::new(stdout.ok_or("the server has no output")?);
        let mut first = String::new();
        stdout.read_line(&mut first).map_err(|error| format!("the server said nothing: {error}"))?;
        let address = first.trim().strip_prefix("listening on ").ok_or("the server did not start")?;
        let url = address.parse()?;
        // What it still says must not fill the pipe.
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(drop));
        Ok(OwnServer { child, url, token: Token::new(token) })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.0.id()
    }
}

/// Killed when dropped.
#[derive(Debug)]
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

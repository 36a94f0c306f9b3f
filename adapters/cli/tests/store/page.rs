//! The page of the guide does what it says.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::Server;
use crate::support::demo::{runs, skip};

const PAGE: &str = include_str!("../../../server/guide/store.md");
const EXAMPLE: &str = "adapters/server/examples/orders";

/// The blocks of a page: language and text.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let mut parts = PAGE.split("\n```");
    parts.next();
    parts.step_by(2).filter_map(|block| block.split_once('\n')).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder of a server, and the server once it was started.
struct Walk {
    folder: TempDir,
    server: Option<Server>,
}

impl Walk {
    /// A shell in the folder of the server, that finds the binary of this test.
    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("sh");
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap_or_default());
        shell.args(["-c", command]).current_dir(self.folder.path()).env("PATH", path).env("NO_PROXY", "*");
        shell.env("LIVESET_LISTEN", "127.0.0.1:0");
        shell
    }

    fn start(&mut self, command: &str) {
        if let Some(mut running) = self.server.take() {
            running.signal("TERM");
            assert!(running.wait().success());
        }
        let folder = tempfile::tempdir().unwrap();
        self.server = Some(Server::run(self.shell(&format!("exec {command}")), folder));
    }

    fn run(&mut self, command: &str) -> String {
        if command.starts_with("liveset serve") || command.contains(" demo ") {
            let (_, arguments) =
                command.rsplit_once(" -- ").unwrap_or(("", command.trim_start_matches("liveset ")));
            self.start(&format!("liveset {arguments}"));
            return String::new();
        }
        let port =
            self.server.as_ref().and_then(|server| server.address.rsplit(':').next()).unwrap_or_default();
        let output = self.shell(&command.replace(":8080", &format!(":{port}"))).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{command}\n{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }
}

#[tokio::test]
async fn the_page_does_what_it_says() {
    if !runs("curl") {
        return skip("curl is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    symlink(env!("CARGO_BIN_EXE_liveset"), folder.path().join("liveset")).unwrap();
    for name in ["liveset.toml", "orders.ndjson"] {
        std::fs::copy(root().join(EXAMPLE).join(name), folder.path().join(name)).unwrap();
    }
    let mut walk = Walk { folder, server: None };
    let mut printed = Vec::new();
    for (language, text) in blocks() {
        match language {
            "toml" => {
                let file = walk.folder.path().join("liveset.toml");
                let mut config: toml::Table = std::fs::read_to_string(&file).unwrap().parse().unwrap();
                config.extend(text.parse::<toml::Table>().unwrap());
                std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
                walk.start("liveset serve --config liveset.toml");
            }
            "sh" => {
                for command in text.lines().filter(|line| !line.starts_with("cargo install")) {
                    printed.push(walk.run(command));
                }
            }
            // For a program that may not be there.
            "text" => {}
            other => panic!("a block in {other}"),
        }
    }
    let printed = printed.concat();
    for expected in [
        "\"changed\":1,\"position\":\"",
        "copied 11 rows, up to commit 2, to copy.db\n",
        r#"{"nodes":[],"totalCount":0,"capped":false,"position":""#,
    ] {
        assert!(printed.contains(expected), "{expected}\n{printed}");
    }
}

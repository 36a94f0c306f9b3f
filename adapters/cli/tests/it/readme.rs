//! The README and the guide do what they say: their commands, configurations and blocks of code are run, in the order of each page.
//!
//! [`BLOCKS`] and [`COMMANDS`] say how each of them is run and what must come of it, or why it is not run. A block or a command
//! that is in neither fails.
//!
//! Instead of port 8080 there is a free one, and instead of `cargo run -p liveset-cli --` the binary of this test.
#![cfg(unix)]

use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::demo::{lines_of, runs, skip};
use crate::support::http::Http;
use crate::support::ws::Ws;
use crate::support::{PATIENCE, Server, signal, wait};

/// How a block is run.
#[derive(Debug, Clone, Copy)]
enum How {
    /// `cargo test --doc` runs it: one of [`DOCTESTS`] includes the page.
    Doctest,
    /// It is that file to the letter, and what runs the file.
    File(&'static str),
    /// Its commands are run as [`COMMANDS`] says.
    Commands,
    /// It goes into the example's configuration in place of the sections of the same names. A server is started with it, and
    /// serves the commands that follow.
    Section,
    /// A `[jwt]`, which this binary has only with a feature: it is read.
    Jwt,
    /// A `[store]`, which this binary has only with a feature: it is read.
    Store,
    /// Dependencies: the packages, their features and versions are there.
    Dependencies,
    /// Node runs it against the server that was started last, in which rows come and go.
    Page,
    /// Each line is a filter that a server takes.
    Filters,
    /// A query that a server takes.
    Query,
    /// Each line is what a server says of a filter, of these in order.
    Refusal(&'static [&'static str]),
    NotRun(&'static str),
}

/// Language, how the block begins, how it is run.
const BLOCKS: &[(&str, &str, How)] = &[
    ("text", " host's writes ─", How::NotRun("a drawing")),
    ("sh", "", How::Commands),
    ("rust,no_run", "//! A service with a live endpoint", How::File("adapters/axum/examples/axum.rs")),
    ("rust,no_run", "//! The newest orders of", How::File("adapters/client/examples/orders.rs")),
    ("rust,no_run", "", How::Doctest),
    ("rust", "", How::Doctest),
    ("toml", "[dependencies]", How::Dependencies),
    ("toml", "[dev-dependencies]", How::Dependencies),
    ("js", "const rows", How::Page),
    ("tsx", "", How::NotRun("the tests of adapters/client-ts hold it against the types")),
    ("toml", "listen = ", How::File("adapters/server/examples/orders/liveset.toml")),
    ("toml", "[jwt]", How::Jwt),
    ("toml", "[store]", How::Store),
    ("text", "sqlite3 liveset.db", How::NotRun("sqlite3 may not be there")),
    (
        "text",
        "cargo install --path adapters/cli --features store --profile dist",
        How::NotRun("it changes the system"),
    ),
    ("text", "LIVESET_IMAGE_TO=", How::NotRun("the image takes minutes to build")),
    ("text", "rule_files:", How::NotRun("it is Prometheus' own")),
    ("toml", "", How::Section),
    ("text", "db.live({", How::NotRun("the tests of adapters/client-ts hold the same against the compiler")),
    ("text", "status == ", How::Filters),
    ("json", "{\"edge\"", How::Query),
    (
        "text",
        "filter, line 1, column 6",
        How::Refusal(&["tags anyo ['new']", "createdAt > now - 5m", "name like 'A%'"]),
    ),
];

/// How a command is run, and what must come of it.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// It serves until the next server is started.
    Serves,
    /// An example of another package, which serves this set with this row and this token: a server does the same.
    ServesLike {
        source: &'static str,
        token: &'static str,
        row: &'static str,
    },
    /// `liveset watch` shows a table with all of these, and is stopped.
    Shows(&'static [&'static str]),
    /// It ends well, and has printed all of these.
    Prints(&'static [&'static str]),
    /// `liveset bench`, with fewer connections and less time, prints these.
    Measures(&'static [&'static str]),
    /// `cargo install --path FOLDER`: the folder has the binary, and the features.
    Installs,
    NotRun(&'static str),
}

const COMMANDS: &[(&str, Outcome)] = &[
    ("cargo run --release -p liveset-cli -- demo", Outcome::Serves),
    ("npm ci --prefix adapters/client-ts", Outcome::NotRun(THE_EXAMPLE)),
    ("npm run example --prefix adapters/client-ts", Outcome::NotRun(THE_EXAMPLE)),
    (
        "cargo run -p liveset --features hyper --example hyper",
        Outcome::ServesLike {
            source: "adapters/liveset/examples/hyper.rs",
            token: "s3cret",
            row: r#"{"id":1,"status":"processing"}"#,
        },
    ),
    (
        "cargo run -p liveset-axum --example axum",
        Outcome::ServesLike {
            source: "adapters/axum/examples/axum.rs",
            token: "s3cret",
            row: r#"{"id":1,"status":"processing"}"#,
        },
    ),
    (
        "cargo run -p liveset-cli -- watch ws://127.0.0.1:8080/ws --token s3cret",
        Outcome::Shows(&["id  status", "1   processing", "1 of 1 rows"]),
    ),
    (
        "cargo run -p liveset-client --example orders",
        Outcome::NotRun("its package builds it, and the demo has other rows each time"),
    ),
    ("cargo install --path ", Outcome::Installs),
    ("liveset serve --config adapters/server/examples/orders/liveset.toml", Outcome::Serves),
    (
        "liveset watch ws://127.0.0.1:8080/ws --token change-me --set orders --order-by 'createdAt desc'",
        Outcome::Shows(&["id   createdAt ", "12 of 12 rows"]),
    ),
    (
        "curl -H 'Authorization: Bearer change-me' http://127.0.0.1:8080/batch",
        Outcome::Prints(&["\"changed\":1"]),
    ),
    (
        "liveset replay adapters/server/examples/orders/changes.ndjson",
        Outcome::Prints(&["replayed 18 commits, 19 operations, 19 nodes changed"]),
    ),
    (
        "curl -H 'Authorization: Bearer change-me' http://127.0.0.1:8080/query",
        Outcome::Prints(&[r#"{"nodes":[{"id":"o9","#, "\"totalCount\":", "\"capped\":false"]),
    ),
    (
        "curl -H 'Authorization: Bearer change-me' http://127.0.0.1:8080/explain",
        Outcome::Prints(&["equality"]),
    ),
    (
        "curl -H 'Authorization: Bearer change-me-too' http://127.0.0.1:8080/admin/connections",
        Outcome::Prints(&[r#""count":0"#]),
    ),
    (
        "curl -H 'Authorization: Bearer change-me-too' 'http://127.0.0.1:8080/admin/queries",
        Outcome::Prints(&[r#""count":0"#]),
    ),
    (
        "curl -H 'Authorization: Bearer change-me-too' http://127.0.0.1:8080/admin/revoke",
        Outcome::Prints(&[r#"{"ended":0}"#]),
    ),
    ("curl http://127.0.0.1:8080/livez", Outcome::Prints(&[r#"{"status":"ok"}"#])),
    ("curl http://127.0.0.1:8080/readyz", Outcome::Prints(&[r#"{"status":"ready"}"#])),
    (
        "curl -H 'Authorization: Bearer change-me' http://127.0.0.1:8080/metrics",
        Outcome::Prints(&["liveset_connections "]),
    ),
    (
        "curl -H 'Authorization: Bearer change-me-too' http://127.0.0.1:8080/query",
        Outcome::Prints(&[
            r#"{"id":"o1","createdAt":"2025-12-07T20:03:00Z","status":"delivered","total":12.5}"#,
            "\"totalCount\":6,",
        ]),
    ),
    (
        "liveset watch ws://127.0.0.1:8080/ws --token change-me-too",
        Outcome::Shows(&["o1   2025-12-07T20:03:00Z  delivered   12.5\n", "6 of 6 rows"]),
    ),
    (
        "curl -H 'Authorization: Bearer change-me' http://127.0.0.1:8080/events",
        Outcome::Prints(&[r#"{"delivered":0}"#]),
    ),
    (
        "liveset watch wss://localhost:8080/ws --ca adapters/cli/tests/certificates/authority.pem",
        Outcome::Shows(&["12 of 12 rows"]),
    ),
    (
        "curl -H 'Authorization: Bearer change-me' -H 'Content-Type: application/x-ndjson' http://127.0.0.1:8080/batch",
        Outcome::Prints(&[r#"{"applied":18,"changed":"#]),
    ),
    (
        "curl -H 'Authorization: Bearer change-me' http://127.0.0.1:8080/sets",
        Outcome::Prints(&[r#""name":"orders""#, r#""name":"status""#, r#""source":"host""#]),
    ),
    (
        "curl -H 'Authorization: Bearer change-me' http://127.0.0.1:8080/sets/orders",
        Outcome::Prints(&[r#"{"id":"o1","#, r#"{"id":"o12","#]),
    ),
    (
        "curl -H 'Authorization: Bearer change-me' 'http://127.0.0.1:8080/sets/orders/values?field=status&limit=3'",
        Outcome::Prints(&[r#""field":"status""#, r#""count":"#]),
    ),
    (
        "curl -H 'Authorization: Bearer change-me' http://127.0.0.1:8080/schema",
        Outcome::Prints(&[r#""title":"orders""#]),
    ),
    (
        "liveset types --url http://127.0.0.1:8080 --token change-me",
        Outcome::Prints(&["export type Schema = {", "orders: {", "id: string | number"]),
    ),
    ("liveset backup liveset.db copy.db", OF_THE_STORE),
    ("liveset serve --config liveset.toml", OF_THE_STORE),
    (
        "curl -H 'Authorization: Bearer change-me' http://127.0.0.1:8080/batch -d '[{\"op\":\"remove\"",
        OF_THE_STORE,
    ),
    (
        "curl -H 'Authorization: Bearer change-me' http://127.0.0.1:8080/query -d '{\"edge\":\"orders\",\"filter\":\"id ==",
        OF_THE_STORE,
    ),
    ("cargo run --release -p liveset-cli --features store -- demo", OF_THE_STORE),
    ("cargo run --release -p liveset-cli -- bench", Outcome::Measures(&["commit answered", "p99"])),
    ("liveset bench ws://127.0.0.1:8080/ws", Outcome::Measures(&["all agree"])),
    ("liveset bench --connections", Outcome::Measures(&["\"stalled\""])),
];

const THE_EXAMPLE: &str =
    "a test of adapters/client-ts shows this page in Chromium, and runs it as `npm run example` does";

const OF_THE_STORE: Outcome = Outcome::NotRun("it needs a feature: `--test store` runs it");

/// What a server has in the walk: the example, and the certificates that `[tls]` names.
const FILES: &[(&str, &str)] = &[
    ("adapters/server/examples/orders", "orders.ndjson"),
    ("adapters/cli/tests/certificates", "server.pem"),
    ("adapters/cli/tests/certificates", "server.key.pem"),
];
const CONFIG: &str = "adapters/server/examples/orders/liveset.toml";
const GUIDE: &str = "adapters/server/guide";
/// The source files whose documentation tests are the Rust blocks of these pages.
const DOCTESTS: &[&str] = &["adapters/axum/src/lib.rs", "adapters/client/src/lib.rs"];
/// Other pages whose blocks are run and whose links are followed, from the root of the repository.
const PAGES: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "core/README.md",
    "engine/README.md",
    "adapters/hub/README.md",
    "adapters/liveset/README.md",
    "adapters/axum/README.md",
    "adapters/client/README.md",
    "adapters/jwt/README.md",
    "adapters/server/README.md",
    "adapters/cli/README.md",
    "adapters/server/deploy/README.md",
    "adapters/server/deploy/runbook.md",
];

#[tokio::test]
async fn every_block_of_every_page_does_what_it_says() {
    if !runs("curl") {
        return skip("curl is not installed");
    }
    for page in pages() {
        let mut walk = Walk::new(&page);
        for block in blocks(&page, &read(&page)) {
            println!("{page}:{}: {} {:?}", block.line, block.language, block.first());
            walk.run(&block).await;
        }
    }
}

#[tokio::test]
async fn every_message_of_the_protocols_table_is_answered_as_it_says() {
    let page = format!("{GUIDE}/protocol.md");
    let walk = Walk::new(&page);
    let server = walk.serve(&walk.config());
    let text = read(&page);
    let section = section(&text, "## Messages");
    let mut socket = Ws::connect(&server.address).await;
    let mut seen = 0;
    for row in section.lines().filter(|line| line.starts_with("| `{")) {
        let cells: Vec<_> = row.split(" | ").collect();
        let [asked, answers] = cells[..] else { panic!("a row of two cells: {row}") };
        let asked = code(asked).next().expect("a message").replace('…', "change-me");
        let asked: Value = serde_json::from_str(&asked).unwrap_or_else(|error| panic!("{error}: {row}"));
        socket.send(asked.clone()).await;
        seen += 1;
        let Some(expected) = code(answers).next() else { continue };
        let mut answer = socket.next().await;
        // What the live query of the line before still sends.
        while answer["type"] == "liveQueryData" {
            answer = socket.next().await;
        }
        assert_eq!(answer["type"], expected, "the answer to {asked}: {answer}");
    }
    assert!(seen >= 6, "the table has lost its messages");
}

#[test]
fn every_code_of_the_protocol_is_explained() {
    let page = read(&format!("{GUIDE}/protocol.md"));
    let explained: Vec<_> = section(&page, "## Errors")
        .lines()
        .filter_map(|row| row.split(" | ").next())
        .flat_map(code)
        .collect();
    for error in liveset_core::ErrorCode::ALL {
        assert!(explained.contains(&error.as_str()), "{error} is not in the table of errors");
    }
}

#[test]
fn the_short_table_of_limits_says_what_the_whole_one_says() {
    let whole = read("adapters/liveset/src/limits.md");
    let page = read(&format!("{GUIDE}/limits.md"));
    let rows: Vec<_> = page.lines().filter(|row| row.starts_with("| `") && row.contains('.')).collect();
    let limits: Vec<_> = rows.iter().filter(|row| row.matches(" | ").count() == 2).collect();
    assert!(limits.len() > 10, "the table has lost its limits: {rows:?}");
    for row in limits {
        let (name_and_default, _) = row.rsplit_once(" | ").expect("three cells");
        assert!(whole.contains(&format!("\n{name_and_default} | ")), "not in limits.md: {name_and_default}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        let text = read(&page);
        for (number, line) in text.lines().enumerate() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let at = format!("{page}:{}: {target}", number + 1);
                if target.starts_with("https://") {
                    continue;
                }
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                let folder = root().join(&page).parent().expect("a page is in a folder").to_owned();
                let file = if path.is_empty() { root().join(&page) } else { folder.join(path) };
                assert!(file.exists(), "{at}: there is no such file");
                if !anchor.is_empty() {
                    let text = std::fs::read_to_string(&file).expect("a page");
                    assert!(
                        text.lines().any(|line| slug(line).as_deref() == Some(anchor)),
                        "{at}: there is no such heading"
                    );
                }
            }
        }
    }
}

/// The walk through a page: what was started and written so far.
struct Walk {
    page: String,
    /// Has `liveset`, first on the path.
    programs: TempDir,
    server: Option<Server>,
}

impl Walk {
    fn new(page: &str) -> Walk {
        let programs = tempfile::tempdir().expect("a folder");
        symlink(env!("CARGO_BIN_EXE_liveset"), programs.path().join("liveset")).expect("a link");
        Walk { page: page.to_owned(), programs, server: None }
    }

    async fn run(&mut self, block: &Block) {
        let page = self.page.clone();
        let at = format!("{page}:{}", block.line);
        let known = BLOCKS
            .iter()
            .find(|(language, begins, _)| *language == block.language && block.text.starts_with(begins));
        let Some((_, _, how)) = known else {
            panic!(
                "{at}: nothing is known of this block; say in BLOCKS of adapters/cli/tests/it/readme.rs how it is run:\n\
                 ```{}\n{}```",
                block.language, block.text
            );
        };
        match *how {
            How::Doctest => {
                let name = page.strip_prefix("adapters/").map_or(format!("../{page}"), str::to_owned);
                let include = format!("include_str!(\"../../{name}\")");
                let is_run = DOCTESTS.iter().any(|file| read(file).contains(&include));
                assert!(is_run, "{at}: none of {DOCTESTS:?} has {include}");
            }
            How::NotRun(reason) => println!("  not run: {reason}"),
            How::File(path) => assert_eq!(read(path), block.text, "{at}: this is to be {path} to the letter"),
            How::Commands => {
                for (line, command) in commands(block) {
                    println!("  $ {command}");
                    self.command(&format!("{page}:{line}"), &command).await;
                }
            }
            How::Section => {
                let mut config = self.config();
                let section: toml::Table = block.text.parse().unwrap_or_else(|error| panic!("{at}: {error}"));
                config.extend(section);
                self.server = Some(self.serve(&config));
            }
            How::Jwt => reads::<liveset_server::config::JwtConfig>(&at, &block.text, "jwt"),
            How::Store => reads::<liveset_server::config::StoreConfig>(&at, &block.text, "store"),
            How::Dependencies => dependencies(&at, &block.text),
            How::Page => self.page(&at, &block.text).await,
            How::Filters => {
                let server = self.serve(&self.config());
                for filter in block.text.lines() {
                    let (status, answer) = ask(&server, filter).await;
                    assert_eq!(status, 200, "{at}: {filter}: {answer}");
                }
            }
            How::Query => {
                let server = self.serve(&self.config());
                let (status, answer) = ask_for(&server, block.text.clone()).await;
                assert_eq!(status, 200, "{at}: {answer}");
            }
            How::Refusal(filters) => {
                let server = self.serve(&self.config());
                let mut said = Vec::new();
                for filter in filters {
                    let (status, answer) = ask(&server, filter).await;
                    assert!(status >= 400, "{at}: {filter} was taken");
                    said.push(answer["message"].as_str().expect("a message").to_owned());
                }
                let lines: Vec<&str> = block.text.lines().collect();
                assert_eq!(said, lines, "{at}: what the server says of {filters:?}");
            }
        }
    }

    /// The configuration of the example.
    fn config(&self) -> toml::Table {
        read(CONFIG).parse().expect("the example's configuration")
    }

    fn serve(&self, config: &toml::Table) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        for (from, name) in FILES {
            std::fs::copy(root().join(from).join(name), folder.path().join(name))
                .expect("a file of the repository");
        }
        let file = folder.path().join("liveset.toml");
        std::fs::write(&file, toml::to_string(config).expect("TOML")).expect("the configuration is written");
        let mut command = self.shell("exec liveset serve --config \"$0\"");
        command.arg(&file);
        Server::run(command, folder)
    }

    async fn command(&mut self, at: &str, text: &str) {
        let known = COMMANDS.iter().filter(|(begins, _)| text.starts_with(begins));
        // `change-me` is how `change-me-too` begins.
        let Some((_, outcome)) = known.max_by_key(|(begins, _)| begins.len()) else {
            panic!(
                "{at}: nothing is known of this command; say in COMMANDS of adapters/cli/tests/it/readme.rs what must come of \
                 it:\n{text}"
            );
        };
        match *outcome {
            Outcome::NotRun(reason) => println!("  not run: {reason}"),
            Outcome::Installs => installs(at, text),
            Outcome::Serves => {
                let folder = tempfile::tempdir().expect("a folder");
                self.server = None;
                self.server = Some(Server::run(self.shell(&format!("exec {}", self.mapped(text))), folder));
            }
            Outcome::ServesLike { source, token, row } => {
                let source = read(source);
                let fields = row.trim_matches(['{', '}']).replace(':', ": ").replace(',', ", ");
                assert!(
                    source.contains(token) && source.contains(&fields),
                    "{at}: the example has another row or token"
                );
                let config = json!({ "auth": { "tokens": [{ "token": token, "subject": "alice" }] }, "set": [{ "name": "orders" }] });
                let config = toml::Table::try_from(config).expect("TOML");
                let server = self.serve(&config);
                commit(&server, token, &format!(r#"[{{"op":"upsert","set":"orders","node":{row}}}]"#)).await;
                self.server = Some(server);
            }
            Outcome::Shows(expected) => self.watch(at, text, expected),
            Outcome::Prints(expected) => self.ends(at, &self.mapped(text), expected),
            Outcome::Measures(expected) => {
                if text.contains("ws://") {
                    let mut config = self.config();
                    config.extend(toml::toml! { set = [{ name = "bench" }] });
                    self.server = Some(self.serve(&config));
                }
                let text = self.mapped(text);
                let (mut fewer, mut words) = (Vec::new(), text.split(' '));
                while let Some(word) = words.next() {
                    match word == "--connections" {
                        true => drop(words.next()),
                        false => fewer.push(word),
                    }
                }
                let command = format!("{} --connections 20 --duration 1s --warm-up 100ms", fewer.join(" "));
                self.ends(at, &command, expected);
            }
        }
    }

    /// A command as this test runs it.
    fn mapped(&self, text: &str) -> String {
        let text = ["cargo run --release -p liveset-cli --", "cargo run -p liveset-cli --"]
            .iter()
            .fold(text.to_owned(), |text, cargo| text.replace(cargo, "liveset"));
        match &self.server {
            Some(_) => text.replace(":8080", &format!(":{}", self.port())),
            None => text,
        }
    }

    fn port(&self) -> String {
        let address = self.server.as_ref().map(|server| server.address.as_str()).unwrap_or_default();
        address.rsplit(':').next().unwrap_or_default().to_owned()
    }

    /// A shell in the repository that finds the binary of this test, and has nothing of our own environment that would
    /// configure it but a free port.
    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("sh");
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LIVESET_"))
        {
            shell.env_remove(name);
        }
        let path =
            format!("{}:{}", self.programs.path().display(), std::env::var("PATH").unwrap_or_default());
        shell.args(["-c", command]).current_dir(root()).stdin(Stdio::null());
        shell.env("PATH", path).env("LIVESET_LISTEN", "127.0.0.1:0").env("NO_PROXY", "*");
        shell
    }

    /// Runs a command to its end.
    fn ends(&self, at: &str, command: &str, expected: &[&str]) {
        let output = self.shell(command).output().expect("a shell");
        let printed = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{at}: {command}\nended with {}\n{printed}{complaint}",
            output.status
        );
        for expected in expected {
            assert!(
                printed.contains(expected),
                "{at}: {command}\nshould print {expected}\n{printed}{complaint}"
            );
        }
    }

    /// Runs `liveset watch` until it has shown a table with all that is expected.
    fn watch(&self, at: &str, text: &str, expected: &[&str]) {
        let command = self.mapped(text);
        let mut child = self
            .shell(&format!("exec {command}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell");
        let lines = lines_of(child.stdout.take().expect("stdout is piped"));
        let (deadline, mut shown) = (Instant::now() + PATIENCE, String::new());
        while !expected.iter().all(|expected| shown.contains(expected)) {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => shown.push_str(&format!("{line}\n")),
                Err(_) => {
                    let complaint = killed(child);
                    panic!("{at}: {command}\nshould show {expected:?}\n{shown}{complaint}");
                }
            }
        }
        signal(child.id(), "INT");
        assert!(wait(&mut child).success(), "{at}: {command}\ndoes not end well on ctrl-c");
    }

    /// Runs the script of a page in Node, against the server, and lets rows come and go.
    async fn page(&self, at: &str, script: &str) {
        if !runs("node") {
            return skip("node is not installed");
        }
        let server = self.server.as_ref().expect("a server was started before");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("page.js");
        std::fs::write(&file, self.mapped(script)).expect("the script is written");
        let mut node = Command::new("node")
            .arg("--experimental-websocket")
            .arg(&file)
            .env("NODE_NO_WARNINGS", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("node starts");
        let lines = lines_of(node.stdout.take().expect("stdout is piped"));
        let mut shown = String::new();
        for (batch, expected) in [
            ("[]", "[{id:1,status:'processing'}]"),
            (
                r#"[{"op":"upsert","set":"orders","node":{"id":2,"status":"processing"}}]"#,
                "[{id:1,status:'processing'},{id:2,status:'processing'}]",
            ),
            (
                r#"[{"op":"upsert","set":"orders","node":{"id":1,"status":"done"}}]"#,
                "[{id:2,status:'processing'}]",
            ),
        ] {
            if batch != "[]" {
                commit(server, "s3cret", batch).await;
            }
            let deadline = Instant::now() + PATIENCE;
            while !shown.ends_with(expected) {
                match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok(line) => shown.extend(line.chars().filter(|c| !c.is_whitespace())),
                    Err(_) => panic!(
                        "{at}: the page should show {expected} after {batch}: {shown}\n{}",
                        killed(node)
                    ),
                }
            }
        }
        let complaint = killed(node);
        assert!(complaint.is_empty(), "{at}: the page complains: {complaint}");
    }
}

/// A block between fences.
#[derive(Debug)]
struct Block {
    /// Where its first line stands.
    line: usize,
    language: String,
    text: String,
}

impl Block {
    fn first(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }
}

fn blocks(page: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(language), None) => {
                open = Some(Block { line: index + 2, language: language.to_owned(), text: String::new() });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page} ends inside of a block");
    blocks
}

/// The commands of a block with their lines: what goes on behind a `\` is one, and comments are none.
fn commands(block: &Block) -> Vec<(usize, String)> {
    let mut commands: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (index, line) in block.text.lines().enumerate() {
        let line = line.split("  #").next().unwrap_or_default().trim();
        let (line, continues) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        match commands.last_mut().filter(|_| goes_on) {
            Some((_, command)) => command.push_str(line),
            None if !line.is_empty() => commands.push((block.line + index, line.to_owned())),
            None => {}
        }
        goes_on = continues;
    }
    commands
}

/// The text below a heading, up to the next of its rank.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    let (_, rest) =
        page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("the page has no {heading:?}"));
    rest.split("\n## ").next().unwrap_or_default()
}

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The block is one section, which can be read.
fn reads<T: serde::de::DeserializeOwned + std::fmt::Debug>(at: &str, text: &str, name: &str) {
    let mut section: toml::Table = text.parse().unwrap_or_else(|error| panic!("{at}: {error}"));
    let read = section.remove(name).expect("a section").try_into::<T>();
    assert!(read.is_ok() && section.is_empty(), "{at}: {read:?}");
}

/// The packages are there under these names, with these features and versions.
fn dependencies(at: &str, text: &str) {
    let block: toml::Table = text.parse().unwrap_or_else(|error| panic!("{at}: {error}"));
    let workspace: toml::Table = read("Cargo.toml").parse().expect("the workspace");
    for (name, wanted) in block.values().filter_map(toml::Value::as_table).flatten() {
        let features = wanted.get("features").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        let features: Vec<_> = features.iter().filter_map(toml::Value::as_str).collect();
        if let Some(path) = wanted.get("path").and_then(toml::Value::as_str) {
            let folder = path
                .strip_prefix("../liveset/")
                .unwrap_or_else(|| panic!("{at}: {path} is not beside the reader's"));
            let manifest: toml::Table = read(&format!("{folder}/Cargo.toml")).parse().expect("a manifest");
            assert_eq!(
                manifest["package"]["name"].as_str(),
                Some(name.as_str()),
                "{at}: what is in {folder}"
            );
            for feature in features {
                assert!(manifest["features"].get(feature).is_some(), "{at}: {name} has no feature {feature}");
            }
            continue;
        }
        let version = wanted
            .as_str()
            .or_else(|| wanted.get("version")?.as_str())
            .unwrap_or_else(|| panic!("{at}: {name} has no version"));
        let ours = &workspace["workspace"]["dependencies"][name];
        let ours = ours.as_str().or_else(|| ours.get("version")?.as_str()).expect("a version");
        assert!(ours.starts_with(version), "{at}: {name} {version}, but Liveset uses {ours}");
    }
}

/// `cargo install --path FOLDER [--features …]`: the folder has the binary and the features.
fn installs(at: &str, text: &str) {
    let words: Vec<_> = text.split(' ').collect();
    let after =
        |flag: &str| words.iter().position(|word| *word == flag).and_then(|place| words.get(place + 1));
    let folder = after("--path").expect("a path");
    let manifest: toml::Table = read(&format!("{folder}/Cargo.toml")).parse().expect("a manifest");
    assert_eq!(manifest["bin"][0]["name"].as_str(), Some("liveset"), "{at}: {folder}");
    for feature in after("--features").iter().flat_map(|features| features.split(',')) {
        assert!(manifest["features"].get(feature).is_some(), "{at}: {folder} has no feature {feature}");
    }
}

async fn ask(server: &Server, filter: &str) -> (u16, Value) {
    ask_for(server, json!({ "edge": "orders", "filter": filter }).to_string()).await
}

async fn ask_for(server: &Server, body: String) -> (u16, Value) {
    let mut http = Http::connect(&server.address).await;
    let answer =
        http.request("POST", "/query", &[("authorization", "Bearer change-me")], body.as_bytes()).await;
    (answer.status, answer.json())
}

async fn commit(server: &Server, token: &str, batch: &str) {
    let mut http = Http::connect(&server.address).await;
    let token = format!("Bearer {token}");
    let answer = http.request("POST", "/batch", &[("authorization", &token)], batch.as_bytes()).await;
    assert_eq!(answer.status, 200, "{batch}: {}", answer.text());
}

/// Ends a process; gives what it had to complain about.
fn killed(mut child: Child) -> String {
    let _ = child.kill();
    let mut complaint = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut complaint);
    }
    let _ = child.wait();
    complaint
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All pages: those of [`PAGES`] and those of the guide.
fn pages() -> Vec<String> {
    let guide = std::fs::read_dir(root().join(GUIDE)).expect("the guide");
    let names = guide.map(|entry| entry.expect("a page").file_name().into_string().expect("a name in UTF-8"));
    let mut pages: Vec<_> = names.map(|name| format!("{GUIDE}/{name}")).collect();
    pages.sort();
    PAGES.iter().map(|page| (*page).to_owned()).chain(pages).collect()
}

/// A heading as a link names it.
fn slug(line: &str) -> Option<String> {
    let heading = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#'))?;
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    Some(kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect())
}

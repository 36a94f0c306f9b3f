//! Runs `liveset serve` for a test, and talks to it over HTTP and WebSocket with libraries that are not ours.
#![allow(unreachable_pub, reason = "a test has no outside")]

pub mod clients;
pub mod demo;
pub mod follower;
pub mod http;
pub mod metrics;
pub mod raw;
pub mod ws;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Tokens that [`Server::start`] adds to every configuration that has none.
pub const TOKEN: &str = "writer-token";
pub const READER: &str = "reader-token";

/// Part of a configuration: SIGTERM closes all connections at once, as SIGINT does.
pub const NO_DRAIN: &str = "[limits.drain]\nwait = \"0s\"\nspread = \"0s\"\n";

/// How long anything may take on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running server, killed when dropped.
pub struct Server {
    child: Child,
    /// `127.0.0.1:port`.
    pub address: String,
    pub folder: TempDir,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts with this configuration, to which the tokens are added.
    pub fn start(config: &str) -> Server {
        Server::start_with(config, &[], &[])
    }

    /// The same, with files (name and content) beside the configuration, and more arguments.
    pub fn start_with(config: &str, files: &[(&str, &[u8])], more: &[&str]) -> Server {
        Server::start_as(liveset(&["serve", "--config"]), config, files, more)
    }

    /// The same, by a command that ends where the name of the configuration's file belongs.
    pub fn start_as(mut command: Command, config: &str, files: &[(&str, &[u8])], more: &[&str]) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).expect("the file is written");
        }
        let config = match config.contains("[auth]") {
            true => config.to_owned(),
            false => format!(
                "{config}\n[auth]\ntokens = [{{ token = \"{TOKEN}\", subject = \"writer\" }}, \
                 {{ token = \"{READER}\", subject = \"reader\", read_only = true }}]\n"
            ),
        };
        let file = folder.path().join("liveset.toml");
        std::fs::write(&file, config).expect("the configuration is written");
        let listen: &[&str] = if more.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        command.arg(&file).args(listen).args(more);
        Server::run(command, folder)
    }

    /// Runs a command that serves, and says where in a line of its own.
    pub fn run(mut command: Command, folder: TempDir) -> Server {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("stderr is piped");
        thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    log.lock().expect("the log").push_str(&format!("{line}\n"));
                }
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let listening = stdout.by_ref().map_while(Result::ok).find_map(|line| {
            let address = line.trim().strip_prefix("listening on http")?;
            Some(address.trim_start_matches('s').trim_start_matches("://").to_owned())
        });
        let Some(address) = listening else {
            let _ = child.wait();
            thread::sleep(Duration::from_millis(200));
            panic!("the server did not start: {}", log.lock().expect("the log"));
        };
        // What it still says must not fill the pipe.
        thread::spawn(move || for _ in stdout {});
        Server { child, address, folder, log }
    }

    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("liveset.toml")
    }

    /// What was logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("the log").clone()
    }

    /// Waits until the log has this text.
    pub fn wait_for_log(&self, text: &str) {
        self.wait_for_log_after(0, text);
    }

    /// Waits until the log has this text after its first bytes.
    pub fn wait_for_log_after(&self, bytes: usize, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log()[bytes..].contains(text) {
            assert!(Instant::now() < deadline, "the log never said {text:?}:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// From now on the process may have no more than so many files and sockets open: less than it has fitted its caps to.
    #[cfg(target_os = "linux")]
    pub fn limit_files(&self, files: u64) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let pid = Pid::from_raw(self.child.id().try_into().expect("a process"));
        let limit = Rlimit { current: Some(files), maximum: Some(files) };
        prlimit(pid, Resource::Nofile, limit).expect("the limit is lowered");
    }

    /// Sends a signal by its name, as `HUP`.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the process can be waited for").is_some()
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the server's log ---\n{}", self.log());
        }
    }
}

/// Sends a signal to a process that this test started.
pub fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{name} {process}");
}

/// Waits for the end of a process, with patience.
pub fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("the process can be waited for") {
            return status;
        }
        assert!(Instant::now() < deadline, "the process does not end");
        thread::sleep(Duration::from_millis(10));
    }
}

/// `liveset serve --config`, which may have no more than so many files and sockets open.
pub fn serve_within(descriptors: u32) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"")]);
    command.args([env!("CARGO_BIN_EXE_liveset"), "serve", "--config"]);
    command
}

/// The binary with these arguments, and nothing of our own environment that would configure it.
pub fn liveset(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liveset"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LIVESET_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs the binary to its end: whether it succeeded, standard output, standard error.
pub fn run(args: &[&str]) -> (bool, String, String) {
    run_with(liveset(args))
}

/// The same, of a command that was prepared further.
pub fn run_with(mut command: Command) -> (bool, String, String) {
    let output = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// `../shared/data` beside the repository, or where `LIVESET_DATA` says. Where it is missing, CI fails and
/// others are told.
pub fn real_data(name: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("LIVESET_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let file = folder.join(name);
    if file.is_file() {
        return Some(file);
    }
    let missing = format!("{} is not there (LIVESET_DATA may say where)", file.display());
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    eprintln!("skipped: {missing}");
    None
}

//! A process that commits until it is stopped, and says on its output what it was told.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use liveset_store::{AppendError, Commit, Durability, Store, Write, Writer};

use crate::support::{Rows, apply, clear, put, read, remove};

/// The task of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    /// How often the file is opened, and whether it is closed each time.
    pub(crate) openings: u32,
    pub(crate) commits: u64,
    pub(crate) row_bytes: usize,
    pub(crate) durability: Durability,
}

/// The writes of the commit at a position, whoever asks.
pub(crate) fn writes_of(position: u64, row_bytes: usize) -> Vec<Write> {
    let mut random = fastrand::Rng::with_seed(position);
    let value = |random: &mut fastrand::Rng| format!("{position}:{}", "v".repeat(random.usize(..=row_bytes)));
    let mut writes = Vec::new();
    for _ in 0..random.u32(1..5) {
        let set = ["orders", "customers"][random.usize(..2)];
        writes.push(match random.u32(..30) {
            0 => clear(set),
            1..8 => remove(set, random.u32(..30)),
            _ => put(set, random.u32(..30), value(&mut random)),
        });
    }
    writes
}

/// Brings the rows of one position to another.
pub(crate) fn move_on(rows: &mut Rows, from: u64, to: u64, row_bytes: usize) {
    for position in from + 1..=to {
        apply(rows, &writes_of(position, row_bytes));
    }
}

/// Starts this program again, with a task for one of the tests below; `before` is what runs it.
pub(crate) fn start(before: &[&str], work: &str, path: &Path, task: Task) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut command = match before {
        [] => Command::new(&program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(&program);
            command
        }
    };
    let Task { openings, commits, row_bytes, durability } = task;
    command
        .args(["--exact", &format!("worker::{work}"), "--ignored", "--nocapture", "--test-threads=1"])
        .env("LIVESET_STORE_WORKER", path)
        .env("LIVESET_STORE_TASK", format!("{openings} {commits} {row_bytes} {durability}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process")
}

/// The highest number that a process has told after a word, once it has ended.
pub(crate) fn told(child: &mut Child, word: &str) -> u64 {
    let output = BufReader::new(child.stdout.take().expect("its output"));
    // The last line may be half a line.
    let lines = output.split(b'\n').map_while(Result::ok).filter_map(|line| String::from_utf8(line).ok());
    lines.filter_map(|line| line.strip_prefix(word)?.strip_suffix('.')?.parse().ok()).max().unwrap_or(0)
}

pub(crate) const COMMITS: &str = "commits_in_a_process_of_its_own";
pub(crate) const COMMITS_AND_STOPS: &str = "commits_and_stops_when_nothing_more_is_to_come";

#[test]
#[ignore = "other tests start it as a process"]
fn commits_in_a_process_of_its_own() {
    let Some((path, task)) = task() else { return };
    for opening in 0..task.openings {
        let (store, _) = read(Store::open(&path, task.durability).unwrap()).unwrap();
        let commits = commits(&store, task);
        match task.durability {
            Durability::Always => {
                through_a_writer(store, commits).close().unwrap();
            }
            Durability::Every(_) => with_syncs_of_its_own(store, commits, opening % 2 == 0),
        }
    }
}

#[test]
#[ignore = "other tests start it as a process"]
fn commits_and_stops_when_nothing_more_is_to_come() {
    let Some((path, task)) = task() else { return };
    let (store, _) = read(Store::open(&path, task.durability).unwrap()).unwrap();
    let commits = commits(&store, task);
    let _writer = through_a_writer(store, commits);
    std::thread::sleep(Duration::from_secs(1));
    std::process::exit(0);
}

fn task() -> Option<(OsString, Task)> {
    let path = std::env::var_os("LIVESET_STORE_WORKER")?;
    let task = std::env::var("LIVESET_STORE_TASK").expect("a task");
    let [openings, commits, row_bytes, durability] = task.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{task}")
    };
    let task = Task {
        openings: openings.parse().expect("a number"),
        commits: commits.parse().expect("a number"),
        row_bytes: row_bytes.parse().expect("a size"),
        durability: durability.parse().expect("a durability"),
    };
    Some((path, task))
}

fn commits(store: &Store, task: Task) -> impl Iterator<Item = Commit> + use<> {
    let first = store.position();
    (first..first.saturating_add(task.commits)).map(move |follows| Commit {
        follows,
        position: follows + 1,
        writes: writes_of(follows + 1, task.row_bytes),
    })
}

/// At most [`TOGETHER`] commits wait for what they are told.
fn through_a_writer(store: Store, commits: impl Iterator<Item = Commit>) -> Writer {
    let writer = Writer::start(store).unwrap();
    let (sender, told) = std::sync::mpsc::sync_channel(TOGETHER);
    let told = Arc::new(Mutex::new(told));
    for commit in commits {
        sender.send(()).unwrap();
        let (position, told) = (commit.position, told.clone());
        let tell_and_go_on = move |written: Result<(), AppendError>| {
            written.unwrap();
            tell("committed ", position);
            told.lock().unwrap().recv().unwrap();
        };
        writer.submit(commit, tell_and_go_on).unwrap();
    }
    writer
}

fn with_syncs_of_its_own(mut store: Store, commits: impl Iterator<Item = Commit>, closes: bool) {
    for commit in commits {
        store.append(&[commit]).unwrap();
        tell("committed ", store.position());
        if store.position().is_multiple_of(5) {
            store.sync().unwrap();
            tell("safe ", store.position());
        }
    }
    if closes {
        store.close().unwrap();
    }
}

/// In one write, which is on its way when it returns.
fn tell(word: &str, position: u64) {
    std::io::stdout().write_all(format!("{word}{position}.\n").as_bytes()).unwrap();
}

/// How many commits wait together.
pub(crate) const TOGETHER: usize = 3;

/// What a durability loses at most, for a test that has no clock.
pub(crate) const EVERY: Durability = Durability::Every(Duration::from_millis(100));

//! Machines that stop: what was not synced is gone.
//!
//! A process works under `strace`, which writes down every call that changes a file, with its bytes, and every line that the process
//! tells. From that follows what a disk may hold after each of those calls: what was synced for certain, and of the rest anything.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use liveset_store::Durability;

use crate::support::{Folder, Rows, goes_on, open};
use crate::worker::{COMMITS, COMMITS_AND_STOPS, EVERY, Task, move_on, start};

/// One call that matters.
#[derive(Debug)]
enum Call {
    Create(String),
    Write { name: String, at: usize, bytes: Vec<u8> },
    Truncate { name: String, bytes: usize },
    Sync(String),
    SyncFolder,
    Remove(String),
    Rename(String, String),
    Told(String),
}

/// A file: what is safe, and what was done to it since.
#[derive(Clone, Default)]
struct File {
    safe: Vec<u8>,
    since: Vec<(usize, Option<Vec<u8>>)>,
}

impl File {
    /// The safe content with some of what was done since.
    fn with(&self, mut keeps: impl FnMut() -> bool) -> Vec<u8> {
        let mut content = self.safe.clone();
        for (at, bytes) in self.since.iter().filter(|_| keeps()) {
            match bytes {
                Some(bytes) => {
                    content.resize(content.len().max(at + bytes.len()), 0);
                    content[*at..at + bytes.len()].copy_from_slice(bytes);
                }
                None => content.resize(*at, 0),
            }
        }
        content
    }
}

/// Files by number, and their names: those that are safe, and those of now.
#[derive(Default)]
struct Disk {
    files: Vec<File>,
    safe: BTreeMap<String, usize>,
    names: BTreeMap<String, usize>,
}

impl Disk {
    fn file(&mut self, name: &str) -> &mut File {
        let number = *self.names.get(name).unwrap_or_else(|| panic!("{name} is there"));
        &mut self.files[number]
    }

    fn take(&mut self, call: &Call) {
        match call {
            Call::Create(name) if self.names.contains_key(name) => {}
            Call::Create(name) => {
                self.names.insert(name.clone(), self.files.len());
                self.files.push(File::default());
            }
            Call::Write { name, at, bytes } => self.file(name).since.push((*at, Some(bytes.clone()))),
            Call::Truncate { name, bytes } => self.file(name).since.push((*bytes, None)),
            Call::Sync(name) => {
                let file = self.file(name);
                file.safe = file.with(|| true);
                file.since.clear();
            }
            Call::SyncFolder => self.safe = self.names.clone(),
            Call::Remove(name) => drop(self.names.remove(name)),
            Call::Rename(from, to) => {
                let number = self.names.remove(from).expect("what is renamed is there");
                self.names.insert(to.clone(), number);
            }
            Call::Told(_) => {}
        }
    }

    /// What may be left: names and contents.
    fn left(
        &self,
        names: &BTreeMap<String, usize>,
        mut keeps: impl FnMut() -> bool,
    ) -> Vec<(String, Vec<u8>)> {
        names.iter().map(|(name, number)| (name.clone(), self.files[*number].with(&mut keeps))).collect()
    }
}

/// Reads a line of `strace -f -y -xx`.
fn read(line: &str, folder: &str) -> Option<Call> {
    let (_, line) = line.split_once(' ')?;
    let line = line.trim_start();
    assert!(!line.contains("<unfinished") && !line.contains("resumed>"), "one thread at a time: {line}");
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let arguments: Vec<&str> = arguments.split(", ").collect();
    let text = |quoted: &str| unescaped(quoted.trim_matches('"'));
    let path = |bytes: Vec<u8>| -> Option<String> {
        let path = String::from_utf8(bytes).ok()?;
        let name = path.strip_prefix(folder)?;
        let name = name.strip_prefix('/').unwrap_or(name);
        (!name.ends_with("-shm") && !name.ends_with(".lock")).then(|| name.to_owned())
    };
    // A number of a file with its path, as `-y` shows it.
    let of_number = |shown: &str| path(unescaped(shown.split_once('<')?.1.strip_suffix('>')?));
    Some(match name {
        "openat" if arguments.get(2)?.contains("O_CREAT") => Call::Create(path(text(arguments[1]))?),
        "write" if arguments[0].starts_with("1<") => Call::Told(String::from_utf8(text(arguments[1])).ok()?),
        "pwrite64" => {
            let (bytes, at) = (text(arguments[1]), arguments[3].parse().expect("a place"));
            assert_eq!(bytes.len(), result.parse::<usize>().expect("a count"), "all bytes are shown");
            Call::Write { name: of_number(arguments[0])?, at, bytes }
        }
        "ftruncate" => {
            Call::Truncate { name: of_number(arguments[0])?, bytes: arguments[1].parse().expect("a size") }
        }
        "fsync" | "fdatasync" => match of_number(arguments[0])? {
            name if name.is_empty() => Call::SyncFolder,
            name => Call::Sync(name),
        },
        "unlink" => Call::Remove(path(text(arguments[0]))?),
        "rename" => Call::Rename(path(text(arguments[0]))?, path(text(arguments[1]))?),
        "write" | "writev" | "pwritev" | "fallocate" | "sync_file_range" => {
            assert!(of_number(arguments[0]).is_none(), "a call that the test does not know: {line}");
            return None;
        }
        _ => return None,
    })
}

fn unescaped(shown: &str) -> Vec<u8> {
    let digits = shown.split("\\x").skip(1);
    digits.map(|byte| u8::from_str_radix(&byte[..2], 16).expect("two digits")).collect()
}

/// The calls of a process that works at `worker/sets.db`.
fn calls_of(folder: &Folder, work: &str, task: Task) -> Option<Vec<Call>> {
    if !goes_on("strace", Command::new("strace").arg("-V").output().is_ok()) {
        return None;
    }
    let trace = folder.file("trace");
    fs::create_dir(folder.file("worker")).unwrap();
    let path = folder.file("worker/sets.db");
    let calls = "trace=openat,write,writev,pwrite64,pwritev,ftruncate,fallocate,sync_file_range,fsync,fdatasync,unlink,rename";
    let before = ["strace", "-f", "-y", "-xx", "-s", "70000", "-e", calls, "-o", trace.to_str().unwrap()];
    let output = start(&before, work, &path, task).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let of_worker = folder.file("worker").canonicalize().unwrap();
    let trace = fs::read_to_string(trace).unwrap();
    Some(trace.lines().filter_map(|line| read(line, of_worker.to_str().unwrap())).collect())
}

/// Lets a process work, and looks at what is left of its files when the machine stops after any of its calls (of `step`).
fn a_machine_that_stops(task: Task, safe_word: &str, step: usize) {
    let folder = Folder::in_memory();
    let Some(calls) = calls_of(&folder, COMMITS, task) else { return };
    let mut random = fastrand::Rng::with_seed(13);
    let (mut disk, mut safe, mut committed, mut images, mut lost) = (Disk::default(), 0, 0, 0, 0);
    let mut states = BTreeMap::from([(0, Rows::new())]);
    for (number, call) in calls.iter().enumerate() {
        disk.take(call);
        if let Call::Told(line) = call {
            let told =
                |word: &str| line.trim_start().strip_prefix(word)?.trim_end().strip_suffix('.')?.parse().ok();
            safe = told(safe_word).unwrap_or(safe);
            committed = told("committed ").unwrap_or(committed);
        }
        if number % step != 0 && !matches!(call, Call::Truncate { .. } | Call::Remove(_) | Call::Rename(..)) {
            continue;
        }
        for harsh in [true, false] {
            let left = match harsh {
                true => disk.left(&disk.safe, || false),
                false => {
                    let names = if random.bool() { &disk.names } else { &disk.safe };
                    disk.left(names, || random.bool())
                }
            };
            let image = folder.file("image");
            let _ = fs::remove_dir_all(&image);
            fs::create_dir(&image).unwrap();
            for (name, content) in left {
                fs::write(image.join(name), content).unwrap();
            }
            let what = format!("after call {number}, {}", if harsh { "nothing kept" } else { "some kept" });
            let (store, rows) =
                open(&image.join("sets.db")).unwrap_or_else(|error| panic!("{what}: {error}"));
            let position = store.position();
            assert!(position >= safe, "{what}: {position} of {safe}");
            if !states.contains_key(&position) {
                let (from, known) = states.range(..position).next_back().expect("the first");
                let mut rows = known.clone();
                move_on(&mut rows, *from, position, task.row_bytes);
                states.insert(position, rows);
            }
            assert_eq!(rows, states[&position], "{what}");
            images += 1;
            lost += committed - position.min(committed);
        }
    }
    assert!(safe > 0, "{safe_word}was told");
    if task.durability == Durability::Always {
        let syncs =
            calls.iter().filter(|call| matches!(call, Call::Sync(name) if name.ends_with("-wal"))).count();
        assert!((syncs as u64) < committed, "{syncs} syncs for {committed} commits that waited together");
    }
    println!("{} calls, {images} images, {committed} commits, {lost} lost that were not safe", calls.len());
}

#[test]
fn commits_that_were_acknowledged_outlive_what_was_not_synced() {
    let task = Task { openings: 4, commits: 12, row_bytes: 900, durability: Durability::Always };
    a_machine_that_stops(task, "committed ", 1);
}

#[test]
fn commits_outlive_it_while_a_long_log_is_copied() {
    let task = Task { openings: 1, commits: 24, row_bytes: 500_000, durability: Durability::Always };
    a_machine_that_stops(task, "committed ", 1_499);
}

#[test]
fn delayed_commits_outlive_it_from_their_sync_on() {
    let task = Task { openings: 4, commits: 12, row_bytes: 900, durability: EVERY };
    a_machine_that_stops(task, "safe ", 1);
}

#[test]
fn a_sync_follows_a_delayed_commit_though_no_other_comes() {
    let folder = Folder::new();
    let task = Task { openings: 1, commits: 7, row_bytes: 900, durability: EVERY };
    let Some(calls) = calls_of(&folder, COMMITS_AND_STOPS, task) else { return };
    let last =
        calls.iter().rposition(|call| matches!(call, Call::Told(line) if line.contains("committed 7.")));
    let after = &calls[last.expect("all commits were told")..];
    assert!(after.iter().any(|call| matches!(call, Call::Sync(name) if name == "sets.db-wal")), "{after:?}");
    let writes = |calls: &[Call]| calls.iter().filter(|call| matches!(call, Call::Write { .. })).count();
    assert_eq!(writes(after), 0, "the process was stopped, not closed");
}

//! Files that were cut, or of which bits were flipped: what is opened is what was written, and nothing else.

use std::fs;
use std::path::Path;

use liveset_store::{Durability, OpenError, Store};

use crate::support::{Folder, Rows, append, apply, open, put, read, remove};

/// Every state that a file went through, by position.
fn fill(store: &mut Store, commits: u64) -> Vec<Rows> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut states = vec![Rows::new()];
    for _ in 0..commits {
        let mut writes: Vec<_> = (0..random.u32(1..6))
            .map(|_| put("orders", random.u32(..90), "v".repeat(random.usize(1..600))))
            .collect();
        writes.push(remove("orders", random.u32(..90)));
        let mut rows = states.last().cloned().unwrap_or_default();
        apply(&mut rows, &writes);
        append(store, writes).unwrap();
        states.push(rows);
    }
    states
}

/// A copy of a file and its log, with a change to one of them.
struct Copy<'a> {
    folder: &'a Folder,
    file: Vec<u8>,
    log: Vec<u8>,
}

impl Copy<'_> {
    fn open(&self, file: &[u8], log: &[u8]) -> Result<(bool, Store, Rows), OpenError> {
        let path = self.folder.file("copy.db");
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let _ = fs::remove_file(self.folder.file(&format!("copy.db{suffix}")));
        }
        fs::write(&path, file).unwrap();
        if !log.is_empty() {
            fs::write(self.folder.file("copy.db-wal"), log).unwrap();
        }
        let loading = Store::open(&path, Durability::Always)?;
        let was_cut = loading.was_cut();
        let (store, rows) = read(loading)?;
        Ok((was_cut, store, rows))
    }
}

fn copy<'a>(folder: &'a Folder, path: &Path) -> Copy<'a> {
    let log = fs::read(format!("{}-wal", path.display())).unwrap_or_default();
    Copy { folder, file: fs::read(path).unwrap(), log }
}

/// Whether it was refused. Otherwise it has to be whole, and to stay so.
fn is_refused(
    opened: Result<(bool, Store, Rows), OpenError>,
    folder: &Folder,
    whole: &Rows,
    what: &str,
) -> bool {
    match opened {
        Err(error @ (OpenError::Damaged { .. } | OpenError::Newer { .. })) => {
            let text = error.to_string();
            assert!(text.contains("`liveset backup`") || text.contains("use a newer one"), "{what}: {text}");
            true
        }
        Err(other) => panic!("{what}: {other}"),
        Ok((_, mut store, rows)) => {
            assert_eq!(rows, *whole, "{what}");
            let mut expected = whole.clone();
            let writes =
                vec![put("orders", 7, "w".repeat(9_000)), put("customers", 1, "{}"), remove("orders", 3)];
            apply(&mut expected, &writes);
            append(&mut store, writes).unwrap_or_else(|error| panic!("{what}: {error}"));
            store.close().unwrap();
            let (_, rows) = open(&folder.file("copy.db")).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(rows, expected, "{what}, and written to");
            false
        }
    }
}

#[test]
fn a_file_that_was_cut_at_any_kilobyte_is_refused_or_whole() {
    let folder = Folder::in_memory();
    let path = folder.file("sets.db");
    let (mut store, _) = open(&path).unwrap();
    let states = fill(&mut store, 60);
    store.close().unwrap();
    let copy = copy(&folder, &path);
    assert!(copy.log.is_empty() && copy.file.len() > 30_000, "{} bytes", copy.file.len());
    let mut refused = 0;
    for end in (0..copy.file.len()).step_by(1_024) {
        let opened = copy.open(&copy.file[..end], &[]);
        refused += usize::from(is_refused(opened, &folder, &states[60], &format!("cut at {end}")));
    }
    assert_eq!(refused, copy.file.len() / 1_024, "all pages of a new file are in use");
    assert!(!is_refused(copy.open(&copy.file, &[]), &folder, &states[60], "not cut"));
}

#[test]
fn a_file_with_flipped_bits_is_refused_or_whole() {
    let folder = Folder::in_memory();
    let path = folder.file("sets.db");
    let (mut store, _) = open(&path).unwrap();
    let mut states = fill(&mut store, 60);
    // Some free pages too.
    let writes: Vec<_> = (0..45).map(|id| remove("orders", id)).collect();
    apply(&mut states[60], &writes);
    append(&mut store, writes).unwrap();
    store.close().unwrap();
    let copy = copy(&folder, &path);
    let mut random = fastrand::Rng::with_seed(5);
    let in_header = (0..100).map(|byte| (byte, 1_u8 << random.u32(..8)));
    let heads_of_pages =
        (0..copy.file.len()).step_by(4_096).flat_map(|page| (page..page + 16).map(|byte| (byte, 2)));
    let mut flips: Vec<(usize, u8)> = in_header.chain(heads_of_pages).collect();
    flips.extend((0..flips_of_this_run()).map(|_| (random.usize(..copy.file.len()), 1 << random.u32(..8))));
    let mut refused = 0;
    for &(byte, bits) in &flips {
        let mut file = copy.file.clone();
        file[byte] ^= bits;
        refused += usize::from(is_refused(
            copy.open(&file, &[]),
            &folder,
            &states[60],
            &format!("byte {byte} ^ {bits}"),
        ));
    }
    assert!(refused > 200, "{refused} of {} were refused", flips.len());
}

fn flips_of_this_run() -> usize {
    std::env::var("LIVESET_FLIPS").map_or(300, |count| count.parse().expect("a number"))
}

/// A store that was left with a log: that of commits 11 to 40.
fn left_with_a_log(folder: &Folder) -> (Copy<'_>, Vec<Rows>) {
    let path = folder.file("sets.db");
    let (mut store, _) = open(&path).unwrap();
    let mut states = fill(&mut store, 10);
    store.close().unwrap();
    let (mut store, rows) = open(&path).unwrap();
    assert_eq!(rows, states[10]);
    for commit in 0..30 {
        let writes = vec![put("orders", commit, "u".repeat(300)), remove("orders", commit + 1)];
        let mut rows = states.last().cloned().unwrap();
        apply(&mut rows, &writes);
        append(&mut store, writes).unwrap();
        states.push(rows);
    }
    let copy = copy(folder, &path);
    assert!(copy.log.len() > 30 * 4_096, "{} bytes", copy.log.len());
    (copy, states)
}

#[test]
fn a_log_that_was_cut_ends_at_a_whole_commit_and_says_at_which() {
    let folder = Folder::in_memory();
    let (copy, states) = left_with_a_log(&folder);
    let mut ends = Vec::new();
    for end in (0..copy.log.len()).step_by(1_024).chain([copy.log.len()]) {
        let (was_cut, store, rows) = copy.open(&copy.file, &copy.log[..end]).unwrap();
        let position = store.position();
        assert_eq!(rows, states[position as usize], "cut at {end}");
        ends.push((position, was_cut));
    }
    assert!(ends.is_sorted_by_key(|(position, _)| position));
    assert_eq!((ends.first(), ends.last()), (Some(&(10, false)), Some(&(40, false))));
    let mut positions: Vec<u64> = ends.iter().map(|(position, _)| *position).collect();
    positions.dedup();
    assert_eq!(positions, (10..=40).collect::<Vec<u64>>());
    let cut = ends.iter().filter(|(_, was_cut)| *was_cut).count();
    assert!(cut * 10 > ends.len() * 9, "{cut} of {} were within a commit", ends.len());
}

#[test]
fn a_log_with_flipped_bits_ends_at_a_whole_commit_and_begins_another_history() {
    let folder = Folder::in_memory();
    let (copy, states) = left_with_a_log(&folder);
    let (_, store, _) = copy.open(&copy.file, &copy.log).unwrap();
    let identity = store.identity().to_owned();
    drop(store);
    let mut random = fastrand::Rng::with_seed(11);
    let flips = (0..64).map(|byte| (byte, 1 << random.u32(..8))).collect::<Vec<_>>().into_iter();
    let flips = flips.chain((0..200).map(|_| (random.usize(..copy.log.len()), 1 << random.u32(..8))));
    let mut cut_short = 0;
    for (byte, bits) in flips.collect::<Vec<(usize, u8)>>() {
        let mut log = copy.log.clone();
        log[byte] ^= bits;
        let (was_cut, store, rows) = copy.open(&copy.file, &log).unwrap();
        let position = store.position();
        assert_eq!(rows, states[position as usize], "byte {byte} ^ {bits}");
        assert_eq!(was_cut, position < 40, "byte {byte} ^ {bits}");
        // The positions behind it will be used again.
        assert_eq!(store.identity() == identity, position == 40, "byte {byte} ^ {bits}");
        cut_short += usize::from(position < 40);
    }
    assert!(cut_short > 200, "{cut_short} logs ended early");
}

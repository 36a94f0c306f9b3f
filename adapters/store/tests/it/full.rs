//! Disks without room.

use std::fs;
use std::path::Path;
use std::process::Command;

use liveset_store::{AppendError, BackupError, Durability, OpenError, Store, backup};

use crate::support::{Folder, Rows, append, apply, goes_on, open, put, read, remove};

/// A small disk in memory.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(at: &'a Path, megabytes: u32) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }

    /// Leaves about this much room.
    fn fill(&self, all_but: usize) {
        let mut bytes = vec![0; 64 << 20];
        let _ = fs::write(self.0.join("filler"), &bytes);
        let filled = fs::metadata(self.0.join("filler")).unwrap().len() as usize;
        bytes.truncate(filled.saturating_sub(all_but));
        fs::write(self.0.join("filler"), bytes).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

fn commits_are_refused_without_room_and_taken_with_it(durability: Durability) {
    let folder = Folder::new();
    let at = folder.file("disk");
    let disk = Disk::mount(&at, 24);
    if !goes_on("root, to mount a small disk", disk.is_some()) {
        return;
    }
    let Some(disk) = disk else { return };
    let path = at.join("sets.db");
    let (mut store, _) = read(Store::open(&path, durability).unwrap()).unwrap();
    let mut expected = Rows::new();
    let mut refused = 0;
    for round in 0..6 {
        disk.fill([300_000, 90_000, 0][round % 3]);
        for id in 0..40 {
            let writes = [put("a", id, format!("{round}{}", "x".repeat(30_000))), remove("a", id + 1)];
            match append(&mut store, writes.clone()) {
                Ok(()) => apply(&mut expected, &writes),
                Err(AppendError::NoRoom) => refused += 1,
                Err(other) => panic!("round {round}: {other}"),
            }
        }
        store.sync().unwrap();
        let refused = backup(&path, at.join("copy.db")).unwrap_err();
        assert!(matches!(refused, BackupError::Unwritten { .. }), "{refused}");
        assert!(!at.join("copy.db").exists() && !at.join("copy.db.part").exists());
        disk.empty();
        let writes = [put("b", round, "y".repeat(20_000))];
        append(&mut store, writes.clone()).unwrap();
        apply(&mut expected, &writes);
    }
    assert!(refused > 60, "{refused} were refused");
    disk.fill(0);
    drop(store);
    // The rows are there, and whoever opens the file without room is told why it cannot be.
    match open(&path) {
        Ok((_, rows)) => assert_eq!(rows, expected),
        Err(error) => assert_eq!(error, OpenError::NoRoom { path: path.canonicalize().unwrap() }),
    }
    disk.empty();
    assert_eq!(open(&path).unwrap().1, expected);
}

#[test]
fn commits_are_refused_without_room_and_taken_with_it_always() {
    commits_are_refused_without_room_and_taken_with_it(Durability::Always);
}

#[test]
fn commits_are_refused_without_room_and_taken_with_it_delayed() {
    commits_are_refused_without_room_and_taken_with_it(crate::worker::EVERY);
}

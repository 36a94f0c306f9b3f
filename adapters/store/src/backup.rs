//! Copies, made while the store is in use.

use std::fs::{self, File};
use std::path::Path;

use crate::error::{BackupError, OpenError};
use crate::files::{beside, sync_folder_of};
use crate::format::{self, FORMAT, Head};
use crate::loading::{Opened, connect};

/// A copy that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// The position of the newest commit in it.
    pub position: u64,
    /// How many rows it has.
    pub rows: u64,
}

/// Copies a store as it is at one moment into a new file, whether or not a Liveset has it open, and reads the copy whole. Commits go on
/// meanwhile; the log of the store grows until the copy is made.
///
/// The copy has an identity of its own: what is committed after it was restored is another history than what was committed after it was
/// made.
///
/// # Errors
///
/// There is a file at `to` already, or none at `from`; the store is damaged, or of another format; or the copy cannot be written.
pub fn backup(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Backup, BackupError> {
    let (from, to) = (from.as_ref(), to.as_ref());
    if !from.exists() {
        return Err(BackupError::Missing(from.into()));
    }
    if to.exists() {
        return Err(BackupError::Exists(to.into()));
    }
    let part = beside(to, ".part");
    let copied = copy(from, &part).and_then(|backup| {
        let named = File::open(&part).and_then(|file| file.sync_all()).and_then(|()| fs::rename(&part, to));
        named.and_then(|()| sync_folder_of(to)).map_err(|error| unwritten(to, &error))?;
        Ok(backup)
    });
    if copied.is_err() {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let _ = fs::remove_file(beside(&part, suffix));
        }
    }
    copied
}

fn copy(from: &Path, to: &Path) -> Result<Backup, BackupError> {
    let unreadable = |error: rusqlite::Error| OpenError::sqlite(from, &error);
    {
        let db = connect(from).map_err(unreadable)?;
        let format = format::check(&db, from)?;
        if format != FORMAT {
            let what = format!("it has format {format}: start Liveset with it once, which makes it {FORMAT}");
            return Err(OpenError::Io { path: from.into(), what }.into());
        }
        // What is left of a copy that was not finished.
        match fs::remove_file(to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unwritten(to, &error)),
            _ => {}
        }
        let name = to.to_str().ok_or_else(|| unwritten(to, &"its name is not UTF-8"))?;
        db.execute("VACUUM INTO ?1", [name]).map_err(|error| unwritten(to, &error))?;
    }
    // What is wrong with the copy is wrong with the store.
    let of_store = |error| match error {
        OpenError::Damaged { what, .. } => OpenError::damaged(from, what),
        other => other,
    };
    let mut copy = Opened::open(to.into()).map_err(of_store)?;
    copy.read(|_| Ok(())).map_err(of_store)?;
    let head = Head { identity: format::identity(), delayed: false, ..copy.head };
    head.write(&copy.db).map_err(|error| unwritten(to, &error))?;
    Ok(Backup { position: head.position, rows: head.totals.rows })
}

fn unwritten(to: &Path, error: &dyn std::fmt::Display) -> BackupError {
    BackupError::Unwritten { path: to.into(), what: error.to_string() }
}

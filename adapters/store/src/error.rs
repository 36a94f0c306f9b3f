//! What can go wrong, sorted by what is to be done about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use thiserror::Error;

/// A store was not opened. Its file is as it was.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// Another Liveset has it open.
    #[error("{} is open in another Liveset{}", .path.display(), by(*.process))]
    InUse {
        /// The file.
        path: PathBuf,
        /// The number of the process that has it open, if it is known.
        process: Option<u32>,
    },
    /// The file was cut or altered, or was never a store.
    #[error(
        "{0} is damaged: {what}. Move it away together with {0}-wal and {0}-shm, and put the last copy that `liveset backup` made in its place",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What shows it.
        what: String,
    },
    /// A newer Liveset wrote it.
    #[error("{} has format {format}, and this Liveset knows formats up to {known}: use a newer one", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// There is no room for what has to be written when a file is opened.
    #[error("there is no room on the disk to open {}", .path.display())]
    NoRoom {
        /// The file.
        path: PathBuf,
    },
    /// The system refused something: no permission, no such folder, a fault of the disk.
    #[error("{}: {what}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was refused.
        what: String,
    },
}

fn by(process: Option<u32>) -> String {
    process.map(|process| format!(" (process {process})")).unwrap_or_default()
}

impl OpenError {
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        match is_full(error) {
            true => Self::NoRoom { path: path.into() },
            false => Self::Io { path: path.into(), what: error.to_string() },
        }
    }

    pub(crate) fn damaged(path: &Path, what: impl fmt::Display) -> Self {
        Self::Damaged { path: path.into(), what: what.to_string() }
    }

    /// What SQLite says while a file is opened and read. Whatever is not about the system is about the file.
    pub(crate) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        match Fault::of(error) {
            Fault::NoRoom => Self::NoRoom { path: path.into() },
            Fault::Busy => Self::Io { path: path.into(), what: "another program is writing to it".into() },
            Fault::System => Self::Io { path: path.into(), what: error.to_string() },
            Fault::Content => Self::damaged(path, error),
        }
    }
}

/// Commits were not written, none of those that were given together.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// There is no room on the disk. Nothing was written. Commits are taken again when there is room.
    #[error("there is no room on the disk to store it")]
    NoRoom,
    /// Another program holds the file for writing. Nothing was written, and the next commit may be.
    #[error("another program is writing to the file of the store")]
    Busy,
    /// The commit does not follow the newest one that was stored: one between them was refused.
    #[error("it was checked against commit {follows}, and the newest that was stored is {newest}")]
    OutOfOrder {
        /// The position that the commit follows.
        follows: u64,
        /// That of the newest commit that was stored.
        newest: u64,
    },
    /// More commits wait to be stored than may. This one was not taken, and a later one may be.
    #[error("too many commits wait to be stored")]
    Overloaded,
    /// A sync, or a write, failed. Whether these commits are in the file shows when it is opened and checked again; until then nothing is
    /// taken.
    #[error(
        "writing to the file of the store failed ({0}): it takes commits again when it has been opened and checked again"
    )]
    Failed(String),
}

/// A copy was not made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackupError {
    /// There is a file already where the copy would be.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// There is no store.
    #[error("{} is not there", .0.display())]
    Missing(PathBuf),
    /// The store cannot be read, or the copy is not whole, because the store is not.
    #[error(transparent)]
    Unreadable(#[from] OpenError),
    /// The copy cannot be written.
    #[error("{}: {what}", .path.display())]
    Unwritten {
        /// The copy.
        path: PathBuf,
        /// What was refused.
        what: String,
    },
}

/// What an error of SQLite is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NoRoom,
    Busy,
    /// The system refuses, or fails.
    System,
    /// What is in the file is not what was written.
    Content,
}

impl Fault {
    pub(crate) fn of(error: &rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(error, _) = error else { return Self::Content };
        match error.code {
            ErrorCode::DiskFull => Self::NoRoom,
            // The index of the log could not grow.
            ErrorCode::SystemIoFailure if error.extended_code == IOERR_SHMSIZE => Self::NoRoom,
            // A page is said to be where the file has ended.
            ErrorCode::SystemIoFailure if error.extended_code == IOERR_SHORT_READ => Self::Content,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::OutOfMemory
            | ErrorCode::FileLockingProtocolFailed => Self::System,
            _ => Self::Content,
        }
    }
}

const IOERR_SHORT_READ: i32 = rusqlite::ffi::SQLITE_IOERR_SHORT_READ;
const IOERR_SHMSIZE: i32 = rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

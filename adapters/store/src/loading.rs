//! A store that is being opened.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::checksum::{self, Totals};
use crate::durability::Durability;
use crate::error::OpenError;
use crate::files::{beside, folder, resolved};
use crate::format::{self, FORMAT, Head};
use crate::lock::Lock;
use crate::log::{self, Rest};
use crate::store::Store;

/// A store whose rows are still to be read: only then it is known to be whole, and takes commits.
#[derive(Debug)]
#[must_use = "a store takes commits when its rows have been read"]
pub struct Loading {
    file: Opened,
    lock: Lock,
    durability: Durability,
    /// What the log ended with.
    rest: Rest,
}

/// One row, as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredRow<'a> {
    /// The name of its set.
    pub set: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Its JSON text.
    pub json: &'a str,
}

impl Loading {
    /// Opens a file, or makes it where there is none, and the folder too.
    pub(crate) fn open(path: &Path, durability: Durability) -> Result<Self, OpenError> {
        let io = |error| OpenError::io(path, &error);
        fs::create_dir_all(folder(path)).map_err(io)?;
        let path = resolved(path).map_err(io)?;
        if path.is_dir() {
            return Err(io(std::io::ErrorKind::IsADirectory.into()));
        }
        let lock = Lock::take(&path)?;
        let io = |error| OpenError::io(&path, &error);
        let log = beside(&path, "-wal");
        if !path.try_exists().map_err(io)? {
            if log.try_exists().map_err(io)? {
                return Err(OpenError::damaged(&path, "it is gone, and its log is there"));
            }
            format::create(&path)?;
        }
        format::check_header(&path)?;
        let rest = log::rest(&log).map_err(io)?;
        let file = Opened::open(path)?;
        if rest != Rest::Nothing {
            let (path, position) = (file.path.display(), file.head.position);
            tracing::warn!(
                "the log of {path} was cut within a commit: it ends with the whole one at position {position}"
            );
        }
        Ok(Self { file, lock, durability, rest })
    }

    /// The identity of its history, which changes when positions may be used again for other commits.
    pub fn identity(&self) -> &str {
        &self.file.head.identity
    }

    /// The position of its newest commit; 0 before the first.
    pub fn position(&self) -> u64 {
        self.file.head.position
    }

    /// Whether the log ended within a commit, which is not taken: the newest one is that at [`position`](Self::position).
    pub fn was_cut(&self) -> bool {
        self.rest != Rest::Nothing
    }

    /// Reads all rows, set by set, each set in the order of ids, and checks them. Nothing is certain before all are read: on an error,
    /// forget those that were seen.
    ///
    /// # Errors
    ///
    /// The file is not what was written, or cannot be read; or an error of the closure.
    pub fn read<E: From<OpenError>>(
        self,
        see: impl FnMut(StoredRow<'_>) -> Result<(), E>,
    ) -> Result<Store, E> {
        let Self { mut file, lock, durability, rest } = self;
        file.read(see)?;
        // Positions of commits that are lost will be used again.
        file.is_new_history = file.head.delayed || rest == Rest::Commits;
        if file.is_new_history {
            file.head.identity = format::identity();
        }
        Ok(Store::start(file, lock, durability)?)
    }
}

/// An open file with tables and a head that are right.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) db: Connection,
    pub(crate) path: PathBuf,
    pub(crate) head: Head,
    /// Whether the identity in the head is still to be written.
    pub(crate) is_new_history: bool,
    format: u32,
}

impl Opened {
    pub(crate) fn open(path: PathBuf) -> Result<Self, OpenError> {
        let damaged = |what| OpenError::damaged(&path, what);
        let sqlite = |error: rusqlite::Error| OpenError::sqlite(&path, &error);
        let db = connect(&path).map_err(sqlite)?;
        let format = format::check(&db, &path)?;
        let head = Head::read(&db, format).map_err(sqlite)?;
        let head = head.ok_or_else(|| damaged("the checksum of its head is another"))?;
        Ok(Self { db, path, head, is_new_history: false, format })
    }

    pub(crate) fn read<E: From<OpenError>>(
        &mut self,
        mut see: impl FnMut(StoredRow<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { db, path, head, format, .. } = self;
        let damaged = |what| OpenError::damaged(path, what);
        let sqlite = |error: rusqlite::Error| OpenError::sqlite(path, &error);
        let text = |error: rusqlite::types::FromSqlError| damaged(error.to_string());

        let mut totals = Totals::default();
        let mut before = (String::new(), String::new());
        let sql = "SELECT set_name, id, json, checksum FROM rows ORDER BY set_name, id";
        let mut select = db.prepare(sql).map_err(sqlite)?;
        let mut rows = select.query([]).map_err(sqlite)?;
        while let Some(row) = rows.next().map_err(sqlite)? {
            let column = |at| row.get_ref(at).map_err(sqlite);
            let set = column(0)?.as_str().map_err(text)?;
            let id = column(1)?.as_str().map_err(text)?;
            let json = column(2)?.as_str().map_err(text)?;
            let checksum = checksum::of_row(set, id, json);
            if column(3)?.as_i64().map_err(text)?.cast_unsigned() != checksum {
                return Err(damaged(format!("the checksum of row '{id}' of set '{set}' is another")).into());
            }
            // SQLite finds rows by their order, and reads them without looking at it.
            if (set, id) <= (&before.0, &before.1) && totals.rows > 0 {
                return Err(damaged(format!("row '{id}' of set '{set}' is out of order")).into());
            }
            set.clone_into(&mut before.0);
            id.clone_into(&mut before.1);
            totals.add(checksum);
            see(StoredRow { set, id, json })?;
        }
        drop(rows);
        drop(select);
        if *format == 1 {
            head.totals = totals;
            format::upgrade(db, head).map_err(|error| OpenError::sqlite(path, &error))?;
            *format = FORMAT;
        } else if head.totals != totals {
            let what = format!("it has {} rows, and {} were written", totals.rows, head.totals.rows);
            return Err(OpenError::damaged(path, what).into());
        }
        let found: String = db
            .query_one("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| OpenError::sqlite(path, &error))?;
        match &*found {
            "ok" => Ok(()),
            found => Err(OpenError::damaged(path, found).into()),
        }
    }
}

/// Opens a file that is there, with what everybody who reads it wants.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // A path is a path, whatever it looks like, and a connection is used by one thread at a time.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    // Until it is known to be whole, it is left as it is.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.busy_timeout(PATIENCE)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "cache_size", CACHE_KIB)?;
    Ok(db)
}

/// Time for which another program may hold the file.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Negative: kibibytes, not pages.
const CACHE_KIB: i32 = -16_384;

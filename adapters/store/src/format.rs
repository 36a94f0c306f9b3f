//! The layout of the file: its header, its tables, and the head, which each commit overwrites.

use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use crate::checksum::{self, Totals};
use crate::error::OpenError;
use crate::files::{beside, sync_folder_of};

/// The format that is written. Format 1 had no sums in its head: a row that was missing was not missed.
pub(crate) const FORMAT: u32 = 2;
/// "Lset": by it other programs can tell the file.
pub(crate) const APPLICATION: u32 = 0x4c73_6574;
const PAGE_BYTES: u16 = 4096;

const ROWS: &str = "CREATE TABLE rows (set_name TEXT NOT NULL, id TEXT NOT NULL, json TEXT NOT NULL, \
                    checksum INTEGER NOT NULL, PRIMARY KEY (set_name, id)) STRICT, WITHOUT ROWID";
const HEAD: &str = "CREATE TABLE head (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), identity TEXT NOT NULL, \
                    position INTEGER NOT NULL, delayed INTEGER NOT NULL, row_count INTEGER NOT NULL, \
                    row_sum INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT";
const HEAD_1: &str = "CREATE TABLE head (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), identity TEXT NOT NULL, \
                      position INTEGER NOT NULL, delayed INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT";

/// Where the history of the file is, and what its rows come to. One row of the table `head`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) identity: String,
    pub(crate) position: u64,
    /// Whether commits may have been shown before they were safe, and the file was not closed since.
    pub(crate) delayed: bool,
    pub(crate) totals: Totals,
}

impl Head {
    /// The beginning of a history.
    pub(crate) fn new() -> Self {
        Self { identity: identity(), position: 0, delayed: false, totals: Totals::default() }
    }

    fn checksum(&self) -> u64 {
        let Self { identity, position, delayed, totals } = self;
        checksum::of_parts(&[identity], &[*position, u64::from(*delayed), totals.rows, totals.sum])
    }

    pub(crate) fn write(&self, db: &Connection) -> rusqlite::Result<()> {
        let Self { identity, position, delayed, totals } = self;
        let mut write =
            db.prepare_cached("INSERT OR REPLACE INTO head VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)")?;
        write.execute(params![
            identity,
            position.cast_signed(),
            delayed,
            totals.rows.cast_signed(),
            totals.sum.cast_signed(),
            self.checksum().cast_signed(),
        ])?;
        Ok(())
    }

    /// The head, if it is the one that was written; in format 1 without the totals, which are to be counted.
    pub(crate) fn read(db: &Connection, format: u32) -> rusqlite::Result<Option<Self>> {
        let (columns, texts) = match format {
            1 => ("0, 0", 1),
            _ => ("row_count, row_sum", 0),
        };
        let sql = format!("SELECT identity, position, delayed, {columns}, checksum FROM head");
        let (head, stored) = db.query_one(&sql, [], |row| {
            let number = |at| row.get(at).map(i64::cast_unsigned);
            let totals = Totals { rows: number(3)?, sum: number(4)? };
            let head = Self { identity: row.get(0)?, position: number(1)?, delayed: number(2)? != 0, totals };
            Ok((head, number(5)?))
        })?;
        let expected = match texts {
            0 => head.checksum(),
            _ => checksum::of_parts(&[&head.identity], &[head.position, u64::from(head.delayed)]),
        };
        Ok((stored == expected).then_some(head))
    }
}

/// 128 random bits, as the standard library has them: SipHash under keys that the system gives.
pub(crate) fn identity() -> String {
    let random = RandomState::new();
    [0_u64, 1].map(|half| format!("{:016x}", random.hash_one(half))).concat()
}

/// Makes a store without rows. It gets its name when it is whole.
pub(crate) fn create(path: &Path) -> Result<(), OpenError> {
    let unnamed = beside(path, ".new");
    let io = |error: io::Error| OpenError::io(path, &error);
    for left in [unnamed.clone(), beside(&unnamed, "-journal")] {
        match fs::remove_file(left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    let made = (|| {
        let db = Connection::open_with_flags(&unnamed, OpenFlags::default() - OpenFlags::SQLITE_OPEN_URI)?;
        db.pragma_update(None, "page_size", PAGE_BYTES)?;
        db.pragma_update(None, "application_id", APPLICATION)?;
        db.execute_batch(ROWS)?;
        db.execute_batch(HEAD)?;
        Head::new().write(&db)?;
        db.pragma_update(None, "user_version", FORMAT)
    })();
    made.map_err(|error| OpenError::sqlite(path, &error))?;
    File::open(&unnamed).and_then(|file| file.sync_all()).map_err(io)?;
    fs::rename(&unnamed, path).map_err(io)?;
    sync_folder_of(path).map_err(io)
}

/// Whether the file begins as a store does. Looks at what SQLite would believe without asking.
///
/// Nobody in this process may have it open: to close a file takes the locks away that SQLite has on it.
pub(crate) fn check_header(path: &Path) -> Result<(), OpenError> {
    let mut header = [0; 100];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(OpenError::damaged(path, "it ends before the end of its header"));
        }
        read => read.map_err(|error| OpenError::io(path, &error))?,
    }
    let is = |at: usize, expected: &[u8]| header[at..at + expected.len()] == *expected;
    let is_store = is(0, b"SQLite format 3\0")
        && is(16, &PAGE_BYTES.to_be_bytes())
        // The ways to write: with a journal, as a copy is before it is opened, or with a log.
        && (is(18, &[1, 1]) || is(18, &[2, 2]))
        && is(20, &[0, 64, 32, 32])
        && is(44, &4_u32.to_be_bytes())
        && is(52, &0_u32.to_be_bytes())
        && is(56, &1_u32.to_be_bytes())
        && is(64, &0_u32.to_be_bytes())
        && is(68, &APPLICATION.to_be_bytes())
        && is(72, &[0; 20]);
    match is_store {
        true => Ok(()),
        false => Err(OpenError::damaged(path, "its header is not that of a store of Liveset")),
    }
}

/// The format of a file, if it is a known one with the tables that belong to it.
pub(crate) fn check(db: &Connection, path: &Path) -> Result<u32, OpenError> {
    let sqlite = |error: rusqlite::Error| OpenError::sqlite(path, &error);
    let format: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sqlite)?;
    let head = match format {
        0 => return Err(OpenError::damaged(path, "it has no format number")),
        1 => HEAD_1,
        FORMAT => HEAD,
        _ => return Err(OpenError::Newer { path: path.into(), format, known: FORMAT }),
    };
    let tables: Vec<(String, String)> = db
        .prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name DESC")
        .and_then(|mut tables| tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .map_err(sqlite)?;
    let expected = [("rows", ROWS), ("head", head)];
    match tables.iter().map(|(name, sql)| (&**name, &**sql)).eq(expected) {
        true => Ok(format),
        false => Err(OpenError::damaged(path, "its tables are not those of a store of Liveset")),
    }
}

/// Brings a file of format 1 up to the newest, as one transaction.
pub(crate) fn upgrade(db: &mut Connection, head: &Head) -> rusqlite::Result<()> {
    let upgrade = db.transaction()?;
    upgrade.execute_batch("DROP TABLE head")?;
    upgrade.execute_batch(HEAD)?;
    head.write(&upgrade)?;
    upgrade.pragma_update(None, "user_version", FORMAT)?;
    upgrade.commit()
}

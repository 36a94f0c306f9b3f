//! A store that takes commits.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use crate::checksum;
use crate::commit::{Commit, Write};
use crate::durability::Durability;
use crate::error::{AppendError, Fault, OpenError};
use crate::files::{beside, sync_folder_of};
use crate::format::Head;
use crate::loading::{Loading, Opened, PATIENCE};
use crate::lock::Lock;
use crate::telemetry::{self, Watch};

/// The rows of all sets in a file, and the position of the newest commit. One thread writes to it: [`Writer`](crate::Writer) is that
/// thread.
///
/// A store that is dropped without [`close`](Self::close) is whole. With [`Durability::Every`] its source then has a new identity.
#[derive(Debug)]
pub struct Store {
    file: Opened,
    durability: Durability,
    state: State,
    log: PathBuf,
    /// Bytes that the log may have before it is copied into the file.
    log_bytes: u64,
    /// Last, so that it is given back last.
    _lock: Lock,
}

/// Whether a store takes commits.
#[derive(Debug)]
enum State {
    /// It does. With the log, where syncs follow later.
    Ready(Option<File>),
    /// It does not: a write or a sync failed, and nobody knows what of it is on the disk.
    Failed(String),
}

impl Store {
    /// Opens a file, or makes it where there is none: then [`Loading::read`] its rows.
    ///
    /// # Errors
    ///
    /// Another Liveset has it open, it is damaged or of a newer format, or the system refuses.
    pub fn open(path: impl AsRef<Path>, durability: Durability) -> Result<Loading, OpenError> {
        Loading::open(path.as_ref(), durability)
    }

    /// Makes the file ready to be written. All that was read is safe then.
    pub(crate) fn start(mut file: Opened, lock: Lock, durability: Durability) -> Result<Self, OpenError> {
        let path = file.path.clone();
        let (sqlite, io) = (|error| OpenError::sqlite(&path, &error), |error| OpenError::io(&path, &error));
        let log = beside(&path, "-wal");
        let delayed = matches!(durability, Durability::Every(_));
        file.begin(delayed).map_err(sqlite)?;
        // Where there is no room to copy the log, or another program reads it, it is safe as a log.
        let safe = match OpenOptions::new().append(true).open(&log) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            opened => Some(opened.map_err(io)?),
        };
        if let Some(log) = &safe {
            log.sync_all().and_then(|()| sync_folder_of(&path)).map_err(io)?;
        }
        file.settle(delayed).map_err(sqlite)?;
        let state = State::Ready(safe.filter(|_| delayed));
        Ok(Self { file, durability, state, log, log_bytes: LOG_BYTES, _lock: lock })
    }

    /// The identity of its history.
    pub fn identity(&self) -> &str {
        &self.file.head.identity
    }

    /// The position of its newest commit; 0 before the first.
    pub fn position(&self) -> u64 {
        self.file.head.position
    }

    /// When commits are safe.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Writes some commits as one: all of them or, on an error, none. With [`Durability::Always`] they are safe when it returns, by one
    /// sync for all.
    ///
    /// Costs a look-up and a write for each row, and now and then, before it, the copying of the log into the file.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]. After [`AppendError::Failed`] no commit is taken.
    pub fn append(&mut self, commits: &[Commit]) -> Result<(), AppendError> {
        self.refuse_if_failed()?;
        let mut newest = self.position();
        for Commit { follows, position, .. } in commits {
            if *follows != newest || *position <= newest {
                return Err(AppendError::OutOfOrder { follows: *follows, newest });
            }
            newest = *position;
        }
        if commits.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.shorten_log() {
            return Err(self.failed(&error));
        }
        let mut head = Head { position: newest, ..self.file.head.clone() };
        let watch = Watch::start();
        match write(&mut self.file.db, &mut head, commits, self.durability) {
            Ok(()) => {
                self.file.head = head;
                watch.written(commits.len());
                telemetry::sizes(&self.file.path, &self.log);
                Ok(())
            }
            Err(error) => Err(match Fault::of(&error) {
                Fault::NoRoom => {
                    // What the log gives back may be room enough for the next.
                    self.log_bytes = 0;
                    AppendError::NoRoom
                }
                Fault::Busy => AppendError::Busy,
                Fault::System | Fault::Content => self.failed(&error),
            }),
        }
    }

    /// Makes safe what was written. With [`Durability::Always`] it is.
    ///
    /// # Errors
    ///
    /// [`AppendError::Failed`]: no commit is taken then.
    pub fn sync(&mut self) -> Result<(), AppendError> {
        self.refuse_if_failed()?;
        let State::Ready(Some(log)) = &self.state else { return Ok(()) };
        let watch = Watch::start();
        log.sync_data().map_err(|error| self.failed(&error))?;
        watch.synced();
        Ok(())
    }

    /// Writes the file whole, without a log, and closes it.
    ///
    /// # Errors
    ///
    /// [`AppendError::Failed`], or, with [`Durability::Every`], [`AppendError::NoRoom`] and [`AppendError::Busy`]: then it counts as not
    /// closed.
    pub fn close(mut self) -> Result<(), AppendError> {
        self.refuse_if_failed()?;
        let Self { file: Opened { db, head, .. }, .. } = &mut self;
        if head.delayed {
            head.delayed = false;
            let closed = db.pragma_update(None, "synchronous", "full").and_then(|()| head.write(db));
            closed.map_err(|error| match Fault::of(&error) {
                Fault::NoRoom => AppendError::NoRoom,
                Fault::Busy => AppendError::Busy,
                Fault::System | Fault::Content => AppendError::Failed(error.to_string()),
            })?;
        }
        // Without room for it, the log stays, and is read again.
        match checkpoint(db) {
            Err(error) if Fault::of(&error) == Fault::System => Err(AppendError::Failed(error.to_string())),
            _ => Ok(()),
        }
    }

    /// Copies the log into the file where it is long. For want of room, or while another program reads, some of it stays.
    fn shorten_log(&mut self) -> rusqlite::Result<()> {
        let bytes = || fs::metadata(&self.log).map_or(0, |log| log.len());
        if bytes() <= self.log_bytes {
            return Ok(());
        }
        match checkpoint(&self.file.db) {
            Err(error) if !matches!(Fault::of(&error), Fault::NoRoom | Fault::Busy) => return Err(error),
            _ => self.log_bytes = bytes() + LOG_BYTES,
        }
        Ok(())
    }

    fn refuse_if_failed(&self) -> Result<(), AppendError> {
        match &self.state {
            State::Ready(_) => Ok(()),
            State::Failed(what) => Err(AppendError::Failed(what.clone())),
        }
    }

    fn failed(&mut self, error: &dyn std::error::Error) -> AppendError {
        let what = error.to_string();
        let path = self.file.path.display();
        tracing::error!(
            "writing to {path} failed: {what}; it takes no commits until it is opened and checked again"
        );
        self.state = State::Failed(what.clone());
        AppendError::Failed(what)
    }
}

impl Opened {
    /// Sets how it is written, and writes what opening it has changed.
    fn begin(&mut self, delayed: bool) -> rusqlite::Result<()> {
        let Self { db, head, is_new_history, .. } = self;
        let _: String = db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        // The log is copied between commits, not by whichever of them makes it too long.
        db.pragma_update(None, "wal_autocheckpoint", 0)?;
        // What it takes on a Mac to reach the disk.
        db.pragma_update(None, "fullfsync", true)?;
        db.pragma_update(None, "checkpoint_fullfsync", true)?;
        db.pragma_update(None, "synchronous", "full")?;
        if *is_new_history || head.delayed != delayed {
            head.delayed = delayed;
            head.write(db)?;
        }
        Ok(())
    }

    /// Copies the log, if there is room, and leaves syncs to those who delay them.
    fn settle(&self, delayed: bool) -> rusqlite::Result<()> {
        match checkpoint(&self.db) {
            Err(error) if !matches!(Fault::of(&error), Fault::NoRoom | Fault::Busy) => return Err(error),
            _ => {}
        }
        if delayed {
            self.db.pragma_update(None, "synchronous", "normal")?;
        }
        self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        Ok(())
    }
}

/// One transaction, with one sync where syncs are not delayed.
fn write(
    db: &mut Connection,
    head: &mut Head,
    commits: &[Commit],
    durability: Durability,
) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut find =
            transaction.prepare_cached("SELECT checksum FROM rows WHERE set_name = ?1 AND id = ?2")?;
        let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO rows VALUES (?1, ?2, ?3, ?4)")?;
        let mut remove = transaction.prepare_cached("DELETE FROM rows WHERE set_name = ?1 AND id = ?2")?;
        let totals = &mut head.totals;
        for write in commits.iter().flat_map(|commit| &commit.writes) {
            let (set, id) = match write {
                Write::Put { set, id, .. } | Write::Remove { set, id } => (&**set, &**id),
                Write::Clear { set } => {
                    let mut sums =
                        transaction.prepare_cached("SELECT checksum FROM rows WHERE set_name = ?1")?;
                    let mut rows = sums.query([&**set])?;
                    while let Some(row) = rows.next()? {
                        totals.take(row.get::<_, i64>(0)?.cast_unsigned());
                    }
                    transaction.prepare_cached("DELETE FROM rows WHERE set_name = ?1")?.execute([&**set])?;
                    continue;
                }
            };
            let before: Option<i64> = find.query_one([set, id], |row| row.get(0)).optional()?;
            if let Some(before) = before {
                totals.take(before.cast_unsigned());
            }
            match write {
                Write::Put { json, .. } => {
                    let checksum = checksum::of_row(set, id, json);
                    put.execute((set, id, json, checksum.cast_signed()))?;
                    totals.add(checksum);
                }
                _ if before.is_some() => drop(remove.execute([set, id])?),
                _ => {}
            }
        }
        head.write(&transaction)?;
    }
    let watch = Watch::start();
    transaction.commit()?;
    if durability == Durability::Always {
        watch.synced();
    }
    Ok(())
}

/// Copies the log into the file, as far as no other program reads it, and cuts it where that is all.
fn checkpoint(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(Duration::ZERO)?;
    let done = db.query_one("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    db.busy_timeout(PATIENCE)?;
    done
}

const LOG_BYTES: u64 = 8 << 20;

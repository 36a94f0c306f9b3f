//! The sets of a [Liveset](https://docs.rs/liveset) endpoint in a file of SQLite, so that they survive a restart.
//!
//! It knows rows (the name of a set, an id, a JSON text) and commits with positions; it knows neither what is in a row nor who watches it.
//! [`Store::open`] gives the rows that are there, [`Store::append`] writes commits, [`Writer`] does so on a thread of its own, with one sync
//! for all that wait, and [`backup`] copies the file while it is in use.
//!
//! ```
//! use std::sync::mpsc::channel;
//! use liveset_store::{Commit, Durability, OpenError, Store, Write, Writer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = std::env::temp_dir().join(format!("liveset-store-doc-{}.db", std::process::id()));
//! let loading = Store::open(&path, Durability::Always)?;
//! let store = loading.read(|row| {
//!     println!("{}/{}: {}", row.set, row.id, row.json);
//!     Ok::<_, OpenError>(())
//! })?;
//! let follows = store.position();
//! let writer = Writer::start(store)?;
//! let put = Write::Put { set: "orders".into(), id: "7".into(), json: r#"{"id":7}"#.into() };
//! let commit = Commit { follows, position: follows + 1, writes: vec![put] };
//! let (told, safe) = channel();
//! writer.submit(commit, move |written| drop(told.send(written)))?;
//! safe.recv()??;
//! writer.close()?;
//! # std::fs::remove_file(&path)?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! - **A commit is there whole, or not at all.** [`Durability`] says from when on it outlives a crash of the machine.
//! - **What is read is what was written.** Each row has a checksum, and each commit one over the sum of those of all rows. They are compared
//!   when the file is opened. A file that was cut or altered is refused ([`OpenError::Damaged`]); a log that was cut ends with a whole
//!   commit ([`Loading::was_cut`]).
//! - **Positions mean one thing.** The [identity](Store::identity) of the file changes when positions may be used again for other commits:
//!   in a copy, and after an end without [`Store::close`] where syncs are delayed.
//! - **Without room nothing breaks.** Commits are refused ([`AppendError::NoRoom`]) until there is some. After another fault of a write or a
//!   sync ([`AppendError::Failed`]) all are, until the file was opened and checked again.
//! - **One Liveset for a file.** A lock on a file next to it, `….lock`, keeps others out. Other programs may read it meanwhile, and must not
//!   write to it: what they wrote counts as damage.
//!
//! # The file
//!
//! The table `rows` has the columns `set_name`, `id`, `json` and `checksum`; the one row of `head` has the position and the identity.
//! `PRAGMA user_version` is the number of the format. Next to the file are SQLite's log and its index (`….db-wal`, `….db-shm`), which belong
//! to it: who copies the file alone, while it is in use, copies a part of it.

mod backup;
mod checksum;
mod commit;
mod durability;
mod endpoint;
mod error;
mod files;
mod format;
mod loading;
mod lock;
mod log;
mod store;
mod telemetry;
mod writer;

pub use backup::{Backup, backup};
pub use commit::{Commit, Write};
pub use durability::{Durability, DurabilityError};
pub use endpoint::SetsFile;
pub use error::{AppendError, BackupError, OpenError};
pub use loading::{Loading, StoredRow};
pub use store::Store;
pub use writer::Writer;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

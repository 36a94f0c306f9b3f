//! A file as the storage of an endpoint.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use liveset::{Loaded, Storage, StorageCommit, StorageError, StorageWrite, Tell};

use crate::commit::{Commit, Write};
use crate::durability::Durability;
use crate::error::{AppendError, OpenError};
use crate::loading::Loading;
use crate::store::Store;
use crate::writer::Writer;

/// The file in which an endpoint keeps its sets.
///
/// ```
/// use liveset::{Liveset, Query, SetDef};
/// use liveset_store::{Durability, SetsFile};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("liveset-store-endpoint-{}.db", std::process::id()));
/// let open = || -> Result<Liveset, Box<dyn std::error::Error>> {
///     let file = SetsFile::open(&path, Durability::Always)?;
///     Ok(Liveset::builder().set(SetDef::new("orders")).store(file).build()?)
/// };
/// let liveset = open()?;
/// liveset.commit(|tx| tx.upsert("orders", &serde_json::json!({ "id": 7, "total": 12.5 })))?;
/// drop(liveset);
///
/// let liveset = open()?;
/// assert_eq!(liveset.query(Query::new("orders"))?.count.total, 1);
/// # drop(liveset);
/// # std::fs::remove_file(&path)?;
/// # Ok(())
/// # }
/// ```
///
/// The file is closed with the last handle of the endpoint, or by `Liveset::close_storage`, which says whether that went well.
pub struct SetsFile(Mutex<State>);

/// How far a file is.
enum State {
    Loading(Loading),
    Writing(Writer),
    /// It was closed, or could not be read.
    Closed,
}

impl SetsFile {
    /// Opens a file, or makes it where there is none.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open(path: impl AsRef<Path>, durability: Durability) -> Result<Self, OpenError> {
        Ok(Self(Mutex::new(State::Loading(Store::open(path, durability)?))))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for SetsFile {
    fn load(
        &mut self,
        see: &mut dyn FnMut(&str, &str) -> Result<(), StorageError>,
    ) -> Result<Loaded, StorageError> {
        let state = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let State::Loading(loading) = std::mem::replace(state, State::Closed) else {
            return Err(StorageError::new("the rows of the file were read already"));
        };
        let store =
            loading.read(|row| see(row.set, row.json).map_err(Failed::Row)).map_err(
                |failed| match failed {
                    Failed::Row(error) => error,
                    Failed::Open(error) => StorageError::new(error.to_string()),
                },
            )?;
        let loaded = Loaded { identity: store.identity().to_owned(), position: store.position() };
        let writer = Writer::start(store).map_err(|error| StorageError::new(error.to_string()))?;
        *state = State::Writing(writer);
        Ok(loaded)
    }

    fn submit(&self, commit: StorageCommit, tell: Tell) -> Result<(), StorageError> {
        let StorageCommit { follows, position, writes, .. } = commit;
        let writes: Option<Vec<Write>> = writes.into_iter().map(stored).collect();
        let writes =
            writes.ok_or_else(|| StorageError::new("a write of a kind that the file does not know"))?;
        let commit = Commit { follows, position, writes };
        match &*self.lock() {
            State::Writing(writer) => {
                writer.submit(commit, move |written| tell(written.map_err(refused))).map_err(refused)
            }
            State::Loading(_) => Err(StorageError::new("the rows of the file were not read")),
            State::Closed => Err(StorageError::new("the file of the store is closed")),
        }
    }

    fn close(&self) -> Result<(), StorageError> {
        // What waits to be written is told while this waits for it: not with the lock held.
        let state = std::mem::replace(&mut *self.lock(), State::Closed);
        match state {
            State::Writing(writer) => writer.close().map_err(refused),
            State::Loading(_) | State::Closed => Ok(()),
        }
    }
}

/// `None` of a write that this package does not know.
fn stored(write: StorageWrite) -> Option<Write> {
    Some(match write {
        StorageWrite::Put { set, id, json } => Write::Put { set, id, json },
        StorageWrite::Remove { set, id } => Write::Remove { set, id },
        StorageWrite::Clear { set } => Write::Clear { set },
        _ => return None,
    })
}

fn refused(error: AppendError) -> StorageError {
    match error {
        AppendError::OutOfOrder { .. } => StorageError::new("a commit before it was not stored: try again"),
        error => StorageError::new(error.to_string()),
    }
}

/// Why rows were not read to the last.
enum Failed {
    Open(OpenError),
    Row(StorageError),
}

impl From<OpenError> for Failed {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl fmt::Debug for SetsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetsFile").finish_non_exhaustive()
    }
}

//! A folder for each test, commits in short, and what a store has to hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use liveset_store::{AppendError, Commit, Durability, Loading, OpenError, Store, Write};

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        Self::within(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    /// A folder in memory, where there is one: a sync costs nothing there.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::within(memory) } else { Self::new() }
    }

    fn within(parent: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("liveset-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = parent.join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// All rows of a store, by set and id.
pub(crate) type Rows = BTreeMap<(String, String), String>;

pub(crate) fn put(set: &str, id: impl ToString, json: impl Into<String>) -> Write {
    Write::Put { set: set.into(), id: id.to_string(), json: json.into() }
}

pub(crate) fn remove(set: &str, id: impl ToString) -> Write {
    Write::Remove { set: set.into(), id: id.to_string() }
}

pub(crate) fn clear(set: &str) -> Write {
    Write::Clear { set: set.into() }
}

/// The commit behind another.
pub(crate) fn after(follows: u64, writes: impl Into<Vec<Write>>) -> Commit {
    Commit { follows, position: follows + 1, writes: writes.into() }
}

pub(crate) fn append(store: &mut Store, writes: impl Into<Vec<Write>>) -> Result<(), AppendError> {
    store.append(&[after(store.position(), writes)])
}

/// What the writes do, as the test sees it.
pub(crate) fn apply(rows: &mut Rows, writes: &[Write]) {
    for write in writes {
        match write.clone() {
            Write::Put { set, id, json } => drop(rows.insert((set.to_string(), id), json)),
            Write::Remove { set, id } => drop(rows.remove(&(set.to_string(), id))),
            Write::Clear { set } => rows.retain(|(of, _), _| **of != *set),
            _ => unreachable!("there are no other writes"),
        }
    }
}

pub(crate) fn open(path: &Path) -> Result<(Store, Rows), OpenError> {
    read(Store::open(path, Durability::Always)?)
}

pub(crate) fn read(loading: Loading) -> Result<(Store, Rows), OpenError> {
    let mut rows = Rows::new();
    let store = loading.read(|row| {
        rows.insert((row.set.to_owned(), row.id.to_owned()), row.json.to_owned());
        Ok::<_, OpenError>(())
    })?;
    Ok((store, rows))
}

/// Whether a test that needs something can go on. Under `CI` it must.
pub(crate) fn goes_on(need: &str, is_there: bool) -> bool {
    assert!(is_there || std::env::var_os("CI").is_none(), "this test needs {need}");
    if !is_there {
        eprintln!("skipped: it needs {need}");
    }
    is_there
}

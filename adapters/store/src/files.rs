//! Files and folders around a store.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The file next to another whose name ends with `suffix`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A path without links and without `..`, so that a file has one name, and its lock one place. The folder has to be there, the file not.
pub(crate) fn resolved(path: &Path) -> io::Result<PathBuf> {
    if path.exists() {
        return path.canonicalize();
    }
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    Ok(folder(path).canonicalize()?.join(name))
}

/// The folder that a file is in.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Makes the name of a new file safe.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    // Elsewhere a folder cannot be opened as a file, and names are safe without.
    if cfg!(unix) { File::open(folder(path))?.sync_all() } else { Ok(()) }
}

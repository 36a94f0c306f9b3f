//! One Liveset for a file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use crate::error::OpenError;
use crate::files::beside;

/// A lock on the file `….lock` next to a store, held until it is dropped or the process ends. The lock file stays: to remove it would let
/// two hold locks on two files of that name.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let lock = beside(path, ".lock");
        let failed = |error| OpenError::io(&lock, &error);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(&lock).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.take(20).read_to_string(&mut holder);
                return Err(OpenError::InUse { path: path.into(), process: holder.trim().parse().ok() });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // The error of a second Liveset names this process. The lock holds without it.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // To close it is not enough: a process that this one is just starting has the file too, for a moment.
        let _ = self.file.unlock();
    }
}

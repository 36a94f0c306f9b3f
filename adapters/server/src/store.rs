//! The file in which sets survive a restart. Its code is behind the cargo feature `store`; without it, whoever asks for it is told so.

use std::path::Path;

use liveset::Builder;

#[cfg(not(feature = "store"))]
use crate::config::NOT_BUILT;
use crate::config::StoreConfig;
use crate::error::ServeError;

/// Opens the file, and gives it to the endpoint that is being built.
///
/// # Errors
///
/// Another Liveset has it open, it is damaged or of a newer format, or the system refuses; or it was not built in.
#[cfg(feature = "store")]
pub fn open(builder: Builder, config: &StoreConfig) -> Result<Builder, ServeError> {
    let wrong = |error: &dyn std::fmt::Display| ServeError::Store(error.to_string());
    let durability = config.durability.parse().map_err(|error| wrong(&error))?;
    let file = liveset_store::SetsFile::open(&config.path, durability).map_err(|error| wrong(&error))?;
    Ok(builder.store(file))
}

/// Copies a store as it is at one moment into a new file, whether or not a server has it open, and reads the copy whole. Says what was
/// copied.
///
/// # Errors
///
/// There is no store, a file is where the copy would be, the store is damaged, or the copy cannot be written; or it was not built in.
#[cfg(feature = "store")]
pub fn backup(from: &Path, to: &Path) -> Result<String, ServeError> {
    let copy = liveset_store::backup(from, to).map_err(|error| ServeError::Store(error.to_string()))?;
    let rows = if copy.rows == 1 { "row" } else { "rows" };
    Ok(format!("copied {} {rows}, up to commit {}, to {}", copy.rows, copy.position, to.display()))
}

/// Opens the file, and gives it to the endpoint that is being built.
///
/// # Errors
///
/// It was not built in.
#[cfg(not(feature = "store"))]
pub fn open(_: Builder, _: &StoreConfig) -> Result<Builder, ServeError> {
    Err(ServeError::Store(NOT_BUILT.into()))
}

/// Copies a store.
///
/// # Errors
///
/// It was not built in.
#[cfg(not(feature = "store"))]
pub fn backup(_: &Path, _: &Path) -> Result<String, ServeError> {
    Err(ServeError::Store(NOT_BUILT.into()))
}

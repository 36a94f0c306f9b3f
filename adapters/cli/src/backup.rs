//! `liveset backup`: a copy of a store.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use liveset_server::serve::ServeError;
use liveset_server::store;

/// Arguments of `liveset backup`.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// The file of the store, as `path` of [store] names it
    #[arg(value_name = "STORE")]
    pub store: PathBuf,

    /// The copy; there must be no file of that name yet
    #[arg(value_name = "COPY")]
    pub copy: PathBuf,
}

/// Copies a store as it is at one moment, reads the copy whole, and prints what is in it. A server goes on meanwhile.
///
/// # Errors
///
/// There is no store, a file is where the copy would be, the store is damaged, or the copy cannot be written.
pub async fn run(args: BackupArgs) -> Result<(), ServeError> {
    let copying = tokio::task::spawn_blocking(move || store::backup(&args.store, &args.copy));
    let copied = copying.await.map_err(|error| ServeError::Store(format!("copying failed: {error}")))??;
    // Whoever closed our output does not want it.
    let _ = writeln!(std::io::stdout(), "{copied}");
    Ok(())
}

//! `[store]`: the file that keeps the sets.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::validate::Problem;

/// The answer to whoever asks for a store that was not built in.
#[cfg(not(feature = "store"))]
pub(crate) const NOT_BUILT: &str =
    "this program was built without the store; build it with `--features store`";

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// The file, relative to the configuration file. It is made where there is none.
    pub path: PathBuf,
    /// When a commit is safe from a crash of the machine: `always`, before its writer is answered; or within a time, as `100ms`.
    #[serde(default = "always")]
    pub durability: String,
}

fn always() -> String {
    "always".into()
}

impl StoreConfig {
    /// A file whose commits are safe when they are answered.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), durability: always() }
    }

    #[cfg(feature = "store")]
    pub(super) fn validate(&self) -> Result<(), Problem> {
        let problem = |key: &str, message: String| Err(Problem { key: format!("store.{key}"), message });
        if self.path.as_os_str().is_empty() {
            return problem("path", "a file needs a name".into());
        }
        match self.durability.parse::<liveset_store::Durability>() {
            Ok(_) => Ok(()),
            Err(error) => problem("durability", error.to_string()),
        }
    }

    #[cfg(not(feature = "store"))]
    pub(super) fn validate(&self) -> Result<(), Problem> {
        Err(Problem { key: "store".into(), message: NOT_BUILT.into() })
    }
}

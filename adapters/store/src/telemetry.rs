//! What is counted and timed, with the feature `metrics`. Names and meanings are in the guide's page on the store.

#[cfg(feature = "metrics")]
pub(crate) use counted::*;
#[cfg(not(feature = "metrics"))]
pub(crate) use uncounted::*;

#[cfg(feature = "metrics")]
mod counted {
    use std::fs;
    use std::path::Path;
    use std::time::Instant;

    use metrics::{counter, gauge, histogram};

    use crate::error::AppendError;

    /// A time that is being taken.
    pub(crate) struct Watch(Instant);

    impl Watch {
        pub(crate) fn start() -> Self {
            Self(Instant::now())
        }

        /// Commits were written as one.
        pub(crate) fn written(self, commits: usize) {
            histogram!("liveset_store_write_seconds").record(self.0.elapsed().as_secs_f64());
            histogram!("liveset_store_commits_together").record(commits as f64);
        }

        /// What was written is safe.
        pub(crate) fn synced(self) {
            histogram!("liveset_store_sync_seconds").record(self.0.elapsed().as_secs_f64());
        }
    }

    pub(crate) fn sizes(file: &Path, log: &Path) {
        for (name, path) in [("main", file), ("log", log)] {
            let bytes = fs::metadata(path).map_or(0, |file| file.len());
            gauge!("liveset_store_bytes", "file" => name).set(bytes as f64);
        }
    }

    pub(crate) fn waiting(bytes: usize) {
        gauge!("liveset_store_waiting_bytes").set(bytes as f64);
    }

    pub(crate) fn refused(error: &AppendError) {
        let reason = match error {
            AppendError::NoRoom => "no_room",
            AppendError::Busy => "busy",
            AppendError::OutOfOrder { .. } => "out_of_order",
            AppendError::Overloaded => "overloaded",
            AppendError::Failed(_) => "failed",
        };
        counter!("liveset_store_refusals_total", "reason" => reason).increment(1);
    }
}

#[cfg(not(feature = "metrics"))]
mod uncounted {
    use std::path::Path;

    use crate::error::AppendError;

    pub(crate) struct Watch;

    impl Watch {
        pub(crate) fn start() -> Self {
            Self
        }

        pub(crate) fn written(self, _: usize) {}

        pub(crate) fn synced(self) {}
    }

    pub(crate) fn sizes(_: &Path, _: &Path) {}

    pub(crate) fn waiting(_: usize) {}

    pub(crate) fn refused(_: &AppendError) {}
}

//! The threads that keep live queries where these are spread over several shards.

use liveset_engine::Part;
use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// Fewer operations than this are done on the thread that commits: waking others would cost more.
const WORTH_WAKING: usize = 64;

/// No threads where there is one shard.
#[derive(Debug)]
pub(crate) struct Shards(Option<ThreadPool>);

impl Shards {
    pub(crate) fn new(shards: usize) -> Result<Self, ThreadPoolBuildError> {
        if shards <= 1 {
            return Ok(Self(None));
        }
        let named = |index| format!("liveset-shard-{index}");
        // The engine has no more shards than that.
        let pool = ThreadPoolBuilder::new().num_threads(shards.min(256)).thread_name(named).build()?;
        Ok(Self(Some(pool)))
    }

    /// Runs the parts of a commit of so many operations; what is left over is the engine's to run.
    pub(crate) fn run(&self, ops: usize, parts: &mut [Part<'_>]) {
        if let Some(pool) = self.0.as_ref().filter(|_| ops >= WORTH_WAKING) {
            pool.install(|| parts.par_iter_mut().for_each(Part::run));
        }
    }
}

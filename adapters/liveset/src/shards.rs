//! The threads that keep live queries where these are spread over several shards.

#[cfg(feature = "shards")]
use rayon::ThreadPool;
/// There is none.
#[cfg(not(feature = "shards"))]
type ThreadPool = std::convert::Infallible;

use liveset_engine::Part;

/// Fewer operations than this are done on the thread that commits: waking others would cost more.
#[cfg(feature = "shards")]
const WORTH_WAKING: usize = 64;

/// No threads where there is one shard.
#[derive(Debug)]
pub(crate) struct Shards(Option<ThreadPool>);

impl Shards {
    pub(crate) fn new(shards: usize) -> Result<Self, String> {
        match shards {
            0 | 1 => Ok(Self(None)),
            // The engine has no more shards than that.
            _ => threads(shards.min(256)).map(|pool| Self(Some(pool))),
        }
    }

    /// Runs the parts of a commit of so many operations; what is left over is the engine's to run.
    #[cfg_attr(not(feature = "shards"), expect(unused_variables, reason = "there are no threads"))]
    pub(crate) fn run(&self, ops: usize, parts: &mut [Part<'_>]) {
        #[cfg(feature = "shards")]
        if let Some(pool) = self.0.as_ref().filter(|_| ops >= WORTH_WAKING) {
            use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};
            pool.install(|| parts.par_iter_mut().for_each(Part::run));
        }
    }
}

#[cfg(feature = "shards")]
fn threads(count: usize) -> Result<ThreadPool, String> {
    let named = |index| format!("liveset-shard-{index}");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(named).build();
    pool.map_err(|error| error.to_string())
}

#[cfg(not(feature = "shards"))]
fn threads(_: usize) -> Result<ThreadPool, String> {
    Err("`liveset` was built without its feature `shards`".to_owned())
}

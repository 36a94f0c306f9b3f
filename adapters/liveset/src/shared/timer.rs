//! The one task that keeps time for an endpoint, and does what the hub has put off.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::contain::contain;
use crate::shared::Shared;

/// Never sleeps longer than this: a far deadline is looked at again, and the wall clock may have been set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Whether the current runtime has a timer; also where there is no runtime. tokio says so by a panic alone.
pub(crate) fn has_timer() -> bool {
    tokio::runtime::Handle::try_current().is_err()
        || contain(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok()
}

/// Without a timer no deadline would ever come: neither that of a token nor that of a client that is gone.
///
/// # Panics
///
/// Where the current runtime has none, or there is none.
pub(crate) fn require_timer() {
    // With the place of whoever called us.
    assert!(
        tokio::runtime::Handle::try_current().is_ok() && has_timer(),
        "Liveset needs a tokio runtime with its timer: build the runtime with `enable_time` or `enable_all`"
    );
}

/// Whether the task runs, and how to tell it that a deadline came nearer.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    running: AtomicBool,
    /// The runtime that it was to run on has no timer.
    is_lame: AtomicBool,
    rearm: Notify,
}

impl Timer {
    pub(crate) fn rearm(&self) {
        self.rearm.notify_one();
    }

    /// Starts the task on the current runtime, which has a timer, unless it runs already.
    pub(crate) fn require(self: &Arc<Self>, shared: &Arc<Shared>) {
        require_timer();
        self.is_lame.store(false, Ordering::Relaxed);
        self.ensure(shared);
    }

    /// Starts the task on the current runtime, unless it runs already, or there is none: then it starts with the next
    /// use from within one.
    pub(crate) fn ensure(self: &Arc<Self>, shared: &Arc<Shared>) {
        if self.running.load(Ordering::Acquire) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.is_lame.load(Ordering::Relaxed) || self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        if !has_timer() {
            // As without a runtime: time moves with each use. What serves connections refuses to.
            tracing::error!("the runtime has no timer: nothing that depends on time happens in time");
            self.is_lame.store(true, Ordering::Relaxed);
            self.running.store(false, Ordering::Release);
            return;
        }
        let running = Running(self.clone());
        runtime.spawn(keep_time(running, Arc::downgrade(shared)));
    }
}

/// Says that the task is gone, also where its runtime was shut down under it: the next use starts another.
struct Running(Arc<Timer>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
    }
}

/// Ends when the last handle does.
async fn keep_time(running: Running, shared: Weak<Shared>) {
    loop {
        let Some(wait) = shared.upgrade().map(|shared| shared.fire()) else { return };
        let rearmed = running.0.rearm.notified();
        match wait {
            // One slice was done. Others have the lock and this thread before the next.
            Some(Duration::ZERO) => tokio::task::yield_now().await,
            // Whether it was told or the time came, what is due is looked at.
            Some(wait) => drop(tokio::time::timeout(wait.min(LONGEST_SLEEP), rearmed).await),
            None => rearmed.await,
        }
    }
}

//! What the tests under faults share: a network in memory on tokio's clock, clients over it that check every word they
//! are told, and a second opinion on what they must be told.
#![allow(unreachable_pub, reason = "a test has no outside")]

pub mod client;
pub mod link;
pub mod truth;
pub mod world;

use std::any::Any;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use fastrand::Rng;
use liveset::{Liveset, Stats};

/// Locks what a panic may have left: whoever panicked first has said what is wrong.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of some.
pub fn pick<'a, T>(random: &mut Rng, of: &'a [T]) -> &'a T {
    &of[random.usize(..of.len())]
}

/// A runtime of one thread, whose clock stands still while anyone has something to do, and jumps when nobody has.
pub fn on_virtual_time<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(test)
}

/// Runs a test for each seed: the first `count`, as many as `LIVESET_SEEDS` says, or the one that `LIVESET_SEED` names. A
/// seed that fails is told, with how to run it again. Tells for how many it was run.
pub fn for_seeds(test: &str, count: u64, mut run: impl FnMut(u64)) -> u64 {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("LIVESET_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("LIVESET_SEEDS").unwrap_or(count),
    };
    let mut done = 0;
    for seed in seeds {
        done += 1;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            let mut told = format!("\nseed {seed} fails: {}\n", message_of(&*panic));
            let _ = writeln!(told, "again: LIVESET_SEED={seed} cargo test -p liveset --test alone {test}");
            eprintln!("{told}");
            resume_unwind(panic);
        }
    }
    done
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}

/// How many panics there were so far, those that the endpoint contained included.
pub fn panics() -> usize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    static COUNTING: Once = Once::new();
    COUNTING.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            COUNT.fetch_add(1, Ordering::Relaxed);
            told(panic);
        }));
    });
    COUNT.load(Ordering::Relaxed)
}

/// What an endpoint holds: everything in its stats that is no sum over its past.
pub fn held(liveset: &Liveset) -> impl PartialEq + std::fmt::Debug + use<> {
    let Stats { connections, hub, .. } = liveset.stats();
    let (backlog, engine) = (hub.backlog, hub.engine);
    [
        ("served", connections as u64),
        ("connections", hub.connections as u64),
        ("authenticating", hub.authenticating as u64),
        ("closing", hub.closing as u64),
        ("control messages", backlog.control as u64),
        ("events", backlog.events as u64),
        ("changes", backlog.changes as u64),
        ("bytes", (backlog.control_bytes + backlog.bytes) as u64),
        ("subscriptions", hub.subscriptions as u64),
        ("paths", hub.subscribed_paths as u64),
        ("live queries", hub.live_queries as u64),
        ("watches", hub.watches as u64),
        ("waiting", hub.waiting as u64),
        ("feeds", hub.feeds as u64),
        ("lingering feeds", hub.lingering_feeds as u64),
        ("resume log", hub.resume_log_changes as u64),
        ("hub deadlines", hub.deadlines as u64),
        ("views", engine.views),
        ("unindexed views", engine.unindexed_views),
        ("engine feeds", engine.feeds),
        ("engine deadlines", engine.deadlines),
        ("window bytes", engine.window_bytes),
    ]
}

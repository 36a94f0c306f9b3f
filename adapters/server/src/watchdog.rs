//! Watches the threads of the runtime: code that blocks one of them (an authenticator that waits without `await`, a commit of
//! millions of nodes) must not stop the others.
//!
//! Of the threads that have nothing to do, one waits for sockets and timers, and the others only for work. When the one that waited
//! for sockets is stuck in a task that it found there, nobody looks after them, and the whole process seems to hang. A task that
//! does nothing wakes another thread for it.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;

/// How long sockets may be left alone.
const EVERY: Duration = Duration::from_millis(250);
/// A thread that has been in one task for so many times as long is stuck.
const STUCK: u32 = 4;

/// Watches until it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    _stop: Sender<()>,
}

impl Watchdog {
    /// Watches the runtime that it is called in, from a thread of its own. Without one to be had nothing is watched.
    pub(crate) fn start() -> Option<Watchdog> {
        let runtime = Handle::try_current().ok()?;
        let (stop, stopped) = channel();
        let watching = move || {
            let mut workers = vec![Worker::default(); runtime.metrics().num_workers()];
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                for (index, worker) in workers.iter_mut().enumerate() {
                    if worker.is_stuck(Progress::of(&runtime, index)) {
                        metrics::counter!("liveset_stuck_threads_total").increment(1);
                        tracing::warn!(
                            thread = index,
                            "a thread of the runtime has been in one task for a second"
                        );
                    }
                }
                runtime.spawn(std::future::ready(()));
            }
        };
        match thread::Builder::new().name("watchdog".into()).spawn(watching) {
            Ok(_) => Some(Watchdog { _stop: stop }),
            Err(error) => {
                tracing::warn!(%error, "the threads of the runtime are not watched");
                None
            }
        }
    }
}

/// What a thread has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// How often it lay down to sleep or got up: odd while it sleeps.
    parks: u64,
    /// How long it has worked, as far as it has come to say so.
    busy: Duration,
}

impl Progress {
    #[cfg(target_has_atomic = "64")]
    fn of(runtime: &Handle, worker: usize) -> Progress {
        let metrics = runtime.metrics();
        Progress {
            parks: metrics.worker_park_unpark_count(worker),
            busy: metrics.worker_total_busy_duration(worker),
        }
    }

    /// The runtime does not say.
    #[cfg(not(target_has_atomic = "64"))]
    fn of(_: &Handle, _: usize) -> Progress {
        Progress { parks: 1, busy: Duration::ZERO }
    }

    fn sleeps(self) -> bool {
        self.parks % 2 == 1
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Worker {
    last: Progress,
    /// So often in a row it was found awake where it was found before.
    unmoved: u32,
}

impl Worker {
    /// Whether it is found to be stuck; once for each time that it is.
    fn is_stuck(&mut self, now: Progress) -> bool {
        self.unmoved = if now == self.last && !now.sleeps() { self.unmoved.saturating_add(1) } else { 0 };
        self.last = now;
        self.unmoved == STUCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(parks: u64, busy: u64) -> Progress {
        Progress { parks, busy: Duration::from_millis(busy) }
    }

    #[test]
    fn stuck_is_who_is_awake_and_gets_nowhere() {
        let mut worker = Worker::default();
        let mut found = |progress: Progress| (0..20).filter(|_| worker.is_stuck(progress)).count();
        assert_eq!(found(at(1, 5)), 0, "asleep");
        assert_eq!(found(at(2, 5)), 1, "awake, and said once");
        assert_eq!(found(at(3, 90)), 0, "asleep again");
        assert_eq!(found(at(4, 90)), 1, "stuck again");
        assert_eq!((5..50).filter(|n| worker.is_stuck(at(4, 90 + n))).count(), 0, "busy, but it gets on");
    }

    #[test]
    fn a_thread_that_blocks_does_not_stop_the_others() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let watchdog = Watchdog::start();
            assert!(watchdog.is_some());
            let (release, released) = channel::<()>();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let serving = tokio::spawn(async move {
                let _first = listener.accept().await.unwrap();
                // Spawned by whoever waited for the socket, and run by it at once.
                let blocking = tokio::spawn(async move { released.recv() });
                let _second = listener.accept().await.unwrap();
                release.send(()).unwrap();
                assert!(blocking.await.unwrap().is_ok());
            });
            let client = tokio::task::spawn_blocking(move || {
                let _first = std::net::TcpStream::connect(address).unwrap();
                thread::sleep(EVERY);
                let _second = std::net::TcpStream::connect(address).unwrap();
            });
            client.await.unwrap();
            // Not a timer of the runtime: it would stand still too.
            let late = tokio::task::spawn_blocking(|| thread::sleep(Duration::from_secs(60)));
            tokio::select! {
                served = serving => served.unwrap(),
                _ = late => panic!("the second was never accepted"),
            }
        });
        runtime.shutdown_background();
    }
}

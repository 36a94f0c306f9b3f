//! Signals: stop, and read again.

use std::io;

use tokio::sync::watch;

use crate::log;

/// What the system may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SIGINT, or ctrl-c.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP.
    Hangup,
}

/// A signal, none lost between two waits. Where there are no signals, ctrl-c is the only one.
#[derive(Debug)]
pub struct Signal {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
    #[cfg(not(unix))]
    kind: Kind,
}

impl Signal {
    /// Listens from now on; the signal no longer ends the process.
    ///
    /// # Errors
    ///
    /// The signal cannot be listened to.
    pub fn listen(kind: Kind) -> io::Result<Signal> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let kind = match kind {
                Kind::Interrupt => SignalKind::interrupt(),
                Kind::Terminate => SignalKind::terminate(),
                Kind::Hangup => SignalKind::hangup(),
            };
            Ok(Signal { signal: signal(kind)? })
        }
        #[cfg(not(unix))]
        Ok(Signal { kind })
    }

    /// The next one. Can be dropped and called again.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        #[cfg(not(unix))]
        if self.kind == Kind::Interrupt && tokio::signal::ctrl_c().await.is_ok() {
            return;
        }
        std::future::pending().await
    }
}

/// How far the end of the process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It serves.
    Serving,
    /// It serves while it waits, then sends clients away, some at a time.
    Draining,
    /// All go at once.
    Closing,
}

/// Says when the process is to stop. Clones see the same.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<Stage>);

impl Stop {
    /// SIGTERM drains, SIGINT closes at once. Another signal goes one stage on: from draining to closing, and from there it ends the
    /// process.
    ///
    /// # Errors
    ///
    /// The signals cannot be listened to.
    pub fn on_signals() -> io::Result<Stop> {
        let (sender, receiver) = watch::channel(Stage::Serving);
        let (mut interrupt, mut terminate) =
            (Signal::listen(Kind::Interrupt)?, Signal::listen(Kind::Terminate)?);
        tokio::spawn(async move {
            loop {
                let (signal, is_interrupt) = tokio::select! {
                    () = interrupt.next() => ("SIGINT", true),
                    () = terminate.next() => ("SIGTERM", false),
                };
                let stage = *sender.borrow();
                let next = match stage {
                    Stage::Serving if !is_interrupt => Stage::Draining,
                    Stage::Serving | Stage::Draining => Stage::Closing,
                    Stage::Closing => break tracing::warn!(signal, "stopping at once"),
                };
                tracing::info!(signal, stage = ?next, "stopping");
                sender.send_replace(next);
            }
            log::flush();
            std::process::exit(130);
        });
        Ok(Stop(receiver))
    }

    /// Waits until it is to stop.
    pub async fn wait(self) {
        self.wait_for(Stage::Draining).await;
    }

    /// Waits until all are to go at once.
    pub async fn wait_for_closing(self) {
        self.wait_for(Stage::Closing).await;
    }

    async fn wait_for(mut self, wanted: Stage) {
        // An error is a sender that is gone: nobody can ask any more.
        let _ = self.0.wait_for(|stage| *stage >= wanted).await;
    }
}

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

/// Becomes true when the process is asked to stop. Clones see the same.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Stops on SIGINT or SIGTERM. A second one ends the process at once.
    ///
    /// # Errors
    ///
    /// The signals cannot be listened to.
    pub fn on_signals() -> io::Result<Stop> {
        let (sender, receiver) = watch::channel(false);
        let (mut interrupt, mut terminate) =
            (Signal::listen(Kind::Interrupt)?, Signal::listen(Kind::Terminate)?);
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    () = interrupt.next() => "SIGINT",
                    () = terminate.next() => "SIGTERM",
                }
            };
            let signal = next().await;
            tracing::info!(signal, "stopping");
            sender.send_replace(true);
            let signal = next().await;
            tracing::warn!(signal, "stopping at once");
            log::flush();
            std::process::exit(130);
        });
        Ok(Stop(receiver))
    }

    /// Stops when the sender is set to true, or dropped.
    pub fn on(receiver: watch::Receiver<bool>) -> Stop {
        Stop(receiver)
    }

    /// Waits for it.
    pub async fn wait(mut self) {
        // An error is a sender that is gone: nobody can ask any more.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

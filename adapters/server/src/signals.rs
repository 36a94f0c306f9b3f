//! Signals: stop, and read again.

use tokio::sync::watch;

use crate::log;

/// Becomes true when the process is asked to stop. Clones see the same.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Stops on SIGINT or SIGTERM (ctrl-c where there are no signals). A second one ends the process at once.
    ///
    /// # Errors
    ///
    /// The signals cannot be listened to.
    pub fn on_signals() -> std::io::Result<Stop> {
        let (sender, receiver) = watch::channel(false);
        let mut signals = Signals::new()?;
        tokio::spawn(async move {
            let name = signals.next().await;
            tracing::info!(signal = name, "stopping");
            sender.send_replace(true);
            let name = signals.next().await;
            tracing::warn!(signal = name, "stopping at once");
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

/// Each ctrl-c, none lost between two waits.
#[derive(Debug)]
pub struct Interrupts {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Interrupts {
    /// Listens from now on; ctrl-c no longer ends the process.
    ///
    /// # Errors
    ///
    /// The signal cannot be listened to.
    pub fn listen() -> std::io::Result<Interrupts> {
        Ok(Interrupts {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?,
        })
    }

    /// The next one. Can be dropped and called again.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_ok() {
            return;
        }
        std::future::pending().await
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals)
    }

    async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "ctrl-c",
            Err(_) => std::future::pending().await,
        }
    }
}

/// Requests to read the configuration again (SIGHUP).
#[derive(Debug)]
pub struct Reloads {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Reloads {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// The signal cannot be listened to.
    pub fn listen() -> std::io::Result<Reloads> {
        Ok(Reloads {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
        })
    }

    /// The next request. Where there is no such signal, never.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}

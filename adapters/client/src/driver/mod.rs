//! The task of a client: keeps one connection open, and gives it what handles want.
//!
//! ```text
//! connecting ──► connected ──► reconnecting ──► connected …
//!      └──────► needs auth ◄────────┘
//! ```

mod link;
mod pause;
mod talk;
mod wishes;

use std::error::Error as StdError;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use liveset_core::{Monotonic, Token};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_rustls::rustls::ClientConfig;

use self::link::{Incoming, Link};
use self::pause::pause;
use self::talk::{Loss, Talk};
use self::wishes::Wishes;
use crate::address::Address;
use crate::error::Error;
use crate::handle::Command;
use crate::status::{ConnectionStatus, Heard, State};
use crate::timing::Timing;

/// A connection that lived this long was a good one: the next is tried soon.
const GOOD: Duration = Duration::from_secs(5);

type BoxError = Box<dyn StdError + Send + Sync>;

/// Where tokens come from; it is told whether the last one was refused.
pub(crate) type Source =
    Arc<dyn Fn(bool) -> Pin<Box<dyn Future<Output = Result<Token, BoxError>> + Send>> + Send + Sync>;

/// Sees each message of the server.
pub(crate) type Inspect = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// What the host has chosen.
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) source: Source,
    pub(crate) timing: Timing,
    pub(crate) inspect: Option<Inspect>,
}

/// Nobody wants the client any more.
struct Stop;

/// The task of a client.
pub(crate) struct Driver {
    settings: Settings,
    commands: mpsc::UnboundedReceiver<Command>,
    state: watch::Sender<State>,
    heard: Arc<Heard>,
    wishes: Wishes,
    begun: Instant,
    /// Attempts since the last good connection.
    attempt: u32,
    /// Tokens in a row that were refused.
    refusals: u32,
}

impl Driver {
    pub(crate) fn new(
        settings: Settings,
        commands: mpsc::UnboundedReceiver<Command>,
        state: watch::Sender<State>,
        heard: Arc<Heard>,
    ) -> Driver {
        Driver {
            settings,
            commands,
            state,
            heard,
            wishes: Wishes::default(),
            begun: Instant::now(),
            attempt: 0,
            refusals: 0,
        }
    }

    /// Runs until nobody wants the client any more.
    pub(crate) async fn run(mut self) {
        while let Ok(()) = self.connect().await {}
    }

    /// One connection, from the attempt to what follows from its end.
    async fn connect(&mut self) -> Result<(), Stop> {
        let attempt = open(
            self.settings.address.clone(),
            self.settings.tls.clone(),
            self.settings.source.clone(),
            self.refusals > 0,
            self.settings.timing.patience,
        );
        let (loss, lasted) = match self.meanwhile(attempt).await? {
            Ok((link, token)) => self.serve(link, &token).await?,
            Err(error) => (Loss::Broken(error), None),
        };
        self.recover(loss, lasted).await
    }

    /// Talks until the connection is lost: why it was, and how long the server has taken the token for good.
    async fn serve(&mut self, mut link: Link, token: &Token) -> Result<(Loss, Option<Duration>), Stop> {
        let mut talk = Talk::new(token, self.settings.timing, self.now());
        let mut connected = None;
        let loss = loop {
            if let Err(loss) = self.send(&mut link, &mut talk).await {
                break loss;
            }
            let timeout = talk.poll_timeout().map(|at| at.saturating_since(self.now()));
            let turn = tokio::select! {
                incoming = link.next() => self.hear(incoming, &mut link, &mut talk).await,
                command = self.commands.recv() => match self.take(command, Some(&mut talk)) {
                    Ok(_) => Ok(()),
                    Err(Stop) => {
                        // Whoever waits is not to wait for the goodbye.
                        self.stop();
                        link.close().await;
                        return Err(Stop);
                    }
                },
                () = tokio::time::sleep(timeout.unwrap_or(self.settings.timing.silence)) => Ok(()),
            };
            if let Err(loss) = turn.and_then(|()| talk.handle_timeout(self.now(), &mut self.wishes)) {
                break loss;
            }
            if connected.is_none() && talk.is_authenticated() {
                connected = Some(Instant::now());
                self.refusals = 0;
                self.tell(ConnectionStatus::Connected, None, None);
            }
        };
        talk.end(&loss, &mut self.wishes);
        Ok((loss, connected.map(|at: Instant| at.elapsed())))
    }

    async fn send(&self, link: &mut Link, talk: &mut Talk) -> Result<(), Loss> {
        let mut is_written = false;
        while let Some(text) = talk.poll_transmit(self.now()) {
            link.write(text).await.map_err(|problem| talk.broken(problem))?;
            is_written = true;
        }
        match is_written {
            true => link.flush().await.map_err(|problem| talk.broken(problem)),
            false => Ok(()),
        }
    }

    /// Takes what has come, and what else is there already.
    async fn hear(&mut self, first: Incoming, link: &mut Link, talk: &mut Talk) -> Result<(), Loss> {
        self.heard.now();
        let mut next = Some(first);
        while let Some(incoming) = next {
            match incoming {
                Incoming::Text(text) => {
                    self.settings.inspect.iter().for_each(|inspect| inspect(&text));
                    talk.handle_text(self.now(), &text, &mut self.wishes)?;
                }
                Incoming::Ping(payload) => {
                    link.pong(payload).await.map_err(|problem| talk.broken(problem))?;
                }
                Incoming::End(problem) => return Err(talk.broken(problem)),
            }
            next = link.try_next();
        }
        Ok(())
    }

    /// Waits as long as it takes, or as the loss demands, until there is to be another attempt.
    async fn recover(&mut self, loss: Loss, lasted: Option<Duration>) -> Result<(), Stop> {
        let was_good = lasted.is_some_and(|lasted| lasted >= GOOD);
        if was_good {
            self.attempt = 0;
        }
        let (is_refused, error) = match loss {
            Loss::Refused(error) => (true, error),
            Loss::Misled(error) | Loss::Broken(error) => (false, error),
        };
        tracing::info!(address = self.settings.address.authority, %error, "there is no connection to the Liveset server");
        self.refusals += u32::from(is_refused);
        if self.refusals > 1 {
            self.tell(ConnectionStatus::NeedsAuth, Some(Error::NeedsAuth), None);
            self.rest(None).await?;
            (self.refusals, self.attempt) = (0, 0);
            self.tell(ConnectionStatus::Reconnecting, None, Some(Duration::ZERO));
            return Ok(());
        }
        // A token that was refused, or has expired in use, is exchanged at once. All else waits: others were cut off too.
        if is_refused && (was_good || lasted.is_none()) {
            self.tell(ConnectionStatus::Reconnecting, Some(error), Some(Duration::ZERO));
            return Ok(());
        }
        let pause = pause(&self.settings.timing, self.attempt);
        self.attempt += 1;
        self.tell(ConnectionStatus::Reconnecting, Some(error), Some(pause));
        self.rest(Some(pause)).await
    }

    /// Takes commands until the future is done.
    async fn meanwhile<F: Future>(&mut self, future: F) -> Result<F::Output, Stop> {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                output = &mut future => return Ok(output),
                // Nothing is tried again while something is tried.
                command = self.commands.recv() => {
                    self.take(command, None)?;
                }
            }
        }
    }

    /// Takes commands for a time, or until one of them is to try again.
    async fn rest(&mut self, pause: Option<Duration>) -> Result<(), Stop> {
        let until = pause.map(|pause| Instant::now() + pause);
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = sleep(left) => return Ok(()),
                command = self.commands.recv() => {
                    if let Turn::TryAgain = self.take(command, None)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Does what a handle wants, now where there is a conversation, else with the next.
    fn take(&mut self, command: Option<Command>, talk: Option<&mut Talk>) -> Result<Turn, Stop> {
        let wishes = &mut self.wishes;
        match command {
            None | Some(Command::Close) => return Err(Stop),
            Some(Command::Reconnect) => return Ok(Turn::TryAgain),
            Some(Command::Watch { key, query, shown }) => {
                wishes.watch(key, query, shown);
                talk.into_iter().for_each(|talk| talk.create(key, wishes));
            }
            Some(Command::Unwatch(key)) => {
                if wishes.watched.remove(&key).is_some() {
                    talk.into_iter().for_each(|talk| talk.destroy(key));
                }
            }
            Some(Command::Subscribe { key, path, events, heard }) => {
                wishes.subscribe(key, path, events, heard);
                talk.into_iter().for_each(|talk| talk.subscribe(key, wishes));
            }
            Some(Command::Unsubscribe(key)) => {
                if wishes.subscribed.remove(&key).is_some() {
                    talk.into_iter().for_each(|talk| talk.unsubscribe(key));
                }
            }
            Some(Command::Await { position, reached }) => {
                if let Some((name, talk)) = wishes.wait(position, reached).zip(talk) {
                    talk.wait(name, wishes);
                }
            }
        }
        Ok(Turn::GoOn)
    }

    /// There is another status of the connection.
    fn tell(&mut self, status: ConnectionStatus, error: Option<Error>, pause: Option<Duration>) {
        self.wishes.doubt(status.cause());
        self.state.send_replace(State { status, error, pause });
    }

    /// Ends whatever somebody waits for.
    fn stop(&mut self) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            command.refuse();
        }
        self.wishes.close();
        self.state.send_if_modified(|state| {
            let is_news = state.status != ConnectionStatus::Closed;
            (state.status, state.error, state.pause) = (ConnectionStatus::Closed, None, None);
            is_news
        });
    }

    fn now(&self) -> Monotonic {
        Monotonic::from_epoch(self.begun.elapsed())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a command means for who waits to connect.
enum Turn {
    GoOn,
    TryAgain,
}

/// Gets a token, in a task of its own because that is foreign code, and connects.
async fn open(
    address: Address,
    tls: Option<Arc<ClientConfig>>,
    source: Source,
    is_refused: bool,
    patience: Duration,
) -> Result<(Link, Token), Error> {
    let mut asking = tokio::spawn(async move { source(is_refused).await });
    let token = match tokio::time::timeout(patience, &mut asking).await {
        Ok(Ok(Ok(token))) => Ok(token),
        Ok(Ok(Err(error))) => Err(format!("there is no token: {error}")),
        Ok(Err(error)) => Err(format!("there is no token: {error}")),
        Err(_) => {
            asking.abort();
            Err(format!("there is no token in {patience:?}"))
        }
    };
    let token = token.map_err(|problem| Error::Offline(problem.into()))?;
    Ok((Link::connect(&address, tls, patience).await?, token))
}

/// Sleeps; for ever where there is no end.
async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

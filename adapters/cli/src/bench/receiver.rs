//! One connection: made, authenticated, subscribed, and then read as cheaply as can be.
//!
//! A connection is one task. Messages are counted where they lie in the buffer of the [`Link`]; nothing is allocated for
//! one. A connection that stalls is not read at all, and has a receive buffer as small as the system makes it.
//!
//! It does not stand on `liveset-client`, which folds what it reads: that took 25 to 32 µs of CPU for each change where these frames
//! took 9 to 13 (100 connections with a window of 100 rows, 150,000 changes, one release build, two runs of each in turn on a machine
//! with two busy cores). A generator that is slower by half measures itself. Samples that are verified have a [`ClientSession`].

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use liveset_core::{
    AuthOptions, ClientBody, ClientLimits, ClientMessage, ClientSession, LiveQueryRequest, Monotonic, Query,
    ServerMessage, SubscriptionSpec, Token,
};
use tokio::sync::watch;

use super::meter::{Meter, Shard, Side, Stamped};
use super::plan::Plan;
use super::scan::{self, Kind, Stamps};
use super::schedule::Nanos;
use crate::load::frames::{self, Frames};
use crate::load::link::{Link, NARROW, NO_MASK, Way};
use crate::load::lock;
use crate::url::ServerUrl;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The name of the event subscription.
const EVENTS: &str = "e";

/// What the connections do, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// All read.
    Run,
    /// Those that stall read no more, once they have their first results.
    Stall,
    /// They read again.
    Thaw,
    /// All close.
    End,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) url: ServerUrl,
    pub(super) address: SocketAddr,
    pub(super) token: Token,
    pub(super) plan: Plan,
    pub(super) stamps: Stamps,
    pub(super) meter: Meter,
    /// Path and type of the events to subscribe to.
    pub(super) events: Option<(String, String)>,
}

/// A connection whose results are folded, to be verified.
pub(super) type Sample = Arc<Mutex<ClientSession>>;

/// A connection until its end.
pub(super) async fn run(
    shared: Arc<Shared>,
    index: u32,
    side: Side,
    sample: Option<Sample>,
    stage: watch::Receiver<Stage>,
) {
    let begun = shared.meter.clock.now();
    let path = format!("{}/ws", shared.url.base);
    let way = Way {
        address: shared.address,
        upgrade: Some((shared.url.authority.as_str(), &path)),
        receive_buffer: (side == Side::Stalled).then_some(NARROW),
    };
    let link = match tokio::time::timeout(CONNECT_TIMEOUT, way.connect()).await {
        Ok(Ok(link)) => link,
        Ok(Err(error)) => return failed(&shared, error.to_string()),
        Err(_) => return failed(&shared, format!("no connection in {CONNECT_TIMEOUT:?}")),
    };
    let reader = Reader { index, side, begun, shared, sample, waiting: None, is_closed: false };
    Connection { link, reader, is_over: false }.live(stage).await;
}

fn failed(shared: &Shared, error: String) {
    shared.meter.failed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    shared.meter.trouble(|| format!("a connection failed: {error}"));
}

struct Connection {
    link: Link,
    reader: Reader,
    /// Nothing more can be read.
    is_over: bool,
}

impl Connection {
    async fn live(&mut self, mut stage: watch::Receiver<Stage>) {
        let token = self.reader.shared.token.clone();
        let text = self.reader.say(ClientBody::Auth { token, options: AuthOptions::default() });
        self.link.say(frames::TEXT, &text);
        if self.reader.side == Side::Stalled {
            while self.reader.waiting != Some(0) && !self.is_over {
                self.step().await;
            }
            self.read_until(stage.clone(), Stage::Stall).await;
            // Its own end, too, is seen only when it reads again.
            let _ = stage.wait_for(|stage| *stage >= Stage::Thaw).await;
        }
        self.read_until(stage, Stage::End).await;
        if !self.is_over {
            self.link.say(frames::CLOSE, &1000_u16.to_be_bytes());
            let closing = async {
                while !self.is_over && !self.reader.is_closed {
                    self.step().await;
                }
            };
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
        }
    }

    /// Reads until that stage, or the end of the connection.
    async fn read_until(&mut self, mut stage: watch::Receiver<Stage>, end: Stage) {
        // One future for all the reads: it is registered once, and looked at only where there is nothing to read.
        let reached = async { drop(stage.wait_for(|stage| *stage >= end).await) };
        let mut reached = std::pin::pin!(reached);
        while !self.is_over {
            tokio::select! {
                biased;
                () = &mut reached => return,
                () = self.step() => {}
            }
        }
    }

    /// Writes what is to be written, then reads once. Can be dropped and called again.
    async fn step(&mut self) {
        let Connection { link, reader, .. } = self;
        let step = async {
            link.flush().await?;
            link.read(|bytes, frames, out| reader.take(bytes, frames, out)).await
        };
        if matches!(step.await, Ok(0) | Err(_)) {
            self.is_over = true;
            self.reader.lost();
        }
    }
}

/// A handler of the frames of a connection.
struct Reader {
    index: u32,
    side: Side,
    begun: Nanos,
    shared: Arc<Shared>,
    sample: Option<Sample>,
    /// Answers that must come before the connection is ready; nothing before `authenticated`.
    waiting: Option<u32>,
    /// The server said goodbye.
    is_closed: bool,
}

impl Reader {
    fn lost(&mut self) {
        let shared = self.shared.clone();
        if !std::mem::replace(&mut self.is_closed, true) {
            *shared.meter.shard(self.index).counts(self.side).closes.entry("lost".into()).or_default() += 1;
        }
        if self.waiting != Some(0) {
            failed(&shared, "it ended before its first results".into());
        }
    }

    fn take(&mut self, bytes: &[u8], frames: &mut Frames, out: &mut Vec<u8>) -> io::Result<()> {
        let shared = self.shared.clone();
        let now = shared.meter.clock.now();
        shared.meter.hear(self.side, now);
        let mut shard = shared.meter.shard(self.index);
        shard.counts(self.side).bytes += bytes.len() as u64;
        let read = frames.read(bytes, |opcode, payload| match opcode {
            frames::TEXT => self.message(payload, now, &mut shard, out),
            frames::PING => frames::write(frames::PONG, payload, NO_MASK, out),
            frames::CLOSE => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                let name = code.map_or_else(|| "none".into(), |code| code.to_string());
                if !std::mem::replace(&mut self.is_closed, true) {
                    *shard.counts(self.side).closes.entry(name).or_default() += 1;
                }
                frames::write(frames::CLOSE, payload, NO_MASK, out);
            }
            _ => {}
        });
        read.map_err(|error| {
            shared.meter.trouble(|| error.to_owned());
            io::Error::other(error)
        })
    }

    fn message(&mut self, text: &[u8], now: Nanos, shard: &mut Shard, out: &mut Vec<u8>) {
        let kind = scan::kind(text);
        let counts = shard.counts(self.side);
        counts.messages += 1;
        match kind {
            Kind::Updated => {
                counts.updated += 1;
                self.stamp(text, now, Stamped::Diff, shard);
            }
            Kind::Added => {
                counts.added += 1;
                if scan::is_own_change(text) {
                    self.stamp(text, now, Stamped::Diff, shard);
                }
            }
            Kind::Removed => counts.removed += 1,
            Kind::Event => {
                counts.events += 1;
                self.stamp(text, now, Stamped::Event, shard);
            }
            Kind::Warning => {
                if let Ok(ServerMessage::Warning { message, .. }) = ServerMessage::parse(text) {
                    counts.dropped += scan::dropped(&message).unwrap_or(0);
                }
            }
            Kind::Error => self.error(text, now, shard),
            Kind::Authenticated => self.authenticated(now, out),
            Kind::Data { is_last: true } | Kind::Subscribed => self.answered(now),
            Kind::Ping if self.sample.is_none() => {
                frames::write(frames::TEXT, &self.say(ClientBody::Pong), NO_MASK, out)
            }
            Kind::Ping | Kind::Data { is_last: false } | Kind::Other => {}
        }
        self.fold(text, now, out);
    }

    fn stamp(&self, text: &[u8], now: Nanos, what: Stamped, shard: &mut Shard) {
        let meter = &self.shared.meter;
        let Some(windows) = meter.windows() else { return };
        let Some(due) = self.shared.stamps.find(text) else { return };
        if let Some(window) = windows.of(due) {
            shard.latency(window, self.side, what, now.saturating_sub(due));
        }
    }

    fn error(&mut self, text: &[u8], now: Nanos, shard: &mut Shard) {
        let Ok(ServerMessage::Error { code, message, .. }) = ServerMessage::parse(text) else { return };
        *shard.counts(self.side).errors.entry(code.to_string()).or_default() += 1;
        self.shared.meter.trouble(|| liveset_server::terminal::message(&format!("{code}: {message}")));
        // Until all is answered, this is an answer too.
        self.answered(now);
    }

    /// Asks for what the plan says.
    fn authenticated(&mut self, now: Nanos, out: &mut Vec<u8>) {
        if self.waiting.is_some() {
            return;
        }
        let shared = self.shared.clone();
        let plan = &shared.plan;
        shared.meter.connected(now.saturating_sub(self.begun));
        self.begun = now;
        self.waiting = Some(plan.queries + u32::from(shared.events.is_some()));
        if self.sample.is_some() {
            // The session of a sample asks by itself, once it has seen this message too.
            return;
        }
        if let Some((path, event)) = &shared.events {
            let events = vec![event.as_str().into()];
            let wanted = SubscriptionSpec { id: EVENTS.into(), path: path.as_str().into(), events };
            let text = self.say(ClientBody::SubscribeEvents { subscriptions: vec![wanted] });
            frames::write(frames::TEXT, &text, NO_MASK, out);
        }
        for query in 0..plan.queries {
            if let Some((query, options, id)) = live_query(plan, self.index, query) {
                let text = self.say(ClientBody::CreateLiveQuery {
                    id: id.into(),
                    query,
                    options,
                    since: None,
                    have: None,
                });
                frames::write(frames::TEXT, &text, NO_MASK, out);
            }
        }
    }

    fn answered(&mut self, now: Nanos) {
        let Some(waiting @ 1..) = &mut self.waiting else { return };
        *waiting -= 1;
        if *waiting == 0 {
            self.shared.meter.loaded(now.saturating_sub(self.begun));
        }
    }

    /// Lets the session of a sample see the message, and sends what it wants to say.
    fn fold(&mut self, text: &[u8], now: Nanos, out: &mut Vec<u8>) {
        let Some(sample) = self.sample.clone() else { return };
        let mut session = lock(&sample);
        let was_authenticated = session.is_authenticated();
        if let Err(error) = session.handle_text(Monotonic::from_epoch(Duration::from_nanos(now)), text) {
            self.shared.meter.trouble(|| format!("what the server said does not fit: {error}"));
        }
        while session.poll_event().is_some() {}
        if session.is_authenticated() && !was_authenticated {
            self.ask(&mut session);
        }
        let mut said = Vec::new();
        while session.poll_transmit(&mut said) {
            frames::write(frames::TEXT, &said, NO_MASK, out);
            said.clear();
        }
    }

    fn ask(&self, session: &mut ClientSession) {
        if let Some((path, event)) = &self.shared.events {
            let events = vec![event.as_str().into()];
            session.subscribe(vec![SubscriptionSpec {
                id: EVENTS.into(),
                path: path.as_str().into(),
                events,
            }]);
        }
        for query in 0..self.shared.plan.queries {
            if let Some((query, options, id)) = live_query(&self.shared.plan, self.index, query) {
                session.create_live_query(LiveQueryRequest { options, ..LiveQueryRequest::new(id, query) });
            }
        }
    }

    /// What it says; a sample's session says it, so that it knows what is answered.
    fn say(&self, body: ClientBody) -> Vec<u8> {
        let mut text = Vec::new();
        match (&self.sample, body) {
            (Some(sample), ClientBody::Auth { token, .. }) => {
                let mut session = lock(sample);
                session.authenticate(&token);
                session.poll_transmit(&mut text);
            }
            (_, body) => ClientMessage { request_id: None, body }.write(&mut text),
        }
        text
    }
}

/// A query of the plan with its extensions and its id. Queries were checked before the run; of one that is none
/// with these numbers, nothing comes.
fn live_query(
    plan: &Plan,
    connection: u32,
    query: u32,
) -> Option<(Query, liveset_core::LiveQueryOptions, String)> {
    let spec = Query::parse(plan.query(connection, query).as_bytes()).ok()?;
    Some((spec, plan.options(connection, query), query_id(query)))
}

/// The name of a live query on its connection.
pub(super) fn query_id(query: u32) -> String {
    format!("q{query}")
}

/// A session for a connection that is to be verified.
pub(super) fn sample() -> Sample {
    // The meter sees by itself what is silent.
    let limits = ClientLimits::default().silence(Duration::from_secs(24 * 3600));
    Arc::new(Mutex::new(ClientSession::new(limits, Monotonic::ZERO)))
}

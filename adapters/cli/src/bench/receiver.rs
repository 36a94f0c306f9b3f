//! One connection: made, authenticated, subscribed, and then read as cheaply as can be.
//!
//! A connection is one task. Bytes are read into a buffer that all connections of a thread share, and counted where
//! they lie; nothing is allocated for a message. A connection that stalls is not read at all, and has a receive buffer
//! as small as the system makes it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fastwebsockets::handshake;
use liveset_core::{
    ClientBody, ClientLimits, ClientMessage, ClientSession, LiveQueryRequest, Moment, Query, ServerMessage,
    SubscriptionEntry, SubscriptionSpec, Token,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use super::frames::{self, Frames};
use super::meter::{Meter, Shard, Side, Stamped, lock};
use super::plan::Plan;
use super::scan::{self, Kind, Stamps};
use super::schedule::Nanos;
use crate::url::ServerUrl;
use liveset_server::secret::Secret;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// What is read at once, for all connections of a thread.
const READ_BYTES: usize = 128 * 1024;
/// What the system is asked to hold for a connection that stalls; it makes it as small as it can.
const NARROW: u32 = 4 * 1024;
/// The largest head of the answer to a handshake.
const MAX_HEAD_BYTES: usize = 16 * 1024;
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
    pub(super) token: Secret,
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
    let connecting = connect(&shared, side);
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return failed(&shared, error.to_string()),
        Err(_) => return failed(&shared, format!("no connection in {CONNECT_TIMEOUT:?}")),
    };
    let mut connection = Connection {
        index,
        side,
        begun,
        shared,
        sample,
        stream,
        frames: Frames::default(),
        out: Vec::new(),
        waiting: None,
        is_closed: false,
        is_over: false,
    };
    connection.live(stage).await;
}

fn failed(shared: &Shared, error: String) {
    shared.meter.failed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    shared.meter.trouble(|| format!("a connection failed: {error}"));
}

/// Connects and upgrades.
async fn connect(shared: &Shared, side: Side) -> io::Result<TcpStream> {
    let socket = if shared.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if side == Side::Stalled {
        socket.set_recv_buffer_size(NARROW)?;
    }
    let mut stream = socket.connect(shared.address).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {}\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n",
        shared.url.path("/ws"),
        shared.url.authority,
        handshake::generate_key()
    );
    stream.write_all(request.as_bytes()).await?;
    // The server says nothing more until it is spoken to, so that nothing behind the head can be lost.
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD_BYTES {
            return Err(io::Error::other("the answer to the handshake is too long"));
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::Error::other("the server hung up during the handshake"));
        }
        let status = head.get(..12);
        if status.is_some_and(|status| status != b"HTTP/1.1 101") {
            let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
            return Err(io::Error::other(format!("no WebSocket there: {}", String::from_utf8_lossy(line))));
        }
    }
    Ok(stream)
}

struct Connection {
    index: u32,
    side: Side,
    begun: Nanos,
    shared: Arc<Shared>,
    sample: Option<Sample>,
    stream: TcpStream,
    frames: Frames,
    /// Frames that are to be written.
    out: Vec<u8>,
    /// Answers that must come before the connection is ready; nothing before `authenticated`.
    waiting: Option<u32>,
    /// The server said goodbye.
    is_closed: bool,
    /// Nothing more can be read.
    is_over: bool,
}

impl Connection {
    async fn live(&mut self, mut stage: watch::Receiver<Stage>) {
        self.say(&ClientBody::Auth { token: Cow::Borrowed(self.shared.clone().token.expose()) });
        if self.side == Side::Stalled {
            while self.waiting != Some(0) && !self.is_over {
                self.step().await;
            }
            self.read_until(stage.clone(), Stage::Stall).await;
            // Its own end, too, is seen only when it reads again.
            let _ = stage.wait_for(|stage| *stage >= Stage::Thaw).await;
        }
        self.read_until(stage, Stage::End).await;
        if !self.is_over {
            frames::write(frames::CLOSE, &1000_u16.to_be_bytes(), self.begun as u32, &mut self.out);
            let closing = async {
                while !self.is_over && !self.is_closed {
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

    /// Writes what is to be written, then reads once. Can be dropped and called again: a write that was begun is
    /// remembered.
    async fn step(&mut self) {
        while !self.out.is_empty() {
            match self.stream.write(&self.out).await {
                Ok(0) | Err(_) => return self.lost(),
                Ok(written) if written == self.out.len() => self.out = Vec::new(),
                Ok(written) => drop(self.out.drain(..written)),
            }
        }
        let read = std::future::poll_fn(|context| self.poll_read(context)).await;
        if matches!(read, Ok(0) | Err(_)) {
            self.lost();
        }
    }

    fn lost(&mut self) {
        self.is_over = true;
        let shared = self.shared.clone();
        if !std::mem::replace(&mut self.is_closed, true) {
            *shared.meter.shard(self.index).counts(self.side).closes.entry("lost".into()).or_default() += 1;
        }
        if self.waiting != Some(0) {
            failed(&shared, "it ended before its first results".into());
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        thread_local! {
            static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            let bytes = buffer.filled();
            if !bytes.is_empty() {
                self.take(bytes)?;
            }
            Poll::Ready(Ok(bytes.len()))
        })
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let shared = self.shared.clone();
        let now = shared.meter.clock.now();
        shared.meter.hear(self.side, now);
        let mut shard = shared.meter.shard(self.index);
        shard.counts(self.side).bytes += bytes.len() as u64;
        let mut frames = std::mem::take(&mut self.frames);
        let read = frames.read(bytes, |opcode, payload| match opcode {
            frames::TEXT => self.message(payload, now, &mut shard),
            frames::PING => frames::write(frames::PONG, payload, now as u32, &mut self.out),
            frames::CLOSE => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                let name = code.map_or_else(|| "none".into(), |code| code.to_string());
                if !std::mem::replace(&mut self.is_closed, true) {
                    *shard.counts(self.side).closes.entry(name).or_default() += 1;
                }
                frames::write(frames::CLOSE, payload, now as u32, &mut self.out);
            }
            _ => {}
        });
        self.frames = frames;
        read.map_err(|error| {
            shared.meter.trouble(|| error.to_owned());
            io::Error::other(error)
        })
    }

    fn message(&mut self, text: &[u8], now: Nanos, shard: &mut Shard) {
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
            Kind::Authenticated => self.authenticated(now),
            Kind::Data { is_last: true } | Kind::Subscribed => self.answered(now),
            Kind::Ping if self.sample.is_none() => self.say(&ClientBody::Pong),
            Kind::Ping | Kind::Data { is_last: false } | Kind::Other => {}
        }
        self.fold(text, now);
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
    fn authenticated(&mut self, now: Nanos) {
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
            let entry =
                SubscriptionEntry { id: EVENTS.into(), path: path.into(), events: vec![event.into()] };
            self.say(&ClientBody::SubscribeEvents { subscriptions: vec![entry] });
        }
        for query in 0..plan.queries {
            if let Some((query, options, id)) = live_query(plan, self.index, query) {
                self.say(&ClientBody::CreateLiveQuery { id: id.into(), query, options, since: None });
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
    fn fold(&mut self, text: &[u8], now: Nanos) {
        let Some(sample) = self.sample.clone() else { return };
        let mut session = lock(&sample);
        let was_authenticated = session.is_authenticated();
        if let Err(error) = session.handle_text(Moment::from_epoch(Duration::from_nanos(now)), text) {
            self.shared.meter.trouble(|| format!("what the server said does not fit: {error}"));
        }
        while session.poll_event().is_some() {}
        if session.is_authenticated() && !was_authenticated {
            self.ask(&mut session);
        }
        let mut said = Vec::new();
        while session.poll_transmit(&mut said) {
            frames::write(frames::TEXT, &said, now as u32, &mut self.out);
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

    /// Says something; a sample's session says it, so that it knows what is answered.
    fn say(&mut self, body: &ClientBody<'_>) {
        let mut text = Vec::new();
        match (&self.sample, body) {
            (Some(sample), ClientBody::Auth { token }) => {
                let mut session = lock(sample);
                session.authenticate(&Token::new(&**token));
                session.poll_transmit(&mut text);
            }
            _ => ClientMessage { request_id: None, body: body.clone() }.write(&mut text),
        }
        frames::write(frames::TEXT, &text, self.begun as u32, &mut self.out);
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
    let limits = ClientLimits { silence: Duration::from_secs(24 * 3600) };
    Arc::new(Mutex::new(ClientSession::new(limits, Moment::ZERO)))
}

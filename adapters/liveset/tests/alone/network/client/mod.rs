//! A client over a link: its session is the library's, its frames are its own, and everything it is told is held against
//! the truth.

mod check;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use fastrand::Rng;
use liveset::{Liveset, Token};
use liveset_core::{
    ClientLimits, ClientSession, LiveQueryOptions, LiveQueryRequest, LiveResult, Monotonic, SubscriptionSpec,
};
use liveset_fuzz::frames::{self, CLOSE, CONTINUATION, PING, PONG, TEXT, frame};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::link::{self, Shape, Socket, Wire};
use super::lock;
use super::truth::{Question, SETS, Truth};

/// A live query as its client knows it.
#[derive(Clone, Debug)]
pub struct Held {
    pub question: usize,
    pub options: LiveQueryOptions,
    /// Where the question's past ended when it was asked.
    asked: usize,
    /// Where in the question's past the client is, at least.
    at: usize,
    version: Option<String>,
    /// It went on from its rows, and does not have all of the result yet.
    lacks_rows: bool,
    /// The latest content of each node that the client was sent.
    revisions: BTreeMap<String, u64>,
    destroying: bool,
}

#[derive(Clone, Debug)]
pub struct Subscribed {
    pub path: String,
    pub kinds: Vec<String>,
    /// How many of its events there were when it was asked for, and when it was confirmed.
    asked: usize,
    confirmed: Option<usize>,
    /// The place of the next among its events; unknown before the first.
    next: Option<usize>,
    /// Events that a warning said were dropped since the last that came.
    dropped: usize,
    leaving: bool,
}

/// How a connection ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Eof,
    Broken,
}

/// What was counted, to see that something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub messages: u64,
    pub diffs: u64,
    /// Complete commits, or folds of some, that were found in the past.
    pub versions: u64,
    /// Those of them that were folds.
    pub folded: u64,
    pub events: u64,
    pub dropped: u64,
    pub resumed: u64,
    /// Those of them that went on from the rows that they had.
    pub resumed_by_rows: u64,
    pub pongs: u64,
    /// Of everything that came, and when.
    pub fingerprint: u64,
}

pub struct State {
    pub session: ClientSession,
    truth: Arc<Mutex<Truth>>,
    random: Rng,
    pub held: BTreeMap<String, Held>,
    pub subscribed: BTreeMap<String, Subscribed>,
    out: Vec<u8>,
    input: Vec<u8>,
    /// Takes what comes.
    pub reads: bool,
    /// Says no more.
    finishing: bool,
    sent_close: bool,
    pub close_code: Option<u16>,
    pub end: Option<End>,
    pings: u64,
    last_event: Option<usize>,
    started: Instant,
    waker: Option<Waker>,
    pub tally: Tally,
    /// What came and when, in nanoseconds, if it is to be kept.
    pub log: Option<Vec<(u64, String)>>,
}

/// One connection of a client, with both of its ends.
pub struct Client {
    pub state: Arc<Mutex<State>>,
    pub wire: Wire,
    reading: JoinHandle<()>,
    pub serving: JoinHandle<()>,
}

impl Client {
    /// Connects and says who it is.
    pub fn connect(liveset: &Liveset, truth: &Arc<Mutex<Truth>>, shape: Shape, mut random: Rng) -> Self {
        let (client, server, wire) = link::connect(shape, random.fork());
        Self::over(liveset, truth, client, server, wire, random)
    }

    pub fn over(
        liveset: &Liveset,
        truth: &Arc<Mutex<Truth>>,
        client: Socket,
        server: Socket,
        wire: Wire,
        random: Rng,
    ) -> Self {
        let serving = tokio::spawn({
            let liveset = liveset.clone();
            async move { liveset.serve(server, None).await }
        });
        let started = Instant::now();
        let mut session = ClientSession::new(ClientLimits::default(), Monotonic::ZERO);
        session.authenticate(&Token::new("t"));
        let state = Arc::new(Mutex::new(State {
            session,
            truth: truth.clone(),
            random,
            held: BTreeMap::new(),
            subscribed: BTreeMap::new(),
            out: Vec::new(),
            input: Vec::new(),
            reads: true,
            finishing: false,
            sent_close: false,
            close_code: None,
            end: None,
            pings: 0,
            last_event: None,
            started,
            waker: None,
            tally: Tally::default(),
            log: None,
        }));
        let reading = tokio::spawn(converse(state.clone(), client));
        Self { state, wire, reading, serving }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Changes something, and has it taken note of.
    pub fn act<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = act(&mut state);
        state.waker.take().into_iter().for_each(Waker::wake);
        result
    }

    pub fn has_ended(&self) -> bool {
        self.state().end.is_some()
    }

    /// Lets its end of the connection go.
    pub fn drop_socket(&self) {
        self.reading.abort();
        self.state().end.get_or_insert(End::Broken);
    }

    /// Waits until both ends are gone. What they panicked over comes out here.
    pub async fn gone(self) {
        for task in [self.reading, self.serving] {
            match task.await {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                _ => {}
            }
        }
    }

    /// Whether its task panicked, or the endpoint's.
    pub fn has_panicked(&self) -> bool {
        self.state.is_poisoned()
    }
}

/// Writes and reads whatever can be, until the connection ends.
async fn converse(state: Arc<Mutex<State>>, mut socket: Socket) {
    let end = poll_fn(|cx| state.lock().expect("no panic before").poll(cx, &mut socket)).await;
    state.lock().expect("no panic before").end = Some(end);
}

impl State {
    fn poll(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<End> {
        self.waker = Some(cx.waker().clone());
        loop {
            self.frame_messages();
            while !self.out.is_empty() {
                match Pin::new(&mut *socket).poll_write(cx, &self.out) {
                    Poll::Ready(Ok(count)) => drop(self.out.drain(..count)),
                    Poll::Ready(Err(_)) => {
                        // What was said before may still be read.
                        self.out.clear();
                        break;
                    }
                    Poll::Pending => break,
                }
            }
            if self.finishing && self.out.is_empty() {
                let _ = Pin::new(&mut *socket).poll_shutdown(cx);
            }
            if !self.reads {
                return Poll::Pending;
            }
            let mut bytes = [0; 4096];
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *socket).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(End::Broken),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(End::Eof),
                Poll::Ready(Ok(())) => {
                    self.input.extend_from_slice(buffer.filled());
                    while let Some((opcode, payload)) = self.next_frame() {
                        self.take(opcode, &payload);
                    }
                }
            }
        }
    }

    fn now(&self) -> Monotonic {
        Monotonic::from_epoch(self.started.elapsed())
    }

    // --- frames ---

    /// What the session says goes out, in one frame or in several.
    fn frame_messages(&mut self) {
        let mut text = Vec::new();
        while self.session.poll_transmit(&mut text) {
            let message = std::mem::take(&mut text);
            if self.sent_close || self.finishing {
                continue;
            }
            if self.random.u64(..100) >= 10 {
                self.out.extend(frame(true, TEXT, &message));
                continue;
            }
            let (first, rest) = message.split_at(self.random.usize(..message.len()));
            self.out.extend(frame(false, TEXT, first));
            self.ping_transport();
            self.out.extend(frame(true, CONTINUATION, rest));
        }
    }

    pub fn ping_transport(&mut self) {
        if !self.sent_close {
            self.pings += 1;
            self.out.extend(frame(true, PING, &self.pings.to_be_bytes()));
        }
    }

    /// Sends a close frame.
    pub fn close(&mut self) {
        self.frame_messages();
        self.out.extend(frame(true, CLOSE, &1000u16.to_be_bytes()));
        self.sent_close = true;
    }

    /// Ends its half of the connection.
    pub fn finish(&mut self) {
        self.frame_messages();
        self.finishing = true;
    }

    fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (opcode, start, end) = frames::split(&self.input).ok()?;
        let payload = self.input[start..end].to_vec();
        self.input.drain(..end);
        Some((opcode, payload))
    }

    fn take(&mut self, opcode: u8, payload: &[u8]) {
        assert_eq!(self.close_code, None, "nothing follows a close frame");
        match opcode {
            TEXT => self.take_message(payload),
            PONG => {
                let number = u64::from_be_bytes(payload.try_into().expect("a payload of ours"));
                assert!((1..=self.pings).contains(&number), "a pong for no ping");
                self.tally.pongs += 1;
            }
            CLOSE => {
                let code = payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
                self.close_code = Some(code.expect("a code"));
                if !self.sent_close && !self.finishing {
                    self.out.extend(frame(true, CLOSE, payload));
                    self.sent_close = true;
                }
            }
            other => panic!("a frame of kind {other}"),
        }
    }

    // --- what it asks for ---

    pub fn create(
        &mut self,
        id: &str,
        question: usize,
        options: LiveQueryOptions,
        resumed: Option<(Held, LiveResult)>,
    ) {
        let truth = self.truth.clone();
        let truth = lock(&truth);
        let Question { set, .. } = truth.questions[question];
        let mut wanted = LiveQueryRequest::new(id, truth.questions[question].spec());
        wanted.options = options;
        wanted.key = SETS[set].1.to_owned();
        let asked = truth.past[question].len() - 1;
        let mut held = Held {
            question,
            options,
            asked,
            at: asked,
            version: None,
            lacks_rows: false,
            revisions: BTreeMap::new(),
            destroying: false,
        };
        if let Some((before, result)) = resumed {
            held.at = before.at;
            held.version = before.version;
            wanted.resume_from = Some(result);
        }
        self.session.create_live_query(wanted);
        assert!(self.held.insert(id.to_owned(), held).is_none(), "an id that is free");
    }

    pub fn destroy(&mut self, id: &str) {
        let held = self.held.get_mut(id).expect("a live query");
        if !std::mem::replace(&mut held.destroying, true) {
            self.session.destroy_live_query(id);
        }
    }

    pub fn subscribe(&mut self, id: &str, path: &str, kinds: &[&str]) {
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let asked = lock(&self.truth).events_for(path, &kinds).len();
        self.session.subscribe(vec![SubscriptionSpec {
            id: id.into(),
            path: path.into(),
            events: kinds.iter().map(|kind| kind.as_str().into()).collect(),
        }]);
        let path = path.to_owned();
        let subscribed =
            Subscribed { path, kinds, asked, confirmed: None, next: None, dropped: 0, leaving: false };
        self.subscribed.insert(id.to_owned(), subscribed);
    }

    pub fn unsubscribe(&mut self, id: &str) {
        let subscribed = self.subscribed.get_mut(id).expect("a subscription");
        if subscribed.confirmed.is_some() && !std::mem::replace(&mut subscribed.leaving, true) {
            self.session.unsubscribe([id]);
        }
    }

    /// Lets the session know the time.
    pub fn tick(&mut self) {
        let now = self.now();
        self.session.handle_timeout(now);
        while let Some(event) = self.session.poll_event() {
            self.learn(event, &Value::Null);
        }
    }

    /// What can be gone on with over another connection: ids with what is known.
    pub fn leftovers(&self) -> Vec<(String, Held, Option<LiveResult>)> {
        let held = self.held.iter().filter(|(_, held)| !held.destroying);
        held.map(|(id, held)| (id.clone(), held.clone(), self.session.live_query(id).cloned())).collect()
    }
}

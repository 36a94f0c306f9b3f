//! A connection in memory with the ills of a network: latency, narrow and slow lines, bytes that arrive in pieces, lines
//! that are held, resets that lose what is under way, peers that vanish.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result};
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How a network is while nothing is wrong with it.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Bytes that a line takes before they are read, those under way included.
    pub capacity: usize,
    /// What a piece takes to arrive.
    pub latency_ms: RangeInclusive<u64>,
    /// The most bytes that travel in one piece.
    pub piece: usize,
}

impl Shape {
    /// Wide and immediate.
    pub const IDEAL: Self = Self { capacity: 1 << 20, latency_ms: 0..=0, piece: usize::MAX };
}

/// The way from one end to the other, named by who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Up = 0,
    Down = 1,
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Both ends get an error at once; what is under way is lost.
    Reset,
    /// The client's end is closed; what it sent before arrives.
    Close,
    /// Nothing passes any more, and nobody is told.
    Vanish,
}

#[derive(Debug)]
struct Line {
    /// When each arrives, its bytes, and how many of them were read.
    pieces: VecDeque<(Instant, (Vec<u8>, usize))>,
    unread: usize,
    /// Bytes that were written, and that were read, so far.
    written: u64,
    read: u64,
    /// Bytes a second.
    rate: Option<u64>,
    /// When the last piece has left, where there is a rate.
    busy_until: Instant,
    held: bool,
    /// The writer says no more.
    finished: bool,
    /// Nobody will read.
    unheard: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug)]
struct Link {
    shape: Shape,
    random: Rng,
    lines: [Line; 2],
    reset: bool,
    vanished: bool,
}

/// One end: what a client or an endpoint reads and writes.
#[derive(Debug)]
pub struct Socket {
    link: Arc<Mutex<Link>>,
    writes: Way,
    arrival: Option<Pin<Box<Sleep>>>,
    /// After how many bytes that this end reads, and that it writes, the connection breaks.
    breaks: Option<(Break, Bytes)>,
}

/// Bytes that one end has read, and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    pub read: u64,
    pub written: u64,
}

/// The hand on the wire.
#[derive(Clone, Debug)]
pub struct Wire(Arc<Mutex<Link>>);

/// A connection: the client's end, the server's, and what can be done to it.
pub fn connect(shape: Shape, random: Rng) -> (Socket, Socket, Wire) {
    let line = || Line {
        pieces: VecDeque::new(),
        unread: 0,
        written: 0,
        read: 0,
        rate: None,
        busy_until: Instant::now(),
        held: false,
        finished: false,
        unheard: false,
        reader: None,
        writer: None,
    };
    let lines = [line(), line()];
    let link = Arc::new(Mutex::new(Link { shape, random, lines, reset: false, vanished: false }));
    let end = |writes| Socket { link: link.clone(), writes, arrival: None, breaks: None };
    (end(Way::Up), end(Way::Down), Wire(link.clone()))
}

impl Wire {
    fn link(&self) -> MutexGuard<'_, Link> {
        self.0.lock().expect("no panic in a socket")
    }

    /// Lets nothing pass until it is healed.
    pub fn hold(&self, way: Way) {
        self.link().lines[way as usize].held = true;
    }

    /// Lets so many bytes a second pass.
    pub fn slow(&self, way: Way, rate: u64) {
        self.link().lines[way as usize].rate = Some(rate);
    }

    /// Undoes holds and rates; what was late arrives now.
    pub fn heal(&self) {
        let mut link = self.link();
        for line in &mut link.lines {
            line.held = false;
            line.rate = None;
            line.busy_until = Instant::now();
            line.pieces.iter_mut().for_each(|(arrives, _)| *arrives = (*arrives).min(Instant::now()));
            line.wake();
        }
    }

    /// What pieces take from now on.
    pub fn set_latency(&self, latency_ms: RangeInclusive<u64>) {
        self.link().shape.latency_ms = latency_ms;
    }

    pub fn break_off(&self, how: Break) {
        self.link().break_off(how);
    }

    /// What one end has read and written so far.
    pub fn passed(&self, writes: Way) -> Bytes {
        let lines = &self.link().lines;
        Bytes { read: lines[1 - writes as usize].read, written: lines[writes as usize].written }
    }

    /// Whether nothing is under way.
    pub fn is_quiet(&self) -> bool {
        self.link().lines.iter().all(|line| line.unread == 0)
    }
}

impl Link {
    fn break_off(&mut self, how: Break) {
        let [up, down] = &self.lines;
        let already = match how {
            Break::Reset => self.reset,
            Break::Close => up.finished && down.unheard,
            Break::Vanish => self.vanished,
        };
        // Who is woken for nothing asks again.
        if already {
            return;
        }
        match how {
            Break::Reset => self.reset = true,
            Break::Close => {
                self.lines[Way::Up as usize].finished = true;
                self.lines[Way::Down as usize].unheard = true;
            }
            Break::Vanish => self.vanished = true,
        }
        self.lines.iter_mut().for_each(Line::wake);
    }
}

impl Line {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

impl Socket {
    /// Breaks the connection once this end has read, or has written, so many bytes.
    pub fn break_after(&mut self, how: Break, bytes: Bytes) {
        self.breaks = Some((how, bytes));
    }

    /// How many bytes may be read, and written, before the connection breaks; it does where that is none.
    fn allowed(&self, link: &mut Link) -> (usize, usize) {
        let Some((how, bytes)) = self.breaks else { return (usize::MAX, usize::MAX) };
        let read = bytes.read - link.lines[1 - self.writes as usize].read;
        let written = bytes.written - link.lines[self.writes as usize].written;
        if read == 0 || written == 0 {
            link.break_off(how);
        }
        (read as usize, written as usize)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let shared = this.link.clone();
        loop {
            let mut link = shared.lock().expect("no panic in a socket");
            let (allowed, _) = this.allowed(&mut link);
            if link.reset {
                return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
            }
            let vanished = link.vanished;
            let line = &mut link.lines[1 - this.writes as usize];
            line.reader = Some(cx.waker().clone());
            if line.held || vanished {
                return Poll::Pending;
            }
            let Some((arrives, piece)) = line.pieces.front_mut().filter(|_| allowed > 0) else {
                return if line.finished { Poll::Ready(Ok(())) } else { Poll::Pending };
            };
            let arrives = *arrives;
            if arrives > Instant::now() {
                drop(link);
                let arrival = this.arrival.get_or_insert_with(|| Box::pin(sleep_until(arrives)));
                arrival.as_mut().reset(arrives);
                ready!(arrival.as_mut().poll(cx));
                continue;
            }
            let (bytes, taken) = piece;
            let count = (bytes.len() - *taken).min(out.remaining()).min(allowed);
            out.put_slice(&bytes[*taken..*taken + count]);
            *taken += count;
            if *taken == bytes.len() {
                line.pieces.pop_front();
            }
            line.unread -= count;
            line.read += count as u64;
            line.writer.take().into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let shared = this.link.clone();
        let mut link = shared.lock().expect("no panic in a socket");
        let (_, allowed) = this.allowed(&mut link);
        if link.reset {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let Link { shape, random, lines, vanished, .. } = &mut *link;
        let line = &mut lines[this.writes as usize];
        if line.finished || (line.unheard && !line.held && !*vanished) {
            return Poll::Ready(Err(Error::from(ErrorKind::BrokenPipe)));
        }
        let room = shape.capacity.saturating_sub(line.unread).min(allowed);
        if room == 0 {
            line.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let piece = random.u64(1..=shape.piece as u64) as usize;
        let count = bytes.len().min(room).min(piece);
        let now = Instant::now();
        let mut leaves = now;
        if let Some(rate) = line.rate {
            line.busy_until =
                line.busy_until.max(now) + Duration::from_millis(1 + count as u64 * 1000 / rate);
            leaves = line.busy_until;
        }
        let latency = random.u64(*shape.latency_ms.start()..=*shape.latency_ms.end());
        // Nothing overtakes.
        let last = line.pieces.back().map_or(now, |(arrives, _)| *arrives);
        let arrives = last.max(leaves + Duration::from_millis(latency));
        line.pieces.push_back((arrives, (bytes[..count].to_vec(), 0)));
        line.unread += count;
        line.written += count as u64;
        line.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        let mut link = self.link.lock().expect("no panic in a socket");
        let line = &mut link.lines[self.writes as usize];
        line.finished = true;
        line.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let Ok(mut link) = self.link.lock() else { return };
        let (written, read) = (self.writes as usize, 1 - self.writes as usize);
        link.lines[written].finished = true;
        link.lines[read].unheard = true;
        link.lines[read].pieces.clear();
        link.lines[read].unread = 0;
        link.lines.iter_mut().for_each(Line::wake);
    }
}

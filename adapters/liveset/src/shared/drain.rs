//! Takes the outputs of the hub after an input, and acts on them without the lock.

use std::sync::Arc;
use std::task::Waker;

use liveset_core::{Attempt, ErrorCode, Monotonic, Token};
use liveset_hub::{LiveQueryStage, Now, Output};

use super::{Shared, State};
use crate::outbox::Offered;
use crate::peer::Peer;
use crate::telemetry;

/// Work for after the lock: it may call foreign code, or take the lock again.
#[derive(Default)]
pub(super) struct Effects {
    wakers: Vec<Waker>,
    verify: Vec<(Arc<Peer>, Attempt, Token)>,
    notes: Vec<(Arc<Peer>, Note)>,
    rearm: bool,
}

/// A line of the log about a connection. It is written without the lock, because a subscriber of the log may call back.
enum Note {
    LiveQuery(Arc<str>, LiveQueryStage),
    Error(ErrorCode),
    Crowded(Arc<str>),
    Panicked,
}

impl Note {
    /// Ids and subjects may be any text: Debug escapes them. The text of an error may quote what the client sent, which is nothing
    /// for a log.
    fn log(self) {
        match self {
            Note::LiveQuery(id, stage) => {
                let _span = tracing::debug_span!("live_query", ?id).entered();
                tracing::debug!(?stage);
            }
            Note::Error(code) => tracing::debug!(code = code.as_str(), "the client is told of an error"),
            Note::Crowded(subject) => {
                tracing::info!(?subject, "as many connections act for the subject, or its tenant, as may");
            }
            Note::Panicked => {
                tracing::error!("the policy panicked over this connection; the connection is closed");
            }
        }
    }
}

impl Effects {
    fn note(&mut self, peer: Option<&Arc<Peer>>, note: Note) {
        self.notes.extend(peer.map(|peer| (peer.clone(), note)));
    }
}

impl Shared {
    pub(super) fn carry_out(self: &Arc<Self>, effects: Effects) {
        let Effects { wakers, verify, notes, rearm } = effects;
        for waker in wakers {
            waker.wake();
        }
        for (peer, note) in notes {
            peer.span().in_scope(|| note.log());
        }
        for (peer, attempt, token) in verify {
            self.verify(&peer, attempt, token);
        }
        if rearm {
            self.timer.rearm();
            self.ensure_timer();
        }
    }
}

impl State {
    /// Copies diffs for everyone who can take them, and finds out what else is to be done.
    pub(super) fn drain(
        &mut self,
        at: tokio::time::Instant,
        monotonic: Monotonic,
        room: usize,
        effects: &mut Effects,
    ) {
        let began = tokio::time::Instant::now();
        let now = Now { monotonic, wall: self.wall.now() };
        let peers = &self.peers;
        let has_diffs = self.hub.fan_out(now, |conn, id, diffs| {
            let Some(Some(peer)) = peers.get(conn.slot()) else { return false };
            match peer.outbox.offer(at, id, diffs, room) {
                Offered::Taken(waker) => effects.wakers.extend(waker),
                Offered::Refused => return false,
            }
            true
        });
        if has_diffs {
            telemetry::fanned_out(began.elapsed());
        }
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Verify { conn, attempt, token } => {
                    if let Some(peer) = self.peer(conn) {
                        effects.verify.push((peer.clone(), attempt, token));
                    }
                }
                Output::Transmit { conn } => {
                    let waker = self.peer(conn).and_then(|peer| peer.outbox.announce(at));
                    effects.wakers.extend(waker);
                }
                Output::LiveQuery { conn, id, stage } if tracing::enabled!(tracing::Level::DEBUG) => {
                    effects.note(self.peer(conn), Note::LiveQuery(id, stage));
                }
                Output::Error { conn, code } => {
                    telemetry::told(code);
                    if code == ErrorCode::PingTimeout
                        && let Some(peer) = self.peer(conn)
                    {
                        peer.hurry();
                    }
                    if tracing::enabled!(tracing::Level::DEBUG) {
                        effects.note(self.peer(conn), Note::Error(code));
                    }
                }
                Output::Crowded { conn, subject } => effects.note(self.peer(conn), Note::Crowded(subject)),
                Output::Panicked { conn } => {
                    telemetry::panicked("policy");
                    effects.note(self.peer(conn), Note::Panicked);
                }
                Output::Watch { watch } => effects.wakers.extend(self.wakers.remove(&watch)),
                // Outputs that a later hub may have are none that this driver asked for.
                _ => {}
            }
        }
        let timeouts = self.hub.poll_timeout();
        effects.rearm = timeouts.is_due_already
            || is_earlier(timeouts.monotonic, self.armed.monotonic)
            || is_earlier(timeouts.wall, self.armed.wall);
        if effects.rearm {
            self.armed = timeouts;
        }
    }
}

/// Whether the timer task would wake too late: it may wake too early.
fn is_earlier<T: Ord>(wanted: Option<T>, armed: Option<T>) -> bool {
    match (wanted, armed) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(wanted), Some(armed)) => wanted < armed,
    }
}

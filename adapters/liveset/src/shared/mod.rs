//! What all handles, connections and streams of one endpoint share: the hub behind its lock, and everything that must
//! happen after it was touched.

mod chain;
mod drain;
mod kept;
mod seen;
mod shutdown;
mod slices;
mod sources;
mod streams;
pub(crate) mod timer;
mod verify;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use liveset_core::{CloseCode, Monotonic, model::Refusals};
use liveset_engine::Timestamp;
use liveset_hub::{ConnectionId, ConnectionUse, Hub, Now, Parser, Payer, Timeouts, WatchId};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::address::{ClientAddress, origin};
use crate::clock::WallClock;
use crate::contain::{Panicked, contain};
use crate::door::Door;
use crate::limits::TransportLimits;
use crate::peer::Peer;
use crate::shards::Shards;
use crate::storage::Storage;
use crate::telemetry;
pub(crate) use chain::Chain;
use drain::Effects;
use kept::Progress;
pub(crate) use kept::{Done, NotDone, OfStorage};
pub(crate) use seen::{Key, Seen};
pub use shutdown::Drain;
pub(crate) use sources::{Known, News, Origin, Sources, history};
use timer::Timer;

/// A timer that is later than this was not late by chance.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// How long what came meanwhile may take to be read then, and what waited to be written.
pub(crate) const AFTER_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Shared {
    /// A lock that is fair when it is held for long: whoever does one slice after the other hands it to those who wait between
    /// two of them.
    state: Mutex<State>,
    /// Held while a commit is applied: a large one lets the lock go between its slices, and no other comes between them.
    pub(crate) commits: Mutex<()>,
    /// Reads messages and queries, outside of the lock.
    pub(crate) parser: Parser,
    pub(crate) sources: Sources,
    pub(crate) door: Door,
    pub(crate) transport: TransportLimits,
    pub(crate) sizes: Sizes,
    /// What was refused by limits without the lock on the hub.
    pub(crate) refusals: Mutex<Refusals>,
    pub(crate) shards: Shards,
    /// What keeps commits, if anything does.
    pub(crate) storage: OnceLock<Box<dyn Storage>>,
    /// Where the monotonic clock begins.
    start: tokio::time::Instant,
    timer: Arc<Timer>,
    /// A shutdown was asked for.
    draining: AtomicBool,
    /// It closes connections, and those that come too.
    closing: AtomicBool,
    /// A connection came without an address, which was said.
    nameless: AtomicBool,
    /// How many connections are being served.
    serving: watch::Sender<usize>,
}

/// How much of something there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Bytes of a message.
    pub(crate) message_bytes: usize,
    /// Bytes of the rows that answer a query.
    pub(crate) initial_bytes: usize,
    /// Bytes of rows that are kept as they were for whoever reads a set.
    pub(crate) scan_bytes: usize,
    /// Bytes of rows that are gathered to replace the content of sets.
    pub(crate) replace_bytes: u64,
    /// Steps of work in one go.
    pub(crate) hold_steps: u64,
    /// For how long work waits that was asked for beyond what may be spent.
    pub(crate) overdraft: Duration,
}

/// What the lock protects. Only [`Shared::run`] and its like touch it.
struct State {
    hub: Hub,
    kept: Progress,
    wall: WallClock,
    /// Those that the hub knows, by the slot of their connection.
    peers: Vec<Option<Arc<Peer>>>,
    /// All whose sockets are open, also after the hub has let them go.
    open: HashMap<ConnectionId, Arc<Peer>>,
    /// Streams that wait for their next update.
    wakers: HashMap<WatchId, Waker>,
    /// Whether the last handle is gone.
    has_ended: bool,
    /// The timeouts that the timer task knows of.
    armed: Timeouts,
}

impl Shared {
    pub(crate) fn new(
        hub: Hub,
        wall: WallClock,
        door: Door,
        transport: TransportLimits,
        sizes: Sizes,
        shards: Shards,
        sources: Sources,
    ) -> Arc<Self> {
        let start = door.start;
        let parser = hub.parser();
        let state = State {
            hub,
            kept: Progress::default(),
            wall,
            peers: Vec::new(),
            open: HashMap::new(),
            wakers: HashMap::new(),
            has_ended: false,
            armed: Timeouts::default(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
            commits: Mutex::new(()),
            parser,
            sources,
            door,
            transport,
            sizes,
            refusals: Mutex::default(),
            shards,
            storage: OnceLock::new(),
            start,
            timer: Arc::new(Timer::default()),
            draining: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            nameless: AtomicBool::new(false),
            serving: watch::Sender::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn monotonic(&self) -> Monotonic {
        Monotonic::from_epoch(self.start.elapsed())
    }

    /// Gives the hub one input and carries out what comes of it. A panic of the hub (or of a host's policy in it) is
    /// contained; what follows from it is the caller's to decide.
    pub(crate) fn run<T>(self: &Arc<Self>, input: impl FnOnce(&mut Hub, Now) -> T) -> Result<T, Panicked> {
        self.run_locked(|state, monotonic| {
            let now = Now { monotonic, wall: state.wall.now() };
            input(&mut state.hub, now)
        })
    }

    /// The same, with a moment that the data itself names; it counts where the input is taken, see [`WallClock`].
    pub(crate) fn run_at<T, E>(
        self: &Arc<Self>,
        at: Option<Timestamp>,
        input: impl FnOnce(&mut Hub, Now) -> Result<T, E>,
    ) -> Result<Result<T, E>, Panicked> {
        self.run_locked(|state, monotonic| {
            let wall = state.wall.now_with(at);
            let result = input(&mut state.hub, Now { monotonic, wall });
            if result.is_ok() {
                state.wall.advance(wall);
            }
            result
        })
    }

    fn run_locked<T>(
        self: &Arc<Self>,
        input: impl FnOnce(&mut State, Monotonic) -> T,
    ) -> Result<T, Panicked> {
        let mut effects = Effects::default();
        let result = {
            let mut state = self.lock();
            let at = tokio::time::Instant::now();
            let now = Monotonic::from_epoch(at.saturating_duration_since(self.start));
            let _ = contain(|| state.notice_pause(now));
            let result = contain(|| input(&mut state, now));
            if !has_runtime() && state.hub.poll_timeout().is_due_already {
                // Nobody else may come to do it.
                let _ = contain(|| {
                    let now = Now { monotonic: now, wall: state.wall.now() };
                    state.hub.handle_timeout(now);
                });
            }
            let drained = contain(|| state.drain(at, now, self.transport.outbox_bytes, &mut effects));
            if result.is_err() || drained.is_err() {
                telemetry::panicked("hub");
            }
            result
        };
        self.carry_out(effects);
        result
    }

    /// Reads of the hub, which have no consequences.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Hub) -> T) -> T {
        look(&self.lock().hub)
    }

    /// Work was done for somebody without the hub; says for how long no more is to be done for them.
    pub(crate) fn pay(&self, payer: &Payer, steps: u64) -> Duration {
        let mut state = self.lock();
        let now = Now { monotonic: self.monotonic(), wall: state.wall.now() };
        state.hub.pay(now, payer, steps)
    }

    // --- time ---

    /// Starts the timer task, unless it runs or there is no runtime to run it on.
    pub(crate) fn ensure_timer(self: &Arc<Self>) {
        self.timer.ensure(self);
    }

    /// The same for whoever cannot do without.
    ///
    /// # Panics
    ///
    /// Where there is no runtime, or it has no timer.
    pub(crate) fn require_timer(self: &Arc<Self>) {
        self.timer.require(self);
    }

    /// Does what is due, or a slice of what was put off, and says after which time something is due again.
    pub(crate) fn fire(self: &Arc<Self>) -> Option<Duration> {
        if self.run(|hub, now| hub.handle_timeout(now)).is_err() {
            tracing::error!("the hub panicked over what was due");
            // What is due may still be: not at once again.
            return Some(Duration::from_secs(1));
        }
        let mut state = self.lock();
        let timeouts = state.hub.poll_timeout();
        state.armed = timeouts;
        if timeouts.is_due_already {
            return Some(Duration::ZERO);
        }
        let monotonic = timeouts.monotonic.map(|at| at.saturating_since(self.monotonic()));
        let wall = timeouts.wall.and_then(|at| state.wall.until(at));
        monotonic.into_iter().chain(wall).min()
    }

    /// Does a slice where no task of ours may ever run: outside of a runtime, where every use does a slice.
    pub(crate) fn work_here(self: &Arc<Self>) {
        if !has_runtime() && self.look(|hub| hub.poll_timeout().is_due_already) {
            let _ = self.run(|_, _| ());
        }
    }

    // --- connections ---

    /// Takes a connection in.
    pub(crate) fn connect(
        self: &Arc<Self>,
        runtime: tokio::runtime::Handle,
        address: Option<ClientAddress>,
    ) -> Result<Arc<Peer>, Panicked> {
        // Known under the same lock: what the hub says of the connection finds it.
        let peer = self.run_locked(|state, monotonic| {
            let now = Now { monotonic, wall: state.wall.now() };
            let conn = state.hub.connect_from(now, origin(address));
            let peer = Arc::new(Peer::new(conn, runtime, address));
            if state.peers.len() <= conn.slot() {
                state.peers.resize_with(conn.slot() + 1, || None);
            }
            state.peers[conn.slot()] = Some(peer.clone());
            state.open.insert(conn, peer.clone());
            peer
        })?;
        self.serving.send_modify(|count| *count += 1);
        telemetry::opened();
        if address.is_none() && !self.nameless.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "connections come without the address of their client: whoever guesses tokens is not slowed down (give it to \
                 `serve`, put a `ClientAddress` into the request's extensions, or serve axum with `ConnectInfo<SocketAddr>`)"
            );
        }
        Ok(peer)
    }

    /// Nothing that a connection sends counts any more, and everything that was held for it is freed.
    pub(crate) fn disconnect(self: &Arc<Self>, peer: &Peer) {
        peer.end();
        // Under one lock: the next connection may have its slot.
        let _ = self.run_locked(|state, monotonic| {
            state.forget(peer.id());
            let now = Now { monotonic, wall: state.wall.now() };
            state.hub.handle_disconnect(now, peer.id());
        });
    }

    /// The connection is closed: until then a shutdown waits for it, and cuts it at its deadline.
    pub(crate) fn forget(&self, peer: &Peer) {
        let known = self.lock().open.remove(&peer.id()).is_some();
        if known {
            self.serving.send_modify(|count| *count = count.saturating_sub(1));
        }
    }

    /// Gives an input of one connection to the hub. If that panics, this connection is the one to go.
    pub(crate) fn run_for(self: &Arc<Self>, peer: &Peer, input: impl FnOnce(&mut Hub, Now, ConnectionId)) {
        let conn = peer.id();
        if self.run(|hub, now| input(hub, now, conn)).is_ok() {
            return;
        }
        tracing::error!("a message of this connection made the hub panic; the connection is closed");
        // The session may be in any state: if it cannot even say that it failed, the transport does.
        if !peer.set_failed() || self.run(|hub, now| hub.fail(now, conn)).is_err() {
            peer.close(CloseCode::Internal.as_u16());
        }
        // Whatever the hub still has queued for this connection may not have been announced.
        peer.wake();
    }

    /// Those whose sockets are open, in the order in which they came.
    pub(crate) fn open_connections(&self) -> Vec<ConnectionId> {
        let mut ids: Vec<ConnectionId> = self.lock().open.keys().copied().collect();
        ids.sort_unstable_by_key(|id| id.number());
        ids
    }

    /// Tells what these hold, and their peers. Those that the hub has let go are left out.
    pub(crate) fn look_at_connections<T>(
        &self,
        ids: &[ConnectionId],
        mut tell: impl FnMut(ConnectionId, ConnectionUse, &Peer) -> T,
    ) -> Vec<T> {
        let state = self.lock();
        let told = |id: &ConnectionId| Some(tell(*id, state.hub.connection_use(*id)?, state.open.get(id)?));
        ids.iter().filter_map(told).collect()
    }

    pub(crate) fn serving(&self) -> usize {
        *self.serving.borrow()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    #[cfg(feature = "hyper")]
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

impl State {
    /// A timer that is much too late means that nobody has read the sockets in time either: the process was stopped, or had no turn.
    fn notice_pause(&mut self, monotonic: Monotonic) {
        let is_late = |due: Monotonic| monotonic.saturating_since(due) > PAUSE;
        if !self.armed.monotonic.is_some_and(is_late) {
            return;
        }
        // The task sets itself anew.
        self.armed = Timeouts::default();
        telemetry::paused();
        let now = Now { monotonic, wall: self.wall.now() };
        self.hub.handle_pause(now, AFTER_PAUSE);
    }

    fn peer(&self, conn: ConnectionId) -> Option<&Arc<Peer>> {
        self.peers.get(conn.slot())?.as_ref().filter(|peer| peer.id() == conn)
    }

    /// The hub lets a connection go.
    fn forget(&mut self, conn: ConnectionId) {
        if let Some(slot) = self.peers.get_mut(conn.slot()) {
            slot.take_if(|peer| peer.id() == conn);
        }
        while self.peers.pop_if(|peer| peer.is_none()).is_some() {}
        if self.peers.capacity() > 4 * self.peers.len() + 64 {
            self.peers.shrink_to(2 * self.peers.len());
        }
    }
}

/// Whether a task can be started from here.
fn has_runtime() -> bool {
    tokio::runtime::Handle::try_current().is_ok()
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The timer task holds no handle: it wakes, finds that there is none, and ends.
        self.timer.rearm();
    }
}

//! The world: time, the network, and who does what next.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    ops::RangeInclusive,
    time::Duration,
};

use fastrand::Rng;
use liveset_core::{
    Attempt, AuthOptions, ClientEvent, ClientLimits, ClientSession, CloseCode, Monotonic, Token, Transmit,
};
use liveset_engine::{CommitError, Committed, Op, Timestamp};

use super::clients::{Client, ClientId, Frame, Link};
use crate::{AuthRefused, ConnectionId, Hub, HubConfig, Now, Output, Principal, WatchId};

/// How the world finds out whom a token stands for.
type Authenticator = Box<dyn FnMut(&str) -> Result<Principal, AuthRefused>>;

/// More steps than this without time passing is a fault: someone wants the same moment again and again.
const STEPS_AT_ONE_MOMENT: usize = 1_000_000;

/// One hub, its clients, and virtual time. See the [module](super) for an example.
///
/// Tests give commands to the [`session`](World::session) of a client or to the hub, and then let time pass by
/// [`settle`](World::settle) (until all that is under way has arrived) or [`run_for`](World::run_for).
pub struct World {
    hub: Hub,
    monotonic: Monotonic,
    wall: Timestamp,
    rng: Rng,
    latency: RangeInclusive<Duration>,
    auth_delay: RangeInclusive<Duration>,
    room: usize,
    takes_diffs: bool,
    /// Nodes that the hub works over at a time, how long that takes, and whether it is at it.
    slice_time: RangeInclusive<Duration>,
    working: bool,
    /// Connections of which nothing more is heard, and when their transport gives them up.
    vanished: VecDeque<(Monotonic, ConnectionId)>,
    authenticator: Authenticator,
    auth_options: AuthOptions,
    clients: Vec<Client>,
    by_connection: BTreeMap<ConnectionId, ClientId>,
    /// Clients whose session may have something to send.
    talking: BTreeSet<ClientId>,
    /// What is under way, by the moment of its arrival, then by the order of its sending.
    agenda: BTreeMap<(Monotonic, u64), Arrival>,
    sent: u64,
    watches: BTreeSet<WatchId>,
    fingerprint: u64,
}

/// How long a transport that takes nothing of a connection is borne: a transport's own limit for that.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(90);

#[derive(Debug)]
enum Arrival {
    AtHub(ConnectionId, Vec<u8>),
    AtClient(ConnectionId, Frame),
    Verdict(ConnectionId, Attempt, Result<Principal, AuthRefused>),
    Lost(ConnectionId),
    /// The hub has done a slice of work.
    Worked,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("monotonic", &self.monotonic)
            .field("wall", &self.wall)
            .field("clients", &self.clients.len())
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}

impl World {
    /// A world at 2024-01-01T00:00:00Z without clients. Until told otherwise the network takes no time, every token is
    /// accepted at once with itself as the subject, and 16 KiB are under way to a client before it counts as slow.
    pub fn new(seed: u64, config: HubConfig) -> Self {
        Self {
            slice_time: Duration::ZERO..=Duration::ZERO,
            working: false,
            vanished: VecDeque::new(),
            hub: Hub::new(config),
            monotonic: Monotonic::default(),
            wall: Timestamp::from_unix_nanos(1_704_067_200_000_000_000).unwrap_or(Timestamp::MIN),
            rng: Rng::with_seed(seed),
            latency: Duration::ZERO..=Duration::ZERO,
            auth_delay: Duration::ZERO..=Duration::ZERO,
            room: 16 * 1024,
            takes_diffs: true,
            authenticator: Box::new(|token| Ok(Principal::new(token))),
            auth_options: AuthOptions::default(),
            clients: Vec::new(),
            by_connection: BTreeMap::new(),
            talking: BTreeSet::new(),
            agenda: BTreeMap::new(),
            sent: 0,
            watches: BTreeSet::new(),
            fingerprint: 0xcbf2_9ce4_8422_2325,
        }
    }

    // --- how bad it is ---

    /// How long each message is under way; messages of one connection do not overtake.
    pub fn set_latency(&mut self, latency: RangeInclusive<Duration>) {
        self.latency = latency;
    }

    /// How long the authenticator takes.
    pub fn set_auth_delay(&mut self, delay: RangeInclusive<Duration>) {
        self.auth_delay = delay;
    }

    /// How many bytes may be under way to a client that has not read them, before the hub cannot write to it; one
    /// message always may.
    pub fn set_room(&mut self, bytes: usize) {
        self.room = bytes;
    }

    /// Whether clients get diffs past their sessions ([`Hub::fan_out`]) while there is room on the way. Until told otherwise
    /// they do.
    pub fn set_takes_diffs(&mut self, takes_diffs: bool) {
        self.takes_diffs = takes_diffs;
    }

    /// How long the hub takes over each slice of what it does between inputs. Until told otherwise it takes no time.
    pub fn set_slice_time(&mut self, time: RangeInclusive<Duration>) {
        self.slice_time = time;
    }

    /// Whom each token stands for.
    pub fn set_authenticator(
        &mut self,
        authenticator: impl FnMut(&str) -> Result<Principal, AuthRefused> + 'static,
    ) {
        self.authenticator = Box::new(authenticator);
    }

    /// What clients opt in to that connect from now on.
    pub fn set_auth_options(&mut self, options: AuthOptions) {
        self.auth_options = options;
    }

    /// Sets the wall clock, forwards or back, and tells the hub.
    pub fn set_wall(&mut self, wall: Timestamp) {
        self.wall = wall;
        let now = self.now();
        self.hub.handle_timeout(now);
        self.handle_due(now);
    }

    // --- clients ---

    /// A new client that connects and authenticates with a token.
    pub fn connect(&mut self, token: &str) -> ClientId {
        let id = ClientId(self.clients.len());
        let session = ClientSession::new(ClientLimits::default(), self.monotonic);
        self.clients.push(Client {
            session,
            link: None,
            events: Default::default(),
            record: None,
            closed: None,
        });
        self.reconnect(id, token);
        id
    }

    /// Connects a client anew, with a new session; one that is connected is [cut](World::cut) first.
    pub fn reconnect(&mut self, id: ClientId, token: &str) {
        self.cut(id);
        let conn = self.hub.connect(self.now());
        self.by_connection.insert(conn, id);
        let Some(client) = self.clients.get_mut(id.0) else { return };
        client.session = ClientSession::new(ClientLimits::default(), self.monotonic);
        client.session.authenticate_with(&Token::new(token), self.auth_options);
        client.link = Some(Link::new(conn, self.monotonic));
        client.closed = None;
        self.talking.insert(id);
    }

    /// The session of a client, for commands; they are sent when time is let pass.
    ///
    /// # Panics
    ///
    /// Where the client is another world's.
    pub fn session(&mut self, id: ClientId) -> &mut ClientSession {
        self.talking.insert(id);
        &mut self.clients[id.0].session
    }

    /// Sends any text in the name of a client, behind what its session has to send. Nothing happens where it is not
    /// connected.
    pub fn send_raw(&mut self, id: ClientId, text: &str) {
        self.write_to_hub();
        self.send_up(id, text.as_bytes().to_vec());
    }

    /// What has happened to a client since the last call.
    pub fn take_events(&mut self, id: ClientId) -> Vec<ClientEvent> {
        self.clients.get_mut(id.0).map(|client| client.events.drain(..).collect()).unwrap_or_default()
    }

    /// Keeps a copy of every frame that this client reads from now on, for [`take_record`](World::take_record).
    pub fn record(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id.0) {
            client.record.get_or_insert_default();
        }
    }

    /// The frames that a [recorded](World::record) client has read since the last call.
    pub fn take_record(&mut self, id: ClientId) -> Vec<Frame> {
        let record = self.clients.get_mut(id.0).and_then(|client| client.record.as_mut());
        record.map(std::mem::take).unwrap_or_default()
    }

    /// The hub's name for a client's connection, while it has one.
    pub fn connection(&self, id: ClientId) -> Option<ConnectionId> {
        self.clients.get(id.0)?.link.as_ref().map(|link| link.conn)
    }

    /// The code of the close frame that ended the client's last connection, if one did.
    pub fn close_code(&self, id: ClientId) -> Option<CloseCode> {
        self.clients.get(id.0)?.closed
    }

    /// The client stops reading; the way to it fills up.
    pub fn stall(&mut self, id: ClientId) {
        if let Some(link) = self.link_mut(id) {
            link.stalled = true;
        }
    }

    /// The client reads again, first what is on the way already.
    pub fn unstall(&mut self, id: ClientId) {
        let Some(link) = self.link_mut(id) else { return };
        link.stalled = false;
        for frame in std::mem::take(&mut link.held) {
            self.read(id, frame);
        }
    }

    /// The connection breaks: what is under way is lost, and the hub hears of it after the latency.
    pub fn cut(&mut self, id: ClientId) {
        if let Some(conn) = self.vanish(id) {
            let at = self.monotonic.saturating_add(self.some_latency());
            self.send(at, Arrival::Lost(conn));
        }
    }

    /// The connection breaks and the hub is not told: only its deadlines find out. Returns the connection's name.
    pub fn vanish(&mut self, id: ClientId) -> Option<ConnectionId> {
        let link = self.clients.get_mut(id.0)?.link.take()?;
        self.by_connection.remove(&link.conn);
        self.vanished.push_back((self.monotonic.saturating_add(GIVEN_UP_AFTER), link.conn));
        Some(link.conn)
    }

    // --- the host ---

    /// The hub, to look at.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The hub, for its host's verbs; [`now`](World::now) is the time to give it.
    pub fn hub_mut(&mut self) -> &mut Hub {
        &mut self.hub
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now { monotonic: self.monotonic, wall: self.wall }
    }

    /// Commits now; what follows from it is sent when time is let pass.
    ///
    /// # Errors
    ///
    /// Those of [`Hub::commit`].
    pub fn commit(&mut self, ops: Vec<Op>) -> Result<Committed, CommitError> {
        let now = self.now();
        self.hub.commit(now, ops)
    }

    /// The watches that the hub has said something of since the last call.
    pub fn take_watches(&mut self) -> Vec<WatchId> {
        self.pump();
        std::mem::take(&mut self.watches).into_iter().collect()
    }

    // --- time ---

    /// Lets everything that is under way arrive, and what follows from it, until nothing is under way. Time passes only
    /// as far as that takes. What clients that do not read are owed stays.
    pub fn settle(&mut self) {
        self.pump();
        loop {
            let at = self.agenda.first_key_value().map(|((at, _), _)| *at);
            // Work in slices may have found out what is due.
            let due = || self.hub.poll_timeout().has_come(self.now()).then_some(self.monotonic);
            let Some(at) = at.or_else(due) else { break };
            self.step(at);
        }
        self.hub.check_totals();
    }

    /// Lets time pass: everything that is due until then happens at its moment.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.monotonic.saturating_add(time);
        self.pump();
        let mut steps = 0;
        while let Some(at) = self.next_moment().filter(|at| *at <= end) {
            steps = if at > self.monotonic { 0 } else { steps + 1 };
            assert!(steps < STEPS_AT_ONE_MOMENT, "something is due at {at:?} again and again");
            self.step(at);
        }
        self.advance(end);
        self.hub.check_totals();
    }

    /// A number that tells whether two runs were the same: it depends on every byte that the hub sent, and when.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The earliest moment at which anything happens.
    fn next_moment(&self) -> Option<Monotonic> {
        let under_way = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let timeouts = self.hub.poll_timeout();
        let by_wall = timeouts.wall.map(|at| {
            let left = at.unix_nanos().saturating_sub(self.wall.unix_nanos()).max(0);
            self.monotonic.saturating_add(Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX)))
        });
        let clients = self.clients.iter().filter(|client| client.link.is_some());
        let by_clients = clients.filter_map(|client| client.session.poll_timeout()).min();
        let given_up = self.vanished.front().map(|(at, _)| *at);
        let first =
            [under_way, timeouts.monotonic, by_wall, by_clients, given_up].into_iter().flatten().min();
        first.map(|at| at.max(self.monotonic))
    }

    /// Moves both clocks.
    fn advance(&mut self, to: Monotonic) {
        let passed = to.saturating_since(self.monotonic);
        self.monotonic = self.monotonic.max(to);
        self.wall = self.wall.saturating_add(passed);
    }

    /// The deadlines of the hub that have come. The first call may be for work.
    fn handle_due(&mut self, now: Now) {
        for _ in 0..2 {
            if self.hub.poll_timeout().has_come(now) {
                self.hub.handle_timeout(now);
            }
        }
    }

    /// Everything that is due at one moment.
    fn step(&mut self, at: Monotonic) {
        self.advance(at);
        let now = self.now();
        self.handle_due(now);
        for (i, client) in self.clients.iter_mut().enumerate() {
            if client.link.is_some() && client.session.poll_timeout().is_some_and(|due| due <= now.monotonic)
            {
                client.session.handle_timeout(now.monotonic);
                client.take_session_events();
                self.talking.insert(ClientId(i));
            }
        }
        while let Some(&(at, conn)) = self.vanished.front()
            && at <= self.monotonic
        {
            self.vanished.pop_front();
            self.hub.overload(now, conn, "nothing was taken for too long");
        }
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > self.monotonic {
                break;
            }
            let arrival = entry.remove();
            self.arrive(arrival);
        }
        self.pump();
    }

    fn arrive(&mut self, arrival: Arrival) {
        let now = self.now();
        match arrival {
            Arrival::AtHub(conn, text) => self.hub.handle_text(now, conn, &text),
            Arrival::Verdict(conn, attempt, verdict) => self.hub.handle_verdict(now, conn, attempt, verdict),
            Arrival::Lost(conn) => self.hub.handle_disconnect(now, conn),
            Arrival::Worked => {
                self.working = false;
                // A commit may have been given a later time than this world has: work does not set it back.
                let wall = now.wall.max(self.hub.engine.now());
                self.hub.handle_timeout(Now { wall, ..now });
            }
            Arrival::AtClient(conn, frame) => {
                let Some(&id) = self.by_connection.get(&conn) else { return };
                match self.link_mut(id) {
                    Some(link) if link.stalled => link.held.push_back(frame),
                    _ => self.read(id, frame),
                }
            }
        }
    }

    /// A client reads a frame.
    fn read(&mut self, id: ClientId, frame: Frame) {
        let now = self.monotonic;
        let Some(client) = self.clients.get_mut(id.0) else { return };
        if let Some(link) = &mut client.link {
            link.unread -= frame.size();
        }
        if let Some(record) = &mut client.record {
            record.push(frame.clone());
        }
        match frame {
            Frame::Text(text) => {
                let handled = client.session.handle_text(now, text.as_bytes());
                assert!(handled.is_ok(), "the client does not understand the hub: {handled:?}, in {text}");
                client.take_session_events();
                self.talking.insert(id);
            }
            Frame::Close(code) => {
                client.closed = Some(code);
                if let Some(link) = client.link.take() {
                    self.by_connection.remove(&link.conn);
                    let at = now.saturating_add(self.some_latency());
                    self.send(at, Arrival::Lost(link.conn));
                }
            }
        }
    }

    /// Whatever can happen without time passing: the hub's outputs, and everyone writes what they can.
    fn pump(&mut self) {
        loop {
            if self.takes_diffs {
                self.take_diffs();
            }
            while let Some(output) = self.hub.poll_output() {
                self.carry_out(output);
            }
            let wrote = self.write_to_clients() | self.write_to_hub();
            if !wrote {
                break;
            }
        }
        if self.hub.poll_timeout().is_due_already && !self.working {
            self.working = true;
            let time = some(&mut self.rng, &self.slice_time);
            self.send(self.monotonic.saturating_add(time), Arrival::Worked);
        }
    }

    /// Diffs that go past the sessions: to everyone to whom there is room for all of a batch.
    fn take_diffs(&mut self) {
        let now = self.now();
        let Self { hub, clients, by_connection, room, .. } = self;
        let mut taken = Vec::new();
        hub.fan_out(now, |conn, id, diffs| {
            let client = by_connection.get(&conn).and_then(|id| clients.get_mut(id.0));
            let Some(link) = client.and_then(|client| client.link.as_mut()) else { return false };
            let bytes = diffs.bytes(id.len());
            if link.finished || link.unread + bytes > *room {
                return false;
            }
            link.unread += bytes;
            let text = |pieces: [&[u8]; 3]| String::from_utf8_lossy(&pieces.concat()).into_owned();
            taken.extend(diffs.messages(id).map(|pieces| (conn, Frame::Text(text(pieces)))));
            true
        });
        for (conn, frame) in taken {
            self.send_down(conn, frame);
        }
    }

    /// Puts a frame on its way to a client.
    fn send_down(&mut self, conn: ConnectionId, frame: Frame) {
        let latency = self.some_latency();
        let at = self.monotonic.saturating_add(latency);
        let Some(&id) = self.by_connection.get(&conn) else { return };
        let Some(link) = self.link_mut(id) else { return };
        let at = at.max(link.down);
        link.down = at;
        self.note(conn, &frame);
        self.send(at, Arrival::AtClient(conn, frame));
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Verify { conn, attempt, token } => {
                let verdict = (self.authenticator)(token.expose());
                let delay = some(&mut self.rng, &self.auth_delay);
                self.send(self.monotonic.saturating_add(delay), Arrival::Verdict(conn, attempt, verdict));
            }
            Output::Transmit { conn } => {
                // Where the network has lost a connection and the hub does not know, bytes go nowhere.
                let id = self.by_connection.get(&conn).copied();
                if let Some(link) = id.and_then(|id| self.link_mut(id)) {
                    link.ready = true;
                }
            }
            Output::LiveQuery { .. }
            | Output::Error { .. }
            | Output::Crowded { .. }
            | Output::Panicked { .. } => {}
            Output::Watch { watch } => {
                self.watches.insert(watch);
            }
        }
    }

    /// Every connection that has something to send and room on the way sends.
    fn write_to_clients(&mut self) -> bool {
        let mut wrote = false;
        let now = self.now();
        for i in 0..self.clients.len() {
            let mut text = Vec::new();
            while let Some(link) = self.clients[i].link.as_mut() {
                // One message always fits; a message that does not fit waits for the way to be empty.
                if !link.ready || link.finished || (link.unread > 0 && link.unread >= self.room) {
                    break;
                }
                let frame = match self.hub.poll_transmit(now, link.conn, &mut text) {
                    Some(Transmit::Text) => {
                        Frame::Text(String::from_utf8_lossy(&std::mem::take(&mut text)).into_owned())
                    }
                    Some(Transmit::Close(code)) => {
                        link.finished = true;
                        Frame::Close(code)
                    }
                    None => {
                        link.ready = false;
                        break;
                    }
                };
                wrote = true;
                link.unread += frame.size();
                let conn = link.conn;
                self.send_down(conn, frame);
            }
        }
        wrote
    }

    fn write_to_hub(&mut self) -> bool {
        let mut wrote = false;
        for id in std::mem::take(&mut self.talking) {
            let mut text = Vec::new();
            while self.clients[id.0].link.is_some() && self.clients[id.0].session.poll_transmit(&mut text) {
                wrote = true;
                self.send_up(id, std::mem::take(&mut text));
            }
        }
        wrote
    }

    fn send_up(&mut self, id: ClientId, text: Vec<u8>) {
        let latency = self.some_latency();
        let now = self.monotonic;
        let Some(link) = self.link_mut(id) else { return };
        let at = now.saturating_add(latency).max(link.up);
        link.up = at;
        let conn = link.conn;
        self.send(at, Arrival::AtHub(conn, text));
    }

    fn send(&mut self, at: Monotonic, arrival: Arrival) {
        self.sent += 1;
        self.agenda.insert((at, self.sent), arrival);
    }

    fn some_latency(&mut self) -> Duration {
        some(&mut self.rng, &self.latency)
    }

    fn link_mut(&mut self, id: ClientId) -> Option<&mut Link> {
        self.clients.get_mut(id.0)?.link.as_mut()
    }

    fn note(&mut self, conn: ConnectionId, frame: &Frame) {
        let mut eat = |bytes: &[u8]| {
            for byte in bytes {
                self.fingerprint = (self.fingerprint ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        eat(&conn.made.to_le_bytes());
        eat(&self.monotonic.as_nanos().to_le_bytes());
        match frame {
            Frame::Text(text) => eat(text.as_bytes()),
            Frame::Close(code) => eat(&code.as_u16().to_le_bytes()),
        }
    }
}

impl Client {
    fn take_session_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.events.push_back(event);
        }
    }
}

fn some(rng: &mut Rng, range: &RangeInclusive<Duration>) -> Duration {
    let nanos = |duration: &Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let (start, end) = (nanos(range.start()), nanos(range.end()));
    Duration::from_nanos(if start < end { rng.u64(start..=end) } else { start })
}

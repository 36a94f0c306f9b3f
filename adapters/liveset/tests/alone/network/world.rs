//! One seeded run: an endpoint, a host that writes, clients over bad networks, and time that passes.

use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use liveset::{Limits, Liveset};
use liveset_core::{LiveQueryOptions, LiveResult};
use tokio::time::{Instant, sleep};

use super::client::{Client, Held, Tally};
use super::link::{Break, Shape, Way};
use super::truth::{Host, Question, Truth};
use super::{held, lock, panics};
use crate::network::pick;

const KINDS: [&[&str]; 3] = [&["jobStarted"], &["jobCompleted"], &["jobStarted", "jobCompleted"]];
const PATHS: [&str; 3] = ["jobs", "jobs/0", "jobs/1"];

/// Limits that a small world runs into.
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.engine.max_window = super::truth::CAP;
    limits.session.event_queue = 5;
    limits.session.backlog_changes = 12;
    limits.session.chunk_rows = 6;
    limits.session.chunk_bytes = 4 * 1024;
    limits.transport.batch_bytes = 4 * 1024;
    // Enough for most that go on from where they were, and not for all.
    limits.hub.resume_log_changes = 40;
    limits
}

/// Whoever sits at one place: connected, or about to be.
struct Seat {
    client: Option<Client>,
    shape: Shape,
    /// What is asked for again on the next connection, with what was known.
    leftovers: Vec<(String, Held, Option<LiveResult>)>,
    /// Until when something is wrong with its network.
    ill_until: Option<Instant>,
    /// When it was last healed: two ills in a row would be worse than either.
    healed: Instant,
    /// The network is worse than a client survives, or the client itself leaves.
    doomed: bool,
    /// It is held off for longer than the endpoint bears it.
    held_off: bool,
    /// Whoever was not given up until then has survived what was worse.
    survives: Option<Instant>,
    connected: Instant,
    made: usize,
}

pub struct World {
    liveset: Liveset,
    truth: Arc<Mutex<Truth>>,
    random: Rng,
    seats: Vec<Seat>,
    leaving: Vec<(Client, Instant)>,
    tally: Counts,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub clients: Tally,
    pub comparisons: u64,
    pub connections: u64,
    pub given_up: u64,
    pub resets: u64,
    pub vanished: u64,
}

impl AddAssign<Tally> for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.messages += other.messages;
        self.diffs += other.diffs;
        self.versions += other.versions;
        self.folded += other.folded;
        self.events += other.events;
        self.dropped += other.dropped;
        self.resumed += other.resumed;
        self.resumed_by_rows += other.resumed_by_rows;
        self.pongs += other.pongs;
        self.fingerprint = self.fingerprint.rotate_left(5) ^ other.fingerprint;
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.clients += other.clients;
        self.comparisons += other.comparisons;
        self.connections += other.connections;
        self.given_up += other.given_up;
        self.resets += other.resets;
        self.vanished += other.vanished;
    }
}

/// Runs a world of `steps` steps on an endpoint that has no connections, and leaves it so.
pub async fn run(host: &mut Host, seed: u64, steps: usize) -> Counts {
    let mut random = Rng::with_seed(seed);
    let questions = (0..10).map(|_| Question::random(&mut random)).collect();
    let truth = Arc::new(Mutex::new(Truth::new(host, questions)));
    let liveset = host.liveset.clone();
    let (before, panicked) = (held(&liveset), panics());
    let seats = (0..random.u64(3..=5)).map(|_| Seat {
        client: None,
        shape: Shape {
            capacity: *pick(&mut random, &[300, 2_000, 16_000]),
            latency_ms: 0..=*pick(&mut random, &[0, 5, 150]),
            piece: *pick(&mut random, &[1, 40, 3_000]),
        },
        leftovers: Vec::new(),
        ill_until: None,
        healed: Instant::now(),
        doomed: false,
        held_off: false,
        survives: None,
        connected: Instant::now(),
        made: 0,
    });
    let seats = seats.collect();
    let tally = Counts::default();
    let mut world = World { liveset, truth, random, seats, leaving: Vec::new(), tally };
    for number in 0..world.seats.len() {
        world.seat(number);
    }
    for _ in 0..steps {
        world.step().await;
        world.look_after().await;
        let millis = match world.random.usize(..10) {
            0..=3 => 0,
            4..=7 => world.random.u64(1..=60),
            8 => world.random.u64(60..=500),
            _ => world.random.u64(500..=2_500),
        };
        if millis > 0 {
            sleep(Duration::from_millis(millis)).await;
        }
    }
    world.settle().await;
    world.end().await;
    let World { truth, tally, .. } = world;
    lock(&truth).clear(host);
    // What is kept for clients that may come back is kept for a minute.
    sleep(Duration::from_secs(65)).await;
    assert_eq!(held(&host.liveset), before, "what is held when everyone is gone");
    assert_eq!(panics(), panicked, "panics");
    tally
}

impl World {
    fn truth(&self) -> MutexGuard<'_, Truth> {
        lock(&self.truth)
    }

    async fn step(&mut self) {
        let number = self.random.usize(..self.seats.len());
        match self.random.usize(..100) {
            0..=44 => {
                let most = *pick(&mut self.random, &[1, 1, 4, 25]);
                let mut random = self.random.fork();
                self.truth().commit(&self.liveset, &mut random, most);
            }
            45..=52 => {
                let seconds = *pick(&mut self.random, &[1, 1, 5, 30]);
                self.truth().pass(&self.liveset, seconds);
            }
            53..=62 => {
                let mut random = self.random.fork();
                for _ in 0..random.u64(1..=8) {
                    self.truth().publish(&self.liveset, &mut random);
                }
            }
            63..=78 => self.ask(number),
            79..=93 => self.trouble(number),
            94..=95 => {
                for _ in 0..self.random.u64(5..=70) {
                    sleep(Duration::from_secs(1)).await;
                    self.look_after().await;
                }
            }
            _ => self.settle().await,
        }
    }

    // --- clients ---

    fn seat(&mut self, number: usize) {
        let (random, mut forgets) = (self.random.fork(), self.random.fork());
        let seat = &mut self.seats[number];
        let client = Client::connect(&self.liveset, &self.truth, seat.shape.clone(), random);
        let leftovers = std::mem::take(&mut seat.leftovers);
        client.act(|state| {
            for (id, held, result) in leftovers {
                let (question, options) = (held.question, held.options);
                let known = result.filter(|result| options.resume && result.version().is_some());
                // At another server its version says nothing.
                let known =
                    known.map(|result| if forgets.bool() { result.without_version() } else { result });
                state.create(&id, question, options, known.map(|result| (held, result)));
            }
        });
        seat.client = Some(client);
        seat.ill_until = None;
        seat.doomed = false;
        seat.held_off = false;
        seat.survives = None;
        seat.connected = Instant::now();
        self.tally.connections += 1;
        for _ in 0..2 {
            self.ask(number);
        }
    }

    /// The client asks for something, or gives something up.
    fn ask(&mut self, number: usize) {
        let Self { random, seats, truth, .. } = self;
        let seat = &mut seats[number];
        let Some(client) = &seat.client else { return };
        if seat.doomed {
            return;
        }
        client.act(|state| match random.usize(..12) {
            0..=5 if state.held.len() < 6 => {
                // Names are used again.
                let free = (0..8).map(|i| format!("q{}", (seat.made + i) % 8));
                let Some(id) = free.into_iter().find(|id| !state.held.contains_key(id)) else { return };
                seat.made += 1;
                let question = random.usize(..lock(truth).questions.len());
                let mut option = || random.bool();
                let [positions, counts, reasons] = [option(), option(), option()];
                let resume = random.u64(..100) < 70;
                state.create(
                    &id,
                    question,
                    LiveQueryOptions { positions, counts, reasons, resume, status: false, hints: false },
                    None,
                );
            }
            0..=7 if !state.held.is_empty() => {
                let ids: Vec<_> = state.held.keys().cloned().collect();
                let id: &String = pick(random, &ids);
                state.destroy(id);
            }
            0..=9 => {
                seat.made += 1;
                let id = format!("s{}", seat.made % 5);
                if state.subscribed.contains_key(&id) {
                    state.unsubscribe(&id);
                } else {
                    let (path, kinds) = (*pick(random, &PATHS), *pick(random, &KINDS));
                    state.subscribe(&id, path, kinds);
                }
            }
            10 => state.ping_transport(),
            _ => drop(state.session.ping()),
        });
    }

    /// Something goes wrong with a client's network, or with the client.
    fn trouble(&mut self, number: usize) {
        let Self { random, seats, tally, .. } = self;
        let seat = &mut seats[number];
        let Some(client) = &seat.client else { return };
        let just_healed = seat.healed.elapsed() < Duration::from_secs(1);
        if seat.ill_until.is_some() || seat.doomed || just_healed {
            return;
        }
        // With what a step takes at most, less than what the endpoint bears.
        let mut lasts = random.u64(100..=5_000);
        let wire = &client.wire;
        match random.usize(..16) {
            0..=1 => wire.hold(Way::Down),
            2 => wire.hold(Way::Up),
            3..=4 => {
                wire.hold(Way::Up);
                wire.hold(Way::Down);
            }
            5..=7 => wire.slow(Way::Down, random.u64(1_500..=20_000)),
            8..=9 => client.act(|state| state.reads = false),
            // For longer than the endpoint bears it.
            10 => {
                client.act(|state| state.reads = false);
                lasts = 25_000;
                (seat.doomed, seat.held_off) = (true, true);
            }
            11 => {
                wire.hold(Way::Up);
                wire.hold(Way::Down);
                lasts = random.u64(20_000..=100_000);
                (seat.doomed, seat.held_off) = (true, true);
            }
            12 => {
                wire.break_off(Break::Reset);
                tally.resets += 1;
                seat.doomed = true;
            }
            13 => {
                wire.break_off(Break::Vanish);
                tally.vanished += 1;
                client.drop_socket();
                seat.doomed = true;
            }
            14 => {
                client.act(|state| state.finish());
                seat.doomed = true;
            }
            _ => {
                if random.bool() {
                    client.act(|state| state.close());
                } else {
                    client.drop_socket();
                }
                seat.doomed = true;
            }
        }
        seat.ill_until = Some(Instant::now() + Duration::from_millis(lasts));
    }

    /// Heals what is over, takes leave of what has ended, and sits down anew.
    async fn look_after(&mut self) {
        let now = Instant::now();
        for number in 0..self.seats.len() {
            let seat = &mut self.seats[number];
            if seat.ill_until.is_some_and(|until| until <= now) {
                let alone = seat.client.as_ref().is_some_and(|client| client.serving.is_finished());
                self.tally.given_up += u64::from(seat.held_off && alone);
                seat.heal();
                seat.survives = seat.doomed.then(|| now + Duration::from_secs(5));
            }
            if seat.survives.is_some_and(|at| at <= now) {
                seat.survives = None;
                seat.doomed = seat.client.as_ref().is_some_and(Client::has_ended);
            }
            let Some(client) = &seat.client else {
                if self.random.u64(..100) < 30 {
                    self.seat(number);
                }
                continue;
            };
            if client.has_panicked() {
                // What a client found wrong is what the seed fails of.
                return seat.client.take().expect("a client").gone().await;
            }
            client.act(|state| state.tick());
            if client.has_ended() {
                self.leave(number);
            }
        }
        let mut left = Vec::new();
        for (client, since) in std::mem::take(&mut self.leaving) {
            if client.serving.is_finished() {
                client.gone().await;
            } else {
                // A minute until a ping is missed, and what the other end still writes.
                assert!(
                    now - since < Duration::from_secs(80),
                    "an endpoint serves a client that is long gone"
                );
                left.push((client, since));
            }
        }
        self.leaving = left;
    }

    fn leave(&mut self, number: usize) {
        let seat = &mut self.seats[number];
        let client = seat.client.take().expect("a client");
        {
            let state = client.state();
            assert!(seat.doomed, "a client that did nothing was given up: {:?}", state.close_code);
            seat.leftovers = state.leftovers();
            self.tally.clients += state.tally;
        }
        client.drop_socket();
        self.leaving.push((client, Instant::now()));
    }

    // --- comparing ---

    /// All networks are well, everything arrives: whoever is connected has the present.
    async fn settle(&mut self) {
        for seat in &mut self.seats {
            // Those that were held for too long may be given up just now.
            if !seat.doomed {
                seat.heal();
            }
            if let Some(client) = &seat.client {
                client.wire.set_latency(0..=0);
            }
        }
        sleep(Duration::from_secs(1)).await;
        self.look_after().await;
        for seat in &self.seats {
            let Some(client) = seat.client.as_ref().filter(|_| !seat.doomed) else { continue };
            if seat.connected.elapsed() < Duration::from_secs(1) {
                continue;
            }
            assert!(client.wire.is_quiet(), "everything has arrived");
            client.state().assert_present();
            client.wire.set_latency(seat.shape.latency_ms.clone());
            self.tally.comparisons += 1;
        }
    }

    /// Everyone goes, each in their own way.
    async fn end(&mut self) {
        for number in 0..self.seats.len() {
            let seat = &mut self.seats[number];
            let Some(client) = &seat.client else { continue };
            seat.doomed = true;
            match self.random.usize(..4) {
                0 => client.act(|state| state.close()),
                1 => client.act(|state| state.finish()),
                2 => client.wire.break_off(Break::Reset),
                _ => client.drop_socket(),
            }
        }
        // No connection outlives its peer by more than a missed ping and what closing takes.
        sleep(Duration::from_secs(80)).await;
        for number in 0..self.seats.len() {
            if self.seats[number].client.is_some() {
                self.leave(number);
            }
        }
        for (client, _) in std::mem::take(&mut self.leaving) {
            assert!(client.serving.is_finished(), "everyone is gone");
            client.gone().await;
        }
    }
}

impl Seat {
    fn heal(&mut self) {
        if self.ill_until.take().is_some() {
            self.healed = Instant::now();
        }
        self.held_off = false;
        if let Some(client) = &self.client {
            client.wire.heal();
            client.act(|state| state.reads = true);
        }
    }
}

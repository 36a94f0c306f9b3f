//! The random operations of the simulator, done to the real endpoint: commits of odd values and conditions, queries whose result time
//! changes, events, tokens that see less. What is shown is what the simulator's oracle computes.
//!
//! `LIVESET_SEED=7` repeats one run, `LIVESET_SEEDS=100` runs more.

use std::collections::BTreeMap;
use std::future::ready;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use liveset::{Access, FieldKind, Grant, Policy, Principal, Restriction, SetDef};
use liveset_client::{Change, Client, Error, Events, LiveQuery, Query, Token};
use liveset_fuzz::engine_op;
use liveset_fuzz::generate::{DATED, DECLARED_INSTANTS, THINGS};
use liveset_fuzz::operations::{CLIENTS, NARROW, Operations, SEEN, Step, WIDE};
use liveset_fuzz::oracle::{self, Op, Shown, Val};
use serde_json::value::RawValue;

use crate::support::network::Network;
use crate::support::server::{Gate, Server};
use crate::support::{PATIENCE, builder, soon, until};

const STEPS: usize = 150;

/// [`WIDE`] sees everything, [`NARROW`] some of the things.
struct Seen;

impl Policy for Seen {
    fn access(&self, who: &Principal, set: &str) -> Access {
        match (&*who.subject, set) {
            (WIDE, _) => Access::All,
            (_, THINGS) => Access::Part(Arc::new(Restriction::rows(SEEN))),
            _ => Access::Nothing,
        }
    }

    fn may_subscribe(&self, who: &Principal, _path: &str, _events: &[Arc<str>]) -> bool {
        &*who.subject == WIDE
    }

    fn may_write(&self, _who: &Principal) -> bool {
        false
    }
}

fn serve(operations: &Operations) -> Server {
    let mut dated = SetDef::new(DATED).key("no");
    for path in DECLARED_INSTANTS {
        dated = dated.field(path, FieldKind::Instant);
    }
    let judge = liveset::from_fn(|token| {
        let subject = if token.expose() == NARROW { NARROW } else { WIDE };
        ready(Ok(Grant::new(subject)))
    });
    let server = Server::with(&Arc::<Gate>::default(), &[], |builder| {
        builder.set(SetDef::new(THINGS)).set(dated).policy(Seen).authenticator(judge)
    });
    let rows = |set: &'static str| operations.rows(set).into_iter().map(move |row| Op::upsert(set, &row));
    let ops: Vec<Op> = rows(THINGS).chain(rows(DATED)).collect();
    server.liveset.commit(|tx| ops.iter().for_each(|op| tx.push(engine_op(op)))).unwrap();
    server
}

/// A live query, and what its stream has led to.
struct Watched {
    live: LiveQuery<Box<RawValue>>,
    folded: BTreeMap<Arc<str>, Val>,
}

fn value(row: &RawValue) -> Val {
    Val::parse(row.get().as_bytes()).expect("a row is JSON")
}

/// Whether a row is that of the oracle.
fn is_same(id: &str, row: &RawValue, (other, expected): &(String, Val)) -> bool {
    *id == *other && oracle::same(&value(row), expected)
}

impl Watched {
    fn fold(&mut self) {
        while let Some(item) = self.live.next().now_or_never() {
            for change in item.expect("it goes on").expect("JSON can be read").changes {
                let was_there = match &change {
                    Change::Added { id, row, .. } | Change::Updated { id, row } => {
                        self.folded.insert(id.clone(), value(row)).is_some()
                    }
                    Change::Removed { id, .. } => self.folded.remove(id).is_some(),
                    _ => panic!("a change of another kind"),
                };
                assert_eq!(was_there, !matches!(change, Change::Added { .. }), "{change:?}");
            }
        }
    }

    /// What is wrong with it.
    fn differs(&mut self, expected: &Shown) -> Option<String> {
        self.fold();
        let rows = self.live.rows();
        let count = (self.live.status().is_live(), rows.total_count(), rows.capped());
        if count != (true, expected.total, expected.capped) {
            return Some(format!("{:?} {count:?} instead of {expected:?}", self.live.status()));
        }
        let shown: Vec<_> = rows.with_ids().collect();
        let is_row = |(id, row): &(&str, &Arc<Box<RawValue>>), expected: &(String, Val)| {
            is_same(id, row, expected)
                && self.folded.get(*id).is_some_and(|folded| oracle::same(folded, &expected.1))
        };
        let is_same = shown.len() == expected.rows.len()
            && self.folded.len() == shown.len()
            && shown.iter().zip(&expected.rows).all(|(row, expected)| is_row(row, expected));
        (!is_same).then(|| format!("{shown:?}, folded {:?}, instead of {:?}", self.folded, expected.rows))
    }
}

/// One client, behind a network of its own.
struct Peer {
    client: Client,
    network: Network,
    token: Arc<Mutex<&'static str>>,
    /// With which it has connected last.
    given: Arc<Mutex<&'static str>>,
    open: BTreeMap<u32, Watched>,
    subscribed: BTreeMap<u32, Events>,
}

impl Peer {
    async fn new(server: &Server) -> Peer {
        let network = Network::to(server.address).await;
        let token = Arc::new(Mutex::new(WIDE));
        let given = Arc::new(Mutex::new(""));
        let (current, last) = (token.clone(), given.clone());
        let client = builder(&network.url())
            .token_from(move |_| {
                let token = *current.lock().unwrap();
                *last.lock().unwrap() = token;
                ready(Ok::<_, io::Error>(Token::new(token)))
            })
            .timing(|timing| {
                timing.patience = Duration::from_millis(500);
                timing.silence = Duration::from_millis(300);
                timing.answer = Duration::from_millis(200);
            })
            .connect()
            .unwrap();
        Peer { client, network, token, given, open: BTreeMap::new(), subscribed: BTreeMap::new() }
    }

    /// Connects with another token. A connection that is just being made may still have the old one.
    async fn change(&self, token: &'static str) {
        *self.token.lock().unwrap() = token;
        let is_given = || {
            self.network.cut();
            *self.given.lock().unwrap() == token
        };
        until("it asks for the token", is_given).await;
    }

    /// What was sent before has been answered.
    async fn barrier(&self) {
        soon(self.client.query::<Box<RawValue>>(Query::new(THINGS).limit(0))).await.unwrap();
    }

    /// How many events each subscription has got since the last time.
    fn heard(&mut self) -> BTreeMap<u32, usize> {
        let count = |events: &mut Events| {
            let mut count = 0;
            while let Some(item) = events.next().now_or_never() {
                match item.expect("it goes on") {
                    Ok(_) => count += 1,
                    Err(Error::Missed(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            count
        };
        self.subscribed.iter_mut().map(|(id, events)| (*id, count(events))).collect()
    }
}

struct World {
    operations: Operations,
    server: Server,
    peers: Vec<Peer>,
}

fn wire(query: &oracle::Query) -> Query {
    Query::parse(query.json(&mut |_| 0).to_string().as_bytes()).expect("a query")
}

impl World {
    async fn new(seed: u64) -> World {
        let operations = Operations::new(seed);
        let server = serve(&operations);
        let mut peers = Vec::new();
        for _ in 0..CLIENTS {
            peers.push(Peer::new(&server).await);
        }
        World { operations, server, peers }
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Commit { ops, taken } => {
                let ops: Vec<_> = ops.iter().map(engine_op).collect();
                let commit = self.server.liveset.commit(|tx| ops.iter().cloned().for_each(|op| tx.push(op)));
                assert_eq!(commit.is_ok(), taken, "{commit:?}");
            }
            Step::Open { client, id, query } => {
                let live = self.peers[client].client.live(wire(&query)).open();
                self.peers[client].open.insert(id, Watched { live, folded: BTreeMap::new() });
            }
            Step::Close { client, id } => drop(self.peers[client].open.remove(&id)),
            Step::Refused { client, query, code } => {
                let query = Query::parse(query.as_bytes()).unwrap();
                let refused = soon(self.peers[client].client.query::<Box<RawValue>>(query)).await;
                let Err(Error::Server(error)) = refused else { panic!("{refused:?} instead of {code}") };
                assert_eq!(&*error.code_text, code);
            }
            Step::Once { client, id, query } => self.once(client, id, &wire(&query)).await,
            Step::Subscribe { client, id, path, events } => {
                let events = self.peers[client].client.events(path, events.iter().copied());
                let events = soon(events).await.unwrap();
                self.peers[client].subscribed.insert(id, events);
            }
            Step::Unsubscribe { client, id } => drop(self.peers[client].subscribed.remove(&id)),
            Step::Publish { path, event, to } => self.publish(path, event, &to).await,
            Step::Cut { client } => self.peers[client].network.cut(),
            Step::Stall => self.peers.iter().for_each(|peer| peer.network.stall()),
            Step::Slow { millis } => {
                let delay = Duration::from_millis(millis);
                self.peers.iter().for_each(|peer| peer.network.slow(delay, 65_536));
            }
            Step::Token { client, token } => self.peers[client].change(token).await,
            Step::Restart => {
                self.server = serve(&self.operations);
                self.peers.iter().for_each(|peer| peer.network.lead_to(self.server.address));
            }
            Step::Pause { millis } => tokio::time::sleep(Duration::from_millis(millis)).await,
            Step::Check => self.check().await,
        }
    }

    async fn once(&self, client: usize, id: u32, query: &Query) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rows = soon(self.peers[client].client.query::<Box<RawValue>>(query.clone())).await.unwrap();
            let expected = self.operations.expected(client, id);
            let mut rows_of_both = rows.with_ids().zip(&expected.rows);
            if rows.len() == expected.rows.len()
                && rows_of_both.all(|((id, row), expected)| is_same(id, row, expected))
            {
                return;
            }
            // Time may have changed it in between.
            assert!(Instant::now() < deadline, "{rows:?} instead of {expected:?}");
        }
    }

    async fn publish(&mut self, path: &str, event: &str, to: &[(usize, u32)]) {
        for peer in &mut self.peers {
            peer.barrier().await;
            peer.heard();
        }
        self.server.liveset.publish(path, event, &serde_json::json!({ "n": 1 })).unwrap();
        for (number, peer) in self.peers.iter_mut().enumerate() {
            peer.barrier().await;
            let expected: BTreeMap<u32, usize> =
                peer.subscribed.keys().map(|id| (*id, usize::from(to.contains(&(number, *id))))).collect();
            assert_eq!(peer.heard(), expected, "of {event} at {path}");
        }
    }

    async fn check(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        for (client, peer) in self.peers.iter_mut().enumerate() {
            for (id, watched) in &mut peer.open {
                while let Some(what) = watched.differs(&self.operations.expected(client, *id)) {
                    assert!(Instant::now() < deadline, "client {client}, query {id}: {what}");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    }
}

async fn run(seed: u64) {
    println!("LIVESET_SEED={seed}");
    let mut world = World::new(seed).await;
    for done in 0.. {
        let step = world.operations.step();
        let is_last = done >= STEPS && matches!(step, Step::Check);
        println!("{done}: {step:?}");
        world.run(step).await;
        if is_last {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_show_what_the_oracle_computes() {
    for seed in super::schedules::seeds(3) {
        run(seed).await;
    }
}

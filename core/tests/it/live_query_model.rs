//! Both ends and a wire of changing speed, on random histories: whenever the queue has run empty the client holds the
//! result, in order, with its count; and on the way it never holds more than the cap.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use liveset_core::{
    Batch, Change, Count, LiveQueryOptions, LiveQueryRequest, Query, Reason, Row, SessionLimits, Snapshot,
    Ticket,
};

use crate::pair::Pair;
use crate::util::row;

#[derive(Debug)]
enum Op {
    Write { node: usize, number: Option<u32> },
    Commit,
    Receive(usize),
    Recreate,
    Reconnect,
}

const CAP: usize = 5;

/// The data, and the window that was last published.
struct World {
    nodes: BTreeMap<usize, u32>,
    window: Snapshot,
    version: u64,
    /// Every window so far, by its version: what a client can resume from.
    history: BTreeMap<u64, Snapshot>,
}

impl World {
    fn compute(&self) -> Snapshot {
        let rows = self.nodes.iter().map(|(node, number)| row(&format!("n{node}"), *number));
        let mut rows: Vec<Row> = rows.collect();
        rows.sort_by(|one, other| one.order_key().cmp(other.order_key()));
        let count = Count::new(rows.len() as u64, CAP);
        rows.truncate(CAP);
        Snapshot { version: self.version, count, rows }
    }

    fn difference(before: &Snapshot, after: &Snapshot) -> Batch {
        let find = |window: &Snapshot, id: &str| window.rows.iter().find(|row| row.id() == id).cloned();
        let gone = before.rows.iter().filter(|row| find(after, row.id()).is_none());
        let left = gone.map(|row| Change::Removed { row: row.clone(), reason: Some(Reason::Filter) });
        let came = after.rows.iter().filter_map(|row| match find(before, row.id()) {
            None => Some(Change::Added { row: row.clone(), reason: Some(Reason::Created) }),
            Some(old) if old == *row => None,
            Some(before) => Some(Change::Updated { before, row: row.clone() }),
        });
        Batch { version: after.version, count: Some(after.count), changes: left.chain(came).collect() }
    }

    fn commit(&mut self) -> Batch {
        self.version += 1;
        let after = self.compute();
        let batch = World::difference(&self.window, &after);
        self.history.insert(self.version, after.clone());
        self.window = after;
        batch
    }
}

fn check(pair: &Pair, world: &World, options: LiveQueryOptions, seed: u64) {
    let result = pair.client.live_query("q").unwrap();
    assert!(result.is_loaded());
    let rows: BTreeMap<_, _> = world.window.rows.iter().map(|row| (row.id(), row.json())).collect();
    assert!(result.rows().map(|(id, json)| (&**id, &json[..])).eq(rows), "seed {seed}");
    if options.positions {
        let ordered = world.window.rows.iter().map(|row| (row.id(), row.json()));
        let held = result.ordered().unwrap().map(|(id, json)| (&**id, &json[..]));
        assert!(held.eq(ordered), "seed {seed}: order");
    }
    if options.counts {
        assert_eq!(result.total_count(), world.window.count.total, "seed {seed}");
        assert_eq!(result.capped(), world.window.count.capped, "seed {seed}");
    }
}

#[test]
fn the_client_holds_the_result_whenever_the_queue_ran_empty() {
    for seed in 0..1500 {
        let mut random = Rng::with_seed(seed);
        let limits = || {
            SessionLimits::default()
                .backlog_changes([0, 1, 4, 256][seed as usize % 4])
                .chunk_rows(2)
                .message_burst(10_000)
        };
        let bits = seed / 4;
        let options = LiveQueryOptions {
            positions: bits & 1 != 0,
            counts: bits & 2 != 0,
            reasons: bits & 4 != 0,
            resume: bits & 8 != 0,
            ..LiveQueryOptions::default()
        };
        let mut world = World {
            nodes: (0..random.usize(..8)).map(|node| (node, node as u32)).collect(),
            window: Snapshot { version: 1, count: Count::default(), rows: vec![] },
            version: 1,
            history: BTreeMap::new(),
        };
        world.window = world.compute();
        world.history.insert(1, world.window.clone());
        let query = Query { set: "e".into(), ..Query::default() };
        let request = LiveQueryRequest { options, ..LiveQueryRequest::new("q", query) };
        let mut pair = Pair::new(limits());
        pair.client.create_live_query(request.clone());
        let mut ticket = accept(&mut pair, &world);
        for _ in 0..120 {
            let op = match random.usize(..24) {
                0..10 => {
                    let number = (random.usize(..3) > 0).then(|| random.usize(..9) as u32);
                    Op::Write { node: random.usize(..10), number }
                }
                10..17 => Op::Commit,
                17..22 => Op::Receive(random.usize(..6)),
                22 => Op::Recreate,
                _ => Op::Reconnect,
            };
            match op {
                Op::Write { node, number: Some(number) } => drop(world.nodes.insert(node, number)),
                Op::Write { node, number: None } => drop(world.nodes.remove(&node)),
                Op::Commit => {
                    let batch = Arc::new(world.commit());
                    pair.server.live_query_changed(ticket, &batch);
                    assert!(pair.server.backlog().changes <= 2 * CAP.max(limits().backlog_changes));
                }
                Op::Receive(count) => {
                    for _ in 0..count {
                        pair.one_from_server().unwrap();
                        let held = pair.client.live_query("q").map_or(0, |result| result.len());
                        assert!(held <= CAP, "seed {seed}: more than the cap");
                    }
                }
                Op::Recreate => {
                    pair.client.destroy_live_query("q");
                    pair.client.create_live_query(request.clone());
                    ticket = accept(&mut pair, &world);
                }
                Op::Reconnect => {
                    let resume_from = pair.client.live_query("q").cloned();
                    pair = Pair::new(limits());
                    pair.client.create_live_query(LiveQueryRequest { resume_from, ..request.clone() });
                    ticket = accept(&mut pair, &world);
                }
            }
            if !pair.server.wants_transmit() {
                check(&pair, &world, options, seed);
            }
        }
        pair.server_speaks().unwrap();
        check(&pair, &world, options, seed);
    }
}

/// Answers until the live query was accepted: resumed where the client names a version, else from the start.
fn accept(pair: &mut Pair, world: &World) -> Ticket {
    pair.client_speaks();
    loop {
        match pair.server.poll_request() {
            Some(liveset_core::Request::CreateLiveQuery { ticket, since, .. }) => {
                match since
                    .and_then(|since| since.parse().ok())
                    .and_then(|version: u64| world.history.get(&version))
                {
                    Some(before) => {
                        let batch = Arc::new(World::difference(before, &world.window));
                        pair.server.resume_live_query(pair.now, ticket, batch, &world.window);
                    }
                    None => {
                        pair.server.accept_live_query(pair.now, ticket, Arc::new(world.window.clone()));
                    }
                }
                return ticket;
            }
            Some(_) => {}
            None => panic!("nothing was asked for"),
        }
    }
}

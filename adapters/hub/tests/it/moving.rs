//! Clients that move at random between two servers which get the same commits, one of them later: each shows what there is, and is sent no
//! row where nothing has changed.
//!
//! In the check 50 clients move 500 times; `LIVESET_MOVES=10000` lets a thousand move so often.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use fastrand::Rng;
use liveset_core::{LiveQueryOptions, LiveQueryRequest, LiveResult};
use liveset_engine::Op;
use liveset_hub::{
    HashSeed, HubConfig,
    test_kit::{ClientId, World, remove},
};

use serde_json::json;

use crate::support::{messages, order_of, request, world};

const QUERIES: [&str; 5] = [
    r#"{"edge":"orders"}"#,
    r#"{"edge":"orders","orderBy":"total desc","limit":7}"#,
    r#"{"edge":"orders","filter":"open","orderBy":"total"}"#,
    r#"{"edge":"orders","filter":"total < 6","orderBy":"at","limit":20,"node":{"fields":["id","total"]}}"#,
    r#"{"edge":"orders","filter":"open and total != 3"}"#,
];

struct Reader {
    /// In each world.
    ids: [ClientId; 2],
    at: usize,
    query: &'static str,
    positions: bool,
}

fn server(seed: u64) -> World {
    let mut world =
        world(HubConfig { seed: HashSeed::new([seed, 7]), epoch: seed * 1_000, ..HubConfig::default() });
    world.set_latency(Duration::from_millis(1)..=Duration::from_millis(5));
    world
}

fn change(random: &mut Rng) -> Vec<Op> {
    (0..random.usize(1..4))
        .map(|_| {
            let id = random.u32(0..40);
            match random.u8(0..4) {
                0 => remove("orders", &id.to_string()),
                _ => order_of(&format!(
                    r#"{{"id":{id},"open":{},"total":{},"at":"2024-01-01T00:00:{:02}Z"}}"#,
                    random.bool(),
                    random.u8(0..9),
                    random.u8(0..60),
                )),
            }
        })
        .collect()
}

/// The rows of a result, by id.
fn rows(result: &LiveResult) -> BTreeMap<String, String> {
    result.rows().map(|(id, row)| (id.to_string(), String::from_utf8(row.to_vec()).unwrap())).collect()
}

fn truth(world: &mut World, query: &str) -> Vec<(String, String)> {
    let now = world.now();
    let query = liveset_core::Query::parse(query.as_bytes()).unwrap();
    let snapshot = world.hub_mut().query(now, None, &query).unwrap().run();
    snapshot.rows.iter().map(|row| (row.id().to_owned(), row.to_string())).collect()
}

impl Reader {
    /// Asks for its rows where it is now, going on from what it has.
    fn ask(&self, worlds: &mut [World; 2], from: Option<LiveResult>) {
        let options =
            LiveQueryOptions { resume: true, positions: self.positions, ..LiveQueryOptions::default() };
        let asked = LiveQueryRequest { options, resume_from: from, ..request("q", self.query) };
        worlds[self.at].session(self.ids[self.at]).create_live_query(asked);
    }

    /// Goes to a server, in the middle of whatever it was being told.
    fn go(&mut self, worlds: &mut [World; 2], to: usize) {
        let here = self.ids[self.at];
        let from = worlds[self.at].session(here).live_query("q").cloned();
        worlds[self.at].cut(here);
        self.at = to;
        worlds[to].reconnect(self.ids[to], "reader");
        messages(&mut worlds[to], self.ids[to]);
        self.ask(worlds, from);
    }
}

#[test]
fn readers_that_move_between_two_servers_show_what_there_is() {
    let moves = std::env::var("LIVESET_MOVES").map_or(500, |text| text.parse().expect("a number"));
    let mut random = Rng::with_seed(20_251_207);
    let mut worlds = [server(1), server(2)];
    let mut readers: Vec<Reader> = (0..moves / 10)
        .map(|n: usize| {
            let ids = worlds.each_mut().map(|world| {
                let id = world.connect(&format!("reader {n}"));
                world.record(id);
                id
            });
            Reader { ids, at: n % 2, query: QUERIES[random.usize(..QUERIES.len())], positions: random.bool() }
        })
        .collect();
    for world in &mut worlds {
        world.settle();
    }
    for reader in &mut readers {
        let elsewhere = 1 - reader.at;
        worlds[elsewhere].cut(reader.ids[elsewhere]);
        reader.ask(&mut worlds, None);
    }
    // Commits that the second has not made yet.
    let mut late: VecDeque<Vec<Op>> = VecDeque::new();
    for n in 1..=moves {
        let ops = change(&mut random);
        worlds[0].commit(ops.clone()).unwrap();
        late.push_back(ops);
        while late.len() > random.usize(0..4) {
            let ops = late.pop_front().unwrap();
            worlds[1].commit(ops).unwrap();
        }
        let place = random.usize(..readers.len());
        let reader = &mut readers[place];
        // Most go to the other; some find the same again.
        let to = if random.u8(0..4) == 0 { reader.at } else { 1 - reader.at };
        reader.go(&mut worlds, to);
        for world in &mut worlds {
            world.run_for(Duration::from_millis(random.u64(0..8)));
        }
        if n % (moves / 20) == 0 {
            for ops in late.drain(..) {
                worlds[1].commit(ops).unwrap();
            }
            worlds.iter_mut().for_each(World::settle);
            let mut truths = HashMap::new();
            for reader in &readers {
                let world = &mut worlds[reader.at];
                let expected =
                    truths.entry((reader.at, reader.query)).or_insert_with(|| truth(world, reader.query));
                let result = world.session(reader.ids[reader.at]).live_query("q").expect("it is there");
                let shown: BTreeMap<_, _> = rows(result);
                assert_eq!(shown, expected.iter().cloned().collect(), "after {n} moves, {}", reader.query);
                if let Some(ordered) = result.ordered() {
                    let ids: Vec<_> = ordered.map(|(id, _)| id.to_string()).collect();
                    assert!(ids.iter().eq(expected.iter().map(|(id, _)| id)), "after {n} moves: {ids:?}");
                }
            }
            // Where both have the same, nobody is sent a row.
            for reader in &mut readers {
                let to = 1 - reader.at;
                reader.go(&mut worlds, to);
            }
            worlds.iter_mut().for_each(World::settle);
            for reader in &readers {
                let told = messages(&mut worlds[reader.at], reader.ids[reader.at]);
                let [authenticated, resumed] = &told[..] else { panic!("{told:?}") };
                assert_eq!(
                    (&authenticated["type"], &resumed["type"]),
                    (&"authenticated".into(), &"liveQueryResumed".into())
                );
                assert_eq!(
                    (&resumed["drop"], resumed["version"].is_string()),
                    (&json!([]), true),
                    "{resumed}"
                );
            }
        }
    }
    worlds.iter().for_each(|world| world.hub().check_totals());
}

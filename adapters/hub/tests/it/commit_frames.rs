//! "Between two frames the client's live queries, all that have sent their last chunk, together show one moment."

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fastrand::Rng;
use liveset_core::{AuthOptions, LiveQueryOptions, LiveQueryRequest, LiveResult, SessionLimits};
use liveset_engine::{EngineLimits, SetDef};
use liveset_hub::{
    HubConfig,
    test_kit::{ClientId, Frame, World, remove, upsert},
};
use serde_json::Value;

use crate::support::{client, create, order, orders, request, types};

/// Group and number, by id.
type Rows = BTreeMap<String, (u64, u64)>;

/// What a query shows: a group, or all; so many by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    group: Option<u64>,
    limit: u64,
}

const QUERIES: [Asked; 5] = [
    Asked { group: None, limit: 1_000 },
    Asked { group: None, limit: 3 },
    Asked { group: Some(0), limit: 1_000 },
    Asked { group: Some(1), limit: 1_000 },
    Asked { group: Some(1), limit: 2 },
];

impl Asked {
    fn json(self) -> String {
        let filter = self.group.map_or(String::new(), |group| format!(r#""filter":"g == {group}","#));
        format!(r#"{{"edge":"orders",{filter}"orderBy":"n","limit":{}}}"#, self.limit)
    }

    fn shows(self, rows: &Rows) -> Rows {
        let mut all: Vec<_> =
            rows.iter().filter(|(_, (g, _))| self.group.is_none_or(|group| *g == group)).collect();
        all.sort_by_key(|(id, (_, n))| (*n, (*id).clone()));
        all.into_iter().take(self.limit as usize).map(|(id, row)| (id.clone(), *row)).collect()
    }
}

/// A live query as its client has folded it.
#[derive(Clone, Default)]
struct Held {
    rows: Rows,
    is_loaded: bool,
    /// What it asked to go on from, in the order of the ids.
    asked: Vec<String>,
}

struct Reader {
    id: ClientId,
    held: BTreeMap<usize, Held>,
    results: BTreeMap<usize, LiveResult>,
    /// Of the history, what it showed at the last frame.
    moment: usize,
    /// Something was shown since.
    is_dirty: bool,
    is_stalled: bool,
}

#[derive(Default)]
struct Tally {
    frames: usize,
    /// Frames over two live queries and more.
    unions: usize,
    /// Of these, how many stepped over moments.
    leaps: usize,
    /// Operations behind which some query lagged.
    lagged: usize,
}

impl Reader {
    fn read(&mut self, message: &Value, history: &[Rows], tally: &mut Tally) {
        let query = message["id"].as_str().and_then(|id| id[1..].parse::<usize>().ok()).unwrap_or_default();
        let row = |row: &Value| (row["g"].as_u64().unwrap(), row["n"].as_u64().unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let kind = message["type"].as_str().unwrap();
        match kind {
            "authenticated" | "ping" => return,
            "commit" => return self.frame(history, tally),
            "liveQueryDestroyed" => return drop(self.held.remove(&query)),
            _ => {}
        }
        let held = self.held.entry(query).or_default();
        match kind {
            "liveQueryCreated" => (held.rows, held.is_loaded) = (Rows::new(), false),
            "liveQueryData" => {
                for data in message["data"].as_array().unwrap() {
                    held.rows.insert(text(&data["id"]), row(data));
                }
                held.is_loaded = message["hasMore"] == false;
                self.is_dirty |= held.is_loaded;
            }
            "liveQueryResumed" => {
                let places = message["drop"].as_array().cloned().unwrap_or_default();
                for place in places {
                    assert!(held.rows.remove(&held.asked[place.as_u64().unwrap() as usize]).is_some());
                }
                held.is_loaded = true;
                self.is_dirty = true;
            }
            "liveQueryAddedNode" | "liveQueryUpdatedNode" => {
                held.rows.insert(text(&message["nodeId"]), row(&message["data"]));
                self.is_dirty = true;
            }
            "liveQueryRemovedNode" => {
                assert!(held.rows.remove(message["nodeId"].as_str().unwrap()).is_some());
                self.is_dirty = true;
            }
            other => panic!("{other}: {message}"),
        }
    }

    /// All that have loaded show what they showed at one moment, which is no earlier than that of the frame before.
    fn frame(&mut self, history: &[Rows], tally: &mut Tally) {
        assert!(self.is_dirty, "a frame behind nothing");
        self.is_dirty = false;
        let loaded: Vec<_> = self.held.iter().filter(|(_, held)| held.is_loaded).collect();
        let is_shown =
            |rows: &Rows| loaded.iter().all(|(query, held)| QUERIES[**query].shows(rows) == held.rows);
        let later = history[self.moment..].iter().position(is_shown);
        let Some(later) = later else {
            let shown: BTreeMap<_, _> = loaded.iter().map(|(query, held)| (query, &held.rows)).collect();
            panic!("no moment since {} shows {shown:?}; now is {:?}", self.moment, history.last());
        };
        self.moment += later;
        tally.frames += 1;
        tally.unions += usize::from(loaded.len() > 1);
        tally.leaps += usize::from(loaded.len() > 1 && later > 1);
    }

    fn drain(&mut self, world: &mut World, history: &[Rows], tally: &mut Tally) {
        for frame in world.take_record(self.id) {
            let Frame::Text(text) = frame else { panic!("it was closed") };
            self.read(&serde_json::from_str(&text).unwrap(), history, tally);
        }
        world.take_events(self.id);
    }

    fn ask(&mut self, world: &mut World, query: usize, from: Option<LiveResult>) {
        let options = LiveQueryOptions { resume: true, ..LiveQueryOptions::default() };
        let asked = request(&format!("q{query}"), &QUERIES[query].json());
        let from = from.inspect(|result| {
            let held = self.held.entry(query).or_default();
            held.rows = result.rows().map(|(id, row)| (id.to_string(), parsed(row))).collect();
            held.asked = held.rows.keys().cloned().collect();
            held.is_loaded = false;
        });
        world.session(self.id).create_live_query(LiveQueryRequest { options, resume_from: from, ..asked });
    }
}

fn parsed(row: &[u8]) -> (u64, u64) {
    let row: Value = serde_json::from_slice(row).unwrap();
    (row["g"].as_u64().unwrap(), row["n"].as_u64().unwrap())
}

fn run(seed: u64, config: HubConfig, room: usize, slice_millis: u64, operations: usize) -> Tally {
    eprintln!("to run this again: LIVESET_SEED={seed}");
    let mut r = Rng::with_seed(seed);
    let mut world = World::new(seed, config);
    world.hub_mut().define_set(SetDef::new("orders")).unwrap();
    world.set_latency(Duration::ZERO..=Duration::from_millis(3));
    world.set_room(room);
    world.set_slice_time(Duration::ZERO..=Duration::from_millis(slice_millis));
    world.set_auth_options(AuthOptions { commits: true });
    let (mut rows, mut tally) = (Rows::new(), Tally::default());
    let mut history = vec![rows.clone()];
    let mut readers: Vec<Reader> = (0..3)
        .map(|_| {
            let id = world.connect("a");
            world.record(id);
            let (held, results) = Default::default();
            Reader { id, held, results, moment: 0, is_dirty: false, is_stalled: false }
        })
        .collect();
    for _ in 0..operations {
        let reader = r.usize(..readers.len());
        let reader = &mut readers[reader];
        match r.usize(..20) {
            0..=10 => {
                let ops = (0..=r.usize(..4)).map(|_| {
                    let id = format!("n{}", r.usize(..12));
                    if r.u8(..4) < 1 {
                        rows.remove(&id);
                        return remove("orders", &id);
                    }
                    let row = (r.usize(..3) as u64, r.usize(..20) as u64);
                    rows.insert(id.clone(), row);
                    upsert("orders", &format!(r#"{{"id":"{id}","g":{},"n":{}}}"#, row.0, row.1))
                });
                let ops = ops.collect();
                world.commit(ops).unwrap();
                history.push(rows.clone());
            }
            11..=13 => {
                let query = r.usize(..QUERIES.len());
                let is_new = world.session(reader.id).live_query(&format!("q{query}")).is_none();
                if is_new && world.session(reader.id).unanswered() == 0 {
                    reader.ask(&mut world, query, None);
                } else if r.u8(..4) < 1 && world.session(reader.id).unanswered() == 0 {
                    world.session(reader.id).destroy_live_query(&format!("q{query}"));
                }
            }
            14 => {
                reader.is_stalled = !reader.is_stalled;
                if reader.is_stalled { world.stall(reader.id) } else { world.unstall(reader.id) }
            }
            15 => {
                reader.drain(&mut world, &history, &mut tally);
                let results: Vec<_> = world
                    .session(reader.id)
                    .live_queries()
                    .map(|(id, result)| (id[1..].parse().unwrap(), result.clone()))
                    .collect();
                reader.results.extend(results);
                world.reconnect(reader.id, "a");
                reader.held.clear();
                // Another connection may begin where the sets are behind.
                (reader.is_stalled, reader.is_dirty, reader.moment) = (false, false, 0);
                // What it had may be of any moment before.
                for (query, mut result) in std::mem::take(&mut reader.results) {
                    if r.bool() {
                        result = result.without_version();
                    }
                    let result = result.rewound();
                    reader.ask(&mut world, query, Some(result));
                }
            }
            _ => world.run_for(Duration::from_millis(r.usize(..12) as u64)),
        }
        tally.lagged += usize::from(world.hub().stats().engine.behind > 0);
        for reader in &mut readers {
            reader.drain(&mut world, &history, &mut tally);
        }
    }
    for reader in &mut readers {
        world.unstall(reader.id);
    }
    world.settle();
    for reader in &mut readers {
        reader.drain(&mut world, &history, &mut tally);
        assert!(!reader.is_dirty, "a frame follows the last of it");
        for (query, held) in &reader.held {
            assert!(held.is_loaded);
            assert_eq!(held.rows, QUERIES[*query].shows(&rows), "{:?}", QUERIES[*query]);
        }
    }
    tally
}

fn config(backlog: usize) -> HubConfig {
    let session = SessionLimits::default()
        .backlog_changes(backlog)
        .messages_per_second(1_000_000)
        .message_burst(1_000_000)
        .chunk_rows(2);
    HubConfig { session, ..HubConfig::default() }
}

fn seeds() -> std::ops::Range<u64> {
    if let Ok(seed) = std::env::var("LIVESET_SEED") {
        let seed = seed.parse().expect("a number");
        return seed..seed + 1;
    }
    let count = std::env::var("LIVESET_SEEDS").map_or(12, |count| count.parse().expect("a number"));
    0..count
}

#[test]
fn the_union_of_the_queries_of_whoever_keeps_up_is_one_moment_at_each_frame() {
    for seed in seeds() {
        let tally = run(seed, config(256), 16_000, 0, 600);
        assert!(tally.unions > 50, "seed {seed}: {}", tally.unions);
    }
}

#[test]
fn and_of_slow_connections_whose_changes_fold() {
    for seed in seeds() {
        let backlog = [0, 1, 4, 10][seed as usize % 4];
        let tally = run(seed, config(backlog), 200, 0, 2_000);
        assert!(tally.unions > 20 && tally.leaps > 5, "seed {seed}: {} {}", tally.unions, tally.leaps);
    }
}

#[test]
fn and_of_queries_that_are_brought_up_to_date_in_slices() {
    for seed in seeds() {
        let config = HubConfig { engine: EngineLimits::default().hold_steps(30), ..config(6) };
        let tally = run(seed, config, 2_000, 4, 1_500);
        assert!(tally.lagged > 50 && tally.unions > 20, "seed {seed}: {} {}", tally.lagged, tally.unions);
    }
}

#[test]
fn a_frame_follows_each_commit_that_sent_something_and_no_other() {
    let mut world = crate::support::world(HubConfig::default());
    world.set_auth_options(AuthOptions { commits: true });
    let one = client(&mut world, "a");
    world.set_auth_options(AuthOptions::default());
    let other = client(&mut world, "b");
    for client in [one, other] {
        create(&mut world, client, "all", r#"{"edge":"orders"}"#);
        create(&mut world, client, "few", r#"{"edge":"orders","filter":"total > 10"}"#);
    }
    let first = ["liveQueryCreated", "liveQueryData", "commit"];
    assert_eq!(types(&mut world, one), [first, first].concat());
    assert!(!types(&mut world, other).contains(&"commit".to_owned()));
    world.commit(orders(12)).unwrap();
    world.settle();
    let mut told = types(&mut world, one);
    assert_eq!((told.len(), told.pop().as_deref()), (14, Some("commit")));
    world.commit(vec![order(3, 3)]).unwrap();
    world.settle();
    assert!(types(&mut world, one).is_empty(), "nothing has changed");
    world.commit(vec![order(3, 4)]).unwrap();
    world.commit(vec![order(4, 5)]).unwrap();
    world.settle();
    let update = ["liveQueryUpdatedNode", "commit"];
    assert_eq!(types(&mut world, one), [update, update].concat());
    let told: BTreeSet<String> = types(&mut world, other).into_iter().collect();
    assert!(told.iter().all(|kind| kind.ends_with("Node")), "{told:?}");
}

#[test]
fn whoever_authenticates_again_without_it_is_told_no_more_commits() {
    let mut world = crate::support::world(HubConfig::default());
    world.set_auth_options(AuthOptions { commits: true });
    let client = client(&mut world, "a");
    create(&mut world, client, "all", r#"{"edge":"orders"}"#);
    types(&mut world, client);
    world.session(client).authenticate(&liveset_core::Token::new("a"));
    world.commit(vec![order(1, 1)]).unwrap();
    world.settle();
    assert_eq!(types(&mut world, client), ["liveQueryAddedNode", "commit", "authenticated"]);
    world.commit(vec![order(1, 2)]).unwrap();
    world.settle();
    assert_eq!(types(&mut world, client), ["liveQueryUpdatedNode"]);
}

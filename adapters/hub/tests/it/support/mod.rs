//! What these tests share: a world with one set, and the messages that a client got.

#![allow(unreachable_pub, reason = "a test has no outside")]

use liveset_core::{LiveQueryRequest, Query};
use liveset_engine::{Op, SetDef};
use liveset_hub::{
    HubConfig,
    test_kit::{ClientId, Frame, World, upsert},
};
use serde_json::Value;

/// One of some.
pub use liveset_fuzz::generate::pick;

/// A world with the set `orders` (key `id`).
pub fn world(config: HubConfig) -> World {
    let mut world = World::new(1, config);
    world.hub_mut().define_set(SetDef::new("orders")).expect("a set");
    world
}

/// A client that has authenticated and records what it gets.
pub fn client(world: &mut World, token: &str) -> ClientId {
    let client = world.connect(token);
    world.record(client);
    world.settle();
    assert_eq!(types(world, client), ["authenticated"]);
    client
}

pub fn order_of(node: &str) -> Op {
    upsert("orders", node)
}

pub fn order(n: u32, total: u32) -> Op {
    upsert("orders", &format!("{{\"id\":{n},\"total\":{total}}}"))
}

pub fn orders(count: u32) -> Vec<Op> {
    (0..count).map(|n| order(n, n)).collect()
}

pub fn request(id: &str, query: &str) -> LiveQueryRequest {
    LiveQueryRequest::new(id, Query::parse(query.as_bytes()).expect("a query"))
}

/// Asks for a live query and lets the answer arrive.
pub fn create(world: &mut World, client: ClientId, id: &str, query: &str) {
    world.session(client).create_live_query(request(id, query));
    world.settle();
}

/// What a client got since it was last asked for.
pub fn messages(world: &mut World, client: ClientId) -> Vec<Value> {
    let texts = world.take_record(client).into_iter().filter_map(|frame| match frame {
        Frame::Text(text) => Some(text),
        Frame::Close(_) => None,
    });
    texts.map(|text| serde_json::from_str(&text).expect("JSON")).collect()
}

pub fn types(world: &mut World, client: ClientId) -> Vec<String> {
    messages(world, client)
        .iter()
        .map(|message| message["type"].as_str().expect("a type").to_owned())
        .collect()
}

/// The ids that a client's live query shows, in order of the id.
pub fn shown(world: &mut World, client: ClientId, id: &str) -> Vec<String> {
    let result = world.session(client).live_query(id).expect("the live query is there");
    result.rows().map(|(id, _)| id.to_string()).collect()
}

//! A world on virtual time: one [`Hub`], any number of clients, and a network between them that is as bad as a test wants.
//!
//! Nothing here waits: time is moved by the test, and jumps from one thing that happens to the next. Everything is a
//! function of the seed and of what the test does, so a failure repeats. This is what Liveset's own simulator runs on.
//!
//! ```
//! use std::time::Duration;
//!
//! use liveset_core::{LiveQueryRequest, Query};
//! use liveset_engine::SetDef;
//! use liveset_hub::{HubConfig, test_kit::{World, upsert}};
//!
//! let mut world = World::new(7, HubConfig::default());
//! world.hub_mut().define_set(SetDef::new("orders"))?;
//! world.set_latency(Duration::from_millis(5)..=Duration::from_millis(80));
//!
//! let client = world.connect("any token");
//! let query = Query::parse(br#"{"edge":"orders","filter":"total > 10","orderBy":"total desc"}"#)?;
//! world.session(client).create_live_query(LiveQueryRequest::new("large", query));
//! world.settle();
//!
//! world.commit(vec![upsert("orders", r#"{"id":1,"total":12.5}"#)])?;
//! world.stall(client);
//! world.run_for(Duration::from_secs(20));
//! world.unstall(client);
//! world.settle();
//! let result = world.session(client).live_query("large").expect("the hub accepted it");
//! assert_eq!(result.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clients;
mod world;

pub use clients::{ClientId, Frame};
pub use world::World;

use liveset_engine::Op;

/// An [`Op::Upsert`] from text.
pub fn upsert(set: &str, node: &str) -> Op {
    Op::Upsert { set: set.into(), node: node.as_bytes().to_vec().into() }
}

/// An [`Op::Remove`] from text.
pub fn remove(set: &str, id: &str) -> Op {
    Op::Remove { set: set.into(), id: id.to_owned() }
}

#[cfg(doc)]
use crate::Hub;

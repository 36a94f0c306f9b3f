//! One change to many connections.

use liveset_core::{Moment, Transmit};
use liveset_engine::Op;
use liveset_hub::{Hub, HubConfig, Now, Output, Principal, Stats};

use crate::{Order, Workload, now, orders_set};

/// A hub with connections that all watch the same query, whose window holds every order: each change of an order is one
/// message to each connection. The network takes everything at once.
#[derive(Debug)]
pub struct FanOut {
    hub: Hub,
    now: Now,
    text: Vec<u8>,
}

impl FanOut {
    /// The most orders that one window holds, and so the most of this workload.
    pub const ORDERS: u32 = 1_000;

    /// `sessions` connections over the orders of a workload of at most [`ORDERS`](Self::ORDERS).
    pub fn new(workload: &Workload, sessions: usize) -> Self {
        let mut hub = Hub::new(HubConfig::default());
        hub.define_set(orders_set()).expect("a set");
        let now = Now { monotonic: Moment::default(), wall: now() };
        hub.commit(now, workload.orders().iter().map(Order::upsert).collect()).expect("orders are sound");
        let mut fan_out = Self { hub, now, text: Vec::new() };
        for _ in 0..sessions {
            let conn = fan_out.hub.connect(now);
            fan_out.hub.handle_text(now, conn, br#"{"type":"auth","token":"t"}"#);
            fan_out.drain();
            let create = br#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders","orderBy":"createdAt desc"}}"#;
            fan_out.hub.handle_text(now, conn, create);
            fan_out.drain();
        }
        fan_out
    }

    /// Applies a commit and writes every message that comes of it. Returns how many messages and bytes those are.
    pub fn apply(&mut self, ops: Vec<Op>) -> (usize, usize) {
        self.hub.commit(self.now, ops).expect("orders are sound");
        self.drain()
    }

    /// What the hub holds and has done.
    pub fn stats(&self) -> Stats {
        self.hub.stats()
    }

    fn drain(&mut self) -> (usize, usize) {
        let (mut messages, mut bytes) = (0, 0);
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Verify { conn, attempt, token: _ } => {
                    self.hub.handle_verdict(self.now, conn, attempt, Ok(Principal::new("someone")));
                }
                Output::Transmit { conn } => {
                    while let Some(Transmit::Text) = self.hub.poll_transmit(self.now, conn, &mut self.text) {
                        messages += 1;
                        bytes += self.text.len();
                        self.text.clear();
                    }
                }
                _ => {}
            }
        }
        (messages, bytes)
    }
}

//! One change to many connections.

use std::sync::Arc;

use liveset_core::{Monotonic, Transmit};
use liveset_engine::{Op, Query};
use liveset_hub::{Hub, HubConfig, Now, Output, Principal, Stats};

use crate::{
    OrderRow, Step,
    live::{instant, json_op, orders_set},
};

/// A hub with connections that all watch the same query, each under an id of its own. The network takes everything at once:
/// each connection has a buffer that is emptied whenever something is to be written.
#[derive(Debug)]
pub struct FanOut {
    hub: Hub,
    now: Now,
    text: Vec<u8>,
    buffers: Vec<Vec<u8>>,
    past_sessions: bool,
}

impl FanOut {
    /// `sessions` connections over these orders.
    pub fn new(orders: &[Arc<OrderRow>], now: i64, query: &Query, sessions: usize) -> Self {
        let mut hub = Hub::new(HubConfig::default());
        hub.define_set(orders_set()).expect("a set");
        let now = Now { monotonic: Monotonic::default(), wall: instant(now) };
        let ops = orders.iter().map(|order| json_op(&Step::Put(order.clone()))).collect();
        hub.commit(now, ops).expect("orders are sound");
        let buffers = vec![Vec::new(); sessions];
        let mut fan_out = Self { hub, now, text: Vec::new(), buffers, past_sessions: true };
        let of = |text: &Option<String>| text.clone().unwrap_or_default();
        for session in 0..sessions {
            let conn = fan_out.hub.connect(now);
            fan_out.hub.handle_text(now, conn, br#"{"type":"auth","token":"t"}"#);
            fan_out.drain(|_| {});
            let create = format!(
                r#"{{"type":"createLiveQuery","id":"query-{session}","query":{{"edge":"{}","filter":"{}","orderBy":"{}","limit":{}}}}}"#,
                query.set,
                of(&query.filter),
                of(&query.order_by),
                query.limit.unwrap_or(1_000),
            );
            fan_out.hub.handle_text(now, conn, create.as_bytes());
            fan_out.drain(|_| {});
        }
        fan_out
    }

    /// Brings every diff through the session of its connection, as for one that was slow.
    pub fn through_sessions(&mut self) {
        self.past_sessions = false;
    }

    /// Applies a commit and writes every message that comes of it. Returns how many messages and bytes those are.
    pub fn apply(&mut self, now: i64, ops: Vec<Op>) -> (usize, usize) {
        self.now.wall = instant(now);
        self.hub.commit(self.now, ops).expect("orders are sound");
        self.drain(|_| {})
    }

    /// As [`apply`](Self::apply), and shows each message.
    pub fn show(&mut self, now: i64, ops: Vec<Op>, see: impl FnMut(&[u8])) {
        self.now.wall = instant(now);
        self.hub.commit(self.now, ops).expect("orders are sound");
        self.drain(see);
    }

    /// What the hub holds and has done.
    pub fn stats(&self) -> Stats {
        self.hub.stats()
    }

    fn drain(&mut self, mut see: impl FnMut(&[u8])) -> (usize, usize) {
        let (mut messages, mut bytes) = (0, 0);
        let Self { hub, now, buffers, past_sessions, .. } = self;
        if *past_sessions {
            hub.fan_out(*now, |conn, id, diffs| {
                let Some(buffer) = buffers.get_mut(conn.slot()) else { return false };
                for pieces in diffs.messages(id) {
                    buffer.clear();
                    buffer.reserve(pieces.iter().map(|piece| piece.len()).sum());
                    pieces.iter().for_each(|piece| buffer.extend_from_slice(piece));
                    messages += 1;
                    bytes += buffer.len();
                    see(buffer);
                }
                true
            });
        }
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Verify { conn, attempt, token: _ } => {
                    self.hub.handle_verdict(
                        self.now,
                        conn,
                        attempt,
                        Ok(Principal::new(format!("someone-{conn}"))),
                    );
                }
                Output::Transmit { conn } => {
                    while let Some(Transmit::Text) = self.hub.poll_transmit(self.now, conn, &mut self.text) {
                        messages += 1;
                        bytes += self.text.len();
                        see(&self.text);
                        self.text.clear();
                    }
                }
                _ => {}
            }
        }
        (messages, bytes)
    }
}

/// The least that could be done instead: the bytes that are alike for all, copied behind each connection's own head, into a buffer
/// of each connection.
#[derive(Debug)]
pub struct Copies {
    heads: Vec<Vec<u8>>,
    buffers: Vec<Vec<u8>>,
}

impl Copies {
    /// Buffers for so many connections.
    pub fn new(sessions: usize) -> Self {
        let head = |session| format!(r#"{{"type":"liveQueryChanges","id":"query-{session}","#).into_bytes();
        Self { heads: (0..sessions).map(head).collect(), buffers: vec![Vec::new(); sessions] }
    }

    /// Writes one message for each.
    pub fn write(&mut self, payload: &[u8]) -> usize {
        for (head, buffer) in self.heads.iter().zip(&mut self.buffers) {
            buffer.clear();
            buffer.extend_from_slice(head);
            buffer.extend_from_slice(payload);
        }
        self.buffers.len()
    }
}

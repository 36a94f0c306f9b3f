//! The clients of a world, and the link of each to the hub.

use std::collections::VecDeque;

use liveset_core::{ClientEvent, ClientSession, CloseCode, Monotonic};

use crate::ConnectionId;

/// A client of a [`World`](super::World), over all its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(super) usize);

/// What travels from the hub to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One message.
    Text(String),
    /// The close frame.
    Close(CloseCode),
}

impl Frame {
    /// What it takes of the room on the way.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Close(_) => 2,
        }
    }
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) session: ClientSession,
    pub(super) link: Option<Link>,
    pub(super) events: VecDeque<ClientEvent>,
    /// What arrived, in order, where the test wants it kept.
    pub(super) record: Option<Vec<Frame>>,
    /// The code of the last close frame that arrived.
    pub(super) closed: Option<CloseCode>,
}

/// One connection as the network sees it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) conn: ConnectionId,
    /// The hub has something to send.
    pub(super) ready: bool,
    /// The client reads nothing.
    pub(super) stalled: bool,
    /// The hub has closed its side.
    pub(super) finished: bool,
    /// Bytes sent and not read: what fills up the way to a client that does not read.
    pub(super) unread: usize,
    /// Arrived and not read.
    pub(super) held: VecDeque<Frame>,
    /// When the last frame in each direction arrives: frames do not overtake.
    pub(super) up: Monotonic,
    pub(super) down: Monotonic,
}

impl Link {
    pub(super) fn new(conn: ConnectionId, now: Monotonic) -> Self {
        Self {
            conn,
            ready: false,
            stalled: false,
            finished: false,
            unread: 0,
            held: VecDeque::new(),
            up: now,
            down: now,
        }
    }
}

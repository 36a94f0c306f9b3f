//! Positions in the history of a source, as hosts and clients are given them.

use std::hash::BuildHasher;

use liveset_core::{ErrorCode, Position, Refusal, Ticket, VersionKey};
use liveset_engine::Keyed;

use crate::{ConnectionId, Hub, Now};

/// The one source so far: the host itself, whose history begins with the hub. Its positions are the versions of the engine, sealed: they
/// tell nobody how much happened, and those of another run are none of this one.
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    key: VersionKey,
}

impl Positions {
    pub(crate) fn new(keyed: Keyed) -> Self {
        Self { key: VersionKey::new([0_u8, 1].map(|half| keyed.hash_one((half, "position")))) }
    }

    /// The position of a commit, or of a result, of this version.
    pub fn of(&self, version: u64) -> Position {
        self.key.position(version)
    }
}

impl Hub {
    /// Which position each version has.
    pub fn positions(&self) -> Positions {
        self.positions
    }

    /// Answers a client that waits until its live queries show a position.
    pub(crate) fn await_position(&mut self, now: Now, conn: ConnectionId, ticket: Ticket, position: &str) {
        let position = position.parse().ok();
        let version = position.and_then(|position| self.positions.key.number(position));
        let version = version.filter(|version| *version <= self.engine.version());
        // The session is to have everything up to there.
        self.hand_out();
        let Some(connection) = self.connections.find_mut(conn) else { return };
        match version {
            Some(version) => connection.session.await_version(ticket, version),
            None => {
                let message = "The position is none of this server's history".to_owned();
                let refusal = Refusal { code: ErrorCode::UnknownPosition, message, id: None };
                connection.session.refuse(now.monotonic, ticket, refusal);
            }
        }
    }
}

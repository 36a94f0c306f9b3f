//! The Liveset protocol as a sans-IO state machine: one connection's conversation, from either end.

mod client;
mod error;
mod fold;
mod limits;
mod message;
mod row;
mod session;
mod time;
mod token;

pub use client::{
    ClientError, ClientEvent, ClientSession, Ended, LiveQueryRequest, LiveResult, NodeChange, RequestId,
};
pub use error::{CloseCode, Consequence, ErrorCode, UnknownErrorCode, Violation};
pub use fold::Pending;
pub use limits::{ClientLimits, SessionLimits};
pub use message::{
    ClientBody, ClientMessage, ClientMessageError, LiveQueryOptions, QuerySpec, QuerySpecError, Raw,
    ServerMessage, ServerMessageError, SubscriptionEntry, SubscriptionSpec,
};
pub use row::{AddedReason, Change, ChangeBatch, ChangeReason, Doc, RemovedReason, Snapshot};
pub use session::{
    Attempt, Backlog, Event, Refusal, Request, Session, SessionState, SessionStats, Ticket, Transmit, Verdict,
};
pub use time::Moment;
pub use token::Token;

/// A map whose iteration order depends on what is in it alone: the same inputs give the same outputs.
pub(crate) type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;

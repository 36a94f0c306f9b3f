//! The Liveset protocol as a sans-IO state machine: one connection's conversation, from either end.
//!
//! ```text
//!              ┌───────────────────── owner ─────────────────────┐
//!              │ verdicts, answers, changes, events     requests │
//!              └─────────┬──────────────────────────────▲────────┘
//!                        ▼                              │
//!  text ──► handle_text ┌──────────────────────────────────────┐ poll_request
//!                       │               Session                │ poll_transmit ──► text, close
//!  time ► handle_timeout└──────────────────────────────────────┘ poll_timeout ──► when to wake
//! ```
//!
//! [`Session`] is the server's end: states, deadlines, every message and error code, event queues that drop the
//! oldest and say how many, live queries that fold for a slow client. [`ClientSession`] is the client's end. Both
//! read and write the same messages ([`ClientMessage`], [`ServerMessage`]), in place and without an intermediate
//! tree. Neither knows a socket, a clock, a task, a filter or a row: time is an argument ([`Monotonic`]), what needs
//! the world is an output ([`Request`]) answered later, and a row is opaque JSON with an order key ([`Row`]).
//!
//! # The run loop
//!
//! After every input, drain the outputs. This is a whole conversation:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use liveset_core::{
//!     ClientLimits, ClientSession, Count, LiveQueryRequest, Monotonic, Query, Request, Session,
//!     SessionLimits, Snapshot, Token, Transmit, Verdict,
//! };
//!
//! let now = Monotonic::ZERO;
//! let mut server = Session::new(Arc::new(SessionLimits::default()), now);
//! let mut client = ClientSession::new(ClientLimits::default(), now);
//!
//! client.authenticate(&Token::new("open sesame"));
//! let query = Query { set: "orders".into(), ..Query::default() };
//! client.create_live_query(LiveQueryRequest::new("lq-orders", query));
//!
//! let mut text = Vec::new();
//! loop {
//!     // What came from the peer.
//!     text.clear();
//!     if client.poll_transmit(&mut text) {
//!         server.handle_text(now, &text);
//!     }
//!     // What the session needs of the world.
//!     while let Some(request) = server.poll_request() {
//!         match request {
//!             Request::Verify { attempt, token } => {
//!                 let verdict = match token.expose() {
//!                     "open sesame" => Verdict::Accepted { expires: None },
//!                     _ => Verdict::Refused,
//!                 };
//!                 server.handle_verdict(now, attempt, verdict);
//!             }
//!             Request::CreateLiveQuery { ticket, .. } => {
//!                 let nothing = Snapshot { version: 1, count: Count::default(), rows: vec![] };
//!                 server.accept_live_query(now, ticket, Arc::new(nothing));
//!             }
//!             _ => {}
//!         }
//!     }
//!     // What goes to the peer, as far as it can take it.
//!     let mut idle = true;
//!     loop {
//!         text.clear();
//!         match server.poll_transmit(now, &mut text) {
//!             Some(Transmit::Text) => client.handle_text(now, &text)?,
//!             Some(Transmit::Close(code)) => panic!("closed with {}", code.as_u16()),
//!             None => break,
//!         }
//!         idle = false;
//!     }
//!     if idle {
//!         break;
//!     }
//! }
//! assert!(client.live_query("lq-orders").is_some_and(|result| result.is_loaded()));
//!
//! // A real loop now sleeps until the next input, at most until this deadline, and calls `handle_timeout`.
//! assert_eq!(server.poll_timeout(), Some(now + Duration::from_secs(30)));
//! # Ok::<(), liveset_core::ClientError>(())
//! ```
//!
//! # Limits
//!
//! Every queue, count, size and deadline is bounded, and all of them stand in [`SessionLimits`], whose default is
//! the protocol's. Input never panics; what a client may not say is answered on the wire.
//!
//! # JSON
//!
//! One policy for whatever a peer says, in fields that nobody reads as well: RFC 8259 to the letter, in UTF-8 without a byte
//! order mark; one value and nothing but white space around it; each key once in an object, escaped or not; integers of 64 bits
//! and other numbers that `f64` can hold; no half of a surrogate pair. A message of a client nests at most 64 lists and objects, one
//! of a server two more than the deepest node (128). `\u0000` is a character like others, in ids too. What is refused is told
//! with its place, and the connection stays.
//!
//! # Determinism
//!
//! The same inputs give the same outputs, byte for byte. There is no randomness and no iteration over a randomly
//! seeded map. The package has no features for users: `fuzzing` makes messages
//! by chance, for tests, and is no part of the interface.

mod client;
mod diffs;
mod error;
mod fold;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod json;
mod limits;
mod message;
pub mod model;
mod session;
pub mod time;
mod token;
mod version;

pub use client::{
    ClientError, ClientEvent, ClientSession, Ended, LiveQueryRequest, LiveResult, NodeChange, RequestId,
};
pub use diffs::{DiffVersions, Diffs};
pub use error::{CloseCode, Consequence, ErrorCode, UnknownErrorCode, Violation};
pub use fold::Pending;
pub use limits::{ClientLimits, SessionLimits};
pub use message::{
    Ahead, AuthOptions, ClientBody, ClientMessage, ClientMessageError, InvalidQuery, LiveQueryOptions,
    ParsedMessage, Raw, ServerMessage, ServerMessageError, SubscriptionSpec,
};
#[doc(no_inline)]
pub use model::{
    Batch, Change, Count, Etag, Hint, LiveUpdate, Param, Query, Reason, Row, SetStatus, Snapshot,
};
pub use session::{
    About, Attempt, Backlog, Event, Refusal, Request, Resumption, Session, SessionState, SessionStats,
    Ticket, Transmit, Verdict,
};
#[doc(no_inline)]
pub use time::{Monotonic, Rate, TokenBucket};
pub use token::Token;
pub use version::{NoPosition, Position, VersionCode, VersionKey};

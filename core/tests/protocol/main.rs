//! The protocol, rule by rule: one behaviour a file.

mod auth_again;
mod auth_deadline;
mod auth_holds_messages;
mod auth_must_be_first;
mod auth_refused;
mod keep_alive;
mod shutdown;
mod token_expiry;
mod transport_violations;
mod util;

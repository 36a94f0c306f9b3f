//! Who a connection acts for, and what it may do.

use std::{fmt, sync::Arc};

use liveset_core::{Moment, QuerySpec};

/// Whom a token stands for, as the authenticator found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The authenticator's name for whoever it is.
    pub subject: Arc<str>,
    /// May read and subscribe, but not write.
    pub read_only: bool,
    /// When the token stops being good; the connection is closed then. `None`: never.
    pub expires: Option<Moment>,
}

impl Principal {
    /// A principal that may write and does not expire.
    pub fn new(subject: impl Into<Arc<str>>) -> Self {
        Self { subject: subject.into(), read_only: false, expires: None }
    }
}

/// The token was refused. Clients are never told why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthRefused;

impl fmt::Display for AuthRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the token was refused")
    }
}

impl std::error::Error for AuthRefused {}

/// What a principal may do. Asked with every request, and again about everything that is held after a
/// re-authentication, while the hub is at work: answer from memory.
pub trait Policy: Send + Sync {
    /// Whether `who` may receive these events of this path.
    fn may_subscribe(&self, who: &Principal, path: &str, events: &[Arc<str>]) -> bool;
    /// Whether `who` may ask this query, live or once: edge, filter, order and fields.
    fn may_query(&self, who: &Principal, query: &QuerySpec) -> bool;
    /// Whether `who` may commit and publish. Asked by adapters that offer writing to clients.
    fn may_write(&self, who: &Principal) -> bool;
}

/// Everyone with an accepted token may read everything; whoever is not [read-only](Principal::read_only) may write.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Policy for AllowAll {
    fn may_subscribe(&self, _: &Principal, _: &str, _: &[Arc<str>]) -> bool {
        true
    }

    fn may_query(&self, _: &Principal, _: &QuerySpec) -> bool {
        true
    }

    fn may_write(&self, who: &Principal) -> bool {
        !who.read_only
    }
}

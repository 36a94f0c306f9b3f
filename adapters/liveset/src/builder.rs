//! How an endpoint is made.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

use liveset_engine::{Op, SetDef};
use liveset_hub::{AllowAll, HashSeed, Hub, HubConfig, Policy, Resources};

use crate::auth::{Authenticator, NoToken};
use crate::clock::{Clock, WallClock};
use crate::door::Door;
use crate::error::BuildError;
use crate::failures::Failures;
use crate::handle::Liveset;
use crate::limits::Limits;
use crate::shards::Shards;
use crate::shared::timer::has_timer;
use crate::shared::{Shared, Sizes, Sources};
use crate::storage::{Loaded, Storage, StorageError};

/// Makes a [`Liveset`].
///
/// ```
/// use liveset::{FieldKind, Grant, Limits, Liveset, SetDef, StaticTokens};
///
/// let mut limits = Limits::default();
/// limits.session.messages_per_second = 20;
/// let liveset = Liveset::builder()
///     .set(SetDef::new("orders").required("status", FieldKind::Text))
///     .set(SetDef::new("customers").key("email"))
///     .resource("orders/{orderId}", ["orderPaid"])
///     .authenticator(StaticTokens::new([("s3cret", Grant::new("alice"))]))
///     .limits(limits)
///     .build()?;
/// assert_eq!(liveset.set_names(), ["orders", "customers"]);
/// # Ok::<(), liveset::BuildError>(())
/// ```
#[must_use = "nothing is made before `build`"]
pub struct Builder {
    sets: Vec<SetDef>,
    sources: Sources,
    resources: Option<Resources>,
    declared: Vec<(String, Vec<String>)>,
    limits: Limits,
    authenticator: Box<dyn Authenticator>,
    policy: Box<dyn Policy>,
    clock: Clock,
    storage: Option<Box<dyn Storage>>,
}

impl Liveset {
    /// Begins to make one.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            sets: Vec::new(),
            sources: Sources::default(),
            resources: None,
            declared: Vec::new(),
            limits: Limits::default(),
            authenticator: Box::new(NoToken),
            policy: Box::new(AllowAll),
            clock: Clock::default(),
            storage: None,
        }
    }
}

impl Builder {
    /// Adds a set.
    pub fn set(mut self, set: SetDef) -> Self {
        self.sets.push(set);
        self
    }

    /// Adds a set whose commits come from a source of that name, and from nobody else: [`Liveset::source`] gives it.
    pub fn set_from(mut self, source: &str, set: SetDef) -> Self {
        self.sources.declare(source, &set.name, identity);
        self.set(set)
    }

    /// Declares a path that events are published at, such as `jobs/{jobId}`, with its event types. What is declared
    /// comes in place of the stock catalogue, unless that is named by [`resources`](Self::resources).
    pub fn resource<S: Into<String>>(
        mut self,
        path: impl Into<String>,
        event_types: impl IntoIterator<Item = S>,
    ) -> Self {
        self.declared.push((path.into(), event_types.into_iter().map(Into::into).collect()));
        self
    }

    /// Takes declared resources whole. Without this and without [`resource`](Self::resource), it is
    /// [`Resources::stock`].
    pub fn resources(mut self, resources: Resources) -> Self {
        self.resources = Some(resources);
        self
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets who judges tokens. Without one every token is refused.
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Box::new(authenticator);
        self
    }

    /// Sets what principals may do. Without one everyone with a good token may read everything.
    pub fn policy(mut self, policy: impl Policy + 'static) -> Self {
        self.policy = Box::new(policy);
        self
    }

    /// Sets where the `now` of queries comes from. Without it, the machine's clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets what keeps commits: [`build`](Self::build) brings back the rows that it has, and from then on a commit is applied, shown and
    /// answered when it is kept. Without one, the data lives in memory alone.
    pub fn store(mut self, storage: impl Storage) -> Self {
        self.storage = Some(Box::new(storage));
        self
    }

    /// Makes it. Needs no runtime; connections do, with a timer.
    ///
    /// # Errors
    ///
    /// Where a set or a resource is declared wrongly, or twice, where a limit is 0 with which nothing would go on, or where there are no
    /// threads to be had for the shards; where a storage cannot be read, or has rows that the sets do not take.
    pub fn build(self) -> Result<Liveset, BuildError> {
        let Self { sets, mut sources, resources, declared, limits, authenticator, policy, clock, storage } =
            self;
        let mut resources = match resources {
            Some(resources) => resources,
            None if declared.is_empty() => Resources::stock(),
            None => Resources::new(),
        };
        for (path, event_types) in declared {
            resources.declare(&path, event_types.iter().map(String::as_str))?;
        }
        if !has_timer() {
            return Err(BuildError::NoTimer);
        }
        if let Some(name) = limits.zero() {
            return Err(BuildError::Limit(name));
        }
        let Limits { engine, session, hub, transport, auth } = limits;
        let patience = session.auth_timeout;
        let shards = Shards::new(engine.shards).map_err(BuildError::Threads)?;
        let sizes = Sizes {
            message_bytes: session.message_bytes,
            initial_bytes: hub.initial_bytes,
            scan_bytes: hub.scan_bytes,
            replace_bytes: hub.replace_bytes,
            hold_steps: engine.hold_steps.max(1),
            overdraft: hub.overdraft,
        };
        let mut hub = Hub::new(HubConfig {
            engine,
            session,
            hub,
            resources,
            policy,
            epoch: epoch(),
            seed: seed(),
            ..HubConfig::default()
        });
        for set in sets {
            hub.define_set(set)?;
        }
        sources.declare_to(&mut hub);
        let clock = WallClock::new(clock);
        let start = tokio::time::Instant::now();
        let door = Door::new(authenticator, Failures::new(auth), patience, start);
        let shared = Shared::new(hub, clock, door, transport, sizes, shards, sources);
        let liveset = Liveset::new(shared);
        if let Some(mut storage) = storage {
            let loaded = bring_back(&liveset, &mut *storage)?;
            liveset.shared.keep_in(storage, &loaded);
        }
        Ok(liveset)
    }
}

/// Commits the rows of a storage, some at a time.
fn bring_back(liveset: &Liveset, storage: &mut dyn Storage) -> Result<Loaded, StorageError> {
    let mut rows = Vec::new();
    let commit = |rows: &mut Vec<Op>| {
        let committed = liveset.commit(|tx| tx.extend(rows.drain(..)));
        committed
            .map(drop)
            .map_err(|error| StorageError::new(format!("a row that is kept is not taken: {error}")))
    };
    let loaded = storage.load(&mut |set, json| {
        rows.push(Op::Upsert { set: set.into(), node: json.as_bytes().to_vec().into() });
        if rows.len() >= ROWS_AT_ONCE { commit(&mut rows) } else { Ok(()) }
    })?;
    if !rows.is_empty() {
        commit(&mut rows)?;
    }
    Ok(loaded)
}

const ROWS_AT_ONCE: usize = 1_000;

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("sets", &self.sets)
            .field("limits", &self.limits)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// Versions of this run begin higher than those of any run before: a client that resumes with a version of another run
/// must not be given the changes since a number that only looks like one of ours.
fn epoch() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The first identity of a source, which no other run has.
fn identity() -> String {
    let random = RandomState::new();
    format!("{:016x}{:016x}", random.hash_one(0_u64), random.hash_one(1_u64))
}

/// 128 random bits, of the standard library's own: SipHash under a key that the system gives.
fn seed() -> HashSeed {
    let random = RandomState::new();
    HashSeed::new([0_u64, 1].map(|half| random.hash_one(half)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_nothing_is_refused() {
        let build = |limits| Builder::default().limits(limits).build().map(drop);
        let mut limits = Limits::default();
        assert_eq!(build(limits.clone()), Ok(()));
        limits.engine.max_window = 0;
        assert_eq!(
            build(limits).unwrap_err().to_string(),
            "the limit engine.max_window has to be at least 1"
        );
        let mut limits = Limits::default();
        limits.transport.batch_bytes = 0;
        assert_eq!(build(limits), Err(BuildError::Limit("transport.batch_bytes".into())));
        let key = |key: &str| Builder::default().set(SetDef::new("orders").key(key)).build().map(drop);
        let refused = key("b.c").unwrap_err().to_string();
        assert_eq!(refused, "set 'orders': the key 'b.c' is a path; it has to be one of a node's own fields");
        for alone in ["id", "first name", "in", "order-id"] {
            assert_eq!(key(alone), Ok(()), "{alone}");
        }
    }

    #[test]
    fn no_two_endpoints_hash_alike() {
        let hash = || seed().keyed().hash_one("orders");
        assert_ne!(hash(), hash());
    }
}

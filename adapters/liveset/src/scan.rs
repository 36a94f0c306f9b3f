//! All rows that match a query, a piece at a time, and what sets there are.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use liveset_core::{ErrorCode, Query, Row, SetStatus, model::limit};
use liveset_engine::SetDef;
use liveset_hub::{Access, HubLimits, Principal, Scan as HubScan};

use crate::contain::{Panicked, contain};
use crate::handle::{AsPrincipal, Liveset, internal, overdrawn, refused};
use crate::query::QueryError;
use crate::shared::Shared;

/// A set as it is now; see [`Liveset::sets`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetInfo {
    /// As it was declared.
    pub definition: SetDef,
    /// How many rows it has.
    pub rows: usize,
    /// Where its commits come from.
    pub source: SetSource,
    /// Whether its rows are what its source has.
    pub status: SetStatus,
}

/// Where the commits to a set come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetSource {
    /// The host, which keeps the data.
    Host,
    /// The host, and a [storage](crate::Storage) keeps the data.
    Store,
    /// A [source](crate::Source) of this name.
    Named(Arc<str>),
}

impl SetSource {
    /// `host`, `store`, or the name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Host => "host",
            Self::Store => "store",
            Self::Named(name) => name,
        }
    }
}

impl Liveset {
    /// All sets, in the order of their declaration. O(their declared fields).
    ///
    /// ```
    /// # use liveset::{Liveset, SetDef};
    /// let liveset = Liveset::builder().set(SetDef::new("orders").key("number")).build()?;
    /// let sets = liveset.sets();
    /// assert_eq!((&*sets[0].definition.key, sets[0].rows), ("number", 0));
    /// # Ok::<(), liveset::BuildError>(())
    /// ```
    pub fn sets(&self) -> Vec<SetInfo> {
        let source = match self.shared.storage.get() {
            None => SetSource::Host,
            Some(_) => SetSource::Store,
        };
        self.shared.look(|hub| {
            let known = hub.set_names().filter_map(|name| {
                let (definition, rows) = hub.definition(name)?;
                let named = self.shared.sources.of(name).cloned().map(SetSource::Named);
                let source = named.unwrap_or_else(|| source.clone());
                Some(SetInfo { definition, rows, source, status: hub.status(name).clone() })
            });
            known.collect()
        })
    }

    /// What a principal may see of a set, by the policy; nothing where it panics.
    pub fn access(&self, who: &Principal, set: &str) -> Access {
        self.shared.look(|hub| hub.access(who, set)).map_err(refused).unwrap_or(Access::Nothing)
    }

    /// Begins to read all rows that match a query, however many: all of one version, in no order. Its order and its limit mean nothing.
    ///
    /// Cost: as [`query`](Self::query) for what an index finds; nothing is sorted or kept. Rows that change meanwhile are kept as they
    /// were, up to `HubLimits::scan_bytes`, which is looked at with each piece: whoever takes long between two
    /// [checks](Scan::check).
    ///
    /// ```
    /// # use liveset::{Liveset, Query, SetDef};
    /// let liveset = Liveset::builder().set(SetDef::new("orders")).build()?;
    /// liveset.commit(|tx| (0..5_000).for_each(|id| tx.upsert("orders", &serde_json::json!({ "id": id }))))?;
    /// let mut scan = liveset.scan(Query::new("orders").filter("id >= 1000"))?;
    /// liveset.commit(|tx| tx.remove("orders", 4_999))?;
    /// let mut rows = 0;
    /// while let Some(piece) = scan.next(1_000)? {
    ///     rows += piece.len();
    /// }
    /// assert_eq!(rows, 4_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where the query is wrong; the text says where.
    pub fn scan(&self, query: impl Into<Query>) -> Result<Scan, QueryError> {
        Scan::begin(&self.shared, None, query.into())
    }
}

impl AsPrincipal<'_> {
    /// Begins to read all rows that match a query, as [`Liveset::scan`] does, as far as the policy lets the principal see them. What it
    /// takes is on the account of the principal's subject: [wait](Scan::wait) before each piece.
    ///
    /// # Errors
    ///
    /// Where the query is wrong or not allowed; `OVERLOADED` where the subject has overdrawn its account by more than
    /// `HubLimits::overdraft`.
    pub fn scan(&self, query: impl Into<Query>) -> Result<Scan, QueryError> {
        Scan::begin(&self.liveset.shared, Some(self.who), query.into())
    }
}

/// The rows that match a query, as they were when it was asked; made by [`Liveset::scan`]. It holds no lock, and may be moved to another
/// thread. To give it up, drop it.
pub struct Scan {
    shared: Arc<Shared>,
    set: String,
    /// `None` after the last piece.
    asked: Option<HubScan>,
    version: u64,
    /// What had been replaced in the set when it was begun.
    replaced: u64,
    wait: Duration,
}

impl Scan {
    fn begin(shared: &Arc<Shared>, who: Option<&Principal>, query: Query) -> Result<Self, QueryError> {
        let set = query.set.clone();
        let asked = contain(|| shared.parser.query(query)).and_then(|query| {
            shared.run(|hub, now| {
                let replaced = hub.replaced_bytes(&set);
                hub.scan_prepared(now, who, &query).map(|asked| (asked, replaced))
            })
        });
        let (asked, replaced) = match asked {
            Ok(asked) => asked.map_err(refused)?,
            Err(Panicked) => return Err(internal()),
        };
        let wait = asked.payer().map_or(Duration::ZERO, |payer| shared.pay(payer, 0));
        let version = asked.version();
        Ok(Self { shared: shared.clone(), set, asked: Some(asked), version, replaced, wait })
    }

    /// The version that its rows are of.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// For how long no more should be done: its subject, or the tenant of that, has used up what it may spend
    /// (`HubLimits::steps_per_second_per_subject`, `HubLimits::steps_per_second_per_tenant`).
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// Whether it may go on: for whoever does not ask for the next piece soon. Where it may not, it lets go of what it keeps.
    ///
    /// # Errors
    ///
    /// `OVERLOADED` where more of the set has changed since it was begun than is kept (`HubLimits::scan_bytes`). Nothing comes after that.
    pub fn check(&mut self) -> Result<(), QueryError> {
        let replaced = || self.shared.look(|hub| hub.replaced_bytes(&self.set)) - self.replaced;
        if self.asked.is_none() || replaced() <= self.shared.sizes.scan_bytes as u64 {
            return Ok(());
        }
        self.asked = None;
        self.shared.refusals.lock().count(limit!(HubLimits.scan_bytes));
        let message = "too much of the set has changed since it was begun to be read: try again";
        Err(QueryError::new(ErrorCode::Overloaded, message))
    }

    /// Looks at some more nodes, at least one, for as long as one hold of the lock would last (`EngineLimits::hold_steps`), and returns
    /// those that match, which may be none; `None` after the last.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check); and `OVERLOADED` where it would have to [wait](Self::wait) for longer than `HubLimits::overdraft`.
    pub fn next(&mut self, nodes: usize) -> Result<Option<Vec<Row>>, QueryError> {
        self.check()?;
        let Some(mut asked) = self.asked.take() else { return Ok(None) };
        let steps = self.shared.sizes.hold_steps;
        let mut rows = Vec::new();
        let stepped = contain(|| asked.step_within(nodes, steps, |row| rows.push(row)));
        let (spent, may_go_on) = stepped.map_err(|Panicked| internal())?;
        if let Some(payer) = asked.payer() {
            self.wait = self.shared.pay(payer, spent);
            if may_go_on && self.wait > self.shared.sizes.overdraft {
                return Err(overdrawn());
            }
        }
        self.asked = may_go_on.then_some(asked);
        Ok(Some(rows))
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("set", &self.set).field("version", &self.version).finish_non_exhaustive()
    }
}

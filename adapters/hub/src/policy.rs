//! Who a connection acts for, and what it may do.

use std::{fmt, sync::Arc};

use liveset_core::{ErrorCode, Monotonic, Query, Refusal};
use liveset_engine::{
    ExprError, Filter, JsonLimits, Literal, Parameter, Projection, QueryLimits, SetDef, json,
};
use serde_json::{Map, Value};

use crate::contain::{Panicked, contain};

/// Whom a token stands for, as the authenticator found out.
///
/// ```
/// use std::sync::Arc;
/// use liveset_hub::Principal;
///
/// let claims = serde_json::Map::from_iter([("tenant".to_owned(), "acme".into())]);
/// let bob = Principal { read_only: true, claims: Arc::new(claims), ..Principal::new("bob") };
/// assert_eq!(&*bob.subject, "bob");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The authenticator's name for whoever it is.
    pub subject: Arc<str>,
    /// May read and subscribe, but not write.
    pub read_only: bool,
    /// When the token stops being good; the connection is closed then. `None`: never.
    pub expires: Option<Monotonic>,
    /// What else the token says, for [row filters](Restriction::rows) and for the policy.
    pub claims: Arc<Map<String, Value>>,
    /// The tenant that the subject is one of, whose subjects share limits (`HubLimits::…_per_tenant`). `None`: of none, and bounded by the
    /// limits of a subject alone.
    pub tenant: Option<Arc<str>>,
    /// By what the owner knows which credential let it in, where it wants to; 0 for none. Means nothing here.
    pub credential: u64,
}

impl Principal {
    /// A principal that may write and does not expire.
    pub fn new(subject: impl Into<Arc<str>>) -> Self {
        Self {
            subject: subject.into(),
            read_only: false,
            expires: None,
            claims: Arc::default(),
            tenant: None,
            credential: 0,
        }
    }
}

impl Principal {
    /// What stands for a parameter of a row filter: `principal.subject`, or a claim by its name or path. A claim that is `null`, an
    /// object, a number that would have to be rounded, or a list of anything but texts, numbers and booleans is none.
    pub(crate) fn parameter(&self, name: &str) -> Option<Parameter> {
        let name = name.strip_prefix("principal.")?;
        if name == "subject" {
            return Some(Parameter::One(Literal::Text((&*self.subject).into())));
        }
        // A claim may have dots in its name, as those that are addresses have.
        let claim = match self.claims.get(name) {
            Some(claim) => claim,
            None => {
                let (first, rest) = name.split_once('.')?;
                rest.split('.').try_fold(self.claims.get(first)?, |value, name| value.get(name))?
            }
        };
        match claim {
            Value::Array(items) => items.iter().map(literal).collect::<Option<_>>().map(Parameter::Many),
            one => literal(one).map(Parameter::One),
        }
    }
}

fn literal(value: &Value) -> Option<Literal> {
    match value {
        Value::Bool(value) => Some(Literal::Bool(*value)),
        Value::String(text) => Some(Literal::Text(text.as_str().into())),
        // By its digits: `serde_json` may hold numbers of any size, and rounds them when it is asked for a float.
        Value::Number(number) => match json::parse(number.to_string().as_bytes(), &JsonLimits::default()) {
            Ok(liveset_engine::Value::Number(number)) => Some(Literal::Number(number)),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What somebody may see of a set.
///
/// ```
/// use std::sync::Arc;
/// use liveset_hub::{Access, Restriction};
///
/// let of_their_tenant = Access::Part(Arc::new(Restriction::rows("tenant == $principal.tenant")));
/// assert_ne!(of_their_tenant, Access::All);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Not even whether it exists.
    Nothing,
    /// Everything.
    All,
    /// Some nodes, or some fields of them.
    Part(Arc<Restriction>),
}

/// Which nodes of a set, and which of their fields, somebody may see. It is a part of every query's identity: two principals share a
/// result only where theirs are equal.
///
/// ```
/// use liveset_hub::Restriction;
///
/// let seen = Restriction::rows("tenant == $principal.tenant").fields(["status", "customer.name"]);
/// seen.check(&Default::default())?;
/// assert!(Restriction::rows("tenant = 1").check(&Default::default()).is_err());
/// # Ok::<(), liveset_engine::ExprError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restriction {
    /// An expression of the filter language, conjoined to every query. `$principal.subject` and `$principal.<claim>` stand for what
    /// the principal brings: `tenant == $principal.tenant`, `region in $principal.regions`. Whoever lacks a claim that it
    /// names, or has one of a type that the filter cannot use, sees no node: queries are made, and empty. `None` is every node.
    pub rows: Option<String>,
    /// Paths of the fields that are seen; the key is always. Filters, orders and projections may name no other. `None` is all.
    pub fields: Option<Vec<String>>,
}

impl Restriction {
    /// Only nodes that pass a filter.
    pub fn rows(filter: impl Into<String>) -> Self {
        Self { rows: Some(filter.into()), fields: None }
    }

    /// And of them only these fields.
    #[must_use]
    pub fn fields<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.fields = Some(fields.into_iter().map(Into::into).collect());
        self
    }

    /// Whether it is well formed, as far as that can be known without a principal.
    ///
    /// # Errors
    ///
    /// What is wrong, and where.
    pub fn check(&self, limits: &QueryLimits) -> Result<(), ExprError> {
        if let Some(rows) = &self.rows {
            let known = |name: &str| name.starts_with("principal.").then_some(Parameter::Unknown);
            Filter::parse_with(rows, limits, &known)?;
        }
        if let Some(fields) = &self.fields {
            Projection::parse(fields, "", limits)?;
        }
        Ok(())
    }

    /// Like [`check`](Self::check), and held against what the set declares.
    ///
    /// # Errors
    ///
    /// What is wrong, and where.
    pub fn check_in(&self, set: &SetDef, limits: &QueryLimits) -> Result<(), ExprError> {
        self.check(limits)?;
        let known = |name: &str| name.starts_with("principal.").then_some(Parameter::Unknown);
        self.rows.as_ref().map_or(Ok(()), |rows| set.row_filter(rows, limits, &known).map(drop))
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
/// re-authentication ([`access`](Self::access) then once for each set), while the hub is at work: answer from memory. A panic ends the connection that was asked about (`INTERNAL`, close
/// 1011) and no other.
///
/// ```
/// use std::sync::Arc;
/// use liveset_hub::{Access, Policy, Principal};
///
/// /// Whoever is not staff sees the set `orders`, and writes nothing.
/// struct Staff;
///
/// impl Policy for Staff {
///     fn access(&self, who: &Principal, set: &str) -> Access {
///         if set == "orders" || &*who.subject == "staff" { Access::All } else { Access::Nothing }
///     }
///
///     fn may_subscribe(&self, who: &Principal, _path: &str, _events: &[Arc<str>]) -> bool {
///         &*who.subject == "staff"
///     }
///
///     fn may_write(&self, who: &Principal) -> bool {
///         &*who.subject == "staff"
///     }
/// }
///
/// assert_eq!(Staff.access(&Principal::new("bob"), "salaries"), Access::Nothing);
/// ```
///
/// A policy has to say what may be seen, so that nobody opens everything by what they have not written:
///
/// ```compile_fail,E0046
/// # use std::sync::Arc;
/// # use liveset_hub::{Policy, Principal};
/// struct Staff;
///
/// impl Policy for Staff {
///     fn may_subscribe(&self, who: &Principal, path: &str, events: &[Arc<str>]) -> bool {
///         true
///     }
///     fn may_write(&self, who: &Principal) -> bool {
///         false
///     }
/// }
/// ```
pub trait Policy: Send + Sync {
    /// Whether `who` may receive these events of this path, and so of every path below it: it is not asked about each.
    fn may_subscribe(&self, who: &Principal, path: &str, events: &[Arc<str>]) -> bool;
    /// What `who` may see of a set, live or once. Asked with a set's name whether or not there is such a set.
    fn access(&self, who: &Principal, edge: &str) -> Access;
    /// Whether `who` may ask this query at all: edge, filter, order and fields. Default: they may, since whatever they ask,
    /// [`access`](Self::access) bounds what they get.
    fn may_query(&self, who: &Principal, query: &Query) -> bool {
        let _ = (who, query);
        true
    }
    /// Whether `who` may commit and publish. Asked by adapters that offer writing to clients.
    fn may_write(&self, who: &Principal) -> bool;
}

/// Everyone with an accepted token may read everything; whoever is not [read-only](Principal::read_only) may write.
///
/// ```
/// use liveset_hub::{AllowAll, Policy, Principal};
///
/// assert!(AllowAll.may_write(&Principal::new("bob")));
/// assert!(!AllowAll.may_write(&Principal { read_only: true, ..Principal::new("bob") }));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Policy for AllowAll {
    fn may_subscribe(&self, _: &Principal, _: &str, _: &[Arc<str>]) -> bool {
        true
    }

    fn access(&self, _: &Principal, _: &str) -> Access {
        Access::All
    }

    fn may_write(&self, who: &Principal) -> bool {
        !who.read_only
    }
}

/// The host's policy, whose panics are refusals: nothing of ours is unwound, and nobody else hears of them.
pub(crate) struct Guard(Box<dyn Policy>);

impl Guard {
    pub(crate) fn new(policy: Box<dyn Policy>) -> Self {
        Self(policy)
    }

    /// Puts a question; `INTERNAL` where the policy panics over it.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&dyn Policy) -> T) -> Result<T, Refusal> {
        contain(|| question(&*self.0)).map_err(|Panicked| Refusal {
            code: ErrorCode::Internal,
            message: "internal error".into(),
            id: None,
        })
    }
}

//! From a query to its plan: what the policy lets somebody see of a set, and the query within that.

use std::{collections::BTreeMap, sync::Arc};

use liveset_core::{ErrorCode, Hint, Param, Query, Refusal};
use liveset_engine::{Filter, Parameter, ParsedQuery, Plan, Projection, QueryError};
use serde_json::{Map, Value};

use crate::{
    Access, ConnectionId, Hub, Now, Principal, Restriction,
    feeds::Watcher,
    refusals::{invalid, query_forbidden},
};

/// What somebody may see of a set: the answer of the policy, ready for use.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    All,
    Part(Arc<PartScope>),
}

#[derive(Debug)]
pub(crate) struct PartScope {
    restriction: Arc<Restriction>,
    /// Of whom the values of parameters are.
    subject: Arc<str>,
    claims: Arc<Map<String, Value>>,
    rows: Filter,
    visible: Projection,
}

/// Why somebody sees nothing of a set.
#[derive(Clone, Debug)]
pub(crate) enum NoScope {
    Forbidden,
    /// A row filter is wrong, whoever asks.
    Broken,
    /// The policy panicked.
    Panicked(Refusal),
}

impl Scope {
    /// Whether a query has the same plan in both.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, Self::All) => true,
            (Self::Part(a), Self::Part(b)) => {
                Arc::ptr_eq(a, b)
                    || (a.rows.canonical() == b.rows.canonical()
                        && a.visible.canonical() == b.visible.canonical())
            }
            _ => false,
        }
    }
}

impl PartScope {
    /// The steps that it takes to put this around a query.
    fn planning_steps(&self) -> u64 {
        let texts = [self.rows.canonical(), self.visible.canonical()].map(str::len);
        STEPS_PER_BYTE * texts.iter().sum::<usize>() as u64
    }

    /// Whether this is what `restriction` means for `who`, without making it again.
    fn is_of(&self, restriction: &Arc<Restriction>, who: &Principal) -> bool {
        let is_same = Arc::ptr_eq(&self.restriction, restriction) || self.restriction == *restriction;
        let has_same_values = || {
            self.subject == who.subject
                && (Arc::ptr_eq(&self.claims, &who.claims) || self.claims == who.claims)
        };
        is_same && (restriction.rows.is_none() || has_same_values())
    }
}

/// What connections know of the sets that they have queries over: so that a row filter is parsed once, and not for each query.
pub(crate) type Scopes = BTreeMap<Box<str>, Arc<PartScope>>;

impl Hub {
    /// The plan of a query as somebody may ask it, and within what. Permission first: whoever may not ask is not told whether what
    /// they asked for exists.
    pub(crate) fn permitted(
        &mut self,
        who: &Principal,
        query: &Query,
        parsed: Option<&ParsedQuery>,
        follows_count: bool,
        known: Option<&Arc<PartScope>>,
    ) -> Result<(Plan, Scope), Refusal> {
        if !self.policy.ask(|policy| policy.may_query(who, query))? {
            return Err(query_forbidden(query));
        }
        let scope = self.scope(who, &query.set, known).map_err(|none| self.no_scope(none, query))?;
        let plan = self.plan_within(&scope, query, parsed, follows_count)?;
        Ok((plan, scope))
    }

    /// What the policy lets somebody see of a set; `known` is used again where it is still that.
    pub(crate) fn scope(
        &mut self,
        who: &Principal,
        edge: &str,
        known: Option<&Arc<PartScope>>,
    ) -> Result<Scope, NoScope> {
        let access = self.policy.ask(|policy| policy.access(who, edge)).map_err(NoScope::Panicked)?;
        let restriction = match access {
            Access::Nothing => return Err(NoScope::Forbidden),
            Access::All => return Ok(Scope::All),
            Access::Part(restriction) => restriction,
        };
        if let Some(known) = known
            && known.is_of(&restriction, who)
        {
            return Ok(Scope::Part(known.clone()));
        }
        self.counts.parsed += u64::from(restriction.rows.is_some());
        let rows = match &restriction.rows {
            Some(rows) => self.rows_for(who, edge, rows)?,
            None => Filter::all(),
        };
        let visible = match &restriction.fields {
            Some(fields) => match self.engine.visible(edge, fields) {
                Some(visible) => visible.map_err(|_| NoScope::Broken)?,
                None => return Err(NoScope::Forbidden),
            },
            None => Projection::whole(),
        };
        let (subject, claims) = (who.subject.clone(), who.claims.clone());
        Ok(Scope::Part(Arc::new(PartScope { restriction, subject, claims, rows, visible })))
    }

    /// The row filter with what this principal brings. Whoever lacks a claim that it names, or has one that it cannot use, sees no rows.
    fn rows_for(&self, who: &Principal, edge: &str, rows: &str) -> Result<Filter, NoScope> {
        if let Ok(rows) = self.engine.row_filter(edge, rows, &|name| who.parameter(name)) {
            return Ok(rows);
        }
        let unknown = |name: &str| name.starts_with("principal.").then_some(Parameter::Unknown);
        match self.engine.row_filter(edge, rows, &unknown) {
            Ok(_) => Ok(Filter::none()),
            Err(_) => Err(NoScope::Broken),
        }
    }

    /// What is probably a mistake in a query that was planned within a scope; the watcher pays for finding it.
    pub(crate) fn hints(&mut self, now: Now, watcher: Watcher, query: &Query, scope: &Scope) -> Vec<Hint> {
        let (all, whole) = (Filter::all(), Projection::whole());
        let (rows, visible) = match scope {
            Scope::All => (&all, &whole),
            Scope::Part(part) => (&part.rows, &part.visible),
        };
        let found = self.engine.hints(now.wall, query, rows, visible);
        self.counts.own_steps += found.steps;
        self.spend(now, watcher, found.steps);
        found.hints
    }

    /// What is answered to a query over a set of which somebody sees nothing.
    pub(crate) fn no_scope(&mut self, none: NoScope, query: &Query) -> Refusal {
        match none {
            NoScope::Forbidden => query_forbidden(query),
            NoScope::Broken => {
                self.counts.broken_restrictions += 1;
                query_forbidden(query)
            }
            NoScope::Panicked(refusal) => refusal,
        }
    }

    /// The plan of a query within a scope.
    pub(crate) fn plan_within(
        &mut self,
        scope: &Scope,
        query: &Query,
        parsed: Option<&ParsedQuery>,
        follows_count: bool,
    ) -> Result<Plan, Refusal> {
        let plan = self.plan(query, parsed, follows_count).map_err(invalid)?;
        match scope {
            Scope::All => Ok(plan),
            Scope::Part(part) => {
                self.counts.own_steps += part.planning_steps();
                plan.restricted(&part.rows, &part.visible).map_err(|hidden| Refusal {
                    code: ErrorCode::Forbidden,
                    message: hidden.to_string(),
                    id: None,
                })
            }
        }
    }

    /// The plan of a query over everything. Without `parsed` its texts are parsed here.
    pub(crate) fn plan(
        &mut self,
        query: &Query,
        parsed: Option<&ParsedQuery>,
        follows_count: bool,
    ) -> Result<Plan, QueryError> {
        self.counts.planned += 1;
        self.counts.own_steps += planning_steps(query, self.query_limits.expression_bytes);
        let plan = match parsed {
            Some(parsed) => self.engine.plan(parsed),
            None => {
                self.counts.parsed += u64::from(query.filter.is_some());
                self.engine.prepare(query)
            }
        };
        plan.map(|plan| if follows_count { plan } else { plan.without_counts() })
    }

    /// What a connection knows of a set.
    pub(crate) fn known_scope(&self, conn: ConnectionId, edge: &str) -> Option<Arc<PartScope>> {
        self.connections.find(conn)?.scopes.get(edge).cloned()
    }
}

/// The steps that it takes to read and plan a query. Of a text that is too long no more is read than may be.
pub(crate) fn planning_steps(query: &Query, most: usize) -> u64 {
    let texts = [&query.filter, &query.order_by].into_iter().flatten().map(String::len);
    let fields = query.fields.iter().flatten().map(String::len);
    // The values of parameters are read again wherever they are used.
    let uses = query.filter.as_deref().unwrap_or_default().matches('$').count();
    let values = uses.saturating_mul(query.params.values().map(Param::bytes).sum::<usize>());
    STEPS_PER_QUERY
        + STEPS_PER_BYTE
            * texts.chain(fields).chain([values]).map(|bytes| bytes.min(most)).sum::<usize>() as u64
}

/// Steps that any query takes to be planned, and those for each byte of its texts.
const STEPS_PER_QUERY: u64 = 200;
const STEPS_PER_BYTE: u64 = 4;

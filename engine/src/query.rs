//! A query as its owner wrote it, as it is parsed, and as the engine will run it.

use std::{collections::BTreeMap, fmt, sync::Arc};

use liveset_core::model::Query;

use crate::{
    error::QueryError, filter::Filter, limits::QueryLimits, order::Order, projection::Projection,
    schema::Schema,
};

/// Parses queries without the engine, on any thread: what takes long about a query is its text. Cheap to clone.
///
/// It knows the sets that were defined when it was [made](crate::Engine::query_parser). The texts of a query over another set are not
/// looked at: [`crate::Engine::plan`] does it, if there is such a set then.
#[derive(Clone, Debug)]
pub struct QueryParser {
    limits: Arc<QueryLimits>,
    /// What the sets declare, by their names.
    schemas: Arc<BTreeMap<Box<str>, Arc<Schema>>>,
}

impl QueryParser {
    pub(crate) fn new<'a>(
        limits: &QueryLimits,
        sets: impl Iterator<Item = (&'a str, &'a Arc<Schema>)>,
    ) -> Self {
        let schemas = sets.map(|(name, schema)| (name.into(), schema.clone())).collect();
        Self { limits: Arc::new(limits.clone()), schemas: Arc::new(schemas) }
    }

    /// Parses a query. What is wrong with it is told by [`crate::Engine::plan`]. Costs what parsing its texts costs.
    pub fn parse(&self, query: Query) -> ParsedQuery {
        match self.schemas.get(&*query.set) {
            Some(schema) => ParsedQuery(Parsed::Known(Parts::parse(&query, schema, &self.limits), query.set)),
            None => ParsedQuery(Parsed::Unknown(query)),
        }
    }
}

/// A query whose texts were parsed by a [`QueryParser`]. Cloning shares the parts.
#[derive(Clone, Debug)]
pub struct ParsedQuery(pub(crate) Parsed);

#[derive(Clone, Debug)]
pub(crate) enum Parsed {
    /// The parts, and the name of the set.
    Known(Result<Parts, QueryError>, String),
    /// The parser knew no set of this name.
    Unknown(Query),
}

impl ParsedQuery {
    /// The name of the set.
    pub fn set(&self) -> &str {
        match &self.0 {
            Parsed::Known(_, set) => set,
            Parsed::Unknown(query) => &query.set,
        }
    }
}

/// The parts of a query, whatever else is in its set.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) filter: Filter,
    pub(crate) order: Order,
    pub(crate) limit: Option<u64>,
    pub(crate) projection: Projection,
}

impl Parts {
    pub(crate) fn parse(query: &Query, schema: &Schema, limits: &QueryLimits) -> Result<Self, QueryError> {
        let filter = query.filter.as_deref().unwrap_or("");
        let filter = Filter::bound_in(filter, &query.params, limits, Some(schema))?;
        let order = query.order_by.as_deref().unwrap_or("");
        let order = Order::parse_in(order, limits, Some(schema)).map_err(QueryError::Order)?;
        let projection = match &query.fields {
            Some(fields) => Projection::parse_in(fields, schema, limits).map_err(QueryError::Fields)?,
            None => Projection::whole(),
        };
        Ok(Self { filter, order, limit: query.limit, projection })
    }
}

/// A query that was checked: it can be run, any number of times, by the engine that prepared it. To another engine it means
/// nothing.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) set: usize,
    pub(crate) filter: Filter,
    pub(crate) order: Order,
    pub(crate) cap: usize,
    pub(crate) projection: Projection,
    pub(crate) follows_count: bool,
}

/// A query reads a field that whoever asks may not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiddenField(pub String);

impl fmt::Display for HiddenField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not allowed to use the field '{}'", self.0)
    }
}

impl std::error::Error for HiddenField {}

impl Plan {
    /// The same query over what somebody may see: only nodes that pass `rows`, and of them only the `visible` fields. Both are a
    /// part of its identity. Where the query names no fields it is given the visible ones.
    ///
    /// # Errors
    ///
    /// The filter, the order or the fields of the query name something that is not visible: it could be found out by them.
    pub fn restricted(self, rows: &Filter, visible: &Projection) -> Result<Plan, HiddenField> {
        let read = self.filter.paths().chain(self.order.paths());
        if let Some(hidden) = read.into_iter().find(|path| !visible.covers(path)) {
            return Err(HiddenField(hidden.to_string()));
        }
        let projection = match self.projection.is_whole() {
            true => visible.clone(),
            false => match self.projection.beyond(visible) {
                Some(hidden) => return Err(HiddenField(hidden)),
                None => self.projection,
            },
        };
        Ok(Plan { filter: rows.and(&self.filter), projection, ..self })
    }

    /// The same query for somebody who does not follow the count: no update comes where only the count changed, and
    /// [`Update::count`](crate::Update::count) may be unknown. The engine then need not look at changes behind the end of a window.
    #[must_use]
    pub fn without_counts(self) -> Plan {
        Plan { follows_count: false, ..self }
    }

    /// The number of its set, in the order of definition.
    pub fn set_number(&self) -> usize {
        self.set
    }

    /// The most nodes that the result may hold: the smaller of the query's limit and the engine's cap.
    pub fn cap(&self) -> usize {
        self.cap
    }

    /// The filter as parsed.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The order as parsed.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// The projection as parsed.
    pub fn projection(&self) -> &Projection {
        &self.projection
    }
}

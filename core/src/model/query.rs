//! A query as it is written.

use std::collections::BTreeMap;

use super::Param;

/// Which set, which of its rows, in which order, how many, and which of their fields.
///
/// Expressions are text here. Whoever runs the query checks them. On the wire the set is called `edge`.
///
/// ```
/// use liveset_core::model::Query;
///
/// let query = Query::new("orders")
///     .filter("status == 'processing' and createdAt > now - 7 days")
///     .order_by("createdAt desc")
///     .limit(50)
///     .fields(["status", "customer.name"]);
/// assert_eq!(query.limit, Some(50));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// The name of the set.
    pub set: String,
    /// The filter expression; `None` or blank: every row.
    pub filter: Option<String>,
    /// The values of the filter's `$name`s, by name. As many as there are names in it.
    pub params: BTreeMap<String, Param>,
    /// The order expression; `None` or blank: by row id.
    pub order_by: Option<String>,
    /// The most rows wanted. 0: none, and the result is how many match. `None`: as many as the cap allows.
    pub limit: Option<u64>,
    /// The fields wanted, as paths; the key is always there. `None`: whole rows.
    pub fields: Option<Vec<String>>,
}

impl Query {
    /// All rows of a set, by id.
    pub fn new(set: impl Into<String>) -> Query {
        Query { set: set.into(), ..Query::default() }
    }

    /// Takes only rows for which the expression is true.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<String>) -> Query {
        self.filter = Some(filter.into());
        self
    }

    /// Gives a value to `$name` in the filter, in place of the one that it had. The query is the same as with the literal there.
    #[must_use]
    pub fn bind(mut self, name: impl Into<String>, value: impl Into<Param>) -> Query {
        self.params.insert(name.into(), value.into());
        self
    }

    /// Orders by `keys`, such as `total desc, createdAt`; ties go by id.
    #[must_use]
    pub fn order_by(mut self, keys: impl Into<String>) -> Query {
        self.order_by = Some(keys.into());
        self
    }

    /// Takes at most `limit` rows. More than the cap (1,000 by default) is the cap; 0 asks for the count alone.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Query {
        self.limit = Some(limit);
        self
    }

    /// Cuts rows down to `fields`, as paths, and the key.
    #[must_use]
    pub fn fields<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Query {
        self.fields = Some(fields.into_iter().map(Into::into).collect());
        self
    }
}

/// All rows of the set of that name, by id.
impl From<&str> for Query {
    fn from(set: &str) -> Query {
        Query::new(set)
    }
}

/// All rows of the set of that name, by id.
impl From<String> for Query {
    fn from(set: String) -> Query {
        Query::new(set)
    }
}

impl From<&Query> for Query {
    fn from(query: &Query) -> Query {
        query.clone()
    }
}

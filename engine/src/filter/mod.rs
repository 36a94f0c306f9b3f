//! Filters: which nodes a query wants.
//!
//! # What is refused, and what is false
//!
//! A test is true or false of every node, never an error and never unknown. What shows in the text to be wrong, whatever the
//! node, is refused while parsing:
//!
//! - values of different known kinds that are compared or looked up (`'a' < 5`, `now == 5`, `'abc' < now`, and where the set declares
//!   `total` as a number, `total == 'ten'` and `total in ['ten']`); with `nothing` everything may be compared;
//! - durations that are compared with anything (`createdAt < 5 days`): they are added to instants;
//! - sums that cannot add up (`now + 3`, `'a' + 1`, `5 days + 1 hours`, `5 days + now`: an instant comes first);
//! - a text operator on a known kind other than text, `anyof` and `allof` into a known kind other than a list;
//! - a constant that overflows (`18446744073709551615 + 1`, `1 days - 2 days`, `2024-01-01 - 3000 years`).
//!
//! Fields that are not declared may hold anything; what is of different kinds is not equal. Where the text is sound but the node is
//! not (a sum that overflows or adds what does not add up), every test with that sum is false, `!=` too.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use liveset_core::model::Param;

use self::params::{Params, Unbound};
use crate::error::QueryError;
use crate::limits::QueryLimits;
use crate::path::Path;
use crate::schema::{Schema, SetDef};
use crate::steps::Cost;
use crate::time::Timestamp;
use crate::value::Value;

mod ast;
mod canonical;
mod check;
mod columns;
mod eval;
mod fields;
mod flips;
#[cfg(test)]
pub(crate) mod oracle;
mod params;
mod parse;
mod print;
mod program;
#[cfg(test)]
pub(crate) mod random;

pub use crate::syntax::ExprError;
pub use ast::{Comparison, Expr, Literal, Membership, Sign, Sum, Term, TextTest};
pub(crate) use columns::Reading;
pub(crate) use fields::Fields;
pub(crate) use flips::next_change_at;
pub(crate) use program::{Asked, Compiled, Member, Piece, Ref, Rest, Seen, View};

/// A parsed and checked filter. Cheap to clone.
///
/// Two filters are equal when their canonical forms are.
///
/// ```
/// use liveset_engine::{Filter, Timestamp, JsonLimits, QueryLimits, json};
///
/// let limits = QueryLimits::default();
/// let filter = Filter::parse("status == 'open' and createdAt > now - 7 days", &limits).unwrap();
///
/// let node = br#"{ "status": "open", "createdAt": "2025-12-01T10:00:00Z" }"#;
/// let node = json::parse(node, &JsonLimits::default()).unwrap();
/// let now = Timestamp::parse_rfc3339("2025-12-07T21:45:05Z").unwrap();
/// assert!(filter.matches(&node, now));
///
/// // The node leaves as time passes, at an exact moment.
/// let flip = filter.next_flip(&node, now).unwrap();
/// assert_eq!(flip.to_string(), "2025-12-08T10:00:00Z");
/// assert!(!filter.matches(&node, flip));
///
/// let error = Filter::parse("status = 'open'", &limits).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "line 1, column 8: found '=', expected an operator or the end; did you mean '=='?"
/// );
/// ```
#[derive(Clone)]
pub struct Filter {
    inner: Arc<Inner>,
}

/// What stands for a parameter of a filter.
///
/// ```
/// use liveset_engine::{Filter, Literal, Parameter, QueryLimits};
///
/// let tenant = |name: &str| (name == "tenant").then(|| Parameter::One(Literal::Text("acme".into())));
/// let filter = Filter::parse_with("tenant == $tenant", &QueryLimits::default(), &tenant)?;
/// assert_eq!(filter.to_string(), "tenant == 'acme'");
/// # Ok::<(), liveset_engine::ExprError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// A value.
    One(Literal),
    /// A list of values.
    Many(Vec<Literal>),
    /// Nothing yet: only to find out whether a filter is well formed. It means nothing then.
    Unknown,
}

struct Inner {
    expr: Expr,
    /// Over whole nodes: made when it is first asked for.
    compiled: OnceLock<Compiled<Path>>,
    canonical: String,
    paths: Vec<Path>,
}

impl Filter {
    /// Reads a filter. A blank one lets every node pass.
    ///
    /// Takes time in proportion to the length of the text, and sorting for the canonical form.
    ///
    /// # Errors
    ///
    /// Says what was found and what was expected, at which place, and which known word was probably meant.
    pub fn parse(text: &str, limits: &QueryLimits) -> Result<Filter, ExprError> {
        let none = Params::none(limits);
        Ok(Filter::of(parse::parse(text, limits, None, &|name| none.take(name))?))
    }

    /// Reads the filter of a query, with the values that it gives to its parameters: as if they had been written into the text.
    ///
    /// # Errors
    ///
    /// As [`parse`](Filter::parse); a name without a value, a value without a name, a value that is none of the language, and values
    /// that are together longer than an expression, each as often as it is used.
    pub fn bound(
        text: &str,
        params: &BTreeMap<String, Param>,
        limits: &QueryLimits,
    ) -> Result<Filter, QueryError> {
        Filter::bound_in(text, params, limits, None)
    }

    /// The same over a set, held against what that declares.
    pub(crate) fn bound_in(
        text: &str,
        params: &BTreeMap<String, Param>,
        limits: &QueryLimits,
        schema: Option<&Schema>,
    ) -> Result<Filter, QueryError> {
        let params = Params::new(params, limits)?;
        let expr = parse::parse(text, limits, schema, &|name| params.take(name));
        let filter = Filter::of(expr.map_err(|error| QueryError::Filter(*error))?);
        params.finish()?;
        Ok(filter)
    }

    /// Reads a filter with parameters, over a set where there is one.
    pub(crate) fn parse_with_in(
        text: &str,
        limits: &QueryLimits,
        schema: Option<&Schema>,
        parameters: &dyn Fn(&str) -> Option<Parameter>,
    ) -> Result<Filter, ExprError> {
        let unknown = || Unbound { expected: "a parameter that there is".into(), suggestion: None };
        Ok(Filter::of(parse::parse(text, limits, schema, &|name| parameters(name).ok_or_else(unknown))?))
    }

    /// Reads a filter with parameters: `$principal.tenant` stands wherever a literal may, and `in $principal.regions` where a list
    /// may. `parameters` says what stands for a name (without the `$`); what it does not know is an error. The filter is as if the
    /// values had been written into the text: their kinds are checked, and they are a part of its identity.
    ///
    /// ```
    /// use liveset_engine::{Filter, Literal, Parameter, QueryLimits};
    ///
    /// let known = |name: &str| (name == "principal.tenant").then(|| Parameter::One(Literal::Text("acme".into())));
    /// let filter = Filter::parse_with("tenant == $principal.tenant", &QueryLimits::default(), &known).unwrap();
    /// assert_eq!(filter.to_string(), "tenant == 'acme'");
    /// ```
    ///
    /// # Errors
    ///
    /// As [`parse`](Filter::parse); and a parameter that is not known, or a list where a value is wanted, or the other way round.
    pub fn parse_with(
        text: &str,
        limits: &QueryLimits,
        parameters: &dyn Fn(&str) -> Option<Parameter>,
    ) -> Result<Filter, ExprError> {
        Filter::parse_with_in(text, limits, None, parameters)
    }

    /// The filter that lets no node pass.
    pub fn none() -> Filter {
        Filter::of(Expr::Constant(false))
    }

    /// The filter that lets every node pass.
    pub fn all() -> Filter {
        Filter::of(Expr::Constant(true))
    }

    fn of(expr: Expr) -> Filter {
        let canonical = canonical::canonical(&expr);
        let mut paths = Vec::new();
        expr.paths(&mut |path| paths.push(path.clone()));
        paths.sort_unstable();
        paths.dedup();
        Filter { inner: Arc::new(Inner { expr, compiled: OnceLock::new(), canonical, paths }) }
    }

    /// Whether this is [`Filter::all`], by its canonical form: a filter that lets every node pass for other reasons is not known
    /// to do so.
    pub fn is_all(&self) -> bool {
        self.inner.canonical == "true"
    }

    /// The canonical spelling, which reads back as a filter that is equal: the filter's identity, with `now` as a symbol.
    ///
    /// It may be longer than the text that was parsed (white space, doubled quotes), and then longer than a limit that the text kept.
    pub fn canonical(&self) -> &str {
        &self.inner.canonical
    }

    /// The filter as it was written, but for white space, redundant parentheses around single values and the like.
    pub fn expr(&self) -> &Expr {
        &self.inner.expr
    }

    pub(crate) fn compiled(&self) -> &Compiled<Path> {
        self.inner.compiled.get_or_init(|| Compiled::of(&self.inner.expr))
    }

    /// Whether a node passes at the moment `now`. Costs at most [`cost`](Filter::cost); allocates only where a filter of many parts
    /// keeps much for one node.
    pub fn matches(&self, node: &Value, now: Timestamp) -> bool {
        self.compiled().matches(node, now)
    }

    /// Like [`matches`](Filter::matches), and adds the steps that it took: at most [`cost`](Filter::cost) of the node's JSON.
    pub fn test(&self, node: &Value, now: Timestamp, steps: &mut u64) -> bool {
        self.compiled().test(node, now, steps)
    }

    /// What trying the filter on a node costs at most.
    pub fn cost(&self) -> Cost {
        self.compiled().cost()
    }

    /// Whether the result depends on the time.
    pub fn uses_now(&self) -> bool {
        self.compiled().uses_now()
    }

    /// The next moment at which time alone may change whether `node` passes: strictly after `now`, and never late, that is, the
    /// result stays what it is at `now` for every moment before the one returned. `None` where it never changes.
    ///
    /// The moment is exact but for filters that combine many tests over `now` which change without changing the whole, or that
    /// race `now` against itself (`now - 1 months < now - 30 days`): there it may be a moment at which nothing changes, from which
    /// the next call goes on. Costs a few evaluations of the filter.
    pub fn next_flip(&self, node: &Value, now: Timestamp) -> Option<Timestamp> {
        self.compiled().next_flip(node, now, &mut 0)
    }

    /// The paths that the filter reads, sorted, each once.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.inner.paths.iter()
    }

    /// The filter that lets pass what both let pass.
    #[must_use]
    pub fn and(&self, other: &Filter) -> Filter {
        match (self.is_all(), other.is_all()) {
            (true, _) => other.clone(),
            (_, true) => self.clone(),
            _ => Filter::of(Expr::And(vec![self.expr().clone(), other.expr().clone()])),
        }
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Filter) -> bool {
        self.inner.canonical == other.inner.canonical
    }
}

impl Eq for Filter {}

impl std::hash::Hash for Filter {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.canonical.hash(state);
    }
}

/// As it was written.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr().fmt(f)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.inner.canonical).finish()
    }
}

impl SetDef {
    /// Reads a filter with parameters over nodes of this set; see [`Engine::row_filter`](crate::Engine::row_filter). Costs a look at every
    /// declared field.
    ///
    /// # Errors
    ///
    /// As `Engine::row_filter`. Where the declaration itself is wrong the filter is not held against it.
    pub fn row_filter(
        &self,
        filter: &str,
        limits: &QueryLimits,
        parameters: &dyn Fn(&str) -> Option<Parameter>,
    ) -> Result<Filter, ExprError> {
        let schema = Schema::new(self, limits).ok();
        Filter::parse_with_in(filter, limits, schema.as_ref(), parameters)
    }
}

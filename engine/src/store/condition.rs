//! Conditions of operations: how a row must be for them to be done.

use std::collections::BTreeMap;
use std::sync::Arc;

use liveset_core::model::Param;

use crate::{
    error::{OpProblem, QueryError},
    filter::Filter,
    json,
    limits::{EngineLimits, JsonLimits, QueryLimits},
    schema::{FieldKind, Schema},
    steps::blocks,
    store::row::{Row, read_as},
    syntax::shortened,
    time::Timestamp,
};

/// How the row of an operation must be, as the operations before it leave it, for the operation to be done.
///
/// ```
/// use liveset_engine::{Condition, Engine, EngineLimits, HashSeed, Op, SetDef, Timestamp};
///
/// let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
/// engine.define_set(SetDef::new("jobs"))?;
/// let now = Timestamp::UNIX_EPOCH;
/// let put = |node: &'static [u8]| Op::Upsert { set: "jobs".into(), node: node.into() };
/// let only_if = |condition, op| vec![Op::If { condition, op: Box::new(op) }];
///
/// engine.commit(now, only_if(Condition::nothing(), put(br#"{"id":1,"state":"new"}"#)))?;
/// let taken = || put(br#"{"id":1,"state":"taken"}"#);
/// let state = |state: &str| Condition::filter("state == $state").bind("state", state);
/// engine.commit(now, only_if(state("new"), taken()))?;
/// let error = engine.commit(now, only_if(state("new"), taken())).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "operation 0: set 'jobs', node '1': it does not pass, and the operation is to be done only if state == $state"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Condition {
    needs: Needs,
    /// The filter, where it was read ahead, and what it was held against.
    read: Option<(Arc<Schema>, Filter)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Filter { text: Box<str>, params: BTreeMap<String, Param> },
}

impl Condition {
    /// There must be no such row.
    pub fn nothing() -> Self {
        Self { needs: Needs::Nothing, read: None }
    }

    /// There must be a row that passes a filter, with `now` the clock of the commit; any row passes `true`. The text `nothing`, which is
    /// no filter, means [`nothing`](Self::nothing).
    pub fn filter(text: impl Into<Box<str>>) -> Self {
        let text = text.into();
        match text.trim() {
            "nothing" => Self::nothing(),
            _ => Self { needs: Needs::Filter { text, params: BTreeMap::new() }, read: None },
        }
    }

    /// Gives a value to a parameter of the filter, as in a [`Query`](crate::Query).
    #[must_use]
    pub fn bind(mut self, name: impl Into<String>, value: impl Into<Param>) -> Self {
        self.read = None;
        match &mut self.needs {
            Needs::Filter { params, .. } => drop(params.insert(name.into(), value.into())),
            // It has no parameters, and is refused as a filter that does not use one is.
            Needs::Nothing => {
                let params = BTreeMap::from([(name.into(), value.into())]);
                self.needs = Needs::Filter { text: "nothing".into(), params };
            }
        }
        self
    }

    /// Reads the filter, if it can be read; if not, [`check`](Self::check) says why.
    pub(crate) fn read_ahead(&mut self, schema: &Arc<Schema>, limits: &QueryLimits) {
        if let Needs::Filter { text, params } = &self.needs
            && let Ok(filter) = Filter::bound_in(text, params, limits, Some(schema))
        {
            self.read = Some((schema.clone(), filter));
        }
    }

    /// Refuses an operation on a row that is not as it should be. Adds the steps that it took.
    pub(crate) fn check(
        &self,
        asked: &Asked<'_>,
        row: Option<&Row>,
        steps: &mut u64,
    ) -> Result<(), OpProblem> {
        let found = match (&self.needs, row) {
            (Needs::Nothing, None) => return Ok(()),
            (Needs::Nothing, Some(_)) => "it is there",
            (Needs::Filter { text, params }, row) => {
                let filter = match &self.read {
                    Some((schema, filter)) if Arc::ptr_eq(schema, asked.schema) => filter,
                    _ => &asked.filter(text, params)?,
                };
                asked.bound(filter)?;
                match row {
                    None => "it is not there",
                    Some(row) if asked.passes(filter, row, steps) => return Ok(()),
                    Some(_) => "it does not pass",
                }
            }
        };
        let condition = match &self.needs {
            Needs::Nothing => "there is no such node".to_owned(),
            Needs::Filter { text, .. } => shortened(text),
        };
        Err(OpProblem::Conflict { set: asked.set.to_owned(), node: shortened(asked.id), found, condition })
    }
}

/// Conditions are equal if they say the same, read ahead or not.
impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.needs == other.needs
    }
}

impl Eq for Condition {}

/// As [`Condition::filter`].
impl From<&str> for Condition {
    fn from(text: &str) -> Self {
        Self::filter(text)
    }
}

/// As [`Condition::filter`].
impl From<String> for Condition {
    fn from(text: String) -> Self {
        Self::filter(text)
    }
}

/// What a condition is asked of.
pub(crate) struct Asked<'a> {
    pub(crate) set: &'a str,
    pub(crate) id: &'a str,
    pub(crate) schema: &'a Arc<Schema>,
    /// Bytes of the largest row of the set.
    pub(crate) largest: usize,
    pub(crate) limits: &'a EngineLimits,
    pub(crate) now: Timestamp,
}

impl Asked<'_> {
    fn filter(&self, text: &str, params: &BTreeMap<String, Param>) -> Result<Filter, OpProblem> {
        let refused =
            |source: QueryError| OpProblem::Condition { set: self.set.to_owned(), source: Box::new(source) };
        Filter::bound_in(text, params, &self.limits.query, Some(self.schema)).map_err(refused)
    }

    fn bound(&self, filter: &Filter) -> Result<(), OpProblem> {
        let (cost, max) = (filter.cost().of(self.largest), self.limits.filter_steps);
        if cost > max {
            let (set, row_bytes) = (self.set.to_owned(), self.largest);
            return Err(OpProblem::ConditionTooDear { set, cost, row_bytes, max });
        }
        Ok(())
    }

    /// What a query with this filter would say of the row.
    fn passes(&self, filter: &Filter, row: &Row, steps: &mut u64) -> bool {
        *steps += blocks(row.json_len());
        // It was read before, by the same rules.
        let Ok(mut node) = json::parse(row.json(), &JsonLimits::default().nesting(usize::MAX)) else {
            return false;
        };
        for path in filter.paths().filter(|path| self.schema.declares(path, FieldKind::Instant)) {
            if let Some(value) = node.at_mut(path) {
                *value = read_as(std::mem::take(value), crate::filter::Reading::Instant);
            }
        }
        filter.test(&node, self.now, steps)
    }
}

//! Errors, by whose fault they are: all of these are the caller's.

use liveset_core::model::{Limit, limit};
use thiserror::Error;

use crate::{EngineLimits, json::JsonError, syntax::ExprError};

/// Why a set could not be defined.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DefineError {
    /// The name or the key is empty or too long.
    #[error("a set needs a name and a key of 1 to {max} bytes")]
    Name {
        /// The longest name allowed, in bytes.
        max: usize,
    },
    /// The key is a path, and a node's id is one of its own fields.
    #[error("set '{set}': the key '{key}' is a path; it has to be one of a node's own fields")]
    Key {
        /// The set.
        set: String,
        /// The key as declared.
        key: String,
    },
    /// A set of that name is defined already.
    #[error("set '{0}' is defined already")]
    Duplicate(String),
    /// There are as many sets as the limits allow.
    #[error("no more than {0} sets can be defined")]
    TooMany(usize),
    /// A declared field is not a path, or is declared twice.
    #[error("set '{set}', field '{field}': {what}")]
    Field {
        /// The set.
        set: String,
        /// The field as declared.
        field: String,
        /// What is wrong with it.
        what: String,
    },
}

/// Why a commit was refused. Nothing of it was applied.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("operation {index}: {problem}")]
pub struct CommitError {
    /// Which operation of the commit is at fault, counted from 0.
    pub index: usize,
    /// What is wrong with it.
    pub problem: Box<OpProblem>,
}

/// What is wrong with one operation of a commit.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpProblem {
    /// The set is not defined.
    #[error("unknown set '{set}'{hint}")]
    UnknownSet {
        /// The name as given, shortened.
        set: String,
        /// ` (did you mean '…'?)` or nothing.
        hint: String,
    },
    /// The row was read for another engine.
    #[error("the row was read for another engine")]
    Foreign,
    /// The node is not the JSON that a node must be.
    #[error("set '{set}', node {node}: {source}")]
    Json {
        /// The set.
        set: String,
        /// The node's id where it could be found, else `?`.
        node: String,
        /// What is wrong, and where.
        source: JsonError,
    },
    /// The node is JSON, but not an object.
    #[error("set '{set}': a node is a JSON object, this is {found}")]
    NotAnObject {
        /// The set.
        set: String,
        /// What it is instead.
        found: &'static str,
    },
    /// The key field is missing or neither text nor an integer.
    #[error("set '{set}': the key field '{key}' must be text or an integer, it is {found}")]
    Key {
        /// The set.
        set: String,
        /// The key field.
        key: String,
        /// What the node has there.
        found: &'static str,
    },
    /// The id is empty or too long.
    #[error("set '{set}': an id has 1 to {max} bytes, this one has {len}")]
    IdLength {
        /// The set.
        set: String,
        /// The longest id allowed, in bytes.
        max: usize,
        /// The length found, in bytes.
        len: usize,
    },
    /// A declared field is missing or of another type.
    #[error("set '{set}', node '{node}': field '{field}' must be {expected}, it is {found}")]
    Field {
        /// The set.
        set: String,
        /// The node's id.
        node: String,
        /// The declared field.
        field: String,
        /// The declared type.
        expected: &'static str,
        /// What the node has there.
        found: &'static str,
    },
    /// The set allows for no other fields than the declared ones, and the node has one.
    #[error("set '{set}', node '{node}': field '{field}' is not declared, and the set is strict{hint}")]
    Undeclared {
        /// The set.
        set: String,
        /// The node's id.
        node: String,
        /// The field that is not declared.
        field: String,
        /// ` (did you mean '…'?)` or nothing.
        hint: String,
    },
    /// The node is larger than the limits allow.
    #[error("set '{set}': a node has at most {max} bytes, this one has {len}")]
    TooLarge {
        /// The set.
        set: String,
        /// The largest node allowed, in bytes.
        max: usize,
        /// The size found, in bytes.
        len: usize,
    },
    /// There is no node that could be patched.
    #[error("set '{set}': there is no node '{node}' to patch; 'upsert' would make it")]
    NotFound {
        /// The set.
        set: String,
        /// The node's id, shortened.
        node: String,
    },
    /// A patch gives the node another id.
    #[error("set '{set}', node '{node}': a patch must leave the key field '{key}' as it is")]
    KeyChanged {
        /// The set.
        set: String,
        /// The node's id, shortened.
        node: String,
        /// The key field.
        key: String,
    },
    /// The node is not as the operation's condition says.
    #[error("set '{set}', node '{node}': {found}, and the operation is to be done only if {condition}")]
    Conflict {
        /// The set.
        set: String,
        /// The node's id, shortened.
        node: String,
        /// What is there instead.
        found: &'static str,
        /// The condition, shortened.
        condition: String,
    },
    /// The condition of an operation is wrong.
    #[error("set '{set}', condition: {source}")]
    Condition {
        /// The set.
        set: String,
        /// What is wrong with it.
        source: Box<QueryError>,
    },
    /// The condition of an operation takes too many steps for the largest row of its set.
    #[error(
        "set '{set}': the condition takes up to {cost} steps for a row of {row_bytes} bytes, and may take {max}"
    )]
    ConditionTooDear {
        /// The set.
        set: String,
        /// The most steps for that row.
        cost: u64,
        /// The bytes of the row.
        row_bytes: usize,
        /// The limit.
        max: u64,
    },
    /// An operation that concerns no single node has a condition.
    #[error("set '{set}': a clear has no node that a condition could be asked of")]
    NoNode {
        /// The set.
        set: String,
    },
    /// The patches and conditions of the commit take more work than the limits allow.
    #[error("the patches and conditions of a commit take no more than {max} steps: make several commits")]
    TooMuchWork {
        /// The limit.
        max: u64,
    },
    /// The commit has more operations, or the set more nodes, than the limits allow.
    #[error("no more than {max} {what}")]
    TooMany {
        /// Of what there are too many.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

/// Why a query was refused. The text is meant for whoever wrote the query.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryError {
    /// The set is not defined.
    #[error("unknown edge '{edge}'{hint}")]
    UnknownSet {
        /// The name as given, shortened.
        edge: String,
        /// ` (did you mean '…'?)` or nothing.
        hint: String,
    },
    /// The filter is wrong.
    #[error("filter, {0}")]
    Filter(ExprError),
    /// The value of a parameter is wrong, or none that the filter has.
    #[error("params.{name}: found {found}, expected {expected}")]
    Param {
        /// The name, shortened.
        name: String,
        /// What is the matter with it.
        found: String,
        /// What could be there.
        expected: String,
    },
    /// The order is wrong.
    #[error("orderBy, {0}")]
    Order(ExprError),
    /// A projected field is wrong.
    #[error("node.fields, {0}")]
    Fields(ExprError),
}

impl OpenError {
    /// Whether the same query may pass later, when others are given up; one that takes more than all there is never does.
    pub fn may_pass_later(&self) -> bool {
        match self {
            OpenError::TooManyFilling { .. } | OpenError::TooMuchMemory { .. } => true,
            OpenError::NoShare { cost, of, .. } => cost <= of,
            OpenError::TooManyViews { .. }
            | OpenError::TooManyUnindexed { .. }
            | OpenError::TooManyColumns { .. }
            | OpenError::TooDear { .. } => false,
        }
    }

    /// The limit that refuses it.
    pub fn limit(&self) -> &'static Limit {
        match self {
            OpenError::TooManyViews { .. } => limit!(EngineLimits.max_views),
            OpenError::TooManyUnindexed { .. } => limit!(EngineLimits.max_unindexed_views),
            OpenError::TooManyFilling { .. } => limit!(EngineLimits.max_filling),
            OpenError::TooMuchMemory { .. } => limit!(EngineLimits.max_window_bytes),
            OpenError::TooDear { .. } => limit!(EngineLimits.filter_steps),
            OpenError::NoShare { limit, .. } => limit,
            OpenError::TooManyColumns { .. } => limit!(EngineLimits.max_columns),
        }
    }
}

/// Why a live query could not be opened although the query is right.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// There are as many live queries as the limits allow.
    #[error("no more than {max} different live queries are kept at once")]
    TooManyViews {
        /// The limit.
        max: usize,
    },
    /// No index can find this query, and there are as many of that kind as the limits allow.
    #[error(
        "no more than {max} live queries are kept that every change has to be tried on; a filter with a test such as \
         field == 'value', field in [..] or field < 10 that all of its nodes pass is not one of them (filter: {filter})"
    )]
    TooManyUnindexed {
        /// The limit.
        max: usize,
        /// The filter, shortened.
        filter: String,
    },
    /// Too many live queries over many nodes are being made. Later there is room again.
    #[error("the first results of {max} live queries are being made already; try again later")]
    TooManyFilling {
        /// The limit.
        max: usize,
    },
    /// The windows of live queries hold as much memory as they may. When others are given up there is room again.
    #[error("live queries hold as much memory as they may ({max} bytes); try again later")]
    TooMuchMemory {
        /// The limit, in bytes.
        max: usize,
    },
    /// The filter costs more steps for one row than the limits allow.
    #[error(
        "the filter takes up to {cost} steps for a row of {row_bytes} bytes, and may take {max}: make it shorter, or name fewer values"
    )]
    TooDear {
        /// The most steps for the largest row of its set.
        cost: u64,
        /// The bytes of that row.
        row_bytes: usize,
        /// The limit.
        max: u64,
    },
    /// What is asked for is more than the asker may take of something that is shared, or more than is left of it.
    #[error("the live query would take {cost} {what}; {left} of {of} are left")]
    NoShare {
        /// The limit that says how much there is.
        limit: &'static Limit,
        /// Of what: `steps for each changed row`, `bytes`, `fields that no other reads`, `live queries that every change is tried on`.
        what: &'static str,
        /// What it would take.
        cost: u64,
        /// What is left.
        left: u64,
        /// All there is.
        of: u64,
    },
    /// The query reads a field that no other reads, and live queries read as many of its set as the limits allow.
    #[error("live queries read no more than {max} different fields of a set at once")]
    TooManyColumns {
        /// The limit.
        max: usize,
    },
}

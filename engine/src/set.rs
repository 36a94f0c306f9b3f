//! One set: its schema, its nodes, and the admission of new ones.

use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{
    access::PredicateIndex,
    error::OpProblem,
    json,
    limits::EngineLimits,
    row::Row,
    schema::{Schema, SetDef},
    update::NodeId,
    value::{Number, Value},
};

#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) schema: Schema,
    pub(crate) rows: HashMap<NodeId, Arc<Row>, FixedState>,
    /// The views over this set, by what can touch them.
    pub(crate) index: PredicateIndex,
}

/// One node's net change by a commit. The two sides differ, if only in what sums make of a number (1 and 1.0).
#[derive(Debug)]
pub(crate) struct RowChange {
    pub(crate) before: Option<Arc<Row>>,
    pub(crate) after: Option<Arc<Row>>,
}

impl Set {
    pub(crate) fn new(def: SetDef, schema: Schema) -> Self {
        Self {
            name: def.name,
            key: def.key,
            schema,
            rows: HashMap::default(),
            index: PredicateIndex::default(),
        }
    }

    /// Reads and checks a node; changes nothing.
    pub(crate) fn admit(&self, node: &Bytes, limits: &EngineLimits) -> Result<Row, OpProblem> {
        let set = || self.name.clone();
        if node.len() > limits.max_node_bytes {
            return Err(OpProblem::TooLarge { set: set(), max: limits.max_node_bytes, len: node.len() });
        }
        let mut value = json::parse(node, &limits.json).map_err(|source| OpProblem::Json {
            set: set(),
            node: json::guess_text_field(node, &self.key),
            source,
        })?;
        let Value::Object(object) = &value else {
            return Err(OpProblem::NotAnObject { set: set(), found: value.described() });
        };
        let id: NodeId = match object.field(&self.key) {
            Some(Value::Text(text)) => Arc::from(&**text),
            Some(Value::Number(Number::Int(n))) => Arc::from(n.to_string()),
            Some(Value::Number(Number::UInt(n))) => Arc::from(n.to_string()),
            other => {
                let found = other.map_or("missing", Value::described);
                return Err(OpProblem::Key { set: set(), key: self.key.clone(), found });
            }
        };
        self.check_id(&id, limits)?;
        self.schema.admit(&self.name, &id, &mut value)?;
        let mut raw = Vec::with_capacity(node.len());
        json::compact(node, &mut raw);
        // A buffer of its own and of its own size: a slice of the caller's would keep the whole of that alive.
        Ok(Row { id, raw: Bytes::from(raw.into_boxed_slice()), value })
    }

    pub(crate) fn check_id(&self, id: &str, limits: &EngineLimits) -> Result<(), OpProblem> {
        if id.is_empty() || id.len() > limits.max_id_bytes {
            return Err(OpProblem::IdLength {
                set: self.name.clone(),
                max: limits.max_id_bytes,
                len: id.len(),
            });
        }
        Ok(())
    }

    /// Puts the new state in place.
    pub(crate) fn store(&mut self, changes: &[RowChange]) {
        for change in changes {
            match (&change.before, &change.after) {
                (_, Some(row)) => drop(self.rows.insert(row.id.clone(), row.clone())),
                (Some(row), None) => drop(self.rows.remove(&row.id)),
                (None, None) => {}
            }
        }
    }
}

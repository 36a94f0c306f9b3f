//! Reads the rows of a commit, before it or in it.

use std::{hash::BuildHasher, sync::Arc};

use bytes::Bytes;
use compact_str::ToCompactString;

use crate::{
    error::OpProblem,
    filter::Reading,
    json,
    limits::{EngineLimits, JsonLimits, QueryLimits},
    schema::Schema,
    seed::Keyed,
    store::{
        columns::Layout,
        condition::Condition,
        row::{MOST_BYTES, Row, read_as},
    },
    syntax::shortened,
    value::{Number, Value},
};

/// One write of a commit.
///
/// ```
/// use liveset_engine::{Engine, EngineLimits, HashSeed, Timestamp, Op, SetDef};
///
/// let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
/// engine.define_set(SetDef::new("orders"))?;
/// let node = br#"{"id":"a","total":12.5}"#;
/// let put = Op::Upsert { set: "orders".into(), node: node[..].into() };
/// let remove = Op::Remove { set: "orders".into(), id: "b".into() };
/// assert_eq!(engine.commit(Timestamp::UNIX_EPOCH, vec![put, remove])?.changed, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Puts a node in place of the one with the same id, or adds it.
    Upsert {
        /// The set's name.
        set: Arc<str>,
        /// The node: a JSON object with the set's key field.
        node: Bytes,
    },
    /// Puts a row that was read ahead; see [`RowReader`]. One of another engine is refused.
    Put(ReadRow),
    /// Changes a node as the operations before it leave it, by JSON Merge Patch (RFC 7396): members replace those of the same name,
    /// objects are merged, `null` takes a member out. Costs reading the node and the patch, inside of the commit.
    Patch {
        /// The set's name.
        set: Arc<str>,
        /// The node's id as text. The patch may not change it.
        id: String,
        /// The patch: a JSON object.
        patch: Bytes,
        /// Whether a node that is not there is made, of the patch alone, which has the key then; else the commit is refused
        /// ([`OpProblem::NotFound`]).
        upsert: bool,
    },
    /// Takes a node out; one that is not there is no error.
    Remove {
        /// The set's name.
        set: Arc<str>,
        /// The node's id as text.
        id: String,
    },
    /// Takes all nodes of a set out. Costs as much as taking each of them out.
    Clear {
        /// The set's name.
        set: Arc<str>,
    },
    /// Does an operation only if its node, as the operations before it leave it, is as the condition says; else the commit is refused
    /// ([`OpProblem::Conflict`]).
    If {
        /// What must hold.
        condition: Condition,
        /// The operation: one on a single node.
        op: Box<Op>,
    },
}

impl Op {
    /// The name of the set that it changes.
    pub fn set(&self) -> &Arc<str> {
        let mut op = self;
        loop {
            match op {
                Op::Upsert { set, .. }
                | Op::Patch { set, .. }
                | Op::Remove { set, .. }
                | Op::Clear { set } => return set,
                Op::Put(row) => return &row.schema.set,
                Op::If { op: inner, .. } => op = inner,
            }
        }
    }
}

/// Reads rows ahead of the commit that brings them, on whatever thread, so that the commit has less to do; made by
/// [`Engine::row_reader`](crate::Engine::row_reader). Cloning shares it.
///
/// ```
/// use liveset_engine::{Engine, EngineLimits, HashSeed, Timestamp, Op, SetDef};
///
/// let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
/// engine.define_set(SetDef::new("orders"))?;
/// let node = br#"{"id":"a","total":12.5}"#;
/// let mut ops = vec![Op::Upsert { set: "orders".into(), node: node[..].into() }];
/// // Without the engine's lock, if it has one:
/// engine.row_reader(["orders"]).read(&mut ops);
/// assert_eq!(engine.commit(Timestamp::UNIX_EPOCH, ops)?.changed, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RowReader(Arc<Known>);

#[derive(Debug)]
struct Known {
    sets: Vec<(usize, Shape)>,
    limits: RowLimits,
    query: QueryLimits,
    /// Operations of one commit.
    max_ops: usize,
}

impl RowReader {
    pub(crate) fn new(sets: Vec<(usize, Shape)>, limits: &EngineLimits) -> Self {
        let (max_ops, query) = (limits.max_ops_per_commit, limits.query.clone());
        Self(Arc::new(Known { sets, limits: RowLimits::of(limits), query, max_ops }))
    }

    /// Reads the rows and the conditions of a commit's operations in place. It stops at the first row that the commit will refuse, and
    /// leaves it and the rest to the commit, which says what is wrong. Only the fields are decoded that queries read now; a query that
    /// comes later costs the reading of its fields on top. O(bytes of the rows).
    pub fn read(&self, ops: &mut [Op]) {
        let Known { sets, limits, query, max_ops } = &*self.0;
        if ops.len() > *max_ops {
            return;
        }
        for mut op in ops {
            let known = sets.iter().find(|(_, shape)| shape.name == *op.set());
            let Some((set, shape)) = known else { continue };
            while let Op::If { condition, op: inner } = op {
                condition.read_ahead(&shape.schema, query);
                op = inner;
            }
            let Op::Upsert { node, .. } = op else { continue };
            let Ok(row) = shape.admit(node, limits) else { return };
            *op = Op::Put(ReadRow { set: *set, schema: shape.schema.clone(), row });
        }
    }
}

/// For whoever follows what a commit will do, before it does it.
impl RowReader {
    /// Reads the row that an upsert puts into a set.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as the commit says.
    pub fn read_row(&self, set: &str, node: &Bytes) -> Result<ReadRow, OpProblem> {
        let found = self.0.sets.iter().find(|(_, shape)| *shape.name == *set);
        let Some((index, shape)) = found else {
            return Err(OpProblem::UnknownSet { set: set.to_owned(), hint: String::new() });
        };
        let row = shape.admit(node, &self.0.limits)?;
        Ok(ReadRow { set: *index, schema: shape.schema.clone(), row })
    }

    /// The row that an upsert puts into a set; `None` where the commit will be refused, or the reader does not know the set.
    pub fn row(&self, set: &str, node: &Bytes) -> Option<liveset_core::model::Row> {
        let (shape, limits) = self.shape(set)?;
        Some(shared(shape.admit(node, limits).ok()?))
    }

    /// The row of this id as a patch leaves it; `None` as of [`row`](Self::row). `before` is the row's JSON text.
    pub fn patched(
        &self,
        set: &str,
        id: &str,
        before: Option<&[u8]>,
        patch: &Bytes,
    ) -> Option<liveset_core::model::Row> {
        let (shape, limits) = self.shape(set)?;
        Some(shared(shape.patched(id, before, patch, limits).ok()?))
    }

    fn shape(&self, set: &str) -> Option<(&Shape, &RowLimits)> {
        let Known { sets, limits, .. } = &*self.0;
        sets.iter().find(|(_, shape)| *shape.name == *set).map(|(_, shape)| (shape, limits))
    }
}

fn shared(row: Row) -> liveset_core::model::Row {
    liveset_core::model::Row::of(Arc::new(row), Bytes::new())
}

/// A row that a [`RowReader`] has read. The engine that made the reader takes it, and no other.
#[derive(Clone, Debug)]
pub struct ReadRow {
    pub(crate) set: usize,
    pub(crate) schema: Arc<Schema>,
    pub(crate) row: Row,
}

impl ReadRow {
    /// The id.
    pub fn id(&self) -> &str {
        self.row.id()
    }

    /// The JSON text.
    pub fn json(&self) -> &[u8] {
        self.row.json()
    }
}

/// Rows of one set are equal if their texts are.
impl PartialEq for ReadRow {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.schema, &other.schema) && self.row.json() == other.row.json()
    }
}

impl Eq for ReadRow {}

/// The limits of a row.
#[derive(Clone, Debug)]
pub(crate) struct RowLimits {
    bytes: usize,
    id_bytes: usize,
    json: JsonLimits,
}

impl RowLimits {
    pub(crate) fn of(limits: &EngineLimits) -> Self {
        Self {
            bytes: limits.max_node_bytes.min(MOST_BYTES),
            id_bytes: limits.max_id_bytes,
            json: limits.json.clone(),
        }
    }
}

/// The layout by which rows of a set are read. A row of an older layout is laid out again when more fields are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) name: Arc<str>,
    pub(crate) key: Arc<str>,
    pub(crate) schema: Arc<Schema>,
    pub(crate) layout: Arc<Layout>,
    pub(crate) keyed: Keyed,
}

impl Shape {
    /// Reads and checks a row.
    pub(crate) fn admit(&self, node: &Bytes, limits: &RowLimits) -> Result<Row, OpProblem> {
        let set = || self.name.to_string();
        if node.len() > limits.bytes {
            return Err(OpProblem::TooLarge { set: set(), max: limits.bytes, len: node.len() });
        }
        let layout = &self.layout;
        let refused =
            |source| OpProblem::Json { set: set(), node: json::guess_text_field(node, &self.key), source };
        if node.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            let found = json::parse(node, &limits.json).map_err(refused)?.described();
            return Err(OpProblem::NotAnObject { set: set(), found });
        }
        let mut extracted = json::extract(node, &layout.wanted, &limits.json).map_err(refused)?;
        let mut slots = std::mem::take(&mut extracted.values);
        for (value, (reading, _)) in slots.iter_mut().zip(layout.slots()) {
            if reading == Reading::Instant {
                *value = read_as(std::mem::take(value), reading);
            }
        }
        let id = match &slots[0] {
            Value::Text(text) => text.clone(),
            Value::Number(Number::Int(n)) => n.to_compact_string(),
            Value::Number(Number::UInt(n)) => n.to_compact_string(),
            other => {
                let found = if extracted.was_present(0) { other.described() } else { "missing" };
                return Err(OpProblem::Key { set: set(), key: self.key.to_string(), found });
            }
        };
        check_id(&self.name, &id, limits)?;
        let declared = |field| extracted.was_present(field + 1).then(|| &slots[field + 1]);
        self.schema.admit(&self.name, &id, declared)?;
        if let Some(field) = self.schema.stranger(node) {
            let hint = self.schema.nearest(&field);
            let hint = hint.map(|near| format!(" (did you mean '{near}'?)")).unwrap_or_default();
            let field = shortened(&field.to_string());
            return Err(OpProblem::Undeclared { set: set(), node: id.into(), field, hint });
        }
        // Columns that only the checks have asked for go.
        for (value, (_, wanted)) in slots.iter_mut().zip(layout.slots()) {
            if !wanted {
                *value = Value::Nothing;
            }
        }
        let hash = hash_of(self.keyed, &id);
        let compact = extracted.compact.take();
        let json = compact.as_deref().unwrap_or(node);
        extracted.values = slots;
        Ok(Row::new(&id, hash, json, layout.clone(), extracted))
    }
}

impl Shape {
    /// The row of this id as a patch leaves it.
    pub(crate) fn patched(
        &self,
        id: &str,
        before: Option<&[u8]>,
        patch: &Bytes,
        limits: &RowLimits,
    ) -> Result<Row, OpProblem> {
        let set = || self.name.to_string();
        if patch.len() > limits.bytes {
            return Err(OpProblem::TooLarge { set: set(), max: limits.bytes, len: patch.len() });
        }
        let refused = |source| OpProblem::Json { set: set(), node: format!("'{}'", shortened(id)), source };
        json::check(patch, &limits.json).map_err(refused)?;
        if patch.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            let found = json::parse(patch, &limits.json).map_err(refused)?.described();
            return Err(OpProblem::NotAnObject { set: set(), found });
        }
        let mut merged = Vec::new();
        json::merge(before.unwrap_or(b"{}"), patch, &mut merged);
        let row = match self.admit(&merged.into(), limits) {
            Err(OpProblem::Key { .. }) if before.is_some() => None,
            row => Some(row?).filter(|row| row.id() == id),
        };
        row.ok_or_else(|| OpProblem::KeyChanged {
            set: set(),
            node: shortened(id),
            key: self.key.to_string(),
        })
    }
}

/// Whether there may be a row of that id.
pub(crate) fn check_id(set: &str, id: &str, limits: &RowLimits) -> Result<(), OpProblem> {
    if id.is_empty() || id.len() > limits.id_bytes {
        return Err(OpProblem::IdLength { set: set.to_owned(), max: limits.id_bytes, len: id.len() });
    }
    Ok(())
}

/// The hash by which a row is found.
pub(crate) fn hash_of(keyed: Keyed, id: &str) -> u32 {
    (keyed.hash_one(id) >> 32) as u32
}

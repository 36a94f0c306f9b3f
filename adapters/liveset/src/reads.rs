//! The rows that the closure of a commit reads.

use std::collections::HashMap;
use std::sync::Arc;

use liveset_core::Row;
use liveset_engine::{Op, RowReader};

use crate::shared::{Key, Seen, Shared};

/// The rows that one run of a closure has read, and what it has done to rows so far.
#[derive(Default)]
pub(crate) struct Reads {
    /// `None` of a commit that is no endpoint's.
    shared: Option<Arc<Shared>>,
    /// As they were applied when they were read first; `None` where there were none.
    seen: HashMap<Key, Option<Row>>,
    /// What the operations of the commit leave, by set.
    own: HashMap<Arc<str>, Own>,
    /// How many of the operations are in there.
    followed: usize,
}

/// What a commit does to a set.
struct Own {
    is_cleared: bool,
    rows: HashMap<String, Option<Row>>,
    reader: RowReader,
}

impl Reads {
    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        Self { shared: Some(shared.clone()), ..Self::default() }
    }

    pub(crate) fn into_seen(self) -> Seen {
        Seen { rows: self.seen, replacement: None }
    }

    /// A row as the operations so far leave it.
    pub(crate) fn row(&mut self, ops: &[Op], set: Arc<str>, id: String) -> Option<Row> {
        for op in ops.get(self.followed..).unwrap_or_default() {
            self.follow(op);
        }
        self.followed = ops.len();
        self.current(&set, &id)
    }

    fn current(&mut self, set: &Arc<str>, id: &str) -> Option<Row> {
        if let Some(own) = self.own.get(set) {
            if let Some(row) = own.rows.get(id) {
                return row.clone();
            }
            if own.is_cleared {
                return None;
            }
        }
        let shared = self.shared.as_ref()?;
        let applied = self.seen.entry((set.clone(), id.to_owned()));
        applied.or_insert_with(|| shared.look(|hub| hub.row(set, id))).clone()
    }

    /// Does to our copy of the rows what an operation will do; nothing where it is one that the commit will be refused for.
    fn follow(&mut self, op: &Op) {
        let (set, Some(shared)) = (op.set().clone(), self.shared.clone()) else { return };
        let mut op = op;
        while let Op::If { op: inner, .. } = op {
            op = inner;
        }
        // A patch is of what is there.
        let before = match op {
            Op::Patch { id, .. } => self.current(&set, id),
            _ => None,
        };
        let own = self.own.entry(set.clone()).or_insert_with(|| Own {
            is_cleared: false,
            rows: HashMap::new(),
            reader: shared.look(|hub| hub.row_reader([&*set])),
        });
        match op {
            Op::Upsert { node, .. } => {
                if let Some(row) = own.reader.row(&set, node) {
                    own.rows.insert(row.id().to_owned(), Some(row));
                }
            }
            Op::Patch { id, patch, upsert, .. } if before.is_some() || *upsert => {
                let patched = own.reader.patched(&set, id, before.as_ref().map(Row::json), patch);
                if let Some(row) = patched {
                    own.rows.insert(id.clone(), Some(row));
                }
            }
            Op::Remove { id, .. } => drop(own.rows.insert(id.clone(), None)),
            Op::Clear { .. } => {
                own.rows.clear();
                own.is_cleared = true;
            }
            Op::Patch { .. } | Op::Put(_) | Op::If { .. } => {}
        }
    }
}

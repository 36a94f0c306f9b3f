//! A stored node.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{
    analysis::ColumnInfo,
    filter::{Fields, Reading},
    json,
    store::columns::{Column, Layout},
    update::NodeId,
    value::Value,
};

/// One version of one node; replaced whole, never changed.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: NodeId,
    pub(crate) id_hash: u32,
    /// The node's JSON without insignificant white space, every token as the host wrote it; where only the spelling of a
    /// number has changed since, as the host wrote it first.
    pub(crate) raw: Bytes,
    /// As the host wrote it last, where that is another spelling.
    respelled: Option<Box<Bytes>>,
    /// Of the JSON value: different digests, different values.
    pub(crate) digest: u64,
    layout: Arc<Layout>,
    slots: Box<[Value]>,
    /// Columns that came after the row, each read when it was first asked for.
    late: OnceLock<Box<Late>>,
}

#[derive(Debug)]
struct Late {
    column: u32,
    value: Value,
    next: OnceLock<Box<Late>>,
}

impl Row {
    pub(crate) fn new(
        id: NodeId,
        id_hash: u32,
        raw: Bytes,
        digest: u64,
        layout: Arc<Layout>,
        slots: Box<[Value]>,
    ) -> Self {
        Self { id, id_hash, raw, respelled: None, digest, layout, slots, late: OnceLock::new() }
    }

    /// Whether the row holds just what rows that are read now hold.
    pub(crate) fn is_laid_out(&self, layout: &Arc<Layout>) -> bool {
        Arc::ptr_eq(&self.layout, layout)
    }

    /// The same row as it would be read now.
    pub(crate) fn laid_out(&self, layout: &Arc<Layout>) -> Self {
        let slots = layout.columns().map(|column| match column {
            Some(column) => self.at(&column).clone(),
            None => Value::Nothing,
        });
        Self {
            id: self.id.clone(),
            id_hash: self.id_hash,
            raw: self.raw.clone(),
            respelled: self.respelled.clone(),
            digest: self.digest,
            layout: layout.clone(),
            slots: slots.collect(),
            late: OnceLock::new(),
        }
    }

    /// The node's JSON as the host wrote it last, which is what queries see.
    pub(crate) fn text(&self) -> &Bytes {
        self.respelled.as_deref().unwrap_or(&self.raw)
    }

    /// The same row, shown by other bytes that mean the same.
    pub(crate) fn shown_as(&self, raw: Bytes) -> Self {
        Self {
            id: self.id.clone(),
            id_hash: self.id_hash,
            raw,
            respelled: Some(Box::new(self.text().clone())),
            digest: self.digest,
            layout: self.layout.clone(),
            slots: self.slots.clone(),
            late: OnceLock::new(),
        }
    }

    /// Bytes held, about: what queries have made it decode later is not counted.
    pub(crate) fn bytes(&self) -> usize {
        let texts: usize = self.slots.iter().map(Value::heap_bytes).sum();
        size_of::<Self>()
            + 2 * size_of::<usize>()
            + self.id.len()
            + self.raw.len()
            + size_of_val(&*self.slots)
            + texts
    }

    fn late(&self, column: &Column) -> &Value {
        let read = || {
            let value = json::find(self.text(), column.path());
            let value = read_as(value, column.reading());
            Box::new(Late { column: column.id(), value, next: OnceLock::new() })
        };
        let mut late = self.late.get_or_init(read);
        while late.column != column.id() {
            late = late.next.get_or_init(read);
        }
        &late.value
    }
}

impl Fields<Column> for Row {
    fn at(&self, column: &Column) -> &Value {
        match self.layout.position(column) {
            Some(place) => &self.slots[place],
            None => self.late(column),
        }
    }
}

/// A value as a column reads it.
pub(crate) fn read_as(value: Value, reading: Reading) -> Value {
    match reading {
        Reading::Plain => value,
        Reading::Instant => value.into_instant().unwrap_or_else(|value| value),
    }
}

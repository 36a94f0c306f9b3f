//! A stored node.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use compact_str::CompactString;
use liveset_core::model::StoredRow;
use memchr::memmem;
use smallvec::SmallVec;

use crate::{
    analysis::ColumnInfo,
    filter::{Fields, Reading},
    json,
    store::columns::{Column, Layout},
    value::{Value, heap_bytes},
};

/// One version of one node; replaced whole, never changed.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: CompactString,
    pub(crate) id_hash: u32,
    /// The node's JSON without insignificant white space, every token as the host wrote it.
    pub(crate) raw: Bytes,
    /// Of the JSON value: different digests, different values.
    pub(crate) digest: u64,
    layout: Arc<Layout>,
    slots: SmallVec<[Value; 4]>,
    /// Bytes held, about.
    bytes: u32,
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
        id: CompactString,
        id_hash: u32,
        raw: Bytes,
        digest: u64,
        layout: Arc<Layout>,
        slots: SmallVec<[Value; 4]>,
    ) -> Self {
        let bytes = bytes(&id, &raw, &slots);
        Self { id, id_hash, raw, digest, layout, slots, bytes, late: OnceLock::new() }
    }

    /// Whether the row holds just what rows that are read now hold.
    pub(crate) fn is_laid_out(&self, layout: &Arc<Layout>) -> bool {
        Arc::ptr_eq(&self.layout, layout)
    }

    /// The same row as it would be read now: in one pass over its text where it does not hold all that is wanted.
    pub(crate) fn laid_out(&self, layout: &Arc<Layout>) -> Self {
        let held = |column: Option<Column>| match column {
            Some(column) => Some(self.slots[self.layout.position(&column)?].clone()),
            None => Some(Value::Nothing),
        };
        let slots = layout.columns().map(held).collect::<Option<_>>();
        let slots: SmallVec<[Value; 4]> = slots.unwrap_or_else(|| {
            let values = json::select(&self.raw, &layout.wanted);
            let slots = values.into_iter().zip(layout.slots());
            slots
                .map(
                    |(value, (reading, wanted))| {
                        if wanted { read_as(value, reading) } else { Value::Nothing }
                    },
                )
                .collect()
        });
        Self {
            id: self.id.clone(),
            id_hash: self.id_hash,
            raw: self.raw.clone(),
            digest: self.digest,
            layout: layout.clone(),
            bytes: bytes(&self.id, &self.raw, &slots),
            slots,
            late: OnceLock::new(),
        }
    }

    /// Bytes held, about: what queries have made it decode later is not counted.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes as usize
    }

    fn late(&self, column: &Column) -> &Value {
        let read = || {
            let value = json::find(&self.raw, column.path());
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

impl StoredRow for Row {
    fn id(&self) -> &str {
        &self.id
    }

    fn json(&self) -> &Bytes {
        &self.raw
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

/// Reads columns of many rows, one after the other, also of rows that do not hold them, and leaves nothing in the rows.
#[derive(Debug)]
pub(crate) struct Reader {
    columns: Box<[Column]>,
    /// The layout of the row that was read last, and the columns that it lacks.
    layout: Option<Arc<Layout>>,
    missing: SmallVec<[Missing; 2]>,
    /// What reads all of them in one pass, where they are many.
    pass: Option<Layout>,
}

/// A column that rows lack.
#[derive(Debug)]
struct Missing {
    column: Column,
    /// Its first name as it stands in JSON where nothing is escaped.
    key: memmem::Finder<'static>,
}

/// Over so many columns one pass over the text is cheaper than one for each.
const FEW_MISSING: usize = 3;

impl Reader {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.into(), layout: None, missing: SmallVec::new(), pass: None }
    }

    /// Finds out which columns a row lacks, where it is laid out otherwise than the one before.
    fn turn_to(&mut self, row: &Row) {
        if self.layout.as_ref().is_some_and(|layout| Arc::ptr_eq(layout, &row.layout)) {
            return;
        }
        let lacks = |column: &&Column| row.layout.position(column).is_none();
        self.missing = self.columns.iter().filter(lacks).map(Missing::of).collect();
        self.layout = Some(row.layout.clone());
        let columns: Vec<Column> = self.missing.iter().map(|missing| missing.column.clone()).collect();
        self.pass = (columns.len() > FEW_MISSING).then(|| Layout::of(&columns));
    }

    /// The row with all columns. Adds the steps that reading took: next to none where the row's text does not have the name of
    /// a column that it lacks.
    pub(crate) fn read<'a>(&mut self, row: &'a Row, steps: &mut u64) -> ReadRow<'a> {
        self.turn_to(row);
        let mut read = ReadRow { row, late: SmallVec::new() };
        if self.missing.is_empty() {
            return read;
        }
        let text = &row.raw;
        if let Some(pass) = &self.pass {
            *steps += text.len() as u64 / 16 + 1;
            let values = json::select(text, &pass.wanted);
            let columns = self.missing.iter().map(|it| &it.column);
            let value = |(value, column): (Value, &Column)| (column.id(), read_as(value, column.reading()));
            read.late = values.into_iter().zip(columns).map(value).collect();
            return read;
        }
        for Missing { column, key } in &self.missing {
            *steps += text.len() as u64 / SEARCHED_PER_STEP + 1;
            // Where nothing is escaped a key stands in the text as it is.
            let is_there = key.find(text).is_some() || memchr::memchr(b'\\', text).is_some();
            let value = match is_there {
                true => {
                    *steps += text.len() as u64 / 16 + 1;
                    read_as(json::find(text, column.path()), column.reading())
                }
                false => Value::Nothing,
            };
            read.late.push((column.id(), value));
        }
        read
    }
}

/// Bytes that a search for a key passes in one step.
const SEARCHED_PER_STEP: u64 = 256;

impl Missing {
    fn of(column: &Column) -> Self {
        let name = column.path().names().next().unwrap_or_default();
        let key = memmem::Finder::new(format!("\"{name}\"").as_bytes()).into_owned();
        Self { column: column.clone(), key }
    }
}

/// A row with columns that it does not hold.
#[derive(Debug)]
pub(crate) struct ReadRow<'a> {
    row: &'a Row,
    late: SmallVec<[(u32, Value); 2]>,
}

impl Fields<Column> for ReadRow<'_> {
    fn at(&self, column: &Column) -> &Value {
        match self.row.layout.position(column) {
            Some(place) => &self.row.slots[place],
            None => match self.late.iter().find(|(id, _)| *id == column.id()) {
                Some((_, value)) => value,
                None => self.row.late(column),
            },
        }
    }
}

fn bytes(id: &CompactString, raw: &Bytes, slots: &SmallVec<[Value; 4]>) -> u32 {
    let spilled = if slots.spilled() { size_of_val(&**slots) } else { 0 };
    let texts: usize = slots.iter().map(Value::heap_bytes).sum();
    let counts = 2 * size_of::<usize>();
    (size_of::<Row>() + counts + heap_bytes(id) + raw.len() + spilled + texts) as u32
}

/// A value as a column reads it.
pub(crate) fn read_as(value: Value, reading: Reading) -> Value {
    match reading {
        Reading::Plain => value,
        Reading::Instant => value.into_instant().unwrap_or_else(|value| value),
    }
}

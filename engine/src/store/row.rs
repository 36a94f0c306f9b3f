//! A stored row: one allocation.
//!
//! ```text
//!   head   what finds the row, how it is laid out
//!   cells  nine bytes for each path that its layout reads: a kind, and a number or where something stands
//!   json   the row as the host wrote it
//!   rest   what does not stand in the JSON as it reads: escaped text, and moments
//! ```
//!
//! Lists and objects have an allocation of their own; so have columns that came after the row.

use std::sync::{Arc, OnceLock};

use liveset_core::model::StoredRow;
use memchr::memmem;
use smallvec::SmallVec;
use triomphe::ThinArc;

use crate::{
    analysis::ColumnInfo,
    filter::{Fields, Reading},
    json::{self, Extracted},
    store::columns::{Column, Layout},
    time::Timestamp,
    value::{Number, Value, ValueRef},
};

/// One version of one row; replaced whole, never changed. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Row(ThinArc<Head, u8>);

#[derive(Debug)]
struct Head {
    digest: u64,
    id_hash: u32,
    id: Span,
    json: Span,
    layout: Arc<Layout>,
    /// Lists and objects, and what is too long.
    others: Box<[Value]>,
    late: OnceLock<Box<Late>>,
}

/// A column that came after the row, read when it was first asked for.
#[derive(Debug)]
struct Late {
    column: u32,
    value: Value,
    next: OnceLock<Box<Late>>,
}

/// A part of what stands behind the head.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    len: u32,
}

/// The most bytes of a row's JSON: every place in the row fits 32 bits.
pub(crate) const MOST_BYTES: usize = 1 << 30;

impl Row {
    /// The row that was read from `json`, where `extracted` has the values of the layout's slots.
    pub(crate) fn new(
        id: &str,
        id_hash: u32,
        json: &[u8],
        layout: Arc<Layout>,
        extracted: Extracted,
    ) -> Self {
        let Extracted { values, starts, digest, .. } = extracted;
        let mut draft = Draft::new(values.len(), json);
        // A text stands behind its quote, a number without one.
        let is_text = matches!(values.first(), Some(Value::Text(_)));
        let id_at = starts.first().map_or(0, |start| *start as usize + usize::from(is_text));
        let id = draft.spell(id, id_at);
        for (place, (value, start)) in values.into_iter().zip(starts).enumerate() {
            draft.set(place, value, start as usize + 1);
        }
        draft.finish(id, id_hash, digest, layout)
    }

    /// Whether the row holds just what rows that are read now hold.
    pub(crate) fn is_laid_out(&self, layout: &Arc<Layout>) -> bool {
        Arc::ptr_eq(&self.head().layout, layout)
    }

    /// The same row as it would be read now: in one pass over its text where it does not hold all that is wanted.
    pub(crate) fn laid_out(&self, layout: &Arc<Layout>) -> Self {
        let Head { digest, id_hash, id, json, layout: old, .. } = self.head();
        let mut draft = Draft::new(layout.slots().len(), self.json());
        let id = draft.spell(self.id(), id.start.wrapping_sub(json.start) as usize);
        let held = layout.columns().map(|column| match column {
            Some(column) => old.position(&column).map(Some),
            None => Some(None),
        });
        match held.collect::<Option<SmallVec<[Option<usize>; 16]>>>() {
            Some(held) => {
                for (place, old) in held.into_iter().enumerate() {
                    let Some(old) = old else { continue };
                    draft.set(
                        place,
                        self.cell(old).into(),
                        self.text_at(old).wrapping_sub(json.start) as usize,
                    );
                }
            }
            None => {
                let Extracted { values, starts, .. } = json::select(self.json(), &layout.wanted);
                let slots = values.into_iter().zip(starts).zip(layout.slots()).enumerate();
                for (place, ((value, start), (reading, _))) in slots.filter(|(_, (_, (_, wanted)))| *wanted) {
                    draft.set(place, read_as(value, reading), start as usize + 1);
                }
            }
        }
        draft.finish(id, *id_hash, *digest, layout.clone())
    }

    pub(crate) fn id(&self) -> &str {
        std::str::from_utf8(self.id_bytes()).unwrap_or_default()
    }

    pub(crate) fn id_bytes(&self) -> &[u8] {
        self.bytes_of(self.head().id)
    }

    pub(crate) fn id_hash(&self) -> u32 {
        self.head().id_hash
    }

    /// The row's JSON without insignificant white space, every token as the host wrote it.
    pub(crate) fn json(&self) -> &[u8] {
        self.bytes_of(self.head().json)
    }

    /// The length of that.
    pub(crate) fn json_len(&self) -> usize {
        self.head().json.len as usize
    }

    /// Of the JSON value: different digests, different values.
    pub(crate) fn digest(&self) -> u64 {
        self.head().digest
    }

    /// Whether both are one version of a row, laid out alike.
    pub(crate) fn is(&self, other: &Row) -> bool {
        std::ptr::eq(self.head(), other.head())
    }

    /// Whether both have the same text.
    pub(crate) fn is_spelled_as(&self, other: &Row) -> bool {
        self.is(other) || self.digest() == other.digest() && self.json() == other.json()
    }

    /// The [bits](Column::bit) of the columns that differ; all bits where the two are laid out otherwise.
    pub(crate) fn differing(&self, other: &Row) -> u64 {
        let layout = &self.head().layout;
        match other.is_laid_out(layout) {
            true => layout.bits(|place| !self.cell(place).is_interchangeable(other.cell(place))),
            false => u64::MAX,
        }
    }

    /// Bytes held, about: what queries have made it decode later is not counted.
    pub(crate) fn bytes(&self) -> usize {
        let others: usize =
            self.head().others.iter().map(|value| size_of::<Value>() + value.heap_bytes()).sum();
        size_of::<Head>() + 2 * size_of::<usize>() + self.tail().len() + others
    }

    fn head(&self) -> &Head {
        &self.0.header.header
    }

    fn tail(&self) -> &[u8] {
        &self.0.slice
    }

    fn bytes_of(&self, Span { start, len }: Span) -> &[u8] {
        self.tail().get(start as usize..).and_then(|from| from.get(..len as usize)).unwrap_or_default()
    }

    fn cell(&self, place: usize) -> ValueRef<'_> {
        let Some(cell) = self.tail().get(place * CELL..).and_then(<[u8]>::first_chunk::<CELL>) else {
            return ValueRef::Nothing;
        };
        let [kind, payload @ ..] = *cell;
        let bits = u64::from_le_bytes(payload);
        match kind {
            INT => ValueRef::Number(Number::Int(bits as i64)),
            TEXT => ValueRef::Text(self.bytes_of(Span::of(bits))),
            INSTANT => {
                let (at, text) = self.moment(bits);
                ValueRef::Instant(at, self.bytes_of(text))
            }
            FLOAT => ValueRef::Number(Number::Float(f64::from_bits(bits))),
            UINT => ValueRef::Number(Number::UInt(bits)),
            BOOL => ValueRef::Bool(bits != 0),
            OTHER => self.head().others.get(bits as usize).map_or(ValueRef::Nothing, ValueRef::from),
            _ => ValueRef::Nothing,
        }
    }

    /// Where the text of a cell stands, if it has one.
    fn text_at(&self, place: usize) -> u32 {
        let cell = self.tail().get(place * CELL..).and_then(<[u8]>::first_chunk::<CELL>);
        match cell.map(|[kind, payload @ ..]| (*kind, u64::from_le_bytes(*payload))) {
            Some((TEXT, bits)) => Span::of(bits).start,
            Some((INSTANT, bits)) => self.moment(bits).1.start,
            _ => 0,
        }
    }

    /// A moment, and where its spelling stands.
    fn moment(&self, start: u64) -> (Timestamp, Span) {
        let bytes = self.tail().get(start as usize..).unwrap_or_default();
        let (nanos, span) = (bytes.first_chunk(), bytes.get(16..).and_then(<[u8]>::first_chunk));
        let at = Timestamp::from_unix_nanos(i128::from_le_bytes(nanos.copied().unwrap_or_default()));
        (at.unwrap_or(Timestamp::MIN), Span::of(u64::from_le_bytes(span.copied().unwrap_or_default())))
    }

    fn late(&self, column: &Column) -> ValueRef<'_> {
        let read = || {
            let value = read_as(json::find(self.json(), column.path()), column.reading());
            Box::new(Late { column: column.id(), value, next: OnceLock::new() })
        };
        let mut late = self.head().late.get_or_init(read);
        while late.column != column.id() {
            late = late.next.get_or_init(read);
        }
        ValueRef::from(&late.value)
    }
}

impl StoredRow for Row {
    fn id(&self) -> &str {
        self.id()
    }

    fn json(&self) -> &[u8] {
        self.json()
    }
}

impl Fields<Column> for Row {
    fn at(&self, column: &Column) -> ValueRef<'_> {
        match self.head().layout.position(column) {
            Some(place) => self.cell(place),
            None => self.late(column),
        }
    }
}

impl Span {
    fn of(bits: u64) -> Self {
        Self { start: bits as u32, len: (bits >> 32) as u32 }
    }

    fn bits(self) -> u64 {
        u64::from(self.start) | u64::from(self.len) << 32
    }
}

/// Bytes of a cell: its kind, and eight bytes that mean what the kind says.
const CELL: usize = 9;

// What a cell is of; zeros are nothing.
const BOOL: u8 = 1;
const INT: u8 = 2;
const UINT: u8 = 3;
const FLOAT: u8 = 4;
/// A [`Span`].
const TEXT: u8 = 5;
/// Where a moment stands: 16 bytes of nanoseconds, then the [`Span`] of its spelling.
const INSTANT: u8 = 6;
/// A place among the values that have an allocation of their own.
const OTHER: u8 = 7;

/// What is to stand behind the head of a row.
struct Draft {
    tail: SmallVec<[u8; 768]>,
    json: Span,
    others: Vec<Value>,
}

impl Draft {
    fn new(cells: usize, json: &[u8]) -> Self {
        let mut tail = SmallVec::from_elem(0, cells * CELL);
        let span = Span { start: tail.len() as u32, len: json.len() as u32 };
        tail.extend_from_slice(json);
        Self { tail, json: span, others: Vec::new() }
    }

    /// Fills a cell; `text_at` is where in the JSON its text may stand.
    fn set(&mut self, place: usize, value: Value, text_at: usize) {
        let (kind, bits) = match value {
            Value::Nothing => return,
            Value::Bool(value) => (BOOL, u64::from(value)),
            Value::Number(Number::Int(value)) => (INT, value as u64),
            Value::Number(Number::UInt(value)) => (UINT, value),
            Value::Number(Number::Float(value)) => (FLOAT, value.to_bits()),
            Value::Text(text) if self.has_room(&text) => (TEXT, self.spell(&text, text_at).bits()),
            Value::Instant(timed) if self.has_room(timed.text()) => {
                let span = self.spell(timed.text(), text_at);
                let start = self.tail.len() as u64;
                self.tail.extend_from_slice(&timed.at().unix_nanos().to_le_bytes());
                self.tail.extend_from_slice(&span.bits().to_le_bytes());
                (INSTANT, start)
            }
            other => {
                self.others.push(other);
                (OTHER, self.others.len() as u64 - 1)
            }
        };
        if let Some(cell) = self.tail.get_mut(place * CELL..).and_then(<[u8]>::first_chunk_mut::<CELL>) {
            cell[0] = kind;
            cell[1..].copy_from_slice(&bits.to_le_bytes());
        }
    }

    /// Whether every place is one of 32 bits with this text, too.
    fn has_room(&self, text: &str) -> bool {
        self.tail.len() + text.len() + CELL + size_of::<i128>() <= u32::MAX as usize
    }

    /// Where a text stands: in the JSON, if it does there, else behind it.
    fn spell(&mut self, text: &str, text_at: usize) -> Span {
        let (start, len) = ((self.json.start as usize).saturating_add(text_at), text.len());
        let json = &self.tail[..(self.json.start + self.json.len) as usize];
        if json.get(start..).is_some_and(|from| from.starts_with(text.as_bytes())) {
            return Span { start: start as u32, len: len as u32 };
        }
        let start = self.tail.len();
        self.tail.extend_from_slice(text.as_bytes());
        Span { start: start as u32, len: len as u32 }
    }

    fn finish(self, id: Span, id_hash: u32, digest: u64, layout: Arc<Layout>) -> Row {
        let Self { tail, json, others } = self;
        let (others, late) = (others.into_boxed_slice(), OnceLock::new());
        Row(ThinArc::from_header_and_slice(Head { digest, id_hash, id, json, layout, others, late }, &tail))
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
        if self.layout.as_ref().is_some_and(|layout| Arc::ptr_eq(layout, &row.head().layout)) {
            return;
        }
        let lacks = |column: &&Column| row.head().layout.position(column).is_none();
        self.missing = self.columns.iter().filter(lacks).map(Missing::of).collect();
        self.layout = Some(row.head().layout.clone());
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
        let text = row.json();
        if let Some(pass) = &self.pass {
            *steps += text.len() as u64 / 16 + 1;
            let values = json::select(text, &pass.wanted).values;
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
    fn at(&self, column: &Column) -> ValueRef<'_> {
        match self.row.head().layout.position(column) {
            Some(place) => self.row.cell(place),
            None => match self.late.iter().find(|(id, _)| *id == column.id()) {
                Some((_, value)) => value.into(),
                None => self.row.late(column),
            },
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

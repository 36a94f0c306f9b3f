//! Which paths of a set's nodes are decoded.
//!
//! A column is a path that some query reads, and how. Rows hold the values of the columns that were wanted when they were
//! read ([`Layout`]); what a row does not hold is read from its text when it is asked for, once. So a new query costs nothing
//! until its columns are looked at, and a path that no query reads any more is not decoded any more.

use std::{
    cmp::Ordering,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use hashbrown::HashMap;

use crate::{
    analysis::ColumnInfo,
    filter::Reading,
    json::Wanted,
    path::Path,
    schema::{FieldKind, Schema},
    seed::Keyed,
};

/// A path that queries read. Clones are the same column; it is wanted as long as there is one.
#[derive(Clone, Debug)]
pub(crate) struct Column(Arc<Definition>);

#[derive(Debug)]
struct Definition {
    id: u32,
    path: Path,
    reading: Reading,
    declared_instant: bool,
    /// Queries that have asked for it.
    asked: AtomicU32,
    /// Where rows of the newest layout hold it; others may.
    place: AtomicU32,
}

impl Column {
    /// One more query reads it.
    pub(crate) fn ask(&self) {
        self.0.asked.fetch_add(1, Relaxed);
    }

    /// Whether rows are to hold it: not for one query alone, which reads it once.
    pub(crate) fn is_asked_often(&self) -> bool {
        self.0.asked.load(Relaxed) > 1
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id
    }

    /// Its bit in sets of columns; others may have the same one.
    pub(crate) fn bit(&self) -> u64 {
        bit(self.0.id)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    /// Of one that the set has: whether somebody else has it.
    fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.path.fmt(f)
    }
}

impl ColumnInfo for Column {
    fn is_declared_instant(&self) -> bool {
        self.0.declared_instant
    }

    fn reading(&self) -> Reading {
        self.0.reading
    }
}

/// Columns of one set are the same when they have one id.
impl PartialEq for Column {
    fn eq(&self, other: &Column) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Column {}

impl Ord for Column {
    fn cmp(&self, other: &Column) -> Ordering {
        self.0.id.cmp(&other.0.id)
    }
}

impl PartialOrd for Column {
    fn partial_cmp(&self, other: &Column) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::hash::Hash for Column {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

/// What the rows that are read now hold: the key, the declared fields, then the columns.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The key first, then the declared fields, then what the columns read.
    pub(crate) wanted: Wanted,
    /// The ids of the columns, by their place in a row's slots; declared fields that no query reads have none.
    ids: Box<[u32]>,
    /// The same, with their places, by id.
    places: Box<[(u32, u32)]>,
    slots: Box<[Slot]>,
}

/// Where a row holds the value of a path.
#[derive(Debug)]
struct Slot {
    path: Path,
    reading: Reading,
    /// What queries know it by. Not a [`Column`]: that a row holds a value does not make it wanted.
    column: Weak<Definition>,
}

fn bit(id: u32) -> u64 {
    1 << (id % u64::BITS)
}

/// No column has it.
const NO_COLUMN: u32 = u32::MAX;

impl Slot {
    fn of(column: &Column) -> Self {
        let Definition { path, reading, .. } = &*column.0;
        Self { path: path.clone(), reading: *reading, column: Arc::downgrade(&column.0) }
    }
}

impl Layout {
    fn new(slots: Vec<Slot>, ids: Vec<u32>) -> Self {
        let places = ids.iter().zip(0..).filter(|(id, _)| **id != NO_COLUMN);
        let mut places: Box<[(u32, u32)]> = places.map(|(id, place)| (*id, place)).collect();
        places.sort_unstable();
        let wanted = Wanted::new(slots.iter().map(|slot| &slot.path));
        Self { wanted, ids: ids.into(), places, slots: slots.into() }
    }

    /// One that holds these columns alone.
    pub(crate) fn of(columns: &[Column]) -> Self {
        let slots = columns.iter().map(Slot::of).collect();
        Self::new(slots, columns.iter().map(Column::id).collect())
    }

    /// Where a row of this layout holds a column. O(1) of the newest layout, else O(log columns).
    pub(crate) fn position(&self, column: &Column) -> Option<usize> {
        let (id, place) = (column.id(), column.0.place.load(Relaxed) as usize);
        if self.ids.get(place) == Some(&id) {
            return Some(place);
        }
        let found = self.places.binary_search_by_key(&id, |(held, _)| *held).ok()?;
        self.places.get(found).map(|(_, place)| *place as usize)
    }

    /// The [bits](Column::bit) of the columns at some places.
    pub(crate) fn bits(&self, places: impl Fn(usize) -> bool) -> u64 {
        let ids = self.ids.iter().enumerate().filter(|(place, id)| **id != NO_COLUMN && places(*place));
        ids.fold(0, |bits, (_, id)| bits | bit(*id))
    }

    /// How each slot is read, and whether a query reads it.
    pub(crate) fn slots(&self) -> impl ExactSizeIterator<Item = (Reading, bool)> {
        self.slots.iter().zip(&self.ids).map(|(slot, id)| (slot.reading, *id != NO_COLUMN))
    }

    /// What each slot holds; `None` where no query reads it.
    pub(crate) fn columns(&self) -> impl ExactSizeIterator<Item = Option<Column>> {
        self.slots.iter().map(|slot| slot.column.upgrade().map(Column))
    }
}

/// A path, and how it is read.
pub(crate) type Read = (Path, Reading);

/// The columns of one set.
#[derive(Debug)]
pub(crate) struct Columns {
    /// The key and the declared fields.
    fixed: Box<[Read]>,
    /// Where they are; the first place of one that occurs again.
    fixed_places: HashMap<Read, usize, Keyed>,
    columns: HashMap<Read, Column, Keyed>,
    layout: Arc<Layout>,
    next_id: u32,
    /// Columns that no query reads any more are looked for when there are so many.
    sweep_at: usize,
}

impl Columns {
    pub(crate) fn new(key: &str, schema: &Schema, keyed: Keyed) -> Self {
        let declared = schema.fields().map(|(path, kind)| {
            let instant = kind == FieldKind::Instant;
            (path.clone(), if instant { Reading::Instant } else { Reading::Plain })
        });
        let fixed: Box<[Read]> =
            std::iter::once((Path::field(key), Reading::Plain)).chain(declared).collect();
        let mut fixed_places = HashMap::with_hasher(keyed);
        for (place, read) in fixed.iter().enumerate() {
            fixed_places.entry(read.clone()).or_insert(place);
        }
        let mut columns = Self {
            fixed,
            fixed_places,
            columns: HashMap::with_hasher(keyed),
            layout: Arc::new(Layout::new(Vec::new(), Vec::new())),
            next_id: 0,
            sweep_at: 16,
        };
        columns.lay_out();
        columns
    }

    /// The layout of the rows that are read from now on.
    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// How many different columns queries read.
    pub(crate) fn wanted(&self) -> usize {
        self.columns.values().filter(|column| column.is_wanted()).count()
    }

    /// How many those would be with these, each of which is there once.
    pub(crate) fn wanted_with(&self, reads: &[Read]) -> usize {
        let is_new = |read: &&Read| !self.columns.get(*read).is_some_and(Column::is_wanted);
        self.wanted() + reads.iter().filter(is_new).count()
    }

    /// How a set reads a path. What it declares as an instant is read as one, however it is asked for.
    pub(crate) fn reading(path: &Path, reading: Reading, schema: &Schema) -> Reading {
        if schema.declares(path, FieldKind::Instant) { Reading::Instant } else { reading }
    }

    /// Makes the columns that a query reads, as far as they are new; rows are laid out anew once for all of them.
    pub(crate) fn add(&mut self, reads: &[Read], schema: &Schema) -> Vec<Column> {
        let new = reads.iter().filter(|read| !self.columns.contains_key(*read)).count();
        if new > 0 && self.columns.len() + new > self.sweep_at {
            self.forget_unused();
        }
        let before = self.next_id;
        let columns = reads.iter().map(|(path, reading)| self.find_or_make(path, *reading, schema)).collect();
        if self.next_id > before {
            self.lay_out();
        }
        columns
    }

    /// The column of a path; of one that [`add`](Self::add) has made costs a look-up.
    pub(crate) fn column(&mut self, path: &Path, reading: Reading, schema: &Schema) -> Column {
        let before = self.next_id;
        let column = self.find_or_make(path, Self::reading(path, reading, schema), schema);
        if self.next_id > before {
            self.lay_out();
        }
        column
    }

    fn find_or_make(&mut self, path: &Path, reading: Reading, schema: &Schema) -> Column {
        // Ids are not used again: a row may hold the value of a column that is gone.
        let id = self.next_id;
        let make = || {
            let declared_instant = schema.declares(path, FieldKind::Instant);
            let [asked, place] = [0; 2].map(AtomicU32::new);
            Column(Arc::new(Definition { id, path: path.clone(), reading, declared_instant, asked, place }))
        };
        let column = self.columns.entry((path.clone(), reading)).or_insert_with(make).clone();
        self.next_id += u32::from(column.id() == id);
        column
    }

    /// Lets go of the columns that nobody has any more; the rows that are read next do not hold them.
    pub(crate) fn forget_unused(&mut self) {
        let before = self.columns.len();
        self.columns.retain(|_, column| column.is_wanted());
        self.sweep_at = (self.columns.len() * 2).max(16);
        if self.columns.len() < before {
            self.lay_out();
        }
    }

    /// O(columns · log columns).
    fn lay_out(&mut self) {
        let fixed = self.fixed.iter();
        let mut slots: Vec<Slot> = fixed
            .map(|(path, reading)| Slot { path: path.clone(), reading: *reading, column: Weak::new() })
            .collect();
        let mut ids = vec![NO_COLUMN; slots.len()];
        let mut columns: Vec<(&Read, &Column)> = self.columns.iter().collect();
        columns.sort_unstable_by_key(|(_, column)| column.id());
        for (read, column) in columns {
            let place = self.fixed_places.get(read).copied().unwrap_or(slots.len());
            column.0.place.store(place as u32, Relaxed);
            if place < slots.len() {
                (slots[place], ids[place]) = (Slot::of(column), column.id());
            } else {
                slots.push(Slot::of(column));
                ids.push(column.id());
            }
        }
        self.layout = Arc::new(Layout::new(slots, ids));
    }
}

//! Which paths of a set's nodes are decoded.
//!
//! A column is a path that some query reads, and how. Rows hold the values of the columns that were wanted when they were
//! read ([`Layout`]); what a row does not hold is read from its text when it is asked for, once. So a new query costs nothing
//! until its columns are looked at, and a path that no query reads any more is not decoded any more.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{
    analysis::ColumnInfo,
    filter::Reading,
    json::Wanted,
    path::Path,
    schema::{FieldKind, Schema},
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
}

impl Column {
    pub(crate) fn id(&self) -> u32 {
        self.0.id
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.path
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

/// No column has it.
const NO_COLUMN: u32 = u32::MAX;

impl Layout {
    /// Where a row of this layout holds a column.
    pub(crate) fn position(&self, column: &Column) -> Option<usize> {
        self.ids.iter().position(|id| *id == column.0.id)
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

/// The columns of one set.
#[derive(Debug)]
pub(crate) struct Columns {
    /// The key and the declared fields.
    fixed: Box<[(Path, Reading)]>,
    columns: HashMap<(Path, Reading), Column, FixedState>,
    layout: Arc<Layout>,
    next_id: u32,
    /// Columns that no query reads any more are looked for when there are so many.
    sweep_at: usize,
}

impl Columns {
    pub(crate) fn new(key: &str, schema: &Schema) -> Self {
        let declared = schema.fields().map(|(path, kind)| {
            let instant = kind == FieldKind::Instant;
            (path.clone(), if instant { Reading::Instant } else { Reading::Plain })
        });
        let fixed = std::iter::once((Path::field(key), Reading::Plain)).chain(declared).collect();
        let mut columns = Self {
            fixed,
            columns: HashMap::default(),
            layout: Arc::new(Layout { wanted: Wanted::new([]), ids: [].into(), slots: [].into() }),
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
        self.columns.values().filter(|column| Arc::strong_count(&column.0) > 1).count()
    }

    /// The column of a path. What a set declares as an instant is read as one, however it is asked for.
    pub(crate) fn column(&mut self, path: &Path, reading: Reading, schema: &Schema) -> Column {
        let declared_instant = schema.declares(path, FieldKind::Instant);
        let reading = if declared_instant { Reading::Instant } else { reading };
        if let Some(column) = self.columns.get(&(path.clone(), reading)) {
            return column.clone();
        }
        if self.columns.len() >= self.sweep_at {
            self.forget_unused();
        }
        // Ids are not used again: a row may hold the value of a column that is gone.
        let id = self.next_id;
        self.next_id += 1;
        let column = Column(Arc::new(Definition { id, path: path.clone(), reading, declared_instant }));
        self.columns.insert((path.clone(), reading), column.clone());
        self.lay_out();
        column
    }

    /// Lets go of the columns that nobody has any more; the rows that are read next do not hold them.
    pub(crate) fn forget_unused(&mut self) {
        let before = self.columns.len();
        self.columns.retain(|_, column| Arc::strong_count(&column.0) > 1);
        self.sweep_at = (self.columns.len() * 2).max(16);
        if self.columns.len() < before {
            self.lay_out();
        }
    }

    fn lay_out(&mut self) {
        let fixed = self.fixed.iter();
        let mut slots: Vec<Slot> = fixed
            .map(|(path, reading)| Slot { path: path.clone(), reading: *reading, column: Weak::new() })
            .collect();
        let mut ids = vec![NO_COLUMN; slots.len()];
        let mut columns: Vec<&Column> = self.columns.values().collect();
        columns.sort_unstable_by_key(|column| column.0.id);
        for column in columns {
            let Definition { id, path, reading, .. } = &*column.0;
            let place = slots.iter().position(|slot| slot.path == *path && slot.reading == *reading);
            let place = place.unwrap_or_else(|| {
                slots.push(Slot { path: path.clone(), reading: *reading, column: Weak::new() });
                ids.push(NO_COLUMN);
                slots.len() - 1
            });
            slots[place].column = Arc::downgrade(&column.0);
            ids[place] = *id;
        }
        self.layout = Arc::new(Layout {
            wanted: Wanted::new(slots.iter().map(|slot| &slot.path)),
            ids: ids.into(),
            slots: slots.into(),
        });
    }
}

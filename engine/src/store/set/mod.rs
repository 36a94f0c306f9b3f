//! One set: its schema, its rows, and what finds them.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

pub(crate) mod history;
pub(crate) mod index;

use crate::{
    analysis::ColumnInfo as _,
    filter::{Filter, Reading},
    json,
    order::Order,
    path::Path,
    schema::{Schema, SetDef},
    seed::{Keyed, probed},
    store::{
        columns::{Column, Columns, Layout, Read},
        reader::{Shape, hash_of},
        row::Row,
        set::history::History,
        set::index::Indexes,
        slots::{Slot, Slots},
        sorting::Sorting,
    },
};

/// All sets, by their numbers. The host names them, so the names need no seed.
pub(crate) type Sets = indexmap::IndexMap<Arc<str>, Set, FixedState>;

/// One node's net change by a commit. The two sides differ.
#[derive(Debug)]
pub(crate) struct RowChange {
    pub(crate) handle: u32,
    pub(crate) before: Option<Row>,
    pub(crate) after: Option<Row>,
    /// The [bits](Column::bit) of the columns in which the sides differ, and perhaps of others.
    pub(crate) columns: u64,
}

impl RowChange {
    fn new(handle: u32, before: Option<Row>, after: Option<Row>) -> Self {
        Self { handle, before, after, columns: u64::MAX }
    }

    /// Whether both sides have the same in the columns of these [bits](Column::bit).
    pub(crate) fn keeps(&self, bits: u64) -> bool {
        self.before.is_some() && self.after.is_some() && self.columns & bits == 0
    }
}

/// One write, read and checked.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put(Row),
    Remove(Box<str>),
    /// Takes all rows out.
    Clear,
}

impl Write {
    /// The length of the JSON text that was read for it.
    pub(crate) fn json_bytes(&self) -> usize {
        match self {
            Write::Put(row) => row.json().len(),
            Write::Remove(_) | Write::Clear => 0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) name: Arc<str>,
    pub(crate) key: Arc<str>,
    pub(crate) schema: Arc<Schema>,
    columns: Columns,
    sortings: HashMap<Arc<str>, Arc<Sorting>, Keyed>,
    /// Orders that nobody has any more are looked for when there are so many.
    sweep_at: usize,
    slots: Slots,
    /// Commits that have changed something here.
    commits: u64,
    free: Vec<u32>,
    /// Handles by the hash of the id.
    ids: HashTable<(u32, u32)>,
    row_bytes: usize,
    /// Rows that were changed, over all commits.
    pub(crate) changed: u64,
    /// Bytes of the versions of rows that were replaced or taken out, over all commits.
    pub(crate) replaced_bytes: u64,
    /// Bytes of the largest row there has been since the set was empty.
    largest: usize,
    pub(crate) indexes: Indexes,
    /// What some query has not taken yet.
    pub(crate) history: History,
    pub(super) keyed: Keyed,
}

/// So many orders are not worth a look at which of them are still of use.
const FEW_SORTINGS: usize = 16;

impl Set {
    pub(crate) fn new(def: SetDef, schema: Arc<Schema>, keyed: Keyed) -> Self {
        let columns = Columns::new(&def.key, &schema, keyed);
        Self {
            name: def.name.into(),
            key: def.key.into(),
            schema,
            columns,
            sortings: HashMap::with_hasher(keyed),
            sweep_at: FEW_SORTINGS,
            slots: Slots::default(),
            commits: 0,
            free: Vec::new(),
            ids: HashTable::new(),
            row_bytes: 0,
            changed: 0,
            replaced_bytes: 0,
            largest: 0,
            indexes: Indexes::new(keyed),
            history: History::default(),
            keyed,
        }
    }

    /// As the host has declared it, with its paths as the language writes them.
    pub(crate) fn definition(&self) -> SetDef {
        let (name, key) = (self.name.to_string(), self.key.to_string());
        SetDef { name, key, fields: self.schema.declared().collect(), strict: self.schema.is_strict() }
    }

    // --- rows ---

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Every handle is below it.
    pub(crate) fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(crate) fn row(&self, handle: u32) -> Option<&Row> {
        self.slots.row(handle)
    }

    pub(crate) fn row_by_id(&self, id: &str) -> Option<&Row> {
        self.row(self.handle(id)?)
    }

    pub(crate) fn handle(&self, id: &str) -> Option<u32> {
        self.find(self.hash_of(id), id.as_bytes(), &[])
    }

    /// All rows with their handles.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u32, &Row)> {
        self.rows_from(0)
    }

    pub(crate) fn rows_from(&self, start: u32) -> impl Iterator<Item = (u32, &Row)> {
        self.slots.from(start).filter_map(|(handle, slot)| Some((handle, slot.row.as_ref()?)))
    }

    /// All rows as they are, whatever becomes of them.
    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The number of the last commit that has changed something here.
    pub(crate) fn commits(&self) -> u64 {
        self.commits
    }

    /// Whether a row has come after a commit of this number. Should there be four billion commits between them, it may be said to have.
    pub(crate) fn is_born_after(&self, handle: u32, commit: u64) -> bool {
        let age = |born: u32| (self.commits as u32).wrapping_sub(born);
        self.slots.get(handle).is_some_and(|slot| u64::from(age(slot.born)) < self.commits - commit)
    }

    /// The rows before and after the commit whose changes these are.
    pub(crate) fn during<'a>(&'a self, changes: &'a [RowChange]) -> Rows<'a> {
        Rows { set: self, changes, moment: RowsAt::Now }
    }

    /// The rows before and after an entry of the history.
    pub(crate) fn taking(&self, entry: u64) -> Rows<'_> {
        Rows { set: self, changes: &[], moment: RowsAt::Taking(entry) }
    }

    /// The rows as they were before an entry of the history.
    pub(crate) fn before(&self, entry: u64) -> Rows<'_> {
        Rows { set: self, changes: &[], moment: RowsAt::Before(entry) }
    }

    /// Nobody needs the entries of the history before one; [`sweep`](Self::sweep) lets go of them.
    pub(crate) fn trim_history(&mut self, entry: u64) {
        self.history.trim(entry);
    }

    /// Whether there is something to [`sweep`](Self::sweep).
    pub(crate) fn has_old(&self) -> bool {
        self.history.has_old() || self.indexes.has_old()
    }

    /// Lets go of what nobody needs any more, for about `left` steps.
    pub(crate) fn sweep(&mut self, left: &mut u64) {
        self.history.sweep(left, &mut self.free);
        self.indexes.sweep(left);
        self.give_back();
    }

    /// Bytes of the largest row's JSON.
    pub(crate) fn largest_row_bytes(&self) -> usize {
        self.largest
    }

    /// Bytes of a row, on average.
    pub(crate) fn average_row_bytes(&self) -> usize {
        self.row_bytes.checked_div(self.len()).unwrap_or(0)
    }

    /// Bytes held by rows, by the table of ids and by the slots.
    pub(crate) fn row_bytes(&self) -> usize {
        self.row_bytes
            + self.slots.bytes()
            + self.free.capacity() * size_of::<u32>()
            + self.ids.capacity() * (size_of::<(u32, u32)>() + 1)
    }

    fn hash_of(&self, id: &str) -> u32 {
        hash_of(self.keyed, id)
    }

    fn find(&self, hash: u32, id: &[u8], changes: &[RowChange]) -> Option<u32> {
        let is = |(held, handle): &(u32, u32)| {
            probed();
            *held == hash && self.id_at(*handle, changes) == Some(id)
        };
        self.ids.find(spread(hash), is).map(|(_, handle)| *handle)
    }

    /// The id of a row, also of one that the commit at hand removes.
    fn id_at<'a>(&'a self, handle: u32, changes: &'a [RowChange]) -> Option<&'a [u8]> {
        let slot = self.slots.get(handle)?;
        let row = match &slot.row {
            Some(row) => row,
            None => changes.get(slot.change()?)?.before.as_ref()?,
        };
        Some(row.id_bytes())
    }

    // --- queries ---

    pub(crate) fn column(&mut self, path: &Path, reading: Reading) -> Column {
        self.columns.column(path, reading, &self.schema)
    }

    /// What a filter and an order read of this set, each once; makes nothing of it.
    pub(crate) fn reads(&self, filter: &Filter, order: &Order) -> Vec<Read> {
        let mut reads = Vec::new();
        let mut add = |path: &Path, reading| {
            reads.push((path.clone(), Columns::reading(path, reading, &self.schema)));
        };
        order.keys().for_each(|(path, _)| add(path, Reading::Plain));
        filter.expr().over_columns(&mut add);
        reads.sort_unstable();
        reads.dedup();
        reads
    }

    /// Whether no more than `max` different columns would be read if these were as well. Finds out who still reads something only
    /// where there is no room.
    pub(crate) fn has_room_for(&mut self, reads: &[Read], max: usize) -> bool {
        if self.columns.wanted_with(reads) > max {
            // Orders that nobody has any more hold columns until they are looked for.
            self.forget_unused();
        }
        self.columns.wanted_with(reads) <= max
    }

    /// How many different columns queries read.
    pub(crate) fn wanted_columns(&self) -> usize {
        self.columns.wanted()
    }

    /// Makes the columns of what is read, at once.
    pub(crate) fn add_columns(&mut self, reads: &[Read]) -> Vec<Column> {
        self.columns.add(reads, &self.schema)
    }

    /// The layout of the rows that are read from now on.
    pub(crate) fn layout(&self) -> &Arc<Layout> {
        self.columns.layout()
    }

    /// Lets go of the columns and orders that nobody has any more.
    pub(crate) fn forget_unused(&mut self) {
        self.sortings.retain(|_, sorting| Arc::strong_count(sorting) > 1);
        self.sweep_at = (self.sortings.len() * 2).max(FEW_SORTINGS);
        self.columns.forget_unused();
    }

    /// The order over this set's columns; the same for the same order while someone holds it.
    pub(crate) fn sorting(&mut self, order: &Order) -> Arc<Sorting> {
        if let Some(sorting) = self.sortings.get(order.canonical()) {
            return sorting.clone();
        }
        let keys = order
            .keys()
            .map(|(path, descending)| (self.columns.column(path, Reading::Plain, &self.schema), descending));
        let keys = keys.collect();
        self.keep(Sorting { keys, canonical: order.canonical().into() })
    }

    fn keep(&mut self, sorting: Sorting) -> Arc<Sorting> {
        if self.sortings.len() >= self.sweep_at {
            self.forget_unused();
        }
        let sorting = Arc::new(sorting);
        self.sortings.insert(sorting.canonical.clone(), sorting.clone());
        sorting
    }

    /// The order by one column, ascending.
    pub(crate) fn sorting_by(&mut self, column: &Column) -> Arc<Sorting> {
        // Two readings of one path are two orders: the spelling tells them apart, and from those of queries.
        let canonical: Arc<str> = format!("{} as {:?}", column.path(), column.reading()).into();
        if let Some(sorting) = self.sortings.get(&canonical) {
            return sorting.clone();
        }
        self.keep(Sorting { keys: Box::new([(column.clone(), false)]), canonical })
    }

    /// Makes a row hold what queries read now, so that it need not be read from its text again and again. Returns the steps that
    /// it took.
    pub(crate) fn lay_out(&mut self, handle: u32) -> u64 {
        let layout = self.columns.layout();
        let Some(row) = self.slots.row(handle).filter(|row| !row.is_laid_out(layout)) else { return 0 };
        let steps = row.json().len() as u64 / 16 + 1;
        let laid_out = row.laid_out(layout);
        self.row_bytes = self.row_bytes + laid_out.bytes() - row.bytes();
        if let Some(slot) = self.slots.get_mut(handle) {
            slot.row = Some(laid_out);
        }
        steps
    }

    // --- writes ---

    /// The layout by which rows of this set are read.
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            name: self.name.clone(),
            key: self.key.clone(),
            schema: self.schema.clone(),
            layout: self.columns.layout().clone(),
            keyed: self.keyed,
        }
    }

    /// How many rows more there would be after these writes, and which was the last that made it more.
    pub(crate) fn growth<'a>(&self, writes: impl Iterator<Item = &'a Write>) -> (isize, usize) {
        let mut there: HashMap<&str, bool, Keyed> = HashMap::with_hasher(self.keyed);
        let (mut growth, mut grown_by) = (0, 0);
        let mut is_cleared = false;
        for (place, write) in writes.enumerate() {
            let (id, is) = match write {
                Write::Put(row) => (row.id(), true),
                Write::Remove(id) => (&**id, false),
                Write::Clear => {
                    there.clear();
                    is_cleared = true;
                    growth = -(self.len() as isize);
                    continue;
                }
            };
            let was = there.insert(id, is).unwrap_or_else(|| !is_cleared && self.row_by_id(id).is_some());
            match (was, is) {
                (false, true) => (growth, grown_by) = (growth + 1, place),
                (true, false) => growth -= 1,
                (true, true) | (false, false) => {}
            }
        }
        (growth, grown_by)
    }

    /// Puts the new state in place; fills in the net changes and tells how many nodes have another value. Of several writes of
    /// one node the last counts. Until [`finish`](Self::finish) both states can be looked at.
    pub(crate) fn write(&mut self, writes: impl Iterator<Item = Write>, changes: &mut Vec<RowChange>) -> u64 {
        changes.clear();
        self.commits += 1;
        for write in writes {
            match write {
                Write::Put(row) => self.put(row, changes),
                Write::Remove(id) => self.remove(&id, changes),
                Write::Clear => self.clear(changes),
            }
        }
        let mut changed = changes.len() as u64;
        let mut kept = 0;
        for place in 0..changes.len() {
            let RowChange { handle, before, after, columns } = &mut changes[place];
            if before.is_none() && after.is_none() {
                // Came and went; its place may be another's already.
                changed -= 1;
                continue;
            }
            // Another spelling of the same value is no change, and the old one stays.
            if let (Some(before_row), Some(after)) = (&before, &after)
                && before_row.digest() == after.digest()
                && json::is_same(before_row.json(), after.json())
            {
                changed -= 1;
                if let Some(slot) = self.slots.get_mut(*handle) {
                    slot.row = before.take();
                    slot.set_change(None);
                }
                continue;
            }
            if let (Some(before), Some(after)) = (&before, &after) {
                *columns = before.differing(after);
            }
            let held = |row: &Option<Row>| row.as_ref().map_or(0, |row| row.bytes());
            self.row_bytes = self.row_bytes + held(after) - held(before);
            self.replaced_bytes += held(before) as u64;
            if kept < place {
                if let Some(slot) = self.slots.get_mut(*handle) {
                    slot.set_change(Some(kept));
                }
                changes.swap(kept, place);
            }
            kept += 1;
        }
        changes.truncate(kept);
        self.index(changes);
        changed
    }

    fn put(&mut self, row: Row, changes: &mut Vec<RowChange>) {
        let row = match row.is_laid_out(self.columns.layout()) {
            true => row,
            false => row.laid_out(self.columns.layout()),
        };
        self.largest = self.largest.max(row.json_len());
        let hash = row.id_hash();
        let Some(handle) = self.find(hash, row.id_bytes(), changes) else {
            let handle = self.free.pop().unwrap_or_else(|| self.slots.push());
            self.ids.insert_unique(spread(hash), (hash, handle), |(hash, _)| spread(*hash));
            if let Some(slot) = self.slots.get_mut(handle) {
                *slot = Slot::new(row.clone(), changes.len(), self.commits as u32);
            }
            changes.push(RowChange::new(handle, None, Some(row)));
            return;
        };
        let Some(slot) = self.slots.get_mut(handle) else { return };
        match slot.change() {
            Some(change) => {
                slot.row = Some(row.clone());
                changes[change].after = Some(row);
            }
            None => {
                slot.set_change(Some(changes.len()));
                let before = slot.row.replace(row.clone());
                changes.push(RowChange::new(handle, before, Some(row)));
            }
        }
    }

    fn remove(&mut self, id: &str, changes: &mut Vec<RowChange>) {
        let hash = self.hash_of(id);
        if let Some(handle) = self.find(hash, id.as_bytes(), changes) {
            self.take_out(hash, handle, changes);
        }
    }

    fn clear(&mut self, changes: &mut Vec<RowChange>) {
        // By handle, so that what comes of it does not follow the order of a hash table.
        let rows: Vec<(u32, u32)> = self.rows().map(|(handle, row)| (row.id_hash(), handle)).collect();
        rows.into_iter().for_each(|(hash, handle)| self.take_out(hash, handle, changes));
    }

    fn take_out(&mut self, hash: u32, handle: u32, changes: &mut Vec<RowChange>) {
        let Some(slot) = self.slots.get_mut(handle) else { return };
        let removed = slot.row.take();
        match slot.change() {
            None => {
                slot.set_change(Some(changes.len()));
                changes.push(RowChange::new(handle, removed, None));
            }
            Some(change) => {
                changes[change].after = None;
                if changes[change].before.is_none() {
                    // Came and went within one commit: as if it had never been.
                    slot.set_change(None);
                    self.forget(hash, handle);
                }
            }
        }
    }

    /// Ends a commit: only the new state is left.
    pub(crate) fn finish(&mut self, changes: &[RowChange]) {
        for RowChange { handle, before, after, .. } in changes {
            if let Some(slot) = self.slots.get_mut(*handle) {
                slot.set_change(None);
            }
            if let (Some(before), None) = (before, after) {
                self.forget(before.id_hash(), *handle);
            }
        }
        self.give_back();
    }

    /// Gives memory back where nothing refers to a handle any more.
    fn give_back(&mut self) {
        if self.ids.is_empty() && self.history.is_empty() && !self.history.has_old() {
            self.largest = 0;
            self.slots = Slots::default();
            self.free = Vec::new();
            self.ids = HashTable::new();
        }
    }

    fn forget(&mut self, hash: u32, handle: u32) {
        if let Ok(entry) = self.ids.find_entry(spread(hash), |(_, held)| *held == handle) {
            entry.remove();
        }
        if !self.history.hold(handle) {
            self.free.push(handle);
        }
    }

    fn row_before(&self, entry: u64, handle: u32) -> Option<&Row> {
        self.history.before(entry, handle).unwrap_or_else(|| self.row(handle))
    }
}

/// The rows of a set while a commit is being applied to queries, or at an entry of its history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) set: &'a Set,
    pub(crate) changes: &'a [RowChange],
    moment: RowsAt,
}

/// Which versions of the rows are meant.
#[derive(Clone, Copy, Debug)]
enum RowsAt {
    /// Those around the commit at hand.
    Now,
    /// Those around an entry of the history.
    Taking(u64),
    /// Those before an entry of the history, on both sides.
    Before(u64),
}

impl<'a> Rows<'a> {
    /// Whether the rows after the commit are those of the set now, which its indexes hold.
    pub(crate) fn are_newest(&self) -> bool {
        match self.moment {
            RowsAt::Now => true,
            RowsAt::Taking(entry) => entry + 1 == self.set.history.end(),
            RowsAt::Before(entry) => entry == self.set.history.end(),
        }
    }

    /// The number of the last commit before this one.
    pub(crate) fn commit_before(&self) -> u64 {
        let entry = |number| self.set.history.entry(number).map(|entry| entry.before);
        match self.moment {
            RowsAt::Now => self.set.commits - u64::from(!self.changes.is_empty()),
            RowsAt::Taking(number) | RowsAt::Before(number) => entry(number).unwrap_or(self.set.commits),
        }
    }

    /// As it is after the commit.
    pub(crate) fn current(&self, handle: u32) -> Option<&'a Row> {
        match self.moment {
            RowsAt::Now => self.set.row(handle),
            RowsAt::Taking(entry) => self.set.row_before(entry + 1, handle),
            RowsAt::Before(entry) => self.set.row_before(entry, handle),
        }
    }

    /// As it was before the commit.
    pub(crate) fn former(&self, handle: u32) -> Option<&'a Row> {
        if let RowsAt::Taking(entry) | RowsAt::Before(entry) = self.moment {
            return self.set.row_before(entry, handle);
        }
        let slot = self.set.slots.get(handle)?;
        match slot.change() {
            None => slot.row.as_ref(),
            Some(change) => self.changes.get(change)?.before.as_ref(),
        }
    }
}

/// A hash table looks at the high bits and at the low ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

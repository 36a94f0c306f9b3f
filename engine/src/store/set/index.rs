//! What finds rows: by a value, by an item of a list, or by their place in an order.
//!
//! No index is there from the beginning. Whoever has had to look at rows that an index would have spared says so
//! ([`Indexes::wish`]); when that has cost about what building the index costs, it is built. An index that nobody has used
//! while as many changes went by as there are rows is dropped. So the work is never much more than the best choice of
//! indexes would have made it, and a service without queries pays for none.

use std::{cmp::Ordering, mem, sync::Arc};

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use crate::{
    analysis::{Key, KeyRef},
    filter::Fields,
    order::rank,
    seed::Keyed,
    store::{
        bucket::Bucket,
        columns::Column,
        row::Row,
        set::{RowChange, Rows, Set},
        sorting::Sorting,
    },
    tree::{Entry, Tree},
    value::ValueRef,
};

/// Over fewer rows than that no index is worth having.
const WORTH_INDEXING: usize = 256;
/// An index is built when rows were looked at for want of it so many times over.
const SCANS_BEFORE_INDEX: u64 = 2;

/// So many indexes of a set at most are kept for queries that may come again; those that open queries rest on are apart.
const MAX_UNPINNED: usize = 32;

/// Where a value is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Spot {
    /// At the column.
    Whole,
    /// Among the items of the list there.
    Item,
}

/// An index that someone could use.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Values(Column, Spot),
    Order(Arc<Sorting>),
}

/// The same by what it is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Values(u32, Spot),
    Order(Arc<str>),
}

impl Wish {
    fn name(&self) -> Name {
        match self {
            Wish::Values(column, spot) => Name::Values(column.id(), *spot),
            Wish::Order(sorting) => Name::Order(sorting.canonical.clone()),
        }
    }
}

/// The indexes of one set.
#[derive(Debug)]
pub(crate) struct Indexes {
    values: Vec<ValueIndex>,
    orders: Vec<OrderIndex>,
    /// Rows looked at for want of each index.
    wished: HashMap<Name, u64, Keyed>,
    /// Changes so far: the clock by which indexes grow old.
    changes: u64,
    /// Indexes that were dropped, and that are still there.
    old: Vec<Old>,
    /// For tests: every wish is granted.
    pub(crate) eager: bool,
}

/// An index that is taken apart little by little.
#[derive(Debug)]
enum Old {
    Values(HashMap<Key, Bucket, Keyed>),
    Order(Tree),
}

/// Entries of an index that are let go of in a step.
const SWEPT_PER_STEP: u64 = 2;

/// How far an index is built, and when it was last of use.
#[derive(Debug)]
struct Life {
    /// Rows below this handle are in it; `None` when all are.
    built: Option<u32>,
    used: u64,
    /// How many need it to be there.
    pins: usize,
}

impl Life {
    fn begin(now: u64) -> Self {
        Self { built: Some(0), used: now, pins: 0 }
    }

    fn is_ready(&self) -> bool {
        self.built.is_none()
    }

    fn holds(&self, handle: u32) -> bool {
        self.built.is_none_or(|end| handle < end)
    }

    fn is_worth_keeping(&self, now: u64, rows: usize) -> bool {
        self.pins > 0 || now - self.used <= (rows + WORTH_INDEXING) as u64
    }
}

/// Rows by the value of a column, or by the items of the list there.
#[derive(Debug)]
pub(crate) struct ValueIndex {
    column: Column,
    spot: Spot,
    rows: HashMap<Key, Bucket, Keyed>,
    key_bytes: usize,
    life: Life,
}

impl ValueIndex {
    /// The rows with a value. Their order is the same on every run.
    pub(crate) fn rows(&self, key: &Key) -> Option<&Bucket> {
        self.rows.get(key)
    }

    fn insert(&mut self, row: &Row, handle: u32) {
        for key in keys(row.at(&self.column), self.spot, *self.rows.hasher()) {
            if let Some(bucket) = self.rows.get_mut(&key) {
                bucket.insert(handle);
                continue;
            }
            let key = Key::from(&key);
            self.key_bytes += key.heap_bytes();
            let mut bucket = Bucket::default();
            bucket.insert(handle);
            self.rows.insert(key, bucket);
        }
    }

    fn remove(&mut self, row: &Row, handle: u32) {
        for key in keys(row.at(&self.column), self.spot, *self.rows.hasher()) {
            let Some(bucket) = self.rows.get_mut(&key) else { continue };
            bucket.remove(handle);
            if bucket.is_empty()
                && let Some((key, _)) = self.rows.remove_entry(&key)
            {
                self.key_bytes -= key.heap_bytes();
            }
        }
    }

    fn apply(&mut self, changes: &[RowChange]) {
        let bit = self.column.bit();
        for change in changes.iter().filter(|change| !change.keeps(bit)) {
            let RowChange { handle, before, after, .. } = change;
            if !self.life.holds(*handle) {
                continue;
            }
            match (before, after) {
                (Some(before), Some(after)) if before.at(&self.column) == after.at(&self.column) => {}
                (before, after) => {
                    before.iter().for_each(|row| self.remove(row, *handle));
                    after.iter().for_each(|row| self.insert(row, *handle));
                }
            }
        }
    }

    fn bytes(&self) -> usize {
        let buckets: usize = match self.rows.len() {
            0..=1_000 => self.rows.values().map(Bucket::heap_bytes).sum(),
            _ => 0,
        };
        self.rows.capacity() * (size_of::<(Key, Bucket)>() + 1) + self.key_bytes + buckets
    }
}

/// The different keys by which a row is found, in the order in which they first come.
pub(crate) fn keys(value: ValueRef<'_>, spot: Spot, keyed: Keyed) -> SmallVec<[KeyRef<'_>; 4]> {
    match (spot, value) {
        (Spot::Whole, value) => KeyRef::of(value).into_iter().collect(),
        (Spot::Item, ValueRef::List(items)) => {
            let mut seen: HashSet<KeyRef<'_>, Keyed> = HashSet::with_hasher(keyed);
            let few = items.len() <= 8;
            let mut keys = SmallVec::new();
            for key in items.iter().filter_map(KeyRef::of) {
                let new = if few { !keys.contains(&key) } else { seen.insert(key) };
                if new {
                    keys.push(key);
                }
            }
            keys
        }
        (Spot::Item, _) => SmallVec::new(),
    }
}

/// All rows in an order.
#[derive(Debug)]
pub(crate) struct OrderIndex {
    pub(crate) sorting: Arc<Sorting>,
    pub(crate) tree: Tree,
    life: Life,
}

impl OrderIndex {
    fn apply(&mut self, rows: Rows<'_>) {
        let Self { sorting, tree, life } = self;
        let bits = sorting.keys.iter().fold(0, |bits, (column, _)| bits | column.bit());
        let stays = |change: &RowChange| match (&change.before, &change.after) {
            (Some(before), Some(after)) => change.keeps(bits) || sorting.same(before, after),
            _ => false,
        };
        // First all removals, among the rows as they were; then the rest, among the rows as they are.
        for change in rows.changes.iter().filter(|change| life.holds(change.handle)) {
            if let (Some(before), false) = (&change.before, stays(change)) {
                tree.remove(
                    sorting.prefix(before),
                    ties(sorting, before, change.handle, |row| rows.former(row)),
                );
            }
        }
        for change in rows.changes.iter().filter(|change| life.holds(change.handle)) {
            if let (Some(after), false) = (&change.after, stays(change)) {
                let entry = sorting.entry(after, change.handle);
                tree.insert(entry, ties(sorting, after, change.handle, |row| rows.current(row)));
            }
        }
    }

    /// The positions from the first row whose first key is of the range to the one behind the last. `lo` and `hi` are keys
    /// of values, both inside.
    pub(crate) fn range(&self, set: &Set, lo: u128, hi: u128) -> (usize, usize) {
        let Some((column, descending)) = self.sorting.keys.first() else { return (0, 0) };
        let key = |entry: Entry| set.row(entry.row).map_or(0, |row| rank::key(row.at(column)));
        let position =
            |is_before: &dyn Fn(u128) -> bool| self.tree.partition_point(|entry| is_before(key(entry)));
        if lo > hi {
            return (0, 0);
        }
        match descending {
            false => (position(&|key| key < lo), position(&|key| key <= hi)),
            true => (position(&|key| key > hi), position(&|key| key >= lo)),
        }
    }
}

/// Compares entries of a tree with a row of the same prefix.
pub(crate) fn ties<'a>(
    sorting: &'a Sorting,
    row: &'a Row,
    handle: u32,
    rows: impl Fn(u32) -> Option<&'a Row>,
) -> impl FnMut(Entry) -> Ordering {
    move |entry| {
        if entry.row == handle {
            return Ordering::Equal;
        }
        match rows(entry.row) {
            Some(held) => sorting.compare(held, row),
            None => entry.row.cmp(&handle),
        }
    }
}

impl Indexes {
    pub(crate) fn new(keyed: Keyed) -> Self {
        Self {
            values: Vec::new(),
            orders: Vec::new(),
            wished: HashMap::with_hasher(keyed),
            changes: 0,
            old: Vec::new(),
            eager: false,
        }
    }

    /// The index of a column's values, if it is there in full.
    pub(crate) fn values(&self, column: &Column, spot: Spot) -> Option<&ValueIndex> {
        self.values
            .iter()
            .find(|index| index.column == *column && index.spot == spot && index.life.is_ready())
    }

    /// The index of an order, if it is there in full.
    pub(crate) fn order(&self, sorting: &Sorting) -> Option<&OrderIndex> {
        let is = |index: &&OrderIndex| {
            std::ptr::eq(&*index.sorting, sorting) || index.sorting.canonical == sorting.canonical
        };
        self.orders.iter().find(|index| is(index) && index.life.is_ready())
    }

    /// An index whose first key is this column, in whatever direction.
    pub(crate) fn ordered_by(&self, column: &Column) -> Option<&OrderIndex> {
        let leads =
            |index: &&OrderIndex| index.sorting.keys.first().is_some_and(|(first, _)| first == column);
        self.orders.iter().find(|index| leads(index) && index.life.is_ready())
    }

    /// Says that an index was of use.
    pub(crate) fn used(&mut self, wish: &Wish) {
        let now = self.changes;
        if let Some(life) = self.life(&wish.name()) {
            life.used = now;
        }
    }

    /// Says that `rows` rows were looked at for want of an index. Begins to build it when that was the better choice. An
    /// index that is there was of use.
    pub(crate) fn wish(&mut self, wish: &Wish, rows: usize, of: usize) {
        let now = self.changes;
        if let Some(life) = self.life(&wish.name()) {
            life.used = now;
            return;
        }
        if of < WORTH_INDEXING && !self.eager {
            return;
        }
        // Wishes are few: they end with the columns that queries read. Should they be many, the oldest hopes go.
        if self.wished.len() >= 1_024 {
            self.wished.clear();
        }
        let wished = self.wished.entry(wish.name()).or_default();
        *wished += rows as u64;
        if *wished >= SCANS_BEFORE_INDEX * of as u64 || self.eager {
            self.begin(wish);
        }
    }

    /// Begins to build an index, unless it is there.
    pub(crate) fn begin(&mut self, wish: &Wish) {
        self.wished.remove(&wish.name());
        if self.life(&wish.name()).is_some() {
            return;
        }
        self.make_room();
        let life = Life::begin(self.changes);
        match wish {
            Wish::Values(column, spot) => self.values.push(ValueIndex {
                column: column.clone(),
                spot: *spot,
                rows: HashMap::with_hasher(*self.wished.hasher()),
                key_bytes: 0,
                life,
            }),
            Wish::Order(sorting) => {
                self.orders.push(OrderIndex { sorting: sorting.clone(), tree: Tree::default(), life });
            }
        }
    }

    /// Where there are as many as may be, the one goes that nobody has used for longest.
    fn make_room(&mut self) {
        let free = |life: &Life| (life.pins == 0).then_some(life.used);
        let values = self.values.iter().enumerate().filter_map(|(at, index)| Some((free(&index.life)?, at)));
        let orders = self.orders.iter().enumerate().filter_map(|(at, index)| Some((free(&index.life)?, at)));
        let (values, orders): (Vec<_>, Vec<_>) = (values.collect(), orders.collect());
        if values.len() + orders.len() < MAX_UNPINNED {
            return;
        }
        match (values.into_iter().min(), orders.into_iter().min()) {
            (Some(value), order) if order.is_none_or(|order| value.0 <= order.0) => {
                self.old.push(Old::Values(self.values.remove(value.1).rows));
            }
            (_, Some((_, at))) => self.old.push(Old::Order(self.orders.remove(at).tree)),
            _ => {}
        }
    }

    /// Keeps an order's index, which is there or is being built, until it is unpinned as often.
    pub(crate) fn pin(&mut self, sorting: &Sorting) {
        if let Some(life) = self.life(&Name::Order(sorting.canonical.clone())) {
            life.pins += 1;
        }
    }

    pub(crate) fn unpin(&mut self, sorting: &Sorting) {
        let now = self.changes;
        if let Some(life) = self.life(&Name::Order(sorting.canonical.clone())) {
            life.pins = life.pins.saturating_sub(1);
            life.used = now;
        }
    }

    /// Whether an index is being built.
    pub(crate) fn is_building(&self) -> bool {
        self.lives().any(|life| !life.is_ready())
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() + self.orders.len()
    }

    /// Bytes held, about.
    pub(crate) fn bytes(&self) -> usize {
        let values: usize = self.values.iter().map(ValueIndex::bytes).sum();
        let orders: usize = self.orders.iter().map(|index| index.tree.bytes()).sum();
        values + orders
    }

    /// Drops what nobody has used for long.
    pub(crate) fn expire(&mut self, rows: usize) {
        if self.lives().all(|life| life.is_worth_keeping(self.changes, rows)) {
            return;
        }
        let Self { values, orders, old, changes: now, .. } = self;
        let values = values.extract_if(.., |index| !index.life.is_worth_keeping(*now, rows));
        old.extend(values.map(|index| Old::Values(index.rows)));
        let orders = orders.extract_if(.., |index| !index.life.is_worth_keeping(*now, rows));
        old.extend(orders.map(|index| Old::Order(index.tree)));
    }

    /// Whether there is something to [`sweep`](Self::sweep).
    pub(crate) fn has_old(&self) -> bool {
        !self.old.is_empty()
    }

    /// Takes dropped indexes apart, for about `left` steps.
    pub(crate) fn sweep(&mut self, left: &mut u64) {
        while *left > 0
            && let Some(old) = self.old.last_mut()
        {
            let most = usize::try_from(left.saturating_mul(SWEPT_PER_STEP)).unwrap_or(usize::MAX);
            let (len, swept) = match old {
                Old::Values(rows) => {
                    let len = rows.len();
                    (len, rows.extract_if(|_, _| true).take(most).count())
                }
                Old::Order(tree) => {
                    let len = tree.len();
                    tree.truncate(len.saturating_sub(most));
                    (len, len - tree.len())
                }
            };
            *left = left.saturating_sub((swept as u64).div_ceil(SWEPT_PER_STEP).max(1));
            if swept == len {
                self.old.pop();
            }
        }
    }

    /// The index that is built next: from which handle on, and by which order if it is one.
    fn building(&self) -> Option<(u32, Option<Arc<Sorting>>)> {
        let values = self.values.iter().find_map(|index| Some((index.life.built?, None)));
        let order = |index: &OrderIndex| Some((index.life.built?, Some(index.sorting.clone())));
        values.or_else(|| self.orders.iter().find_map(order))
    }

    /// Builds that one on, up to a handle.
    fn build(&mut self, set: &Set, end: u32) {
        let built = Some(end).filter(|end| *end < set.end());
        if let Some(index) = self.values.iter_mut().find(|index| !index.life.is_ready()) {
            let from = index.life.built.unwrap_or(end);
            rows(set, from, end).for_each(|(handle, row)| index.insert(row, handle));
            index.life.built = built;
        } else if let Some(index) = self.orders.iter_mut().find(|index| !index.life.is_ready()) {
            let OrderIndex { sorting, tree, life } = index;
            let from = life.built.unwrap_or(end);
            let entries = rows(set, from, end).map(|(handle, row)| sorting.entry(row, handle));
            let mut entries: Vec<Entry> = entries.collect();
            if from == 0 && built.is_none() {
                // At once: cheaper sorted than inserted one by one.
                entries.sort_unstable_by(|a, b| {
                    a.prefix().cmp(&b.prefix()).then_with(|| match (set.row(a.row), set.row(b.row)) {
                        (Some(a), Some(b)) => sorting.compare(a, b),
                        _ => a.row.cmp(&b.row),
                    })
                });
                *tree = Tree::from_sorted(entries);
            } else {
                for entry in entries {
                    let Some(row) = set.row(entry.row) else { continue };
                    tree.insert(entry, ties(sorting, row, entry.row, |row| set.row(row)));
                }
            }
            life.built = built;
        }
    }

    fn life(&mut self, name: &Name) -> Option<&mut Life> {
        match name {
            Name::Values(column, spot) => {
                let is = |index: &&mut ValueIndex| index.column.id() == *column && index.spot == *spot;
                self.values.iter_mut().find(is).map(|index| &mut index.life)
            }
            Name::Order(canonical) => {
                let is = |index: &&mut OrderIndex| index.sorting.canonical == *canonical;
                self.orders.iter_mut().find(is).map(|index| &mut index.life)
            }
        }
    }

    fn lives(&self) -> impl Iterator<Item = &Life> {
        let values = self.values.iter().map(|index| &index.life);
        values.chain(self.orders.iter().map(|index| &index.life))
    }
}

/// The rows from a handle on, up to another.
fn rows(set: &Set, from: u32, end: u32) -> impl Iterator<Item = (u32, &Row)> {
    set.rows_from(from).take_while(move |(handle, _)| *handle < end)
}

impl Set {
    /// Brings the indexes up to a commit.
    pub(super) fn index(&mut self, changes: &[RowChange]) {
        self.indexes.changes += changes.len() as u64;
        let (mut values, mut orders) =
            (mem::take(&mut self.indexes.values), mem::take(&mut self.indexes.orders));
        values.iter_mut().for_each(|index| index.apply(changes));
        orders.iter_mut().for_each(|index| index.apply(self.during(changes)));
        (self.indexes.values, self.indexes.orders) = (values, orders);
    }

    /// Builds indexes on, over at most `budget` rows and for about `left` steps; returns how many rows it took.
    pub(crate) fn build_indexes(&mut self, budget: usize, left: &mut u64) -> usize {
        let mut taken = 0;
        while taken < budget
            && *left > 0
            && let Some((from, sorting)) = self.indexes.building()
        {
            let most = u32::try_from(budget - taken).unwrap_or(u32::MAX);
            let (mut end, mut spent) = (from, 0);
            while end < self.end() && end - from < most && spent < *left {
                spent += INDEX_STEPS + self.lay_out(end);
                if let (Some(sorting), Some(row)) = (&sorting, self.row(end)) {
                    spent += sorting.steps(row, row.id_bytes(), self.len());
                }
                end += 1;
            }
            let mut indexes = mem::replace(&mut self.indexes, Indexes::new(self.keyed));
            indexes.build(self, end);
            self.indexes = indexes;
            *left = left.saturating_sub(spent.max(1));
            taken += ((end - from) as usize).max(1);
        }
        taken
    }
}

/// The steps that it takes to put a row into an index.
const INDEX_STEPS: u64 = 8;

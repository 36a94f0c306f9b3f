//! The result of one live query as the client knows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::limits::SERVER_MESSAGE_NESTING;
use crate::message::{LiveQueryOptions, Members, text};
use crate::model::Etag;

/// The rows of one live query, folded from the messages so far.
///
/// Keep a clone when the connection is lost: with `resume` a new connection goes on from it (see
/// [`LiveQueryRequest::resume_from`](crate::LiveQueryRequest::resume_from)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveResult {
    key: Box<str>,
    rows: BTreeMap<Arc<str>, Held>,
    /// With `positions`: the ids in the order of the result.
    order: Option<Vec<Arc<str>>>,
    total_count: u64,
    capped: bool,
    loaded: bool,
    /// With `resume`: where a later connection can go on.
    version: Option<Box<str>>,
    /// With `resume`: how to get back to `version` from the middle of a commit.
    undo: Vec<Undo>,
}

/// A row as the client has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    data: Bytes,
    /// With `resume`.
    etag: Option<Etag>,
}

impl Held {
    pub(super) fn new(data: &[u8], etag: Option<Etag>) -> Held {
        Held { data: Bytes::copy_from_slice(data), etag }
    }
}

/// A row as it stood before one diff, and with `positions` its index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Undo {
    id: Arc<str>,
    before: Option<(Held, usize)>,
}

/// What of a server's message does not fit what it said before.
pub(super) type Misfit = String;

impl LiveResult {
    pub(super) fn new(key: &str, options: &LiveQueryOptions) -> LiveResult {
        LiveResult { key: key.into(), order: options.positions.then(Vec::new), ..LiveResult::default() }
    }

    /// The rows by node id: id and raw JSON.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Bytes)> {
        self.rows.iter().map(|(id, held)| (id, &held.data))
    }

    /// The rows in the order of the result, where the live query was created with `positions`.
    pub fn ordered(&self) -> Option<impl ExactSizeIterator<Item = (&Arc<str>, &Bytes)>> {
        let order = self.order.as_ref()?;
        // Every id in the order has a row; an impossible gap reads as empty.
        static NOTHING: Bytes = Bytes::new();
        Some(order.iter().map(|id| (id, self.row(id).unwrap_or(&NOTHING))))
    }

    /// The key field of the set, by which rows name their nodes.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// One row's raw JSON.
    pub fn row(&self, id: &str) -> Option<&Bytes> {
        self.rows.get(id).map(|held| &held.data)
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many nodes match: as of creation, and kept up to date with `counts`.
    pub fn total_count(&self) -> u64 {
        self.total_count
    }

    /// Whether more nodes match than the window holds; like [`total_count`](LiveResult::total_count).
    pub fn capped(&self) -> bool {
        self.capped
    }

    /// Whether all initial rows have come.
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// With `resume`, once loaded: the version from which a later connection can go on.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref().filter(|_| self.loaded)
    }

    /// With `resume`: the etags of the rows, in their order, from which a later connection can go on at any server. `None` where some row
    /// came without.
    pub fn etags(&self) -> Option<Vec<Etag>> {
        self.ids().iter().map(|id| self.rows.get(id)?.etag).collect()
    }

    /// The same rows for a server that does not know the version, or of another query: only the rows are gone on from.
    #[must_use]
    pub fn without_version(self) -> LiveResult {
        LiveResult { version: None, ..self.rewound() }
    }

    /// The same rows for a server that is to go on from the version alone.
    #[must_use]
    pub fn without_etags(self) -> LiveResult {
        let mut result = self.rewound();
        result.rows.values_mut().for_each(|row| row.etag = None);
        result
    }

    /// The result as it was when `version` last changed: what has come of a commit that is not complete is taken back.
    #[must_use]
    pub fn rewound(mut self) -> LiveResult {
        self.rewind();
        self
    }

    /// The ids of the rows: in the order of the result where that is known.
    fn ids(&self) -> Vec<Arc<str>> {
        self.order.clone().unwrap_or_else(|| self.rows.keys().cloned().collect())
    }

    /// The result with which a new connection goes on, under these options; `None` where it begins anew, because the places of the rows
    /// are not known.
    pub(super) fn resumed(mut self, key: &str, options: &LiveQueryOptions) -> Option<LiveResult> {
        if options.positions && self.order.is_none() {
            return None;
        }
        self.rewind();
        if !options.positions {
            self.order = None;
        }
        self.key = key.into();
        Some(self)
    }

    /// The server goes on from the rows that it was told of, except for those at these places.
    pub(super) fn kept(&mut self, drop: &[u64]) -> Result<(), Misfit> {
        let ids = self.ids();
        for place in drop {
            let id = usize::try_from(*place).ok().and_then(|place| ids.get(place));
            let gone = id.and_then(|id| self.rows.remove(id));
            gone.ok_or_else(|| format!("place {place} is not there to drop"))?;
        }
        if let Some(order) = &mut self.order {
            order.retain(|id| self.rows.contains_key(id));
        }
        (self.loaded, self.version) = (true, None);
        Ok(())
    }

    /// Goes back to the last version that was complete: a connection was cut within a commit.
    fn rewind(&mut self) {
        while let Some(Undo { id, before }) = self.undo.pop() {
            self.take(&id);
            if let Some((row, index)) = before {
                if let Some(order) = &mut self.order {
                    order.insert(index.min(order.len()), id.clone());
                }
                self.rows.insert(id, row);
            }
        }
    }

    pub(super) fn created(&mut self, total_count: u64, capped: bool, version: Option<&str>) {
        self.rows.clear();
        self.undo.clear();
        if let Some(order) = &mut self.order {
            order.clear();
        }
        self.loaded = false;
        self.version = version.map(Box::from);
        self.count(total_count, capped);
    }

    /// The server has named the key field of the set.
    pub(super) fn tell_key(&mut self, key: Option<&str>) {
        if let Some(key) = key {
            self.key = key.into();
        }
    }

    pub(super) fn count(&mut self, total_count: u64, capped: bool) {
        self.total_count = total_count;
        self.capped = capped;
    }

    /// Adds one of the initial rows.
    pub(super) fn load(&mut self, row: &[u8], etag: Option<Etag>) -> Result<(), Misfit> {
        if self.loaded {
            return Err("initial rows after the last of them".into());
        }
        let id = node_id(row, &self.key)?;
        if let Some(order) = &mut self.order {
            order.push(id.clone());
        }
        match self.rows.insert(id, Held::new(row, etag)) {
            None => Ok(()),
            Some(_) => Err("an initial row came twice".into()),
        }
    }

    pub(super) fn all_loaded(&mut self) {
        self.loaded = true;
    }

    pub(super) fn added(&mut self, id: &str, row: Held, index: Option<u64>) -> Result<(), Misfit> {
        self.check_loaded()?;
        if self.rows.contains_key(id) {
            return Err(format!("node '{id}' was added twice"));
        }
        self.put(Arc::from(id), row, index)?;
        self.log(Undo { id: Arc::from(id), before: None });
        Ok(())
    }

    pub(super) fn updated(&mut self, id: &str, row: Held, index: Option<u64>) -> Result<(), Misfit> {
        self.check_loaded()?;
        let (id, before) = self.take(id).ok_or_else(|| format!("node '{id}' is not there to update"))?;
        // Before it may fail: whoever goes on after that with another connection goes back to where it was.
        self.log(Undo { id: id.clone(), before: Some(before) });
        self.put(id, row, index)
    }

    pub(super) fn removed(&mut self, id: &str) -> Result<(), Misfit> {
        self.check_loaded()?;
        let (id, before) = self.take(id).ok_or_else(|| format!("node '{id}' is not there to remove"))?;
        self.log(Undo { id, before: Some(before) });
        Ok(())
    }

    /// After a diff: a new version means that its commit is complete.
    pub(super) fn reached(&mut self, version: Option<&str>) {
        if version.is_some() && version != self.version.as_deref() {
            self.version = version.map(Box::from);
            self.undo.clear();
        }
    }

    fn log(&mut self, undo: Undo) {
        if self.version.is_some() {
            self.undo.push(undo);
        }
    }

    fn check_loaded(&self) -> Result<(), Misfit> {
        if self.loaded { Ok(()) } else { Err("a diff before the last initial row".into()) }
    }

    fn put(&mut self, id: Arc<str>, row: Held, index: Option<u64>) -> Result<(), Misfit> {
        if let Some(order) = &mut self.order {
            let index = index.and_then(|index| usize::try_from(index).ok());
            match index.filter(|index| *index <= order.len()) {
                Some(index) => order.insert(index, id.clone()),
                None => return Err(format!("node '{id}' has no index within the window")),
            }
        }
        self.rows.insert(id, row);
        Ok(())
    }

    /// Takes a row out, with its index (0 without `positions`).
    fn take(&mut self, id: &str) -> Option<(Arc<str>, (Held, usize))> {
        let (id, row) = self.rows.remove_entry(id)?;
        let index = match &mut self.order {
            Some(order) => {
                let index = order.iter().position(|other| *other == id)?;
                order.remove(index);
                index
            }
            None => 0,
        };
        Some((id, (row, index)))
    }
}

/// "`nodeId` is always text; a key that is an integer has its decimal form."
fn node_id(row: &[u8], key: &str) -> Result<Arc<str>, Misfit> {
    let missing = || format!("a row without its key field '{key}'");
    let row = std::str::from_utf8(row).map_err(|_| missing())?;
    let members = Members::read(row, &[key], SERVER_MESSAGE_NESTING).map_err(|_| missing())?;
    let piece = members.piece(key).ok_or_else(missing)?;
    match text(piece) {
        Some(id) => Ok(Arc::from(&*id)),
        None if piece == "-0" => Ok(Arc::from("0")),
        None => Ok(Arc::from(piece)),
    }
}

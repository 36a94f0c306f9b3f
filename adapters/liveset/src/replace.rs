//! The whole new content of a set, gathered next to it and shown in one commit.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use liveset_core::{Query, SetStatus};
use liveset_engine::{Op, OpProblem, ReadRow, RowReader};
use thiserror::Error;

use crate::commit::{CommitError, Committed};
use crate::handle::Liveset;
use crate::json::IntoJson;
use crate::query::QueryError;
use crate::shared::{NotDone, Origin, Seen};
use crate::source::Source;

/// The whole new content of a set, which is gathered next to it; made by [`Liveset::replace`] and [`Source::replace`].
///
/// Until it is finished everybody sees the old content, and other commits to the set are refused with
/// [`Conflict::Replaced`](crate::Conflict::Replaced). Who drops it has changed nothing. If another one begins for the same set, this one
/// ends.
pub struct Replacement {
    liveset: Liveset,
    origin: Origin,
    set: Arc<str>,
    number: u64,
    reader: RowReader,
    rows: HashMap<Box<str>, ReadRow>,
    /// The ids of rows that were put into the set already.
    mixed: HashSet<Box<str>>,
    /// What both are counted as.
    bytes: u64,
    may_mix: bool,
    is_mixed: bool,
}

/// A row of a new content was not taken, or the content was not shown.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// There is no set of that name.
    #[error("unknown set '{0}'")]
    UnknownSet(Arc<str>),
    /// The row is none of the set. Nothing was gathered of it.
    #[error(transparent)]
    Row(OpProblem),
    /// A row could not be written as JSON.
    #[error("a row cannot be written as JSON: {0}")]
    Json(serde_json::Error),
    /// The rows that are being gathered for all sets take more than `HubLimits::replace_bytes`.
    #[error(
        "set '{set}': its new content takes more than the {max} bytes that are left to gather (hub.replace_bytes)"
    )]
    TooLarge {
        /// The name of the set.
        set: Arc<str>,
        /// The limit.
        max: u64,
    },
    /// Another replacement of the set has begun.
    #[error("set '{0}': another replacement of its content has begun")]
    Superseded(Arc<str>),
    /// The commit was not made; see [`CommitError`].
    #[error(transparent)]
    Commit(CommitError),
    /// The old content could not be read.
    #[error(transparent)]
    Read(QueryError),
}

impl Liveset {
    /// Begins to gather the whole new content of a set: what is to be there when it is [finished](Replacement::finish), and nothing else.
    /// Clients then get the net difference, as of one commit.
    ///
    /// ```
    /// use liveset::{Liveset, Query, SetDef};
    /// use serde_json::json;
    ///
    /// let liveset = Liveset::builder().set(SetDef::new("prices")).build()?;
    /// liveset.commit(|tx| (0..100).for_each(|id| tx.upsert("prices", &json!({ "id": id, "price": 1 }))))?;
    /// let mut new = liveset.replace("prices")?;
    /// for id in 1..=100 {
    ///     new.push(&json!({ "id": id, "price": 1 }))?;
    /// }
    /// let done = new.finish()?;
    /// assert_eq!(done.changed, 2, "0 has gone, 100 has come");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// There is no such set, or it belongs to a [source](Source).
    pub fn replace(&self, set: impl Into<Arc<str>>) -> Result<Replacement, ReplaceError> {
        Replacement::begin(self, Origin::Host, set.into())
    }
}

impl Source {
    /// Begins to gather the whole new content of a set of this source, as [`Liveset::replace`] does for one of the host. The source's
    /// position stays, unless the content is [up to a later one](Replacement::up_to).
    ///
    /// # Errors
    ///
    /// There is no such set, or it is not of this source.
    pub fn replace(&self, set: impl Into<Arc<str>>) -> Result<Replacement, ReplaceError> {
        Replacement::begin(self.liveset(), self.origin(0), set.into())
    }
}

impl Replacement {
    fn begin(liveset: &Liveset, origin: Origin, set: Arc<str>) -> Result<Self, ReplaceError> {
        let shared = &liveset.shared;
        shared
            .sources
            .check(origin, &[Op::Clear { set: set.clone() }])
            .map_err(|reason| ReplaceError::Commit(reason.into()))?;
        let begun = shared.look(|hub| {
            hub.definition(&set)?;
            Some((shared.sources.begin_replacement(&set), hub.row_reader([&*set])))
        });
        let (number, reader) = begun.ok_or_else(|| ReplaceError::UnknownSet(set.clone()))?;
        Ok(Self {
            liveset: liveset.clone(),
            origin,
            set,
            number,
            reader,
            rows: HashMap::new(),
            mixed: HashSet::new(),
            bytes: 0,
            may_mix: false,
            is_mixed: false,
        })
    }

    /// Adds a row. Of several with one key the last counts. O(its bytes).
    ///
    /// # Errors
    ///
    /// The row is none of the set, there is no room, or another replacement of the set has begun. What was gathered before stays.
    pub fn push(&mut self, row: impl IntoJson) -> Result<(), ReplaceError> {
        let shared = &self.liveset.shared;
        let json = row.into_json().map_err(ReplaceError::Json)?;
        let row = self.reader.read_row(&self.set, &json).map_err(ReplaceError::Row)?;
        if !shared.sources.is_replaced_by(&self.set, self.number) {
            return Err(ReplaceError::Superseded(self.set.clone()));
        }
        let (max, more) = (shared.sizes.replace_bytes, bytes(&row));
        let less = self.rows.get(row.id()).map_or(0, bytes);
        let has_room = shared.sources.gather(more, less, max);
        if !has_room && !self.may_mix {
            return Err(ReplaceError::TooLarge { set: self.set.clone(), max });
        }
        if has_room {
            self.bytes = self.bytes + more - less;
        }
        self.rows.insert(row.id().into(), row);
        if !has_room {
            self.mix()?;
        }
        Ok(())
    }

    /// How many rows there are so far.
    pub fn len(&self) -> usize {
        self.rows.len() + self.mixed.iter().filter(|id| !self.rows.contains_key(*id)).count()
    }

    /// Whether there are none: finished like that, it leaves the set empty.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.mixed.is_empty()
    }

    /// Says up to which position of its source the new content is: the source is there when it is finished, unless it is further already.
    /// Of a set of the host it means nothing.
    pub fn up_to(&mut self, position: u64) {
        if let Origin::Source { position: up_to, .. } = &mut self.origin {
            *up_to = position;
        }
    }

    /// Where the rows of all contents take more than `HubLimits::replace_bytes`, those of this one are put into the set as they come
    /// instead of being refused, and what is to go goes when it is finished. **Clients see a mixture** of both contents then, and the set
    /// is `stale` until it is finished; for good if that never happens.
    pub fn allow_mixture(&mut self) {
        self.may_mix = true;
    }

    /// Shows the new content in place of the old, in one commit, and lets others commit to the set again. Where there is a
    /// [storage](crate::Storage) it waits for it, with the thread.
    ///
    /// Both contents are compared without a lock on anything; the commit costs what differs, which is at most
    /// `EngineLimits::max_ops_per_commit` rows.
    ///
    /// # Errors
    ///
    /// Another replacement or another history of the source has begun, or the commit is refused. The old content stays.
    pub fn finish(mut self) -> Result<Committed, ReplaceError> {
        let ops = self.difference()?;
        let done = self.commit(ops)?;
        if std::mem::take(&mut self.is_mixed) {
            // Of a set that is there.
            let _ = self.liveset.set_status(&self.set, SetStatus::Live);
        }
        Ok(done)
    }

    /// Puts into the set what was gathered so far.
    fn mix(&mut self) -> Result<(), ReplaceError> {
        let rows = std::mem::take(&mut self.rows);
        let ops = rows.values().cloned().map(Op::Put).collect();
        self.is_mixed = true;
        let shared = &self.liveset.shared;
        let is_live = shared.look(|hub| *hub.status(&self.set) == SetStatus::Live);
        if is_live {
            let since = liveset_engine::Timestamp::from(std::time::SystemTime::now()).to_string().into();
            let _ = self.liveset.set_status(&self.set, SetStatus::Stale { since });
        }
        self.commit(ops)?;
        let kept = rows.keys().map(|id| id_bytes(id)).sum::<u64>();
        self.mixed.extend(rows.into_keys());
        shared.sources.gather(0, self.bytes.saturating_sub(kept), 0);
        self.bytes = self.bytes.min(kept);
        Ok(())
    }

    fn commit(&self, ops: Vec<Op>) -> Result<Committed, ReplaceError> {
        let seen = Seen { replacement: Some(self.number), ..Seen::default() };
        let done = match self.origin {
            Origin::Host => self.liveset.commit_ops(None, ops, &seen),
            Origin::Source { .. } => self.liveset.commit_at_once(None, ops, &seen, self.origin),
        };
        match done {
            Ok(done) => Ok(Committed::new(done, ())),
            Err(NotDone::Replaced { .. } | NotDone::Skipped) => {
                Err(ReplaceError::Superseded(self.set.clone()))
            }
            Err(reason) => Err(ReplaceError::Commit(reason.into())),
        }
    }

    /// What makes the new content of the old one. The set stays as it is meanwhile.
    fn difference(&self) -> Result<Vec<Op>, ReplaceError> {
        // Commits that came before it may still have to be stored.
        self.liveset.shared.wait_for_those_before();
        let mut ops = Vec::new();
        let mut same = HashSet::new();
        let mut scan = self.liveset.scan(Query::new(&*self.set)).map_err(ReplaceError::Read)?;
        while let Some(piece) = scan.next(ROWS_AT_ONCE).map_err(ReplaceError::Read)? {
            for old in piece {
                match self.rows.get_key_value(old.id()) {
                    Some((id, new)) if new.json() == old.json() => drop(same.insert(&**id)),
                    None if !self.mixed.contains(old.id()) => {
                        ops.push(Op::Remove { set: self.set.clone(), id: old.id().to_owned() });
                    }
                    _ => {}
                }
            }
        }
        let new = self.rows.iter().filter(|(id, _)| !same.contains(&***id));
        ops.extend(new.map(|(_, row)| Op::Put(row.clone())));
        Ok(ops)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        let sources = &self.liveset.shared.sources;
        sources.end_replacement(&self.set, self.number);
        sources.gather(0, self.bytes, 0);
    }
}

impl fmt::Debug for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { set, rows, bytes, .. } = self;
        f.debug_struct("Replacement")
            .field("set", set)
            .field("rows", &rows.len())
            .field("bytes", bytes)
            .finish_non_exhaustive()
    }
}

fn bytes(row: &ReadRow) -> u64 {
    (ROW_BYTES + row.json().len() + row.id().len()) as u64 + id_bytes(row.id())
}

fn id_bytes(id: &str) -> u64 {
    (ID_BYTES + id.len()) as u64
}

/// What a row takes besides its texts, about.
const ROW_BYTES: usize = 112;
/// What an id in a table takes besides its text.
const ID_BYTES: usize = 48;
const ROWS_AT_ONCE: usize = 1_000;

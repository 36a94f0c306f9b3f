//! One live query that the owner accepted: what of it the client still has to be told.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::backlog::Backlog;
use super::positions::Positions;
use crate::limits::SessionLimits;
use crate::message::{LiveQueryOptions, Raw, ServerMessage, text_len};
use crate::model::{Batch, Change, Count, Row, Snapshot};
use crate::version::VersionCode;

/// The initial rows, then the diffs, each produced when the transport can take it.
#[derive(Debug)]
pub(super) struct Stream {
    load: Load,
    backlog: Backlog,
    /// Count and cap after all that was pushed.
    latest: Count,
    /// Count and cap as the client knows them.
    sent: Count,
    positions: Option<Positions>,
    /// With `resume`: the version to which the client can come back.
    version: Option<Box<str>>,
    /// How versions are written.
    mark: VersionCode,
    /// What the live query's id adds to each change, as it is written.
    id_bytes: usize,
}

/// The initial rows. Diffs wait behind them.
#[derive(Debug)]
enum Load {
    /// So many rows of a snapshot were sent.
    Sending { snapshot: Arc<Snapshot>, sent: usize, bytes: usize },
    /// All were.
    Done,
}

/// When a stream gets to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has nothing to send.
    Never,
    /// It sends what a commit, or a moment of time, of this version has changed: behind all that is of earlier ones.
    InLine(u64),
    /// It sends first rows or a fold, which are of no one commit.
    Anytime,
}

impl Stream {
    /// A stream that begins with the rows of a snapshot.
    pub(super) fn loading(
        id: &str,
        snapshot: Arc<Snapshot>,
        mark: VersionCode,
        options: &LiveQueryOptions,
    ) -> Stream {
        let count = snapshot.count;
        Stream {
            backlog: Backlog::empty(),
            latest: count,
            sent: count,
            positions: options.positions.then(|| Positions::of(&snapshot)),
            version: options.resume.then(|| mark.text(snapshot.version, options.positions)),
            mark,
            load: Load::Sending { bytes: snapshot.bytes(), snapshot, sent: 0 },
            id_bytes: text_len(id),
        }
    }

    /// A stream whose client has the result of the version `since`, and is to be [sent](Self::push) `batch`, which led to `window`.
    pub(super) fn resuming(
        id: &str,
        since: Box<str>,
        batch: &Batch,
        window: &Snapshot,
        mark: VersionCode,
        options: &LiveQueryOptions,
    ) -> Stream {
        let count = batch.count.unwrap_or(window.count);
        Stream {
            load: Load::Done,
            backlog: Backlog::empty(),
            latest: count,
            sent: count,
            positions: options.positions.then(|| Positions::before(batch, window)),
            version: options.resume.then(|| match batch.changes.is_empty() {
                true => mark.text(window.version, options.positions),
                false => since,
            }),
            mark,
            id_bytes: text_len(id),
        }
    }

    /// The client has come to `version` by other ways.
    pub(super) fn told(&mut self, version: u64) {
        if let Some(known) = &mut self.version {
            *known = self.mark.text(version, self.positions.is_some());
        }
    }

    /// Drops what was not sent, and makes of `window`, the result after all that was pushed, what the client has. Where it was
    /// being sent its first rows, they end with those that it has.
    pub(super) fn suspend(&mut self, window: Snapshot) -> Snapshot {
        let had = match std::mem::replace(&mut self.load, Load::Done) {
            Load::Sending { snapshot, sent, .. } => {
                let rows = snapshot.rows.get(..sent).unwrap_or_default().to_vec();
                let had = Snapshot { rows, ..*snapshot };
                self.load = Load::Sending { snapshot: Arc::new(had.clone()), sent, bytes: 0 };
                self.positions = self.positions.take().map(|_| Positions::of(&had));
                had
            }
            Load::Done => {
                let unsent = self.backlog.drain();
                let is_unsent: BTreeSet<&str> = unsent.iter().map(Change::id).collect();
                let mut rows = window.rows;
                rows.retain(|row| !is_unsent.contains(row.id()));
                rows.extend(unsent.iter().filter_map(Change::before).cloned());
                rows.sort_by(Row::by_place);
                Snapshot { rows, ..window }
            }
        };
        self.backlog = Backlog::empty();
        self.latest = self.sent;
        had
    }

    /// The versions that follow are written in another way; the one that the client has stays what it is. Only for a stream that was
    /// suspended: no version of what it was is told under the new mark.
    pub(super) fn moved(&mut self, mark: VersionCode) {
        self.mark = mark;
    }

    /// That version as the client was told it.
    pub(super) fn version_text(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The last version that the client was told.
    pub(super) fn version(&self) -> Option<u64> {
        Some(self.mark.read(self.version.as_deref()?)?.0)
    }

    /// Adds the next batch, which is of the commit of that version. Adds the changes that were folded to `folded`.
    pub(super) fn push(
        &mut self,
        batch: Arc<Batch>,
        commit: u64,
        options: &LiveQueryOptions,
        limits: &SessionLimits,
        folded: &mut u64,
    ) {
        let count = batch.count.unwrap_or(self.latest);
        let is_news = !batch.changes.is_empty() || (options.counts && count != self.latest);
        self.latest = count;
        if is_news {
            self.backlog.push(batch, commit, limits.backlog_changes, folded);
            self.trim(options);
        }
    }

    /// Folds what waits, if anything does, to make room.
    pub(super) fn shrink(&mut self, options: &LiveQueryOptions, folded: &mut u64) {
        if self.bytes() > 0 {
            self.backlog.fold(folded);
            self.unfold_if_told(options);
        }
    }

    /// A fold that has come to nothing is over.
    fn unfold_if_told(&mut self, options: &LiveQueryOptions) {
        if let Backlog::Folded(pending) = &self.backlog
            && pending.is_empty()
            && !(options.counts && self.latest != self.sent)
        {
            self.backlog = Backlog::empty();
        }
    }

    /// When it gets to send.
    pub(super) fn turn(&self) -> Turn {
        match (&self.load, &self.backlog) {
            (Load::Sending { .. }, _) | (Load::Done, Backlog::Folded(_)) => Turn::Anytime,
            (Load::Done, Backlog::Waiting(queue)) => queue.first().map_or(Turn::Never, Turn::InLine),
        }
    }

    /// Changes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.backlog.changes()
    }

    /// Bytes of the changes that wait, each with the id of the live query.
    pub(super) fn bytes(&self) -> usize {
        self.backlog.bytes() + self.waiting() * self.id_bytes
    }

    /// Bytes of a batch as [`bytes`](Self::bytes) would count it.
    pub(super) fn bytes_of(&self, batch: &Batch) -> usize {
        batch.bytes() + batch.changes.len() * self.id_bytes
    }

    /// What the snapshot weighs whose rows are being sent.
    pub(super) fn load_bytes(&self) -> usize {
        match self.load {
            Load::Sending { bytes, .. } => bytes,
            Load::Done => 0,
        }
    }

    /// Appends the next message, if there is something to send.
    pub(super) fn transmit(
        &mut self,
        id: &str,
        options: &LiveQueryOptions,
        limits: &SessionLimits,
        out: &mut Vec<u8>,
    ) -> bool {
        if let Load::Sending { snapshot, sent, .. } = &mut self.load {
            *sent = write_chunk(id, snapshot, *sent, limits, out);
            if *sent == snapshot.rows.len() {
                self.load = Load::Done;
            }
            return true;
        }
        if let Some((change, told)) = self.backlog.pop() {
            // A connection that is cut within a commit must not lose the rest of it: only the commit's last
            // diff carries its version, those before it the version before.
            if let Some(version) = told {
                if options.resume {
                    self.version = Some(self.mark.text(version, options.positions));
                }
                self.trim(options);
            }
            self.write_change(id, &change, options, out);
            return true;
        }
        let Some(count) = self.count_to_tell(options) else { return false };
        self.sent = count;
        self.trim(options);
        let Count { total: total_count, capped } = count;
        ServerMessage::LiveQueryCount { id: Cow::Borrowed(id), total_count, capped }.write(out);
        true
    }

    /// Takes away what has nothing more to tell.
    fn trim(&mut self, options: &LiveQueryOptions) {
        while self.count_to_tell(options).is_none()
            && let Backlog::Waiting(queue) = &mut self.backlog
            && queue.drop_sent()
        {}
        self.unfold_if_told(options);
    }

    /// The count that is to be told when the diffs of the first batch, or of the fold, were all sent: once for a commit, also where
    /// time passed before it.
    fn count_to_tell(&self, options: &LiveQueryOptions) -> Option<Count> {
        let count = match &self.backlog {
            Backlog::Waiting(queue) => queue.count()?,
            Backlog::Folded(_) => self.latest,
        };
        (options.counts && count != self.sent).then_some(count)
    }

    fn write_change(&mut self, id: &str, change: &Change, options: &LiveQueryOptions, out: &mut Vec<u8>) {
        if let (Some(positions), Some(before)) = (&mut self.positions, change.before()) {
            positions.remove(before.order_key());
        }
        let index = match (&mut self.positions, change.after()) {
            (Some(positions), Some(after)) => Some(positions.insert(after.order_key())),
            _ => None,
        };
        change.message(id, index, options.reasons, self.version.as_deref()).write(out);
    }
}

/// Writes the chunk that begins at row `from`, and returns where the next one begins: "at most 200 rows and
/// about 64 KiB (at least one row)".
fn write_chunk(
    id: &str,
    snapshot: &Snapshot,
    from: usize,
    limits: &SessionLimits,
    out: &mut Vec<u8>,
) -> usize {
    let rows = snapshot.rows.get(from..).unwrap_or_default();
    let mut data: Vec<Raw<'_>> = Vec::new();
    let mut bytes = 0;
    for row in rows.iter().take(limits.chunk_rows.max(1)) {
        bytes += row.json().len();
        if bytes > limits.chunk_bytes && !data.is_empty() {
            break;
        }
        data.push(Raw(row.json()));
    }
    let next = from + data.len();
    let has_more = next < snapshot.rows.len();
    ServerMessage::LiveQueryData { id: Cow::Borrowed(id), data, has_more, capped: snapshot.count.capped }
        .write(out);
    next
}

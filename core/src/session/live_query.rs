//! One live query that the owner accepted: what of it the client still has to be told.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::backlog::Backlog;
use super::positions::Positions;
use crate::diffs::Told;
use crate::fold::Pending;
use crate::limits::SessionLimits;
use crate::message::{LiveQueryOptions, Raw, ServerMessage, text_len};
use crate::model::{Batch, Change, Count, Row, Snapshot};
use crate::version::VersionCode;

/// The initial rows, then the diffs, each produced when the transport can take it.
#[derive(Debug)]
pub(super) struct Stream {
    load: Load,
    /// What was closed as one step together with what other live queries had to send, and goes first.
    step: Option<Box<Pending>>,
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
    /// It was suspended, and not moved since.
    is_suspended: bool,
    /// A fold has come to nothing: what the client has is that of a later version now.
    has_skipped: bool,
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
    /// It sends first rows.
    Load,
    /// It sends a fold, which is of no one commit.
    Fold,
    /// It sends its part of a step.
    Step,
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
            step: None,
            backlog: Backlog::empty(),
            latest: count,
            sent: count,
            positions: options.positions.then(|| Positions::of(&snapshot)),
            version: options.resume.then(|| mark.text(snapshot.version, options.positions)),
            mark,
            load: Load::Sending { bytes: snapshot.bytes(), snapshot, sent: 0 },
            id_bytes: text_len(id),
            is_suspended: false,
            has_skipped: false,
        }
    }

    /// A stream whose client has the result of the version `since`, or rows that are of no version, and is to be [sent](Self::push)
    /// `batch`, which led to `window`.
    pub(super) fn resuming(
        id: &str,
        since: Option<Box<str>>,
        batch: &Batch,
        window: &Snapshot,
        mark: VersionCode,
        options: &LiveQueryOptions,
    ) -> Stream {
        let count = batch.count.unwrap_or(window.count);
        Stream {
            load: Load::Done,
            step: None,
            backlog: Backlog::empty(),
            latest: count,
            sent: count,
            positions: options.positions.then(|| Positions::before(batch, window)),
            version: match batch.changes.is_empty() {
                true => options.resume.then(|| mark.text(window.version, options.positions)),
                false => since,
            },
            mark,
            id_bytes: text_len(id),
            is_suspended: false,
            has_skipped: false,
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
                let step = self.step.take().map_or_else(Pending::new, |step| *step);
                let unsent =
                    std::mem::replace(&mut self.backlog, Backlog::empty()).onto(step).drain().changes;
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
        self.is_suspended = true;
        had
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.is_suspended
    }

    /// The versions that follow are written in another way; the one that the client has stays what it is. Only for a stream that was
    /// suspended: no version of what it was is told under the new mark.
    pub(super) fn moved(&mut self, mark: VersionCode) {
        self.is_suspended = false;
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

    /// Closes what waits, if anything does, as its part of a step: what comes from now on is sent behind it. Adds the changes that were
    /// folded to `folded`. Not while first rows are being sent.
    pub(super) fn close_step(&mut self, options: &LiveQueryOptions, folded: &mut u64) {
        if !matches!(self.load, Load::Done) || matches!(self.turn(), Turn::Never) {
            return;
        }
        self.backlog.fold(folded);
        let backlog = std::mem::replace(&mut self.backlog, Backlog::empty());
        self.step = Some(Box::new(backlog.onto(Pending::new())));
        self.trim(options);
    }

    /// A fold that has come to nothing is over.
    fn unfold_if_told(&mut self, options: &LiveQueryOptions) {
        // The count is that which the client knows behind the step.
        let known = self.step.as_ref().and_then(|step| step.count()).unwrap_or(self.sent);
        if let Backlog::Folded(pending) = &self.backlog
            && pending.is_empty()
            && !(options.counts && self.latest != known)
        {
            self.backlog = Backlog::empty();
            self.has_skipped = true;
        }
    }

    /// Whether what the client has became that of a later version without a message, since this was last asked.
    pub(super) fn take_skipped(&mut self) -> bool {
        std::mem::take(&mut self.has_skipped)
    }

    /// When it gets to send.
    pub(super) fn turn(&self) -> Turn {
        match (&self.load, &self.step, &self.backlog) {
            (Load::Sending { .. }, ..) => Turn::Load,
            (Load::Done, Some(_), _) => Turn::Step,
            (Load::Done, None, Backlog::Folded(_)) => Turn::Fold,
            (Load::Done, None, Backlog::Waiting(queue)) => queue.first().map_or(Turn::Never, Turn::InLine),
        }
    }

    /// What the client is shown a part of by what is sent next: the version of the first rows, or the commit of the first batch.
    pub(super) fn next_version(&self) -> Option<u64> {
        match (&self.load, &self.step, &self.backlog) {
            (Load::Sending { snapshot, .. }, ..) => Some(snapshot.version),
            (Load::Done, None, Backlog::Waiting(queue)) => queue.commit(),
            (Load::Done, ..) => None,
        }
    }

    /// Changes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.backlog.changes() + self.step.as_ref().map_or(0, |step| step.len())
    }

    /// Bytes of the changes that wait, each with the id of the live query.
    pub(super) fn bytes(&self) -> usize {
        let step = self.step.as_ref().map_or(0, |step| step.bytes());
        self.backlog.bytes() + step + self.waiting() * self.id_bytes
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
            *sent = write_chunk(id, snapshot, *sent, options.resume, limits, out);
            if *sent == snapshot.rows.len() {
                self.load = Load::Done;
            }
            return true;
        }
        let next = match &mut self.step {
            Some(step) => step.pop().map(|change| (change, step.is_empty().then(|| step.version()))),
            None => self.backlog.pop(),
        };
        if let Some((change, told)) = next {
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
        if self.step.as_ref().is_some_and(|step| step.is_empty()) && self.count_to_tell(options).is_none() {
            self.step = None;
        }
        while self.step.is_none()
            && self.count_to_tell(options).is_none()
            && let Backlog::Waiting(queue) = &mut self.backlog
            && queue.drop_sent()
        {}
        self.unfold_if_told(options);
    }

    /// The count that is to be told when the diffs of the first batch, or of the fold, were all sent: once for a commit, also where
    /// time passed before it.
    fn count_to_tell(&self, options: &LiveQueryOptions) -> Option<Count> {
        let count = match (&self.step, &self.backlog) {
            (Some(step), _) => step.count()?,
            (None, Backlog::Waiting(queue)) => queue.count()?,
            (None, Backlog::Folded(_)) => self.latest,
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
        let LiveQueryOptions { reasons, resume, .. } = *options;
        change.message(id, Told { index, reasons, resume, version: self.version.as_deref() }).write(out);
    }
}

/// Writes the chunk that begins at row `from`, and returns where the next one begins: "at most 200 rows and
/// about 64 KiB (at least one row)".
fn write_chunk(
    id: &str,
    snapshot: &Snapshot,
    from: usize,
    resume: bool,
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
    let etags = resume.then(|| rows.iter().take(data.len()).map(Row::etag).collect());
    let capped = snapshot.count.capped;
    ServerMessage::LiveQueryData { id: Cow::Borrowed(id), data, etags, has_more, capped }.write(out);
    next
}

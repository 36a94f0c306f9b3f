//! Diffs written once for everyone who watches.

use crate::message::{ObjectWriter, write_text};
use crate::model::{Batch, Change};
use crate::version::VersionCode;

/// The messages of one batch, written once for all live queries of a result that have sent everything before it: "each
/// connection's message differs only in its own id around shared bytes".
///
/// A message is three pieces, one behind the other: its type, the id of the live query (see
/// [`id_text`](Diffs::id_text)), and the rest. They are, byte for byte, what [`Session::poll_transmit`](crate::Session::poll_transmit)
/// would write for a live query without `positions` and `counts`.
///
/// ```
/// use liveset_core::Diffs;
/// use liveset_core::model::{Batch, Change, Row};
///
/// let added = Change::Added { row: Row::new("n1", "{\"n\":1}", "n1"), reason: None };
/// let batch = Batch { version: 7, count: None, changes: vec![added] };
///
/// let diffs = Diffs::new(&batch, false, None);
/// let id = Diffs::id_text("my-query");
/// let message = diffs.messages(&id).next().expect("one change").concat();
/// assert_eq!(message, br#"{"type":"liveQueryAddedNode","id":"my-query","nodeId":"n1","data":{"n":1}}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diffs {
    /// The last pieces, one behind the other.
    text: Vec<u8>,
    /// Of each message, its first piece and where its last one ends.
    pieces: Vec<(&'static [u8], usize)>,
    /// Bytes of all first pieces.
    head_bytes: usize,
}

/// What stands in the `version` of the messages of a batch, for live queries with `resume`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiffVersions<'a> {
    /// How versions of the result are written.
    pub mark: &'a VersionCode,
    /// To which version the client has come before the batch: a batch that is cut in the middle takes it no further.
    pub before: u64,
}

impl Diffs {
    /// Writes the messages of a batch: with the reasons of its changes or without, and with versions where they are given.
    /// Costs the bytes written.
    pub fn new(batch: &Batch, reasons: bool, versions: Option<DiffVersions<'_>>) -> Diffs {
        let mut diffs =
            Diffs { text: Vec::new(), pieces: Vec::with_capacity(batch.changes.len()), head_bytes: 0 };
        let (before, after) = match versions {
            Some(DiffVersions { mark, before }) => {
                (Some(mark.text(before, false)), Some(mark.text(batch.version, false)))
            }
            None => (None, None),
        };
        for (index, change) in batch.changes.iter().enumerate() {
            let last = index + 1 == batch.changes.len();
            diffs.push(change, reasons, if last { after.as_deref() } else { before.as_deref() });
        }
        diffs
    }

    fn push(&mut self, change: &Change, reasons: bool, version: Option<&str>) {
        let (head, reason): (&'static [u8], _) = match change {
            Change::Added { reason, .. } => (ADDED, reason.map(|reason| reason.as_str(true))),
            Change::Updated { .. } => (UPDATED, None),
            Change::Removed { reason, .. } => (REMOVED, reason.map(|reason| reason.as_str(false))),
        };
        let mut rest = ObjectWriter::go_on(&mut self.text);
        rest.text("nodeId", change.id());
        if let Some(row) = change.after() {
            rest.raw("data", row.json());
        }
        rest.maybe_text("reason", reason.filter(|_| reasons));
        rest.maybe_text("version", version);
        rest.end();
        self.head_bytes += head.len();
        self.pieces.push((head, self.text.len()));
    }

    /// The id of a live query as it stands in its messages.
    pub fn id_text(id: &str) -> String {
        let mut text = Vec::with_capacity(id.len() + 2);
        write_text(&mut text, id);
        // Quotes and escapes are put between whole characters.
        String::from_utf8(text).unwrap_or_default()
    }

    /// How many messages it is.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there is nothing to be told.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes of all messages, for a live query whose [`id_text`](Diffs::id_text) has so many.
    pub fn bytes(&self, id_bytes: usize) -> usize {
        self.head_bytes + self.text.len() + self.pieces.len() * id_bytes
    }

    /// The messages for one live query, each in three pieces, in the order in which they are to be sent.
    pub fn messages<'a>(&'a self, id_text: &'a str) -> impl ExactSizeIterator<Item = [&'a [u8]; 3]> {
        let mut from = 0;
        self.pieces.iter().map(move |(head, end)| {
            let rest = &self.text[from..*end];
            from = *end;
            [*head, id_text.as_bytes(), rest]
        })
    }
}

const ADDED: &[u8] = br#"{"type":"liveQueryAddedNode","id":"#;
const UPDATED: &[u8] = br#"{"type":"liveQueryUpdatedNode","id":"#;
const REMOVED: &[u8] = br#"{"type":"liveQueryRemovedNode","id":"#;

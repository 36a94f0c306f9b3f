//! Diffs written once for everyone who watches.

use std::borrow::Cow;

use crate::message::{Raw, ServerMessage, write_text};
use crate::model::{Batch, Change, Row};
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
    /// The messages, one behind the other, each with an empty id.
    text: Vec<u8>,
    /// Of each message, where its id stands and where it ends.
    pieces: Vec<(usize, usize)>,
}

/// The id that the messages are written with: what stands for it has so many bytes.
const NO_ID: &str = "\"\"";

/// What stands in the `version` of the messages of a batch, for live queries with `resume`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiffVersions<'a> {
    /// The mark in the versions of the result.
    pub mark: &'a VersionCode,
    /// To which version the client has come before the batch: a batch that is cut in the middle takes it no further.
    pub before: u64,
}

impl Diffs {
    /// Writes the messages of a batch: with the reasons of its changes or without, and with versions where they are given.
    /// Costs the bytes written.
    pub fn new(batch: &Batch, reasons: bool, versions: Option<DiffVersions<'_>>) -> Diffs {
        let mut diffs = Diffs { text: Vec::new(), pieces: Vec::with_capacity(batch.changes.len()) };
        let (before, after) = match versions {
            Some(DiffVersions { mark, before }) => {
                (Some(mark.text(before, false)), Some(mark.text(batch.version, false)))
            }
            None => (None, None),
        };
        for (index, change) in batch.changes.iter().enumerate() {
            let last = index + 1 == batch.changes.len();
            let version = if last { &after } else { &before };
            let told = Told { index: None, reasons, resume: versions.is_some(), version: version.as_deref() };
            let message = change.message("", told);
            // The id is the first field behind the type.
            let id_at = diffs.text.len() + r#"{"type":"","id":"#.len() + message.type_name().len();
            message.write(&mut diffs.text);
            diffs.pieces.push((id_at, diffs.text.len()));
        }
        diffs
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
        self.text.len() + self.pieces.len() * id_bytes - self.pieces.len() * NO_ID.len()
    }

    /// The messages for one live query, each in three pieces, in the order in which they are to be sent.
    pub fn messages<'a>(&'a self, id_text: &'a str) -> impl ExactSizeIterator<Item = [&'a [u8]; 3]> {
        let mut from = 0;
        self.pieces.iter().map(move |(id_at, end)| {
            let head = &self.text[from..*id_at];
            from = *end;
            [head, id_text.as_bytes(), &self.text[id_at + NO_ID.len()..*end]]
        })
    }
}

/// What of a change is told besides the row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) index: Option<u64>,
    pub(crate) reasons: bool,
    pub(crate) resume: bool,
    pub(crate) version: Option<&'a str>,
}

impl Change {
    /// The message that tells a client of the change.
    pub(crate) fn message<'a>(&'a self, id: &'a str, told: Told<'a>) -> ServerMessage<'a> {
        let Told { index, reasons, resume, version } = told;
        let (id, node_id) = (Cow::Borrowed(id), Cow::Borrowed(self.id()));
        let version = version.map(Cow::Borrowed);
        let etag = self.after().filter(|_| resume).map(Row::etag);
        match self {
            Change::Added { row, reason } => {
                let (data, reason) = (Raw(row.json()), reason.filter(|_| reasons));
                ServerMessage::LiveQueryAddedNode { id, node_id, data, index, reason, version, etag }
            }
            Change::Updated { row, .. } => ServerMessage::LiveQueryUpdatedNode {
                id,
                node_id,
                data: Raw(row.json()),
                index,
                version,
                etag,
            },
            Change::Removed { reason, .. } => {
                let reason = reason.filter(|_| reasons);
                ServerMessage::LiveQueryRemovedNode { id, node_id, reason, version }
            }
        }
    }
}

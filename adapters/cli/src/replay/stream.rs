//! The commits of a file, in order, read ahead on a thread of its own.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use bytes::Bytes;
use liveset_engine::Timestamp;
use liveset_server::ndjson::{FileError, Lines, Progress};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tokio::sync::mpsc;

/// So many commits are read ahead.
const AHEAD: usize = 256;

/// One commit, as it stands in the file.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) line: u64,
    pub(super) at: Option<Timestamp>,
    pub(super) ops: u64,
    pub(super) text: Bytes,
}

/// Starts to read. The receiver ends after the last commit, or with an error.
///
/// # Errors
///
/// The file cannot be opened.
pub(super) fn read(file: &Path) -> Result<(Progress, mpsc::Receiver<Result<Commit, FileError>>), FileError> {
    let mut lines = Lines::open(file)?;
    let progress = lines.progress();
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        while let Some(next) = next(&mut lines).transpose() {
            let ends = next.is_err();
            if sender.blocking_send(next).is_err() || ends {
                return;
            }
        }
    });
    Ok((progress, receiver))
}

fn next(lines: &mut Lines) -> Result<Option<Commit>, FileError> {
    let Some((line, text)) = lines.next_line()? else { return Ok(None) };
    let text = Bytes::copy_from_slice(text);
    let head: Head<'_> = serde_json::from_slice(&text)
        .map_err(|error| lines.wrong(format!("is not a commit {{\"at\", \"ops\"}}: {error}")))?;
    let at = match &head.at {
        Some(at) => Some(Timestamp::parse_rfc3339(at).ok_or_else(|| {
            lines.wrong(format!("`at` must be an RFC 3339 date or date-time, it is {at:?}"))
        })?),
        None => None,
    };
    let ops = head.ops;
    Ok(Some(Commit { line, at, ops, text }))
}

/// What is needed of a commit to send it in time: the rest is the server's to judge.
struct Head<'de> {
    at: Option<Cow<'de, str>>,
    ops: u64,
}

impl<'de> Deserialize<'de> for Head<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct HeadVisitor;
        impl<'de> Visitor<'de> for HeadVisitor {
            type Value = Head<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with `ops`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head<'de>, A::Error> {
                let (mut at, mut ops) = (None, None);
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    match name.as_ref() {
                        "at" => at = map.next_value()?,
                        "ops" => ops = Some(map.next_value::<Length>()?.0),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Head { at, ops: ops.ok_or_else(|| A::Error::missing_field("ops"))? })
            }
        }
        json.deserialize_map(HeadVisitor)
    }
}

/// The length of a list.
struct Length(u64);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct LengthVisitor;
        impl<'de> Visitor<'de> for LengthVisitor {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of ops")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Length, A::Error> {
                let mut length = 0;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    length += 1;
                }
                Ok(Length(length))
            }
        }
        json.deserialize_seq(LengthVisitor)
    }
}

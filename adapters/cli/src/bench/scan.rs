//! What a message is, read where it lies: the type and the stamp are looked for, nothing is parsed that need not be.

use std::borrow::Cow;

use memchr::memmem::{self, Finder};
use serde::Deserialize;

use super::schedule::Nanos;

/// What the meter tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Authenticated,
    Subscribed,
    Ping,
    /// Initial rows; whether these are the last.
    Data {
        is_last: bool,
    },
    Added,
    Updated,
    Removed,
    Event,
    Warning,
    Error,
    /// Anything else.
    Other,
}

/// The type of a message.
pub(super) fn kind(message: &[u8]) -> Kind {
    const START: &[u8] = b"{\"type\":\"";
    let name = message.strip_prefix(START).and_then(|rest| Some(&rest[..memchr::memchr(b'"', rest)?]));
    let parsed: Head<'_>;
    let name = match name {
        Some(name) => name,
        // Another server may write its fields in another order, or with spaces.
        None => match serde_json::from_slice(message) {
            Ok(head) => {
                parsed = head;
                parsed.kind.as_bytes()
            }
            Err(_) => return Kind::Other,
        },
    };
    match name {
        b"liveQueryUpdatedNode" => Kind::Updated,
        b"liveQueryAddedNode" => Kind::Added,
        b"liveQueryRemovedNode" => Kind::Removed,
        b"event" => Kind::Event,
        b"liveQueryData" => Kind::Data { is_last: !has_more(message) },
        b"subscribedEvents" => Kind::Subscribed,
        b"authenticated" => Kind::Authenticated,
        b"ping" => Kind::Ping,
        b"warning" => Kind::Warning,
        b"error" => Kind::Error,
        _ => Kind::Other,
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(rename = "hasMore")]
    has_more: bool,
}

fn has_more(message: &[u8]) -> bool {
    // Inside of a text the quotes would be escaped.
    match (memmem::rfind(message, b"\"hasMore\":false"), memmem::rfind(message, b"\"hasMore\":true")) {
        (Some(_), None) => false,
        (None, Some(_)) => true,
        _ => serde_json::from_slice::<Chunk>(message).is_ok_and(|chunk| chunk.has_more),
    }
}

/// Whether a node came in because it changed, and not because others left or time passed. The query has to ask for
/// `reasons`.
pub(super) fn is_own_change(added: &[u8]) -> bool {
    memmem::rfind(added, b"\"reason\":\"refilled\"").is_none()
        && memmem::rfind(added, b"\"reason\":\"time\"").is_none()
}

/// Finds the stamp that this run puts into what it writes: `"sent":"RUN:NANOSECONDS"`. Those of other runs are not
/// taken for it.
#[derive(Debug, Clone)]
pub(super) struct Stamps(Finder<'static>);

impl Stamps {
    pub(super) fn new(run: &str) -> Stamps {
        Stamps(Finder::new(&format!("\"sent\":\"{run}:")).into_owned())
    }

    /// When what the message carries was due to be written.
    pub(super) fn find(&self, message: &[u8]) -> Option<Nanos> {
        let digits = &message[self.0.find(message)? + self.0.needle().len()..];
        let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
        let add = |number: Nanos, digit: &u8| number.checked_mul(10)?.checked_add(Nanos::from(digit - b'0'));
        if end == 0 { None } else { digits[..end].iter().try_fold(0, add) }
    }
}

/// How many events a `QUEUE_OVERFLOW` says were dropped.
pub(super) fn dropped(message: &str) -> Option<u64> {
    message.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_apart_in_any_spelling() {
        for (message, wanted) in [
            (r#"{"type":"liveQueryUpdatedNode","id":"a","data":{"type":"x"}}"#, Kind::Updated),
            (r#"{ "id": "a", "data": {"type":"event"}, "type": "liveQueryAddedNode" }"#, Kind::Added),
            (r#"{"type":"liveQueryRemovedNode"}"#, Kind::Removed),
            (r#"{"type":"liveQueryData","data":[],"hasMore":false}"#, Kind::Data { is_last: true }),
            (
                r#"{"type":"liveQueryData","hasMore":true,"data":[{"a":"\"hasMore\":false"}]}"#,
                Kind::Data { is_last: false },
            ),
            (
                r#"{"type":"liveQueryData","data":[{"hasMore":true}],"hasMore":false}"#,
                Kind::Data { is_last: true },
            ),
            (r#"{"type":"liveQueryData","data":[], "hasMore" : true}"#, Kind::Data { is_last: false }),
            (r#"{"type":"event"}"#, Kind::Event),
            (r#"{"type" : "ping"}"#, Kind::Ping),
            (r#"{"type":"error"}"#, Kind::Error),
            (r#"{"type":"authenticated","requestId":"1"}"#, Kind::Authenticated),
            (r#"{"type":"something"}"#, Kind::Other),
            ("[]", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(kind(message.as_bytes()), wanted, "{message}");
        }
    }

    #[test]
    fn stamps_of_this_run_are_found_and_no_others() {
        let stamps = Stamps::new("ab");
        for (message, wanted) in [
            (r#"{"data":{"sent":"ab:1234","x":1}}"#, Some(1234)),
            (r#"{"data":{"sent":"ab:0"}}"#, Some(0)),
            (r#"{"data":{"sent":"cd:1234"}}"#, None),
            (r#"{"data":{"sent":"ab:"}}"#, None),
            (r#"{"sent":"ab:12"#, None),
            (r#"{"sent":"ab:99999999999999999999999"}"#, None),
            ("", None),
        ] {
            assert_eq!(stamps.find(message.as_bytes()), wanted, "{message}");
        }
    }

    #[test]
    fn what_came_for_others_is_told_apart() {
        assert!(is_own_change(br#"{"type":"liveQueryAddedNode","reason":"filter"}"#));
        assert!(is_own_change(br#"{"type":"liveQueryAddedNode"}"#));
        assert!(!is_own_change(br#"{"type":"liveQueryAddedNode","reason":"refilled"}"#));
        assert!(!is_own_change(br#"{"type":"liveQueryAddedNode","reason":"time"}"#));
    }

    #[test]
    fn counts_of_dropped_events_are_read() {
        assert_eq!(dropped("5 events dropped for subscription 'a' due to slow consumption"), Some(5));
        assert_eq!(dropped("many"), None);
    }
}

//! Fragments to messages, under a running limit.
//!
//! The library's own collector limits single frames only: a message may grow without end over its fragments. This one
//! counts bytes and fragments as they come, checks UTF-8 across their borders, and fails at the first byte too many.

use bytes::BytesMut;

use super::Fault;
use super::utf8::Utf8Check;

/// A data frame as the assembler needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Binary,
    Continuation,
}

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Text(BytesMut),
    Binary(BytesMut),
}

/// Joins fragments into messages. Unless binary messages are let through, one is a fault at its first frame, whatever its
/// length.
#[derive(Debug)]
pub(crate) struct Assembler {
    max_bytes: usize,
    max_fragments: usize,
    takes_binary: bool,
    open: Option<Open>,
}

/// The message that is being assembled.
#[derive(Debug)]
struct Open {
    bytes: BytesMut,
    fragments: usize,
    /// Of text; a binary message may have any bytes.
    utf8: Option<Utf8Check>,
}

impl Assembler {
    /// `max_bytes` is the largest message, `max_fragments` the most frames it may come in (at least one).
    pub(crate) fn new(max_bytes: usize, max_fragments: usize) -> Self {
        Self { max_bytes, max_fragments: max_fragments.max(1), takes_binary: false, open: None }
    }

    /// Lets binary messages through.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn take_binary(&mut self) {
        self.takes_binary = true;
    }

    /// How many bytes the next data frame may still have.
    pub(crate) fn room(&self) -> usize {
        self.max_bytes.saturating_sub(self.open.as_ref().map_or(0, |open| open.bytes.len()))
    }

    /// Takes the next data frame; gives the message that it completes.
    pub(crate) fn push(
        &mut self,
        kind: Kind,
        fin: bool,
        payload: BytesMut,
    ) -> Result<Option<Message>, Fault> {
        let mut open = match (kind, self.open.take()) {
            // A new message inside an open one, and a continuation of none.
            (Kind::Text | Kind::Binary, Some(_)) | (Kind::Continuation, None) => return Err(Fault::Protocol),
            (Kind::Binary, None) if !self.takes_binary => return Err(Fault::Binary),
            (Kind::Binary, None) => Open { bytes: BytesMut::new(), fragments: 0, utf8: None },
            (Kind::Text, None) => {
                Open { bytes: BytesMut::new(), fragments: 0, utf8: Some(Utf8Check::default()) }
            }
            (Kind::Continuation, Some(open)) => open,
        };
        open.fragments += 1;
        let total = open.bytes.len().saturating_add(payload.len());
        if total > self.max_bytes || open.fragments > self.max_fragments {
            return Err(Fault::TooLarge);
        }
        if let Some(utf8) = &mut open.utf8 {
            utf8.push(&payload).map_err(|_| Fault::Utf8)?;
        }
        if open.bytes.is_empty() {
            open.bytes = payload;
        } else {
            open.bytes.extend_from_slice(&payload);
        }
        if !fin {
            self.open = Some(open);
            return Ok(None);
        }
        let Open { bytes, utf8, .. } = open;
        Ok(Some(match utf8 {
            Some(mut utf8) => {
                utf8.finish().map_err(|_| Fault::Utf8)?;
                Message::Text(bytes)
            }
            None => Message::Binary(bytes),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(
        assembler: &mut Assembler,
        kind: Kind,
        fin: bool,
        payload: &[u8],
    ) -> Result<Option<Vec<u8>>, Fault> {
        let done = assembler.push(kind, fin, BytesMut::from(payload))?;
        Ok(done.map(|(Message::Text(bytes) | Message::Binary(bytes))| Vec::from(bytes)))
    }

    #[test]
    fn joins_fragments_and_starts_anew() {
        let mut assembler = Assembler::new(10, 3);
        assert_eq!(push(&mut assembler, Kind::Text, true, b"one"), Ok(Some(b"one".to_vec())));
        assert_eq!(push(&mut assembler, Kind::Text, false, b"tw"), Ok(None));
        assert_eq!(assembler.room(), 8);
        assert_eq!(push(&mut assembler, Kind::Continuation, false, b""), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Continuation, true, b"o"), Ok(Some(b"two".to_vec())));
        assert_eq!(assembler.room(), 10);
        assert_eq!(push(&mut assembler, Kind::Text, true, b""), Ok(Some(Vec::new())));
    }

    #[test]
    fn the_limit_is_on_the_sum() {
        let mut assembler = Assembler::new(4, 100);
        assert_eq!(push(&mut assembler, Kind::Text, true, b"1234"), Ok(Some(b"1234".to_vec())));
        assert_eq!(push(&mut assembler, Kind::Text, true, b"12345"), Err(Fault::TooLarge));
        assert_eq!(push(&mut assembler, Kind::Text, false, b"123"), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Continuation, true, b"4"), Ok(Some(b"1234".to_vec())));
        assert_eq!(push(&mut assembler, Kind::Text, false, b"123"), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Continuation, false, b"45"), Err(Fault::TooLarge));
    }

    #[test]
    fn a_limit_of_nothing_allows_the_empty_message_only() {
        let mut assembler = Assembler::new(0, 0);
        assert_eq!(push(&mut assembler, Kind::Text, true, b""), Ok(Some(Vec::new())));
        assert_eq!(push(&mut assembler, Kind::Text, true, b"1"), Err(Fault::TooLarge));
        assert_eq!(push(&mut assembler, Kind::Text, false, b""), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Continuation, true, b""), Err(Fault::TooLarge));
    }

    #[test]
    fn empty_fragments_count() {
        let mut assembler = Assembler::new(1000, 3);
        assert_eq!(push(&mut assembler, Kind::Text, false, b""), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Continuation, false, b""), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Continuation, false, b""), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Continuation, false, b""), Err(Fault::TooLarge));
    }

    #[test]
    fn order_of_frames() {
        let mut assembler = Assembler::new(1000, 3);
        assert_eq!(push(&mut assembler, Kind::Continuation, true, b"x"), Err(Fault::Protocol));
        assert_eq!(push(&mut assembler, Kind::Text, false, b"x"), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Text, true, b"x"), Err(Fault::Protocol));
        assert_eq!(push(&mut assembler, Kind::Text, false, b"x"), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Binary, true, b"x"), Err(Fault::Protocol));
        assert_eq!(push(&mut assembler, Kind::Binary, false, b"x"), Err(Fault::Binary));
    }

    #[test]
    fn characters_may_be_cut_by_fragments_but_not_by_the_end() {
        let euro = "€".as_bytes();
        let mut assembler = Assembler::new(1000, 10);
        assert_eq!(push(&mut assembler, Kind::Text, false, &euro[..1]), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Continuation, false, &euro[1..2]), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Continuation, true, &euro[2..]), Ok(Some(euro.to_vec())));
        assert_eq!(push(&mut assembler, Kind::Text, false, &euro[..2]), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Continuation, true, b""), Err(Fault::Utf8));
        assert_eq!(push(&mut assembler, Kind::Text, true, &euro[..2]), Err(Fault::Utf8));
    }

    #[test]
    fn binary_messages_where_they_are_let_through() {
        let mut assembler = Assembler::new(4, 2);
        assembler.take_binary();
        let push = |assembler: &mut Assembler, kind, fin, payload: &[u8]| {
            assembler.push(kind, fin, BytesMut::from(payload))
        };
        let binary = |bytes: &[u8]| Ok(Some(Message::Binary(BytesMut::from(bytes))));
        assert_eq!(push(&mut assembler, Kind::Binary, true, b"\xff\xfe"), binary(b"\xff\xfe"));
        assert_eq!(push(&mut assembler, Kind::Binary, false, b"\xff"), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Continuation, true, b"\x80"), binary(b"\xff\x80"));
        assert_eq!(push(&mut assembler, Kind::Binary, true, b"12345"), Err(Fault::TooLarge));
        let text = Ok(Some(Message::Text(BytesMut::from("x"))));
        assert_eq!(push(&mut assembler, Kind::Text, true, b"x"), text);
        assert_eq!(push(&mut assembler, Kind::Text, true, b"\xff"), Err(Fault::Utf8));
    }
}

//! Fragments to messages, under a running limit.
//!
//! Bytes and fragments are counted as they come, and text is checked for UTF-8 across all borders: what is wrong fails at
//! its first byte, and what is too large before it is held.

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
/// length. After a fault it is of no use.
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
    /// The frame that was begun is the last of the message.
    fin: bool,
    /// Of text; a binary message may have any bytes.
    utf8: Option<Utf8Check>,
}

impl Assembler {
    /// `max_bytes` is the largest message, `max_fragments` the most frames it may come in (at least one).
    pub(crate) fn new(max_bytes: usize, max_fragments: usize) -> Self {
        Self { max_bytes, max_fragments: max_fragments.max(1), takes_binary: false, open: None }
    }

    /// Lets binary messages through.
    #[cfg(any(test, feature = "testing", feature = "fuzzing"))]
    pub(crate) fn take_binary(&mut self) {
        self.takes_binary = true;
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn held_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.bytes.capacity())
    }

    /// Takes the head of the next data frame. No memory is taken for what it promises.
    pub(crate) fn begin(&mut self, kind: Kind, fin: bool, payload_bytes: u64) -> Result<(), Fault> {
        let utf8 = match kind {
            Kind::Text => Some(Utf8Check::default()),
            Kind::Binary | Kind::Continuation => None,
        };
        let mut open = match (kind, self.open.take()) {
            // A new message inside an open one, and a continuation of none.
            (Kind::Text | Kind::Binary, Some(_)) | (Kind::Continuation, None) => return Err(Fault::Protocol),
            (Kind::Binary, None) if !self.takes_binary => return Err(Fault::Binary),
            (Kind::Text | Kind::Binary, None) => Open { bytes: BytesMut::new(), fragments: 0, fin, utf8 },
            (Kind::Continuation, Some(open)) => open,
        };
        open.fragments += 1;
        open.fin = fin;
        let room = self.max_bytes.saturating_sub(open.bytes.len());
        if open.fragments > self.max_fragments
            || usize::try_from(payload_bytes).map_or(true, |len| len > room)
        {
            return Err(Fault::TooLarge);
        }
        self.open = Some(open);
        Ok(())
    }

    /// Takes a piece of the payload of the frame that was begun.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), Fault> {
        let Some(open) = &mut self.open else { return Err(Fault::Protocol) };
        if let Some(utf8) = &mut open.utf8 {
            utf8.push(piece).map_err(|_| Fault::Utf8)?;
        }
        open.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Ends the frame that was begun; gives the message that it completes.
    pub(crate) fn end(&mut self) -> Result<Option<Message>, Fault> {
        let Some(Open { bytes, utf8, .. }) = self.open.take_if(|open| open.fin) else { return Ok(None) };
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

    fn whole(
        assembler: &mut Assembler,
        kind: Kind,
        fin: bool,
        payload: &[u8],
    ) -> Result<Option<Message>, Fault> {
        assembler.begin(kind, fin, payload.len() as u64)?;
        assembler.push(payload)?;
        assembler.end()
    }

    fn push(
        assembler: &mut Assembler,
        kind: Kind,
        fin: bool,
        payload: &[u8],
    ) -> Result<Option<Vec<u8>>, Fault> {
        let done = whole(assembler, kind, fin, payload)?;
        Ok(done.map(|(Message::Text(bytes) | Message::Binary(bytes))| Vec::from(bytes)))
    }

    #[test]
    fn joins_fragments_and_starts_anew() {
        let mut assembler = Assembler::new(10, 3);
        assert_eq!(push(&mut assembler, Kind::Text, true, b"one"), Ok(Some(b"one".to_vec())));
        assert_eq!(push(&mut assembler, Kind::Text, false, b"tw"), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Continuation, false, b""), Ok(None));
        assert_eq!(push(&mut assembler, Kind::Continuation, true, b"o"), Ok(Some(b"two".to_vec())));
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
        let binary = |bytes: &[u8]| Ok(Some(Message::Binary(BytesMut::from(bytes))));
        assert_eq!(whole(&mut assembler, Kind::Binary, true, b"\xff\xfe"), binary(b"\xff\xfe"));
        assert_eq!(whole(&mut assembler, Kind::Binary, false, b"\xff"), Ok(None));
        assert_eq!(whole(&mut assembler, Kind::Continuation, true, b"\x80"), binary(b"\xff\x80"));
        assert_eq!(whole(&mut assembler, Kind::Binary, true, b"12345"), Err(Fault::TooLarge));
        let text = Ok(Some(Message::Text(BytesMut::from("x"))));
        assert_eq!(whole(&mut assembler, Kind::Text, true, b"x"), text);
        assert_eq!(whole(&mut assembler, Kind::Text, true, b"\xff"), Err(Fault::Utf8));
    }

    #[test]
    fn what_is_wrong_fails_at_its_first_byte() {
        let mut assembler = Assembler::new(1000, 3);
        assert_eq!(assembler.begin(Kind::Text, true, 500), Ok(()));
        assert_eq!(assembler.push(b"plain \xe2\x82"), Ok(()));
        assert_eq!(assembler.push(b"\x41"), Err(Fault::Utf8));
        for promised in [1001, u64::MAX] {
            assert_eq!(Assembler::new(1000, 3).begin(Kind::Text, true, promised), Err(Fault::TooLarge));
        }
    }
}

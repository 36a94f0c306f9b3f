//! Messages that wait for an answer of the owner before they can be handled.

use std::collections::VecDeque;

use crate::limits::SessionLimits;
use crate::message::{Ahead, ClientMessage, ClientMessageError, Content, ParsedMessage};

/// Client messages, first in first out, bounded in number and in the bytes of their texts.
#[derive(Debug, Default)]
pub(super) struct Held {
    queue: VecDeque<HeldMessage>,
    bytes: usize,
}

/// One message that waits.
#[derive(Debug)]
pub(super) enum HeldMessage {
    /// As it came, of a client that was not known then.
    Text(Box<str>),
    Read(Read),
}

/// A message that was read.
#[derive(Debug)]
pub(super) struct Read {
    /// Bytes of its text.
    pub(super) bytes: usize,
    pub(super) message: Box<Result<ClientMessage, ClientMessageError>>,
    pub(super) ahead: Ahead,
}

impl HeldMessage {
    fn bytes(&self) -> usize {
        match self {
            HeldMessage::Text(text) => text.len(),
            HeldMessage::Read(read) => read.bytes,
        }
    }
}

impl Held {
    /// Holds one more message; gives it back where that would be too many.
    pub(super) fn push(&mut self, limits: &SessionLimits, message: HeldMessage) -> Result<(), HeldMessage> {
        let bytes = message.bytes();
        if self.queue.len() >= limits.held_messages || self.bytes + bytes > limits.held_bytes {
            return Err(message);
        }
        self.bytes += bytes;
        self.queue.push_back(message);
        Ok(())
    }

    /// The next message, read.
    pub(super) fn pop(&mut self, limits: &SessionLimits) -> Option<Read> {
        let message = self.queue.pop_front()?;
        self.bytes -= message.bytes();
        Some(match message {
            HeldMessage::Read(read) => read,
            HeldMessage::Text(text) => {
                let message = ClientMessage::parse(text.as_bytes(), limits.id_bytes);
                Read { bytes: text.len(), message: Box::new(message), ahead: Ahead::default() }
            }
        })
    }

    /// Puts back what [`Held::pop`] took.
    pub(super) fn unpop(&mut self, read: Read) {
        self.bytes += read.bytes;
        self.queue.push_front(HeldMessage::Read(read));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The texts that were not read yet, in the order in which they came.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.queue.iter().filter_map(|message| match message {
            HeldMessage::Text(text) => Some(&**text),
            HeldMessage::Read(_) => None,
        })
    }

    /// Takes the first of [`texts`](Held::texts) as they were read meanwhile.
    pub(super) fn read(&mut self, messages: Vec<ParsedMessage>) {
        let unread = self.queue.iter_mut().filter(|message| matches!(message, HeldMessage::Text(_)));
        for (held, parsed) in unread.zip(messages) {
            let ParsedMessage { bytes, content } = parsed;
            if let Content::Message { message, ahead, .. } = content
                && bytes == held.bytes()
            {
                *held = HeldMessage::Read(Read { bytes, message, ahead });
            }
        }
    }
}

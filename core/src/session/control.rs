//! Answers and other control messages: first in, first out, never dropped.

use std::collections::VecDeque;

use crate::message::ServerMessage;

/// Encoded messages that wait for the transport.
#[derive(Debug, Default)]
pub(super) struct Control {
    queue: VecDeque<Box<[u8]>>,
    bytes: usize,
}

impl Control {
    pub(super) fn push(&mut self, message: &ServerMessage<'_>) {
        let mut text = Vec::with_capacity(128);
        message.write(&mut text);
        self.bytes += text.len();
        self.queue.push_back(text.into_boxed_slice());
    }

    /// Appends the next message to `out`.
    pub(super) fn pop(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(text) = self.queue.pop_front() else {
            return false;
        };
        self.bytes -= text.len();
        if self.queue.is_empty() {
            // A burst of answers must not pin its memory on an idle connection.
            self.queue.shrink_to(8);
        }
        out.extend_from_slice(&text);
        true
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

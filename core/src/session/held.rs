//! Messages that wait for an answer of the owner before they can be handled.

use std::collections::VecDeque;

use crate::limits::SessionLimits;

/// Client messages, as they came, first in first out, bounded in number and bytes.
#[derive(Debug, Default)]
pub(super) struct Held {
    queue: VecDeque<Box<str>>,
    bytes: usize,
}

impl Held {
    /// Holds one more message; false where that would be too many.
    #[must_use]
    pub(super) fn push(&mut self, limits: &SessionLimits, text: &str) -> bool {
        if self.queue.len() >= limits.held_messages || self.bytes + text.len() > limits.held_bytes {
            return false;
        }
        self.bytes += text.len();
        self.queue.push_back(text.into());
        true
    }

    pub(super) fn pop(&mut self) -> Option<Box<str>> {
        let text = self.queue.pop_front();
        self.bytes -= text.as_ref().map_or(0, |text| text.len());
        text
    }

    /// Puts back what [`Held::pop`] took.
    pub(super) fn unpop(&mut self, text: Box<str>) {
        self.bytes += text.len();
        self.queue.push_front(text);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

//! Event messages that wait for the transport, in publish order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::requests::Event;
use crate::message::text_len;

/// Messages by number; none without ids.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    messages: BTreeMap<u64, Message>,
    published: u64,
    /// Bytes of the messages together, as they are written.
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) path: Arc<str>,
    pub(super) event: Arc<Event>,
    /// In the order in which they were subscribed.
    pub(super) ids: VecDeque<Name>,
    /// So many of the first have no warning to come before it; looked at once it is the next.
    pub(super) warned: usize,
    /// Bytes of the message as it is written.
    pub(super) bytes: usize,
}

/// A subscription in a message.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) place: u64,
    pub(super) id: Arc<str>,
    /// The bytes that it adds to the message.
    pub(super) bytes: usize,
}

/// The bytes of an event message without ids. Each id is counted with a comma, which is one too many.
const FRAME: usize =
    r#"{"type":"event","subscriptionIds":[],"eventType":,"path":,"data":,"timestamp":}"#.len() - 1;

impl Message {
    pub(super) fn new(path: Arc<str>, event: Arc<Event>, ids: VecDeque<Name>) -> Message {
        let Event { event_type, data, timestamp } = &*event;
        let texts = [&*path, event_type, timestamp].map(text_len).into_iter().sum::<usize>();
        let bytes = FRAME + texts + data.len() + ids.iter().map(|name| name.bytes).sum::<usize>();
        Message { path, event, ids, warned: 0, bytes }
    }
}

impl EventQueue {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes of the messages.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the next message.
    pub(super) fn next(&self) -> u64 {
        self.published
    }

    /// Adds a message; it has the number that was next.
    pub(super) fn push(&mut self, message: Message) {
        self.bytes += message.bytes;
        self.messages.insert(self.published, message);
        self.published += 1;
    }

    /// The message that is sent next.
    pub(super) fn first(&mut self) -> Option<&mut Message> {
        self.messages.first_entry().map(|entry| entry.into_mut())
    }

    /// Takes the message that is sent next, and its number.
    pub(super) fn pop(&mut self) -> Option<(u64, Message)> {
        let (number, message) = self.messages.pop_first()?;
        self.bytes -= message.bytes;
        Some((number, message))
    }

    /// Takes a subscription's id out of a shared message; a message without ids is gone.
    ///
    /// An event that comes to n full subscriptions takes n ids out of one message, so a look at all of them would cost n² steps. The
    /// id is found by its place in O(log n). Subscriptions drop in the order in which they were made, which is that of the ids: the
    /// one that goes is the first that is left, or stands behind those that do not drop; of what stands before and behind it the
    /// shorter part moves up, n / 2 entries at most.
    pub(super) fn take_out(&mut self, number: u64, place: u64) {
        let Some(message) = self.messages.get_mut(&number) else { return };
        let index = message.ids.binary_search_by_key(&place, |name| name.place);
        if let Ok(index) = index
            && let Some(name) = message.ids.remove(index)
        {
            message.warned -= usize::from(index < message.warned);
            message.bytes -= name.bytes;
            self.bytes -= name.bytes;
        }
        if message.ids.is_empty() {
            self.bytes -= message.bytes;
            self.messages.remove(&number);
        }
    }
}

//! The connection's event subscriptions, and the events that wait for the transport.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::event_queue::{EventQueue, Message, Name};
use super::requests::{Event, Refusal, Ticket};
use crate::message::{Raw, ServerMessage, SubscriptionSpec, text_len};
use crate::model::Limit;

/// Subscriptions by id and by path, and one queue of event messages in publish order.
///
/// An event is one message per path, shared by the subscriptions that want it. Each subscription counts its
/// own messages in that queue; the oldest is dropped for it alone, by taking its id out of the message.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    by_id: BTreeMap<Arc<str>, Subscription>,
    /// Ids in the order in which they were subscribed.
    by_path: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// Requests that the owner has not answered, and all their ids.
    unanswered: BTreeMap<Ticket, Unanswered>,
    reserved: BTreeSet<Arc<str>>,
    queue: EventQueue,
    /// Subscriptions that were ever made.
    made: u64,
    /// Those that lost the last event that waited for them: their warnings wait for no event of their own.
    emptied: BTreeSet<Arc<str>>,
}

#[derive(Debug)]
struct Subscription {
    spec: SubscriptionSpec,
    /// Its place in the order in which the connection subscribed.
    place: u64,
    /// What its id adds to a message: as JSON text, with a comma.
    id_bytes: usize,
    /// Numbers of the messages that carry its id, oldest first.
    queued: VecDeque<u64>,
    /// Events dropped since the last warning.
    dropped: u64,
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Events of each subscription.
    pub(super) events: usize,
    /// Bytes of all of them.
    pub(super) bytes: usize,
}

/// A `subscribeEvents` that the owner has not answered.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) request_id: Option<Box<str>>,
    /// As the client wrote them, for the answer.
    pub(super) subscriptions: Vec<SubscriptionSpec>,
    /// What is wrong with the entry behind them, where the owner finds nothing wrong with these.
    pub(super) wrong: Option<Wrong>,
}

/// What is wrong with an entry of `subscribeEvents`.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) refusal: Refusal,
    /// The limit that it exceeds, where that is it.
    pub(super) limit: Option<&'static Limit>,
}

impl Subscriptions {
    /// Subscriptions, unanswered ones included.
    pub(super) fn len(&self) -> usize {
        self.by_id.len() + self.reserved.len()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// Whether the id belongs to a request that the owner has not answered.
    pub(super) fn is_reserved(&self, id: &str) -> bool {
        self.reserved.contains(id)
    }

    pub(super) fn specs(&self) -> impl Iterator<Item = &SubscriptionSpec> {
        self.by_id.values().map(|subscription| &subscription.spec)
    }

    /// Event messages that wait.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is something to transmit.
    pub(super) fn has_news(&self) -> bool {
        !self.queue.is_empty() || !self.emptied.is_empty()
    }

    /// Bytes of those.
    pub(super) fn bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Reserves the ids of a request for the owner's answer.
    pub(super) fn reserve(&mut self, ticket: Ticket, request: Unanswered) {
        self.reserved.extend(request.subscriptions.iter().map(|spec| spec.id.clone()));
        self.unanswered.insert(ticket, request);
    }

    /// Takes back a request with the owner's answer; its ids are free.
    pub(super) fn answered(&mut self, ticket: Ticket) -> Option<Unanswered> {
        let request = self.unanswered.remove(&ticket)?;
        for spec in &request.subscriptions {
            self.reserved.remove(&spec.id);
        }
        Some(request)
    }

    pub(super) fn insert(&mut self, spec: SubscriptionSpec) {
        let spec = spec.without_repetitions();
        self.by_path.entry(spec.path.clone()).or_default().push(spec.id.clone());
        let place = self.made;
        self.made += 1;
        let id_bytes = text_len(&spec.id) + 1;
        let subscription = Subscription { place, id_bytes, queued: VecDeque::new(), dropped: 0, spec };
        self.by_id.insert(subscription.spec.id.clone(), subscription);
    }

    /// Removes a subscription and what waits for it.
    pub(super) fn remove(&mut self, id: &str) -> Option<SubscriptionSpec> {
        let subscription = self.by_id.remove(id)?;
        self.emptied.remove(id);
        for number in subscription.queued {
            self.queue.take_out(number, subscription.place);
        }
        let path = &subscription.spec.path;
        if let Some(ids) = self.by_path.get_mut(path) {
            ids.retain(|other| &**other != id);
            if ids.is_empty() {
                self.by_path.remove(path);
            }
        }
        Some(subscription.spec)
    }

    /// Queues an event for every subscription of the path that wants its type. Returns for how many it waits then, and adds what
    /// was dropped to `dropped`: the oldest of a subscription that has as many as it may, then the oldest of all until the bytes
    /// are as many as they may be. An event that alone has more is dropped itself.
    ///
    /// For each subscription O(log n) of n, full or not (see `take_out`).
    pub(super) fn deliver(&mut self, path: &str, event: &Arc<Event>, room: Room, dropped: &mut u64) -> usize {
        let Some((path, subscribed)) = self.by_path.get_key_value(path) else {
            return 0;
        };
        let mut ids = VecDeque::new();
        for id in subscribed {
            if let Some(subscription) = self.by_id.get(id)
                && subscription.spec.events.contains(&event.event_type)
            {
                let Subscription { place, id_bytes: bytes, .. } = *subscription;
                ids.push_back(Name { place, id: id.clone(), bytes });
            }
        }
        if ids.is_empty() {
            return 0;
        }
        let message = Message::new(path.clone(), event.clone(), ids);
        let (bytes, wanted) = (message.bytes, message.ids.len());
        if bytes > room.bytes {
            *dropped += self.drop_whole(&message, None);
            // It is warned of before the next message, whose warnings may have been looked for already.
            if let Some(next) = self.queue.first() {
                next.warned = 0;
            }
            return 0;
        }
        let number = self.queue.next();
        for Name { place, id, .. } in &message.ids {
            let Some(subscription) = self.by_id.get_mut(id) else { continue };
            if subscription.queued.len() >= room.events.max(1)
                && let Some(oldest) = subscription.queued.pop_front()
            {
                self.queue.take_out(oldest, *place);
                subscription.dropped += 1;
                *dropped += 1;
            }
            subscription.queued.push_back(number);
        }
        while self.queue.bytes() > room.bytes - bytes
            && let Some((number, oldest)) = self.queue.pop()
        {
            *dropped += self.drop_whole(&oldest, Some(number));
        }
        self.queue.push(message);
        wanted
    }

    /// Counts a message as dropped for everyone whom it names; one with a number is the first that waits for each of them. Returns for how
    /// many it was.
    fn drop_whole(&mut self, message: &Message, number: Option<u64>) -> u64 {
        let mut dropped = 0;
        for Name { id, .. } in &message.ids {
            let Some(subscription) = self.by_id.get_mut(id) else { continue };
            if number.is_some() {
                debug_assert_eq!(
                    subscription.queued.front().copied(),
                    number,
                    "the oldest of all is its oldest"
                );
                subscription.queued.pop_front();
            }
            subscription.dropped += 1;
            dropped += 1;
            if subscription.queued.is_empty() {
                self.emptied.insert(id.clone());
            }
        }
        dropped
    }

    /// Appends the next message: the oldest event, or first the warning of a subscription that wants it and lost some; where there is
    /// none, the warning of one that has none to come. In this order, because events that wait can still be lost.
    pub(super) fn transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(Message { ids, warned, .. }) = self.queue.first() else {
            return self.warn_emptied(out);
        };
        for Name { id, .. } in ids.range(*warned..) {
            *warned += 1;
            let Some(subscription) = self.by_id.get_mut(id) else { continue };
            if subscription.dropped > 0 {
                self.emptied.remove(id);
                write_overflow(id, std::mem::take(&mut subscription.dropped), out);
                return true;
            }
        }
        let Some((_, Message { path, event, ids, .. })) = self.queue.pop() else { return false };
        for Name { id, .. } in &ids {
            if let Some(subscription) = self.by_id.get_mut(id) {
                subscription.queued.pop_front();
                if subscription.queued.is_empty() {
                    subscription.queued.shrink_to(4);
                }
            }
        }
        ServerMessage::Event {
            subscription_ids: ids.iter().map(|name| Cow::Borrowed(&*name.id)).collect(),
            event_type: Cow::Borrowed(&event.event_type),
            path: Cow::Borrowed(&path),
            data: Raw(&event.data),
            timestamp: Cow::Borrowed(&event.timestamp),
        }
        .write(out);
        true
    }

    fn warn_emptied(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(id) = self.emptied.pop_first() else { return false };
        let Some(subscription) = self.by_id.get_mut(&id) else { return false };
        write_overflow(&id, std::mem::take(&mut subscription.dropped), out);
        true
    }
}

/// "one `warning` `QUEUE_OVERFLOW` with the exact count goes out (text as above, always "events")"
fn write_overflow(id: &str, dropped: u64, out: &mut Vec<u8>) {
    ServerMessage::Warning {
        code: Cow::Borrowed("QUEUE_OVERFLOW"),
        message: Cow::Owned(format!(
            "{dropped} events dropped for subscription '{id}' due to slow consumption"
        )),
        subscription_id: Cow::Borrowed(id),
    }
    .write(out);
}

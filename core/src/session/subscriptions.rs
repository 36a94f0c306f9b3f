//! The connection's event subscriptions, and the events that wait for the transport.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::requests::{Event, Refusal, Ticket};
use crate::message::{Raw, ServerMessage, SubscriptionSpec, text_len};

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
    /// Messages by number, in publish order; none without ids.
    queue: BTreeMap<u64, Message>,
    published: u64,
    /// Bytes of the messages together, as they are written.
    bytes: usize,
    /// Subscriptions that were ever made.
    made: u64,
    /// Those that lost the last event that waited for them: their warnings wait for none of their own.
    bereft: BTreeSet<Arc<str>>,
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

#[derive(Debug)]
struct Message {
    path: Arc<str>,
    event: Arc<Event>,
    /// In the order in which they were subscribed.
    ids: VecDeque<Name>,
    /// So many of the first have no warning to come before it; looked at once it is the next.
    warned: usize,
    /// Bytes of the message as it is written.
    bytes: usize,
}

/// A subscription in a message.
#[derive(Debug)]
struct Name {
    place: u64,
    id: Arc<str>,
    /// What it adds to the message.
    bytes: usize,
}

/// What an event message has in any case. Each id brings a comma, one more than there are.
const FRAME: usize =
    r#"{"type":"event","subscriptionIds":[],"eventType":,"path":,"data":,"timestamp":}"#.len() - 1;

impl Message {
    fn new(path: Arc<str>, event: Arc<Event>, ids: VecDeque<Name>) -> Message {
        let Event { event_type, data, timestamp } = &*event;
        let texts = [&*path, event_type, timestamp].map(text_len).into_iter().sum::<usize>();
        let bytes = FRAME + texts + data.len() + ids.iter().map(|name| name.bytes).sum::<usize>();
        Message { path, event, ids, warned: 0, bytes }
    }
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
    /// Of what there are too many, where that is it.
    pub(super) too_many: Option<TooMany>,
}

/// What there can be too many of.
#[derive(Debug, Clone, Copy)]
pub(super) enum TooMany {
    Subscriptions,
    Events,
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
        !self.queue.is_empty() || !self.bereft.is_empty()
    }

    /// Bytes of those.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
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
        self.bereft.remove(id);
        for number in subscription.queued {
            self.bytes -= take_out(&mut self.queue, number, subscription.place);
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
            if let Some(mut next) = self.queue.first_entry() {
                next.get_mut().warned = 0;
            }
            return 0;
        }
        let number = self.published;
        for Name { place, id, .. } in &message.ids {
            let Some(subscription) = self.by_id.get_mut(id) else { continue };
            if subscription.queued.len() >= room.events.max(1)
                && let Some(oldest) = subscription.queued.pop_front()
            {
                self.bytes -= take_out(&mut self.queue, oldest, *place);
                subscription.dropped += 1;
                *dropped += 1;
            }
            subscription.queued.push_back(number);
        }
        self.published += 1;
        while self.bytes > room.bytes - bytes
            && let Some((number, oldest)) = self.queue.pop_first()
        {
            self.bytes -= oldest.bytes;
            *dropped += self.drop_whole(&oldest, Some(number));
        }
        self.bytes += bytes;
        self.queue.insert(number, message);
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
                self.bereft.insert(id.clone());
            }
        }
        dropped
    }

    /// Appends the next message: the oldest event, or first the warning of a subscription that wants it and lost some; where there is
    /// none, the warning of one that has none to come. In this order, because events that wait can still be lost.
    pub(super) fn transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(mut entry) = self.queue.first_entry() else {
            return self.warn_bereft(out);
        };
        let Message { ids, warned, .. } = entry.get_mut();
        for Name { id, .. } in ids.range(*warned..) {
            *warned += 1;
            let Some(subscription) = self.by_id.get_mut(id) else { continue };
            if subscription.dropped > 0 {
                self.bereft.remove(id);
                write_overflow(id, std::mem::take(&mut subscription.dropped), out);
                return true;
            }
        }
        let message = entry.remove();
        self.bytes -= message.bytes;
        let Message { path, event, ids, .. } = message;
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

    fn warn_bereft(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(id) = self.bereft.pop_first() else { return false };
        let Some(subscription) = self.by_id.get_mut(&id) else { return false };
        write_overflow(&id, std::mem::take(&mut subscription.dropped), out);
        true
    }
}

/// Takes a subscription's id out of a shared message; a message without ids is gone. Returns how many bytes fewer wait.
///
/// An event that comes to n full subscriptions takes n ids out of one message, so a look at all of them would cost n² steps. The
/// id is found by its place in O(log n). Subscriptions drop in the order in which they were made, which is that of the ids: the
/// one that goes is the first that is left, or stands behind those that do not drop; of what stands before and behind it the
/// shorter part moves up, n / 2 entries at most.
fn take_out(queue: &mut BTreeMap<u64, Message>, number: u64, place: u64) -> usize {
    let Some(message) = queue.get_mut(&number) else { return 0 };
    let index = message.ids.binary_search_by_key(&place, |name| name.place);
    let mut bytes = 0;
    if let Ok(index) = index
        && let Some(name) = message.ids.remove(index)
    {
        message.warned -= usize::from(index < message.warned);
        bytes = name.bytes;
        message.bytes -= bytes;
    }
    if message.ids.is_empty() {
        bytes += message.bytes;
        queue.remove(&number);
    }
    bytes
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

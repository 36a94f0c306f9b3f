//! All orders by their creation, and which of them have just become too old: the baselines' side of `now`.

use std::{
    collections::BTreeSet,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use crate::{BenchQuery, OrderRow};

/// Finds the orders whose time is up, one walk over the orders for each different span of time.
#[derive(Debug)]
pub(crate) struct Timeline {
    by_creation: BTreeSet<(i64, u64)>,
    spans: Vec<Span>,
    now: i64,
}

#[derive(Debug)]
struct Span {
    seconds: i64,
    /// No order of this span is up before this moment.
    next: i64,
}

impl Timeline {
    /// `None` where no query is over `now`.
    pub(crate) fn new<'a>(
        queries: &[BenchQuery],
        rows: impl Iterator<Item = &'a Arc<OrderRow>>,
        now: i64,
    ) -> Option<Self> {
        let mut spans: Vec<i64> = queries.iter().filter_map(|query| query.shape.lasts()).collect();
        spans.sort_unstable();
        spans.dedup();
        let spans: Vec<Span> = spans.into_iter().map(|seconds| Span { seconds, next: now }).collect();
        let by_creation = || rows.map(|row| (row.created, row.id)).collect();
        (!spans.is_empty()).then(|| Self { by_creation: by_creation(), spans, now })
    }

    /// Another version of an order, or its coming or going.
    pub(crate) fn step(&mut self, before: Option<&OrderRow>, after: Option<&OrderRow>) {
        if let (Some(before), Some(after)) = (before, after)
            && before.created == after.created
        {
            return;
        }
        if let Some(before) = before {
            self.by_creation.remove(&(before.created, before.id));
        }
        if let Some(after) = after {
            self.by_creation.insert((after.created, after.id));
            for span in &mut self.spans {
                let up = after.created + span.seconds;
                if up > self.now {
                    span.next = span.next.min(up);
                }
            }
        }
    }

    /// The time before, and the ids of the orders that have become too old for some span since then.
    pub(crate) fn advance(&mut self, now: i64) -> (i64, Vec<u64>) {
        let since = self.now;
        self.now = now.max(since);
        let mut up = Vec::new();
        for span in self.spans.iter_mut().filter(|span| span.next <= now) {
            let mut next = self.by_creation.range((Excluded((since - span.seconds, u64::MAX)), Unbounded));
            span.next = i64::MAX;
            for (created, id) in &mut next {
                if created + span.seconds > now {
                    span.next = created + span.seconds;
                    break;
                }
                up.push(*id);
            }
        }
        up.sort_unstable();
        up.dedup();
        (since, up)
    }
}

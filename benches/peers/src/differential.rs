//! `differential-dataflow`, one worker on one thread.
//!
//! Queries of one class are rows of a relation, joined with the orders by what they ask for: the customer, or (for there is
//! no join by range) the bucket of totals, filtered behind it. [`Class::A1`] is a dataflow of its own, its filter compiled. The cap is a
//! `reduce` over the whole group, as there is no incremental top-k.
//!
//! Less than Liveset: is given structs, of which it shares one copy (`Arc`), and what each order was before; does not count what is
//! beyond the cap; tells an update as a removal and an addition, without a reason.

use std::{cell::RefCell, mem, rc::Rc, sync::Arc, time::Instant};

use differential_dataflow::{VecCollection, input::InputSession};
use timely::{
    WorkerConfig,
    communication::allocator::{Allocator, thread::Thread},
    dataflow::ProbeHandle,
    worker::Worker,
};

use crate::{
    Peer,
    workload::{CAP, Change, Class, Order, PROCESSING, Tally},
};

/// Sorts as a result does: newest first, then by id.
type Row = (u32, u32, Arc<Order>);

pub struct Differential {
    worker: Worker,
    orders: InputSession<u64, Arc<Order>, isize>,
    /// The bucket that it asks for, its number, and the first of its keys.
    queries: InputSession<u64, (u32, (u32, u32)), isize>,
    probe: ProbeHandle<u64>,
    time: u64,
    /// How many orders there were in the beginning.
    of: u32,
    /// Where a query is a dataflow of its own, the orders go in when it is opened.
    pending: Vec<Change>,
    class: Class,
    tally: Rc<RefCell<Tally>>,
}

impl Peer for Differential {
    type Commit = Vec<Change>;

    fn new(orders: u32, class: Class) -> Self {
        let thread = Allocator::Thread(Thread::default());
        let mut peer = Self {
            worker: Worker::new(WorkerConfig::default(), thread, Some(Instant::now())),
            orders: InputSession::new(),
            queries: InputSession::new(),
            probe: ProbeHandle::new(),
            time: 0,
            of: orders,
            pending: Vec::new(),
            class,
            tally: Rc::default(),
        };
        peer.build();
        peer
    }

    fn load(&mut self, orders: Vec<Change>) {
        match self.class {
            Class::A1 => self.pending = orders,
            Class::B(_) | Class::D(_) => self.apply(orders),
        }
    }

    fn open(&mut self) {
        if self.class == Class::A1 {
            let orders = mem::take(&mut self.pending);
            return self.apply(orders);
        }
        for query in 0..self.class.queries() {
            let keys = self.class.keys(query, self.of);
            let buckets = bucket(self.class, keys.start)..=bucket(self.class, keys.end - 1);
            buckets.for_each(|bucket| self.queries.insert((bucket, (query, keys.start))));
        }
        self.run();
    }

    fn prepare(&self, changes: Vec<Change>) -> Vec<Change> {
        changes
    }

    fn apply(&mut self, commit: Vec<Change>) {
        for Change { before, after } in commit {
            before.into_iter().for_each(|order| self.orders.remove(order));
            after.into_iter().for_each(|order| self.orders.insert(order));
        }
        self.run();
    }

    fn tally(&self) -> Tally {
        *self.tally.borrow()
    }
}

impl Differential {
    fn build(&mut self) {
        let (class, tally) = (self.class, self.tally.clone());
        let (inputs, query_inputs, probe) = (&mut self.orders, &mut self.queries, &self.probe);
        self.worker.dataflow(|scope| {
            let orders = inputs.to_collection(scope);
            let queries = query_inputs.to_collection(scope);
            let matches: VecCollection<_, (u32, Row), isize> = match class {
                Class::A1 => orders.filter(|order| order.status == PROCESSING).map(|order| (0, row(order))),
                Class::B(_) | Class::D(_) => orders
                    .map(move |order| (bucket(class, class.key(&order)), row(order)))
                    .arrange_by_key()
                    .join_core(queries.arrange_by_key(), move |_, row, (query, from)| {
                        (*from..from + class.span())
                            .contains(&class.key(&row.2))
                            .then(|| (*query, row.clone()))
                    }),
            };
            matches
                .reduce(|_, rows, first| {
                    first.extend(rows.iter().take(CAP).map(|(row, _)| ((*row).clone(), 1)))
                })
                .inspect(move |((query, (_, order, _)), _, weight)| {
                    tally.borrow_mut().count(*query, *order, *weight as i64);
                })
                .probe_with(probe);
        });
    }

    fn run(&mut self) {
        self.time += 1;
        let time = self.time;
        self.orders.advance_to(time);
        self.orders.flush();
        self.queries.advance_to(time);
        self.queries.flush();
        self.worker.step_while(|| self.probe.less_than(&time));
    }
}

fn row(order: Arc<Order>) -> Row {
    (u32::MAX - order.created, order.number, order)
}

/// What is joined: the customer, or as many totals as a query spans, so that it spans two buckets at most.
fn bucket(class: Class, key: u32) -> u32 {
    key / class.span()
}

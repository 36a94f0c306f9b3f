//! What must hold whenever everything has arrived, and in the end.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use liveset_hub::{
    LiveUpdate,
    test_kit::{ClientId, World},
};

use super::{Client, Sim, Tally, Watched, as_seen};
use crate::simulator::{
    mirror::{Held, State},
    oracle::{self, Nanos, Query, Shown, Store, Val},
};

impl Sim {
    /// Lets everything arrive, then compares every client that reads, and every watch, with the oracle.
    pub(super) fn check(&mut self) {
        self.arrive();
        let now = self.wall();
        let mut cache: BTreeMap<(*const Query, &str), Shown> = BTreeMap::new();
        let sessions = self.r.usize(..4) == 0;
        for c in 0..self.clients.len() {
            if self.clients[c].stalled {
                self.clients[c].behind = true;
                continue;
            }
            if let Some(folded) = self.folded(c) {
                self.clients[c].folded = folded;
            }
            let left = std::mem::take(&mut self.clients[c].mirror.left);
            let behind = std::mem::take(&mut self.clients[c].behind);
            let client = &self.clients[c];
            // Where messages are under way for some time, time steps while they arrive.
            if self.moves <= 1 && !behind && self.setup.latency.is_zero() {
                for (id, node, reason) in &left {
                    check_reason(&self.store, client, id, node, reason, now);
                }
            }
            for (id, held) in &client.mirror.queries {
                assert_eq!(
                    held.state,
                    State::Loaded,
                    "{id} of client {c} has loaded, {:?}",
                    client.mirror.errors
                );
                let shown = cache.entry((Rc::as_ptr(&held.query), client.token)).or_insert_with(|| {
                    self.store.result(&as_seen(&held.query, client.token), now, self.setup.cap)
                });
                self.tally.comparisons += 1;
                self.tally.rows_compared += shown.rows.len();
                if let Some(what) = held.differs(shown) {
                    panic!(
                        "client {c}, {id}: {what}\n  at {}\n  query {:?}\n  text {}\n  holds {:?}\n  oracle {:?}",
                        oracle::format_instant(now),
                        held.query,
                        held.query.json(&mut |_| 0),
                        held.rows.iter().map(|(id, _)| id).collect::<Vec<_>>(),
                        shown.rows.iter().map(|(id, _)| id).collect::<Vec<_>>(),
                    );
                }
                if sessions {
                    compare_session(&mut self.world, client.id, id, held);
                }
            }
        }
        if self.r.usize(..3) == 0 {
            self.check_watches(now);
        }
        self.moves = 0;
    }

    fn check_watches(&mut self, now: Nanos) {
        for (id, watched) in &mut self.watches {
            while let Some(event) = self.world.hub_mut().poll_watch(*id) {
                watched.take(event, &mut self.tally);
            }
            let shown = self.store.result(&watched.query, now, self.setup.cap);
            assert_eq!(
                watched.count,
                (shown.total, shown.capped),
                "the count of a watch of {:?}",
                watched.query
            );
            let mut rows: Vec<_> = watched.rows.iter().collect();
            rows.sort_by(|a, b| a.1.0.cmp(&b.1.0));
            assert_eq!(rows.len(), shown.rows.len(), "the rows of a watch of {:?}", watched.query);
            for ((id, (_, data)), (expected, shown)) in rows.into_iter().zip(&shown.rows) {
                assert!(
                    id == expected && oracle::same(data, shown),
                    "{id} {data:?} is not {expected} {shown:?}"
                );
            }
        }
    }

    /// Everyone reads, everything is compared; then everyone goes, and nothing may stay.
    pub(super) fn end(&mut self) {
        for c in 0..self.clients.len() {
            if self.clients[c].stalled {
                self.clients[c].stalled = false;
                self.world.unstall(self.clients[c].id);
            }
        }
        self.check();
        self.tally.set_back = self.world.hub().stats().engine.clock_set_back;
        self.tally.resumes_missed = self.world.hub().stats().resumes_missed;
        self.tally.handed_past = self.world.hub().stats().handed_past;
        for client in &self.clients {
            self.world.cut(client.id);
            self.tally.diffs += client.mirror.diffs;
            self.tally.in_order += client.mirror.in_order;
            self.tally.resumed += client.mirror.resumed;
            self.tally.resumed_by_rows += client.mirror.resumed_by_rows;
            self.tally.frames += client.mirror.frames;
        }
        for id in self.watches.keys() {
            self.world.hub_mut().unwatch(*id);
        }
        // Those that vanished are found by their deadlines, feeds linger for a minute.
        self.world.run_for(Duration::from_secs(180));
        let stats = self.world.hub().stats();
        assert_eq!((stats.subscriptions, stats.live_queries, stats.watches), (0, 0, 0), "{stats:?}");
        assert_eq!((stats.feeds, stats.subscribed_paths, stats.resume_log_changes), (0, 0, 0), "{stats:?}");
        assert_eq!((stats.engine.feeds, stats.engine.views, stats.engine.deadlines), (0, 0, 0), "{stats:?}");
    }
}

impl Watched {
    fn take(&mut self, event: LiveUpdate, tally: &mut Tally) {
        let parse = |data: &[u8]| Val::parse(data).expect("a node is JSON");
        match event {
            LiveUpdate::Snapshot(snapshot) => {
                self.count = (snapshot.count.total, snapshot.count.capped);
                for row in &snapshot.rows {
                    self.rows.insert(row.id().to_owned(), (row.order_key().to_vec(), parse(row.json())));
                }
            }
            LiveUpdate::Batch(batch) => {
                tally.folded_watches += 1;
                let count = batch.count.expect("the count is followed");
                self.count = (count.total, count.capped);
                for change in &batch.changes {
                    let id = change.id();
                    assert_eq!(self.rows.contains_key(id), change.before().is_some(), "{change:?}");
                    match change.after() {
                        Some(row) => {
                            let held = (row.order_key().to_vec(), parse(row.json()));
                            self.rows.insert(id.to_owned(), held)
                        }
                        None => self.rows.remove(id),
                    };
                }
            }
        }
    }
}

/// The library's own client must show what the messages say.
fn compare_session(world: &mut World, client: ClientId, id: &str, held: &Held) {
    let result = world.session(client).live_query(id).expect("the client has it too");
    assert!(result.is_loaded() && result.len() == held.rows.len(), "{id} in the client");
    assert_eq!(result.version(), held.version.as_deref(), "the version of {id} in the client");
    assert_eq!(
        (result.total_count(), result.capped()),
        (held.total, held.capped),
        "the count of {id} in the client"
    );
    for (node, data) in &held.rows {
        let row = result.row(node).and_then(|row| Val::parse(row)).expect("a row");
        assert!(oracle::same(&row, data), "{node} of {id} in the client");
    }
    if let Some(ordered) = result.ordered() {
        assert!(
            ordered.map(|(node, _)| &**node).eq(held.rows.iter().map(|(node, _)| &**node)),
            "the order of {id}"
        );
    }
}

/// Where one commit or one step of time lies between two comparisons, what a removal gives as its reason must be so.
fn check_reason(store: &Store, client: &Client, id: &str, node: &str, reason: &str, now: Nanos) {
    let Some(held) = client.mirror.queries.get(id) else { return };
    let query = as_seen(&held.query, client.token);
    let matches = store.node(&query.set, node).map(|value| query.matches(value, now));
    if reason == "forbidden" {
        return;
    }
    let expected: &[&str] = match matches {
        None => &["deleted"],
        Some(true) => &["displaced"],
        Some(false) => &["filter", "expired"],
    };
    assert!(expected.contains(&reason), "{node} left {id} for the reason '{reason}', not {expected:?}");
}

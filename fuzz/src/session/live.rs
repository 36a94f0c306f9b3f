//! A live query as its client knows it.

use std::collections::{BTreeMap, VecDeque};

use liveset_core::{Count, LiveQueryOptions, Row, Snapshot, Ticket};

use super::answer::Told;
use super::world::{CAP, View, World, reason_names, version_text};

#[derive(Debug)]
pub(super) struct Live {
    pub(super) ticket: Ticket,
    pub(super) options: LiveQueryOptions,
    pub(super) view: View,
    /// What the client had when it was suspended.
    pub(super) suspended: Option<Snapshot>,
    /// The first rows that are still to come.
    loading: Option<VecDeque<String>>,
    rows: BTreeMap<String, String>,
    /// With `positions`.
    order: Vec<String>,
    count: Count,
    /// Whether the snapshot was capped.
    was_capped: bool,
    /// With `resume`: the version that it was told last.
    version: String,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn row(row: &Row) -> (String, String) {
    (row.id().to_owned(), text(row.json()))
}

impl Live {
    pub(super) fn created(ticket: Ticket, options: LiveQueryOptions, view: View, window: &Snapshot) -> Live {
        Live {
            ticket,
            options,
            view,
            suspended: None,
            loading: Some(window.rows.iter().map(|row| text(row.json())).collect()),
            rows: BTreeMap::new(),
            order: Vec::new(),
            count: window.count,
            was_capped: window.count.capped,
            version: version_text(view, window.version),
        }
    }

    /// The client has what it had then.
    pub(super) fn resumed(
        ticket: Ticket,
        options: LiveQueryOptions,
        view: View,
        (since, had): (&str, &Snapshot),
        window: &Snapshot,
    ) -> Live {
        Live {
            loading: None,
            rows: had.rows.iter().map(row).collect(),
            order: had.rows.iter().map(|row| row.id().to_owned()).collect(),
            // Where nothing has changed it is the version of now.
            version: match had.rows == window.rows {
                true => version_text(view, window.version),
                false => since.to_owned(),
            },
            ..Live::created(ticket, options, view, window)
        }
    }

    /// The version that its client is told with the answer.
    pub(super) fn version(&self) -> Option<String> {
        self.options.resume.then(|| self.version.clone())
    }

    /// Nothing that was not sent will be: the first rows end where they are.
    pub(super) fn suspend(&mut self, had: Snapshot) {
        let rows: BTreeMap<_, _> = had.rows.iter().map(row).collect();
        assert_eq!(rows, self.rows, "what the client has");
        assert!(had.rows.is_sorted_by(|a, b| a.order_key() < b.order_key()), "in order");
        if let Some(loading) = &mut self.loading {
            loading.clear();
        }
        self.suspended = Some(had);
    }

    /// A message of this live query.
    pub(super) fn take(&mut self, message: &Told, world: &World, chunk_rows: usize) {
        match message {
            Told::Data { data, has_more, capped } => {
                let loading = self.loading.as_mut().expect("it is loading");
                assert!(data.len() <= chunk_rows && (!data.is_empty() || loading.is_empty()));
                for data in data {
                    let next = loading.pop_front();
                    assert_eq!(Some(data), next.as_ref(), "the rows of the snapshot, in order");
                    let id = data[7..8].to_owned();
                    self.order.push(id.clone());
                    self.rows.insert(id, data.clone());
                }
                assert_eq!((*has_more, *capped), (!loading.is_empty(), self.was_capped));
                if !has_more {
                    self.loading = None;
                }
            }
            Told::Added { node_id, data, index, reason, version } => {
                assert_eq!(reason.as_deref(), self.reason(reason_names(node_id).0));
                let old = self.rows.insert(node_id.clone(), data.clone());
                assert_eq!(old, None, "what is added was not there");
                self.place(node_id, *index);
                self.told(version.as_deref(), world);
            }
            Told::Updated { node_id, data, index, version } => {
                let old = self.rows.insert(node_id.clone(), data.clone());
                assert!(old.is_some_and(|old| old != *data), "what is updated was there and changed");
                self.order.retain(|id| id != node_id);
                self.place(node_id, *index);
                self.told(version.as_deref(), world);
            }
            Told::Removed { node_id, reason, version } => {
                assert_eq!(reason.as_deref(), self.reason(reason_names(node_id).1));
                assert!(self.rows.remove(node_id).is_some(), "what is removed was there");
                self.order.retain(|id| id != node_id);
                self.told(version.as_deref(), world);
            }
            Told::Count { total_count, capped } => {
                assert!(self.options.counts);
                let before =
                    std::mem::replace(&mut self.count, Count { total: *total_count, capped: *capped });
                assert_ne!(before, self.count, "it is told where it changed");
            }
            Told::Event { .. } | Told::Warning { .. } => panic!("{message:?} is of no live query"),
        }
        assert!(self.rows.len() <= CAP, "more than the cap");
    }

    /// The reason that it is told, if it asked for reasons.
    fn reason(&self, name: &'static str) -> Option<&'static str> {
        self.options.reasons.then_some(name)
    }

    fn place(&mut self, id: &str, index: Option<u64>) {
        assert_eq!(index.is_some(), self.options.positions);
        if let Some(index) = index {
            self.order.insert(index as usize, id.to_owned());
        }
    }

    /// A diff came: after first rows only. A version that is new is that of what the client has then.
    fn told(&mut self, version: Option<&str>, world: &World) {
        assert!(self.loading.is_none(), "no diff precedes the last chunk");
        assert_eq!(version.is_some(), self.options.resume);
        let Some(version) = version.filter(|version| **version != *self.version) else { return };
        self.version = version.to_owned();
        let (_, window) = world.known(version).expect("it is a version");
        self.assert_has(window, "of its version");
    }

    fn assert_has(&self, window: &Snapshot, what: &str) {
        let rows: BTreeMap<_, _> = window.rows.iter().map(row).collect();
        assert_eq!(self.rows, rows, "{what}");
        if self.options.positions {
            let order: Vec<_> = window.rows.iter().map(|row| row.id().to_owned()).collect();
            assert_eq!(self.order, order, "{what}");
        }
    }

    /// Nothing waits: the client has the result.
    pub(super) fn check(&self, world: &World) {
        assert!(self.loading.is_none(), "all first rows were sent");
        if let Some(had) = &self.suspended {
            return self.assert_has(had, "what it had");
        }
        let window = world.window(self.view);
        self.assert_has(window, "the result");
        if self.options.counts {
            assert_eq!(self.count, window.count);
        }
    }
}

//! A live query as its client knows it.

use std::collections::{BTreeMap, VecDeque};

use liveset_core::{Count, Etag, LiveQueryOptions, Row, Snapshot, Ticket};

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
    /// With `resume`: the version that it was told last; `None` while it has none.
    version: Option<String>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn etag(id: &str, json: &str) -> String {
    Etag::of(id, json.as_bytes()).to_string()
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
            version: Some(version_text(view, window.version)),
        }
    }

    /// The client has what it had then.
    pub(super) fn resumed(
        ticket: Ticket,
        options: LiveQueryOptions,
        view: View,
        (since, had): (Option<&str>, &[Row]),
        window: &Snapshot,
    ) -> Live {
        Live {
            loading: None,
            rows: had.iter().map(row).collect(),
            order: had.iter().map(|row| row.id().to_owned()).collect(),
            // Where nothing has changed it is the version of now.
            version: match had == window.rows || (since.is_none() && had.len() == window.rows.len()) {
                true => Some(version_text(view, window.version)),
                false => since.map(str::to_owned),
            },
            ..Live::created(ticket, options, view, window)
        }
    }

    pub(super) fn has_loaded(&self) -> bool {
        self.loading.is_none()
    }

    /// Whether the client has this result.
    pub(super) fn has(&self, window: &Snapshot) -> bool {
        window.rows.iter().map(row).collect::<BTreeMap<_, _>>() == self.rows
    }

    /// The version that its client is told with the answer.
    pub(super) fn version(&self) -> Option<String> {
        self.version.clone().filter(|_| self.options.resume)
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
            Told::Data { data, etags, has_more, capped } => {
                let loading = self.loading.as_mut().expect("it is loading");
                let mut expected = Vec::new();
                assert!(data.len() <= chunk_rows && (!data.is_empty() || loading.is_empty()));
                for data in data {
                    let next = loading.pop_front();
                    assert_eq!(Some(data), next.as_ref(), "the rows of the snapshot, in order");
                    let id = data[7..8].to_owned();
                    expected.push(etag(&id, data));
                    self.order.push(id.clone());
                    self.rows.insert(id, data.clone());
                }
                assert_eq!(*etags, self.options.resume.then_some(expected));
                assert_eq!((*has_more, *capped), (!loading.is_empty(), self.was_capped));
                if !has_more {
                    self.loading = None;
                }
            }
            Told::Added { node_id, data, index, reason, version, etag: told } => {
                self.check_reason(reason.as_deref(), reason_names(node_id).0);
                assert_eq!(*told, self.options.resume.then(|| etag(node_id, data)));
                let old = self.rows.insert(node_id.clone(), data.clone());
                assert_eq!(old, None, "what is added was not there");
                self.place(node_id, *index);
                self.told(version.as_deref(), world);
            }
            Told::Updated { node_id, data, index, version, etag: told } => {
                assert_eq!(*told, self.options.resume.then(|| etag(node_id, data)));
                let old = self.rows.insert(node_id.clone(), data.clone());
                assert!(old.is_some_and(|old| old != *data), "what is updated was there and changed");
                self.order.retain(|id| id != node_id);
                self.place(node_id, *index);
                self.told(version.as_deref(), world);
            }
            Told::Removed { node_id, reason, version } => {
                self.check_reason(reason.as_deref(), reason_names(node_id).1);
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

    /// It is told a reason if it asked for reasons; what it lacked when it was resumed by its rows comes without.
    fn check_reason(&self, reason: Option<&str>, name: &'static str) {
        let is_free = self.options.resume && self.version.is_none() && reason.is_none();
        assert!(is_free || reason == self.options.reasons.then_some(name), "{reason:?}, not {name}");
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
        assert!(version.is_some() || !self.options.resume || self.version.is_none());
        let Some(version) = version.filter(|version| Some(*version) != self.version.as_deref()) else {
            return;
        };
        assert!(self.options.resume);
        self.version = Some(version.to_owned());
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

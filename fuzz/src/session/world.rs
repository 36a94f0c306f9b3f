//! The nodes, two results over them, and all that these ever were.

use std::collections::BTreeMap;
use std::sync::Arc;

use liveset_core::{Batch, Change, Count, Reason, Row, Snapshot};

use super::live::Live;

/// The most rows of a result.
pub(super) const CAP: usize = 3;

/// Everything, and the nodes with an even number: what one principal may see, and another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    All,
    Even,
}

impl View {
    pub(super) const BOTH: [View; 2] = [View::All, View::Even];

    pub(super) fn other(self) -> View {
        match self {
            View::All => View::Even,
            View::Even => View::All,
        }
    }

    pub(super) fn mark(self) -> &'static str {
        match self {
            View::All => "",
            View::Even => "even-",
        }
    }
}

#[derive(Debug)]
pub(super) struct World {
    nodes: BTreeMap<char, u8>,
    pub(super) version: u64,
    /// By version, as clients are told it.
    history: BTreeMap<String, (View, Snapshot)>,
}

impl World {
    pub(super) fn new() -> World {
        let mut world =
            World { nodes: BTreeMap::from([('a', 4), ('b', 1)]), version: 1, history: BTreeMap::new() };
        world.remember();
        world
    }

    /// The result now.
    pub(super) fn window(&self, view: View) -> &Snapshot {
        &self.history[&version_text(view, self.version)].1
    }

    /// The result that had this version.
    pub(super) fn known(&self, version: &str) -> Option<&(View, Snapshot)> {
        self.history.get(version)
    }

    /// Whether all of these that have loaded show the results of one version, which is no earlier than this one.
    pub(super) fn shows_since<'a>(&self, first: u64, all: impl IntoIterator<Item = &'a Live>) -> bool {
        let loaded: Vec<&Live> = all.into_iter().filter(|live| live.has_loaded()).collect();
        let shows = |live: &&Live, version| live.has(&self.history[&version_text(live.view, version)].1);
        (first..=self.version).any(|version| loaded.iter().all(|live| shows(live, version)))
    }

    /// What a commit changes in each result.
    pub(super) fn commit(&mut self, writes: &[(char, Option<u8>)]) -> [Arc<Batch>; 2] {
        for (node, number) in writes {
            match number {
                Some(number) => self.nodes.insert(*node, *number),
                None => self.nodes.remove(node),
            };
        }
        let before = View::BOTH.map(|view| self.window(view).clone());
        self.version += 1;
        self.remember();
        let batch = |n: usize| Arc::new(difference(&before[n], self.window(View::BOTH[n])));
        [batch(0), batch(1)]
    }

    fn remember(&mut self) {
        for view in View::BOTH {
            let mut nodes: Vec<(u8, char)> =
                self.nodes.iter().map(|(node, number)| (*number, *node)).collect();
            nodes.retain(|(number, _)| view == View::All || number % 2 == 0);
            nodes.sort();
            let row = |(number, node): &(u8, char)| {
                let json = format!("{{\"id\":\"{node}\",\"n\":{number}}}");
                Row::new(node.to_string(), json, format!("{number}{node}"))
            };
            let window = Snapshot {
                version: self.version,
                count: Count::new(nodes.len() as u64, CAP),
                rows: nodes.iter().take(CAP).map(row).collect(),
            };
            self.history.insert(version_text(view, self.version), (view, window));
        }
    }
}

pub(super) fn version_text(view: View, version: u64) -> String {
    format!("{}{version}", view.mark())
}

/// Why a node comes and goes: always for the same, so that folding changes nothing about it.
fn reasons(id: &str) -> (Reason, Reason) {
    match id {
        "a" | "d" => (Reason::Created, Reason::Deleted),
        "b" | "e" => (Reason::Refilled, Reason::Displaced),
        _ => (Reason::Filter, Reason::Filter),
    }
}

/// The same, as clients are told it.
pub(super) fn reason_names(id: &str) -> (&'static str, &'static str) {
    match id {
        "a" | "d" => ("created", "deleted"),
        "b" | "e" => ("refilled", "displaced"),
        _ => ("filter", "filter"),
    }
}

/// What makes one result into another: removals first, then the order of the result.
pub(super) fn difference(before: &Snapshot, after: &Snapshot) -> Batch {
    let find = |window: &Snapshot, id: &str| window.rows.iter().find(|row| row.id() == id).cloned();
    let gone = before.rows.iter().filter(|row| find(after, row.id()).is_none());
    let left = gone.map(|row| Change::Removed { row: row.clone(), reason: Some(reasons(row.id()).1) });
    let came = after.rows.iter().filter_map(|row| match find(before, row.id()) {
        None => Some(Change::Added { row: row.clone(), reason: Some(reasons(row.id()).0) }),
        Some(old) if old == *row => None,
        Some(before) => Some(Change::Updated { before, row: row.clone() }),
    });
    Batch { version: after.version, count: Some(after.count), changes: left.chain(came).collect() }
}

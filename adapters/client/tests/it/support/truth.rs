//! Every state that the rows have had, and what queries show of them: by code that shares nothing with the engine's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use liveset_client::{Change, Client, LiveBuilder, LiveQuery, Status};
use tokio::task::JoinHandle;

use super::Row;
use super::server::ROWS;

/// The rows by id.
pub type Table = BTreeMap<String, Row>;

/// A query, as the oracle knows it.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub g: Option<u64>,
    pub limit: usize,
}

/// The queries that are watched.
pub const ASKED: [Asked; 4] = [
    Asked { g: None, limit: 1_000 },
    Asked { g: None, limit: 4 },
    Asked { g: Some(1), limit: 1_000 },
    Asked { g: Some(2), limit: 0 },
];

impl Asked {
    pub fn live(&self, client: &Client) -> LiveBuilder<Row> {
        let live = client.live::<Row>(ROWS).order_by("n").limit(self.limit as u64);
        match self.g {
            Some(g) => live.filter("g == $g").bind("g", g),
            None => live,
        }
    }

    /// The result, and how many match.
    pub fn result(&self, table: &Table) -> (Vec<Row>, u64) {
        let mut rows: Vec<Row> =
            table.values().filter(|row| self.g.is_none_or(|g| row.g == g)).cloned().collect();
        rows.sort_by(|a, b| (a.n, &a.id).cmp(&(b.n, &b.id)));
        let count = rows.len() as u64;
        rows.truncate(self.limit);
        (rows, count)
    }
}

/// Every state that there has been.
pub type History = Arc<Mutex<Vec<Table>>>;

pub fn newest(history: &History) -> Table {
    history.lock().unwrap().last().cloned().unwrap_or_default()
}

/// Watches a query for frames that never were, and folds its stream.
pub struct Watcher {
    asked: Asked,
    seen: Arc<Mutex<Seen>>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Default)]
struct Seen {
    shown: Vec<Row>,
    count: u64,
    is_live: bool,
    frames: usize,
    batches: usize,
    folded: Table,
}

impl Watcher {
    pub fn new(client: &Client, history: &History, asked: Asked) -> Watcher {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let frames = tokio::spawn(watch(asked.live(client).open(), asked, history.clone(), seen.clone()));
        let batches = tokio::spawn(fold(asked.live(client).open(), seen.clone()));
        Watcher { asked, seen, tasks: [frames, batches] }
    }

    /// Whether what is shown, and what the changes have led to, is the truth.
    pub fn is_true(&self, table: &Table) -> bool {
        let seen = self.seen.lock().unwrap();
        let (rows, count) = self.asked.result(table);
        let folded: Table = rows.iter().map(|row| (row.id.clone(), row.clone())).collect();
        // Of no rows, nothing folded says that the stream has begun.
        seen.batches > 0 && seen.is_live && seen.shown == rows && seen.count == count && seen.folded == folded
    }

    /// Frames and batches so far. Panics where one of them was wrong.
    pub async fn check(&mut self) -> (usize, usize) {
        for task in &mut self.tasks {
            if task.is_finished() {
                task.await.expect("all frames and batches are right");
                panic!("the live query has ended");
            }
        }
        let seen = self.seen.lock().unwrap();
        (seen.frames, seen.batches)
    }

    pub fn describe(&self) -> String {
        let seen = self.seen.lock().unwrap();
        format!("{:?}: live {}, {:?}, folded {:?}", self.asked, seen.is_live, seen.shown, seen.folded)
    }
}

impl Drop for Watcher {
    /// Else the client would go on, and find another test's server where its own has been.
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Each frame is a moment that was, and moments do not go back.
async fn watch(mut live: LiveQuery<Row>, asked: Asked, history: History, seen: Arc<Mutex<Seen>>) {
    let (mut moment, mut was_shown) = (0, false);
    while live.changed().await {
        let status = live.status();
        let rows = live.rows();
        assert!(rows.errors().is_empty());
        was_shown |= !matches!(status, Status::Loading { .. });
        let shown: Vec<Row> = rows.iter().map(|row| (**row).clone()).collect();
        if was_shown {
            let history = history.lock().unwrap();
            let later = history[moment..]
                .iter()
                .position(|table| asked.result(table) == (shown.clone(), rows.total_count()));
            moment += later.unwrap_or_else(|| {
                panic!("{asked:?}: no moment since {moment} shows {} in all, {shown:?}", rows.total_count())
            });
        }
        let mut seen = seen.lock().unwrap();
        (seen.shown, seen.count, seen.is_live) = (shown, rows.total_count(), status.is_live());
        seen.frames += 1;
    }
}

/// Nothing is added twice, and nothing else is changed or removed than what is there.
async fn fold(mut live: LiveQuery<Row>, seen: Arc<Mutex<Seen>>) {
    while let Some(batch) = live.next().await {
        let batch = batch.expect("rows that can be read");
        let mut seen = seen.lock().unwrap();
        seen.batches += 1;
        for change in batch.changes {
            match change {
                Change::Added { id, row, .. } => {
                    assert!(
                        seen.folded.insert(id.to_string(), (*row).clone()).is_none(),
                        "{id} was added twice"
                    );
                }
                Change::Updated { id, row } => {
                    assert!(
                        seen.folded.insert(id.to_string(), (*row).clone()).is_some(),
                        "{id} is not there"
                    );
                }
                Change::Removed { id, .. } => {
                    assert!(seen.folded.remove(&*id).is_some(), "{id} is not there to remove");
                }
                _ => panic!("a change of another kind"),
            }
        }
    }
}

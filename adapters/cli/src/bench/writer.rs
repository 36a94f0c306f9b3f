//! Writes that keep to their times.
//!
//! A thread that does nothing else says when each commit is due, and puts the moment into the queue of a writer. Each
//! writer has one HTTP connection and nodes of its own. A server that is slow makes the queues longer, not the
//! moments later.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use hyper::StatusCode;
use liveset_server::terminal;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::plan::Workload;
use super::receiver::Shared;
use super::schedule::{Nanos, Schedule};
use crate::client::{self, Client, Outcome};
use crate::load::{histogram, lock};

/// How long writes may go on after the last one was due.
const OVERTIME: Duration = Duration::from_secs(10);
/// With so many failures in a row a writer gives up.
const FAILURES: u32 = 10;
/// Between two attempts after a failure.
const PAUSE: Duration = Duration::from_millis(50);
/// The largest commit while nodes are put in place or removed.
const BULK: usize = 1_000;

/// What was written.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    pub(super) commits: u64,
    pub(super) changes: u64,
    pub(super) events: u64,
    /// Commits and events that were refused, or not answered.
    pub(super) failed: u64,
}

/// What became of the writes.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) counts: Counts,
    /// Diffs that follow from the commits, for connections that read and those that stall.
    due: [u64; 2],
    /// Commits that were due in a window and answered.
    pub(super) in_windows: u64,
    /// From the moment a commit was due to its answer.
    pub(super) answered: Histogram<u64>,
    /// From the moment a commit or an event was due to its sending.
    pub(super) sent_late: Histogram<u64>,
}

/// What the writers share.
#[derive(Debug)]
pub(super) struct Writes {
    written: Mutex<Written>,
    stop: AtomicBool,
    /// The live queries on each group, where they tell what is due.
    watchers: Option<Vec<[u32; 2]>>,
}

impl Writes {
    pub(super) fn new(watchers: Option<Vec<[u32; 2]>>) -> Writes {
        let (answered, sent_late) = (histogram(), histogram());
        let written = Written { counts: Counts::default(), due: [0; 2], in_windows: 0, answered, sent_late };
        Writes { written: Mutex::new(written), stop: AtomicBool::new(false), watchers }
    }

    pub(super) fn written(&self) -> Written {
        lock(&self.written).clone()
    }

    /// The diffs that were due, where that is known: every commit was answered, and queries say it.
    pub(super) fn due(&self) -> Option<[u64; 2]> {
        let written = lock(&self.written);
        (self.watchers.is_some() && written.counts.failed == 0).then_some(written.due)
    }

    /// No more is written.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Puts the nodes in place.
pub(super) async fn load(shared: &Shared, workloads: &mut [Workload]) -> Result<(), String> {
    let client = Client::new(shared.url.clone(), None, shared.token.expose())?;
    for workload in workloads {
        for commit in workload.initial(BULK) {
            post(&client, "/batch", commit).await.map_err(|error| explain(&error, &shared.plan.set))?;
        }
    }
    Ok(())
}

/// Takes the nodes away again.
pub(super) async fn unload(shared: &Shared) -> Result<(), String> {
    let client = Client::new(shared.url.clone(), None, shared.token.expose())?;
    for writer in 0..shared.plan.writers {
        for commit in shared.plan.workload(writer).removal(BULK) {
            post(&client, "/batch", commit).await?;
        }
    }
    Ok(())
}

fn explain(error: &str, set: &str) -> String {
    let hint = match error.contains("unknown set") {
        true => format!(
            "; the server needs the set: `liveset serve --set {set}`, or name one of its own with --set"
        ),
        false => String::new(),
    };
    format!("the nodes cannot be written: {error}{hint}")
}

/// Writes by these schedules until their end, and a little longer for what is late.
pub(super) async fn run(
    shared: Arc<Shared>,
    writes: Arc<Writes>,
    workloads: Vec<Workload>,
    commits: Schedule,
    events: Option<Schedule>,
) -> Result<(), String> {
    let mut tasks = JoinSet::new();
    let mut queues = Vec::new();
    for workload in workloads {
        let (queue, due) = mpsc::unbounded_channel();
        queues.push(queue);
        tasks.spawn(write(shared.clone(), writes.clone(), workload, due));
    }
    pace(shared.clone(), writes.clone(), commits, queues);
    if let (Some(schedule), Some((path, event))) = (events, shared.events.clone()) {
        // As many as there are writers: one alone would be bound by the time that an answer takes.
        let mut queues = Vec::new();
        for _ in 0..shared.plan.writers {
            let (queue, due) = mpsc::unbounded_channel();
            queues.push(queue);
            tasks.spawn(publish(shared.clone(), writes.clone(), path.clone(), event.clone(), due));
        }
        pace(shared.clone(), writes.clone(), schedule, queues);
    }
    let end = shared.meter.clock.until(commits.end) + OVERTIME;
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| format!("a writer failed: {error}"))??;
        }
        Ok(())
    };
    let result = tokio::time::timeout(end, all).await.unwrap_or(Ok(()));
    writes.stop();
    result
}

/// Says what is due, in turn to each queue, from a thread of its own: the runtime's timers have a grain of 1 ms, and
/// would add it to every latency.
fn pace(
    shared: Arc<Shared>,
    writes: Arc<Writes>,
    schedule: Schedule,
    queues: Vec<mpsc::UnboundedSender<Nanos>>,
) {
    std::thread::spawn(move || {
        let clock = shared.meter.clock;
        for (n, queue) in queues.iter().cycle().enumerate() {
            let Some(due) = schedule.due(n as u64) else { return };
            loop {
                if writes.stop.load(Ordering::Relaxed) {
                    return;
                }
                // In short sleeps, so that it stops soon.
                match clock.until(due).min(Duration::from_millis(200)) {
                    Duration::ZERO => break,
                    left => std::thread::sleep(left),
                }
            }
            // A writer that gave up is told of nothing more.
            let _ = queue.send(due);
        }
    });
}

async fn write(
    shared: Arc<Shared>,
    writes: Arc<Writes>,
    mut workload: Workload,
    mut queue: mpsc::UnboundedReceiver<Nanos>,
) -> Result<(), String> {
    let client = Client::new(shared.url.clone(), None, shared.token.expose())?;
    let clock = shared.meter.clock;
    let mut failures = 0;
    while let Some(due) = queue.recv().await {
        let (mut diffs, mut changes) = ([0_u64; 2], 0);
        let body = workload.commit(due, |before, after| {
            changes += 1;
            let Some(watchers) = &writes.watchers else { return };
            for side in 0..2 {
                diffs[side] += u64::from(watchers[before as usize][side]);
                if after != before {
                    diffs[side] += u64::from(watchers[after as usize][side]);
                }
            }
        });
        let sent = clock.now();
        match post(&client, "/batch", body).await {
            Ok(()) => {
                failures = 0;
                let mut written = lock(&writes.written);
                written.counts.commits += 1;
                written.counts.changes += changes;
                for (all, diffs) in written.due.iter_mut().zip(diffs) {
                    *all += diffs;
                }
                if is_measured(&shared, due) {
                    written.in_windows += 1;
                    written.answered.saturating_record(clock.now().saturating_sub(due) / 1_000);
                    written.sent_late.saturating_record(sent.saturating_sub(due) / 1_000);
                }
            }
            Err(error) => failed(&shared, &writes, &mut failures, "a commit", error).await?,
        }
    }
    Ok(())
}

async fn publish(
    shared: Arc<Shared>,
    writes: Arc<Writes>,
    path: String,
    event: String,
    mut queue: mpsc::UnboundedReceiver<Nanos>,
) -> Result<(), String> {
    let client = Client::new(shared.url.clone(), None, shared.token.expose())?;
    let mut failures = 0;
    while let Some(due) = queue.recv().await {
        let sent = format!("{}:{due}", shared.plan.run);
        let body = serde_json::json!({ "path": path, "eventType": event, "data": { "sent": sent } });
        let late = shared.meter.clock.now().saturating_sub(due);
        if is_measured(&shared, due) {
            lock(&writes.written).sent_late.saturating_record(late / 1_000);
        }
        match post(&client, "/events", body.to_string()).await {
            Ok(()) => {
                failures = 0;
                lock(&writes.written).counts.events += 1;
            }
            Err(error) => failed(&shared, &writes, &mut failures, "an event", error).await?,
        }
    }
    Ok(())
}

/// Whether something that is due then is measured.
fn is_measured(shared: &Shared, due: Nanos) -> bool {
    shared.meter.windows().is_some_and(|windows| windows.of(due).is_some())
}

async fn failed(
    shared: &Shared,
    writes: &Writes,
    failures: &mut u32,
    what: &str,
    error: String,
) -> Result<(), String> {
    *failures += 1;
    lock(&writes.written).counts.failed += 1;
    if *failures == FAILURES {
        return Err(format!("{FAILURES} writes in a row failed: {error}"));
    }
    shared.meter.trouble(|| format!("{what} failed: {error}"));
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

/// Posts JSON; what is not answered with 200 is an error.
async fn post(client: &Client, path: &str, body: String) -> Result<(), String> {
    match client.post(path, Bytes::from(body)).await {
        Outcome::Answered(StatusCode::OK, _) => Ok(()),
        Outcome::Answered(status, answer) => Err(refusal(status, &answer)),
        Outcome::NotSent(error) | Outcome::Impossible(error) => Err(format!("no connection: {error}")),
        Outcome::Unanswered(error) => Err(format!("no answer: {error}")),
    }
}

/// What a server says about a request that it refuses.
pub(super) fn refusal(status: StatusCode, answer: &[u8]) -> String {
    match client::refusal(answer) {
        Some(refusal) => terminal::message(&format!("{status}, {refusal}")),
        None => terminal::cell(&format!("{status}: {}", String::from_utf8_lossy(answer)), 200),
    }
}

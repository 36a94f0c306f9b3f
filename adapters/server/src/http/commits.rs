//! `POST /batch` with `application/x-ndjson`: a stream of commits, a line each.
//!
//! ```text
//! body ──► line ──► commit handed over ──► … at most so many wait for the store … ──► counted
//! ```
//!
//! A line is handed over as soon as it was read, in order; those that wait together share a write of the store. What is read and not done
//! yet is bounded in lines and in bytes: then nothing is read, and the client's writes wait.

use std::collections::VecDeque;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use liveset::{CommitError, Committed, InOrder, PendingCommit, Position};
use liveset_core::Monotonic;

use super::auth::Caller;
use super::error::Stopped;
use super::lines::Lines;
use super::{ApiError, App, error};
use crate::changes::Changes;

/// Whether the body is a stream of commits.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let essence = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()?.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/x-ndjson"))
}

/// Applies the commits of a body, up to the first that is refused.
pub(super) async fn apply(app: &App, mut caller: Caller, body: Body) -> Result<Response, ApiError> {
    let mut lines = Lines::new(body, app.options.max_body_bytes, app.options.body_timeout);
    let mut commits = Commits::new(app);
    loop {
        // What is done makes room, also while no line comes.
        let line = tokio::select! {
            biased;
            done = commits.oldest(), if !commits.is_empty() => {
                commits.count(done)?;
                continue;
            }
            line = lines.next(), if commits.has_room() => line,
        };
        let line = match line {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => return Err(commits.stop(lines.number, error).await),
        };
        let handed_over = match caller.still_writes(app).await {
            Ok(still) => {
                caller = still;
                wait_for_turn(app, &caller).await;
                commits.hand_over(lines.number, line)
            }
            Err(error) => return Err(commits.stop(lines.number, error).await),
        };
        if let Err(error) = handed_over {
            return Err(commits.stop(lines.number, error).await);
        }
        // Lines that are there already, and commits that are made at once, would never let others have the thread.
        tokio::task::consume_budget().await;
    }
    while !commits.is_empty() {
        let done = commits.oldest().await;
        commits.count(done)?;
    }
    let Commits { applied, changed, last, .. } = commits;
    let answer = match last {
        Some((commit, position)) => format!(
            r#"{{"applied":{applied},"changed":{changed},"commit":{commit},"position":"{position}"}}"#
        ),
        None => format!(r#"{{"applied":{applied},"changed":{changed}}}"#),
    };
    Ok(error::json(StatusCode::OK, answer))
}

/// A line counts as a request of its subject; one too many waits.
pub(super) async fn wait_for_turn(app: &App, caller: &Caller) {
    while let Err(wait) = app.rates.take(&caller.who.subject, Monotonic::from_epoch(app.start.elapsed())) {
        tokio::time::sleep(wait).await;
    }
}

/// The commits of a stream.
struct Commits {
    series: InOrder,
    /// Those that were handed over, with their lines and sizes.
    waiting: VecDeque<(u64, usize, PendingCommit<()>)>,
    bytes: usize,
    max_waiting: usize,
    max_bytes: usize,
    applied: u64,
    changed: u64,
    /// The number and the position of the last commit.
    last: Option<(u64, Position)>,
}

impl Commits {
    fn new(app: &App) -> Self {
        Self {
            series: app.liveset.in_order(),
            waiting: VecDeque::new(),
            bytes: 0,
            max_waiting: app.options.lines_waiting.max(1),
            max_bytes: app.options.max_body_bytes,
            applied: 0,
            changed: 0,
            last: None,
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn has_room(&self) -> bool {
        self.is_empty() || (self.waiting.len() < self.max_waiting && self.bytes < self.max_bytes)
    }

    fn hand_over(&mut self, line: u64, text: Bytes) -> Result<(), ApiError> {
        let changes = Changes::parse(&text).map_err(|error| ApiError::invalid_message(error.to_string()))?;
        let handed_over = self.series.commit(changes.at, |tx| tx.extend(changes.ops));
        self.waiting.push_back((line, text.len(), handed_over.map_err(ApiError::not_committed)?));
        self.bytes += text.len();
        Ok(())
    }

    /// What becomes of the oldest that waits.
    async fn oldest(&mut self) -> Result<Committed, CommitError> {
        match self.waiting.front_mut() {
            Some((_, _, commit)) => commit.await,
            None => std::future::pending().await,
        }
    }

    /// Counts the oldest.
    fn count(&mut self, done: Result<Committed, CommitError>) -> Result<(), ApiError> {
        let Some((line, bytes, _)) = self.waiting.pop_front() else { return Ok(()) };
        self.bytes -= bytes;
        let done = done.map_err(|error| ApiError::not_committed(error).of_line(self.stopped_at(line)))?;
        self.applied += 1;
        self.changed += done.changed;
        self.last = Some((done.commit, done.position));
        Ok(())
    }

    /// Waits for what was handed over before a line that is wrong: one of those may be wrong too.
    async fn stop(mut self, line: u64, error: ApiError) -> ApiError {
        while !self.is_empty() {
            let done = self.oldest().await;
            if let Err(earlier) = self.count(done) {
                return earlier;
            }
        }
        error.of_line(self.stopped_at(line))
    }

    fn stopped_at(&self, line: u64) -> Stopped {
        Stopped { line, applied: self.applied, changed: self.changed }
    }
}

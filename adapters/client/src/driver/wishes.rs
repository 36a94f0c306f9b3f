//! What handles want, over all connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use liveset_core::model::{Count, SetStatus};
use liveset_core::{ErrorCode, LiveResult, Query};
use tokio::sync::oneshot;

use crate::error::{Error, ServerError};
use crate::handle::Key;
use crate::heard_events::HeardEvents;
use crate::shown::{Diff, Shown};
use crate::status::{Cause, Status};

/// What handles want.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) watched: BTreeMap<Key, Watched>,
    pub(super) subscribed: BTreeMap<Key, Subscribed>,
    pub(super) awaited: BTreeMap<u64, Awaited>,
    /// Names the next position.
    awaits: u64,
    /// Why nothing is up to date, where that has a reason.
    cause: Option<Cause>,
}

/// A live query that somebody reads.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) query: Query,
    pub(super) shown: Arc<Shown>,
    /// What the last connection has had of it.
    pub(super) held: Option<LiveResult>,
    pub(super) progress: Progress,
    /// What the server says of its set.
    pub(super) source: SetStatus,
    /// How often in a row the server had no room.
    pub(super) attempt: u32,
}

/// How far the server is with a live query, on this connection.
#[derive(Debug)]
pub(super) enum Progress {
    /// It was not asked for it, has yet to answer, or has not sent all that the rows lack.
    Asked,
    /// It sends what each commit changes; this came since the last one was complete.
    Live(Vec<Diff>),
}

/// Events that somebody reads.
#[derive(Debug)]
pub(super) struct Subscribed {
    pub(super) path: Arc<str>,
    pub(super) events: Vec<Arc<str>>,
    pub(super) heard: Arc<HeardEvents>,
    pub(super) attempt: u32,
}

/// A position that somebody waits for.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) position: String,
    pub(super) reached: oneshot::Sender<Result<(), Error>>,
}

impl Wishes {
    pub(super) fn watch(&mut self, key: Key, query: Query, shown: Arc<Shown>) {
        // Since the handle was made there may be another reason.
        shown.doubt(self.cause);
        let (held, progress, source) = (None, Progress::Asked, SetStatus::Live);
        self.watched.insert(key, Watched { query, shown, held, progress, source, attempt: 0 });
    }

    pub(super) fn subscribe(
        &mut self,
        key: Key,
        path: Arc<str>,
        events: Vec<Arc<str>>,
        heard: Arc<HeardEvents>,
    ) {
        heard.needs_auth(self.cause == Some(Cause::NeedsAuth));
        self.subscribed.insert(key, Subscribed { path, events, heard, attempt: 0 });
    }

    /// Gives the name of the position; `None` where it was answered at once.
    pub(super) fn wait(
        &mut self,
        position: String,
        reached: oneshot::Sender<Result<(), Error>>,
    ) -> Option<u64> {
        // Nobody waits any more for those.
        self.awaited.retain(|_, awaited| !awaited.reached.is_closed());
        if self.cause == Some(Cause::NeedsAuth) {
            let _ = reached.send(Err(Error::NeedsAuth));
            return None;
        }
        self.awaits += 1;
        self.awaited.insert(self.awaits, Awaited { position, reached });
        Some(self.awaits)
    }

    /// Nothing is up to date, for this reason; without one it is on its way.
    pub(super) fn doubt(&mut self, cause: Option<Cause>) {
        self.cause = cause;
        self.watched.values().for_each(|watched| watched.shown.doubt(cause));
        let needs_auth = cause == Some(Cause::NeedsAuth);
        self.subscribed.values().for_each(|subscribed| subscribed.heard.needs_auth(needs_auth));
        if needs_auth {
            self.answer_all(&Error::NeedsAuth);
        }
    }

    pub(super) fn close(&mut self) {
        std::mem::take(&mut self.watched).values().for_each(|watched| watched.shown.close());
        std::mem::take(&mut self.subscribed).values().for_each(|subscribed| subscribed.heard.close());
        self.answer_all(&Error::Closed);
    }

    fn answer_all(&mut self, error: &Error) {
        for Awaited { reached, .. } in std::mem::take(&mut self.awaited).into_values() {
            let _ = reached.send(Err(error.clone()));
        }
    }
}

impl Watched {
    /// All of its result is there: shows it.
    pub(super) fn complete(&mut self, result: &LiveResult) {
        self.progress = Progress::Live(Vec::new());
        self.attempt = 0;
        self.shown.replace(result, self.status());
    }

    /// Everything of a commit has come: shows it.
    pub(super) fn commit(&mut self, result: &LiveResult) {
        if let Progress::Live(diffs) = &mut self.progress {
            let count = Count { total: result.total_count(), capped: result.capped() };
            self.shown.apply(std::mem::take(diffs), count);
        }
    }

    /// The server says how far the set is.
    pub(super) fn tell(&mut self, source: SetStatus) {
        self.source = source;
        match (&self.progress, &self.source) {
            (Progress::Live(_), _) => self.shown.set_status(self.status()),
            (_, SetStatus::Loading) => self.shown.doubt(Some(Cause::Source)),
            (_, _) => {}
        }
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self) {
        (self.progress, self.source) = (Progress::Asked, SetStatus::Live);
    }

    pub(super) fn end(&self, error: ServerError) {
        let forget = error.code == Some(ErrorCode::Forbidden);
        self.shown.end(error, forget);
    }

    fn status(&self) -> Status {
        match &self.source {
            SetStatus::Stale { since } => {
                let since = humantime::parse_rfc3339_weak(since).unwrap_or_else(|_| SystemTime::now());
                Status::Stale { cause: Cause::Source, since }
            }
            _ => Status::Live,
        }
    }
}

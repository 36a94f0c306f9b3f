//! Where commits come from, and how far each source is.

use std::sync::Arc;
use std::time::Duration;

use liveset_core::{Monotonic, SetStatus};
#[cfg(feature = "metrics")]
use metrics::{counter, gauge};

use crate::handle::Liveset;
use crate::scan::{SetInfo, SetSource};
use crate::shared::{Known, News, OfStorage};

/// A source and its sets as they are now; see [`Liveset::sources`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceInfo {
    /// Who commits.
    pub source: SetSource,
    /// The identity of its history; `None` for the host.
    pub identity: Option<Arc<str>>,
    /// The position of its last commit that was applied, or up to which it has none. Of a host without a storage, the number of that
    /// commit.
    pub position: u64,
    /// For how long the oldest commit waits that the source [has](crate::Source::notice) and that is not applied; zero where none does.
    pub lag: Duration,
    /// Commits that the storage was given and has not kept yet.
    pub waiting: u64,
    /// Commits that it has delivered again, which were skipped.
    pub skipped: u64,
    /// How long ago it had a commit, or [said](crate::Source::advance) that it has none; `None` where it never did.
    pub quiet: Option<Duration>,
    /// What became of its last commit, where that was not made. What the host did wrong is not here: it was told.
    pub failure: Option<SourceFailure>,
    /// Its sets, in the order of their declaration.
    pub sets: Vec<SetInfo>,
}

/// A commit was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceFailure {
    /// Why, for people.
    pub message: Arc<str>,
    /// How long ago.
    pub ago: Duration,
}

impl SourceInfo {
    /// Loading where one of its sets is, else stale where one is, else live.
    pub fn status(&self) -> SetStatus {
        let mut found = &SetStatus::Live;
        for SetInfo { status, .. } in &self.sets {
            match status {
                SetStatus::Loading => return SetStatus::Loading,
                SetStatus::Stale { .. } if *found == SetStatus::Live => found = status,
                _ => {}
            }
        }
        found.clone()
    }

    fn new(source: SetSource, position: u64, news: &News, now: Monotonic) -> Self {
        let failure = news
            .failure
            .as_ref()
            .map(|(at, message)| SourceFailure { message: message.clone(), ago: now.saturating_since(*at) });
        Self {
            source,
            identity: None,
            position,
            lag: Duration::ZERO,
            waiting: 0,
            skipped: 0,
            quiet: news.heard.map(|at| now.saturating_since(at)),
            failure,
            sets: Vec::new(),
        }
    }

    fn of(known: &Known, lag: Duration, now: Monotonic) -> Self {
        let progress = known.progress.lock();
        let source = SetSource::Named(known.name.clone());
        Self {
            identity: Some(progress.identity.clone()),
            lag,
            skipped: progress.skipped,
            ..Self::new(source, progress.position, &progress.news, now)
        }
    }
}

impl Liveset {
    /// Where commits come from, and how far each source is: the host, or its storage, if it has a set; then the others, in the order of
    /// their declaration. O(sets).
    ///
    /// ```
    /// # use liveset::{Liveset, SetDef, SetSource};
    /// let liveset = Liveset::builder().set(SetDef::new("orders")).set_from("market", SetDef::new("prices")).build()?;
    /// liveset.source("market").ok_or("no such source")?.advance(7);
    /// let found: Vec<_> = liveset.sources().iter().map(|source| (source.source.as_str().to_owned(), source.position)).collect();
    /// assert_eq!(found, [("host".to_owned(), 0), ("market".to_owned(), 7)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sources(&self) -> Vec<SourceInfo> {
        let now = self.shared.monotonic();
        let mut found = vec![self.own_source(now)];
        for known in &self.shared.sources.all {
            let lag = self.shared.look(|hub| hub.source_lag(now, known.id));
            found.push(SourceInfo::of(known, lag, now));
        }
        for set in self.sets() {
            if let Some(source) = found.iter_mut().find(|source| source.source == set.source) {
                source.sets.push(set);
            }
        }
        found.retain(|source| !source.sets.is_empty());
        found
    }

    /// Writes where commits come from, and how far, into the gauges and counters of the `metrics` facade.
    #[cfg(feature = "metrics")]
    pub(crate) fn record_sources(&self) {
        for source in self.sources() {
            let name = source.source.as_str().to_owned();
            gauge!("liveset_source_position", "source" => name.clone()).set(source.position as f64);
            gauge!("liveset_source_lag_seconds", "source" => name.clone()).set(source.lag.as_secs_f64());
            counter!("liveset_source_skipped_total", "source" => name.clone()).absolute(source.skipped);
            let now = source.status();
            for state in ["loading", "live", "stale"] {
                let is_now = now.as_str() == state;
                gauge!("liveset_source_state", "source" => name.clone(), "state" => state)
                    .set(f64::from(is_now));
            }
        }
    }

    /// The host, or its storage.
    fn own_source(&self, now: Monotonic) -> SourceInfo {
        if self.shared.storage.get().is_none() {
            let host = self.shared.sources.host.lock().clone();
            return SourceInfo::new(SetSource::Host, host.commit, &host.news, now);
        }
        let OfStorage { applied, waiting, news } = self.shared.of_storage();
        SourceInfo { waiting, ..SourceInfo::new(SetSource::Store, applied, &news, now) }
    }
}

//! The simulated job runner: jobs that are scheduled, start, and complete or fail.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::happening::{Happening, Millis, stamp};
use crate::load::random::Random;

/// The set's name.
pub(super) const JOBS: &str = "jobs";
/// Above this number the oldest finished job goes for each new one; where none is finished, no new one is taken.
pub(super) const KEPT_JOBS: usize = 200;
/// Statistics count anew in every bucket of this length.
const BUCKET_MS: Millis = 60_000;

/// What there is to run: name, mean running time, error when it fails, and how often it runs of itself.
struct Definition {
    id: &'static str,
    mean_ms: f64,
    error: &'static str,
    every_ms: Option<Millis>,
}

const fn on_demand(id: &'static str, mean_ms: f64, error: &'static str) -> Definition {
    Definition { id, mean_ms, error, every_ms: None }
}

const DEFINITIONS: [Definition; 6] = [
    on_demand("capture-payment", 1_400.0, "card declined"),
    on_demand("send-shipping-notice", 700.0, "mail server refused the recipient"),
    on_demand("ask-for-review", 500.0, "mail server refused the recipient"),
    on_demand("refund-payment", 2_200.0, "gateway timed out"),
    Definition {
        id: "sync-inventory",
        mean_ms: 4_000.0,
        error: "warehouse did not answer",
        every_ms: Some(12_000),
    },
    Definition {
        id: "rebuild-search-index",
        mean_ms: 9_000.0,
        error: "out of disk space",
        every_ms: Some(45_000),
    },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Pending,
    Running,
    Completed,
    Failed,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    id: String,
    job_definition_id: &'static str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    scheduled_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// How long it will run, decided when it is scheduled.
    #[serde(skip)]
    will_take: f64,
    #[serde(skip)]
    will_fail: bool,
}

/// The data of a job's events: what the event adds to the job's identity.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct JobEvent<'a> {
    job_id: &'a str,
    job_definition_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// What happened to the jobs of one definition in one bucket.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    job_definition_id: &'static str,
    bucket_start: String,
    bucket_ms: Millis,
    scheduled: u64,
    started: u64,
    completed: u64,
    failed: u64,
    elapsed_ms: f64,
    #[serde(skip)]
    bucket: Millis,
}

/// The runner's jobs, by the order in which they were scheduled.
#[derive(Debug)]
pub(super) struct Runner {
    jobs: BTreeMap<u64, Job>,
    /// When which job takes its next step.
    agenda: BTreeSet<(Millis, u64)>,
    /// When which definition runs of itself, by its place in `DEFINITIONS`.
    recurring: BTreeSet<(Millis, usize)>,
    statistics: BTreeMap<&'static str, Statistics>,
    scheduled: u64,
}

impl Runner {
    /// A runner without jobs.
    pub(super) fn new(start: Millis) -> Self {
        let recurring =
            DEFINITIONS.iter().enumerate().filter_map(|(at, d)| Some((start + d.every_ms?, at))).collect();
        Self {
            jobs: BTreeMap::new(),
            agenda: BTreeSet::new(),
            recurring,
            statistics: BTreeMap::new(),
            scheduled: 0,
        }
    }

    /// The moment of the next step that is due by itself.
    pub(super) fn next_due(&self) -> Millis {
        let step = self.agenda.first().map(|(due, _)| *due);
        let recurring = self.recurring.first().map(|(due, _)| *due);
        step.into_iter().chain(recurring).min().unwrap_or(Millis::MAX)
    }

    /// Takes the one step that is due at `now.at`, if any.
    pub(super) fn step(&mut self, random: &mut Random, now: &mut Happening) {
        if let Some((due, number)) = self.agenda.first().copied().filter(|(due, _)| *due <= now.at) {
            self.agenda.remove(&(due, number));
            self.advance(number, now);
        } else if let Some((due, at)) = self.recurring.first().copied().filter(|(due, _)| *due <= now.at) {
            self.recurring.remove(&(due, at));
            if let Some(every) = DEFINITIONS[at].every_ms {
                self.recurring.insert((due + every, at));
            }
            self.schedule(DEFINITIONS[at].id, None, random, now);
        }
    }

    /// Schedules a job of that definition, unless the runner is full or does not know it.
    pub(super) fn schedule(
        &mut self,
        definition: &str,
        order_id: Option<String>,
        random: &mut Random,
        now: &mut Happening,
    ) {
        let Some(definition) = DEFINITIONS.iter().find(|each| each.id == definition) else { return };
        if self.jobs.len() >= KEPT_JOBS && !self.forget_oldest(now) {
            return;
        }
        let job = Job {
            id: random.uuid(),
            job_definition_id: definition.id,
            status: Status::Pending,
            order_id,
            scheduled_at: stamp(now.at),
            started_at: None,
            finished_at: None,
            elapsed_ms: None,
            error: None,
            // To the half millisecond, around the mean.
            will_take: (definition.mean_ms * (0.4 + 1.2 * random.fraction()) * 2.0).round() / 2.0,
            will_fail: random.chance(0.07),
        };
        self.scheduled += 1;
        let number = self.scheduled;
        self.agenda.insert((now.at + 150 + random.gap(700.0) as Millis, number));
        now.upsert(JOBS, &job);
        let event = JobEvent { scheduled_at: Some(&job.scheduled_at), ..identity(&job) };
        now.emit(path(&job), "jobScheduled", &event);
        self.count(definition.id, now.at).scheduled += 1;
        self.jobs.insert(number, job);
    }

    /// Every job as it stands.
    pub(super) fn tell_all(&self, now: &mut Happening) {
        for job in self.jobs.values() {
            now.upsert(JOBS, job);
        }
    }

    /// ```text
    /// pending ──► running ──► completed
    ///                └──────► failed
    /// ```
    fn advance(&mut self, number: u64, now: &mut Happening) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        let at = stamp(now.at);
        match job.status {
            Status::Pending => {
                job.status = Status::Running;
                job.started_at = Some(at);
                self.agenda.insert((now.at + job.will_take.ceil() as Millis, number));
                now.upsert(JOBS, job);
                let event = JobEvent { started_at: job.started_at.as_deref(), ..identity(job) };
                now.emit(path(job), "jobStarted", &event);
                let definition = job.job_definition_id;
                self.count(definition, now.at).started += 1;
            }
            Status::Running => {
                job.finished_at = Some(at);
                job.elapsed_ms = Some(job.will_take);
                job.status = if job.will_fail { Status::Failed } else { Status::Completed };
                job.error = DEFINITIONS
                    .iter()
                    .find(|each| job.will_fail && each.id == job.job_definition_id)
                    .map(|each| each.error);
                now.upsert(JOBS, job);
                let event = JobEvent {
                    finished_at: job.finished_at.as_deref(),
                    elapsed_ms: job.elapsed_ms,
                    error: job.error,
                    ..identity(job)
                };
                now.emit(path(job), if job.will_fail { "jobFailed" } else { "jobCompleted" }, &event);
                let (definition, failed, took) = (job.job_definition_id, job.will_fail, job.will_take);
                let statistics = self.count(definition, now.at);
                statistics.completed += u64::from(!failed);
                statistics.failed += u64::from(failed);
                statistics.elapsed_ms += took;
                now.emit(format!("job-definitions/{definition}"), "jobStatistics", statistics);
            }
            Status::Completed | Status::Failed => {}
        }
    }

    /// Drops the oldest finished job. False where none is finished.
    fn forget_oldest(&mut self, now: &mut Happening) -> bool {
        let finished = |job: &Job| matches!(job.status, Status::Completed | Status::Failed);
        let Some(number) = self.jobs.iter().find(|(_, job)| finished(job)).map(|(number, _)| *number) else {
            return false;
        };
        if let Some(job) = self.jobs.remove(&number) {
            now.remove(JOBS, job.id);
        }
        true
    }

    /// The counters of the definition's bucket at that moment.
    fn count(&mut self, definition: &'static str, at: Millis) -> &mut Statistics {
        let bucket = at - at.rem_euclid(BUCKET_MS);
        let statistics = self.statistics.entry(definition).or_default();
        if statistics.bucket_ms == 0 || statistics.bucket != bucket {
            *statistics = Statistics {
                job_definition_id: definition,
                bucket_start: stamp(bucket),
                bucket_ms: BUCKET_MS,
                bucket,
                ..Statistics::default()
            };
        }
        statistics
    }
}

fn path(job: &Job) -> String {
    format!("jobs/{}", job.id)
}

fn identity(job: &Job) -> JobEvent<'_> {
    JobEvent { job_id: &job.id, job_definition_id: job.job_definition_id, ..JobEvent::default() }
}

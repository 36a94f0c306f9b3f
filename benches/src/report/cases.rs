//! Measures the cases, the contestants of each in turn.

use liveset_engine::{FeedId, Op};

use super::Scale;
use crate::{
    BenchQuery, Class, Copies, Diff, FanOut, Live, Scan, Step, Workload,
    hand::{Baseline, hand, rows},
    json_op,
    measure::{Meter, Round, Timing, resident, thread_time},
    workload::Raw,
};

const SEED: u64 = 1;

/// Changes in a commit.
pub(super) const SIZES: [usize; 3] = [1, 100, 1_000];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) class: Class,
    pub(super) nodes: u32,
    pub(super) queries: usize,
}

/// One contestant, by the size of the commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forms {
    pub(super) nodes: [Timing; SIZES.len()],
    pub(super) json: [Timing; SIZES.len()],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Create {
    /// Per query.
    pub(super) engine: Timing,
    /// Nanoseconds per query.
    pub(super) hand: f64,
    pub(super) engine_bytes: Option<f64>,
    pub(super) hand_bytes: f64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) case: Case,
    /// Per change, in commits of one.
    pub(super) diffs: f64,
    pub(super) engine: Forms,
    pub(super) hand: Forms,
    pub(super) scan: Timing,
    pub(super) create: Create,
}

/// Class F.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fan {
    pub(super) nodes: u32,
    pub(super) sessions: usize,
    /// To each, of a change that is told.
    pub(super) messages: f64,
    /// Of a message.
    pub(super) bytes: f64,
    pub(super) hub: Timing,
    /// Nanoseconds per change.
    pub(super) copies: f64,
}

/// The rounds of one contestant.
#[derive(Debug, Default)]
struct Rounds {
    nodes: [Vec<Round>; SIZES.len()],
    json: [Vec<Round>; SIZES.len()],
}

impl Rounds {
    fn forms(&self) -> Forms {
        let of = |rounds: &[Vec<Round>; SIZES.len()]| [0, 1, 2].map(|place| Timing::of(&rounds[place]));
        Forms { nodes: of(&self.nodes), json: of(&self.json) }
    }

    fn diffs(&self) -> usize {
        self.nodes.iter().chain(&self.json).flatten().map(|round| round.diffs).sum()
    }
}

/// A contestant with a workload of its own.
struct Engine {
    workload: Workload,
    live: Live,
    rounds: Rounds,
}

struct Hand {
    workload: Workload,
    baseline: Box<dyn Baseline>,
    diffs: Vec<Diff>,
    rounds: Rounds,
}

pub(super) fn measure(scale: &Scale, meter: &Meter, case: Case) -> Outcome {
    let base = workload(case);
    let queries = case.class.queries(case.queries, case.nodes);
    let now = base.now();

    let workload = base.fresh();
    let live = Live::new(workload.orders(), now);
    let mut engine = Engine { workload, live, rounds: Rounds::default() };
    let (created, engine_bytes) = engine.create(meter, &queries);

    let workload = base.fresh();
    let all = rows(workload.orders());
    let begin = thread_time();
    let baseline = hand(case.class, all, queries.clone(), now);
    let spent = thread_time() - begin;
    let hand_bytes = baseline.bytes() as f64;
    let mut hand = Hand { workload, baseline, diffs: Vec::new(), rounds: Rounds::default() };

    let mut scanned = base.fresh();
    drop(base);
    let mut scan = Scan::new(case.class, rows(scanned.orders()), queries.clone(), now);
    let scan_changes = (scale.tries / queries.len()).clamp(20, scale.changes[0]);

    let (mut scans, mut diffs) = (Vec::new(), Vec::new());
    let begin = thread_time();
    for round in 0..scale.rounds.max(1) {
        if round > 0 && (thread_time() - begin) / 1e9 > scale.seconds {
            break;
        }
        for (place, size) in SIZES.into_iter().enumerate() {
            let changes = scale.changes[place].max(size);
            engine.round(meter, place, changes);
            hand.round(meter, place, changes);
            if place == 0 {
                let commits = commits(&mut scanned, scan_changes, 1, |steps| steps);
                scans.push(
                    meter.round(scan_changes, commits, |(now, steps)| {
                        drained(&mut scan, now, steps, &mut diffs)
                    }),
                );
            }
        }
    }
    assert_eq!(engine.rounds.diffs(), hand.rounds.diffs(), "engine and hand tell the same, {case:?}");
    let told: usize = engine.rounds.nodes[0].iter().map(|round| round.diffs).sum();
    Outcome {
        case,
        diffs: told as f64 / (scale.changes[0] * scans.len()) as f64,
        engine: engine.rounds.forms(),
        hand: hand.rounds.forms(),
        scan: Timing::of(&scans),
        create: Create {
            engine: created,
            hand: spent / queries.len() as f64,
            engine_bytes: engine_bytes.map(|bytes| bytes / queries.len() as f64),
            hand_bytes: hand_bytes / queries.len() as f64,
        },
    }
}

impl Engine {
    /// Opens the queries one by one. Also tells by how much memory grew.
    fn create(&mut self, meter: &Meter, queries: &[BenchQuery]) -> (Timing, Option<f64>) {
        let texts: Vec<_> = queries.iter().map(BenchQuery::query).collect();
        let (said, before) = (self.live.bytes(), resident());
        let mut feeds: Vec<FeedId> = Vec::with_capacity(queries.len());
        let round = meter.round(queries.len(), texts, |query| {
            feeds.push(self.live.open(&query));
            0
        });
        feeds.sort_unstable();
        feeds.dedup();
        assert_eq!(feeds.len(), queries.len(), "the queries are all different");
        let said = said.zip(self.live.bytes()).map(|(before, after)| after.saturating_sub(before) as f64);
        (Timing::of(&[round]), said.or_else(|| grown(before, resident()).filter(|_| queries.len() >= 100)))
    }

    fn round(&mut self, meter: &Meter, place: usize, changes: usize) {
        let Self { workload, live, rounds } = self;
        let decoded: Vec<(i64, Vec<Op>)> = commits(workload, changes, SIZES[place], |steps| {
            steps.iter().map(|step| live.node_op(step)).collect()
        });
        rounds.nodes[place].push(meter.round(changes, decoded, |(now, ops)| live.apply(now, ops)));
        let json: Vec<(i64, Vec<Op>)> =
            commits(workload, changes, SIZES[place], |steps| steps.iter().map(json_op).collect());
        rounds.json[place].push(meter.round(changes, json, |(now, ops)| live.apply(now, ops)));
    }
}

impl Hand {
    fn round(&mut self, meter: &Meter, place: usize, changes: usize) {
        let Self { workload, baseline, diffs, rounds } = self;
        let decoded = commits(workload, changes, SIZES[place], |steps| steps);
        rounds.nodes[place].push(
            meter.round(changes, decoded, |(now, steps)| drained(baseline.as_mut(), now, steps, diffs)),
        );
        let raw = |steps: Vec<Step>| steps.iter().map(Raw::of).collect::<Vec<_>>();
        let json = commits(workload, changes, SIZES[place], raw);
        rounds.json[place].push(meter.round(changes, json, |(now, raws)| {
            let steps = raws.iter().map(Raw::parsed).collect();
            drained(baseline.as_mut(), now, steps, diffs)
        }));
    }
}

/// Applies a commit and lets go of every diff, as whoever takes them on would.
fn drained(baseline: &mut dyn Baseline, now: i64, steps: Vec<Step>, diffs: &mut Vec<Diff>) -> usize {
    baseline.commit(now, steps, diffs);
    diffs.drain(..).map(std::hint::black_box).count()
}

/// The next changes, in commits of one size, each with its time.
fn commits<T>(
    workload: &mut Workload,
    changes: usize,
    size: usize,
    mut made: impl FnMut(Vec<Step>) -> T,
) -> Vec<(i64, T)> {
    let commit = |_| {
        let steps = workload.steps(size);
        (workload.now(), made(steps))
    };
    (0..changes / size).map(commit).collect()
}

fn workload(case: Case) -> Workload {
    Workload::of_class(case.class, case.nodes, SEED)
}

fn grown(before: Option<u64>, after: Option<u64>) -> Option<f64> {
    Some(after?.saturating_sub(before?) as f64)
}

pub(super) fn fan_out(scale: &Scale, meter: &Meter, case: Case) -> Fan {
    let (base, sessions) = (workload(case), case.queries);
    let query = case.class.queries(1, case.nodes)[0].query();
    let mut workload = base.fresh();
    let mut hub = FanOut::new(workload.orders(), workload.now(), &query, sessions);
    let mut copies = Copies::new(sessions);
    let (mut hubs, mut copied, mut messages, mut bytes, mut told) = (Vec::new(), Vec::new(), 0, 0, 0);
    for _ in 0..scale.rounds.max(1) {
        // Only changes that are told count; which ones those are is found by trying.
        let mut round = Round::default();
        let mut payloads = Vec::new();
        for _ in 0..scale.changes[0] {
            if round.samples.len() == 10 {
                break;
            }
            let commit = commits(&mut workload, 1, 1, |steps| steps.iter().map(json_op).collect::<Vec<_>>());
            let mut sent = (0, 0);
            let one = meter.round(1, commit, |(now, ops)| {
                sent = hub.apply(now, ops);
                sent.0
            });
            if sent.0 > 0 {
                assert_eq!(sent.0 % sessions, 0, "each is told the same");
                round.per_change += one.per_change;
                round.samples.extend(one.samples);
                (messages, bytes, told) = (messages + sent.0 / sessions, bytes + sent.1 / sessions, told + 1);
                // As many messages as long, the connection's own head not counted.
                let payload = vec![b'x'; (sent.1 / sent.0).saturating_sub(50)];
                payloads.extend(vec![payload; sent.0 / sessions]);
            }
        }
        let count = round.samples.len().max(1);
        round.per_change /= count as f64;
        hubs.push(round);
        copied.push(meter.round(count, payloads, |payload| copies.write(&payload)));
    }
    Fan {
        nodes: case.nodes,
        sessions,
        messages: messages as f64 / f64::from(told.max(1)),
        bytes: bytes as f64 / messages.max(1) as f64,
        hub: Timing::of(&hubs),
        copies: Timing::of(&copied).per_change,
    }
}

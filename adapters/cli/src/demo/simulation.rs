//! The simulated world: a shop and its job runner on a clock that is given to it.
//!
//! Everything has its own moment, and [`Simulation::advance`] lets all of them pass that are due, in order: what
//! happens depends on the seed and the start alone, not on how often one looks.

use super::happening::{Happening, Millis};
use super::jobs::Runner;
use super::shop::Shop;
use crate::load::random::Random;

/// The past that a new world has already lived through, so that it starts full.
const HISTORY_MS: Millis = 40 * 60 * 1_000;
/// Shop changes a second in that past.
const HISTORY_RATE: f64 = 1.5;
/// One call lets at most this many things happen: a machine that slept does not wake to an endless loop.
const MOST_AT_ONCE: usize = 10_000;

/// A shop and a job runner. Keeps at most some hundred orders and jobs, however long it runs.
#[derive(Debug)]
pub(super) struct Simulation {
    random: Random,
    shop: Shop,
    runner: Runner,
    /// The shop's next moment, with its fraction, so that fast rates are kept on average.
    next_act: f64,
    mean_gap_ms: f64,
}

impl Simulation {
    /// A world that has been running for a while at `now`. `rate` is how many things happen in the shop a second,
    /// on average; jobs follow from them.
    pub(super) fn new(seed: u64, now: Millis, rate: f64) -> Self {
        let mut random = Random::new(seed);
        let shop = Shop::new(&mut random);
        let start = now - HISTORY_MS;
        let mut world = Self {
            random,
            shop,
            runner: Runner::new(start),
            next_act: start as f64,
            mean_gap_ms: 1_000.0 / HISTORY_RATE,
        };
        while world.next_due() <= now {
            world.step();
        }
        world.mean_gap_ms = 1_000.0 / rate;
        world.next_act = now as f64 + world.random.gap(world.mean_gap_ms);
        world
    }

    /// A world that goes on with orders that were stored. Its jobs begin at `now`.
    pub(super) fn go_on<'a>(
        seed: u64,
        now: Millis,
        rate: f64,
        orders: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        // Ids are drawn too: none comes twice.
        let mut random = Random::new(seed.wrapping_add(now.cast_unsigned()));
        let mut shop = Shop::new(&mut random);
        orders.into_iter().for_each(|order| shop.take_back(now, order));
        let mean_gap_ms = 1_000.0 / rate;
        let next_act = now as f64 + random.gap(mean_gap_ms);
        Self { random, shop, runner: Runner::new(now), next_act, mean_gap_ms }
    }

    /// Every node there is, as one happening without events.
    pub(super) fn snapshot(&self, now: Millis) -> Happening {
        let mut all = Happening::new(now);
        self.shop.tell_all(&mut all);
        self.runner.tell_all(&mut all);
        all
    }

    /// The moment of the next thing to happen.
    pub(super) fn next_due(&self) -> Millis {
        self.runner.next_due().min(self.next_act.ceil() as Millis)
    }

    /// Lets everything happen that is due at `now`, in order, up to a bound per call.
    pub(super) fn advance(&mut self, now: Millis) -> Vec<Happening> {
        let mut all = Vec::new();
        while self.next_due() <= now && all.len() < MOST_AT_ONCE {
            let happening = self.step();
            if !happening.changes.is_empty() {
                all.push(happening);
            }
        }
        all
    }

    fn step(&mut self) -> Happening {
        let mut now = Happening::new(self.next_due());
        if self.runner.next_due() <= now.at {
            self.runner.step(&mut self.random, &mut now);
        } else {
            self.next_act += self.random.gap(self.mean_gap_ms);
            if let Some(chore) = self.shop.act(&mut self.random, &mut now) {
                self.runner.schedule(chore.job_definition, Some(chore.order_id), &mut self.random, &mut now);
            }
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::super::happening::Change;
    use super::super::jobs::{JOBS, KEPT_JOBS};
    use super::super::shop::{KEPT_ORDERS, ORDERS};
    use super::*;

    const NOW: Millis = 1_765_143_905_000; // 2025-12-07T21:45:05Z

    /// The nodes of both sets, folded from the changes; panics where a change does not fit.
    #[derive(Default)]
    struct World(BTreeMap<(&'static str, String), Value>);

    impl World {
        fn apply(&mut self, happening: &Happening) {
            for change in &happening.changes {
                match change {
                    Change::Upsert { set, node } => {
                        let node: Value = serde_json::from_slice(node).unwrap();
                        let id = node["id"].as_str().unwrap().to_owned();
                        if let Some(before) = self.0.insert((set, id), node.clone()) {
                            assert!(
                                may_follow(set, &before["status"], &node["status"]),
                                "{before} then {node}"
                            );
                        }
                    }
                    Change::Remove { set, id } => {
                        assert!(self.0.remove(&(*set, id.clone())).is_some(), "{set} {id} was not there");
                    }
                }
            }
        }

        fn of<'a>(&'a self, set: &'a str) -> impl Iterator<Item = &'a Value> {
            self.0.iter().filter(move |((each, _), _)| *each == set).map(|(_, node)| node)
        }
    }

    fn may_follow(set: &str, before: &Value, after: &Value) -> bool {
        let steps: &[(&str, &str)] = match set {
            ORDERS => &[
                ("pending", "processing"),
                ("processing", "shipped"),
                ("shipped", "delivered"),
                ("pending", "cancelled"),
                ("processing", "cancelled"),
            ],
            _ => &[("pending", "running"), ("running", "completed"), ("running", "failed")],
        };
        (set == ORDERS && before == after) || steps.iter().any(|(from, to)| before == from && after == to)
    }

    #[test]
    fn starts_with_some_hundred_orders_in_every_status() {
        let mut world = World::default();
        world.apply(&Simulation::new(1, NOW, 3.0).snapshot(NOW));
        let orders = world.of(ORDERS).count();
        assert!((300..=KEPT_ORDERS).contains(&orders), "{orders} orders");
        let mut by_status = BTreeMap::new();
        for order in world.of(ORDERS) {
            *by_status.entry(order["status"].as_str().unwrap()).or_insert(0) += 1;
        }
        for status in ["pending", "processing", "shipped", "delivered", "cancelled"] {
            assert!(by_status.get(status).is_some_and(|count| *count >= 3), "{by_status:?}");
        }
        assert!(world.of(JOBS).count() >= 100);
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        let story = |seed| {
            let mut world = Simulation::new(seed, NOW, 5.0);
            (world.snapshot(NOW), world.advance(NOW + 30_000))
        };
        assert_eq!(story(42), story(42));
        assert_ne!(story(42), story(43));
    }

    #[test]
    fn how_often_one_looks_changes_nothing() {
        let told = |tick: Millis| {
            let mut world = Simulation::new(9, NOW, 7.0);
            let mut all = Vec::new();
            for at in (0..=60_000).step_by(tick as usize) {
                all.extend(world.advance(NOW + at));
            }
            all
        };
        assert_eq!(told(60_000), told(100));
    }

    #[test]
    fn stays_bounded_and_lawful_for_a_long_time() {
        let mut simulation = Simulation::new(5, NOW, 50.0);
        let mut world = World::default();
        world.apply(&simulation.snapshot(NOW));
        let mut last = NOW;
        for second in 1..=120 {
            for happening in simulation.advance(NOW + second * 1_000) {
                assert!(happening.at >= last && happening.at <= NOW + second * 1_000);
                last = happening.at;
                world.apply(&happening);
            }
            assert!(world.of(ORDERS).count() <= KEPT_ORDERS && world.of(JOBS).count() <= KEPT_JOBS);
            assert!(simulation.next_due() > NOW + second * 1_000);
        }
        let numbers: BTreeSet<_> = world.of(ORDERS).map(|order| order["number"].as_u64()).collect();
        assert_eq!(numbers.len(), world.of(ORDERS).count());
        let open = world
            .of(ORDERS)
            .filter(|o| !["delivered", "cancelled"].contains(&o["status"].as_str().unwrap()))
            .count();
        assert!((60..300).contains(&open), "{open} orders are open");
    }

    #[test]
    fn events_are_those_of_the_catalogue_with_their_data() {
        let mut seen = BTreeSet::new();
        for happening in Simulation::new(11, NOW, 20.0).advance(NOW + 120_000) {
            for event in &happening.events {
                let data: Value = serde_json::from_slice(&event.data).unwrap();
                let (root, rest) = event.path.split_once('/').unwrap();
                let expected = match event.event_type {
                    "actorCheckpoint" => ("actors", format!("orders/{}", data["actorId"].as_str().unwrap())),
                    "jobStatistics" => {
                        ("job-definitions", data["jobDefinitionId"].as_str().unwrap().to_owned())
                    }
                    _ => ("jobs", data["jobId"].as_str().unwrap().to_owned()),
                };
                assert_eq!((root, rest), (expected.0, expected.1.as_str()));
                if event.event_type == "jobCompleted" {
                    assert!(data["elapsedMs"].is_f64() && data["finishedAt"].is_string(), "{data}");
                }
                seen.insert(event.event_type);
            }
        }
        let all =
            ["actorCheckpoint", "jobCompleted", "jobFailed", "jobScheduled", "jobStarted", "jobStatistics"];
        assert_eq!(seen, BTreeSet::from(all));
    }

    #[test]
    fn a_long_sleep_is_caught_up_in_bounded_pieces() {
        let mut world = Simulation::new(2, NOW, 100.0);
        assert_eq!(world.advance(NOW + 3_600_000).len(), MOST_AT_ONCE);
    }
}

//! Clients that take nothing are given up in time, and nobody else is sent a byte later for them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use liveset_core::LiveQueryOptions;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::alone;
use crate::network::client::Client;
use crate::network::link::Shape;
use crate::network::truth::{Host, Question, Truth};
use crate::network::world::limits;
use crate::network::{for_seeds, held, lock, on_virtual_time};

/// What came over each connection, and when, by what it is about: between two live queries no order is promised.
type Logs = Vec<Vec<(u64, String, String)>>;

const READERS: usize = 3;
const ALL: LiveQueryOptions = LiveQueryOptions {
    positions: true,
    counts: true,
    reasons: true,
    resume: true,
    status: true,
    hints: true,
};

async fn run(seed: u64, stalled: usize) -> Logs {
    let mut random = Rng::with_seed(seed);
    let questions: Vec<_> = (0..6).map(|_| Question::random(&mut random)).collect();
    let mut limits = limits();
    limits.transport.batch_bytes = 1 << 20;
    let host = Host::new(limits);
    let before = held(&host.liveset);
    let truth = Arc::new(Mutex::new(Truth::new(&host, questions)));
    let connect = |number: usize, capacity: usize, piece: usize| {
        let shape = Shape { capacity, latency_ms: 1..=20, piece };
        let random = Rng::with_seed(seed.rotate_left(32) ^ number as u64);
        let client = Client::connect(&host.liveset, &truth, shape, random);
        client.act(|state| {
            (0..4).for_each(|i| state.create(&format!("q{i}"), (number + i) % 6, ALL, None));
            state.subscribe("s", "jobs", &["jobStarted", "jobCompleted"]);
        });
        client
    };
    // What is written at once arrives at once.
    let readers: Vec<_> = (0..READERS).map(|number| connect(number, 1 << 20, usize::MAX)).collect();
    let others: Vec<_> = (0..stalled).map(|number| connect(10 + number, 500, 100)).collect();
    readers.iter().for_each(|client| client.state().log = Some(Vec::new()));
    sleep(Duration::from_secs(5)).await;
    others.iter().for_each(|client| client.act(|state| state.reads = false));

    let began = Instant::now();
    let mut given_up = vec![None; stalled];
    while began.elapsed() < Duration::from_secs(75) {
        lock(&truth).commit(&host.liveset, &mut random, 6);
        if random.u64(..100) < 20 {
            lock(&truth).publish(&host.liveset, &mut random);
            lock(&truth).pass(&host.liveset, 1);
        }
        sleep(Duration::from_millis(random.u64(0..=200))).await;
        for (other, at) in others.iter().zip(&mut given_up) {
            if at.is_none() && other.serving.is_finished() {
                *at = Some(began.elapsed());
            }
        }
    }
    // A minute with less than 16 KiB, and two seconds to be told of it. The first commits may not concern a client, or still fit.
    for at in given_up {
        let at = at.expect("whoever takes nothing is given up").as_secs_f64();
        assert!((60.0..70.0).contains(&at), "given up after {at} s");
    }
    sleep(Duration::from_secs(1)).await;
    let mut logs = Logs::new();
    for client in &readers {
        let mut state = client.state();
        state.assert_present();
        let log = state.log.take().expect("a log");
        drop(state);
        let about = |message: &str| {
            let message: Value = serde_json::from_str(message).expect("JSON");
            message["id"].as_str().unwrap_or_default().to_owned()
        };
        let mut log: Vec<_> = log.into_iter().map(|(at, message)| (at, about(&message), message)).collect();
        log.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        logs.push(log);
        client.act(|state| state.close());
    }
    for client in others {
        client.drop_socket();
        client.gone().await;
    }
    for client in readers {
        client.gone().await;
    }
    sleep(Duration::from_secs(65)).await;
    let after = held(&host.liveset);
    assert_eq!(before, after, "what is held when everyone is gone");
    logs
}

#[test]
fn stalled_clients_are_given_up_and_delay_no_other() {
    let _turn = alone();
    for_seeds("network_stalls::stalled_clients_are_given_up_and_delay_no_other", 3, |seed| {
        let without = on_virtual_time(run(seed, 0));
        let with = on_virtual_time(run(seed, 5));
        let messages: usize = without.iter().map(Vec::len).sum();
        assert!(messages > 500, "{messages} messages");
        for (without, with) in without.iter().zip(&with) {
            for (without, with) in without.iter().zip(with) {
                assert_eq!(without, with, "the same, at the same time");
            }
            assert_eq!(without.len(), with.len());
        }
    });
}

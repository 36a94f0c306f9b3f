//! Random schedules of everything that can fail, against the real endpoint. Every frame is a moment that was, moments do not go back,
//! changes fold to what is shown; and when it is quiet, what is shown is the truth.
//!
//! `LIVESET_SEED=7` repeats one schedule, `LIVESET_SEEDS=500` runs that many.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use liveset_client::{Client, ConnectionStatus};

use crate::support::network::Network;
use crate::support::server::{Gate, ROWS, Server};
use crate::support::text::Text;
use crate::support::truth::{ASKED, History, Table, Watcher, newest};
use crate::support::{Row, becomes, builder, row};

const STEPS: usize = 60;

struct World {
    chance: Rng,
    gate: Arc<Gate>,
    server: Server,
    network: Network,
    history: History,
    client: Client,
    watchers: Vec<Watcher>,
}

impl World {
    async fn new(seed: u64) -> World {
        let mut chance = Rng::with_seed(seed);
        let gate = Arc::new(Gate::default());
        let first: Table =
            (0..12).map(|n| (format!("r{n}"), row(&format!("r{n}"), n % 3, chance.u64(..20)))).collect();
        let server = Server::start(&gate, first.values());
        let network = Network::to(server.address).await;
        let history: History = Arc::new(Mutex::new(vec![Table::new(), first]));
        let builder = builder(&network.url()).timing(|timing| {
            timing.patience = Duration::from_millis(500);
            timing.silence = Duration::from_millis(300);
            timing.answer = Duration::from_millis(200);
        });
        let client = builder.connect().unwrap();
        let watchers = ASKED.iter().map(|asked| Watcher::new(&client, &history, *asked)).collect();
        World { chance, gate, server, network, history, client, watchers }
    }

    fn commit(&mut self) {
        let mut table = newest(&self.history);
        let ids: BTreeSet<u64> = (0..=self.chance.u64(..5)).map(|_| self.chance.u64(..16)).collect();
        let mut ops = Vec::new();
        for id in ids.into_iter().map(|id| format!("r{id}")) {
            let mut row =
                (self.chance.u8(..3) > 0).then(|| row(&id, self.chance.u64(..3), self.chance.u64(..20)));
            if let Some(row) = row.as_mut().filter(|_| self.chance.u8(..40) == 0) {
                row.text = Text::large(self.chance.char('x'..='z'));
            }
            match row.clone() {
                Some(row) => drop(table.insert(id.clone(), row)),
                None => drop(table.remove(&id)),
            }
            ops.push((id, row));
        }
        self.history.lock().unwrap().push(table);
        let commit = self.server.liveset.commit(|tx| {
            ops.iter().for_each(|(id, row)| match row {
                Some(row) => tx.upsert(ROWS, row),
                None => tx.remove(ROWS, id.as_str()),
            });
        });
        commit.unwrap();
    }

    /// Kills the server, and starts another that may have lost a row meanwhile.
    fn restart(&mut self) {
        if self.chance.bool() {
            let mut table = newest(&self.history);
            table.pop_first();
            self.history.lock().unwrap().push(table);
        }
        self.server = Server::start(&self.gate, newest(&self.history).values());
        self.network.lead_to(self.server.address);
    }

    async fn step(&mut self) {
        match self.chance.u8(..24) {
            0..12 => self.commit(),
            12..14 => self.network.cut(),
            14 => self.network.stall(),
            15 => self.restart(),
            16 => drop(self.server.liveset.revoke("tester")),
            17 => self.gate.refusals.store(self.chance.u32(1..3), Ordering::SeqCst),
            18 => self.network.open(self.chance.bool()),
            19 => {
                let (delay, bytes) =
                    [(0, 65_536), (5, 65_536), (1, 200), (20, 1_000)][self.chance.usize(..4)];
                self.network.slow(Duration::from_millis(delay), bytes);
            }
            20 => self.client.reconnect(),
            21 => drop(self.client.live::<Row>(ROWS).open()),
            // Several commits at once.
            _ => (0..5).for_each(|_| self.commit()),
        }
        let pause = [0, 0, 1, 10, 60][self.chance.usize(..5)];
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    /// Everything works again: what is shown becomes the truth.
    async fn quiet(&mut self, seed: u64) {
        self.network.open(true);
        self.network.slow(Duration::ZERO, 65_536);
        self.gate.refusals.store(0, Ordering::SeqCst);
        let (history, watchers, client) = (&self.history, &self.watchers, &self.client);
        let table = newest(history);
        let is_true = || {
            if client.connection().status() == ConnectionStatus::NeedsAuth {
                client.reconnect();
            }
            watchers.iter().all(|watcher| watcher.is_true(&table))
        };
        if !becomes(is_true).await {
            let shown: Vec<_> = self.watchers.iter().map(Watcher::describe).collect();
            let connection = self.client.connection();
            let (status, error) = (connection.status(), connection.error());
            panic!(
                "LIVESET_SEED={seed}: {status:?} {error:?}\n{table:?}\nis not what is shown:\n{}",
                shown.join("\n")
            );
        }
        for watcher in &mut self.watchers {
            let (frames, batches) = watcher.check().await;
            assert!(frames > 0 && batches > 0, "LIVESET_SEED={seed}: nothing was shown");
        }
    }
}

async fn run(seed: u64) {
    println!("LIVESET_SEED={seed}");
    let mut world = World::new(seed).await;
    for step in 1..=STEPS {
        world.step().await;
        if step % 20 == 0 {
            world.quiet(seed).await;
        }
    }
}

/// The seeds that were asked for, or so many.
pub(crate) fn seeds(count: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|value: String| value.parse().ok());
    match number("LIVESET_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("LIVESET_SEEDS").unwrap_or(count)).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_what_is_shown_is_true() {
    for seed in seeds(4) {
        run(seed).await;
    }
}

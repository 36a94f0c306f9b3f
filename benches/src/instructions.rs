//! Instructions per change, counted by valgrind: the same on every run, however busy the machine is.

use std::{error::Error, hint::black_box, process::Command};

use crate::{
    Class, Diff, Live, Scan, Step, Workload,
    hand::{Baseline, hand, rows},
    json_op,
    workload::Raw,
};

/// Who does the work, and from what.
const CONTESTANTS: [&str; 5] = ["json", "engine", "parse", "hand", "scan"];

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// Of these queries,
    pub class: Class,
    /// over so many orders,
    pub nodes: u32,
    /// so many;
    pub queries: usize,
    /// for so many changes
    pub changes: usize,
    /// in commits of this size.
    pub size: usize,
}

impl Count {
    /// Prints the instructions per change of the engine from JSON and from decoded rows, of the work by hand from JSON and from decoded
    /// rows, and of the scan. Each is the difference between two runs of this program under cachegrind, one of which stops before the
    /// changes.
    ///
    /// # Errors
    ///
    /// There is no valgrind, or it fails.
    pub fn run(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Self { class, nodes, queries, changes, size } = self;
        println!("{class}, {nodes} nodes, {queries} queries: instructions per change, in commits of {size}");
        let mut counted = Vec::new();
        for who in CONTESTANTS {
            let per_change = (self.under_valgrind(who, *changes)? - self.under_valgrind(who, 0)?)
                / (*changes).max(1) as f64;
            println!("| {who} | {per_change:.0} |");
            counted.push(per_change);
        }
        let [json, engine, parse, hand, scan] = counted[..] else { return Ok(()) };
        println!("| engine ÷ hand | {:.2} |", engine / hand);
        println!("| from JSON: engine ÷ (typed parse + hand) | {:.2} |", json / parse);
        println!("| scan ÷ engine | {:.2} |", scan / engine);
        Ok(())
    }

    fn under_valgrind(&self, who: &str, applied: usize) -> Result<f64, Box<dyn Error + Send + Sync>> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
        command.arg(std::env::current_exe()?).args(["alone", who, "--class", &self.class.to_string()]);
        for (name, value) in [
            ("--nodes", self.nodes as usize),
            ("--queries", self.queries),
            ("--changes", self.changes),
            ("--commit", self.size),
            ("--applied", applied),
        ] {
            command.arg(name).arg(value.to_string());
        }
        let output = command.output().map_err(|error| format!("valgrind: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().find_map(|line| line.split_once("refs:"));
        let count = line.filter(|_| output.status.success()).map(|(_, count)| count.trim().replace(',', ""));
        count.and_then(|count| count.parse().ok()).ok_or_else(|| format!("valgrind: {said}").into())
    }

    /// Lets one of them apply the first `applied` of the changes, and does nothing else: what a profiler is to look at.
    ///
    /// # Errors
    ///
    /// There is no such contestant.
    pub fn alone(&self, who: &str, applied: usize) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut workload = Workload::of_class(self.class, self.nodes, 1);
        let queries = self.class.queries(self.queries, self.nodes);
        let now = workload.now();
        let (size, applied) = (self.size.max(1), applied / self.size.max(1));
        let (orders, commits) = (workload.orders().to_vec(), self.changes / size);
        let commits = (0..commits).map(|_| {
            let steps = workload.steps(size);
            (workload.now(), steps)
        });
        let mut diffs: Vec<Diff> = Vec::new();
        let mut drained = |baseline: &mut dyn Baseline, now, steps| {
            baseline.commit(now, steps, &mut diffs);
            diffs.drain(..).map(black_box).count();
        };
        match who {
            "json" | "engine" => {
                let mut live = Live::new(&orders, now);
                queries.iter().for_each(|query| _ = live.open(&query.query()));
                let op = |step: &Step| if who == "json" { json_op(step) } else { live.node_op(step) };
                let ops = commits.map(|(now, steps)| (now, steps.iter().map(op).collect()));
                let ops: Vec<(i64, Vec<_>)> = ops.collect();
                ops.into_iter().take(applied).for_each(|(now, ops)| _ = black_box(live.apply(now, ops)));
            }
            "parse" | "hand" => {
                let mut by_hand = hand(self.class, rows(&orders), queries, now);
                if who == "hand" {
                    let commits: Vec<_> = commits.collect();
                    commits
                        .into_iter()
                        .take(applied)
                        .for_each(|(now, steps)| drained(&mut *by_hand, now, steps));
                    return Ok(());
                }
                let raws = commits.map(|(now, steps)| (now, steps.iter().map(Raw::of).collect()));
                let raws: Vec<(i64, Vec<Raw>)> = raws.collect();
                for (now, raws) in raws.into_iter().take(applied) {
                    drained(&mut *by_hand, now, raws.iter().map(Raw::parsed).collect());
                }
            }
            "scan" => {
                let mut scan = Scan::new(self.class, rows(&orders), queries, now);
                let commits: Vec<_> = commits.collect();
                commits.into_iter().take(applied).for_each(|(now, steps)| drained(&mut scan, now, steps));
            }
            _ => return Err(format!("{who}: there is only {}", CONTESTANTS.join(", ")).into()),
        }
        Ok(())
    }
}

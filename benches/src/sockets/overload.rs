//! `overload`: ten thousand connections, a fifth of which stop reading, more diffs than a machine likes; nothing is lost.

use std::{
    collections::BTreeMap,
    thread::sleep,
    time::{Duration, Instant},
};

use liveset::{Limits, Liveset};

use super::{
    Defaults, Options, Outcome,
    child::{Helper, PATIENCE},
    fold,
    plan::{self, Digest, Plan, Writer, customer},
    process::{self, mb},
    server,
};
use crate::{NOTE, OrderRow, Step, Workload};

pub(super) const OPTIONS: Defaults = &[
    ("connections", 10_000),
    ("seconds", 120),
    ("stalled", 20),
    ("changes", 5_000),
    // Changes of one commit.
    ("commit", 1),
    // Connections that ask the same.
    ("alike", 10),
    ("workers", 0),
];

/// What the kernel may take for one connection: so little that a client that stops reading is soon noticed.
const SEND_BUFFER: u32 = 16 * 1_024;
/// The bound of memory is what the server holds before anyone connects, and for each connection this much: what an idle one
/// holds, and a live query's window twice over in changes that wait.
const BOUND_EACH: u64 = 32_000;
/// And this for each that stalls: a batch of 32 KiB on its way, in a buffer that may have grown to twice that.
const BOUND_STALLED: u64 = 2 * 32 * 1_024;
/// And this much, whatever there is: allocators hold more than they gave.
const SLACK: u64 = 16_000_000;

pub(super) fn run(options: &Options) -> Outcome {
    let connections = options.count("connections");
    let queries = (connections / options.count("alike").max(1)).max(1);
    let plan = Plan { connections, queries, stalled: options.count("stalled") };
    let liveset = server::liveset(Limits::default())?;
    let runtime = server::runtime(options.count("workers"))?;
    let mut writer = Writer::new(liveset.clone(), Workload::new(plan::orders_for(queries), 1))?;
    let base = process::resident();
    let survivors = (0..connections).filter(|number| !plan.stalls(*number)).count();
    let bound =
        base + connections as u64 * BOUND_EACH + (connections - survivors) as u64 * BOUND_STALLED + SLACK;
    let address = server::serve(&runtime, &liveset, Some(SEND_BUFFER))?;

    let open = || {
        let mut clients = Helper::start("fold-clients", &[])?;
        clients.say(&format!("open {} 0 {connections} {queries} {}", address.port(), plan.stalled))?;
        clients.expect("ready")?;
        Outcome::Ok(clients)
    };
    let started = Instant::now();
    let mut clients = open()?;
    println!(
        "{connections} connections in {:.1} s, {} % of them stalled; {queries} queries over {} orders.",
        started.elapsed().as_secs_f64(),
        plan.stalled,
        writer.rows.len()
    );
    let connected = process::resident();
    clients.say("time")?;

    let due = liveset.stats().hub.engine.changes_out;
    let (started, cpu) = (Instant::now(), process::cpu_time());
    write(&mut writer, options, started)?;
    let wrote = started.elapsed();
    let rate = writer.changes as f64 / wrote.as_secs_f64();
    let settled = settle(&mut clients, &writer, &plan);
    let (took, cpu) = (started.elapsed() - wrote, process::cpu_time() - cpu);
    let due = liveset.stats().hub.engine.changes_out - due;
    let per_query = survivors as f64 / queries as f64;
    let counts = counts(&mut clients)?;
    println!("changes: {} in {:.1} s, {rate:.0} a second", writer.changes, wrote.as_secs_f64());
    let all_due = due as f64 * connections as f64 / queries as f64;
    println!("diffs due: {all_due:.0}, {:.0} a second", all_due / wrote.as_secs_f64());
    let (survivors_due, received) = (due as f64 * per_query, counts["diffs"] as f64);
    println!(
        "of the {survivors} survivors: {survivors_due:.0} due, {received:.0} received, {:.0} folded",
        survivors_due - received
    );
    let ms = |name: &str| counts[name] as f64 / 1e3;
    println!(
        "latency of the survivors: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms",
        ms("p500"),
        ms("p900"),
        ms("p990"),
        ms("p999")
    );
    println!(
        "caught up {:.1} s after the last change; CPU of the server {:.1} s",
        took.as_secs_f64(),
        cpu.as_secs_f64()
    );

    // How it ended for those that stalled is seen once they read on.
    let still = liveset.stats().connections;
    clients.say("read-on")?;
    sleep(Duration::from_secs(2));
    let ends = self::counts(&mut clients)?;
    let ends: Vec<String> = ends
        .iter()
        .filter(|(name, _)| name.starts_with(char::is_uppercase))
        .map(|(end, count)| format!("{end}: {count}"))
        .collect();
    println!(
        "connections given up: {}; as they saw it when they read on: {}",
        connections - still,
        ends.join(", ")
    );
    clients.say("leave")?;
    clients.expect("left")?;
    let empty = wait_empty(&liveset);
    let (most, left) = (process::most_resident(), process::resident());
    // Allocators keep what was freed. That it is free is seen when as many connect once more.
    let mut clients = open()?;
    clients.say("leave")?;
    clients.expect("left")?;
    let again = wait_empty(&liveset);
    let most_again = process::most_resident();
    println!(
        "memory: {:.0} MB before, {:.0} MB connected, {:.0} MB at most (bound {:.0} MB), {:.0} MB after all left; {:.0} MB at \
         most after as many connected again",
        mb(base),
        mb(connected),
        mb(most),
        mb(bound),
        mb(left),
        mb(most_again)
    );
    settled?;
    empty?;
    again?;
    if most > bound {
        return Err(format!("{:.0} MB were held, above the bound of {:.0} MB", mb(most), mb(bound)).into());
    }
    if most_again > most + most / 10 + SLACK {
        return Err(
            format!("{:.0} MB at most were {:.0} MB the second time", mb(most), mb(most_again)).into()
        );
    }
    println!("every survivor holds what a recomputation gives: passed");
    Ok(())
}

/// Waits until nothing is held for connections any more.
pub(super) fn wait_empty(liveset: &Liveset) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stats = liveset.stats();
        let hub = &stats.hub;
        if [stats.connections, hub.connections, hub.live_queries, hub.subscriptions, hub.waiting, hub.feeds]
            .iter()
            .all(|count| *count == 0)
            && hub.engine.views == 0
        {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("something is still held for connections that are gone: {stats:?}").into());
        }
        sleep(Duration::from_millis(20));
    }
}

/// What the clients have counted.
fn counts(clients: &mut Helper) -> Outcome<BTreeMap<String, u64>> {
    clients.say("counts")?;
    let of = |line: String| {
        let (name, count) = line.rsplit_once(' ').ok_or("a count without a number")?;
        Outcome::Ok((name.to_owned(), count.parse()?))
    };
    clients.list()?.into_iter().map(of).collect()
}

/// Waits until every survivor holds what its query must show, and still does a second later.
fn settle(clients: &mut Helper, writer: &Writer, plan: &Plan) -> Outcome {
    let recomputed = |query| writer.recomputed(&customer(query), false, false).0;
    let expected: Vec<Digest> = (0..plan.queries).map(recomputed).collect();
    let survivors = (0..plan.connections).filter(|number| !plan.stalls(*number)).count();
    match clients.settle(Duration::from_secs(1), |state| agrees(state, &expected))? {
        all if all == survivors => Ok(()),
        some => Err(format!("{some} survivors of {survivors} speak").into()),
    }
}

fn agrees(state: &str, expected: &[Digest]) -> bool {
    let mut words = state.split(' ').skip(1);
    let mut number = || words.next()?.parse::<u64>().ok();
    let found = (number(), number(), number());
    let (Some(query), Some(rows), Some(sum)) = found else { return false };
    expected.get(query as usize) == Some(&Digest { rows: rows as usize, sum })
}

/// As many changes a second as wanted, or as many as can be: what comes late is stamped with when it should have come.
fn write(writer: &mut Writer, options: &Options, started: Instant) -> Outcome {
    let (seconds, per_commit) = (options.get("seconds"), options.get("commit").max(1));
    let gap = Duration::from_secs(per_commit).div_f64(options.get("changes").max(1) as f64);
    let mut at = started;
    let mut said = Duration::ZERO;
    while at - started < Duration::from_secs(seconds) && started.elapsed() < Duration::from_secs(2 * seconds)
    {
        sleep(at.saturating_duration_since(Instant::now()));
        let late = at.elapsed();
        let steps: Vec<Step> = (0..per_commit).map(|_| stamped(writer.workload.step(), late)).collect();
        writer.commit(&steps)?;
        at += gap;
        if started.elapsed() > said + Duration::from_secs(10) {
            said = started.elapsed();
            println!(
                "  {:>4.0} s: {} connections, {:.0} MB",
                said.as_secs_f64(),
                writer.liveset.stats().connections,
                mb(process::resident())
            );
        }
    }
    Ok(())
}

/// The same change, whose note says when it was due.
fn stamped(step: Step, late: Duration) -> Step {
    let Step::Put(row) = step else { return step };
    let mut note = fold::stamp_before(late);
    note.extend(std::iter::repeat_n('.', NOTE - note.len()));
    Step::Put(OrderRow { note: note.into(), ..OrderRow::clone(&row) }.into())
}

//! `idle`: what a connection costs that is there, and to which nothing happens.

use std::{thread::sleep, time::Duration};

use liveset::Limits;
use liveset_cli::load::process::waits;
use tokio::sync::broadcast;

use super::{Defaults, Options, Outcome, child::Helper, plan, process, server, skim};
use crate::{Step, Workload, instant, json_op};

pub(super) const OPTIONS: Defaults =
    &[("connections", 10_000), ("seconds", 60), ("workers", 0), ("server", LIVESET)];

const BARE: u64 = 0;
const LIVESET: u64 = 1;
const LIVESET_HTTP: u64 = 2;
const NAMES: [&str; 3] = ["bare", "liveset", "liveset behind hyper's upgrade"];

/// Connections before the first look, so that what a server needs anyway is there.
const WARM_UP: usize = 200;
/// What a connection may hold.
const TARGET_KB: f64 = 10.0;

pub(super) fn run(options: &Options) -> Outcome {
    println!(
        "{} connections, authenticated, each with one live query on a shared window, for {} s.",
        options.get("connections"),
        options.get("seconds")
    );
    println!("The target is {TARGET_KB} kB each. A ping and its pong every 30 s are two turns or three.\n");
    println!(
        "| server | kB a connection | future, bytes | turns of a connection's task a minute | waits of threads a second |"
    );
    println!("| --- | ---: | ---: | ---: | ---: |");
    // Each in a process of its own: what one has freed is not given back.
    for server in [BARE, LIVESET, LIVESET_HTTP] {
        let forward = ["connections", "seconds", "workers"].map(|name| (name, options.get(name)));
        let mut helper = Helper::start("idle-server", &[&forward[..], &[("server", server)]].concat())?;
        println!("{}", helper.hear()?);
    }
    Ok(())
}

/// One server: prints its row of the table.
pub(super) fn serve(options: &Options) -> Outcome {
    let server = options.get("server");
    let runtime = server::runtime(options.count("workers"))?;
    let (sender, _) = broadcast::channel(16);
    let liveset = server::liveset(Limits::default())?;
    let workload = Workload::new(plan::orders_for(1), 1);
    let rows = workload.orders().iter().map(|row| json_op(&Step::Put(row.clone())));
    liveset.at(instant(workload.now())).commit(|tx| tx.extend(rows.clone()))?;
    let address = match server {
        BARE => server::serve_bare(&runtime, &sender, 0)?,
        LIVESET => server::serve(&runtime, &liveset, None)?,
        _ => server::serve_http(&runtime, &liveset)?,
    };
    let connect = |connections: usize| {
        let (port, http) = (address.port(), u8::from(server == LIVESET_HTTP));
        if server == BARE {
            let options = [("port", u64::from(port)), ("connections", connections as u64)];
            let options = [&options[..], &[("asks", skim::ASKS_NOTHING)]].concat();
            let mut clients = Helper::start("skim-clients", &options)?;
            clients.expect("ready")?;
            return Ok(clients);
        }
        let mut clients = Helper::start("fold-clients", &[])?;
        clients.say(&format!("open {port} {http} {connections} 1 0"))?;
        clients.expect("ready")?;
        Outcome::Ok(clients)
    };
    connect(WARM_UP)?.kill()?;
    let connected = || liveset.stats().connections.max(sender.receiver_count());
    while connected() > 0 {
        sleep(Duration::from_millis(10));
    }
    let before = process::resident();

    let connections = options.count("connections");
    let clients = connect(connections)?;
    while connected() < connections {
        sleep(Duration::from_millis(10));
    }
    sleep(Duration::from_secs(1));
    let grown = process::resident().saturating_sub(before);

    let (polls, waited, seconds) = (server::polls(), waits(), options.get("seconds").max(1));
    sleep(Duration::from_secs(seconds));
    let turns = (server::polls() - polls) as f64 * 60.0 / seconds as f64 / connections as f64;
    let waits = waits().saturating_sub(waited) as f64 / seconds as f64;
    if connected() < connections {
        return Err(format!("{} connections are left of {connections}", connected()).into());
    }
    let each = grown as f64 / 1e3 / connections as f64;
    // Behind hyper the task is hyper's up to the upgrade, and another from there on.
    let of_task = |text: String| if server == LIVESET_HTTP { "".to_owned() } else { text };
    let future = of_task(server::future_bytes().to_string());
    let turns = of_task(format!("{turns:.1}"));
    println!("| {} | {each:.1} | {future} | {turns} | {waits:.0} |", NAMES[server as usize]);
    drop(clients);
    Ok(())
}

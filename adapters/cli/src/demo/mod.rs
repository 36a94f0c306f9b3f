//! `liveset demo`: a server with a small simulated shop and its job runner, and a page that shows them live.
//!
//! Takes any token, and says so. Everything it knows is made up, and kept in memory, or, with `--data`, in a file.
//!
//! ```text
//! Simulation ──► commits and events ──► Liveset ──► /ws ──► the page at /
//! ```

mod happening;
mod jobs;
mod page;
mod shop;
mod simulation;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::get;
use clap::Args;
use liveset::{
    AnyToken, Builder, Drain, FieldKind, Json, Limits, Liveset, Query, QueryError, Row, SetDef, Timestamp, Tx,
};
use liveset_server::accept::AcceptLimits;
use liveset_server::config::StoreConfig;
use liveset_server::files;
use liveset_server::http::{self, HttpOptions};
use liveset_server::log;
use liveset_server::serve::{self, ServeError, Serving};
use liveset_server::signals::Stop;
use liveset_server::store;
use tokio::sync::watch;

use self::happening::{Change, Happening, Millis};
use self::jobs::JOBS;
use self::shop::ORDERS;
use self::simulation::Simulation;

/// Arguments of `liveset demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, env = "LIVESET_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub listen: String,

    /// Another number makes another shop
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// How many things happen in the shop a second, on average; jobs and events follow from them
    #[arg(long, default_value_t = 1.0, value_parser = rate, value_name = "PER_SECOND")]
    pub rate: f64,

    /// Seconds between the pings of a connection, and for their answers
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600), value_name = "SECONDS")]
    pub ping_interval: u32,

    /// The file that keeps the shop: it survives a restart. Needs a program that was built with `--features store`
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,

    /// What is logged, in the form of `RUST_LOG`
    #[arg(long, env = "LIVESET_LOG", default_value = "warn", value_name = "FILTER")]
    pub log: String,
}

const MOST_A_SECOND: f64 = 1_000.0;

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if rate > 0.0 && rate <= MOST_A_SECOND {
        Ok(rate)
    } else {
        Err(format!("choose a rate above 0 and up to {MOST_A_SECOND}"))
    }
}

/// With more than this due at once (the machine slept, say) the way there is one commit, and its events are not told.
const CAUGHT_UP_AT_ONCE: usize = 200;
/// How long a shutdown waits for connections.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);
/// The simulation rests at least this long, so that what is due is done in bundles at high rates.
const SHORTEST_REST: Duration = Duration::from_millis(2);

/// Runs the demo until a signal stops it. Prints where it listens, and that it takes any token.
///
/// # Errors
///
/// The address is taken, or the system refuses what a server needs.
pub async fn run(args: DemoArgs) -> Result<(), ServeError> {
    log::start(&args.log, log::Format::Text);
    let liveset = build(&args).await?;
    let recorder = http::install_recorder()?;
    let stop = Stop::on_signals()
        .map_err(|source| ServeError::System { what: "cannot listen to signals", source })?;

    let now = wall_clock();
    let world = begin(&liveset, &args, now).await?;
    let (listener, listening) = serve::bind(&args.listen, false).await?;
    log::print(&listening);
    say_what_this_is();

    let options = HttpOptions {
        metrics: Some(recorder),
        metrics_public: true,
        // Whoever looks acts for the one subject there is.
        requests_per_second: u32::MAX,
        request_burst: u32::MAX,
        ..HttpOptions::default()
    };
    let health = options.health.clone();
    let router = http::router(liveset.clone(), options, Router::new().route("/", get(page::show)));
    let living = tokio::spawn(live(liveset.clone(), world));
    let limits = files::fit(AcceptLimits::default());
    let serving = Serving::start(listener, router, limits, None, health);
    let at_once = Drain { timeout: SHUTDOWN_TIMEOUT, ..Drain::AT_ONCE };
    serving.until(stop, &liveset, watch::Sender::new(at_once).subscribe()).await;
    living.abort();
    serve::close(liveset).await
}

/// The world as the store has it, or one that is new and full.
async fn begin(liveset: &Liveset, args: &DemoArgs, now: Millis) -> Result<Simulation, ServeError> {
    let stored = |set| {
        let mut scan = liveset.scan(Query::new(set))?;
        let mut rows: Vec<Row> = Vec::new();
        while let Some(more) = scan.next(usize::MAX)? {
            rows.extend(more);
        }
        Ok(rows)
    };
    let wrong = |error: QueryError| ServeError::Store(error.to_string());
    let (orders, jobs) = (stored(ORDERS).map_err(wrong)?, stored(JOBS).map_err(wrong)?);
    if orders.is_empty() {
        let world = Simulation::new(args.seed, now, args.rate);
        commit(liveset, &[world.snapshot(now)]).await;
        return Ok(world);
    }
    // Who ran them is gone.
    let mut gone = Happening::new(now);
    jobs.iter().for_each(|job| gone.remove(JOBS, job.id().to_owned()));
    commit(liveset, &[gone]).await;
    Ok(Simulation::go_on(args.seed, now, args.rate, orders.iter().map(Row::json)))
}

async fn build(args: &DemoArgs) -> Result<Liveset, ServeError> {
    let builder = builder(args);
    let Some(data) = &args.data else { return Ok(builder.build()?) };
    let builder = store::open(builder, &StoreConfig::new(data))?;
    let building = tokio::task::spawn_blocking(move || builder.build()).await;
    Ok(building.map_err(|error| ServeError::Store(format!("reading it failed: {error}")))??)
}

fn builder(args: &DemoArgs) -> Builder {
    let orders = SetDef::new(ORDERS)
        .key("id")
        .required("number", FieldKind::Number)
        .required("status", FieldKind::Text)
        .required("total", FieldKind::Number)
        .required("createdAt", FieldKind::Instant)
        .required("updatedAt", FieldKind::Instant)
        .field("shippedAt", FieldKind::Instant);
    let jobs = SetDef::new(JOBS)
        .key("id")
        .required("status", FieldKind::Text)
        .required("jobDefinitionId", FieldKind::Text)
        .required("scheduledAt", FieldKind::Instant)
        .field("startedAt", FieldKind::Instant)
        .field("finishedAt", FieldKind::Instant)
        .field("elapsedMs", FieldKind::Number);
    let mut limits = Limits::default();
    limits.session.ping_interval = Duration::from_secs(u64::from(args.ping_interval));
    limits.session.pong_timeout = limits.session.ping_interval;
    // Whoever looks acts for the one subject there is.
    limits.hub.connections_per_subject = usize::MAX;
    limits.hub.subscriptions_per_subject = usize::MAX;
    limits.hub.live_queries_per_subject = usize::MAX;
    Liveset::builder().set(orders).set(jobs).limits(limits).authenticator(AnyToken)
}

fn say_what_this_is() {
    log::print(
        "open it in a browser to see the demo; its data is made up\n\
         any token is accepted: do not put this on a network you do not trust\n\
         stop it with ctrl-c\n",
    );
}

/// Lets the world go on, in step with the wall clock. Never ends.
async fn live(liveset: Liveset, mut world: Simulation) {
    loop {
        let rest =
            u64::try_from(world.next_due() - wall_clock()).map_or(Duration::ZERO, Duration::from_millis);
        tokio::time::sleep(rest.max(SHORTEST_REST)).await;
        let happened = world.advance(wall_clock());
        if happened.len() > CAUGHT_UP_AT_ONCE {
            commit(&liveset, &happened).await;
            continue;
        }
        for happening in &happened {
            commit(&liveset, std::slice::from_ref(happening)).await;
            publish(&liveset, happening);
        }
    }
}

/// Applies everything that happened as one commit.
async fn commit(liveset: &Liveset, happened: &[Happening]) {
    let gather = |tx: &mut Tx| happened.iter().for_each(|happening| stage(tx, happening));
    if let Err(error) = liveset.commit_async(gather).await {
        tracing::error!(%error, "the simulation's commit was refused");
    }
}

fn stage(tx: &mut Tx, happening: &Happening) {
    for change in &happening.changes {
        match change {
            Change::Upsert { set, node } => tx.upsert(*set, Json::new(node.clone())),
            Change::Remove { set, id } => tx.remove(*set, id),
        }
    }
}

fn publish(liveset: &Liveset, happening: &Happening) {
    let at = Timestamp::from_unix_nanos(i128::from(happening.at) * 1_000_000);
    for event in &happening.events {
        let data = Json::new(event.data.clone());
        if let Err(error) = liveset.at(at).publish(&event.path, event.event_type, data) {
            tracing::error!(%error, path = event.path, "the simulation's event was refused");
        }
    }
}

fn wall_clock() -> Millis {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since_1970.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_numbers_within_reason() {
        assert_eq!(rate("0.5"), Ok(0.5));
        assert_eq!(rate("1000"), Ok(1_000.0));
        for wrong in ["0", "-1", "NaN", "inf", "1001", "fast", ""] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_engine_takes_whatever_happens() {
        let args = DemoArgs {
            listen: String::new(),
            seed: 3,
            rate: 50.0,
            ping_interval: 30,
            data: None,
            log: String::new(),
        };
        let liveset = builder(&args).build().unwrap();
        let now = 1_765_143_905_000;
        let mut world = Simulation::new(args.seed, now, args.rate);
        let mut all = vec![world.snapshot(now)];
        all.extend(world.advance(now + 60_000));
        for happening in &all {
            liveset.commit(|tx| stage(tx, happening)).unwrap();
            for event in &happening.events {
                let data = Json::new(event.data.clone());
                liveset.publish(&event.path, event.event_type, data).unwrap();
            }
        }
    }
}

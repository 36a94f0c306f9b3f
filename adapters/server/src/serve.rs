//! `liveset serve`: a server from a configuration.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use clap::Args;
use liveset::{Drain, Liveset, StaticTokens};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use crate::error::ServeError;

use crate::accept::{self, AcceptLimits, Front};
use crate::access::{Access, Banned};
use crate::config::{Config, Overrides};
use crate::http::{self, Health, HttpOptions, Service};
use crate::policy::Policies;
use crate::reload::Running;
use crate::signals::{Kind, Signal, Stop};
use crate::tls::ServerTls;
use crate::{files, log, setup};

/// Arguments of `liveset serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// The configuration file
    #[arg(short, long, env = "LIVESET_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What flags and environment say over it.
    #[command(flatten)]
    pub overrides: Overrides,

    /// Print the effective configuration as TOML, without the tokens, and end
    #[arg(long)]
    pub print_config: bool,

    /// With --print-config: print the tokens too
    #[arg(long, requires = "print_config")]
    pub show_tokens: bool,
}

/// Runs a server until a signal stops it. It listens at once: until the sets are loaded it answers for its health and
/// metrics. Once it serves, it prints `listening on http://ADDRESS:PORT` (or https) to standard output.
///
/// # Errors
///
/// The configuration is wrong, a file cannot be loaded, or the address is taken.
pub async fn run(args: ServeArgs) -> Result<(), ServeError> {
    let config = Config::load(args.config.as_deref(), &args.overrides)?;
    if args.print_config {
        print(&config.print(args.show_tokens)?);
        return Ok(());
    }
    if config.auth.tokens.is_empty() && config.jwt.is_none() {
        return Err(ServeError::NoTokens);
    }
    log::start(&config.log, config.log_format);
    let limits = files::fit(config.accept());
    let tokens = StaticTokens::new(setup::grants(&config, false));
    let banned = Banned::default();
    let access = Access::open(&config, tokens.clone(), banned.clone()).await?;
    let recorder = http::install_recorder()?;
    let stop = Stop::on_signals()
        .map_err(|source| ServeError::System { what: "cannot listen to signals", source })?;
    let reloads = Signal::listen(Kind::Hangup)
        .map_err(|source| ServeError::System { what: "cannot listen to signals", source })?;
    let tls = config.tls.as_ref().map(|tls| ServerTls::load(&tls.cert, &tls.key)).transpose()?;
    // Without rows. Until there are, it judges the tokens of those who ask for metrics, or what is missing; and what is wrong with the
    // sets is found before anything is read.
    let mut door = Liveset::builder().limits(config.limits.liveset.clone()).authenticator(access.clone());
    for set in &config.sets {
        door = door.set(set.definition());
    }
    let door = door.resources(setup::resources(&config)?).build()?;
    let (listener, listening) = bind(&config.listen, tls.is_some()).await?;

    let health = Health::loading(config.sets.iter().map(|set| set.name.clone()));
    let others = HttpOptions {
        health: health.clone(),
        banned,
        metrics: Some(recorder.clone()),
        ..HttpOptions::default()
    };
    let options = setup::options(&config, &others);
    let router = http::loading_router(door, options.clone());
    let serving = Serving::start(listener, router, limits, tls.clone(), health.clone());
    let upkeep = tokio::spawn(http::upkeep(recorder));
    let policies = Policies::new(&config.policies);
    let liveset = tokio::select! {
        loaded = load_sets(&config, access.clone(), policies.clone(), &options, &serving.front) => loaded?,
        // What is being read is given up with the process.
        () = stop.clone().wait() => {
            tracing::info!("stopped before everything was loaded");
            return Ok(());
        }
    };
    if config.policies.is_empty() {
        tracing::warn!("there is no [[policy]]: whoever has a good token may read all sets and paths");
    }
    let service = Service::new(liveset.clone(), options);
    serving.front.set_router(service.router(Router::new()));
    tracing::info!("ready");
    log::print(&listening);

    let running = Running {
        file: args.config,
        overrides: args.overrides,
        drain: watch::Sender::new(config.limits.drain()),
        config,
        tokens,
        access,
        policies,
        liveset: liveset.clone(),
        service,
        front: serving.front.clone(),
        tls,
    };
    let drain = running.drain.subscribe();
    let reloading = tokio::spawn(running.reload_when_told(reloads));
    serving.until(stop, &liveset, drain).await;
    reloading.abort();
    upkeep.abort();
    let closed = close(liveset).await;
    #[cfg(feature = "otel")]
    crate::traces::end().await;
    closed
}

/// The endpoint with what its sets hold at start. Meanwhile `/readyz` says which of them are missing.
async fn load_sets(
    config: &Config,
    access: Access,
    policies: Policies,
    options: &HttpOptions,
    front: &Front,
) -> Result<Liveset, ServeError> {
    // With a store, its rows are read.
    let building = tokio::task::spawn_blocking({
        let config = config.clone();
        move || setup::build(&config, access, policies)
    });
    let built = building.await;
    let liveset = built.map_err(|error| ServeError::Store(format!("reading it failed: {error}")))??;
    // So that metrics show how the sets grow.
    front.set_router(http::loading_router(liveset.clone(), options.clone()));
    setup::load_all(&liveset, config, &options.health).await?;
    Ok(liveset)
}

/// Waits until what was committed is in the store, where there is one.
///
/// # Errors
///
/// The store could not be closed.
pub async fn close(liveset: Liveset) -> Result<(), ServeError> {
    let closing = tokio::task::spawn_blocking(move || liveset.close_storage());
    let closed = closing.await.map_err(|error| ServeError::Store(format!("closing it failed: {error}")))?;
    closed.map_err(|error| ServeError::Store(error.to_string()))
}

/// A listener that is served.
#[derive(Debug)]
pub struct Serving {
    /// What is served.
    pub front: Front,
    health: Health,
    accepting: JoinHandle<()>,
    /// Ends the accepting.
    close: watch::Sender<bool>,
}

impl Serving {
    /// Serves from now on.
    pub fn start(
        listener: TcpListener,
        router: Router,
        limits: AcceptLimits,
        tls: Option<ServerTls>,
        health: Health,
    ) -> Serving {
        let (close, mut closed) = watch::channel(false);
        let front = Front::new(router, limits);
        let closed = async move {
            // Without a sender there is nobody to serve for.
            let _ = closed.wait_for(|close| *close).await;
        };
        let accepting = tokio::spawn(accept::serve(listener, front.clone(), tls, closed));
        Serving { front, health, accepting, close }
    }

    /// Serves until stopped. Then, as `drain` says at that moment, goes on while `/readyz` tells that it should not be sent clients, and closes
    /// WebSockets one after the other and HTTP. Whoever is not gone in time is cut.
    pub async fn until(mut self, stop: Stop, liveset: &Liveset, drain: watch::Receiver<Drain>) {
        tokio::select! {
            ended = &mut self.accepting => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the accept loop ended");
                }
            }
            () = stop.clone().wait() => {}
        }
        self.health.drain();
        let drain = *drain.borrow();
        let waiting = tokio::time::timeout(drain.wait, self.front.emptied());
        tokio::select! {
            _ = waiting => {}
            () = stop.clone().wait_for_closing() => {}
        }
        self.close.send_replace(true);
        tokio::select! {
            () = liveset.shutdown(Drain { wait: Duration::ZERO, ..drain }) => {}
            () = stop.wait_for_closing() => {
                liveset.shutdown(Drain { timeout: drain.timeout, ..Drain::AT_ONCE }).await;
            }
        }
        let accepting = &mut self.accepting;
        if !accepting.is_finished() && tokio::time::timeout(drain.timeout, &mut *accepting).await.is_err() {
            tracing::warn!("requests were cut off");
            accepting.abort();
        }
        tracing::info!("stopped");
    }
}

/// Binds an address. Returns with it the line that says which it became.
///
/// # Errors
///
/// The address is taken, or is none of this machine.
pub async fn bind(address: &str, has_tls: bool) -> Result<(TcpListener, String), ServeError> {
    let failed = |source| ServeError::Listen { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let scheme = if has_tls { "https" } else { "http" };
    tracing::info!(address = %bound, "listening");
    Ok((listener, format!("listening on {scheme}://{bound}\n")))
}

fn print(text: &str) {
    let mut stdout = std::io::stdout();
    // Whoever closed our output does not want it.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

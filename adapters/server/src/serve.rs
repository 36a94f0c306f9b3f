//! `liveset serve`: a server from a configuration.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use liveset::{Authenticator, Clock, Grant, Liveset, StaticTokens};
use liveset_hub::Resources;
use tokio::net::TcpListener;

pub use crate::error::ServeError;

use crate::access::Access;
use crate::config::{ClockSource, Config, Overrides, SetConfig, StoreConfig};
use crate::http::{self, HttpOptions};
use crate::ndjson::FileError;
use crate::policy::Rules;
use crate::signals::{Kind, Signal, Stop};
use crate::tls::ServerTls;
use crate::{accept, files, load, log, store};

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

/// Runs a server until a signal stops it. Prints `listening on http://ADDRESS:PORT` (or https) to standard
/// output once it does.
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
    log::start(&config.log);
    let limits = files::fit(config.accept());
    let tokens = StaticTokens::new(grants(&config));
    let access = Access::open(&config, tokens.clone()).await?;
    let recorder = http::install_recorder()?;
    let stop = Stop::on_signals()
        .map_err(|source| ServeError::System { what: "cannot listen to signals", source })?;
    // With a store, its rows are read.
    let building = tokio::task::spawn_blocking({
        let (config, access) = (config.clone(), access.clone());
        move || build(&config, access)
    });
    let liveset = tokio::select! {
        built = building => built.map_err(|error| ServeError::Store(format!("reading it failed: {error}")))??,
        () = stop.clone().wait() => {
            tracing::info!("stopped before the store was read");
            return Ok(());
        }
    };
    if config.policies.is_empty() {
        tracing::warn!("there is no [[policy]]: whoever has a good token may read all sets and paths");
    }
    let mut reloads = Signal::listen(Kind::Hangup)
        .map_err(|source| ServeError::System { what: "cannot listen to signals", source })?;

    tokio::select! {
        loaded = load_all(&liveset, &config) => loaded?,
        // What is being read is given up with the process.
        () = stop.clone().wait() => {
            tracing::info!("stopped before everything was loaded");
            return Ok(());
        }
    }
    let tls = config.tls.as_ref().map(|tls| ServerTls::load(&tls.cert, &tls.key)).transpose()?;
    let listener = listen(&config.listen, tls.is_some()).await?;
    let options = HttpOptions {
        max_body_bytes: config.limits.http.max_body_bytes,
        max_query_bytes: config.limits.liveset.session.message_bytes,
        body_timeout: config.limits.http.body_timeout,
        lines_waiting: config.limits.http.lines_waiting,
        requests_per_second: config.limits.http.requests_per_second,
        request_burst: config.limits.http.request_burst,
        queries_at_once: config.limits.http.queries_at_once,
        queries_per_subject: config.limits.http.queries_per_subject,
        exports: config.limits.http.exports,
        policies: config.policies.clone(),
        cors_origins: config.cors.origins.clone(),
        websocket_origins: config.websocket_origins(),
        metrics: Some(recorder.clone()),
        metrics_public: config.metrics_public,
    };
    let router = http::router(liveset.clone(), options, axum::Router::new());

    let shutdown_timeout = config.limits.http.shutdown_timeout;
    let upkeep = tokio::spawn(http::upkeep(recorder));
    let reloading = tokio::spawn({
        let (liveset, tls) = (liveset.clone(), tls.clone());
        async move {
            let mut running = config;
            loop {
                reloads.next().await;
                reload(&args, &mut running, &tokens, &access, &liveset);
                if let Some(tls) = &tls {
                    reload_tls(&args, tls);
                }
            }
        }
    });
    serve_until(listener, router, limits, tls, liveset.clone(), stop, shutdown_timeout).await;
    reloading.abort();
    upkeep.abort();
    close(liveset).await
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

/// Serves until stopped, then closes HTTP and WebSockets together, within a deadline.
pub async fn serve_until(
    listener: TcpListener,
    router: axum::Router,
    limits: accept::AcceptLimits,
    tls: Option<ServerTls>,
    liveset: Liveset,
    stop: Stop,
    shutdown_timeout: Duration,
) {
    let mut serving = tokio::spawn(accept::serve(listener, router, limits, tls, stop.clone().wait()));
    tokio::select! {
        ended = &mut serving => {
            if let Err(error) = ended {
                tracing::error!(%error, "the accept loop ended");
            }
        }
        () = stop.wait() => {}
    }
    liveset.shutdown(shutdown_timeout).await;
    if !serving.is_finished() && tokio::time::timeout(shutdown_timeout, &mut serving).await.is_err() {
        tracing::warn!("requests were cut off");
        serving.abort();
    }
    tracing::info!("stopped");
}

/// Binds an address, and says which it became.
///
/// # Errors
///
/// The address is taken, or is none of this machine.
pub async fn listen(address: &str, has_tls: bool) -> Result<TcpListener, ServeError> {
    let failed = |source| ServeError::Listen { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let scheme = if has_tls { "https" } else { "http" };
    log::print(&format!("listening on {scheme}://{bound}\n"));
    tracing::info!(address = %bound, "listening");
    Ok(listener)
}

fn print(text: &str) {
    let mut stdout = std::io::stdout();
    // Whoever closed our output does not want it.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// The handle that a configuration describes, without its data.
fn build(config: &Config, access: impl Authenticator) -> Result<Liveset, ServeError> {
    let mut builder = Liveset::builder().limits(config.limits.liveset.clone()).authenticator(access);
    for set in &config.sets {
        builder = builder.set(set.definition());
    }
    if !config.resources.is_empty() {
        builder = builder.resources(resources(config)?);
    }
    let clock = match config.clock.source {
        ClockSource::System => Clock::System,
        ClockSource::Commits => Clock::Commits,
    };
    if !config.policies.is_empty() {
        builder = builder.policy(Rules::new(&config.policies));
    }
    builder = builder.clock(clock);
    if let Some(store) = &config.store {
        builder = store::open(builder, store)?;
    }
    let liveset = builder.build()?;
    if let Some(StoreConfig { path, durability }) = &config.store {
        let rows = liveset.stats().hub.engine.nodes;
        tracing::info!(path = %path.display(), durability, rows, "opened the store");
    }
    Ok(liveset)
}

fn resources(config: &Config) -> Result<Resources, ServeError> {
    let mut resources = Resources::new();
    for resource in &config.resources {
        resources.declare(&resource.path, resource.events.iter().map(String::as_str)).map_err(|error| {
            ServeError::Resource { path: resource.path.clone(), message: error.to_string() }
        })?;
    }
    Ok(resources)
}

fn grants(config: &Config) -> Vec<(String, Grant)> {
    let grant = |entry: &crate::config::TokenConfig| {
        let claims = entry.claims.clone().into_iter().collect();
        let grant = Grant::new(entry.subject.as_str()).claims(claims);
        (entry.token.clone(), if entry.read_only { grant.read_only() } else { grant })
    };
    config.auth.tokens.iter().map(grant).collect()
}

/// Reads the tokens and keys again. Whoever was let in by a token that is gone is ended, and the claims of the others are as they
/// are now. What else changed is named, and waits for a restart.
fn reload(args: &ServeArgs, running: &mut Config, tokens: &StaticTokens, access: &Access, liveset: &Liveset) {
    let read = match Config::load(args.config.as_deref(), &args.overrides) {
        Ok(read) if read.auth.tokens.is_empty() && running.jwt.is_none() => {
            tracing::error!("the configuration has no tokens any more; the old ones stay");
            return;
        }
        Ok(read) => read,
        Err(error) => {
            tracing::error!("the configuration is wrong, the old tokens stay: {error}");
            return;
        }
    };
    tokens.replace(grants(&read));
    // Before connections are asked anew: who is ended must find no old key when it comes back.
    access.reload(running, &read);
    let ended = liveset.reauthorize(|who| tokens.renew(who));
    tracing::info!(tokens = read.auth.tokens.len(), ended, "read the tokens again");
    let changed = running.changed_beside_tokens(&read);
    if !changed.is_empty() {
        tracing::warn!(changed = changed.join(", "), "needs a restart to take effect");
    }
    running.auth = read.auth;
}

/// Reads the files of TLS again, wherever the configuration says that they are now.
fn reload_tls(args: &ServeArgs, tls: &ServerTls) {
    // What is wrong with the configuration was said with the tokens; its `[tls]` may be gone, which waits for a restart.
    let Ok(Config { tls: Some(files), .. }) = Config::load(args.config.as_deref(), &args.overrides) else {
        return;
    };
    match tls.reload(&files.cert, &files.key) {
        Ok(()) => tracing::info!(cert = %files.cert.display(), "read the certificate again"),
        Err(error) => tracing::error!("the certificate stays as it was: {error}"),
    }
}

async fn load_all(liveset: &Liveset, config: &Config) -> Result<(), ServeError> {
    for set in config.sets.clone() {
        let Some(file) = set.load.clone() else { continue };
        if config.store.is_some() && has_rows(liveset, &set) {
            tracing::info!(set = set.name, file = %file.display(), "not loaded: the store has rows of the set");
            continue;
        }
        let handle = liveset.clone();
        let name = set.name.clone();
        let loaded = tokio::task::spawn_blocking(move || load::load(&handle, &set)).await;
        let loaded = loaded.map_err(|error| FileError {
            file: file.clone(),
            line: None,
            message: format!("reading it failed: {error}"),
        })??;
        tracing::info!(set = name, file = %file.display(), nodes = loaded.nodes, commits = loaded.commits, "loaded");
    }
    Ok(())
}

fn has_rows(liveset: &Liveset, set: &SetConfig) -> bool {
    liveset.sets().iter().any(|known| known.definition.name == set.name && known.rows > 0)
}

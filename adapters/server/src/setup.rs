//! What a configuration describes: the handle, its options, its tokens, and what its sets hold at start.

use liveset::{Authenticator, Clock, Grant, Liveset, StaticTokens};
use liveset_hub::Resources;

use crate::config::{ClockSource, Config, SetConfig, StoreConfig, TokenConfig};
use crate::error::ServeError;
use crate::http::{Health, HttpOptions};
use crate::ndjson::FileError;
use crate::policy::Policies;
use crate::{load, store};

/// The options of the endpoints as a configuration has them, and the others as they were.
pub(crate) fn options(config: &Config, others: &HttpOptions) -> HttpOptions {
    let limits = &config.limits.http;
    HttpOptions {
        max_body_bytes: limits.max_body_bytes,
        max_query_bytes: config.limits.liveset.session.message_bytes,
        body_timeout: limits.body_timeout,
        lines_waiting: limits.lines_waiting,
        requests_per_second: limits.requests_per_second,
        request_burst: limits.request_burst,
        queries_at_once: limits.queries_at_once,
        queries_per_subject: limits.queries_per_subject,
        exports: limits.exports,
        policies: config.policies.clone(),
        cors_origins: config.cors.origins.clone(),
        websocket_origins: config.websocket_origins(),
        admins: StaticTokens::new(grants(config, true)),
        metrics_public: config.metrics_public,
        ready_stale_limit: config.ready_stale_limit,
        ..others.clone()
    }
}

/// The handle that a configuration describes, without its data.
pub(crate) fn build(
    config: &Config,
    access: impl Authenticator,
    policies: Policies,
) -> Result<Liveset, ServeError> {
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
    builder = builder.clock(clock).policy(policies);
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

/// The resources that a configuration declares.
pub(crate) fn resources(config: &Config) -> Result<Resources, ServeError> {
    let mut resources = Resources::new();
    for resource in &config.resources {
        resources.declare(&resource.path, resource.events.iter().map(String::as_str)).map_err(|error| {
            ServeError::Resource { path: resource.path.clone(), message: error.to_string() }
        })?;
    }
    Ok(resources)
}

/// What the tokens of a configuration entitle to: all of them, or those of administrators.
pub(crate) fn grants(config: &Config, admins_alone: bool) -> Vec<(String, Grant)> {
    let grant = |entry: &TokenConfig| {
        let claims = entry.claims.clone().into_iter().collect();
        let grant = Grant::new(entry.subject.as_str()).claims(claims);
        let grant = config.tenants.tenancy(grant);
        (entry.token.clone(), if entry.read_only { grant.read_only() } else { grant })
    };
    config.auth.tokens.iter().filter(|entry| entry.admin || !admins_alone).map(grant).collect()
}

/// Fills the sets from their files, one after the other, and says so of each.
pub(crate) async fn load_all(liveset: &Liveset, config: &Config, health: &Health) -> Result<(), ServeError> {
    // What holds nothing at start is there.
    config.sets.iter().filter(|set| set.load.is_none()).for_each(|set| health.loaded(&set.name));
    for set in config.sets.clone() {
        let Some(file) = &set.load else { continue };
        if config.store.is_some() && has_rows(liveset, &set) {
            tracing::info!(set = set.name, file = %file.display(), "not loaded: the store has rows of the set");
            health.loaded(&set.name);
            continue;
        }
        load_set(liveset, &set).await?;
        health.loaded(&set.name);
    }
    Ok(())
}

/// Fills a set from its file, if it names one.
pub(crate) async fn load_set(liveset: &Liveset, set: &SetConfig) -> Result<(), FileError> {
    let Some(file) = set.load.clone() else { return Ok(()) };
    let (handle, name, set) = (liveset.clone(), set.name.clone(), set.clone());
    let loaded = tokio::task::spawn_blocking(move || load::load(&handle, &set)).await;
    let loaded = loaded.map_err(|error| FileError {
        file: file.clone(),
        line: None,
        message: format!("reading it failed: {error}"),
    })??;
    tracing::info!(set = name, file = %file.display(), nodes = loaded.nodes, commits = loaded.commits, "loaded");
    Ok(())
}

fn has_rows(liveset: &Liveset, set: &SetConfig) -> bool {
    liveset.sets().iter().any(|known| known.definition.name == set.name && known.rows > 0)
}

//! What SIGHUP does: the whole configuration is read again, and what can change without a restart does.
//!
//! Everything that can go wrong is tried before anything is changed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use axum::Router;
use liveset::{Drain, Liveset, Resources, StaticTokens};
use tokio::sync::watch;

use crate::accept::Front;
use crate::access::Access;
use crate::config::{Config, ConfigError, Overrides, SetConfig};
use crate::error::ServeError;
use crate::http::{HttpOptions, Service};
use crate::policy::Policies;
use crate::signals::Signal;
use crate::tls::ServerTls;
use crate::{files, log, setup};

/// A file that was the same for so long is whole: whoever writes it may be in the middle.
const SETTLED: Duration = Duration::from_millis(100);
/// It is looked at so often, at most.
const LOOKS: usize = 100;

/// A server with all of it that can change.
pub(crate) struct Running {
    /// Where the configuration is, and what is said over it.
    pub(crate) file: Option<PathBuf>,
    pub(crate) overrides: Overrides,
    /// What it runs with.
    pub(crate) config: Config,
    pub(crate) drain: watch::Sender<Drain>,
    pub(crate) tokens: StaticTokens,
    pub(crate) access: Access,
    pub(crate) policies: Policies,
    pub(crate) liveset: Liveset,
    pub(crate) service: Service,
    pub(crate) front: Front,
    pub(crate) tls: Option<ServerTls>,
}

impl Running {
    /// Reads the configuration again at each signal. Never ends.
    pub(crate) async fn reload_when_told(mut self, mut reloads: Signal) {
        loop {
            reloads.next().await;
            if let Err(error) = self.reload().await {
                tracing::error!("nothing was changed: {error}");
            }
        }
    }

    async fn reload(&mut self) -> Result<(), ServeError> {
        let read = self.read().await?;
        if read.auth.tokens.is_empty() && self.config.jwt.is_none() {
            return Err(ServeError::Reload("the configuration has no tokens any more"));
        }
        if read.policies.is_empty() && !self.config.policies.is_empty() {
            return Err(ServeError::Reload(
                "the configuration has no [[policy]] any more, which would show everything to everybody; a restart takes it",
            ));
        }
        let keys = self.access.read_keys(&self.config, &read)?;
        let tls = match (&self.tls, &read.tls) {
            (Some(_), Some(files)) => Some(ServerTls::load(&files.cert, &files.key)?),
            _ => None,
        };
        let resources = match read.resources.is_empty() {
            true => Resources::stock(),
            false => setup::resources(&read)?,
        };
        let is_new = |set: &&SetConfig| !self.config.sets.iter().any(|known| known.name == set.name);
        let added: Vec<SetConfig> = read.sets.iter().filter(is_new).cloned().collect();
        let mut check = Liveset::builder().limits(self.config.limits.liveset.clone());
        for set in self.config.sets.iter().chain(&added) {
            check = check.set(set.definition());
        }
        check.build()?;

        // From here on nothing fails.
        let needs_restart = self.config.needs_restart(&read);
        self.config.take(read);
        log::set_filter(&self.config.log);
        for set in &added {
            if let Err(error) = self.liveset.define_set(set.definition()) {
                tracing::error!(set = set.name, %error, "the set was not added");
            }
        }
        self.liveset.set_resources(resources);
        if let Err(error) = self.liveset.set_limits(&self.config.limits.liveset) {
            tracing::error!(%error, "the limits stay");
        }
        self.tokens.replace(setup::grants(&self.config, false));
        // Before connections are asked again: who is ended must find no old key when it comes back.
        self.access.replace_keys(keys);
        self.policies.replace(&self.config.policies);
        let ended = tokio::task::spawn_blocking({
            let (liveset, tokens) = (self.liveset.clone(), self.tokens.clone());
            move || liveset.reauthorize(|who| tokens.renew(who))
        });
        let ended = ended.await.unwrap_or_default();
        self.front.set_limits(files::fit(self.config.accept()));
        self.service = self.service.with_options(self.options());
        self.front.set_router(self.service.router(Router::new()));
        if let (Some(running), Some(read)) = (&self.tls, &tls) {
            running.replace(read);
            tracing::info!("read the certificate again");
        }
        self.drain.send_replace(self.config.limits.drain());
        tracing::info!(
            tokens = self.config.auth.tokens.len(),
            policies = self.config.policies.len(),
            added = added.len(),
            ended,
            "read the configuration again"
        );
        if !needs_restart.is_empty() {
            tracing::warn!(changed = needs_restart.join(", "), "needs a restart to take effect");
        }
        self.load(added);
        Ok(())
    }

    fn options(&self) -> HttpOptions {
        setup::options(&self.config, self.service.options())
    }

    /// Fills sets that were added, while everybody is served.
    fn load(&self, sets: Vec<SetConfig>) {
        let liveset = self.liveset.clone();
        tokio::spawn(async move {
            for set in sets {
                if let Err(error) = setup::load_set(&liveset, &set).await {
                    tracing::error!(set = set.name, "what the set should hold cannot be loaded: {error}");
                }
            }
        });
    }

    async fn read(&self) -> Result<Config, ServeError> {
        let Some(file) = &self.file else { return Ok(Config::load(None, &self.overrides)?) };
        let text = settled(file).await?;
        Ok(Config::read(file, &text, &self.overrides)?)
    }
}

/// The text of a file that nobody is writing to, as far as can be seen.
async fn settled(file: &Path) -> Result<String, ServeError> {
    // Whoever writes the same again may be in the middle too.
    let read = || Ok((std::fs::metadata(file)?.modified()?, std::fs::read_to_string(file)?));
    let mut before: io::Result<(SystemTime, String)> = read();
    for _ in 0..LOOKS {
        tokio::time::sleep(SETTLED).await;
        match (before, read()) {
            (Ok(before), Ok(now)) if before == now => return Ok(now.1),
            (Err(_), Err(source)) => return Err(ConfigError::Read { file: file.into(), source }.into()),
            (_, now) => before = now,
        }
    }
    Err(ServeError::Reload("the configuration is being written again and again"))
}

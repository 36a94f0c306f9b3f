//! How a client is made.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use liveset_core::Token;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{mpsc, watch};
use tokio_rustls::rustls::ClientConfig;

use crate::address::Address;
use crate::client::Client;
use crate::driver::{Driver, Inspect, Settings, Source};
use crate::error::BuildError;
use crate::handle::Handle;
use crate::status::{Connection, ConnectionStatus, Heard, State};
use crate::timing::Timing;
use crate::tls;

/// Describes a client. Made by [`Client::builder`].
///
/// ```no_run
/// use liveset_client::Client;
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder("ws://127.0.0.1:8080/ws").token("s3cret").connect()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "there is no client until it is connected"]
pub struct ClientBuilder {
    address: String,
    source: Source,
    timing: Timing,
    tls: Option<Arc<ClientConfig>>,
    inspect: Option<Inspect>,
}

/// What a function for tokens is told.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TokenRequest {
    /// The last token was refused, or has expired: do not answer it from a cache.
    pub refused: bool,
}

impl Client {
    /// A client of the endpoint at an address such as `wss://live.example/ws`. A path that is missing is `/ws`.
    pub fn builder(address: impl Into<String>) -> ClientBuilder {
        // Whoever gives no token has a server that takes any.
        let source: Source = Arc::new(|_| Box::pin(std::future::ready(Ok(Token::new("")))));
        ClientBuilder { address: address.into(), source, timing: Timing::default(), tls: None, inspect: None }
    }
}

impl ClientBuilder {
    /// The token, without `Bearer `. Default: an empty one.
    pub fn token(self, token: impl Into<Box<str>>) -> Self {
        let token = Token::new(token);
        self.token_from(move |_| std::future::ready(Ok::<_, Infallible>(token.clone())))
    }

    /// Where tokens come from: the function is called for every connection. One that the server does not take is asked for once more; if
    /// that is refused too, nothing is tried until [`Client::reconnect`]. An error is as if there were no connection.
    ///
    /// ```no_run
    /// use liveset_client::{Client, Token};
    ///
    /// # async fn fetch(fresh: bool) -> std::io::Result<String> { unimplemented!() }
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = Client::builder("wss://live.example/ws");
    /// let client = builder.token_from(|asked| async move { fetch(asked.refused).await.map(Token::new) }).connect()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn token_from<F, R, E>(mut self, source: F) -> Self
    where
        F: Fn(TokenRequest) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Token, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + 'static,
    {
        self.source = Arc::new(move |refused| {
            let token = source(TokenRequest { refused });
            Box::pin(async move { token.await.map_err(Into::into) })
        });
        self
    }

    /// Changes how long the client waits for what.
    pub fn timing(mut self, change: impl FnOnce(&mut Timing)) -> Self {
        change(&mut self.timing);
        self
    }

    /// The TLS of `wss://` addresses. Default: the authorities are those that the system trusts.
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Calls the function with each message of the server, as it came, before the client takes it: for tools and logs. It runs in the task
    /// of the client, so the client waits for what it waits for.
    pub fn inspect(mut self, inspect: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        self.inspect = Some(Arc::new(inspect));
        self
    }

    /// Starts the client, without waiting for its first connection.
    ///
    /// # Errors
    ///
    /// The address is none, TLS cannot be set up, or there is no tokio runtime.
    pub fn connect(self) -> Result<Client, BuildError> {
        let address: Address = self.address.parse().map_err(|()| BuildError::Address(self.address))?;
        let tls = match (address.is_tls, self.tls) {
            (false, _) => None,
            (true, Some(config)) => Some(config),
            (true, None) => Some(Arc::new(tls::of_the_system()?)),
        };
        let runtime = Runtime::try_current().map_err(|_| BuildError::NoRuntime)?;
        let (commands, asked) = mpsc::unbounded_channel();
        let (tell, state) =
            watch::channel(State { status: ConnectionStatus::Connecting, error: None, pause: None });
        let connection = Connection { state, heard: Arc::new(Heard::default()) };
        let settings =
            Settings { address, tls, source: self.source, timing: self.timing, inspect: self.inspect };
        let driver = Driver::new(settings, asked, tell, connection.heard.clone());
        runtime.spawn(driver.run());
        Ok(Client::new(Handle::new(commands, connection)))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("address", &self.address)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

//! Connections of the commands to a server: TCP, or TLS over it.

use std::path::Path;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::tls::{self, TlsError};
use crate::url::ServerUrl;

/// What a connection reads and writes.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> Io for IO {}

/// Connects to one server, again and again.
pub(crate) struct Connector {
    pub(crate) url: ServerUrl,
    tls: Option<TlsConnector>,
}

impl Connector {
    /// `ca` has the authorities that are trusted with a server's certificate.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has no certificate.
    pub(crate) fn new(url: ServerUrl, ca: Option<&Path>) -> Result<Connector, TlsError> {
        let tls = url.is_tls.then(|| tls::connector(ca)).transpose()?;
        Ok(Connector { url, tls })
    }

    /// A new connection. Bound it by a deadline.
    pub(crate) async fn connect(&self) -> Result<Box<dyn Io>, String> {
        let stream = TcpStream::connect(self.url.address()).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let tls = match &self.tls {
            Some(tls) => tls,
            None if self.url.is_tls => return Err("TLS was not set up".into()),
            None => return Ok(Box::new(stream)),
        };
        let host = self.url.host();
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is no name for TLS"))?;
        let stream = tls.connect(name, stream).await.map_err(|error| format!("no TLS there: {error}"))?;
        Ok(Box::new(stream))
    }
}

impl From<ServerUrl> for Connector {
    /// For addresses without TLS: another cannot be connected to.
    fn from(url: ServerUrl) -> Connector {
        Connector { url, tls: None }
    }
}

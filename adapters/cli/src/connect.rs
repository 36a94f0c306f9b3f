//! Connections of the commands to a server: TCP, or TLS over it.

use std::io;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::url::ServerUrl;
use liveset_server::tls::{self, TlsError};

/// What a connection reads and writes.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> Io for IO {}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The server may be there later.
    Passing(String),
    /// Trying again would not help: what is there is no such server, or is not trusted.
    Lasting(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Passing(error.to_string())
    }
}

/// What an error of HTTP says of the other end.
pub(crate) fn http_trouble(error: &hyper::Error, is_tls: bool) -> Trouble {
    if !error.is_parse() {
        return Trouble::Passing(error.to_string());
    }
    let hint = match is_tls {
        true => "",
        false => "; a server with TLS is called by https:// or wss://",
    };
    Trouble::Lasting(format!("what answers there does not speak HTTP ({error}){hint}"))
}

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
    pub(crate) async fn connect(&self) -> Result<Box<dyn Io>, Trouble> {
        let stream = TcpStream::connect(self.url.address()).await?;
        stream.set_nodelay(true)?;
        let tls = match &self.tls {
            Some(tls) => tls,
            None if self.url.is_tls => return Err(Trouble::Lasting("TLS was not set up".into())),
            None => return Ok(Box::new(stream)),
        };
        let host = self.url.host();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Trouble::Lasting(format!("{host:?} is not a name for TLS")))?;
        let stream = tls.connect(name, stream).await.map_err(tls_trouble)?;
        Ok(Box::new(stream))
    }
}

/// What a handshake of TLS failed by: an error of TLS comes again with every attempt, one of the network may pass.
fn tls_trouble(error: io::Error) -> Trouble {
    use rustls::Error;
    let Some(problem) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return Trouble::Passing(format!("no TLS there: {error}"));
    };
    Trouble::Lasting(match problem {
        Error::InvalidMessage(_) => {
            format!("no TLS there: {problem}; a server without TLS is called by http:// or ws://")
        }
        Error::InvalidCertificate(_) => {
            format!("the server's certificate is not trusted: {problem}; --ca FILE names who vouches for it")
        }
        problem => format!("no TLS there: {problem}"),
    })
}

impl From<ServerUrl> for Connector {
    /// For addresses without TLS: another cannot be connected to.
    fn from(url: ServerUrl) -> Connector {
        Connector { url, tls: None }
    }
}

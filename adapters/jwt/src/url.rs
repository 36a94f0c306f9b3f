//! Key sets from an address, over TLS.

use std::fmt;
use std::io;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use liveset::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::{FetchJwks, Jwks};

/// The longest key set.
const MAX_BODY: usize = 256 * 1024;

/// The largest head of an answer.
const MAX_HEAD: usize = 16 * 1024;

impl Jwks {
    /// The set at an address, as an issuer's `jwks_uri` says, with the authorities that the system trusts.
    ///
    /// # Errors
    ///
    /// See [`UrlFetcher::new`].
    pub fn url(url: &str) -> Result<Jwks, UrlError> {
        UrlFetcher::new(url, None).map(Jwks::new)
    }
}

/// Gets a key set from an address: one connection for one request, by HTTP/1.1, without redirects or proxies. An answer
/// must have the status 200 and at most 256 KiB.
pub struct UrlFetcher {
    url: Uri,
    /// For the connection: without the brackets of IPv6.
    host: Box<str>,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl UrlFetcher {
    /// `https://…`, or `http://…` of this machine (`localhost`, 127.0.0.0/8, `[::1]`). `authorities`, in PEM, are
    /// trusted in place of those of the system.
    ///
    /// # Errors
    ///
    /// It is no such address, or there is no authority.
    pub fn new(url: &str, authorities: Option<&[u8]>) -> Result<UrlFetcher, UrlError> {
        let url: Uri = url.parse().map_err(|_| UrlError::Invalid)?;
        let authority = url.authority().ok_or(UrlError::Invalid)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::Credentials);
        }
        let host: Box<str> = authority.host().trim_start_matches('[').trim_end_matches(']').into();
        let is_tls = match url.scheme_str() {
            Some("https") => true,
            Some("http") if is_loopback(&host) => false,
            Some("http") => return Err(UrlError::Plain),
            _ => return Err(UrlError::Invalid),
        };
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = match is_tls {
            true => {
                let name = ServerName::try_from(host.to_string()).map_err(|_| UrlError::Invalid)?;
                Some((connector(authorities)?, name))
            }
            false => None,
        };
        Ok(UrlFetcher { url, host, port, tls })
    }

    async fn get(&self) -> Result<Vec<u8>, String> {
        let failed = |error: io::Error| format!("cannot connect to {}: {error}", self.host);
        let stream = TcpStream::connect((&*self.host, self.port)).await.map_err(failed)?;
        match &self.tls {
            None => self.get_over(stream).await,
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), stream).await.map_err(failed)?;
                self.get_over(stream).await
            }
        }
    }

    async fn get_over(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) -> Result<Vec<u8>, String> {
        let mut client = hyper::client::conn::http1::Builder::new();
        client.max_buf_size(MAX_HEAD);
        let (mut sender, connection) =
            client.handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let request = Request::get(self.url.path_and_query().map_or("/", |path| path.as_str()))
            .header(HOST, self.url.authority().map_or("", |authority| authority.as_str()))
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(USER_AGENT, concat!("liveset/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            if response.status() != StatusCode::OK {
                return Err(format!("{} answers {}", self.host, response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
            Ok(body.map_err(|error| error.to_string())?.to_bytes().to_vec())
        };
        // Both in this future, so that the connection goes when whoever asked does.
        let mut connection = std::pin::pin!(connection);
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            ended = &mut connection => match ended {
                // What came last may be read still.
                Ok(()) => answer.await,
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

impl FetchJwks for UrlFetcher {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(self.get())
    }
}

impl fmt::Debug for UrlFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlFetcher")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn connector(authorities: Option<&[u8]>) -> Result<TlsConnector, UrlError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| UrlError::NoAuthority)?;
                roots.add(certificate).map_err(|_| UrlError::NoAuthority)?;
            }
        }
        // One that cannot be read makes trust narrower, not wider.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if roots.is_empty() {
        return Err(UrlError::NoAuthority);
    }
    // Named, because other packages of the program may have brought a second one.
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .map_err(|_| UrlError::NoAuthority)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Why keys cannot be fetched from an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is none.
    #[error("not an address, as https://issuer.example/jwks.json")]
    Invalid,
    /// Without TLS, to another machine: whoever is on the way could put keys of their own in.
    #[error("without TLS only addresses of this machine are fetched; write https://")]
    Plain,
    /// A name or password stands in it.
    #[error("an address with a name or a password in it")]
    Credentials,
    /// No certificate of an authority is known.
    #[error("there is no authority to trust: the system has none, or those given are no certificates in PEM")]
    NoAuthority,
}

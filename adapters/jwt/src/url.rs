//! Key sets from an address, over TLS.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use liveset::BoxFuture;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
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
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
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
        let is_tls = match url.scheme_str() {
            Some("https") => true,
            Some("http") if is_loopback(authority.host()) => false,
            Some("http") => return Err(UrlError::Plain),
            _ => return Err(UrlError::Invalid),
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new().with_tls_config(config(is_tls, authorities)?);
        let connector = connector.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            // Nothing is asked again for minutes.
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(MAX_HEAD)
            .build(connector);
        Ok(UrlFetcher { url, client })
    }

    async fn get(&self) -> Result<Vec<u8>, String> {
        let request = Request::get(&self.url)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(USER_AGENT, concat!("liveset/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let host = self.url.host().unwrap_or_default();
        let response = self.client.request(request).await;
        let response = response.map_err(|error| format!("{host} does not answer: {}", told(&error)))?;
        if response.status() != StatusCode::OK {
            return Err(format!("{host} answers {}", response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
        Ok(body.map_err(|error| error.to_string())?.to_bytes().to_vec())
    }
}

/// An error, and all that it came from.
fn told(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl FetchJwks for UrlFetcher {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(self.get())
    }
}

impl fmt::Debug for UrlFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlFetcher")
            .field("host", &self.url.host())
            .field("port", &self.url.port_u16())
            .finish_non_exhaustive()
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn config(is_tls: bool, authorities: Option<&[u8]>) -> Result<ClientConfig, UrlError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| UrlError::NoAuthority)?;
                roots.add(certificate).map_err(|_| UrlError::NoAuthority)?;
            }
        }
        // Nobody is trusted where nobody is asked.
        None if !is_tls => {}
        // One that cannot be read makes trust narrower, not wider.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if is_tls && roots.is_empty() {
        return Err(UrlError::NoAuthority);
    }
    // Named, because other packages of the program may have brought a second one.
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .map_err(|_| UrlError::NoAuthority)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
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

//! TLS, by rustls: the server's certificate, and whom the commands trust.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    #[error("{}: {problem}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Each file is right, and they do not belong together.
    #[error("{} and {}: {problem}", cert.display(), key.display())]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The system's list of authorities was not found.
    #[error("no list of certificate authorities was found: name one with --ca FILE")]
    NoAuthorities,
    /// The cryptography offers no version of TLS that is safe.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// The certificate of a server, which can be replaced while it is in use.
#[derive(Debug, Clone)]
pub struct ServerTls {
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

impl ServerTls {
    /// Reads a chain of certificates, the server's own first, and its key, both PEM.
    ///
    /// # Errors
    ///
    /// A file cannot be read or has no such thing, or the two do not belong together.
    pub fn load(cert: &Path, key: &Path) -> Result<ServerTls, TlsError> {
        Ok(ServerTls { config: Arc::new(RwLock::new(server_config(cert, key)?)) })
    }

    /// Uses what another has read, for connections to come; those that are open keep what they have.
    pub fn replace(&self, read: &ServerTls) {
        let config = Arc::clone(&read.config.read().unwrap_or_else(PoisonError::into_inner));
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn server_config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(cert)?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| file_error(key, &error, "no private key (BEGIN PRIVATE KEY)"))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| TlsError::Pair {
            cert: cert.into(),
            key: key.into(),
            problem: match error {
                rustls::Error::InconsistentKeys(_) => "the key is not that of the certificate".into(),
                error => error.to_string(),
            },
        })?;
    // The upgrade to a WebSocket is a part of HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The authorities in `ca`, a PEM file. Without one, those that the system trusts, or the files that `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name.
///
/// # Errors
///
/// The file cannot be read or has no certificate, or the system trusts nobody.
pub fn authorities(ca: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca else {
        // One that cannot be read makes trust narrower, not wider.
        let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if added == 0 { Err(TlsError::NoAuthorities) } else { Ok(roots) };
    };
    let (added, _) = roots.add_parsable_certificates(certificates(file)?);
    if added == 0 {
        let problem = "none of its certificates is one of an authority".into();
        return Err(TlsError::File { file: file.into(), problem });
    }
    Ok(roots)
}

/// The TLS of a client that trusts these authorities.
///
/// # Errors
///
/// The cryptography offers no version of TLS that is safe.
pub fn client(authorities: RootCertStore) -> Result<ClientConfig, TlsError> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(authorities).with_no_client_auth())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const NONE: &str = "no certificate (BEGIN CERTIFICATE)";
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|error| file_error(file, &error, NONE))?;
    if read.is_empty() {
        return Err(file_error(file, &pem::Error::NoItemsFound, NONE));
    }
    Ok(read)
}

fn file_error(file: &Path, error: &pem::Error, none: &str) -> TlsError {
    let problem = match error {
        pem::Error::NoItemsFound => format!("there is {none} in it"),
        pem::Error::Io(error) => error.to_string(),
        error => format!("not PEM: {error}"),
    };
    TlsError::File { file: file.into(), problem }
}

/// Named, so that it does not matter what else in the process has a say in it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

//! TLS, by rustls.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::error::BuildError;

/// Trusts the authorities that the system trusts.
pub(crate) fn of_the_system() -> Result<ClientConfig, BuildError> {
    let mut roots = RootCertStore::empty();
    // One that cannot be read makes trust narrower, not wider.
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(BuildError::NoAuthorities);
    }
    // Named, so that it does not matter what else in the process has a say in it.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    Ok(config.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}

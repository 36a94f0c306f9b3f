//! Connections by TLS.

use std::sync::Arc;

use liveset::http::Endpoint;
use liveset_client::{Client, rustls};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::server::{ROWS, Server, serve};
use crate::support::{Row, TOKEN, builder, row, soon, until};

const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/tests/certificates");

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(format!("{CERTIFICATES}/{name}")).unwrap()
}

#[tokio::test]
async fn a_server_with_a_certificate_that_is_trusted_is_talked_to() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 1)]);
    let key = PrivateKeyDer::from_pem_file(format!("{CERTIFICATES}/server.key.pem")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate("server.pem")], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = Endpoint::new(server.liveset.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(serve(stream, endpoint.clone()));
            }
        }
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate("authority.pem")).unwrap();
    let trusting = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = format!("wss://localhost:{port}/ws");
    let client = builder(&address).tls(Arc::new(trusting)).connect().unwrap();
    assert_eq!(soon(client.query::<Row>(ROWS)).await.unwrap().len(), 1);

    // The system trusts nobody who vouches for it.
    if let Ok(stranger) = Client::builder(address).token(TOKEN).connect() {
        let refused =
            || stranger.connection().error().is_some_and(|error| error.to_string().contains("certificate"));
        until("it is refused", refused).await;
    }
}

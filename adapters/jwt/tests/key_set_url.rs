//! Key sets from an address: over sockets of this machine, with and without TLS, from good servers and bad ones. A
//! binary of its own, because it needs a feature.

#[path = "it/support/mod.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use liveset_jwt::{FetchJwks as _, Jwks, Refusal, UrlError, UrlFetcher};
use serde_json::json;
use support::{Signer, builder, good_claims, header_with, jwk, jwks, token_of};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{DEFAULT_VERSIONS, ServerConfig};

const AUTHORITY: &[u8] = include_bytes!("keys/ca.pem");

/// What a server does with each connection.
#[derive(Clone)]
enum Server {
    /// Answers with these bytes and closes.
    Answers(Vec<u8>),
    /// Reads the request and says nothing.
    Silent,
    /// Sends without end.
    Endless(&'static str),
}

fn answer(body: &[u8]) -> Server {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    Server::Answers([head.as_bytes(), body].concat())
}

impl Server {
    /// Serves on a free port, and counts the connections.
    async fn serve(self, tls: bool) -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let count = Arc::new(AtomicUsize::new(0));
        let counting = count.clone();
        let acceptor = tls.then(acceptor);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counting.fetch_add(1, Ordering::SeqCst);
                let (server, acceptor) = (self.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => server.talk(stream).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                server.talk(stream).await;
                            }
                        }
                    }
                });
            }
        });
        (port, count)
    }

    async fn talk(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if !matches!(stream.read(&mut byte).await, Ok(1)) {
                return;
            }
            request.push(byte[0]);
        }
        assert!(request.starts_with(b"GET /keys?v=1 HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&request));
        match self {
            Server::Answers(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
            }
            Server::Silent => std::future::pending().await,
            Server::Endless(head) => {
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            }
        }
    }
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("keys/tls.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("keys/tls.key.pem")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(DEFAULT_VERSIONS)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    TlsAcceptor::from(Arc::new(config.expect("TLS")))
}

fn keys() -> Vec<u8> {
    jwks([jwk(Signer::Ec, "a")])
}

fn token() -> String {
    token_of(Signer::Ec, &header_with(Signer::Ec, json!({"kid": "a"})), &good_claims().to_string())
}

#[tokio::test]
async fn over_plain_tcp_of_this_machine() {
    let (port, connections) = answer(&keys()).serve(false).await;
    let source = Jwks::url(&format!("http://127.0.0.1:{port}/keys?v=1")).unwrap();
    let authenticator = builder(source).build().unwrap();
    for _ in 0..3 {
        assert_eq!(authenticator.verify(&token()).await.map(drop), Ok(()));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn over_tls_from_a_trusted_authority_only() {
    let (port, _) = answer(&keys()).serve(true).await;
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}/keys?v=1");
        let fetcher = UrlFetcher::new(&url, Some(AUTHORITY)).unwrap();
        assert_eq!(fetcher.fetch().await, Ok(keys()), "{host}");
        // The same server, to whom does not trust its authority, and by a name that it is not.
        let stranger = UrlFetcher::new(&url, Some(include_bytes!("keys/tls.pem"))).unwrap();
        let error = stranger.fetch().await.unwrap_err();
        assert!(error.contains("certificate"), "{error}");
    }
    let fetcher =
        UrlFetcher::new(&format!("https://[::ffff:127.0.0.1]:{port}/keys?v=1"), Some(AUTHORITY)).unwrap();
    let error = fetcher.fetch().await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
}

#[tokio::test]
async fn answers_that_are_none() {
    let text = |text: &str| Server::Answers(text.into());
    let long = "x".repeat(300 * 1024);
    for (server, error_due) in [
        (text("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"), "404"),
        (text("HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n"), "302"),
        (text("HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}"), "500"),
        (text("hello"), ""),
        (text(""), ""),
        (text("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort"), ""),
        (answer(long.as_bytes()), "length limit exceeded"),
        (Server::Endless("HTTP/1.1 200 OK\r\n\r\n"), "length limit exceeded"),
        (Server::Endless("HTTP/1.1 200 OK\r\nx: "), ""),
    ] {
        let (port, _) = server.serve(false).await;
        let fetcher = UrlFetcher::new(&format!("http://localhost:{port}/keys?v=1"), None).unwrap();
        let error = fetcher.fetch().await.expect_err(error_due);
        assert!(error.contains(error_due), "{error}");
    }
}

#[tokio::test]
async fn a_silent_server_and_no_server_refuse_tokens_in_time() {
    let (port, connections) = Server::Silent.serve(false).await;
    let source =
        Jwks::url(&format!("http://127.0.0.1:{port}/keys?v=1")).unwrap().timeout(Duration::from_millis(50));
    let authenticator = builder(source).build().unwrap();
    assert_eq!(authenticator.verify(&token()).await.map(drop), Err(Refusal::Unavailable));
    assert_eq!(connections.load(Ordering::SeqCst), 1);

    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let source = Jwks::url(&format!("http://127.0.0.1:{nobody}/keys?v=1")).unwrap();
    assert!(!source.prefetch().await);
}

#[test]
fn addresses_that_are_not_fetched() {
    let refused = |url: &str| UrlFetcher::new(url, Some(AUTHORITY)).map(drop);
    for url in [
        "",
        "issuer.example",
        "/keys",
        "ftp://issuer.example/",
        "file:///etc/passwd",
        "https://",
        "https:///keys",
    ] {
        assert_eq!(refused(url), Err(UrlError::Invalid), "{url}");
    }
    for url in [
        "http://issuer.example/keys",
        "http://10.0.0.1/",
        "http://127.0.0.1.example/",
        "http://[::2]/",
        "http://localhost.example/",
    ] {
        assert_eq!(refused(url), Err(UrlError::Plain), "{url}");
    }
    for url in ["https://name:password@issuer.example/", "http://127.0.0.1@issuer.example/"] {
        assert_eq!(refused(url), Err(UrlError::Credentials), "{url}");
    }
    for url in [
        "http://localhost/",
        "http://127.1.2.3:80/",
        "http://[::1]:8080/x",
        "https://issuer.example",
        "HTTPS://issuer.example",
    ] {
        assert_eq!(refused(url), Ok(()), "{url}");
    }
    assert_eq!(
        UrlFetcher::new("https://issuer.example/", Some(b"none")).map(drop),
        Err(UrlError::NoAuthority)
    );
}

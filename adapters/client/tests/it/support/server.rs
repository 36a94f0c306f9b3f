//! A real endpoint in a runtime of its own, so that it can be killed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use liveset::http::Endpoint;
use liveset::{AuthError, Builder, Grant, Liveset, SetDef};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};

use super::{Row, TOKEN};

/// The set.
pub const ROWS: &str = "rows";

/// What the server's tokens are worth.
#[derive(Debug, Default)]
pub struct Gate {
    /// So many good tokens are refused first.
    pub refusals: AtomicU32,
    /// Tokens that were judged.
    pub asked: AtomicU32,
}

/// A server. It is killed when it is dropped.
pub struct Server {
    pub liveset: Liveset,
    pub address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts one with these rows.
    pub fn start<'r>(gate: &Arc<Gate>, rows: impl IntoIterator<Item = &'r Row>) -> Server {
        Server::with(gate, rows, |builder| builder)
    }

    pub fn with<'r>(
        gate: &Arc<Gate>,
        rows: impl IntoIterator<Item = &'r Row>,
        change: impl FnOnce(Builder) -> Builder,
    ) -> Server {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _inside = runtime.enter();
        let gate = gate.clone();
        let authenticator = liveset::from_fn(move |token| {
            let gate = gate.clone();
            async move {
                gate.asked.fetch_add(1, Ordering::SeqCst);
                let less = |left: u32| left.checked_sub(1);
                let is_refused = gate.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok();
                let is_good = token.expose() == TOKEN && !is_refused;
                if is_good { Ok(Grant::new("tester")) } else { Err(AuthError::Refused) }
            }
        });
        let builder = Liveset::builder().set(SetDef::new(ROWS)).authenticator(authenticator);
        let liveset = change(builder).build().unwrap();
        let rows: Vec<&Row> = rows.into_iter().collect();
        liveset.commit(|tx| rows.iter().for_each(|row| tx.upsert(ROWS, row))).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let endpoint = Endpoint::new(liveset.clone());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream, endpoint.clone()));
            }
        });
        Server { liveset, address, runtime: Some(runtime) }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    pub fn put(&self, rows: &[Row]) -> String {
        let committed = self.liveset.commit(|tx| rows.iter().for_each(|row| tx.upsert(ROWS, row)));
        committed.unwrap().position.to_string()
    }

    pub fn remove(&self, id: &str) {
        self.liveset.commit(|tx| tx.remove(ROWS, id)).unwrap();
    }

    /// How many live queries all connections have.
    pub fn live_queries(&self) -> usize {
        self.liveset.connections().iter().map(|connection| connection.live_queries).sum()
    }
}

/// Serves one connection.
pub async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, endpoint: Endpoint) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        let response = endpoint.upgrade(&mut request);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new();
    let _ = connection.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Nothing is said goodbye to.
            runtime.shutdown_timeout(Duration::ZERO);
        }
    }
}

//! The accept loop: HTTP/1 connections with deadlines and caps, each in a task of its own.
//!
//! hyper's defaults wait for ever for a request that does not come; here a connection has a few seconds for
//! the head of each request, and no more than so many connections are open, in all and from one address.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the accept loop allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptLimits {
    /// Connections open at once, those that became WebSockets included.
    pub max_connections: usize,
    /// Connections open at once from one address (one /64 of IPv6). Loopback is not counted.
    pub max_connections_per_address: usize,
    /// How long a connection may take to send the head of a request, and how long it may be idle before one.
    pub header_timeout: Duration,
    /// The largest head of a request, in bytes; at least 8 KiB.
    pub max_header_bytes: usize,
}

impl Default for AcceptLimits {
    fn default() -> Self {
        AcceptLimits {
            max_connections: 10_000,
            max_connections_per_address: 256,
            header_timeout: Duration::from_secs(5),
            max_header_bytes: 16 * 1024,
        }
    }
}

/// hyper refuses a smaller buffer.
const MIN_HEADER_BYTES: usize = 8 * 1024;

/// Serves until `stop` is ready, then stops accepting, lets the requests that are being answered finish, and
/// returns. Bound it by a deadline: a request that never ends keeps it. WebSockets are not waited for, they
/// have left HTTP; close them through the handle they belong to.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: AcceptLimits,
    stop: impl Future<Output = ()>,
) {
    // Tells connections to finish; each holds a receiver for as long as it lasts.
    let stopping = watch::Sender::new(false);
    let open = Arc::new(Open::default());
    let mut stop = std::pin::pin!(stop);
    let mut backoff = Backoff::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_the_connection(&error) => continue,
            Err(error) => {
                // Out of file descriptors, most often: wait until some are closed instead of spinning.
                let pause = backoff.next();
                metrics::counter!("liveset_accept_errors_total").increment(1);
                tracing::error!(%error, ?pause, "cannot accept connections");
                tokio::select! {
                    biased;
                    () = &mut stop => break,
                    () = tokio::time::sleep(pause) => continue,
                }
            }
        };
        backoff = Backoff::default();
        let Some(slot) = Open::enter(&open, address.ip(), &limits) else {
            metrics::counter!("liveset_connections_refused_total").increment(1);
            tracing::warn!(%address, "too many connections");
            refuse(&stream);
            continue;
        };
        spawn(stream, address, router.clone(), &limits, stopping.subscribe(), slot);
    }
    drop(listener);
    stopping.send_replace(true);
    stopping.closed().await;
}

fn spawn(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    limits: &AcceptLimits,
    mut stopping: watch::Receiver<bool>,
    slot: Slot,
) {
    // Diffs are small and each is waited for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%address, %error, "cannot set TCP_NODELAY");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.max_header_bytes.max(MIN_HEADER_BYTES))
        .serve_connection(TokioIo::new(Counted { stream, _slot: slot }), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::spawn(async move {
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            // Idle connections end at once, others after the answer that they are at.
            () = async { drop(stopping.wait_for(|stopping| *stopping).await) } => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%address, %error, "connection ended");
        }
    });
}

/// A connection that is counted as open until it is dropped, also after it has left HTTP.
struct Counted {
    stream: TcpStream,
    _slot: Slot,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Errors that concern the one connection that was about to be accepted, not the listener.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// One write that cannot block; whoever cannot take it only sees the close.
fn refuse(stream: &TcpStream) {
    const BODY: &str = r#"{"code":"OVERLOADED","message":"too many connections"}"#;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let _ = stream.try_write(answer.as_bytes());
}

#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let pause = Duration::from_millis(10 << self.failures.min(7));
        self.failures += 1;
        pause.min(Duration::from_secs(1))
    }
}

/// The connections that are open.
#[derive(Debug, Default)]
struct Open {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Open {
    fn enter(open: &Arc<Open>, address: IpAddr, limits: &AcceptLimits) -> Option<Slot> {
        let address = counted_address(address);
        let mut counts = open.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= limits.max_connections {
            return None;
        }
        if let Some(address) = address {
            let of_address = counts.by_address.entry(address).or_default();
            if *of_address >= limits.max_connections_per_address {
                if *of_address == 0 {
                    counts.by_address.remove(&address);
                }
                return None;
            }
            *of_address += 1;
        }
        counts.all += 1;
        metrics::gauge!("liveset_http_connections").set(counts.all as f64);
        Some(Slot { open: Arc::clone(open), address })
    }
}

/// What counts as one address: nothing for loopback; of IPv6, the network that one customer has.
fn counted_address(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V4(address) => Some(IpAddr::V4(address)),
        IpAddr::V6(address) => Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))),
    }
}

/// One open connection, counted until it is dropped.
#[derive(Debug)]
struct Slot {
    open: Arc<Open>,
    address: Option<IpAddr>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.open.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        metrics::gauge!("liveset_http_connections").set(counts.all as f64);
        let Some(address) = self.address else { return };
        if let Some(of_address) = counts.by_address.get_mut(&address) {
            *of_address -= 1;
            if *of_address == 0 {
                counts.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(open: &Arc<Open>, address: &str, limits: &AcceptLimits) -> Option<Slot> {
        Open::enter(open, address.parse().unwrap(), limits)
    }

    #[test]
    fn connections_are_capped_in_all_and_by_address() {
        let limits =
            AcceptLimits { max_connections: 4, max_connections_per_address: 1, ..AcceptLimits::default() };
        let open = Arc::new(Open::default());
        let first = enter(&open, "192.0.2.1", &limits).unwrap();
        assert!(enter(&open, "::ffff:192.0.2.1", &limits).is_none(), "the same address, mapped");
        let _v6 = enter(&open, "2001:db8::1", &limits).unwrap();
        assert!(enter(&open, "2001:db8::2", &limits).is_none(), "the same /64");
        let _a = enter(&open, "127.0.0.1", &limits).unwrap();
        let _b = enter(&open, "::1", &limits).unwrap();
        assert!(enter(&open, "127.0.0.1", &limits).is_none(), "all are taken");
        drop(first);
        assert!(enter(&open, "192.0.2.1", &limits).is_some());
        assert_eq!(open.counts.lock().unwrap().by_address.len(), 1);
    }

    #[test]
    fn caps_of_zero_let_nobody_in_and_keep_nothing() {
        let limits = AcceptLimits { max_connections_per_address: 0, ..AcceptLimits::default() };
        let open = Arc::new(Open::default());
        assert!(enter(&open, "192.0.2.1", &limits).is_none());
        assert!(open.counts.lock().unwrap().by_address.is_empty());
        assert!(enter(&open, "127.0.0.1", &AcceptLimits { max_connections: 0, ..limits }).is_none());
    }

    #[test]
    fn backoff_grows_to_a_second() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }
}

//! The accept loop: HTTP/1 connections with deadlines and caps, each in a task of its own.
//!
//! hyper's defaults wait for ever for a request that does not come; here a connection has a few seconds for
//! the head of each request, and no more than so many connections are open, in all and from one address, or come a
//! second. Who is over a cap is told so (503, and when to try again), as far as that costs little.

mod slots;

use std::convert::Infallible;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::UPGRADE;
use axum::response::{IntoResponse as _, Response};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use liveset::ClientAddress;
use liveset_core::{Monotonic, Rate, TokenBucket};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Sleep, timeout};

use crate::config::Config;
use crate::http::ApiError;
use crate::limits::{Full, HttpLimits};
use crate::proxies::Proxies;
use crate::tls::ServerTls;
use crate::watchdog::Watchdog;
use slots::{Open, Slot};

/// What the accept loop allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptLimits {
    /// `[limits.http]`
    pub http: HttpLimits,
    /// Proxies that are believed when they say for whom they call. They count as no address, but as the addresses of their clients, and
    /// their WebSockets as connections of these.
    pub trusted_proxies: Proxies,
    /// Connections that are turned away, and waited for so that they see why.
    pub max_turned_away: usize,
}

impl From<HttpLimits> for AcceptLimits {
    fn from(http: HttpLimits) -> Self {
        Self { http, trusted_proxies: Proxies::default(), max_turned_away: 1_024 }
    }
}

impl Default for AcceptLimits {
    fn default() -> Self {
        HttpLimits::default().into()
    }
}

impl Config {
    /// What the accept loop allows.
    pub fn accept(&self) -> AcceptLimits {
        // Checked when the configuration was read.
        let trusted_proxies = Proxies::new(&self.trusted_proxies).unwrap_or_default();
        AcceptLimits { trusted_proxies, ..self.limits.http.clone().into() }
    }
}

/// What an accept loop serves, and what it allows. Both can be replaced while it runs. A clone is the same.
#[derive(Debug, Clone)]
pub struct Front(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    router: RwLock<Router>,
    limits: RwLock<Arc<AcceptLimits>>,
    open: Arc<Open>,
}

impl Front {
    /// Serves a router within limits.
    pub fn new(router: Router, limits: AcceptLimits) -> Front {
        let (router, limits) = (RwLock::new(router), RwLock::new(Arc::new(limits)));
        Front(Arc::new(Inner { router, limits, open: Arc::default() }))
    }

    /// From the next request on, also of connections that are open, this router answers.
    pub fn set_router(&self, router: Router) {
        *self.0.router.write().unwrap_or_else(PoisonError::into_inner) = router;
    }

    /// Connections that come from now on are taken in within these limits.
    pub fn set_limits(&self, limits: AcceptLimits) {
        *self.0.limits.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }

    /// Waits until no connection is open.
    pub async fn emptied(&self) {
        self.0.open.emptied().await;
    }

    fn router(&self) -> Router {
        self.0.router.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn limits(&self) -> Arc<AcceptLimits> {
        Arc::clone(&self.0.limits.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// hyper refuses a smaller buffer.
const MIN_HEADER_BYTES: usize = 8 * 1024;

/// Serves until `stop` is ready, then stops accepting, lets the requests that are being answered finish, and
/// returns. Bound it by a deadline: a request that never ends keeps it. WebSockets are not waited for, they
/// have left HTTP; close them through the handle they belong to. With `tls` all of it is inside TLS.
///
/// Meanwhile a thread of its own watches those of the runtime: one that is stuck is logged, and keeps nobody else from the sockets.
pub async fn serve(
    listener: TcpListener,
    front: Front,
    tls: Option<ServerTls>,
    stop: impl Future<Output = ()>,
) {
    // Tells connections to finish; each holds a receiver for as long as it lasts.
    let stopping = watch::Sender::new(false);
    let open = Arc::clone(&front.0.open);
    let limits = front.limits();
    let (start, mut tokens) = (Instant::now(), TokenBucket::full(rate(&limits), Monotonic::ZERO));
    let mut stop = std::pin::pin!(stop);
    let mut backoff = Backoff::default();
    let refusals = Refusals::new(tls.is_none(), &limits, Arc::clone(&open));
    let _watchdog = Watchdog::start();
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
                open.make_room();
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
        let limits = front.limits();
        // Its own caps first: who is turned away by them takes nothing from the others.
        match Open::enter(&open, address.ip(), &limits) {
            Ok(_) if !tokens.take(rate(&limits), Monotonic::from_epoch(start.elapsed())) => {
                refusals.refuse(stream, address, Full::Rate)
            }
            Ok(slot) => {
                let slot = Arc::new(slot);
                spawn(stream, address, front.clone(), limits, tls.clone(), stopping.subscribe(), slot);
            }
            Err(full) => refusals.refuse(stream, address, full),
        }
    }
    drop(listener);
    stopping.send_replace(true);
    stopping.closed().await;
}

fn rate(limits: &AcceptLimits) -> Rate {
    Rate { per_second: limits.http.connections_per_second.into(), burst: limits.http.connection_burst.into() }
}

fn spawn(
    stream: TcpStream,
    address: SocketAddr,
    front: Front,
    limits: Arc<AcceptLimits>,
    tls: Option<ServerTls>,
    stopping: watch::Receiver<bool>,
    slot: Arc<Slot>,
) {
    // Diffs are small and each is waited for.
    if let Err(error) = stream.set_nodelay(true).and_then(|()| keep_little_unsent(&stream)) {
        tracing::debug!(%address, %error, "cannot set TCP_NODELAY or what may wait in the kernel");
    }
    let in_http = Arc::new(AtomicBool::new(true));
    let writes = Writes { timeout: limits.http.write_timeout, waiting: None, in_http: Arc::clone(&in_http) };
    let stream = Counted { stream, writes, _slot: Arc::clone(&slot) };
    tokio::spawn(async move {
        let Some(tls) = tls else {
            return answer(stream, address, &front, &limits, stopping, slot, &in_http).await;
        };
        match timeout(limits.http.header_timeout, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => answer(stream, address, &front, &limits, stopping, slot, &in_http).await,
            Ok(Err(error)) => {
                metrics::counter!("liveset_tls_failures_total").increment(1);
                tracing::debug!(%address, %error, "no handshake of TLS");
            }
            Err(_) => {
                metrics::counter!("liveset_tls_failures_total").increment(1);
                tracing::debug!(%address, "the handshake of TLS took too long");
            }
        }
    });
}

/// Pings and closes are not to wait behind megabytes that the kernel has taken and not sent: it takes a little more than it can send.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn keep_little_unsent(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES as u32)
}

/// Where the kernel cannot be told what may wait, all that it holds is small. What is on its way counts too.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn keep_little_unsent(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_send_buffer_size(8 * UNSENT_BYTES)
}

/// How much may wait in the kernel's buffer of one connection without being on its way.
const UNSENT_BYTES: usize = 16 * 1024;

/// Answers requests until the connection ends, or has left HTTP, which `in_http` is told.
async fn answer<IO>(
    io: IO,
    address: SocketAddr,
    front: &Front,
    limits: &AcceptLimits,
    mut stopping: watch::Receiver<bool>,
    slot: Arc<Slot>,
    in_http: &AtomicBool,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let is_proxy = limits.trusted_proxies.contains(address.ip());
    let service = service_fn(|mut request: Request<Incoming>| {
        slot.end_handshake();
        slot.work();
        let client = limits.trusted_proxies.client(address.ip(), request.headers());
        request.extensions_mut().insert(ClientAddress::from(client));
        // A proxy's connection is one client's while it is a WebSocket; before that its requests are anybody's.
        let upgrades = is_proxy && request.uri().path() == "/ws" && request.headers().contains_key(UPGRADE);
        let entered = slot.speak_for(upgrades.then_some(client), limits);
        let answer = entered.map(|()| TowerToHyperService::new(front.router()).call(request));
        let slot = &slot;
        async move {
            let answer = match answer {
                Ok(answer) => answer.await?,
                Err(full) => too_many(full, address),
            };
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                if upgrades {
                    let _ = slot.speak_for(None, limits);
                }
                slot.rest();
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.http.header_timeout)
        .max_buf_size(limits.http.max_header_bytes.max(MIN_HEADER_BYTES))
        // Who has sent its request and closed its sending side still wants the answer. Whether it is gone, `Counted` finds out.
        .half_close(true)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // Idle connections end at once, others after the answer that they are at.
        () = async {
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => {}
                () = slot.told_to_leave() => {}
            }
        } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    in_http.store(false, Ordering::Relaxed);
    if let Err(error) = ended {
        let failure = failure(&error);
        metrics::counter!("liveset_http_failures_total", "failure" => failure).increment(1);
        tracing::debug!(%address, failure, %error, "an HTTP connection failed");
    }
}

/// Why a connection ended that did not end well, in a word.
fn failure(error: &hyper::Error) -> &'static str {
    if took_nothing(error) {
        "unread"
    } else if error.is_timeout() {
        "timeout"
    } else if error.is_parse() {
        "head"
    } else if error.is_incomplete_message() {
        "incomplete"
    } else {
        "gone"
    }
}

fn took_nothing(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<TookNothing>()) {
            return true;
        }
        source = error.source();
    }
    false
}

/// A connection that is counted as open until it is dropped, also after it has left HTTP.
struct Counted {
    stream: TcpStream,
    writes: Writes,
    _slot: Arc<Slot>,
}

impl Counted {
    /// An error where the client has reset the connection while its request is being answered: then nobody waits for that. hyper does
    /// not look meanwhile, as a client may have closed its sending side only.
    fn poll_reset(&self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.writes.in_http.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut scrap = [MaybeUninit::uninit(); 1];
        match self.stream.poll_peek(cx, &mut ReadBuf::uninit(&mut scrap)) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(_)) | Poll::Pending => Ok(()),
        }
    }
}

/// Sees to it that a client takes its answers, as long as it is one of HTTP: hyper waits for ever, and reads no further request
/// meanwhile, so that no other deadline comes.
struct Writes {
    timeout: Duration,
    /// Until when the client has to take something, while there is something.
    waiting: Option<Pin<Box<Sleep>>>,
    in_http: Arc<AtomicBool>,
}

#[derive(Debug, thiserror::Error)]
#[error("the client took nothing of its answers for too long")]
struct TookNothing;

impl Writes {
    /// What came of a write; an error, where it has waited for too long.
    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() || !self.in_http.load(Ordering::Relaxed) {
            self.waiting = None;
            return written;
        }
        let timeout = self.timeout;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, TookNothing))),
            Poll::Pending => Poll::Pending,
        }
    }
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
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.writes.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.writes.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_reset(cx)?;
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

/// Turns connections away.
struct Refusals {
    /// Inside TLS nothing can be said before a handshake, which is what there is too much of.
    in_plain: bool,
    lingering: Arc<Semaphore>,
    open: Arc<Open>,
}

/// How long who is turned away is waited for.
const LINGER: Duration = Duration::from_secs(1);

impl Refusals {
    fn new(in_plain: bool, limits: &AcceptLimits, open: Arc<Open>) -> Refusals {
        let lingering = limits.max_turned_away.min(Semaphore::MAX_PERMITS);
        Refusals { in_plain, lingering: Arc::new(Semaphore::new(lingering)), open }
    }

    fn refuse(&self, stream: TcpStream, address: SocketAddr, full: Full) {
        self.open.tell_refused(address.ip(), full);
        if !self.in_plain {
            return;
        }
        // One write that cannot block.
        let _ = stream.try_write(unavailable(address, full).as_bytes());
        // A close over a request that was not read is a reset, which takes the answer with it.
        if let Ok(permit) = Arc::clone(&self.lingering).try_acquire_owned() {
            tokio::spawn(async move {
                let _ = timeout(LINGER, drain(stream)).await;
                drop(permit);
            });
        }
    }
}

async fn drain(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut scrap = [0; 1024];
    while stream.read(&mut scrap).await? > 0 {}
    Ok(())
}

/// The same, where the connection is a proxy's and its client is over a cap.
fn too_many(full: Full, address: SocketAddr) -> Response {
    let message = format!("too many {}", full.as_str());
    ApiError::unavailable(message, Duration::from_secs(retry_after(address))).into_response()
}

/// Who was turned away together is not to come back together: ports are as good as dice.
fn retry_after(address: SocketAddr) -> u64 {
    u64::from(1 + address.port() % 5)
}

fn unavailable(address: SocketAddr, full: Full) -> String {
    let body = format!(r#"{{"code":"OVERLOADED","message":"too many {}"}}"#, full.as_str());
    let retry_after = retry_after(address);
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: {retry_after}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_a_second() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }
}
